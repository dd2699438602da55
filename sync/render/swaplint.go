package render

import (
	"bytes"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

// readsImageSwap knows a map file by its name or its lines, and the ConfigMap by its name.
func readsImageSwap(name string, data []byte) bool {
	base := path.Base(name)
	return base == "imageswap-maps.conf" || base == imageSwapFile || isDocument(name) && isSwapConfigMap(data) ||
		path.Ext(base) == ".conf" && swapLines.Match(data)
}

// swapLines are lines that only a map has; the line default may be what is missing. Older maps have one colon.
var swapLines = regexp.MustCompile(`(?m)^(default:|noswap_wildcards:|(\[EXACT\].*|\[REPLACE\].*|[a-z0-9.-]+(:[0-9]+)?(/library)?)::)`)

func isSwapConfigMap(data []byte) bool {
	return bytes.Contains(data, []byte("kind: ConfigMap")) && bytes.Contains(data, []byte("imageswap-maps"))
}

// lintImageSwap reads a map file, or the ConfigMap that carries one.
func lintImageSwap(name string, data []byte) (ps mirror.Problems) {
	if ps := mirror.CheckText(name, data); len(ps) > 0 {
		return ps
	}
	if !bytes.Contains(data, []byte("kind: ConfigMap")) {
		return lintSwapMap(readSwapMap(string(data)), false, func(number int) mirror.Position { return mirror.Position{File: name, Line: number} })
	}
	docs, ps := mirror.ParseDocuments(name, data)
	found := false
	for _, root := range docs {
		if carrier := root.Find("data", imageSwapKey); text(root.Key("kind")) == "ConfigMap" && !carrier.IsZero() {
			found = true
			ps = append(ps, lintSwapMap(readSwapMap(text(carrier)), false, blockLines(carrier, data))...)
		}
	}
	if !found && len(ps) == 0 {
		ps.Add("RND080", mirror.Position{File: name}, "put the map under data."+imageSwapKey, "no ConfigMap has the key %s, which the webhook reads", imageSwapKey)
	}
	return ps
}

// blockLines gives the places of the lines of a text in YAML: exact where it is a literal block, else that of the text.
func blockLines(n mirror.Node, data []byte) func(number int) mirror.Position {
	where, literal := n.Where(), false
	if lines := strings.Split(string(data), "\n"); where.Column > 0 && where.Line <= len(lines) {
		line := []rune(lines[where.Line-1])
		literal = where.Column <= len(line) && line[where.Column-1] == '|'
	}
	return func(number int) mirror.Position {
		if !literal {
			return where
		}
		return mirror.Position{File: where.File, Line: where.Line + number}
	}
}

// swapLint judges a map line by line. at gives the place of a line; defaulted says that whoever reads the map adds the
// default line, as Palette's chart does.
type swapLint struct {
	m         swapMap
	at        func(number int) mirror.Position
	defaulted bool
	ps        mirror.Problems
}

// lintSwapMap finds what image-swap would leave out, misread or break at.
func lintSwapMap(m swapMap, defaulted bool, at func(number int) mirror.Position) mirror.Problems {
	l := &swapLint{m: m, at: at, defaulted: defaulted}
	if defaulted && !m.has(swapDefault) {
		l.m.keys[swapDefault] = ""
	}
	first := map[string]int{}
	for _, line := range m.lines {
		if line.skipped != "" {
			l.add("RND080", line, "write <host>::<registry>/<path>, one a line", "the webhook leaves this line out: %s", line.skipped)
			continue
		}
		if before, twice := first[line.form+line.key]; twice {
			l.add("RND084", line, "keep one of them", "%q stands here again, first in line %d, and the later one counts", line.key, before)
		}
		first[line.form+line.key] = line.number
		l.line(line)
	}
	if !l.m.has(swapDefault) && (len(m.lines) == 0 || slices.ContainsFunc(m.lines, func(line swapLine) bool { return line.form == "" })) {
		l.ps.Add("RND081", l.at(1), "add the line default::", "the map has no key default, and without it image-swap swaps no host at all")
		l.ps[len(l.ps)-1].Why = "pods would be pulled from the upstream, and nothing says so"
	}
	return l.ps
}

func (l *swapLint) add(code string, line swapLine, fix, format string, args ...any) {
	l.ps.Add(code, l.at(line.number), fix, format, args...)
}

func (l *swapLint) line(line swapLine) {
	told := len(l.ps)
	if strings.ContainsAny(line.key+line.target, "\t\v\f#") {
		l.add("RND080", line, "write one comment a line and no tabs", "only blanks and the last comment are taken out of a line, so this one reads %q", line.key+"::"+line.target)
		return
	}
	if line.key == swapNever && line.form == "" {
		l.never(line)
		return
	}
	switch {
	case line.form == "" && line.key != swapDefault:
		l.key(line)
	case line.form == swapReplace:
		l.glob(line)
	}
	l.target(line)
	if len(l.ps) == told {
		l.again(line)
	}
}

func (l *swapLint) never(line swapLine) {
	if line.target != "" && slices.Contains(strings.Split(line.target, ","), "") {
		l.add("RND089", line, "take out the comma too much", "an empty word of %s is in every image, so nothing goes to the default", swapNever)
	}
}

// key judges a key: the host of images, to the letter, and a regular expression at the same time.
func (l *swapLint) key(line swapLine) {
	host, library := strings.CutSuffix(line.key, swapLibrary)
	form, _, bracket := strings.Cut(line.key, "]")
	switch {
	case bracket && strings.HasPrefix(form, "["):
		l.add("RND085", line, mirror.Suggest(form+"]", []string{swapExact, swapReplace}), "%q is no word that the webhook knows, so the line is looked up for no image", form+"]")
	case library && !l.m.has(host):
		l.add("RND082", line, "add the line "+host+"::<registry>/<path>", "%s needs a key %s beside it: without one the webhook breaks at every other image of the host", line.key, host)
	case strings.Contains(host, "/"):
		l.add("RND085", line, "write the host alone; single repositories need [REPLACE] or [EXACT]", "%s is looked up for no image: only what stands before the first slash is", line.key)
	case !strings.Contains(host, "."):
		l.add("RND085", line, "use [REPLACE]"+host+"/<repository>:*", "a host without a dot counts as %s, so %s is looked up for no image", dockerHub, line.key)
	case regexp.QuoteMeta(strings.ReplaceAll(host, ".", "")) != strings.ReplaceAll(host, ".", ""):
		l.add("RND085", line, "write the host as images name it", "%s is no host, and the webhook takes it for a regular expression", line.key)
	case strings.Contains(host, ":") && strings.HasSuffix(line.target, "-"):
		l.add("RND086", line, "take the - from the end, or the port from the key", "with a port in the image and - at the end every part of the path but the last is lost")
	}
}

func (l *swapLint) glob(line swapLine) {
	if g := readSwapGlob(line.key); g.pattern == neverMatches {
		l.add("RND085", line, "mend what stands in brackets", "the pattern %q matches no image", line.key)
	}
}

// target judges what images become: it must begin with a registry and be no address.
func (l *swapLint) target(line swapLine) {
	if line.target == "" && line.form == "" {
		return // means: never swapped
	}
	probe := line.target
	switch {
	case line.form == "" && strings.HasSuffix(probe, "-"):
		probe += "x.example/x"
	case line.form != swapExact:
		probe = swapJoin(probe, "x")
	}
	image, err := mirror.ParseReference(probe)
	switch {
	case strings.Contains(line.target, "://"):
		l.add("RND087", line, "write the host without a scheme", "%q is an address, and an image name has no scheme", line.target)
	case err == nil && strings.HasPrefix(image.Repository+"/", "v2/"):
		l.add("RND088", line, "take /v2 out here; it belongs into the addresses of containerd alone", "%q makes images of a project named v2: /v2 is the path of the registry's interface, not of an image", line.target)
		l.ps[len(l.ps)-1].Why = "image-swap writes image names, containerd calls addresses: one string cannot serve both"
	case err != nil || line.form == "" && strings.HasSuffix(line.target, "/"):
		l.add("RND087", line, "write registry[:port]/path in lower case, without / at the end", "with %q images become no image reference, such as %q", line.target, probe)
	}
}

// again swaps what comes out once more: the webhook is asked at every update of a pod, too.
func (l *swapLint) again(line swapLine) {
	for _, image := range swapProbes(line) {
		once, changed, err := l.m.swap(image)
		if err != nil || !changed {
			continue // told of the line that is to blame
		}
		if twice, _, err := l.m.swap(once); err != nil {
			l.add("RND083", line, "list the mirror's host in "+swapNever, "%s becomes %s, and at the next update of the pod the webhook breaks at it: %v", image, once, err)
			return
		} else if twice != once {
			l.add("RND083", line, "list the mirror's host in "+swapNever+", or leave the default empty", "%s becomes %s, and at the next update of the pod %s", image, once, twice)
			return
		}
	}
}

// swapProbes are images that a line is there for.
func swapProbes(line swapLine) []string {
	host, library := strings.CutSuffix(line.key, swapLibrary)
	switch {
	case line.form == swapExact:
		return []string{line.key}
	case line.form == swapReplace:
		return []string{swapJoin(line.target, "x:1"), strings.NewReplacer("[:@]", ":", "*", "x", "?", "x").Replace(line.key)}
	case line.key == swapDefault:
		return []string{"x.example/a/x:1"}
	case library:
		return []string{"x:1"}
	case host == dockerHub:
		return []string{"x:1", "a/x:1", host + "/a/x:1"}
	}
	return []string{host + "/a/x:1"}
}
