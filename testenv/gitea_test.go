package testenv

import (
	"errors"
	"io"
	"net/http"
	"testing"

	"code.gitea.io/sdk/gitea"
)

// Our own forge is held against this one: what is done here to the real Gitea is done there to ours.
func TestGitea_AChangeGoesFromABranchToMain(t *testing.T) {
	g, err := StartGitea(t.Context(), t.TempDir())
	if errors.Is(err, ErrNoGitea) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Stop)
	signed := make(chan string, 100)
	s := need[*Server](t)(NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if ok, err := gitea.VerifyWebhookSignature("secret", r.Header.Get("X-Gitea-Signature"), body); ok && err == nil {
			signed <- r.Header.Get("X-Gitea-Event")
		}
	})))
	t.Cleanup(s.Close)
	if err := g.Hook(t.Context(), s.URL(), "secret"); err != nil {
		t.Fatal(err)
	}
	need[string](t)(g.AddUser(t.Context(), "alice", false))
	if err := g.Protect(t.Context(), "main", 1, "poundlock"); err != nil {
		t.Fatal(err)
	}
	commit := need[string](t)(g.Push(t.Context(), "poundlock", "change", "change", map[string]string{"stages/a.yaml": "x\n"}))
	n := need[int](t)(g.Open(t.Context(), Opening{By: "poundlock", Head: "change", Title: "Change"}))
	if _, err := g.Merge(t.Context(), n, "alice", "merge"); err == nil {
		t.Error("merged without an approval")
	}
	if err := g.Review(t.Context(), n, "alice", "approved"); err != nil {
		t.Fatal(err)
	}
	at := need[string](t)(g.Merge(t.Context(), n, "alice", "merge"))
	if head := need[string](t)(g.Head(t.Context(), "main")); head != at || at == commit {
		t.Errorf("main is at %s, the merge at %s", head, at)
	}
	if text := need[string](t)(g.File(t.Context(), "main", "stages/a.yaml")); text != "x\n" {
		t.Errorf("main holds %q", text)
	}
	for event := range signed {
		if event == "pull_request" {
			break
		}
	}
}
