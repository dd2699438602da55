package sources

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

// foreign collects what a file of another mirroring tool names. What such a file says and a set cannot hold is refused
// with its place, never left out in silence, unless ignore names it.
type foreign struct {
	source   mirror.Node // with ignore
	ignore   []string
	words    []string // what ignore may name: the kind's own words, and keys of the file that would be lost
	found    []wanted
	charts   []wanted
	problems mirror.Problems
}

// lost tells of something that would be lost, unless it is ignored.
func (f *foreign) lost(word string, where mirror.Position, what, instead string) {
	f.words = append(f.words, word)
	if slices.Contains(f.ignore, word) {
		return
	}
	if instead != "" {
		instead += ", or "
	}
	f.problems.Add("SRC053", where, instead+"write ignore: ["+word+"] in the source to leave it out", "%s would be lost: a set of this kind holds images and charts of registries alone", what)
}

// unheard tells of words of ignore that name nothing: most likely misspelt, or of another tool.
func (f *foreign) unheard() (ps mirror.Problems) {
	slices.Sort(f.words)
	for i, word := range f.ignore {
		if known := slices.Compact(slices.Clone(f.words)); !slices.Contains(known, word) {
			ps.Add("SRC056", f.source.Find("ignore", strconv.Itoa(i)).Where(), mirror.Suggest(word, known), "source.ignore: nothing in such a file is called %q", mirror.OneLine(word))
		}
	}
	return ps
}

// given says whether a part says anything: not null, false, empty or without items.
func given(n mirror.Node) bool {
	text, scalar := n.Text()
	switch {
	case n.IsZero(), n.IsNull():
		return false
	case scalar:
		return text != "" && text != "false"
	}
	return len(n.Items()) > 0 || len(n.Keys()) > 0
}

// keys tells of keys with content that are not among the known ones: what they mean for the images is not known.
func (f *foreign) keys(n mirror.Node, of string, known ...string) {
	for _, key := range n.Keys() {
		if !slices.Contains(known, key) && given(n.Key(key)) {
			f.lost(key, n.KeyWhere(key), of+": "+key, "")
		}
	}
}

// image adds an image. A name without tag and digest means the tag latest, as it does for the tools.
func (f *foreign) image(text string, where mirror.Position) {
	image, err := mirror.ParseReference(strings.TrimSpace(text))
	if err != nil {
		f.problems.Add("SRC052", where, "write registry/repository:tag or registry/repository@sha256:<64 hex>", "%v", err)
		return
	}
	if image.Tag == "" && !image.HasDigest() {
		image.Tag = "latest"
	}
	f.found = append(f.found, wanted{image, where})
}

// chart adds a chart that lies in a registry: address is oci://registry/path with its name at the end. Any other is named
// by a set of kind helm, which also finds its images.
func (f *foreign) chart(address, version string, where mirror.Position, word string) {
	repository, ok := strings.CutPrefix(address, "oci://")
	if !ok {
		f.lost(word, where, "the chart "+mirror.OneLine(mirror.Redact(address)), "name it in a set of kind helm")
		return
	}
	image, err := mirror.ParseReference(strings.TrimSuffix(repository, "/") + ":" + chartTag(version))
	if err != nil || version == "" {
		f.problems.Add("SRC054", where, "write oci://registry/path and one version, such as 1.2.3", "the chart %s in version %q is no reference", mirror.OneLine(mirror.Redact(address)), version)
		return
	}
	f.charts = append(f.charts, wanted{image, where})
}

// entries names what was found; a chart by chart/<name>, with its tag where several are wanted.
func (f *foreign) entries() ([]mirror.Entry, mirror.Problems) {
	entries, ps := entriesOf(f.found)
	charts, problems := entriesOf(f.charts)
	ps = append(ps, problems...)
	first := map[string]mirror.Position{}
	for _, c := range charts {
		name := "chart/" + path.Base(c.Name)
		if before, twice := first[name]; twice {
			ps.Add("SRC054", c.Where, "keep one of them, or make sets of their own", "%s is wanted twice, first in %s", name, before)
			continue
		}
		first[name] = c.Where
		entries = append(entries, mirror.Entry{Name: name, Image: c.Image, Where: c.Where})
	}
	return entries, ps
}

// list gives what a source of this kind has read.
func (f *foreign) list(data []byte, atomic bool, follow follow) (listing, mirror.Problems) {
	entries, ps := f.entries()
	if ps = slices.Concat(f.unheard(), f.problems, ps); len(ps) > 0 {
		return listing{}, ps
	}
	return listing{entries: entries, origin: mirror.DigestOf(data), atomic: atomic, follow: follow == "always"}, nil
}
