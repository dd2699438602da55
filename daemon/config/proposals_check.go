package config

import (
	"errors"

	"github.com/poundlock/poundlock/sync/publish"
)

// Words gives the templates of proposals.
func (p Proposals) Words() publish.Words {
	return publish.Words{Branch: p.Branch, Title: p.Title, Body: p.Body, Labels: p.Labels}
}

// wordsFix says what may stand in the templates of proposals, by the key.
var wordsFix = map[string]struct{ code, fix string }{
	"branch": {"CFG082", `write a Go template that tells sets and stages apart, as in "poundlock/{{.Site}}/{{.Set}}/{{.Stage}}"`},
	"title":  {"CFG083", `write a Go template as in "[{{.Stage}}] {{.Set}}: {{.Summary}}"; it may use .Site .Set .Stage .From .Selector .Moves .Summary .By .Back`},
	"body":   {"CFG084", "write a Go template over .Site .Set .Stage .From .Selector .Moves .Summary .By .Back"},
	"labels": {"CFG085", `write short Go templates without commas, as in "stage/{{.Stage}}"`},
}

// proposals tries the templates of proposals.
func (k *checker) proposals(p Proposals, at keyPath) {
	var wrong *publish.WordsError
	if errors.As(p.Words().Check(), &wrong) {
		w := wordsFix[wrong.Part]
		k.add(at.to(wrong.Part), w.code, w.fix, "%s: %v", at.to(wrong.Part), wrong)
	}
}
