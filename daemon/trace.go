package daemon

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Trace is everything that is known of one thing.
type Trace struct {
	Query  string   `json:"query"`
	Commit string   `json:"commit"` // of the fleet repository
	Found  []Traced `json:"found"`
}

// Traced is one entry that a query names: from the line that asks for it to the files that carry it.
type Traced struct {
	Set    string        `json:"set"`
	Entry  string        `json:"entry"`
	As     []string      `json:"as"`             // what of it the query names
	Left   bool          `json:"left,omitempty"` // nobody asks for it any more and nothing stands: only events tell of it
	Source TracedSource  `json:"source"`
	Stages []TracedStage `json:"stages"`
	Files  []Mention     `json:"files"`
	Runs   []Run         `json:"runs"`   // newest first
	Events []Event       `json:"events"` // newest first
}

// TracedSource is the line of the fleet repository that asks for an entry.
type TracedSource struct {
	Where    mirror.Position  `json:"where"`
	Text     string           `json:"text,omitempty"` // of the line
	Image    mirror.Reference `json:"image,omitzero"`
	Replaced bool             `json:"replaced,omitempty"` // the site's own image takes the vendor's place
	BasedOn  mirror.Digest    `json:"basedOn,omitzero"`
	Vendor   mirror.Reference `json:"vendor,omitzero"`
}

// TracedStage is an entry at a stage, with how it is pulled and what stood before.
type TracedStage struct {
	Stand
	Pull     []mirror.Reference `json:"pull,omitempty"`     // local references: by digest, then by tag
	Recorded string             `json:"recorded,omitempty"` // the commit of ours that recorded what stands
	Proposal int                `json:"proposal,omitempty"` // that brought what stands; 0 for none
	Was      []mirror.Reference `json:"was,omitempty"`      // newest first
}

// Mention is a line of a rendered file.
type Mention struct {
	File string `json:"file"`
	Line int    `json:"line"`
}

// Bounds of what is shown of the past of one entry.
const (
	tracedRuns   = 10
	tracedEvents = 30
)

// Trace gives everything that is known of what a query names: an entry (also as set/entry, or its last part), a
// tag, a digest (also its first seven or more digits), or an upstream or local reference. What left is found in
// the events that are kept. The error is a mirror.Problem when nothing is named so.
func (l *Line) Trace(ctx context.Context, query string) (Trace, error) {
	g, err := l.glance(ctx)
	if err != nil {
		return Trace{}, err
	}
	rendered, err := g.rendered()
	if err != nil {
		return Trace{}, err
	}
	recordings, err := g.recordings(ctx)
	if err != nil {
		return Trace{}, err
	}
	t := Trace{Query: query, Commit: g.fleet.head, Found: []Traced{}}
	asked := parseQuery(query)
	best := noMatch
	var known []string
	for _, set := range g.fleet.desired.Sets {
		record, err := g.stands(set)
		if err != nil {
			return t, err
		}
		for _, entry := range g.entries(set, record) {
			known = append(known, set.Name+"/"+entry.Entry)
			rank, as := asked.matches(g.line.local, set, record, entry)
			if rank == noMatch || rank > best {
				continue
			}
			if rank < best { // an exact name leaves out what only resembles it
				best, t.Found = rank, []Traced{}
			}
			one := g.traced(set, record, entry, rendered, recordings)
			one.As = as
			t.Found = append(t.Found, one)
		}
	}
	if len(t.Found) == 0 {
		if t.Found, err = g.left(asked, rendered, recordings); err != nil {
			return t, err
		}
	}
	if len(t.Found) == 0 {
		return t, g.unknown(query, known)
	}
	return t, nil
}

// left finds what a query names among the events: entries that left, and content that stood for one that is still
// there.
func (g *glance) left(asked query, rendered mirror.Files, recordings map[string]recording) ([]Traced, error) {
	found, best := []Traced{}, noMatch
	seen := map[string]bool{}
	for _, event := range g.events {
		key := event.Set + "/" + event.Entry
		rank, as := asked.happened(event)
		if event.Entry == "" || rank == noMatch || rank > best || rank == best && seen[key] {
			continue
		}
		if rank < best {
			best, found = rank, []Traced{}
			clear(seen)
		}
		seen[key] = true
		one, there, err := g.here(event.Set, event.Entry, rendered, recordings)
		if err != nil {
			return nil, err
		}
		if !there {
			one = Traced{Set: event.Set, Entry: event.Entry, Left: true, Stages: []TracedStage{}, Files: []Mention{}, Source: TracedSource{Where: event.Where}}
			one.Runs, one.Events = g.past(event.Set, event.Entry)
		}
		one.As = []string{as}
		found = append(found, one)
	}
	return found, nil
}

// here gives an entry by its name; ok is false when nobody asks for it and nothing stands.
func (g *glance) here(set, entry string, rendered mirror.Files, recordings map[string]recording) (one Traced, ok bool, err error) {
	in, ok := g.fleet.desired.Set(set)
	if !ok {
		return one, false, nil
	}
	record, err := g.stands(in)
	if err != nil {
		return one, false, err
	}
	for _, e := range g.entries(in, record) {
		if e.Entry == entry {
			return g.traced(in, record, e, rendered, recordings), true, nil
		}
	}
	return one, false, nil
}

func (g *glance) unknown(query string, known []string) error {
	p := mirror.Problem{Code: "TRC001", What: mirror.Clean(fmt.Sprintf("no entry, tag, digest or reference is named %q, nor was any that is remembered", query)),
		Fix: "`poundlock get entries` lists what there is"}
	if set, ok := g.fleet.desired.Set(query); ok {
		p.What, p.Fix = mirror.Clean(fmt.Sprintf("%q is a set, not an image", query)), "`poundlock get entries --only "+set.Name+"` lists its entries"
	} else if onlyDigest(query) && parseQuery(query).digest == "" {
		p.Fix = "write at least seven digits of the digest, as `poundlock get entries` shows them"
	} else if near := nearestEntry(query, known); near != "" {
		p.Fix = fmt.Sprintf("did you mean %q?", near)
	}
	return p
}

// nearestEntry gives the entry that was probably meant, in full: by the part of its name that the query has as
// many components of.
func nearestEntry(query string, known []string) string {
	depth := strings.Count(query, "/") + 1
	whole := map[string]string{}
	for _, name := range known {
		parts := strings.Split(name, "/")
		whole[strings.Join(parts[max(0, len(parts)-depth):], "/")] = name
	}
	return whole[mirror.Nearest(query, sortedKeys(whole))]
}

// rendered gives the overrides of the site and whatever else names what stands, without the record.
func (g *glance) rendered() (mirror.Files, error) {
	files, err := g.line.renderedFiles(g.fleet, g.line.renderedDir())
	if err != nil {
		return nil, fmt.Errorf("read what is rendered: %w", err)
	}
	for _, name := range files.Under(g.line.renderedDir() + "/record") {
		delete(files, name)
	}
	return files, nil
}

func (g *glance) traced(set mirror.Set, record mirror.Record, e EntryLook, rendered mirror.Files, recordings map[string]recording) Traced {
	t := Traced{Set: e.Set, Entry: e.Entry, Stages: []TracedStage{}, Files: []Mention{},
		Source: TracedSource{Where: e.Where, Image: e.Image, Text: lineOf(g.fleet.desired.Files, e.Where)}}
	if i := slices.IndexFunc(set.Entries, func(one mirror.Entry) bool { return one.Name == e.Entry }); i >= 0 {
		one := set.Entries[i]
		t.Source.Replaced, t.Source.BasedOn, t.Source.Vendor = one.Replaced, one.BasedOn, one.Vendor
	}
	for _, stand := range e.Stages {
		s := TracedStage{Stand: stand, Was: record.Past(stand.Stage, e.Entry).Was}
		if !stand.Image.IsZero() {
			s.Pull = g.pulls(set, stand.Stage, e.Entry, stand.Image)
			s.Recorded = g.recorded(e, stand)
			if r, ok := recordings[promotionKey(set.Name, stand.Stage, stand.Commit)]; ok { // Git knows it on every machine
				s.Recorded, s.Proposal = r.step.Commit, r.promoted.Number
			}
			t.Files = mentions(t.Files, rendered, g.line.renderedDir()+"/"+set.Name+"/"+string(stand.Stage), stand.Image)
			t.Files = g.consumerMentions(t.Files, set, stand.Stage, stand.Image, rendered)
		}
		t.Stages = append(t.Stages, s)
	}
	t.Runs, t.Events = g.past(e.Set, e.Entry)
	return t
}

// past gives what is remembered of an entry, newest first.
func (g *glance) past(set, entry string) (runs []Run, events []Event) {
	runs, events = []Run{}, []Event{}
	ran := map[string]bool{}
	for _, event := range g.events {
		if event.Set == set && event.Entry == entry {
			ran[event.Run] = true
			if len(events) < tracedEvents {
				events = append(events, event)
			}
		}
	}
	for _, run := range g.runs {
		if ran[run.ID] && len(runs) < tracedRuns {
			runs = append(runs, run)
		}
	}
	return runs, events
}

// pulls gives the local references of what stands: by digest, by stage tag and, where it is written, by the
// vendor's tag.
func (g *glance) pulls(set mirror.Set, stage mirror.Stage, entry string, image mirror.Reference) []mirror.Reference {
	pointer := g.line.local.Pointer(set, stage, entry, image)
	pulls := []mirror.Reference{pointer.AtDigest(image.Digest), pointer}
	if stage == set.Stages.First() && set.Layout == mirror.LayoutTag && set.VendorTags != mirror.VendorNone && image.Tag != "" {
		pulls = append(pulls, pointer.WithTag(image.Tag))
	}
	return pulls
}

// recorded gives the commit of the run that moved the tag to what stands; "" when no run is remembered.
func (g *glance) recorded(e EntryLook, s Stand) string {
	i := slices.IndexFunc(g.events, func(event Event) bool {
		return event.Type == EventMoved && event.Set == e.Set && event.Entry == e.Entry && event.Stage == s.Stage && event.Image.Digest == s.Image.Digest
	})
	if i < 0 {
		return ""
	}
	run := g.events[i].Run
	if i := slices.IndexFunc(g.runs, func(r Run) bool { return r.ID == run }); i >= 0 {
		return g.runs[i].Commit
	}
	return ""
}

// lineOf gives the text of a line of a file; "" when it is not there.
func lineOf(files mirror.Files, where mirror.Position) string {
	lines := strings.Split(string(files[where.File]), "\n")
	if where.Line < 1 || where.Line > len(lines) {
		return ""
	}
	return strings.TrimSpace(lines[where.Line-1])
}

// mentions adds the lines of rendered files of a stage that carry the digest of an image.
func mentions(found []Mention, files mirror.Files, dir string, image mirror.Reference) []Mention {
	for _, name := range sortedKeys(files) {
		if name != dir+".yaml" && !strings.HasPrefix(name, dir+"/") && !strings.HasPrefix(name, dir+".d/") {
			continue
		}
		for i, line := range strings.Split(string(files[name]), "\n") {
			if strings.Contains(line, image.Digest.Hex) {
				found = append(found, Mention{name, i + 1})
			}
		}
	}
	return found
}
