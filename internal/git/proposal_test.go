package git

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// propose puts a commit with the files on a ref of the server, built on main, as a fork does; main stays.
func propose(t *testing.T, p *person, ref, on string, files map[string]string) string {
	t.Helper()
	p.git("checkout", "-q", "--detach", on)
	commit := p.commit("", "a proposal", files)
	p.git("push", "-q", "-f", "origin", "HEAD:"+ref)
	return commit
}

func TestListing_TellsBranchesAndProposalsByOneRequest(t *testing.T) {
	g := fleet(t)
	p := newPerson(t, g)
	head := p.commit("", "main", map[string]string{"desired/a.yaml": "a"})
	p.push()
	seven := propose(t, p, "refs/pull/7/head", head, map[string]string{"stages/a/production.yaml": "a"})
	nine := propose(t, p, "refs/merge-requests/9/head", head, map[string]string{"stages/a/production.yaml": "b"})
	for _, ref := range []string{"refs/heads/feature", "refs/tags/v1", "refs/pull/7/merge", "refs/pull/x/head", "refs/pull/07/head", "refs/pull/8/heads"} {
		p.git("push", "-q", "origin", head+":"+ref)
	}
	r := open(t, options(t, g))
	g.Proxy().Reset()
	l, err := r.Listing(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"refs/heads/main": head, "refs/heads/feature": head, "refs/pull/7/head": seven, "refs/merge-requests/9/head": nine}
	if l.Head != head || !maps.Equal(l.Refs, want) || l.Branch("feature") != head || l.Branch("none") != "" {
		t.Errorf("listing %+v, want %v", l, want)
	}
	if g.Requests() != 1 {
		t.Errorf("%d requests, want 1", g.Requests())
	}
	propose(t, p, "refs/pull/7/head", head, map[string]string{"stages/a/production.yaml": "c"})
	propose(t, p, "refs/pull/3/head", head, map[string]string{"stages/a/production.yaml": "d"})
	next, err := r.Listing(t.Context())
	if moved := next.Moved(l); err != nil || !slices.Equal(moved, []int{3, 7}) {
		t.Errorf("moved %v, %v, want 3 and 7", moved, err)
	}
}

func TestBring_FetchesAProposalWithItsHistory(t *testing.T) {
	onEachServer(t, func(t *testing.T, g *testenv.Git) {
		p := newPerson(t, g)
		head := p.commit("", "main", map[string]string{"desired/a.yaml": "a"})
		p.push()
		r := open(t, options(t, g))
		fetch(t, r)
		first := propose(t, p, "refs/pull/7/head", head, map[string]string{"stages/a/production.yaml": "a"})
		second := propose(t, p, "refs/pull/7/head", first, map[string]string{"stages/a/production.yaml": "b"})
		if err := r.Bring(t.Context(), "refs/pull/7/head", first); !errors.Is(err, ErrRejected) || r.Holds(first) {
			t.Errorf("a commit that the ref has left: %v, want it rejected", err)
		}
		if err := r.Bring(t.Context(), "refs/pull/8/head", second); !errors.Is(err, ErrRejected) {
			t.Errorf("a ref that is not there: %v, want it rejected", err)
		}
		if err := r.Bring(t.Context(), "refs/pull/7/head", second); err != nil {
			t.Fatal(err)
		}
		files, err := r.Files(second, "stages")
		if err != nil || string(files["stages/a/production.yaml"]) != "b" || !r.Holds(first) {
			t.Errorf("files %q, %v", files, err)
		}
		if at, err := r.Head(); err != nil || at != head {
			t.Errorf("the branch is at %s, %v: a proposal must not move it", at, err)
		}
		g.Proxy().Reset()
		if err := r.Bring(t.Context(), "refs/pull/7/head", second); err != nil || g.Requests() != 0 {
			t.Errorf("what is here was fetched again: %v, %d requests", err, g.Requests())
		}
		if base, err := r.MergeBase(t.Context(), head, second); err != nil || base != head {
			t.Errorf("merge base %s, %v", base, err)
		}
	})
}

func TestBring_MakesADamagedCloneAnew(t *testing.T) {
	g := fleet(t)
	p := newPerson(t, g)
	head := p.commit("", "main", map[string]string{"desired/a.yaml": "a"})
	p.push()
	proposed := propose(t, p, "refs/pull/7/head", head, map[string]string{"stages/a/production.yaml": "a"})
	r := open(t, options(t, g)) // there is no clone yet
	if err := r.Bring(t.Context(), "refs/pull/7/head", proposed); err != nil {
		t.Fatal(err)
	}
	if at, err := r.Head(); err != nil || at != head || !r.Holds(proposed) {
		t.Errorf("head %s, %v, proposal held: %v", at, err, r.Holds(proposed))
	}
}

func TestBranch_IsMadeRewrittenAndDeletedOnlyFromWhereItWas(t *testing.T) {
	onEachServer(t, func(t *testing.T, g *testenv.Git) {
		base := write(t, g, map[string]string{"desired/a.yaml": "a", "stages/a/production.yaml": "1"})
		r := open(t, options(t, g))
		fetch(t, r)
		stage := func(text string) Change { return change(map[string]string{"stages/a/production.yaml": text}) }
		at := func() string {
			t.Helper()
			l, err := r.Listing(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if l.Head != g.Head() {
				t.Errorf("main at %s, want %s", l.Head, g.Head())
			}
			return l.Branch("poundlock/x")
		}
		first, err := r.Branch(t.Context(), "poundlock/x", "", base, stage("2"))
		if err != nil || at() != first || g.Head() != base {
			t.Fatalf("made: %s, %v, branch at %s", first, err, at())
		}
		if _, err := r.Branch(t.Context(), "poundlock/x", "", base, stage("3")); !errors.Is(err, ErrRejected) || at() != first {
			t.Errorf("made twice: %v, want it rejected", err)
		}
		later := write(t, g, map[string]string{"desired/a.yaml": "b"})
		fetch(t, r)
		second, err := r.Branch(t.Context(), "poundlock/x", first, later, stage("3"))
		if err != nil || at() != second {
			t.Fatalf("rewritten on a later head: %s, %v, branch at %s", second, err, at())
		}
		if _, err := r.Branch(t.Context(), "poundlock/x", first, later, stage("4")); !errors.Is(err, ErrRejected) || at() != second {
			t.Errorf("rewritten from where it is not: %v, want it rejected", err)
		}
		g.Proxy().Reset()
		if same, err := r.Branch(t.Context(), "poundlock/x", second, later, stage("1")); err != nil || same != later || g.Requests() != 0 {
			t.Errorf("a change of nothing: %s, %v, %d requests", same, err, g.Requests())
		}
		if _, err := r.Branch(t.Context(), "main", later, later, stage("5")); err == nil || g.Head() != later {
			t.Errorf("our own branch was moved: %v", err)
		}
		if err := r.DeleteBranch(t.Context(), "poundlock/x", first); !errors.Is(err, ErrRejected) || at() != second {
			t.Errorf("deleted from where it is not: %v, want it rejected", err)
		}
		if err := r.DeleteBranch(t.Context(), "poundlock/x", second); err != nil || at() != "" {
			t.Errorf("deleted: %v, branch at %q", err, at())
		}
		if err := r.DeleteBranch(t.Context(), "poundlock/x", second); err != nil {
			t.Errorf("deleted what is gone: %v", err)
		}
	})
}

// The server takes the push and its answer is lost.
func TestBranch_FindsOutWhatBecameOfAPush(t *testing.T) {
	g := fleet(t)
	base := write(t, g, map[string]string{"desired/a.yaml": "a"})
	r := open(t, options(t, g))
	fetch(t, r)
	g.Proxy().Break(func(req *http.Request) *testenv.Fault {
		if isPush(req) {
			return &testenv.Fault{Lose: true}
		}
		return nil
	})
	commit, err := r.Branch(t.Context(), "poundlock/x", "", base, change(map[string]string{"stages/a/production.yaml": "1"}))
	if err != nil || commit == "" {
		t.Errorf("a push that arrived is taken for a failed one: %v", err)
	}
}

func TestState_IsABranchOfItsOwn(t *testing.T) {
	onEachServer(t, func(t *testing.T, g *testenv.Git) {
		head := write(t, g, map[string]string{"desired/a.yaml": "a"})
		o := options(t, g)
		o.State = "state"
		r := open(t, o)
		fetch(t, r)
		if at, err := r.StateHead(); err != nil || at != "" {
			t.Fatalf("before it was made it is at %q, %v", at, err)
		}
		record := func(text string) Change { return change(map[string]string{"rendered/s1/x": text}, "rendered/s1") }
		first, err := r.CommitState(t.Context(), head, "", record("1"))
		if err != nil || g.Head() != head {
			t.Fatalf("made: %s, %v", first, err)
		}
		if files, err := g.Files("state"); err != nil || !maps.Equal(files, map[string]string{"rendered/s1/x": "1"}) {
			t.Errorf("it holds %v, %v", files, err)
		}
		if _, err := r.CommitState(t.Context(), head, "", record("2")); !errors.Is(err, ErrRejected) {
			t.Errorf("made twice: %v, want it rejected", err)
		}
		other := open(t, Options{URL: o.URL, Branch: "main", State: "state", Dir: t.TempDir(), HTTP: o.HTTP, Author: o.Author})
		fetch(t, other)
		second, err := other.CommitState(t.Context(), head, first, record("2"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.CommitState(t.Context(), head, first, record("3")); !errors.Is(err, ErrRejected) {
			t.Errorf("on what another moved: %v, want it rejected", err)
		}
		fetch(t, r)
		if at, err := r.StateHead(); err != nil || at != second {
			t.Errorf("after a fetch it is at %s, %v, want %s", at, err, second)
		}
		moved := write(t, g, map[string]string{"desired/a.yaml": "b"})
		if _, err := r.CommitState(t.Context(), head, second, record("4")); !errors.Is(err, ErrRejected) {
			t.Errorf("while the inputs moved: %v, want it rejected", err)
		}
		if fetch(t, r) != moved {
			t.Errorf("main was not fetched")
		}
		third, err := r.CommitState(t.Context(), moved, second, record("4"))
		if err != nil {
			t.Fatal(err)
		}
		again := open(t, o) // the next process
		if at, err := again.StateHead(); err != nil || at != third {
			t.Errorf("the next process has it at %s, %v, want %s", at, err, third)
		}
		if err := g.Point("state", ""); err != nil {
			t.Fatal(err)
		}
		fetch(t, r)
		if at, err := r.StateHead(); err != nil || at != "" {
			t.Errorf("somebody deleted it, and it is at %q, %v", at, err)
		}
	})
}

func TestDiffer_ListsWhatIsNotAlike(t *testing.T) {
	g := fleet(t)
	p := newPerson(t, g)
	before := p.commit("", "before", map[string]string{"fleet/desired/a.yaml": "a", "fleet/desired/gone/b.yaml": "b", "fleet/stages/x/production.yaml": "1",
		"fleet/rendered/s/x": "x", "top": "t", "fleetish": "f"})
	p.git("rm", "-q", "-r", "fleet/desired/gone")
	after := p.commit("", "after", map[string]string{"fleet/stages/x/production.yaml": "2", "fleet/stages/y/z.yaml": "z", "fleet/rendered/s/y": "y",
		"top": "u", "elsewhere/new": "n", "fleet/desired/gone": "a file now"})
	p.push()
	for _, path := range []string{"fleet", ""} {
		o := options(t, g)
		o.Path = path
		r := open(t, o)
		fetch(t, r)
		in := func(names ...string) []string {
			for i := range names {
				names[i] = strings.TrimPrefix(join(strings.Replace("fleet", path, "", 1), names[i]), "/")
			}
			slices.Sort(names)
			return names
		}
		dirs := in("desired", "stages")
		got, err := r.Differ(before, after, dirs...)
		if want := in("desired/gone", "desired/gone/b.yaml", "stages/x/production.yaml", "stages/y/z.yaml"); err != nil || !slices.Equal(got, want) {
			t.Errorf("path %q: %q, %v, want %q", path, got, err, want)
		}
		if all, err := r.Differ(before, after); err != nil || path == "" && len(all) != 7 || path != "" && len(all) != 5 {
			t.Errorf("path %q: all %q, %v", path, all, err)
		}
		if same, err := r.Differ(after, after); err != nil || len(same) > 0 {
			t.Errorf("path %q: a commit differs from itself in %q, %v", path, same, err)
		}
	}
	o := options(t, g)
	o.Limits.Files = 2
	r := open(t, o)
	fetch(t, r)
	if _, err := r.Differ(before, after); !errors.As(err, new(mirror.Problems)) {
		t.Errorf("over the limit: %v, want problems", err)
	}
}
