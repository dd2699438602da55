package mirror

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// KeptReferences is how many earlier references a line of the record remembers, newest first: what a
// rollback may return to.
const KeptReferences = 10

// Line is what stands for one entry at one stage or, without an image, the past of one that left it.
type Line struct {
	Image   Reference                // upstream reference with digest
	Since   time.Time                // when it came or, without an image, when it left
	Basis   string                   // the verdict in words: "signed by release", "pinned"
	Vouch   string                   // the commit whose desired/ names the digest, where the basis is pinned
	Commit  string                   // the desired commit that asked for it
	Was     []Reference              // what stood before, newest first
	Vouched map[Digest]string        // the commits that vouched for what stood before
	Stood   map[Digest]time.Duration // for how long what stood before stood, the longest time of each

	// Again says that the entry had left the stage and came back with this image: what stood before did not stand until
	// it came.
	Again bool `json:",omitempty"`

	// Recorded is what a commit of ours says stood before, in a state that was lost since: it counts from the moment
	// at which somebody wants it and the local registry is seen to hold it.
	Recorded []Reference
	// Claimed is what a file says stood before and nothing else confirms: kept, never believed.
	Claimed []Reference
	// Proven says that this process, or one before it on the same state, wrote the line after it was judged. It
	// is never written: a line that was only read from a file is to be judged again.
	Proven bool `json:"-"`
}

// Vouches gives the commit that vouches for image where the line holds it or held it; "" when none is
// known. A rollback of pinned content lives on it.
func (l Line) Vouches(image Reference) string {
	if l.Image == image {
		return l.Vouch
	}
	if slices.Contains(l.Was, image) {
		return l.Vouched[image.Digest]
	}
	return ""
}

// Standing is what stands at one stage, by entry.
type Standing map[string]Line

// Record is what stands at every stage of a set. Origin is the version of the source file that the first
// stage was resolved from.
type Record struct {
	Origin Digest
	Stages map[Stage]Standing
	Left   map[Stage]Standing // lines without an image: what entries remember that stand here no more
}

// At gives what stands at a stage; never nil.
func (r Record) At(s Stage) Standing {
	if st := r.Stages[s]; st != nil {
		return st
	}
	return Standing{}
}

// Clone copies the record so that the copy's stages can be changed.
func (r Record) Clone() Record {
	c := Record{Origin: r.Origin, Stages: map[Stage]Standing{}, Left: map[Stage]Standing{}}
	for s, st := range r.Stages {
		c.Stages[s] = maps.Clone(st)
	}
	for s, st := range r.Left {
		c.Left[s] = maps.Clone(st)
	}
	return c
}

// Put makes line stand for an entry and keeps what stood there before. A line with the same image leaves
// Since, Commit and history as they were. What was not proven to stand is remembered as a claim.
func (s Standing) Put(entry string, line Line) {
	old, ok := s[entry]
	switch {
	case ok && old.Image == line.Image:
		line.Since, line.Was, line.Vouched, line.Commit = old.Since, old.Was, old.Vouched, cmp.Or(old.Commit, line.Commit)
		line.Stood, line.Recorded, line.Claimed, line.Again = old.Stood, old.Recorded, old.Claimed, old.Again
	case ok:
		was, claimed := old.before()
		was = slices.DeleteFunc(was, func(r Reference) bool { return r == line.Image })
		line.Was, line.Vouched, line.Claimed = was[:min(len(was), KeptReferences)], map[Digest]string{}, claimed[:min(len(claimed), KeptReferences)]
		line.Recorded = slices.DeleteFunc(slices.Clone(old.Recorded), func(r Reference) bool { return r == line.Image })
		for _, image := range line.Was {
			if commit := old.Vouches(image); commit != "" && line.Vouched[image.Digest] == "" {
				line.Vouched[image.Digest] = commit
			}
		}
		line.Stood = old.stood(line)
	}
	s[entry] = line
}

// before gives what is known to have stood and what is only claimed to have, newest first, once this line stands no more.
func (l Line) before() (was, claimed []Reference) {
	was, claimed = slices.Clone(l.Was), slices.Clone(l.Claimed)
	switch {
	case l.Image.IsZero():
	case l.Proven:
		was = append([]Reference{l.Image}, was...)
	default:
		claimed = append([]Reference{l.Image}, claimed...)
	}
	return was, claimed
}

// stood gives for how long what next remembers stood, when it takes the place of this line.
func (l Line) stood(next Line) map[Digest]time.Duration {
	stood := map[Digest]time.Duration{}
	for _, image := range slices.Concat([]Reference{next.Image}, next.Was, next.Recorded) {
		if age := l.Stood[image.Digest]; age > 0 {
			stood[image.Digest] = age
		}
	}
	if l.Proven && !l.Since.IsZero() && next.Since.After(l.Since) && slices.Contains(next.Was, l.Image) {
		stood[l.Image.Digest] = max(stood[l.Image.Digest], next.Since.Sub(l.Since))
	}
	return stood
}

const recordHeader = "# Written by Poundlock. An edit here is overwritten and vouches for nothing.\n"

// RecordFiles writes the record of a set below dir, the site's folder: <dir>/<set>/<first stage>.yaml in
// the form of a stage file, and <dir>/record/<set>/<stage>.yaml for every stage.
func RecordFiles(dir string, set Set, r Record) Files {
	files := Files{}
	for _, stage := range set.Stages {
		standing := r.At(stage)
		if len(standing)+len(r.Left[stage]) == 0 {
			continue
		}
		images, lines := map[string]string{}, map[string]string{}
		for entry, l := range standing {
			images[entry] = l.Image.String()
			lines[entry] = l.text()
		}
		for entry, l := range r.Left[stage] {
			if _, stands := standing[entry]; !stands {
				lines[entry] = l.text()
			}
		}
		header := recordHeader
		if stage == set.Stages.First() && r.Origin != (Digest{}) {
			header += "source: " + r.Origin.String() + "\n"
		}
		maps.Copy(files, document(dir+"/record/"+set.Name+"/"+string(stage), header, lines))
		if stage == set.Stages.First() && len(images) > 0 {
			maps.Copy(files, document(dir+"/"+set.Name+"/"+string(stage), recordHeader, images))
		}
	}
	return files
}

func (l Line) text() string {
	var b strings.Builder
	if at := strconv.Quote(l.Since.UTC().Format(time.RFC3339)); l.Image.IsZero() {
		fmt.Fprintf(&b, "{left: %s", at)
	} else {
		fmt.Fprintf(&b, "{image: %s, since: %s, basis: %s", l.Image, at, strconv.Quote(l.Basis))
	}
	if l.Vouch != "" {
		fmt.Fprintf(&b, ", vouch: %q", l.Vouch)
	}
	if l.Commit != "" {
		fmt.Fprintf(&b, ", commit: %q", l.Commit)
	}
	if l.Again {
		b.WriteString(", again: true")
	}
	was := l.kept(l.Was, l.Recorded)
	if len(was) > 0 {
		fmt.Fprintf(&b, ", was: [%s]", references(was))
	}
	// Apart from what is known: a claim must not pass for that because it stands in a commit of ours.
	claimed := slices.DeleteFunc(l.kept(l.Claimed), func(r Reference) bool { return slices.Contains(was, r) })
	if n := KeptReferences - len(was); n > 0 && len(claimed) > 0 {
		fmt.Fprintf(&b, ", claimed: [%s]", references(claimed[:min(n, len(claimed))]))
	}
	if stood := l.stoodText(); stood != "" {
		fmt.Fprintf(&b, ", stood: {%s}", stood)
	}
	if len(l.Vouched) > 0 {
		vouched := make([]string, 0, len(l.Vouched))
		for d, commit := range l.Vouched {
			vouched = append(vouched, fmt.Sprintf("%s: %q", d, commit))
		}
		slices.Sort(vouched)
		fmt.Fprintf(&b, ", vouched: {%s}", strings.Join(vouched, ", "))
	}
	return b.String() + "}"
}

// kept gives the first references of some lists, each once.
func (l Line) kept(lists ...[]Reference) (kept []Reference) {
	for _, r := range slices.Concat(lists...) {
		if len(kept) < KeptReferences && !slices.Contains(kept, r) {
			kept = append(kept, r)
		}
	}
	return kept
}

func references(all []Reference) string {
	texts := make([]string, len(all))
	for i, r := range all {
		texts[i] = r.String()
	}
	return strings.Join(texts, ", ")
}

// stoodText writes how long what is remembered stood, in whole seconds.
func (l Line) stoodText() string {
	var texts []string
	for _, d := range slices.SortedFunc(maps.Keys(l.Stood), func(a, b Digest) int { return strings.Compare(a.String(), b.String()) }) {
		if age := l.Stood[d].Truncate(time.Second); age > 0 {
			texts = append(texts, fmt.Sprintf("%s: %q", d, age.String()))
		}
	}
	return strings.Join(texts, ", ")
}

// ParseRecord reads what RecordFiles wrote. A line that cannot be read is left out, as if it were not
// there: the record is a memory, and what it forgot is judged and tagged anew.
func ParseRecord(dir string, set Set, files Files) Record {
	return new(RecordReader).Parse(dir, set, files)
}

// RecordReader reads records as ParseRecord does, and remembers what it read: of a large record that was read before only
// the files that changed are read anew. The zero value is ready; it may be used by several at once.
type RecordReader struct {
	mu    sync.Mutex
	parts map[Digest]recordPart // by the bytes of the file
}

// recordPart is what one file of a record says. Nobody changes it.
type recordPart struct {
	source         Digest
	standing, left Standing
	ok             bool
}

// keptParts is how many files a RecordReader remembers; beyond that it begins anew.
const keptParts = 10_000

// Parse reads what RecordFiles wrote.
func (p *RecordReader) Parse(dir string, set Set, files Files) Record {
	r := Record{Stages: map[Stage]Standing{}, Left: map[Stage]Standing{}}
	for _, stage := range set.Stages {
		standing, left := Standing{}, Standing{}
		for _, file := range files.Document(dir + "/record/" + set.Name + "/" + string(stage)) {
			part := p.part(file, files[file])
			if part.ok && stage == set.Stages.First() {
				r.Origin = part.source
			}
			maps.Copy(standing, part.standing)
			maps.Copy(left, part.left)
		}
		r.Stages[stage] = standing
		if len(left) > 0 {
			r.Left[stage] = left
		}
	}
	return r
}

// part reads one file, or remembers it.
func (p *RecordReader) part(file string, body []byte) recordPart {
	key := DigestOf(body)
	p.mu.Lock()
	part, known := p.parts[key]
	p.mu.Unlock()
	if known {
		return part
	}
	part = parsePart(file, body)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.parts == nil || len(p.parts) >= keptParts {
		p.parts = map[Digest]recordPart{}
	}
	p.parts[key] = part
	return part
}

func parsePart(file string, body []byte) recordPart {
	var doc struct {
		Version int             `yaml:"version"`
		Source  Digest          `yaml:"source"`
		Entries map[string]Node `yaml:"entries"`
	}
	if ps := Decode(file, body, &doc); len(ps) > 0 || doc.Version != 1 {
		return recordPart{}
	}
	part := recordPart{doc.Source, Standing{}, Standing{}, true}
	for entry, node := range doc.Entries {
		switch line, ok := parseLine(node); {
		case !ok:
		case line.Image.IsZero():
			part.left[entry] = line
		default:
			part.standing[entry] = line
		}
	}
	return part
}

// parseLine reads what text wrote.
func parseLine(node Node) (Line, bool) {
	var l struct {
		Image   Reference         `yaml:"image"`
		Since   string            `yaml:"since"`
		Left    string            `yaml:"left"`
		Basis   string            `yaml:"basis"`
		Vouch   string            `yaml:"vouch"`
		Commit  string            `yaml:"commit"`
		Again   bool              `yaml:"again"`
		Was     []Reference       `yaml:"was"`
		Claimed []Reference       `yaml:"claimed"`
		Vouched map[string]string `yaml:"vouched"`
		Stood   map[string]string `yaml:"stood"`
	}
	if ps := node.Decode(&l); len(ps) > 0 || l.Image.HasDigest() == (l.Left != "") || l.Image.IsZero() == (l.Left == "") {
		return Line{}, false
	}
	since, err := time.Parse(time.RFC3339, cmp.Or(l.Left, l.Since))
	return Line{Image: l.Image, Since: since, Basis: l.Basis, Vouch: l.Vouch, Commit: l.Commit, Again: l.Again, Was: l.Was, Claimed: l.Claimed,
		Vouched: vouched(l.Vouched), Stood: ages(l.Stood)}, err == nil
}

func vouched(lines map[string]string) map[Digest]string {
	by := map[Digest]string{}
	for text, commit := range lines {
		if d, err := ParseDigest(text); err == nil {
			by[d] = commit
		}
	}
	return by
}

// ages reads for how long things stood; what cannot be read did not stand.
func ages(lines map[string]string) map[Digest]time.Duration {
	stood := map[Digest]time.Duration{}
	for text, age := range lines {
		d, err := ParseDigest(text)
		if long, bad := time.ParseDuration(age); err == nil && bad == nil && long > 0 {
			stood[d] = long
		}
	}
	return stood
}
