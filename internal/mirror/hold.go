package mirror

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Hold says that automation leaves a stage of a set, or one entry of it, as it is. A line that people merged is
// obeyed all the same.
type Hold struct {
	Reason string    `json:"reason" yaml:"reason"`
	By     string    `json:"by,omitempty" yaml:"by"`
	Since  time.Time `json:"since,omitzero" yaml:"since"`
}

// String gives the hold in words: held by ops@host since 2026-11-21T09:00:00Z: the reason.
func (h Hold) String() string {
	return "held" + strings.TrimPrefix(Suspension(h).String(), "suspended")
}

// Place is what a hold is about: an entry of a set at a stage, or all of them where Entry is empty.
type Place struct {
	Set   string
	Stage Stage
	Entry string
}

// String gives set/stage or set/stage/entry, as the file of holds has it.
func (p Place) String() string {
	return strings.TrimSuffix(p.Set+"/"+string(p.Stage)+"/"+p.Entry, "/")
}

// MarshalText writes String.
func (p Place) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (p *Place) UnmarshalText(b []byte) (err error) { *p, err = ParsePlace(string(b)); return err }

// ParsePlace reads set/stage or set/stage/entry. The name of an entry may hold slashes.
func ParsePlace(text string) (Place, error) {
	parts := strings.SplitN(text, "/", 3)
	if len(parts) < 2 || slices.Contains(parts, "") {
		return Place{}, fmt.Errorf("malformed place %q: want set/stage or set/stage/entry", text)
	}
	stage, err := ParseStage(parts[1])
	if err != nil {
		return Place{}, err
	}
	p := Place{Set: parts[0], Stage: stage}
	if len(parts) == 3 {
		p.Entry = parts[2]
	}
	return p, nil
}

// Holds are the places that automation leaves as they are.
type Holds map[Place]Hold

// Over gives the hold that covers an entry of a set at a stage: its own, or that of the whole stage.
func (h Holds) Over(set string, stage Stage, entry string) (Place, Hold, bool) {
	for _, p := range []Place{{set, stage, entry}, {set, stage, ""}} {
		if hold, ok := h[p]; ok {
			return p, hold, true
		}
	}
	return Place{}, Hold{}, false
}

// Sorted gives the places in order.
func (h Holds) Sorted() []Place {
	return slices.SortedFunc(maps.Keys(h), func(a, b Place) int { return strings.Compare(a.String(), b.String()) })
}

// holds is the document of what is held.
type holds struct {
	Version int  `yaml:"version,required"`
	Held    Node `yaml:"holds"`
	Where   Position
}

// ParseHolds reads what is held. A place whose line has mistakes is held all the same, and they are given as warnings.
// The problems are of a file that cannot be read as a whole, or of a name that is no place: then nobody knows what is
// held.
func ParseHolds(file string, data []byte) (held Holds, warnings, problems Problems) {
	var doc holds
	if problems = Decode(file, data, &doc); len(problems) == 0 {
		problems = CheckVersion(doc.Version, 1, doc.Where)
	}
	list := doc.Held
	if len(problems) == 0 && !list.IsZero() && !list.IsNull() && !list.IsMapping() {
		problems.Add("DOC004", list.Where(), "write it as  <set>/<stage>: {reason: ...}", "holds: want a mapping, have %s", list.kind())
	}
	held = Holds{}
	for _, key := range list.Keys() {
		place, err := ParsePlace(key)
		if err != nil {
			problems.Add("DOC004", list.KeyWhere(key), "write <set>/<stage> or <set>/<stage>/<entry>", "holds: %v", err)
			continue
		}
		var s Suspension
		line := list.Key(key)
		if text, ok := line.Text(); ok {
			s.Reason = text
		} else if mistakes := line.DecodeAs("holds."+key, &s); len(mistakes) > 0 {
			warnings = append(warnings, mistakes...)
		}
		held[place] = Hold{Reason: OneLine(s.Reason), By: OneLine(s.By), Since: s.Since}
	}
	if len(problems) > 0 {
		return nil, nil, problems
	}
	return held, warnings, nil
}

const holdsHeader = `# What automation leaves as it is. Add or remove lines by hand as you like, or use poundlock hold and release.
version: 1
`

// HoldsFile writes the document that ParseHolds reads.
func HoldsFile(held Holds) []byte {
	if len(held) == 0 {
		return []byte(holdsHeader + "holds: {}\n")
	}
	var b strings.Builder
	b.WriteString(holdsHeader + "holds:\n")
	for _, place := range held.Sorted() {
		h := held[place]
		fmt.Fprintf(&b, "  %s: {reason: %s", strconv.QuoteToGraphic(place.String()), strconv.QuoteToGraphic(h.Reason))
		if h.By != "" {
			fmt.Fprintf(&b, ", by: %s", strconv.QuoteToGraphic(h.By))
		}
		if !h.Since.IsZero() {
			fmt.Fprintf(&b, ", since: %q", h.Since.UTC().Format(time.RFC3339))
		}
		b.WriteString("}\n")
	}
	return []byte(b.String())
}
