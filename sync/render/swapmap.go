package render

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// swapMap is a map of image-swap (phenixblue/imageswap-webhook 1.5, mode MAPS) as its webhook reads it. What it gives
// for an image is what the webhook gives, mistakes included: only so can a map be judged.
type swapMap struct {
	lines    []swapLine
	keys     map[string]string         // target by key; of a key that stands there twice the later one
	patterns map[string]*regexp.Regexp // what the keys match; nil where one is no regular expression
	exact    map[string]string         // [EXACT]: the whole image, to the letter
	globs    []*swapGlob               // of [REPLACE], in the order in which they are tried
}

// swapLine is one line of a map that is neither empty nor a comment.
type swapLine struct {
	number  int    // from 1
	form    string // "", [EXACT] or [REPLACE]
	key     string
	target  string
	skipped string // why the webhook leaves the line out, with a warning in its log that nobody reads
}

const (
	swapDefault  = "default"
	swapNever    = "noswap_wildcards"
	swapLibrary  = "/library"
	swapExact    = "[EXACT]"
	swapReplace  = "[REPLACE]"
	swapHubIndex = "index.docker.io"
)

// Of a line with several comments only the last one is cut off.
var swapComment = regexp.MustCompile(`^(.*[^#])#.*$`)

func newSwapMap() swapMap {
	return swapMap{keys: map[string]string{}, patterns: map[string]*regexp.Regexp{}, exact: map[string]string{}}
}

// readSwapMap reads a map line by line.
func readSwapMap(text string) swapMap {
	m := newSwapMap()
	for i, line := range strings.Split(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text), "\n") {
		if strings.HasPrefix(line, "#") {
			continue
		}
		line = swapComment.ReplaceAllString(line, "$1")
		if line = strings.ReplaceAll(strings.TrimRight(line, " \t\v\f"), " ", ""); line != "" {
			m.add(readSwapLine(i+1, line))
		}
	}
	return m
}

func readSwapLine(number int, line string) swapLine {
	l := swapLine{number: number}
	switch parts, old := strings.Split(line, "::"), strings.Split(line, ":"); {
	case len(parts) == 2:
		l.key, l.target = parts[0], parts[1]
	case len(old) == 2:
		l.key, l.target = old[0], old[1]
	case len(parts) > 2:
		l.key, l.skipped = parts[0], "it has :: more than once"
	case len(old) > 2:
		l.key, l.skipped = old[0], "a port needs :: between the two sides"
	default:
		l.key, l.skipped = line, "it has no ::"
	}
	for _, form := range []string{swapExact, swapReplace} {
		if rest, ok := strings.CutPrefix(l.key, form); ok {
			l.form, l.key = form, strings.TrimLeft(rest, "\t\v\f")
		}
	}
	return l
}

func (m *swapMap) add(l swapLine) {
	m.lines = append(m.lines, l)
	switch {
	case l.skipped != "":
	case l.form == swapExact:
		m.exact[l.key] = l.target
	case l.form == swapReplace:
		m.replace(l)
	default:
		m.keys[l.key] = l.target
		m.patterns[l.key], _ = regexp.Compile(l.key)
	}
}

func (m *swapMap) replace(l swapLine) {
	i := slices.IndexFunc(m.globs, func(g *swapGlob) bool { return g.key == l.key })
	if i < 0 {
		m.globs, i = append(m.globs, readSwapGlob(l.key)), len(m.globs)
	}
	m.globs[i].target = l.target
}

// swap gives the image that the webhook puts in the place of one, and whether it changes the pod at all. An error means
// that the webhook answers with an error: depending on its failurePolicy the pod starts as it was.
func (m swapMap) swap(image string) (swapped string, changed bool, err error) {
	if target, ok := m.exact[image]; ok {
		return target, true, nil
	}
	for _, glob := range m.globs {
		if strings.HasPrefix(image, glob.plain) && glob.pattern.MatchString(image) {
			return swapJoin(glob.target, image[strings.LastIndexByte(image, '/')+1:]), true, nil
		}
	}
	return m.byRegistry(image)
}

func (m swapMap) byRegistry(image string) (string, bool, error) {
	registry, rest, slash := strings.Cut(image, "/")
	named := slash && rest != "" && strings.Contains(registry, ".")
	if !named {
		registry = dockerHub // whatever has no dot, localhost:5000 as well
	}
	host, _, _ := strings.Cut(registry, ":")
	fallback, there := m.keys[swapDefault]
	if !there {
		return image, false, nil // without a default nothing is swapped at all
	}
	key := registry
	if _, own := m.keys[registry]; !own && m.has(host) {
		key = host
	}
	switch {
	case m.has(key) || m.has(key+swapLibrary):
		if !slash && m.has(key+swapLibrary) {
			key += swapLibrary
		}
		target, ok := m.keys[key]
		if !ok {
			return "", false, fmt.Errorf("the map has no key %s", key)
		}
		glue := withoutPort(image)
		if !named {
			glue = host + "/" + glue
		}
		return swapPut(target, key, m.patterns[key], image, glue)
	case m.spares(image), fallback == "":
		return image, false, nil
	}
	pattern, _ := regexp.Compile(registry)
	return swapPut(fallback, registry, pattern, image, host+"/"+image)
}

// swapPut gives the image under a target: behind it where the target ends in -, else in the place of what the key matches.
func swapPut(target, key string, pattern *regexp.Regexp, image, glue string) (string, bool, error) {
	switch {
	case target == "":
		return image, false, nil
	case strings.HasSuffix(target, "-"):
		return target + glue, true, nil
	case !strings.Contains(image, key):
		return target + "/" + image, true, nil
	}
	if pattern == nil {
		return "", false, fmt.Errorf("the key %s is no regular expression", key)
	}
	// The key is taken for a regular expression, and everything that it matches is replaced.
	return pattern.ReplaceAllLiteralString(image, target), true, nil
}

func (m swapMap) has(key string) bool { _, ok := m.keys[key]; return ok }

// spares says whether the image contains one of the words of noswap_wildcards. An empty word is in every image.
func (m swapMap) spares(image string) bool {
	words := m.keys[swapNever]
	return words != "" && slices.ContainsFunc(strings.Split(words, ","), func(word string) bool { return strings.Contains(image, word) })
}

// withoutPort cuts from the first colon to the last slash behind it: a port, and with it every part of the path but the
// last.
func withoutPort(image string) string {
	colon, slash := strings.IndexByte(image, ':'), strings.LastIndexByte(image, '/')
	if colon < 0 || slash < colon {
		return image
	}
	return image[:colon] + image[slash:]
}

func swapJoin(dir, name string) string {
	if dir == "" || strings.HasSuffix(dir, "/") {
		return dir + name
	}
	return dir + "/" + name
}

// text writes a map: default first, then the hosts, what is exact, what is replaced, and what is never swapped.
func (m swapMap) text() string {
	order := func(l swapLine) int {
		switch {
		case l.key == swapDefault:
			return 0
		case l.key == swapNever:
			return 4
		case l.form == swapExact:
			return 2
		case l.form == swapReplace:
			return 3
		}
		return 1
	}
	lines := slices.Clone(m.lines)
	slices.SortStableFunc(lines, func(a, b swapLine) int {
		if d := order(a) - order(b); d != 0 {
			return d
		}
		return strings.Compare(a.key, b.key)
	})
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(l.form + l.key + "::" + l.target + "\n")
	}
	return b.String()
}
