package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

func change(files map[string]string, owned ...string) Change {
	c := Change{Owned: owned, Files: mirror.Files{}, Message: "render\n\nPoundlock-Cycle: 1", At: at}
	for name, text := range files {
		c.Files[name] = []byte(text)
	}
	return c
}

func isPush(r *http.Request) bool {
	return r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "git-receive-pack")
}

func TestCommit_ReplacesOwnedDirectoriesWhole(t *testing.T) {
	onEachServer(t, func(t *testing.T, g *testenv.Git) {
		parent := write(t, g, map[string]string{"fleet/desired/a.yaml": "a", "fleet/rendered/s1/old": "x", "fleet/rendered/s1/deep/er": "y",
			"fleet/rendered/s2/other": "z", "fleet/rendered/gone/only": "q", "top": "t"})
		o := options(t, g)
		o.Path = "fleet"
		r := open(t, o)
		fetch(t, r)
		id, err := r.Commit(t.Context(), parent, change(map[string]string{"rendered/s1/new": "1", "rendered/s1/d/n": "2", "stages/w/production.yaml": "3"},
			"rendered/s1", "rendered/gone"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := g.Files("main")
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"fleet/desired/a.yaml": "a", "fleet/rendered/s1/new": "1", "fleet/rendered/s1/d/n": "2",
			"fleet/rendered/s2/other": "z", "fleet/stages/w/production.yaml": "3", "top": "t"}
		if !maps.Equal(got, want) || g.Head() != id {
			t.Errorf("files %v, want %v", got, want)
		}
		log, err := g.Log()
		if err != nil {
			t.Fatal(err)
		}
		if c := log[0]; c.Author != "Poundlock" || c.Email != "poundlock@site.example" || c.Parents[0] != parent || !strings.HasSuffix(c.Message, "\nPoundlock-Cycle: 1\n") {
			t.Errorf("commit %+v", c)
		}
		g.Proxy().Reset()
		again, err := r.Commit(t.Context(), id, change(map[string]string{"rendered/s1/new": "1", "rendered/s1/d/n": "2"}, "rendered/s1"))
		if err != nil || again != id || g.Requests() != 0 {
			t.Errorf("a commit of nothing gave %s, %v and %d requests", again, err, g.Requests())
		}
		if fetch(t, r) != id || g.Requests() != 1 {
			t.Errorf("our own commit was fetched back: %q", g.Proxy().Counts().Paths)
		}
	})
}

func TestCommit_IsRejectedWhenTheBranchMoved(t *testing.T) {
	onEachServer(t, func(t *testing.T, g *testenv.Git) {
		first := write(t, g, map[string]string{"desired/a.yaml": "a"})
		parent := write(t, g, map[string]string{"desired/a.yaml": "b"})
		r := open(t, options(t, g))
		fetch(t, r)
		human := write(t, g, map[string]string{"desired/a.yaml": "c"})
		for what, head := range map[string]string{"pushed": human, "reset": first} {
			if err := g.Point("main", head); err != nil {
				t.Fatal(err)
			}
			_, err := r.Commit(t.Context(), parent, change(map[string]string{"rendered/x": "x"}, "rendered"))
			if !errors.Is(err, ErrRejected) || g.Head() != head {
				t.Errorf("a person %s: %v, head %.7s, want it rejected and the head at %.7s", what, err, g.Head(), head)
			}
			if isTemporary(err) {
				t.Errorf("a rejected push calls itself temporary: %v", err)
			}
		}
	})
}

// The reset happens after our listing and before our push: only the old value that the push names saves it.
func TestCommit_DoesNotUndoAResetThatItCouldNotSee(t *testing.T) {
	onEachServer(t, func(t *testing.T, g *testenv.Git) {
		first := write(t, g, map[string]string{"desired/a.yaml": "a"})
		parent := write(t, g, map[string]string{"desired/a.yaml": "b"})
		r := open(t, options(t, g))
		fetch(t, r)
		g.Proxy().Break(func(req *http.Request) *testenv.Fault {
			if isPush(req) {
				if err := g.Point("main", first); err != nil {
					t.Error(err)
				}
			}
			return nil
		})
		if _, err := r.Commit(t.Context(), parent, change(map[string]string{"rendered/x": "x"}, "rendered")); !errors.Is(err, ErrRejected) || g.Head() != first {
			t.Errorf("%v, head %.7s, want it rejected and the head at %.7s", err, g.Head(), first)
		}
	})
}

func TestCommit_OfTwoAtOnceOneWins(t *testing.T) {
	onEachServer(t, func(t *testing.T, g *testenv.Git) {
		parent := write(t, g, map[string]string{"desired/a.yaml": "a"})
		const writers = 4
		var repos []*Repo
		for range writers {
			r := open(t, options(t, g))
			fetch(t, r)
			repos = append(repos, r)
		}
		// All pushes wait until every writer has listed the refs, so that all name the same old head.
		gate, arrived := make(chan struct{}), 0
		g.Proxy().Break(func(req *http.Request) *testenv.Fault {
			if !isPush(req) {
				return nil
			}
			if arrived++; arrived == writers {
				close(gate)
			}
			return &testenv.Fault{Until: gate}
		})
		ids, errs := make([]string, writers), make([]error, writers)
		var wg sync.WaitGroup
		for i, r := range repos {
			wg.Go(func() {
				ids[i], errs[i] = r.Commit(t.Context(), parent, change(map[string]string{"rendered/x": fmt.Sprint(i)}, "rendered"))
			})
		}
		wg.Wait()
		won := 0
		for i, err := range errs {
			switch {
			case err == nil && ids[i] == g.Head():
				won++
			case err == nil:
				t.Errorf("writer %d was told that %.7s went in, the head is %.7s", i, ids[i], g.Head())
			case !errors.Is(err, ErrRejected):
				t.Errorf("writer %d: %v, want ErrRejected", i, err)
			}
		}
		if won != 1 {
			t.Errorf("%d writers won, want 1", won)
		}
	})
}

func TestCommit_AsksWhatBecameOfALostAnswer(t *testing.T) {
	g := fleet(t)
	parent := write(t, g, map[string]string{"desired/a.yaml": "a"})
	r := open(t, options(t, g))
	fetch(t, r)
	g.Proxy().Break(testenv.Always(isPush, testenv.Fault{Reset: true}))
	if _, err := r.Commit(t.Context(), parent, change(map[string]string{"rendered/x": "x"}, "rendered")); !isTemporary(err) || g.Head() != parent {
		t.Errorf("cut before the server saw it: %v, want a temporary error", err)
	}
	g.Proxy().Break(testenv.Always(isPush, testenv.Fault{Lose: true}))
	id, err := r.Commit(t.Context(), parent, change(map[string]string{"rendered/x": "x"}, "rendered"))
	if err != nil || g.Head() != id {
		t.Errorf("cut after the server took it: %q, %v, the head is %s", id, err, g.Head())
	}
}

func TestCommit_AsksWhatAGarbledReportMeans(t *testing.T) {
	g := fleet(t)
	parent := write(t, g, map[string]string{"desired/a.yaml": "a"})
	o := options(t, g)
	spoilt := &spoilPack{RoundTripper: o.HTTP}
	o.HTTP = spoilt
	r := open(t, o)
	fetch(t, r)
	for _, answer := range []string{"", "garbage", pkt("unpack ok\n"), pkt("unpack ok\n") + "0000"} {
		spoilt.change = func([]byte) []byte { return []byte(answer) }
		id, err := r.Commit(t.Context(), parent, change(map[string]string{"rendered/x": answer + "x"}, "rendered"))
		if err != nil || id != g.Head() {
			t.Errorf("report %q: %q, %v; the head is %s", answer, id, err, g.Head())
			continue
		}
		parent = id
	}
}

func TestCommit_EndsWithItsDeadline(t *testing.T) {
	g := fleet(t)
	parent := write(t, g, map[string]string{"desired/a.yaml": "a"})
	o := options(t, g)
	o.HTTP = holdPush{o.HTTP}
	r := open(t, o)
	fetch(t, r)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := r.Commit(ctx, parent, change(map[string]string{"rendered/x": "x"}, "rendered"))
	if !errors.Is(err, context.DeadlineExceeded) || !isTemporary(err) || g.Head() != parent {
		t.Errorf("%v, want an expired deadline", err)
	}
}

func TestCommit_SaysWhyTheServerDoesNotWantIt(t *testing.T) {
	g := fleet(t)
	g.User, g.Password = "robot", secret
	parent := write(t, g, map[string]string{"desired/a.yaml": "a"})
	o := options(t, g)
	o.Auth = Auth{Username: "robot", Password: password(secret)}
	o.HTTP = answerPush{o.HTTP, pkt("unpack ok\n") + pkt("ng refs/heads/main protected branch hook declined: blocked for "+secret+"\x1b[31m\n") + "0000"}
	r := open(t, o)
	fetch(t, r)
	_, err := r.Commit(t.Context(), parent, change(map[string]string{"rendered/x": "x"}, "rendered"))
	if err == nil || errors.Is(err, ErrRejected) || isTemporary(err) || !strings.Contains(err.Error(), "protected branch hook declined") {
		t.Errorf("%v, want the server's reason", err)
	}
	if strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("the error passes on what it must not: %q", err)
	}
}

// holdPush never lets a push out.
type holdPush struct{ http.RoundTripper }

func (h holdPush) RoundTrip(r *http.Request) (*http.Response, error) {
	if !isPush(r) {
		return h.RoundTripper.RoundTrip(r)
	}
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func pkt(s string) string { return fmt.Sprintf("%04x%s", len(s)+4, s) }

// answerPush answers pushes in place of the server.
type answerPush struct {
	http.RoundTripper
	body string
}

func (a answerPush) RoundTrip(r *http.Request) (*http.Response, error) {
	if !isPush(r) {
		return a.RoundTripper.RoundTrip(r)
	}
	return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(a.body)), Request: r, Header: http.Header{}, ContentLength: -1}, nil
}

func TestCommit_RefusesNamesItWouldNotRead(t *testing.T) {
	g := fleet(t)
	parent := write(t, g, map[string]string{"desired/a.yaml": "a"})
	r := open(t, options(t, g))
	fetch(t, r)
	for _, name := range []string{"../x", "rendered/../../x", ".git/config", "rendered/.GIT/hooks/x", "/abs", "rendered//x", "a\\b", ""} {
		if _, err := r.Commit(t.Context(), parent, change(map[string]string{name: "x"})); err == nil {
			t.Errorf("file %q was written", name)
		}
		if _, err := r.Commit(t.Context(), parent, change(nil, name)); err == nil {
			t.Errorf("directory %q was replaced", name)
		}
	}
	if _, err := r.Commit(t.Context(), parent, change(map[string]string{"a": "x", "a/b": "y"})); err == nil {
		t.Error("a file that is a directory was written")
	}
	if g.Head() != parent {
		t.Error("the branch moved")
	}
}
