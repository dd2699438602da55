package forge_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/forge"
	"github.com/poundlock/poundlock/testenv"
)

// writes counts the requests that change something while do runs.
func (p place) writes(do func()) int {
	n := 0
	p.host.Fail(func(r *http.Request) *testenv.Fault {
		if r.Method != http.MethodGet {
			n++
		}
		return nil
	})
	do()
	p.host.Fail(nil)
	return n
}

func TestForge_CommentIsEditedInPlace(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		made := p.propose(t, "poundlock/web")
		const marker = "poundlock:plan"
		must(t, p.host.Comment(made.Number, "ada", "<!-- "+marker+" -->\nnot yours")) // the marker alone makes it nobody's
		for _, step := range []struct {
			name, body string
			changed    bool
			writes     int
		}{
			{"the first", "plan one\n\n| a | b |", true, 1}, {"the same", "plan one\n\n| a | b |", false, 0},
			{"with other ends", "plan one\n\n| a | b |\n", false, 0}, {"another", "plan two", true, 1},
		} {
			t.Run(step.name, func(t *testing.T) {
				n := p.writes(func() {
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
		for range 120 { // a page and more
			must(t, p.host.Comment(made.Number, "bob", "chatter"))
		}
		other := "poundlock:sync"
		for _, body := range []string{"one", "two"} { // beyond the first page
			if _, err := p.Comment(t.Context(), made.Number, other, body); err != nil {
				t.Fatal(err)
			}
		}
		var ours []string
		for _, c := range p.host.Comments(made.Number) {
			if c.By == "poundlock" {
				ours = append(ours, c.Body)
			} else if strings.Contains(c.Body, "plan") && c.Body != "<!-- "+marker+" -->\nnot yours" {
				t.Errorf("somebody else's comment was edited: %q", c.Body)
			}
		}
		if want := []string{"<!-- poundlock:plan -->\nplan two", "<!-- poundlock:sync -->\ntwo"}; !slices.Equal(ours, want) {
			t.Errorf("got %q, want %q", ours, want)
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
	onEach(t, func(t *testing.T, p place) {
		made := p.propose(t, "poundlock/web")
		plan := forge.Status{Context: "poundlock/plan", Result: forge.Success, Text: "2 tags move", URL: "https://poundlock.example/page"}
		steps := []struct {
			name   string
			status forge.Status
			writes int
		}{
			{"pending", forge.Status{Context: "poundlock/plan", Result: forge.Pending, Text: "looks"}, 1},
			{"pending again", forge.Status{Context: "poundlock/plan", Result: forge.Pending, Text: "looks"}, 0},
			{"success", plan, 1}, {"success again", plan, 0},
			{"of another context", forge.Status{Context: "poundlock/policy", Result: forge.Failure, Text: strings.Repeat("long ", 100)}, 1},
			{"that one again", forge.Status{Context: "poundlock/policy", Result: forge.Failure, Text: strings.Repeat("long ", 100)}, 0},
		}
		for _, step := range steps {
			if n := p.writes(func() { must(t, p.SetStatus(t.Context(), made.HeadCommit, step.status)) }); n != step.writes {
				t.Errorf("%s: %d writes, want %d", step.name, n, step.writes)
			}
		}
		// Words alone may change, also where a forge does not let a status go from a state to itself.
		must(t, p.SetStatus(t.Context(), made.HeadCommit, forge.Status{Context: "poundlock/policy", Result: forge.Failure, Text: "short"}))
		p.host.SetStatus(made.HeadCommit, "ci", "ci/e2e", "pending")
		p.host.SetStatus(made.HeadCommit, "ci", "ci/e2e", map[bool]string{true: "failed", false: "error"}[p.host.Kind() == "gitlab"])
		p.host.SetStatus(made.HeadCommit, "ci", "ci/odd", "never-heard-of")
		got, err := p.Statuses(t.Context(), made.HeadCommit)
		must(t, err)
		want := map[string]forge.Result{"poundlock/plan": forge.Success, "poundlock/policy": forge.Failure, "ci/e2e": forge.Failure, "ci/odd": forge.Failure}
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

func TestForge_AccessNamesWhatIsMissing(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		if a, err := p.Access(t.Context()); err != nil || a.User != "poundlock" || len(a.Missing) > 0 {
			t.Fatalf("all is well: got %+v, %v", a, err)
		}
		p.host.SetRole("reader", "read")
		o := p.options
		o.Token = tokenOf(p.host, "reader")
		if a, err := dial(t, o).Access(t.Context()); err != nil || a.User != "reader" || !strings.Contains(strings.Join(a.Missing, " "), "reader") {
			t.Errorf("who may only read: got %+v, %v", a, err)
		}
		p.host.SetRole("stranger", "none")
		o.Token = tokenOf(p.host, "stranger")
		if _, err := dial(t, o).Access(t.Context()); !errors.Is(err, forge.ErrNotFound) {
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
