package render

import (
	"regexp"
	"slices"
	"strings"
)

// imageLine is one line of images:. kustomize takes name for a regular expression that stands for the image without tag
// and digest, or with them, and applies the lines one after the other.
type imageLine struct {
	literal string         // the spelling that name stands for
	guarded bool           // its dots are written as [.], since another image would match
	other   *regexp.Regexp // of people: a name that is an expression in its own right
	newName string
	newTag  string
	digest  string
}

// name gives the expression. A dot stays a dot wherever that is safe, as people write it.
func (l imageLine) name() string {
	if l.guarded {
		return strings.ReplaceAll(l.literal, ".", "[.]")
	}
	return l.literal
}

// matches says what kustomize makes of the expression, for a spelling without what may follow it.
func (l imageLine) matches(spelled string) bool {
	if l.other != nil {
		return l.other.MatchString(spelled)
	}
	if len(spelled) != len(l.literal) {
		return false
	}
	for i := range len(spelled) {
		if spelled[i] != l.literal[i] && (l.guarded || l.literal[i] != '.') {
			return false
		}
	}
	return true
}

// result is what an image becomes. Tag and digest of a line stand for both of the image.
func (l imageLine) result() string {
	name := l.newName
	if name == "" {
		name = l.literal
	}
	if l.newTag != "" {
		name += ":" + l.newTag
	}
	if l.digest != "" {
		name += "@" + l.digest
	}
	return name
}

// imageIndex finds the lines that match an image without a look at all of them: a plain name matches texts of its
// length only.
type imageIndex struct {
	lines    []imageLine
	byLength map[int][]int
	others   []int
}

func indexed(lines []imageLine) imageIndex {
	x := imageIndex{lines: lines, byLength: map[int][]int{}}
	for i, l := range lines {
		if l.other != nil {
			x.others = append(x.others, i)
			continue
		}
		x.byLength[len(l.literal)] = append(x.byLength[len(l.literal)], i)
	}
	return x
}

// first gives the first line from the given one on that matches an image; -1 when none does.
func (x imageIndex) first(image string, from int) int {
	best := -1
	for _, core := range cores(image) {
		for _, candidates := range [][]int{x.byLength[len(core)], x.others} {
			for _, i := range candidates {
				if i >= from && (best < 0 || i < best) && x.lines[i].matches(core) {
					best = i
				}
			}
		}
	}
	return best
}

// apply gives what all lines make of an image, one after the other.
func (x imageIndex) apply(image string) string {
	for from := 0; ; {
		i := x.first(image, from)
		if i < 0 {
			return image
		}
		image, from = x.lines[i].result(), i+1
	}
}

// matching gives the lines of all whose spelling a plain line matches although it is not for it.
func (x imageIndex) matching(l imageLine, all []imageLine) []int {
	return slices.DeleteFunc(slices.Clone(x.byLength[len(l.literal)]), func(i int) bool {
		return all[i].literal == l.literal || !l.matches(all[i].literal)
	})
}

var afterName = regexp.MustCompile(`^(.+?)(:[a-zA-Z0-9_.{}-]*)?(@sha256:[a-zA-Z0-9_.{}-]*)?$`)

// cores gives what a name may stand for in an image: all of it, or less its digest, or less tag and digest.
func cores(image string) []string {
	all := []string{image}
	if m := afterName.FindStringSubmatch(image); m != nil {
		for _, core := range []string{m[1] + m[2], m[1]} {
			if !slices.Contains(all, core) {
				all = append(all, core)
			}
		}
	}
	return all
}
