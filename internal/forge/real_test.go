package forge_test

import (
	"context"
	"errors"
	"os"
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

func (r theirs) comments(number int) ([]string, error) { return r.gitea.Comments(r.ctx, number) }

func (r theirs) token(user string) string { return r.gitea.Token(user) }
