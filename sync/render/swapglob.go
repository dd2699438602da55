package render

import (
	"regexp"
	"strings"
)

// swapGlob is a pattern of [REPLACE]: that of a shell, in which * and ? match a slash, too.
type swapGlob struct {
	key, target string
	plain       string // what comes before the first sign of the pattern
	pattern     *regexp.Regexp
}

func readSwapGlob(glob string) *swapGlob {
	g := &swapGlob{key: glob, plain: glob}
	if i := strings.IndexAny(glob, "*?["); i >= 0 {
		g.plain = glob[:i]
	}
	var b strings.Builder
	for i := 0; i < len(glob); i++ {
		end := -1
		if glob[i] == '[' {
			end = swapClassEnd(glob, i)
		}
		switch {
		case glob[i] == '*':
			b.WriteString(".*")
		case glob[i] == '?':
			b.WriteByte('.')
		case end > 0:
			b.WriteString(swapClass(glob[i+1 : end]))
			i = end
		default:
			b.WriteString(regexp.QuoteMeta(glob[i : i+1]))
		}
	}
	var err error
	if g.pattern, err = regexp.Compile(`(?s)^` + b.String() + `$`); err != nil {
		g.pattern = neverMatches // a class such as [z-a]
	}
	return g
}

var neverMatches = regexp.MustCompile(`[^\x00-\x{10FFFF}]`)

// swapClassEnd gives where the class that begins at i ends; -1 where it does not, so that the bracket stands for itself.
func swapClassEnd(glob string, i int) int {
	from := i + 1
	if strings.HasPrefix(glob[from:], "!") {
		from++
	}
	if strings.HasPrefix(glob[from:], "]") {
		from++
	}
	if end := strings.IndexByte(glob[from:], ']'); end >= 0 {
		return from + end
	}
	return -1
}

func swapClass(body string) string {
	negated := strings.HasPrefix(body, "!")
	body = strings.NewReplacer(`\`, `\\`, `[`, `\[`, `]`, `\]`, `^`, `\^`).Replace(strings.TrimPrefix(body, "!"))
	if negated {
		return "[^" + body + "]"
	}
	return "[" + body + "]"
}
