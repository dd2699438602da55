package publish

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"github.com/poundlock/poundlock/internal/mirror"
)

// maxMoves bounds how many lines of a message name single entries.
const maxMoves = 100

// Move is one entry that stands at other content than before.
type Move struct {
	Stage mirror.Stage
	Entry string
	Old   mirror.Reference // zero: did not stand here
	New   mirror.Reference // zero: stands here no more
}

// String gives the move as a line of a commit message.
func (m Move) String() string {
	switch {
	case m.New.IsZero():
		return fmt.Sprintf("%s %s: gone, was %s", m.Stage, m.Entry, version(m.Old))
	case m.Old.IsZero():
		return fmt.Sprintf("%s %s: %s", m.Stage, m.Entry, version(m.New))
	}
	return fmt.Sprintf("%s %s: %s, was %s", m.Stage, m.Entry, version(m.New), version(m.Old))
}

func version(r mirror.Reference) string {
	return strings.TrimSpace(r.Tag + " " + mirror.Short(r.Digest))
}

// Moves lists what differs between two records of a set, by stage and entry.
func Moves(set mirror.Set, before, after mirror.Record) []Move {
	var moves []Move
	for _, stage := range set.Stages {
		entries := map[string]bool{}
		for _, s := range []mirror.Standing{before.At(stage), after.At(stage)} {
			for entry := range s {
				entries[entry] = true
			}
		}
		for _, entry := range slices.Sorted(maps.Keys(entries)) {
			if m := (Move{stage, entry, before.At(stage)[entry].Image, after.At(stage)[entry].Image}); m.Old != m.New {
				moves = append(moves, m)
			}
		}
	}
	return moves
}

// Facts are what a message is made from.
type Facts struct {
	Set   string
	Site  string
	Cycle string // id of the cycle
	Moves []Move

	Promoted []Promoted // what asked for them, above the first stage
}

// Subject says in one line what the commit does.
func (f Facts) Subject() string {
	n := map[mirror.Stage]int{}
	var stages []mirror.Stage
	for _, m := range f.Moves {
		if n[m.Stage] == 0 {
			stages = append(stages, m.Stage)
		}
		n[m.Stage]++
	}
	if len(stages) == 0 {
		return f.Set + ": render anew"
	}
	parts := make([]string, len(stages))
	for i, s := range stages {
		parts[i] = fmt.Sprintf("%d at %s", n[s], s)
	}
	return f.Set + ": " + strings.Join(parts, ", ")
}

// Shown gives the first moves, Hidden how many more there are.
func (f Facts) Shown() []Move { return f.Moves[:min(len(f.Moves), maxMoves)] }

// Hidden is the number of moves that Shown leaves out.
func (f Facts) Hidden() int { return len(f.Moves) - len(f.Shown()) }

// Message is the text/template of commit messages, over Facts; the zero value is our own.
type Message struct{ tmpl *template.Template }

var defaultMessage = template.Must(template.New("message").Parse(`{{.Subject}}

{{range .Shown}}{{.}}
{{end}}{{with .Hidden}}and {{.}} more
{{end}}`))

// Form shows how a message is written.
func (Message) Form() string {
	return `write a Go template as in "{{.Subject}}"; it may use .Set .Site .Cycle .Moves .Subject`
}

// UnmarshalText compiles a template and tries it once.
func (m *Message) UnmarshalText(b []byte) error {
	tmpl, err := template.New("message").Option("missingkey=error").Parse(string(b))
	if err != nil {
		return templateError(err)
	}
	tried := Message{tmpl}
	if _, err := tried.Text(Facts{Set: "set", Site: "site", Cycle: "id", Moves: []Move{{Stage: "stage", Entry: "entry"}}}); err != nil {
		return err
	}
	*m = tried
	return nil
}

// templateError takes off an error what only tells of Go.
func templateError(err error) error {
	text := templatePlace.ReplaceAllString(err.Error(), "")
	return errors.New("message template: " + templateType.ReplaceAllString(text, ""))
}

var (
	templatePlace = regexp.MustCompile(`^template: [^:]*:\d+(?::\d+)?: (?:executing "[^"]*" at )?`)
	templateType  = regexp.MustCompile(` in type \S+$`)
)

var (
	trailerLine = regexp.MustCompile(`^[A-Za-z0-9-]+: `)
	emptyLines  = regexp.MustCompile(`\n{3,}`)
)

// Text gives the message with the trailers, which a template can neither leave out nor forge.
func (m Message) Text(f Facts) (string, error) {
	var b strings.Builder
	if err := cmp.Or(m.tmpl, defaultMessage).Execute(&b, f); err != nil {
		return "", templateError(err)
	}
	lines := strings.Split(strings.ReplaceAll(b.String(), "\r", ""), "\n")
	lines = slices.DeleteFunc(lines, func(l string) bool {
		return isOurs(l)
	})
	text := emptyLines.ReplaceAllString(strings.TrimSpace(strings.Join(lines, "\n")), "\n\n")
	if text == "" {
		return "", errors.New("message template: gives no text")
	}
	separator := "\n\n"
	if paragraphs := strings.Split(text, "\n\n"); len(paragraphs) > 1 && isTrailers(paragraphs[len(paragraphs)-1]) {
		separator = "\n"
	}
	for _, p := range f.Promoted {
		text, separator = text+separator+p.Trailer(), "\n"
	}
	return text + separator + mirror.Trailer + ": " + strings.Join(strings.Fields(f.Cycle), "") + "\n", nil
}

// isOurs says whether a line would be read as a trailer of ours.
func isOurs(line string) bool {
	line = strings.ToLower(strings.TrimSpace(line))
	return strings.HasPrefix(line, strings.ToLower(mirror.Trailer)+":") || strings.HasPrefix(line, strings.ToLower(PromotionTrailer)+":")
}

// isTrailers says whether a paragraph is a block of trailers, which ours has to join to be read as one.
func isTrailers(paragraph string) bool {
	for line := range strings.SplitSeq(paragraph, "\n") {
		if !trailerLine.MatchString(line) {
			return false
		}
	}
	return true
}
