package forge_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/forge"
	"github.com/poundlock/poundlock/testenv"
)

// place is a forge of one kind with an empty fleet repository, and we who speak to it as the user poundlock.
type place struct {
	forge.Forge
	people
	host    *testenv.Forge // nil: a real one
	options forge.Options
	clock   *clock
	way     *way
}

// people are ada and bob, who may write to the repository.
type people interface {
	push(branch, text string) (string, error)
	merge(number int, by, method string) (string, error)
	review(number int, by, verdict string) error
	comments(number int) ([]string, error) // oldest first
	token(user string) string
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

// way counts the requests that pass.
type way struct {
	all, writes atomic.Int64
}

func (w *way) RoundTrip(r *http.Request) (*http.Response, error) {
	w.all.Add(1)
	if r.Method != http.MethodGet {
		w.writes.Add(1)
	}
	return http.DefaultTransport.RoundTrip(r)
}

// wrote counts the requests that change something while do runs.
func (p place) wrote(do func()) int64 {
	before := p.way.writes.Load()
	do()
	return p.way.writes.Load() - before
}

var kinds = []string{"gitea", "github", "gitlab"}

// onEach runs a test on every kind of forge that testenv has.
func onEach(t *testing.T, test func(t *testing.T, p place)) {
	t.Helper()
	if known := forge.Kinds(); !slices.Equal(known, kinds) {
		t.Fatalf("the suite runs over %v, known are %v", kinds, known)
	}
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) { test(t, open(t, kind)) })
	}
}

// onAll is onEach, and on a real Gitea where there is one.
func onAll(t *testing.T, test func(t *testing.T, p place)) {
	t.Helper()
	onEach(t, test)
	t.Run("real gitea", func(t *testing.T) { test(t, openReal(t)) })
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
	p := place{host: host, people: ours{host}, clock: clock, way: &way{}}
	p.options = forge.Options{Kind: kind, URL: host.URL(), Repository: host.Repository(), Branch: "main", HTTP: p.way, Now: clock.now}
	p.Forge = p.as(t, "poundlock")
	return p
}

// as gives the forge as another user sees it.
func (p place) as(t *testing.T, user string) forge.Forge {
	t.Helper()
	o := p.options
	o.Token = func(context.Context) (string, error) { return p.token(user), nil }
	return dial(t, o)
}

func dial(t *testing.T, o forge.Options) forge.Forge {
	t.Helper()
	f, err := forge.Dial(o)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// ours are people at a forge of testenv.
type ours struct{ *testenv.Forge }

func (o ours) push(branch, text string) (string, error) {
	return o.Push(branch, "Change it", map[string]string{fileOf(branch): text})
}
func (o ours) merge(number int, by, method string) (string, error) {
	return o.Merge(number, by, method)
}
func (o ours) review(number int, by, verdict string) error { return o.Review(number, by, verdict) }
func (o ours) token(user string) string                    { return o.Token(user) }

func (o ours) comments(number int) ([]string, error) {
	var bodies []string
	for _, c := range o.Comments(number) {
		bodies = append(bodies, c.Body)
	}
	return bodies, nil
}

func fileOf(branch string) string {
	return "stages/" + strings.NewReplacer("/", "-", ":", "-").Replace(branch) + ".yaml"
}

// pushed commits a file to a branch.
func (p place) pushed(t *testing.T, branch, text string) string {
	t.Helper()
	commit, err := p.push(branch, text)
	if err != nil {
		t.Fatal(err)
	}
	return commit
}

// propose pushes a branch and opens a proposal of it.
func (p place) propose(t *testing.T, branch string) forge.Proposal {
	t.Helper()
	p.pushed(t, branch, "a: 1\n")
	made, err := p.Propose(t.Context(), forge.New{Head: branch, Base: "main", Title: "[production] web: 1.2", Body: "moves\n\n- web"})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// follows pushes a branch once more and waits until its proposal tells of it, which a real forge does some time after.
func (p place) follows(t *testing.T, number int, branch, text string) string {
	t.Helper()
	commit := p.pushed(t, branch, text)
	for range 1000 {
		if got, err := p.Proposal(t.Context(), number); err == nil && got.HeadCommit == commit {
			return commit
		}
	}
	t.Fatalf("proposal %d never came to %s", number, commit)
	return ""
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestForge_ProposalLivesFromOpenToDeclined(t *testing.T) {
	onAll(t, func(t *testing.T, p place) {
		head := p.pushed(t, "poundlock/web", "a: 1\n")
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
		first, declined, merged := p.propose(t, "first"), p.propose(t, "declined"), p.propose(t, "merged")
		must(t, p.Close(t.Context(), declined.Number))
		_, err := p.merge(merged.Number, "ada", "merge")
		must(t, err)
		p.pushed(t, "other", "x: 1\n")
		if _, err := p.host.Open(testenv.Opening{By: "ada", Head: "other", Base: "first", Title: "onto another branch"}); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			name string
			q    forge.Query
			want []int
		}{
			{"open ones", forge.Query{Base: "main"}, []int{first.Number}},
			{"with those that are over", forge.Query{Base: "main", Since: since}, []int{merged.Number, declined.Number, first.Number}},
			{"of all times", forge.Query{Base: "main", Since: time.Unix(1, 0)}, []int{merged.Number, declined.Number, first.Number, old.Number}},
			{"as many as there are", forge.Query{Base: "main", Since: time.Unix(1, 0), Most: 3}, []int{merged.Number, declined.Number, first.Number, old.Number}},
			{"of one branch", forge.Query{Base: "main", Head: "first"}, []int{first.Number}},
			{"of one branch that was declined", forge.Query{Base: "main", Head: "declined", Since: since}, []int{declined.Number}},
			{"of no branch", forge.Query{Base: "main", Head: "nothing", Since: since}, nil},
		} {
			t.Run(c.name, func(t *testing.T) {
				got, err := p.Proposals(t.Context(), c.q)
				must(t, err)
				var numbers []int
				for _, g := range got {
					numbers = append(numbers, g.Number)
				}
				if !slices.Equal(numbers, c.want) {
					t.Errorf("got %v, want %v", numbers, c.want)
				}
			})
		}
		few, err := p.Proposals(t.Context(), forge.Query{Base: "main", Since: time.Unix(1, 0), Most: 1})
		has := func(number int) bool {
			return slices.ContainsFunc(few, func(g forge.Proposal) bool { return g.Number == number })
		}
		if err != nil || !has(merged.Number) || !has(first.Number) || has(old.Number) {
			t.Errorf("with one that is over: got %+v, %v", few, err)
		}
	})
}

// Gitea gives fifty at once, the others a hundred: who reads one page alone forgets proposals.
func TestForge_ReadsEveryPage(t *testing.T) {
	p := open(t, "gitea")
	for i := range 52 {
		p.propose(t, fmt.Sprintf("branch-%d", i))
	}
	if got, err := p.Proposals(t.Context(), forge.Query{Base: "main"}); err != nil || len(got) != 52 {
		t.Errorf("got %d, %v", len(got), err)
	}
}

func TestForge_KnowsWhichProposalBroughtACommit(t *testing.T) {
	onAll(t, func(t *testing.T, p place) {
		for _, method := range []string{"merge", "squash", "rebase"} {
			made := p.propose(t, "by-"+method)
			commit, err := p.merge(made.Number, "ada", method)
			must(t, err)
			got, err := p.By(t.Context(), commit)
			if err != nil || got.Number != made.Number || got.State != forge.Merged || got.MergeCommit != commit || got.MergedBy != "ada" || got.Ended.IsZero() || got.Author != "poundlock" {
				t.Errorf("%s: got %+v, %v", method, got, err)
			}
		}
		direct := p.pushed(t, "main", "b: 1\n")
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
		p.pushed(t, "side", "a: 1\n")
		p.pushed(t, "work", "b: 1\n")
		n, err := p.host.Open(testenv.Opening{By: "ada", Head: "work", Base: "side", Title: "onto side"})
		must(t, err)
		commit, err := p.host.Merge(n, "bob", "merge")
		must(t, err)
		if got, err := p.By(t.Context(), commit); !errors.Is(err, forge.ErrNotFound) {
			t.Errorf("got %+v, %v, want ErrNotFound", got, err)
		}
		p.options.Branch = ""
		if got, err := p.as(t, "poundlock").By(t.Context(), commit); err != nil || got.Number != n {
			t.Errorf("of any branch: got %+v, %v", got, err)
		}
	})
}

// An approval counts for what was seen: the commit that was the head then, also after a push.
func TestForge_ReviewsNameTheCommitThatWasSeen(t *testing.T) {
	onAll(t, func(t *testing.T, p place) {
		first := p.propose(t, "poundlock/seen")
		must(t, p.review(first.Number, "ada", "approved"))
		second := p.follows(t, first.Number, "poundlock/seen", "a: 2\n")
		must(t, p.review(first.Number, "bob", "changes-requested"))
		third := p.follows(t, first.Number, "poundlock/seen", "a: 3\n")
		must(t, p.review(first.Number, "bob", "approved"))
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
			if i == 1 && got[i].Verdict == forge.Dismissed {
				got[i].Verdict = forge.Requested // Gitea does so when the same person says something else
			}
			if got[i] != want[i] {
				t.Errorf("review %d: got %+v, want %+v", i, got[i], want[i])
			}
		}
	})
}

func TestForge_ApprovalThatWasTakenBackIsNone(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		first := p.propose(t, "poundlock/web")
		must(t, p.review(first.Number, "ada", "approved"))
		must(t, p.review(first.Number, "ada", "dismissed"))
		got, err := p.Reviews(t.Context(), first.Number)
		must(t, err)
		if slices.ContainsFunc(got, func(r forge.Review) bool { return r.By == "ada" && r.Verdict == forge.Approved }) ||
			!slices.ContainsFunc(got, func(r forge.Review) bool { return r.By == "ada" && r.Verdict == forge.Dismissed }) {
			t.Errorf("an approval that was taken back: got %+v", got)
		}
	})
}

// Whoever can read a public repository can approve what is proposed to it, and on GitHub a workflow can.
func TestForge_ApprovalOfAStrangerIsAnOpinion(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		if p.options.Kind == "gitlab" {
			t.Skip("GitLab itself lets members alone approve")
		}
		p.host.SetRole("mallory", "read")
		p.host.AddUser("helper[bot]", false)
		first := p.propose(t, "poundlock/web")
		strangers := []string{"mallory", "nobody-known"}
		if p.options.Kind == "github" {
			strangers = append(strangers, "helper[bot]")
		}
		for _, who := range append(strangers, "ada") {
			must(t, p.review(first.Number, who, "approved"))
		}
		got, err := p.Reviews(t.Context(), first.Number)
		must(t, err)
		if len(got) != len(strangers)+1 {
			t.Fatalf("got %+v", got)
		}
		for _, r := range got {
			if (r.Verdict == forge.Approved) != (r.By == "ada") {
				t.Errorf("got %+v", r)
			}
		}
	})
}

// A push to refs/for/ makes a proposal out of nobody's branch; for that it is enough to read.
func TestForge_RealGiteaProposalWithoutABranchIsForeign(t *testing.T) {
	p := openReal(t)
	head := p.pushesFor(t, "main", "ada")
	all, err := p.Proposals(t.Context(), forge.Query{Base: "main"})
	must(t, err)
	i := slices.IndexFunc(all, func(o forge.Proposal) bool { return o.HeadCommit == head })
	if i < 0 || !all[i].Foreign {
		t.Errorf("got %+v", all)
	}
}

func TestForge_TellsForksApart(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		p.pushed(t, "mallory:main", "evil: 1\n")
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
