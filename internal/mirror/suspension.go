package mirror

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Suspension says that somebody paused a set, and why.
type Suspension struct {
	Reason string    `json:"reason" yaml:"reason"`
	By     string    `json:"by,omitempty" yaml:"by"`
	Since  time.Time `json:"since,omitzero" yaml:"since"`
}

// String gives the suspension in words: suspended by ops@host since 2026-11-21T09:00:00Z: the reason.
func (s Suspension) String() string {
	text := "suspended"
	if s.By != "" {
		text += " by " + s.By
	}
	if !s.Since.IsZero() {
		text += " since " + s.Since.UTC().Format(time.RFC3339)
	}
	if s.Reason != "" {
		text += ": " + s.Reason
	}
	return text
}

// suspensions is the document of the sets that are paused.
type suspensions struct {
	Version   int  `yaml:"version,required"`
	Suspended Node `yaml:"suspended"`
	Where     Position
}

// ParseSuspensions reads which sets are paused. A set whose line has mistakes is paused all the same, and they
// are given as warnings. The problems are of a file that cannot be read as a whole: then nobody knows which
// sets are paused.
func ParseSuspensions(file string, data []byte) (paused map[string]Suspension, warnings, problems Problems) {
	var doc suspensions
	if problems = Decode(file, data, &doc); len(problems) == 0 {
		problems = CheckVersion(doc.Version, 1, doc.Where)
	}
	if list := doc.Suspended; len(problems) == 0 && !list.IsZero() && !list.IsNull() && !list.IsMapping() {
		problems.Add("DOC004", list.Where(), "write it as  <set>: {reason: ...}", "suspended: want a mapping, have %s", list.kind())
	}
	if len(problems) > 0 {
		return nil, nil, problems
	}
	paused = map[string]Suspension{}
	for _, set := range doc.Suspended.Keys() {
		var s Suspension
		line := doc.Suspended.Key(set)
		if text, ok := line.Text(); ok {
			s.Reason = text
		} else if mistakes := line.DecodeAs("suspended."+set, &s); len(mistakes) > 0 {
			warnings = append(warnings, mistakes...)
		}
		s.Reason, s.By = OneLine(s.Reason), OneLine(s.By)
		paused[set] = s
	}
	return paused, warnings, nil
}

const suspensionHeader = `# Which sets are paused. Add or remove lines by hand as you like, or use poundlock suspend and resume.
version: 1
`

// SuspensionFile writes the document that ParseSuspensions reads.
func SuspensionFile(paused map[string]Suspension) []byte {
	if len(paused) == 0 {
		return []byte(suspensionHeader + "suspended: {}\n")
	}
	var b strings.Builder
	b.WriteString(suspensionHeader + "suspended:\n")
	for _, set := range slices.Sorted(maps.Keys(paused)) {
		s := paused[set]
		fmt.Fprintf(&b, "  %q: {reason: %s", set, strconv.QuoteToGraphic(s.Reason))
		if s.By != "" {
			fmt.Fprintf(&b, ", by: %s", strconv.QuoteToGraphic(s.By))
		}
		if !s.Since.IsZero() {
			fmt.Fprintf(&b, ", since: %q", s.Since.UTC().Format(time.RFC3339))
		}
		b.WriteString("}\n")
	}
	return []byte(b.String())
}

// maxOneLine is the length in characters that OneLine leaves of a text.
const maxOneLine = 300

// OneLine makes of a text that a person gave one printable line, cut at 300 characters.
func OneLine(text string) string {
	return Shorten(Printable(strings.Join(strings.Fields(text), " ")), maxOneLine)
}
