package forge_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/forge"
	"github.com/poundlock/poundlock/testenv"
)

// realGitea is the one Gitea of all tests: starting it takes four seconds.
var realGitea = sync.OnceValues(func() (*testenv.Gitea, error) {
	dir, err := os.MkdirTemp("", "gitea-")
	if err != nil {
		return nil, err
	}
	g, err := testenv.StartGitea(context.Background(), dir)
	after = append(after, func() {
		if g != nil {
			g.Stop()
		}
		os.RemoveAll(dir)
	})
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"ada", "bob"} {
		if _, err := g.AddUser(context.Background(), name, false); err != nil {
			return nil, err
		}
	}
	return g, nil
})

var after []func()

func TestMain(m *testing.M) {
	code := m.Run()
	for _, do := range after {
		do()
	}
	os.Exit(code)
}

// openReal gives a real Gitea; without one the test is skipped.
func openReal(t *testing.T) place {
	t.Helper()
	g, err := realGitea()
	if errors.Is(err, testenv.ErrNoGitea) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	p := place{people: theirs{t.Context(), g}, way: &way{}}
	p.options = forge.Options{Kind: "gitea", URL: g.URL(), Repository: g.Repository(), Branch: "main", HTTP: p.way, Now: time.Now}
	p.Forge = p.as(t, "poundlock")
	return p
}

// theirs are people at a real Gitea.
type theirs struct {
	ctx   context.Context
	gitea *testenv.Gitea
}

func (r theirs) push(branch, text string) (string, error) {
	return r.gitea.Push(r.ctx, "poundlock", branch, "Change it", map[string]string{fileOf(branch): text})
}

func (r theirs) merge(number int, by, method string) (string, error) {
	return r.gitea.Merge(r.ctx, number, by, method)
}

func (r theirs) review(number int, by, verdict string) error {
	return r.gitea.Review(r.ctx, number, by, verdict)
}

// pushesFor makes a proposal by a push to refs/for/, and gives its head.
func (p place) pushesFor(t *testing.T, branch, by string) string {
	t.Helper()
	dir := t.TempDir()
	var head string
	address := strings.Replace(p.people.(theirs).gitea.CloneURL(), "://", "://"+by+":"+p.token(by)+"@", 1)
	for _, args := range [][]string{{"clone", "-q", address, "."}, {"commit", "-q", "--allow-empty", "-m", "by a push"}, {"push", "-q", "origin", "HEAD:refs/for/" + branch, "-o", "topic=none"}, {"rev-parse", "HEAD"}} {
		git := exec.CommandContext(t.Context(), "git", append([]string{"-C", dir, "-c", "user.name=" + by, "-c", "user.email=" + by + "@site.example"}, args...)...)
		out, err := git.CombinedOutput()
		if err != nil {
			t.Fatalf("git %s: %v: %s", args[0], err, out)
		}
		head = strings.TrimSpace(string(out))
	}
	return head
}

func (r theirs) comments(number int) ([]string, error) { return r.gitea.Comments(r.ctx, number) }

func (r theirs) token(user string) string { return r.gitea.Token(user) }
