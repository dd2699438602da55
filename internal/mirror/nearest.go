package mirror

// Nearest gives the word of known that word most likely was meant to be; "" when none is close.
func Nearest(word string, known []string) string {
	best, distance := "", 1+len(word)/3
	for _, k := range known {
		// A word of which nothing is left is not misspelt but another one.
		if d := edits(word, k); d <= distance && d < len(word) && d < len(k) && (best == "" || d < distance) {
			best, distance = k, d
		}
	}
	return best
}

// edits is the Levenshtein distance of two short words.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
