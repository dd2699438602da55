package testenv

import (
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"code.gitea.io/sdk/gitea"
	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-github/v76/github"
	gitlab "gitlab.com/gitlab-org/api/client-go"
)

func TestForge_AChangeGoesFromABranchToMain(t *testing.T) {
	eachForge(t, func(t *testing.T, f *Forge, as func(string) person) {
		commit := need[string](t)
		f.SetTeam("release", "alice", "bob")
		first := commit(f.Push("change", "change a", map[string]string{"a": "three\n"}))
		bot, alice := as("poundlock"), as("alice")
		n := need[int](t)(bot.open("change", "Change a"))
		if _, err := bot.open("change", "Again"); err == nil {
			t.Error("a second proposal of one branch was opened")
		}
		second := commit(f.Push("change", "more", map[string]string{"c": "new\n"}))
		if got := commit(bot.head(n)); got != second || got == first {
			t.Errorf("head %s, want the newest commit %s", got, second)
		}
		for _, err := range []error{bot.comment(n, "hello"), bot.status(second, "pending"), bot.status(second, "success"), alice.approve(n)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		if c := f.Comments(n); len(c) != 1 || c[0].By != "poundlock" || c[0].Body != "hello" {
			t.Errorf("comments %+v", c)
		}
		if s := f.Statuses(second)["ci/e2e"]; s.State != "success" {
			t.Errorf("status %+v", s)
		}
		if err := alice.merge(n); err != nil {
			t.Fatal(err)
		}
		p := f.Proposal(n)
		if p.Open || !p.Merged || p.MergeCommit != f.Git().Head() || p.EndedBy != "alice" || p.Reviews[0].Commit != second {
			t.Errorf("merged: %+v, main at %s", p, f.Git().Head())
		}
		if got := need[int](t)(alice.by(p.MergeCommit)); got != n {
			t.Errorf("the merge commit came by %d, want %d", got, n)
		}
		files := need[map[string]string](t)(f.Git().Files("main"))
		if want := map[string]string{"a": "three\n", "c": "new\n", "dir/b": "two\n"}; !maps.Equal(files, want) {
			t.Errorf("main holds %v, want %v", files, want)
		}
		if got := need[[]string](t)(bot.members("release")); !slices.Equal(got, []string{"alice", "bob"}) {
			t.Errorf("team: %v", got)
		}
	})
}

func TestForge_ListsGoOnOverPages(t *testing.T) {
	eachForge(t, func(t *testing.T, f *Forge, as func(string) person) {
		for _, b := range []string{"one", "two", "three", "four", "five"} {
			need[string](t)(f.Push(b, b, map[string]string{b: b}))
			need[int](t)(f.Open(Opening{By: "alice", Head: b, Title: b}))
		}
		if err := f.Close(2, "bob"); err != nil {
			t.Fatal(err)
		}
		for state, want := range map[string][]int{"open": {5, 4, 3, 1}, "closed": {2}, "all": {5, 4, 3, 2, 1}} {
			if got := need[[]int](t)(as("alice").numbers(state)); !slices.Equal(got, want) {
				t.Errorf("%s: %v, want %v", state, got, want)
			}
		}
	})
}

func TestForge_EachWayOfMergingKeepsWhatBothChanged(t *testing.T) {
	for _, c := range []struct {
		method string
		author string // of the commit that main is at
		second bool   // the head is its second parent
	}{{"merge", "bob", true}, {"squash", "alice", false}, {"rebase", "A Person", false}} {
		t.Run(c.method, func(t *testing.T) {
			f := newForge(t, "github")
			need[string](t)(f.Push("change", "one", map[string]string{"a": "changed\n"}))
			head := need[string](t)(f.Push("change", "two", map[string]string{"dir/b": ""}))
			n := need[int](t)(f.Open(Opening{By: "alice", Head: "change", Title: "Both"}))
			need[string](t)(f.Git().Commit(t.Context(), "meanwhile", map[string]string{"d": "main\n"}))
			at := need[string](t)(f.Merge(n, "bob", c.method))
			files := need[map[string]string](t)(f.Git().Files("main"))
			if want := map[string]string{"a": "changed\n", "d": "main\n"}; !maps.Equal(files, want) {
				t.Errorf("main holds %v, want %v", files, want)
			}
			log := need[[]GitCommit](t)(f.Git().Log())
			if log[0].ID != at || log[0].Author != c.author || (len(log[0].Parents) == 2 && log[0].Parents[1] == head) != c.second {
				t.Errorf("main is at %+v", log[0])
			}
		})
	}
	t.Run("conflict", func(t *testing.T) {
		f := newForge(t, "gitea")
		need[string](t)(f.Push("change", "one", map[string]string{"a": "mine\n"}))
		n := need[int](t)(f.Open(Opening{By: "alice", Head: "change", Title: "Both"}))
		before := need[string](t)(f.Git().Commit(t.Context(), "meanwhile", map[string]string{"a": "theirs\n"}))
		if _, err := f.Merge(n, "bob", "merge"); !errors.Is(err, ErrForgeConflict) || f.Git().Head() != before {
			t.Errorf("merge of a conflict: %v", err)
		}
	})
}

func TestForge_AForkIsSeenAtTheRefOfItsProposal(t *testing.T) {
	for kind, ref := range map[string]string{"github": "refs/pull/1/head", "gitea": "refs/pull/1/head", "gitlab": "refs/merge-requests/1/head"} {
		f := newForge(t, kind)
		commit := need[string](t)(f.Push("mallory:change", "theirs", map[string]string{"a": "x\n"}))
		n := need[int](t)(f.Open(Opening{By: "mallory", Head: "mallory:change", Title: "Mine"}))
		refs := mustGit(t, t.TempDir(), "ls-remote", f.Git().URL())
		if f.HeadRef(n) != ref || !strings.Contains(refs, commit+"\t"+ref) || strings.Contains(refs, "refs/heads/change") {
			t.Errorf("%s: refs are\n%s", kind, refs)
		}
	}
}

func TestForge_ProtectsBranchesAndRefs(t *testing.T) {
	eachForge(t, func(t *testing.T, f *Forge, as func(string) person) {
		f.Protect("main", 1, "poundlock")
		work := filepath.Join(t.TempDir(), "work")
		url := func(user string) string {
			return strings.Replace(f.CloneURL(), "://", "://"+user+":"+f.Token(user)+"@", 1)
		}
		mustGit(t, ".", "clone", "-q", url("alice"), work)
		mustGit(t, work, "commit", "-q", "--allow-empty", "-m", "direct")
		if out, err := runGit(t, work, "push", url("alice"), "HEAD:main"); err == nil || !strings.Contains(out, "protected branch") {
			t.Errorf("a direct push went through: %s", out)
		}
		if out, err := runGit(t, work, "push", url("alice"), "HEAD:refs/pull/1/head"); err == nil || !strings.Contains(out, "hidden ref") {
			t.Errorf("a push to a hidden ref went through: %s", out)
		}
		mustGit(t, work, "push", "-q", url("poundlock"), "HEAD:main")
		if out, err := runGit(t, work, "push", strings.Replace(f.CloneURL(), "://", "://alice:wrong@", 1), "HEAD:x"); err == nil {
			t.Errorf("a wrong token pushed: %s", out)
		}
		need[string](t)(f.Push("change", "x", map[string]string{"x": "x\n"}))
		n := need[int](t)(as("alice").open("change", "x"))
		if err := as("bob").merge(n); err == nil {
			t.Error("merged without an approval")
		}
		if err := as("bob").approve(n); err != nil {
			t.Fatal(err)
		}
		if err := as("bob").merge(n); err != nil {
			t.Error(err)
		}
	})
}

func TestForge_ScopesAndRolesAreAskedFor(t *testing.T) {
	narrow := map[string][]string{"github": {"public_repo"}, "gitlab": {"read_api"}, "gitea": {"read:repository", "read:issue"}}
	eachForge(t, func(t *testing.T, f *Forge, as func(string) person) {
		need[string](t)(f.Push("change", "x", map[string]string{"x": "x\n"}))
		n := need[int](t)(as("alice").open("change", "x"))
		f.SetScopes("poundlock", time.Time{}, narrow[f.Kind()]...)
		if _, err := as("poundlock").numbers("open"); err != nil {
			t.Errorf("a token that may read cannot: %v", err)
		}
		if err := as("poundlock").comment(n, "x"); err == nil {
			t.Error("a token that may only read comments")
		}
		f.SetRole("reader", "read")
		if err := as("reader").status(f.Git().Head(), "success"); err == nil {
			t.Error("a reader sets a status")
		}
		f.SetRole("nobody", "none")
		if _, err := as("nobody").numbers("open"); err == nil {
			t.Error("a stranger sees proposals")
		}
	})
}

func TestForge_TellsByWebhookSignedAsItsKind(t *testing.T) {
	valid := map[string]func(http.Header, []byte) bool{
		"github": func(h http.Header, b []byte) bool {
			return github.ValidateSignature(h.Get(github.SHA256SignatureHeader), b, []byte("secret")) == nil && h.Get("X-GitHub-Event") == "pull_request"
		},
		"gitea": func(h http.Header, b []byte) bool {
			ok, err := gitea.VerifyWebhookSignature("secret", h.Get("X-Gitea-Signature"), b)
			return ok && err == nil && h.Get("X-Gitea-Event") == "pull_request" && h.Get("X-Gitea-Delivery") != ""
		},
		"gitlab": func(h http.Header, b []byte) bool {
			event, err := gitlab.ParseWebhook(gitlab.EventType(h.Get("X-Gitlab-Event")), b)
			m, ok := event.(*gitlab.MergeEvent)
			return h.Get("X-Gitlab-Token") == "secret" && err == nil && ok && m.ObjectAttributes.IID == 1 && m.ObjectAttributes.Action == "open"
		},
	}
	eachForge(t, func(t *testing.T, f *Forge, _ func(string) person) {
		var mu sync.Mutex
		seen := 0
		s := need[*Server](t)(NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			mu.Lock()
			defer mu.Unlock()
			if valid[f.Kind()](r.Header, body) {
				seen++
			}
			w.WriteHeader(http.StatusAccepted)
		})))
		t.Cleanup(s.Close)
		f.Hook(s.URL()+"/hooks/forge", "secret")
		need[string](t)(f.Push("change", "x", map[string]string{"x": "x\n"}))
		need[int](t)(f.Open(Opening{By: "alice", Head: "change", Title: "x"}))
		f.Settle()
		events := []string{}
		for _, d := range f.Deliveries() {
			events = append(events, d.Event)
			if d.Status != http.StatusAccepted {
				t.Errorf("%s was answered with %d", d.Event, d.Status)
			}
		}
		slices.Sort(events)
		if seen != 1 || !slices.Equal(events, []string{"pull_request", "push"}) {
			t.Errorf("told of %v, %d of them a signed opening", events, seen)
		}
	})
}

func TestForge_FailsAsTold(t *testing.T) {
	f := newForge(t, "github")
	f.Fail(Once(1, OfPath(http.MethodGet, "/pulls"), Fault{Status: http.StatusForbidden, RetryAfter: time.Minute,
		Body: `{"message":"You have exceeded a secondary rate limit","documentation_url":"https://docs.github.com/rest/overview/rate-limits-for-the-rest-api#about-secondary-rate-limits"}`}))
	as := onGitHub(t, f, "alice")
	var limited *github.AbuseRateLimitError
	if _, err := as.numbers("open"); !errors.As(err, &limited) || limited.GetRetryAfter() != time.Minute {
		t.Errorf("the library understood %v", err)
	}
	if got := f.Requests(); got != 1 {
		t.Errorf("%d requests, want 1", got)
	}
}

func TestForge_ABranchThatIsDeletedClosesItsProposal(t *testing.T) {
	for kind, open := range map[string]bool{"github": false, "gitea": false, "gitlab": true} {
		f := newForge(t, kind)
		need[string](t)(f.Push("change", "x", map[string]string{"x": "x\n"}))
		n := need[int](t)(f.Open(Opening{By: "alice", Head: "change", Title: "x"}))
		if err := f.Git().Point("change", ""); err != nil {
			t.Fatal(err)
		}
		if p := f.Proposal(n); p.Open != open {
			t.Errorf("%s: open is %t", kind, p.Open)
		}
	}
}

func TestForge_AnAppActsByTokensThatItSignsFor(t *testing.T) {
	f := newForge(t, "github")
	key := need[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, 2048))
	f.AddApp(42, "lock", &key.PublicKey)
	statement := func(issuer int64, age time.Duration) string {
		signer := need[jose.Signer](t)(jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, nil))
		now := time.Now().Add(-age).Unix()
		signed := need[*jose.JSONWebSignature](t)(signer.Sign(fmt.Appendf(nil, `{"iss":"%d","iat":%d,"exp":%d}`, issuer, now, now+300)))
		return need[string](t)(signed.CompactSerialize())
	}
	as := func(token string) *github.Client {
		return need[*github.Client](t)(github.NewClient(nil).WithAuthToken(token).WithEnterpriseURLs(f.URL(), f.URL()))
	}
	for name, wrong := range map[string]string{"another app": statement(43, 0), "an old one": statement(42, time.Hour)} {
		if _, _, err := as(wrong).Apps.FindRepositoryInstallation(t.Context(), "platform", "fleet"); err == nil {
			t.Errorf("a statement of %s is taken", name)
		}
	}
	app := as(statement(42, 0))
	at, _, err := app.Apps.FindRepositoryInstallation(t.Context(), "platform", "fleet")
	if err != nil {
		t.Fatal(err)
	}
	token, _, err := app.Apps.CreateInstallationToken(t.Context(), at.GetID(), nil)
	if err != nil {
		t.Fatal(err)
	}
	need[string](t)(f.Push("change", "x", map[string]string{"x": "x\n"}))
	p, _, err := as(token.GetToken()).PullRequests.Create(t.Context(), "platform", "fleet", &github.NewPullRequest{Title: github.Ptr("x"),
		Head: github.Ptr("change"), Base: github.Ptr("main")})
	if err != nil || p.GetUser().GetLogin() != "lock[bot]" {
		t.Errorf("opened by %s: %v", p.GetUser().GetLogin(), err)
	}
}

func TestForge_ShowsAPageWithWhatPeopleWroteEscaped(t *testing.T) {
	f := newForge(t, "gitea")
	need[string](t)(f.Push("change", "x", map[string]string{"x": "x\n"}))
	n := need[int](t)(f.Open(Opening{By: "alice", Head: "change", Title: "<script>x", Body: "why"}))
	answer := need[*http.Response](t)(http.Get(f.URL() + "/platform/fleet/pulls/1"))
	defer answer.Body.Close()
	body := string(need[[]byte](t)(io.ReadAll(answer.Body)))
	if n != 1 || !strings.Contains(body, "&lt;script&gt;x") || !strings.Contains(body, "alice wants to merge change into main") {
		t.Errorf("the page is\n%s", body)
	}
}
