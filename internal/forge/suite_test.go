package forge_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/forge"
	"github.com/poundlock/poundlock/testenv"
)

// place is a forge of one kind with an empty fleet repository, and we who speak to it.
type place struct {
	forge.Forge
	host    *testenv.Forge
	options forge.Options
	clock   *clock
}

// clock goes on by a second whenever somebody looks at it.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(time.Second)
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

var kinds = []string{"gitea", "github", "gitlab"}

// onEach runs a test on every kind of forge.
func onEach(t *testing.T, test func(t *testing.T, p place)) {
	t.Helper()
	if known := forge.Kinds(); !slices.Equal(known, kinds) {
		t.Fatalf("the suite runs over %v, known are %v", kinds, known)
	}
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) { test(t, open(t, kind)) })
	}
}

func open(t *testing.T, kind string) place {
	t.Helper()
	git, err := testenv.NewGit(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(git.Close)
	clock := &clock{at: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	git.Now = clock.now
	if _, err := git.Commit(t.Context(), "Begin", map[string]string{"desired/web.yaml": "version: 1\n"}); err != nil {
		t.Fatal(err)
	}
	host, err := testenv.NewForge(git, kind)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(host.Stop)
	for _, name := range []string{"ada", "bob"} {
		host.AddUser(name, false)
	}
	p := place{host: host, clock: clock, options: forge.Options{Kind: kind, URL: host.URL(), Repository: host.Repository(), Branch: "main",
		HTTP: http.DefaultTransport, Now: clock.now, Token: tokenOf(host, "poundlock")}}
	p.Forge = dial(t, p.options)
	return p
}

func dial(t *testing.T, o forge.Options) forge.Forge {
	t.Helper()
	f, err := forge.Dial(o)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func tokenOf(host *testenv.Forge, user string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return host.Token(user), nil }
}

// push commits a file to a branch.
func (p place) push(t *testing.T, branch, text string) string {
	t.Helper()
	commit, err := p.host.Push(branch, "Change it", map[string]string{"stages/" + strings.NewReplacer("/", "-", ":", "-").Replace(branch) + ".yaml": text})
	if err != nil {
		t.Fatal(err)
	}
	return commit
}

// propose pushes a branch and opens a proposal of it.
func (p place) propose(t *testing.T, branch string) forge.Proposal {
	t.Helper()
	p.push(t, branch, "a: 1\n")
	made, err := p.Propose(t.Context(), forge.New{Head: branch, Base: "main", Title: "[production] web: 1.2", Body: "moves\n\n- web"})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestForge_ProposalLivesFromOpenToDeclined(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		head := p.push(t, "poundlock/web", "a: 1\n")
		n := forge.New{Head: "poundlock/web", Base: "main", Title: "[production] web: 1.2", Body: "moves\n\n- web", Labels: []string{"stage/production", "poundlock"}}
		made, err := p.Propose(t.Context(), n)
		must(t, err)
		if made.State != forge.Open || made.Title != n.Title || made.Body != n.Body || made.Author != "poundlock" || made.Head != n.Head || made.Base != "main" ||
			made.HeadCommit != head || made.Foreign || made.Draft || made.URL == "" || made.Created.IsZero() || made.MergeCommit != "" || !made.Ended.IsZero() {
			t.Errorf("got %+v", made)
		}
		if want := []string{"poundlock", "stage/production"}; !slices.Equal(made.Labels, want) {
			t.Errorf("labels %v, want %v", made.Labels, want)
		}
		if got, err := p.Proposal(t.Context(), made.Number); err != nil || got.Title != n.Title || got.HeadCommit != head {
			t.Errorf("got %+v, %v", got, err)
		}
		if _, err := p.Propose(t.Context(), n); !errors.Is(err, forge.ErrExists) {
			t.Errorf("a second one of the branch: got %v, want ErrExists", err)
		}
		title, body := "[production] web: 1.3", "other moves"
		must(t, p.Change(t.Context(), made.Number, forge.Change{Title: &title}))
		must(t, p.Change(t.Context(), made.Number, forge.Change{Body: &body, Labels: []string{"poundlock"}}))
		if got, err := p.Proposal(t.Context(), made.Number); err != nil || got.Title != title || got.Body != body || !slices.Equal(got.Labels, []string{"poundlock"}) {
			t.Errorf("after edits: got %+v, %v", got, err)
		}
		must(t, p.Close(t.Context(), made.Number))
		got, err := p.Proposal(t.Context(), made.Number)
		if err != nil || got.State != forge.Declined || got.Ended.IsZero() || got.MergeCommit != "" || got.Title != title {
			t.Errorf("closed: got %+v, %v", got, err)
		}
	})
}

func TestForge_ListsWhatAQueryAsksFor(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		old := p.propose(t, "old")
		must(t, p.Close(t.Context(), old.Number))
		p.clock.pass(time.Hour)
		since := p.clock.now()
		var opened []int
		for i := range 53 { // more than a page of Gitea
			opened = append(opened, p.propose(t, fmt.Sprintf("branch-%d", i)).Number)
		}
		must(t, p.Close(t.Context(), opened[7]))
		_, err := p.host.Merge(opened[9], "ada", "merge")
		must(t, err)
		p.push(t, "other", "x: 1\n")
		elsewhere, err := p.host.Open(testenv.Opening{By: "ada", Head: "other", Base: "branch-0", Title: "onto another branch"})
		must(t, err)
		for _, c := range []struct {
			name string
			q    forge.Query
			want int
			not  []int
		}{
			{"open ones", forge.Query{Base: "main"}, 51, []int{old.Number, opened[7], opened[9], elsewhere}},
			{"with those that are over", forge.Query{Base: "main", Since: since}, 53, []int{old.Number, elsewhere}},
			{"of all times", forge.Query{Base: "main", Since: time.Unix(1, 0)}, 54, []int{elsewhere}},
			{"of one branch", forge.Query{Base: "main", Head: "branch-3"}, 1, opened[:3]},
			{"of one branch that was declined", forge.Query{Base: "main", Head: "branch-7", Since: since}, 1, opened[:3]},
			{"of no branch", forge.Query{Base: "main", Head: "nothing", Since: since}, 0, nil},
		} {
			t.Run(c.name, func(t *testing.T) {
				got, err := p.Proposals(t.Context(), c.q)
				must(t, err)
				if len(got) != c.want || !slices.IsSortedFunc(got, func(a, b forge.Proposal) int { return b.Number - a.Number }) {
					t.Errorf("got %d, want %d, newest first: %v", len(got), c.want, got)
				}
				for _, g := range got {
					if slices.Contains(c.not, g.Number) {
						t.Errorf("number %d is listed: %+v", g.Number, g)
					}
				}
			})
		}
	})
}

func TestForge_KnowsWhichProposalBroughtACommit(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		for _, method := range []string{"merge", "squash", "rebase"} {
			made := p.propose(t, "by-"+method)
			commit, err := p.host.Merge(made.Number, "ada", method)
			must(t, err)
			got, err := p.By(t.Context(), commit)
			if err != nil || got.Number != made.Number || got.State != forge.Merged || got.MergeCommit != commit || got.MergedBy != "ada" || got.Ended.IsZero() || got.Author != "poundlock" {
				t.Errorf("%s: got %+v, %v", method, got, err)
			}
		}
		direct := p.push(t, "main", "b: 1\n")
		for _, commit := range []string{direct, strings.Repeat("0", 39) + "1"} {
			if got, err := p.By(t.Context(), commit); !errors.Is(err, forge.ErrNotFound) {
				t.Errorf("%s: got %+v, %v, want ErrNotFound", commit, got, err)
			}
		}
		open := p.propose(t, "still-open")
		if got, err := p.By(t.Context(), open.HeadCommit); !errors.Is(err, forge.ErrNotFound) {
			t.Errorf("the head of one that is open: got %+v, %v, want ErrNotFound", got, err)
		}
		if _, err := p.Proposal(t.Context(), 999); !errors.Is(err, forge.ErrNotFound) {
			t.Errorf("a number that there is not: got %v, want ErrNotFound", err)
		}
	})
}

// A merge onto another branch than the one that counts brought nothing.
func TestForge_MergeOntoAnotherBranchBroughtNothing(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		p.push(t, "side", "a: 1\n")
		p.push(t, "work", "b: 1\n")
		n, err := p.host.Open(testenv.Opening{By: "ada", Head: "work", Base: "side", Title: "onto side"})
		must(t, err)
		commit, err := p.host.Merge(n, "bob", "merge")
		must(t, err)
		if got, err := p.By(t.Context(), commit); !errors.Is(err, forge.ErrNotFound) {
			t.Errorf("got %+v, %v, want ErrNotFound", got, err)
		}
		o := p.options
		o.Branch = ""
		if got, err := dial(t, o).By(t.Context(), commit); err != nil || got.Number != n {
			t.Errorf("of any branch: got %+v, %v", got, err)
		}
	})
}

// An approval counts for what was seen: the commit that was the head then, also after a push.
func TestForge_ReviewsNameTheCommitThatWasSeen(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		first := p.propose(t, "poundlock/web")
		must(t, p.host.Review(first.Number, "ada", "approved"))
		second := p.push(t, "poundlock/web", "a: 2\n")
		must(t, p.host.Review(first.Number, "bob", "changes-requested"))
		third := p.push(t, "poundlock/web", "a: 3\n")
		must(t, p.host.Review(first.Number, "bob", "approved"))
		got, err := p.Reviews(t.Context(), first.Number)
		must(t, err)
		want := []forge.Review{{By: "ada", Verdict: forge.Approved, Commit: first.HeadCommit}, {By: "bob", Verdict: forge.Requested, Commit: second}, {By: "bob", Verdict: forge.Approved, Commit: third}}
		if len(got) != len(want) {
			t.Fatalf("got %+v, want %+v", got, want)
		}
		for i := range want {
			if got[i].At.IsZero() || i > 0 && got[i].At.Before(got[i-1].At) {
				t.Errorf("times out of order: %+v", got)
			}
			got[i].At = time.Time{}
			if got[i] != want[i] {
				t.Errorf("review %d: got %+v, want %+v", i, got[i], want[i])
			}
		}
		must(t, p.host.Review(first.Number, "ada", "dismissed"))
		got, err = p.Reviews(t.Context(), first.Number)
		must(t, err)
		if slices.ContainsFunc(got, func(r forge.Review) bool { return r.By == "ada" && r.Verdict == forge.Approved }) ||
			!slices.ContainsFunc(got, func(r forge.Review) bool { return r.By == "ada" && r.Verdict == forge.Dismissed }) {
			t.Errorf("an approval that was taken back: got %+v", got)
		}
	})
}

func TestForge_TellsForksApart(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		p.push(t, "mallory:main", "evil: 1\n")
		p.host.SetRole("mallory", "read")
		n, err := p.host.Open(testenv.Opening{By: "mallory", Head: "mallory:main", Base: "main", Title: "take this"})
		must(t, err)
		got, err := p.Proposal(t.Context(), n)
		if err != nil || !got.Foreign || got.Author != "mallory" {
			t.Errorf("got %+v, %v, want a foreign one", got, err)
		}
		if all, err := p.Proposals(t.Context(), forge.Query{Base: "main", Head: "main"}); err != nil || len(all) != 0 {
			t.Errorf("a branch of ours with the same name: got %+v, %v", all, err)
		}
		if p.HeadRef(n) != p.host.HeadRef(n) {
			t.Errorf("head ref %s, want %s", p.HeadRef(n), p.host.HeadRef(n))
		}
	})
}

func TestForge_MembersOfATeam(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		p.host.SetTeam("releasers", "bob", "ada")
		if got, err := p.Members(t.Context(), "platform/releasers"); err != nil || !slices.Equal(got, []string{"ada", "bob"}) {
			t.Errorf("got %v, %v", got, err)
		}
		for _, team := range []string{"platform/nobody", "elsewhere/releasers", "ada"} {
			if got, err := p.Members(t.Context(), team); !errors.Is(err, forge.ErrNotFound) {
				t.Errorf("%s: got %v, %v, want ErrNotFound", team, got, err)
			}
		}
	})
}
