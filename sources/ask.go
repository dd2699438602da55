package sources

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Upstream is what a source that has to be asked may read.
type Upstream interface {
	mirror.Content
	// Tags lists the tags of a repository, in no promised order. A repository that is not there is mirror.ErrNotFound.
	Tags(ctx context.Context, repository mirror.Reference) ([]string, error)
	// Get reads what lies at an http or https address, at most limit bytes; larger is mirror.ErrTooLarge.
	Get(ctx context.Context, url string, limit int64) ([]byte, error)
	Packages
}

// Past is what is remembered of an upstream.
type Past interface {
	// FirstSeen says when a digest was seen first; a digest that never was is seen now.
	FirstSeen(d mirror.Digest) time.Time
	// Listed gives what the last answer named for an entry, before selection; false where it had no such entry.
	Listed(entry string) (mirror.Reference, bool)
	// Created says when content was made, as it says itself; false where nobody read that yet.
	Created(d mirror.Digest) (time.Time, bool)
	// Before gives the last answer that was taken, to whatever question; the zero Listing where there is none.
	Before() Listing
}

// asker asks upstream what there is. Its listing has entries, origin and made; a failure is an error, an empty answer is
// one, too. What names a fix for people is a mirror.Problem.
type asker func(ctx context.Context, up Upstream, past Past, at time.Time) (listing, error)

// shrink is the option that every source has which is asked: whether an answer may be much smaller than the one before.
type shrink string

// UnmarshalText accepts refuse and allow.
func (s *shrink) UnmarshalText(b []byte) error {
	switch *s = shrink(b); *s {
	case "refuse", "allow":
		return nil
	}
	return mirror.UnknownWord{Kind: "shrink", Word: string(b), Known: []string{"refuse", "allow"}}
}

// Listing is what an upstream answered: the entries of a source before selection. As JSON it can be kept.
type Listing struct {
	Question mirror.Digest     `json:"question"` // what was asked
	Entries  []Listed          `json:"entries"`
	Origin   mirror.Digest     `json:"origin"` // the version of what upstream has
	Made     []mirror.Artifact `json:"made,omitempty"`
	Again    time.Time         `json:"again,omitzero"` // when time alone changes the answer, such as what is too young yet
	// Created is when content was made, of what was read for it.
	Created map[mirror.Digest]time.Time `json:"created,omitempty"`
	// Versions are those of the files that the answer was read from, by address.
	Versions map[string]Version `json:"versions,omitempty"`
	Left     []Left             `json:"left,omitempty"` // what was passed over, sorted by entry
}

// Listed is one entry that an upstream named.
type Listed struct {
	Name  string           `json:"name"`
	Image mirror.Reference `json:"image"`
	// Package says where the bytes of a package are; zero for what lies in a registry.
	Package mirror.PackageAt `json:"package,omitzero"`
}

// Print identifies what a listing says, whatever it was asked for.
func (l Listing) Print() mirror.Digest {
	b, err := json.Marshal(struct {
		Entries []Listed
		Origin  mirror.Digest
	}{l.Entries, l.Origin})
	if err != nil {
		return mirror.Digest{} // names and references can be written
	}
	return mirror.DigestOf(b)
}

// Limits of what one question may bring.
const (
	maxListed   = 5000     // entries
	maxPackages = 60_000   // of them, where they are packages, of which many versions stay
	maxMade     = 32 << 20 // bytes of content that was made from the answer
)

// Ask asks the upstream of a set that Read said is asked. Nothing of an answer that is empty, or larger than what can be
// kept, is taken. files are those that the set was read from.
func Ask(ctx context.Context, set mirror.Set, files mirror.Files, up Upstream, past Past, at time.Time) (Listing, error) {
	read, ok := kinds[set.Source.Kind]
	if !ok {
		return Listing{}, fmt.Errorf("unknown source kind %q", set.Source.Kind)
	}
	l, ps := read(set, files)
	if len(ps) > 0 {
		return Listing{}, ps
	}
	if l.ask == nil {
		return Listing{}, fmt.Errorf("source kind %s is not asked", set.Source.Kind)
	}
	answer, err := l.ask(ctx, up, past, at)
	if err != nil {
		return Listing{}, err
	}
	if err := bounded(set, answer); err != nil {
		return Listing{}, err
	}
	return answer.kept(questionOf(set, l)), nil
}

// kept gives a listing in the form in which it can be kept.
func (l listing) kept(question mirror.Digest) Listing {
	answer := Listing{Question: question, Origin: l.origin, Made: l.made, Again: l.again, Created: l.created, Versions: l.versions, Left: l.left}
	for _, e := range l.entries {
		answer.Entries = append(answer.Entries, Listed{Name: e.Name, Image: e.Image, Package: e.Package})
	}
	slices.SortFunc(answer.Entries, func(a, b Listed) int { return strings.Compare(a.Name, b.Name) })
	return answer
}

// bounded refuses an answer that says nothing, or too much, or one thing twice.
func bounded(set mirror.Set, l listing) error {
	p := mirror.Problem{Where: set.At("source")}
	size, seen, most := 0, map[string]bool{}, maxListed
	if l.packages {
		most = maxPackages
	}
	for _, m := range l.made {
		for _, blob := range m.Blobs {
			size += len(blob)
		}
	}
	for _, e := range l.entries {
		if seen[e.Name] {
			p.Code, p.What, p.Fix = "SRC007", fmt.Sprintf("upstream names %s twice", mirror.OneLine(e.Name)), "narrow what is asked for"
			return p
		}
		seen[e.Name] = true
	}
	switch {
	case len(l.entries) == 0:
		p.Code, p.What, p.Fix = "SRC006", "upstream answers that there is nothing", "see whether the source still names what is meant, or the filters match nothing; what stands stays meanwhile"
		return p
	case len(l.entries) > most:
		p.Code, p.What, p.Fix = "SRC007", fmt.Sprintf("upstream names %d entries, more than %d", len(l.entries), most), "narrow what is asked for"
		return p
	case size > maxMade:
		p.Code, p.What, p.Fix = "SRC007", fmt.Sprintf("upstream brings %d MiB of charts, more than %d", size>>20, maxMade>>20), "narrow what is asked for"
		return p
	}
	return nil
}

// few is the length of a list below which it changes too much by itself.
const few = 4

// Shrinks refuses an answer that has less than half of the entries of the one before, to the same question: an upstream
// that lost them most likely has trouble. An edit of the source is another question.
func Shrinks(set mirror.Set, before, now Listing) error {
	allowed, _ := set.Source.Node.Key("shrink").Text()
	if len(before.Entries) < few || 2*len(now.Entries) >= len(before.Entries) || before.Question != now.Question || allowed == "allow" {
		return nil
	}
	return mirror.Problem{Code: "SRC008", Where: set.At("source"),
		What: fmt.Sprintf("upstream names %d entries, where it named %d before", len(now.Entries), len(before.Entries)),
		Why:  "an upstream that has trouble answers like this, so what was listed before stays",
		Fix:  "if that is meant write shrink: allow below source"}
}

// maxProbed is how many entries of one answer are asked for at most, before it is taken or before it is not.
const maxProbed = 16

// Replaces refuses an answer to the same question as before that lets more than half of the entries go for others which
// upstream does not hold: they would leave what stands, and nothing would come instead. As many of the new ones as lack to that
// half are asked for, at most maxProbed; where few were listed, or where it may shrink, one is enough. Entries of which the content was made
// are here already.
func Replaces(ctx context.Context, set mirror.Set, before, now Listing, up Upstream) error {
	if len(before.Entries) == 0 || before.Question != now.Question {
		return nil
	}
	was := map[string]bool{}
	for _, e := range before.Entries {
		was[e.Name] = true
	}
	stay := 0
	var others []Listed
	for _, e := range now.Entries {
		if was[e.Name] {
			stay++
		} else {
			others = append(others, e)
		}
	}
	want := (len(before.Entries) + 1) / 2
	if allowed, _ := set.Source.Node.Key("shrink").Text(); allowed == "allow" || len(before.Entries) < few {
		want = 1
	}
	want = min(want-stay, maxProbed)
	lacking := mirror.Reference{}
	for held, gone := 0, 0; held < want; {
		if len(others) == 0 || gone > maxProbed {
			return mirror.Problem{Code: "SRC008", Where: set.At("source"),
				What: fmt.Sprintf("upstream names %d of the %d entries that it named before, and does not hold what it names instead, such as %s", stay, len(before.Entries), lacking),
				Why:  "what was listed before would leave, and nothing would come in its place: it stays",
				Fix:  "see whether upstream holds what it names; it is asked again"}
		}
		e := others[0]
		others = others[1:]
		held++
		if slices.ContainsFunc(now.Made, func(a mirror.Artifact) bool { return a.Image.Name() == e.Image.Name() }) {
			continue
		}
		switch err := holds(ctx, up, e); {
		case errors.Is(err, mirror.ErrNotFound):
			held, gone, lacking = held-1, gone+1, e.Image
		case err != nil:
			return fmt.Errorf("ask for %s, which is listed anew: %w", e.Image, err)
		}
	}
	return nil
}

// Take fills the entries of a set that Read said is asked from an answer, with selection and replacements applied. With
// problems the set is left as it was.
func Take(set *mirror.Set, l Listing) mirror.Problems {
	own := ownEntries(*set)
	entries, ps := choose(*set, append(own, told(*set, l.Entries)...))
	if len(ps) > 0 {
		return ps
	}
	if !set.Packages {
		set.Made = l.Made
	}
	set.Entries, set.Origin, set.Answer = entries, l.Origin, l.Print()
	return nil
}

// Forget gives a set that is asked back what it has without an answer: what the fleet repository itself names.
func Forget(set *mirror.Set) {
	if !set.Packages {
		set.Made = nil
	}
	set.Answer = mirror.Digest{}
	set.Entries, _ = choose(*set, ownEntries(*set)) // what matches nothing is told of the answer
}

// Stay fills the entries of a set that Read said is asked with what stands for it, while no answer can be had or taken:
// beside the entries that it has already what is at its first stage. Nothing of it leaves, and no upstream has to be
// asked what it is.
func Stay(set *mirror.Set, record mirror.Record) {
	standing := record.At(set.Stages.First())
	var stays []Listed
	for entry, line := range standing {
		if !slices.ContainsFunc(set.Entries, func(e mirror.Entry) bool { return e.Name == entry }) {
			stays = append(stays, Listed{Name: entry, Image: line.Image})
		}
	}
	entries, _ := choose(*set, told(*set, stays)) // that a pattern or a key matches nothing is told of the answer
	for i, e := range entries {
		if e.Replaced { // what the vendor ships is not known: it is taken to be as it was
			entries[i].Vendor = e.Image.WithDigest(e.BasedOn)
		}
	}
	set.Entries = append(slices.Clone(set.Entries), entries...)
	slices.SortFunc(set.Entries, func(a, b mirror.Entry) int { return strings.Compare(a.Name, b.Name) })
}

// told gives what an upstream named as entries: no reviewed file names their digests.
func told(set mirror.Set, all []Listed) []mirror.Entry {
	entries := make([]mirror.Entry, len(all))
	for i, e := range all {
		entries[i] = mirror.Entry{Name: e.Name, Image: e.Image, Where: set.At("source"), Told: true, Package: e.Package}
	}
	return entries
}

// questionOf identifies what a set asks its upstream: its source, and the files that this names.
func questionOf(set mirror.Set, l listing) mirror.Digest {
	var b strings.Builder
	write(&b, set.Source.Node)
	b.WriteString(l.origin.String())
	return mirror.DigestOf([]byte(b.String()))
}

// write puts a part of a document into one spelling. What only says how an answer is taken is no part of a question.
func write(b *strings.Builder, n mirror.Node) {
	switch text, ok := n.Text(); {
	case ok:
		b.WriteString(strconv.Quote(text))
	case n.IsMapping():
		for _, key := range n.Keys() {
			if key != "shrink" {
				b.WriteString("{" + strconv.Quote(key) + ":")
				write(b, n.Key(key))
				b.WriteString("}")
			}
		}
	default:
		for _, item := range n.Items() {
			b.WriteString("[")
			write(b, item)
			b.WriteString("]")
		}
	}
}
