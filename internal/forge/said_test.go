package forge_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/forge"
)

func TestForge_CommentIsEditedInPlace(t *testing.T) {
	onAll(t, func(t *testing.T, p place) {
		made := p.propose(t, "poundlock/comment")
		const marker = "poundlock:plan"
		// The marker alone makes a comment nobody's.
		if changed, err := p.as(t, "ada").Comment(t.Context(), made.Number, marker, "mine"); err != nil || !changed {
			t.Fatalf("changed %t, %v", changed, err)
		}
		for _, step := range []struct {
			name, body string
			changed    bool
			writes     int64
		}{
			{"the first", "plan one\n\n| a | b |", true, 1}, {"the same", "plan one\n\n| a | b |", false, 0},
			{"with other ends", "plan one\n\n| a | b |\n", false, 0}, {"another", "plan two", true, 1},
		} {
			t.Run(step.name, func(t *testing.T) {
				n := p.wrote(func() {
					changed, err := p.Comment(t.Context(), made.Number, marker, step.body)
					if err != nil || changed != step.changed {
						t.Errorf("changed %t, %v, want %t", changed, err, step.changed)
					}
				})
				if n != step.writes {
					t.Errorf("%d writes, want %d", n, step.writes)
				}
			})
		}
		got, err := p.comments(made.Number)
		must(t, err)
		if want := []string{"<!-- poundlock:plan -->\nmine", "<!-- poundlock:plan -->\nplan two"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestForge_CommentIsFoundOnALaterPage(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		made := p.propose(t, "poundlock/web")
		for range 120 {
			must(t, p.host.Comment(made.Number, "bob", "chatter"))
		}
		for _, body := range []string{"one", "two"} {
			if _, err := p.Comment(t.Context(), made.Number, "poundlock:sync", body); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := p.comments(made.Number); err != nil || len(got) != 121 || got[120] != "<!-- poundlock:sync -->\ntwo" {
			t.Errorf("got %d comments, %v", len(got), err)
		}
	})
}

func TestForge_LongestCommentIsTaken(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		made := p.propose(t, "poundlock/web")
		for _, body := range []string{strings.Repeat("ü", p.MaxComment()), strings.Repeat("x", p.MaxComment()+50)} {
			if _, err := p.Comment(t.Context(), made.Number, strings.Repeat("m", 200), body); err != nil {
				t.Fatal(err)
			}
		}
		if all := p.host.Comments(made.Number); len(all) != 1 || !strings.HasSuffix(all[0].Body, "x…") {
			t.Errorf("got %d comments", len(all))
		}
	})
}

func TestForge_StatusIsSetOnce(t *testing.T) {
	onAll(t, func(t *testing.T, p place) {
		made := p.propose(t, "poundlock/status")
		plan := forge.Status{Context: "poundlock/plan", Result: forge.Success, Text: "2 tags move", URL: "https://poundlock.example/page"}
		steps := []struct {
			name   string
			status forge.Status
			writes int64
		}{
			{"pending", forge.Status{Context: "poundlock/plan", Result: forge.Pending, Text: "looks"}, 1},
			{"pending again", forge.Status{Context: "poundlock/plan", Result: forge.Pending, Text: "looks"}, 0},
			{"success", plan, 1}, {"success again", plan, 0},
			{"of another context", forge.Status{Context: "poundlock/policy", Result: forge.Failure, Text: strings.Repeat("long ", 100)}, 1},
			{"that one again", forge.Status{Context: "poundlock/policy", Result: forge.Failure, Text: strings.Repeat("long ", 100)}, 0},
		}
		for _, step := range steps {
			if n := p.wrote(func() { must(t, p.SetStatus(t.Context(), made.HeadCommit, step.status)) }); n != step.writes {
				t.Errorf("%s: %d writes, want %d", step.name, n, step.writes)
			}
		}
		// Words alone may change, also where a forge does not let a status go from a state to itself.
		must(t, p.SetStatus(t.Context(), made.HeadCommit, forge.Status{Context: "poundlock/policy", Result: forge.Failure, Text: "short"}))
		ci := p.as(t, "bob")
		for _, r := range []forge.Result{forge.Pending, forge.Success, forge.Failure} {
			must(t, ci.SetStatus(t.Context(), made.HeadCommit, forge.Status{Context: "ci/e2e", Result: r}))
		}
		got, err := p.Statuses(t.Context(), made.HeadCommit)
		must(t, err)
		want := map[string]forge.Result{"poundlock/plan": forge.Success, "poundlock/policy": forge.Failure, "ci/e2e": forge.Failure}
		if len(got) != len(want) || !slices.IsSortedFunc(got, func(a, b forge.Status) int { return strings.Compare(a.Context, b.Context) }) {
			t.Errorf("got %+v", got)
		}
		for _, s := range got {
			if s.Result != want[s.Context] {
				t.Errorf("%s: got %s, want %s", s.Context, s.Result, want[s.Context])
			}
			if s.Context == "poundlock/plan" && s != plan {
				t.Errorf("got %+v, want %+v", s, plan)
			}
		}
		if err := p.SetStatus(t.Context(), strings.Repeat("1", 40), plan); err == nil {
			t.Error("a status of a commit that there is not was set")
		}
	})
}

// A state that nobody here knows is no success.
func TestForge_UnknownStateIsNoSuccess(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		made := p.propose(t, "poundlock/web")
		p.host.SetStatus(made.HeadCommit, "bob", "ci/odd", "never-heard-of")
		if got, err := p.Statuses(t.Context(), made.HeadCommit); err != nil || len(got) != 1 || got[0].Result == forge.Success {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}

func TestForge_AccessLeavesNothingBehind(t *testing.T) {
	onAll(t, func(t *testing.T, p place) {
		before, err := p.Proposals(t.Context(), forge.Query{})
		must(t, err)
		if a, err := p.Access(t.Context()); err != nil || a.User != "poundlock" || len(a.Missing) > 0 {
			t.Fatalf("got %+v, %v", a, err)
		}
		after, err := p.Proposals(t.Context(), forge.Query{})
		if err != nil || len(after) != len(before) {
			t.Errorf("%d open proposals, %v, were %d", len(after), err, len(before))
		}
	})
}

func TestForge_AccessNamesWhatIsMissing(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		p.host.SetRole("reader", "read")
		if a, err := p.as(t, "reader").Access(t.Context()); err != nil || a.User != "reader" || !strings.Contains(strings.Join(a.Missing, " "), "reader") {
			t.Errorf("who may only read: got %+v, %v", a, err)
		}
		p.host.SetRole("stranger", "none")
		if _, err := p.as(t, "stranger").Access(t.Context()); !errors.Is(err, forge.ErrNotFound) {
			t.Errorf("who may not see it: got %v, want ErrNotFound", err)
		}
	})
}

func TestForge_AccessNamesScopes(t *testing.T) {
	until := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		kind    string
		scopes  []string
		missing string
	}{
		{"gitea", []string{"read:user", "write:repository", "read:issue"}, "write:issue"},
		{"gitea", []string{"read:user", "read:repository", "write:issue"}, "write:repository"},
		{"gitea", []string{"write:repository", "write:issue"}, "read:user"},
		{"gitea", []string{"read:user", "write:repository", "write:issue"}, ""},
		{"github", []string{"public_repo"}, "repo"}, {"github", []string{"repo"}, ""},
		{"gitlab", []string{"read_api"}, "api"}, {"gitlab", []string{"api"}, ""},
	} {
		t.Run(c.kind+" "+strings.Join(c.scopes, " "), func(t *testing.T) {
			p := open(t, c.kind)
			p.host.SetScopes("poundlock", until, c.scopes...)
			a, err := p.Access(t.Context())
			must(t, err)
			if got := strings.Join(a.Missing, " "); (got == "") != (c.missing == "") || !strings.Contains(got, c.missing) {
				t.Errorf("missing %q, want %q", got, c.missing)
			}
			if c.kind != "gitea" && !a.Expires.Equal(until) {
				t.Errorf("expires %s, want %s", a.Expires, until)
			}
		})
	}
}
