package plan

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Version is that of Document. It grows when a field changes its meaning or goes.
const Version = 1

// Document is a plan of several sets as programs read it, and what every other form is printed from.
type Document struct {
	Type     string    `json:"type"`               // always "plan"
	Version  int       `json:"version"`            // of this form
	Site     string    `json:"site,omitempty"`     // whose plan it is
	Registry string    `json:"registry,omitempty"` // host[:port] of the local registry, as references name it
	Git      string    `json:"git,omitempty"`      // the commit that the fleet repository is at
	AsOf     time.Time `json:"asOf,omitzero"`      // when the oldest answer of an upstream tag was given
	Offline  bool      `json:"offline,omitempty"`  // nobody was asked anything
	Totals   Totals    `json:"totals"`
	Plans    []Set     `json:"plans"`
	Orphans  []Orphan  `json:"orphans,omitempty"` // sets that nobody asks for any more

	// Folder is the folder of the fleet repository inside its Git repository, for places that CI shows.
	Folder string `json:"-"`
	// Age is how long before the plan the answer of AsOf was given.
	Age time.Duration `json:"-"`
}

// Orphan is a set or a consumer that desired/ does not have any more and that a sync leaves as it is.
type Orphan struct {
	Set      string `json:"set,omitempty"`
	Consumer string `json:"consumer,omitempty"`
	Folder   string `json:"folder"` // of its files in the fleet repository
}

// Set is the plan of one set.
type Set struct {
	Commit  string `json:"commit"`
	Set     string `json:"set"`
	Actions []Row  `json:"actions"`

	Suspended *mirror.Suspension `json:"suspended,omitempty"` // nothing is done for it until it is resumed
}

// Row is one action, with what mends it where it cannot be done.
type Row struct {
	mirror.Action
	Fix   string `json:"fix,omitempty"`
	Waits bool   `json:"waits,omitempty"` // of a refusal: for time, people or checks, and not for a change of an input
}

// Totals count actions by what becomes of them. Bytes count each blob once.
type Totals struct {
	Fetch        int   `json:"fetch,omitempty"` // packages whose bytes were not seen yet
	Copy         int   `json:"copy"`
	BytesToCopy  int64 `json:"bytesToCopy"`  // of blobs that are to come
	BytesHere    int64 `json:"bytesHere"`    // of blobs that the local registry has already
	SizesUnknown int   `json:"sizesUnknown"` // copies whose size could not be learnt, or was not asked
	Move         int   `json:"move"`         // tags
	Record       int   `json:"record"`       // tags that stand and are not recorded yet
	Drop         int   `json:"drop"`         // entries that are no longer asked for
	Files        int   `json:"files"`        // files below rendered/ that change
	Kept         int   `json:"kept"`         // folders of overrides that wait for something refused
	Refused      int   `json:"refused"`
	Waiting      int   `json:"waiting"` // for time, people or checks
	Held         int   `json:"held"`    // wait for others of a set that moves together
	Missing      int   `json:"missing"` // upstream has no such thing
	Failed       int   `json:"failed"`
	Unknown      int   `json:"unknown"` // could not be found out offline
	Skipped      int   `json:"skipped"` // left out by whoever asked
	Unchanged    int   `json:"unchanged"`
	AsBefore     int   `json:"asBefore"`   // of those refused, missing or kept: as the last run found them
	Exceptions   int   `json:"exceptions"` // of those copied, moved or unchanged: an exception admits them
	Warned       int   `json:"warned"`     // of the same: policy warns of them
	NoLonger     int   `json:"noLonger"`   // of those refused: they stand, and are admitted no longer
}

// Sizes are the bytes of all copies of a plan together, each blob counted once.
type Sizes struct{ ToCopy, Here int64 }

// NewDocument gives the document of some plans.
func NewDocument(sizes Sizes, plans ...mirror.Plan) Document {
	d := Document{Type: "plan", Version: Version, Plans: make([]Set, 0, len(plans))}
	d.Totals.BytesToCopy, d.Totals.BytesHere = sizes.ToCopy, sizes.Here
	for _, p := range plans {
		set := Set{Commit: p.Commit, Set: p.Set, Actions: make([]Row, 0, len(p.Actions))}
		for _, a := range p.Actions {
			set.Actions = append(set.Actions, Row{a, Fix(a), waits(a)})
			d.Totals.add(a)
		}
		d.Plans = append(d.Plans, set)
	}
	return d
}

func (t *Totals) add(a mirror.Action) {
	switch {
	case a.Kind == mirror.Fetch:
		t.Fetch++
	case a.Kind == mirror.Copy:
		t.Copy++
		if a.Size == (mirror.Size{}) || a.Size.Unknown != "" {
			t.SizesUnknown++
		}
	case a.Kind == mirror.Tag && a.Old == a.New:
		t.Record++
	case a.Kind == mirror.Tag:
		t.Move++
	case a.Kind == mirror.Render:
		t.Files++
	case a.Kind == mirror.Drop:
		t.Drop++
	case a.Path != "" && a.Kind != mirror.Skip:
		t.Kept++
	case a.Kind == mirror.Refuse && (a.Reason.Code == mirror.Held || a.Reason.Code == mirror.NotWhole):
		t.Held++
	case waits(a):
		t.Waiting++
	case a.Kind == mirror.Refuse:
		t.Refused++
	case a.Kind == mirror.Missing:
		t.Missing++
	case a.Kind == mirror.Failed && a.Reason.Code == mirror.Offline:
		t.Unknown++
	case a.Kind == mirror.Failed:
		t.Failed++
	case a.Kind == mirror.Skip:
		t.Skipped++
	default:
		t.Unchanged++
	}
	if a.AsBefore && a.Kind != mirror.Unchanged {
		t.AsBefore++
	}
	if a.Outcome == mirror.OutcomeException {
		t.Exceptions++
	}
	if len(a.Warnings) > 0 {
		t.Warned++
	}
	if a.Stands {
		t.NoLonger++
	}
}

// waits says whether an action is refused only until time passes, or people or checks open a gate.
func waits(a mirror.Action) bool {
	return a.Kind == mirror.Refuse && a.Path == "" && a.Reason.Waits()
}

// Changes says whether a sync would change anything: fetch, copy, move a tag, record or commit.
func (t Totals) Changes() bool { return t.Fetch+t.Copy+t.Move+t.Record+t.Drop+t.Files > 0 }

// Quiet says whether there is nothing to do and nothing that was not so at the last run.
func (t Totals) Quiet() bool {
	return !t.Changes() && t.Failed+t.Unknown+t.Skipped == 0 && t.Refused+t.Waiting+t.Held+t.Missing+t.Kept == t.AsBefore
}

// Summary counts the actions in one sentence.
func (t Totals) Summary() string { return "Plan: " + t.Counts() + "." }

// Counts counts the actions.
func (t Totals) Counts() string {
	var parts []string
	add := func(n int, one, many string) {
		if n > 0 {
			parts = append(parts, count(n, one, many))
		}
	}
	add(t.Fetch, "to fetch", "to fetch")
	if t.Copy > 0 {
		parts = append(parts, count(t.Copy, "to copy", "to copy")+t.bytes())
	}
	add(t.Move, "tag to move", "tags to move")
	add(t.Record, "to record", "to record")
	add(t.Drop, "no longer asked for", "no longer asked for")
	add(t.Files, "file to change", "files to change")
	add(t.Kept, "override kept as it was", "overrides kept as they were")
	add(t.Refused, "refused", "refused")
	add(t.Waiting, "waiting", "waiting")
	add(t.Held, "held", "held")
	add(t.Missing, "missing upstream", "missing upstream")
	add(t.Failed, "failed", "failed")
	add(t.Unknown, "unknown, offline", "unknown, offline")
	add(t.Skipped, "not selected", "not selected")
	parts = append(parts, count(t.Unchanged, "unchanged", "unchanged"))
	return strings.Join(parts, ", ") + t.apart("; of these ")
}

// apart counts, of what is counted already, that which policy has more to say of than yes or no; "" where that is
// nothing.
func (t Totals) apart(before string) string {
	var parts []string
	for _, one := range []struct {
		n    int
		word string
	}{{t.Exceptions, "by exception"}, {t.Warned, "with a warning"}, {t.NoLonger, "standing here and admitted no longer"}} {
		if one.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", one.n, one.word))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return before + strings.Join(parts, ", ")
}

// bytes gives the sizes of what is to copy in brackets; nothing where nobody looked. Signatures and what else
// hangs on an image are found by the copy itself.
func (t Totals) bytes() string {
	switch {
	case t.SizesUnknown == t.Copy && t.BytesToCopy+t.BytesHere == 0:
		return ""
	case t.SizesUnknown > 0:
		return fmt.Sprintf(" (%s without signatures, %s already here, %s unknown)", Bytes(t.BytesToCopy), Bytes(t.BytesHere), count(t.SizesUnknown, "size", "sizes"))
	}
	return fmt.Sprintf(" (%s without signatures, %s already here)", Bytes(t.BytesToCopy), Bytes(t.BytesHere))
}

// nothing is the sentence for a plan that is Quiet. listed says that what was so before is shown above it.
func (d Document) nothing(listed bool) string {
	var parts []string
	for _, one := range []struct {
		n    int
		word string
	}{{d.Totals.Refused, "refused"}, {d.Totals.Waiting, "waiting"}, {d.Totals.Held, "held"}, {d.Totals.Missing, "missing upstream"}} {
		if one.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", one.n, one.word))
		}
	}
	said := ""
	if len(parts) > 0 {
		how := "listed with -v"
		if listed {
			how = "as before"
		}
		said = " (" + strings.Join(parts, ", ") + ", " + how + ")"
	}
	said += d.Totals.apart("; ")
	if d.Git == "" {
		return "No changes" + said + "."
	}
	return fmt.Sprintf("No changes. Git %s matches %s%s.", d.Git[:min(7, len(d.Git))], cmp.Or(d.Registry, "the local registry"), said)
}

// last is the sentence that a plan ends with.
func (d Document) last(listed bool) string {
	text := d.Totals.Summary()
	if d.Totals.Quiet() {
		text = d.nothing(listed)
	}
	if d.Age > time.Second {
		text += " Upstream tags as of " + Age(d.Age) + " ago."
	}
	return text
}

// notes are sentences about whole sets.
func (d Document) notes() []string {
	var notes []string
	for _, p := range d.Plans {
		if p.Suspended != nil {
			notes = append(notes, p.suspended())
		}
	}
	for _, o := range d.Orphans {
		notes = append(notes, o.note())
	}
	return notes
}

func (p Set) suspended() string { return "set " + p.Set + " is " + p.Suspended.String() }

func (o Orphan) note() string {
	if o.Consumer != "" {
		return fmt.Sprintf("consumer %s is not asked for any more: what was rendered for it stays; delete %s when no node or cluster reads it", o.Consumer, o.Folder)
	}
	return fmt.Sprintf("set %s is not asked for any more: what was mirrored and rendered of it stays; delete %s when no consumer reads it", o.Set, o.Folder)
}

// Age writes how long ago something was in one unit, as in 4m.
func Age(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", max(0, int(d.Seconds())))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

func count(n int, one, many string) string {
	if n == 1 {
		many = one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// Bytes writes a number of bytes for people, in units of 1024.
func Bytes(n int64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	size, unit := float64(n)/1024, 0
	for size >= 1023.95 && unit < len(units)-1 {
		size, unit = size/1024, unit+1
	}
	return fmt.Sprintf("%.1f %ciB", size, units[unit])
}
