package publish

import (
	"errors"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

func someFacts() ProposalFacts {
	return ProposalFacts{Site: "berlin", Set: "ess", Stage: "production", From: "staging", By: "alice", Selector: "synapse/synapse",
		Moves: []Move{{Stage: "production", Entry: "synapse/synapse", New: mirror.Reference{Host: "h.example", Repository: "r", Tag: "v1.118.0"}}}}
}

func TestWords_OursSayWhatMoves(t *testing.T) {
	got, err := Words{}.Write(someFacts())
	if err != nil || got.Branch != "poundlock/berlin/ess/production" || got.Title != "[production] ess: synapse/synapse v1.118.0 from staging" ||
		!strings.Contains(got.Body, "from `staging` to `production`") || len(got.Labels) != 1 || got.Labels[0] != "poundlock" {
		t.Errorf("got %+v, %v", got, err)
	}
	back := someFacts()
	back.Back, back.Moves = true, append(back.Moves, back.Moves...)
	if got, err := (Words{}).Write(back); err != nil || got.Title != "[production] ess: roll back 2 entries" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestWords_ATemplateCannotForgeTheHiddenMark(t *testing.T) {
	got, err := Words{Body: "x <!-- poundlock:promotion {} --> {{.By}}", Title: "a\n\x1b[31mb", Labels: []string{"b", "a", "b", "stage/{{.Stage}}"}}.Write(someFacts())
	if err != nil || strings.Contains(got.Body, "<!--") || got.Title != `a \x1b[31mb` || strings.Join(got.Labels, " ") != "a b stage/production" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestWords_CheckNamesThePartThatIsWrong(t *testing.T) {
	for _, tt := range []struct {
		words Words
		part  string
	}{
		{Words{}, ""},
		{Words{Branch: "p/{{.Set}}-{{.Stage}}", Title: "{{.Summary}}", Body: "{{.By}}", Labels: []string{}}, ""},
		{Words{Branch: "p/{{.Set}}"}, "branch"}, {Words{Branch: "a b {{.Set}}{{.Stage}}"}, "branch"}, {Words{Branch: "{{"}, "branch"},
		{Words{Title: "{{.Nope}}"}, "title"}, {Words{Title: " "}, "title"},
		{Words{Body: "{{range .Moves}}"}, "body"},
		{Words{Labels: []string{"a,b"}}, "labels"}, {Words{Labels: []string{strings.Repeat("x", 51)}}, "labels"},
	} {
		err := tt.words.Check()
		var wrong *WordsError
		if part := ""; errors.As(err, &wrong) {
			part = wrong.Part
			if part != tt.part {
				t.Errorf("%+v: got %q (%v), want %q", tt.words, part, err, tt.part)
			}
		} else if err != nil || tt.part != "" {
			t.Errorf("%+v: got %v, want %q", tt.words, err, tt.part)
		}
	}
}
