package sources

import "slices"

// maxKustomizations bounds how many kustomizations one builds. Each is built anew wherever it is built on, so that a few files
// can ask for millions.
const maxKustomizations = 500

// builds counts the kustomizations that one builds, itself included; above is where it is built on, known what was counted.
// One that builds on itself is left to the library, which says so.
func (k *kustomizations) builds(dir string, above []string, known map[string]int) int {
	if slices.Contains(above, dir) {
		return 1
	}
	if n := known[dir]; n > 0 {
		return n
	}
	sum := 1
	for _, base := range k.on[dir] {
		if sum += k.builds(base, append(slices.Clip(above), dir), known); sum > maxKustomizations {
			break // and no further: it could be any number
		}
	}
	known[dir] = sum
	return sum
}
