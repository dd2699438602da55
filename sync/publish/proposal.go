package publish

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/template"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Our own words for a proposal, where the configuration has none.
const (
	defaultBranch = "poundlock/{{.Site}}/{{.Set}}/{{.Stage}}"
	defaultTitle  = "[{{.Stage}}] {{.Set}}: {{.Summary}}"
	defaultBody   = "{{if .Back}}Takes `{{.Set}}` at `{{.Stage}}` back to what the stage file listed before." +
		"{{else}}Promotes `{{.Set}}` from `{{.From}}` to `{{.Stage}}`.{{end}} The merge is the approval."
	defaultLabel = "poundlock"
)

// Bounds of what a template gives, in characters.
const (
	maxTitle = 256
	maxBody  = 20_000
	maxLabel = 50
	maxHead  = 150 // of a branch, without what tells proposals apart
)

// ProposalFacts are what the words of a proposal are made from.
type ProposalFacts struct {
	Site     string
	Set      string
	Stage    mirror.Stage
	From     mirror.Stage // the stage below
	Selector string       // the named entries; "" for the whole set
	Moves    []Move
	By       string // who asked for it; "" for the daemon itself
	Back     bool   // it is a rollback
	Packages bool   // what moves are packages, and the stages are channels
	Frozen   string // the name under which the channel of the stage is frozen; "" for a promotion
}

// Summary says in a few words what the proposal does.
func (f ProposalFacts) Summary() string {
	what := fmt.Sprintf("%d entries", len(f.Moves))
	if len(f.Moves) == 1 {
		m := f.Moves[0]
		what = m.Entry
		if m.New.Tag != "" && !strings.HasSuffix(m.Entry, ":"+m.New.Tag) { // entries of a list are named with their tag
			what += " " + m.New.Tag
		}
	}
	if f.Back {
		return "roll back " + what
	}
	return what + " from " + string(f.From)
}

// Words are the templates of proposals (Go text/template over ProposalFacts); what is empty is our own.
type Words struct {
	Branch, Title, Body string
	Labels              []string
}

// Written is what the templates give.
type Written struct {
	Branch string // prefix of the branch
	Title  string
	Body   string
	Labels []string // sorted, each once
}

// WordsError says which of the templates is wrong: Part is branch, title, body or labels.
type WordsError struct {
	Part string
	err  error
}

func (e *WordsError) Error() string { return e.err.Error() }

// Unwrap gives what is wrong.
func (e *WordsError) Unwrap() error { return e.err }

// Write fills the templates. What comes out is bounded, and fit for its place; a WordsError says where it is not.
func (w Words) Write(f ProposalFacts) (Written, error) {
	branch, err := fill(cmp.Or(w.Branch, defaultBranch), f)
	if err == nil && (!mirror.IsBranch(branch) || len(branch) > maxHead) {
		err = fmt.Errorf("%q is no name of a branch of at most %d characters", mirror.OneLine(branch), maxHead)
	}
	if err != nil {
		return Written{}, &WordsError{"branch", err}
	}
	standard := defaultTitle
	if f.Packages && !f.Back {
		standard = "{{.PackagesTitle}}"
	}
	title, err := fill(cmp.Or(w.Title, standard), f)
	if title = mirror.Shorten(mirror.Printable(strings.Join(strings.Fields(title), " ")), maxTitle); err == nil && title == "" {
		err = errors.New("gives no text")
	}
	if err != nil {
		return Written{}, &WordsError{"title", err}
	}
	body, err := fill(cmp.Or(w.Body, defaultBody), f)
	if err != nil {
		return Written{}, &WordsError{"body", err}
	}
	written := Written{Branch: branch, Title: title, Body: mirror.Shorten(unmarked.Replace(body), maxBody)}
	labels := w.Labels
	if labels == nil {
		labels = []string{defaultLabel}
	}
	for _, one := range labels {
		label, err := fill(one, f)
		if err == nil && (label == "" || len(label) > maxLabel || strings.ContainsAny(label, ",\n\r")) {
			err = fmt.Errorf("%q is no label of at most %d characters without commas", mirror.OneLine(label), maxLabel)
		}
		if err != nil {
			return Written{}, &WordsError{"labels", err}
		}
		written.Labels = append(written.Labels, label)
	}
	slices.Sort(written.Labels)
	written.Labels = slices.Compact(written.Labels)
	return written, nil
}

// unmarked keeps a text from opening or closing a hidden comment: such a one of ours says what a proposal is.
var unmarked = strings.NewReplacer("<!--", "&lt;!--", "-->", "--&gt;")

func fill(text string, f ProposalFacts) (string, error) {
	tmpl, err := template.New("words").Option("missingkey=error").Parse(text)
	if err != nil {
		return "", wordsError(err)
	}
	var b strings.Builder
	if err := tmpl.Execute(&b, f); err != nil {
		return "", wordsError(err)
	}
	return strings.TrimSpace(b.String()), nil
}

// wordsError takes off an error what only tells of Go.
func wordsError(err error) error {
	return errors.New(templateType.ReplaceAllString(templatePlace.ReplaceAllString(err.Error(), ""), ""))
}

// Check tries the templates: each must give something, and the branch must tell sets and stages apart, since
// proposals of two stages on one branch would be one.
func (w Words) Check() error {
	facts := func(set string, stage mirror.Stage) ProposalFacts {
		return ProposalFacts{Site: "site", Set: set, Stage: stage, From: "from", Selector: "entry", By: "by", Moves: []Move{{Stage: stage, Entry: "entry"}}}
	}
	seen := map[string]bool{}
	for _, set := range []string{"one", "two"} {
		for _, stage := range []mirror.Stage{"staging", "production"} {
			written, err := w.Write(facts(set, stage))
			if err != nil {
				return err
			}
			seen[written.Branch] = true
		}
	}
	if len(seen) < 4 {
		return &WordsError{"branch", errors.New("gives two sets or stages the same branch: it needs both .Set and .Stage")}
	}
	return nil
}
