package daemon

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// stateBranch is where the sites of these tests keep rendered/.
const stateBranch = "poundlock-state"

// apart gives a configuration by which rendered/ has a branch of its own.
func apart(config string) string {
	return strings.Replace(config, "  insecure: true\n", "  insecure: true\n  stateBranch: "+stateBranch+"\n", 1)
}

// apartSite is a site with the sets web and other, whose main takes no push of the daemon.
func apartSite(t *testing.T) *site {
	t.Helper()
	s := pausedSite(t)
	s.config = apart(s.config)
	return s
}

// onState gives a file of the branch of rendered/; "" where it is not there.
func (s *site) onState(name string) string {
	s.t.Helper()
	files, err := s.git.Files(stateBranch)
	if err != nil {
		s.t.Fatal(err)
	}
	return files[name]
}

// commitState changes a file on the branch of rendered/ as a person would.
func (s *site) commitState(name, text string) {
	s.t.Helper()
	files := must(s.git.Files(stateBranch))(s.t)
	files[name] = text
	keep := s.git.Head()
	if err := s.git.Point("main", s.stateHead()); err != nil {
		s.t.Fatal(err)
	}
	head := s.commit("by hand", map[string]string{name: text})
	for branch, at := range map[string]string{stateBranch: head, "main": keep} {
		if err := s.git.Point(branch, at); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *site) stateHead() string {
	s.t.Helper()
	if s.line == nil {
		s.open()
	}
	l, err := s.line.git.Listing(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return l.Branch(stateBranch)
}

func TestStateBranch_TakesAllThatIsRendered(t *testing.T) {
	t.Parallel()
	s := apartSite(t)
	first := s.pushSigned("docker.io/library/web:1", "first")
	main := s.git.Head()
	s.sync()
	if s.git.Head() != main {
		t.Errorf("main moved, though it is protected: %v", must(s.git.Files("main"))(t))
	}
	files := must(s.git.Files(stateBranch))(t)
	for name := range files {
		if !strings.HasPrefix(name, "rendered/demo/") {
			t.Errorf("%s lies on the branch of rendered/", name)
		}
	}
	const record = "rendered/demo/record/web/snapshot.yaml"
	if !strings.Contains(files[record], first.Digest.String()) {
		t.Errorf("the record does not say what stands:\n%s", files[record])
	}
	made := s.stateHead()
	for _, when := range []string{"at rest", "after the state was deleted"} {
		s.sync()
		if at := s.stateHead(); at != made {
			t.Errorf("%s it was committed again", when)
		}
		s.close()
		if err := os.RemoveAll(filepath.Join(s.dir, "state")); err != nil {
			t.Fatal(err)
		}
	}
	next := s.pushSigned("docker.io/library/web:1", "next")
	s.commit("promote", map[string]string{"stages/web/staging.yaml": "version: 1\nentries:\n  docker.io/library/web:1: " + first.String() + "\n"})
	s.sync()
	if s.tag("mirror/snapshot/docker.io/library/web", "1") != next.Digest || s.tag("mirror/staging/docker.io/library/web", "1") != first.Digest {
		t.Errorf("tags: %v", testenv.TagsOf(s.local.Back()))
	}
	if text := s.onState("rendered/demo/record/web/staging.yaml"); !strings.Contains(text, first.Digest.String()) {
		t.Errorf("the record above the first stage:\n%s", text)
	}
	if text := s.onState(record); !strings.Contains(text, first.Digest.String()) {
		t.Errorf("the record forgot what stood before:\n%s", text)
	}
}

func TestStateBranch_IdleCostsOneListing(t *testing.T) {
	t.Parallel()
	s := apartSite(t)
	s.pushSigned("docker.io/library/web:1", "first")
	s.sync()
	s.git.Proxy().Reset()
	if _, err := s.line.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := s.git.Requests(); n != 1 {
		t.Errorf("%d requests to Git, want 1: %q", n, s.git.Proxy().Counts().Paths)
	}
}

func TestStateBranch_TakesSuspensionsOfDaemonsAndPeople(t *testing.T) {
	t.Parallel()
	s := apartSite(t)
	first := s.pushSigned("docker.io/library/web:1", "first")
	s.open()
	if _, err := s.line.Suspend(t.Context(), "other", "before anything was committed", "ops"); err != nil {
		t.Fatal(err)
	}
	main := s.git.Head()
	s.sync()
	if s.git.Head() != main || !strings.Contains(s.onState(suspendedFile), "before anything") {
		t.Errorf("main at %s, the file:\n%s", s.git.Head(), s.onState(suspendedFile))
	}
	if s.tag("mirror/snapshot/docker.io/library/other", "1") != (mirror.Digest{}) {
		t.Error("a suspended set was moved")
	}
	const repository = "mirror/snapshot/docker.io/library/web"
	s.commitState(suspendedFile, "version: 1\nsuspended: {web: freeze}\n")
	next := s.pushSigned("docker.io/library/web:1", "next")
	s.sync()
	if s.tag(repository, "1") != first.Digest || s.tag("mirror/snapshot/docker.io/library/other", "1") == (mirror.Digest{}) {
		t.Errorf("an edit on the branch was not obeyed: %v", testenv.TagsOf(s.local.Back()))
	}
	if _, ok, err := s.line.Resume(t.Context(), "web", "ops"); err != nil || !ok {
		t.Fatalf("resume: %v, %v", ok, err)
	}
	s.sync()
	if s.tag(repository, "1") != next.Digest {
		t.Error("a set that was resumed was not moved")
	}
	s.commitState(suspendedFile, "version: 1\nsuspended: [\n")
	if _, err := s.trySync(); !slices.Contains(codesOf(err), "FLT030") {
		t.Errorf("a file that cannot be read: %v", err)
	}
	if _, held := s.line.Suspended("web"); !held {
		t.Error("nobody knows what is suspended, and nothing is held")
	}
}

// Somebody changes what is wanted just before the record is pushed: the record is never one of older wishes.
func TestStateBranch_IsCommittedToForTheHeadThatItIsOf(t *testing.T) {
	t.Parallel()
	s := apartSite(t)
	first := s.pushSigned("docker.io/library/web:1", "first")
	s.sync()
	next := s.pushSigned("docker.io/library/web:1", "next")
	var once atomic.Bool
	s.git.Proxy().Break(func(r *http.Request) *testenv.Fault {
		if strings.Contains(r.URL.RawQuery, "git-receive-pack") && once.CompareAndSwap(false, true) {
			if _, err := s.git.Commit(r.Context(), "meanwhile", map[string]string{"stages/web/staging.yaml": "version: 1\nentries:\n  docker.io/library/web:1: " + first.String() + "\n"}); err != nil {
				t.Error(err)
			}
		}
		return nil
	})
	s.sync()
	if !once.Load() || s.tag("mirror/snapshot/docker.io/library/web", "1") != next.Digest || s.tag("mirror/staging/docker.io/library/web", "1") != first.Digest {
		t.Errorf("tags: %v", testenv.TagsOf(s.local.Back()))
	}
	if text := s.onState("rendered/demo/record/web/staging.yaml"); !strings.Contains(text, first.Digest.String()) {
		t.Errorf("the record:\n%s", text)
	}
}

// Two daemons of one site, each with a state of its own, and people who promote meanwhile.
func TestStateBranch_OfTwoDaemonsNoneLosesWhatTheOtherWrote(t *testing.T) {
	t.Parallel()
	s := apartSite(t)
	twin := *s
	twin.dir, twin.line = memoryDir(t), nil
	twin.config = strings.Replace(s.config, filepath.Join(s.dir, "state"), filepath.Join(twin.dir, "state"), 1)
	t.Cleanup(twin.close)
	const rounds = 6
	var last mirror.Reference
	for i := range rounds {
		last = s.pushSigned("docker.io/library/web:1", strings.Repeat("x", i+1))
		s.pushSigned("docker.io/library/other:1", strings.Repeat("y", i+1))
		if i == rounds/2 {
			s.commit("promote", map[string]string{"stages/web/staging.yaml": "version: 1\nentries:\n  docker.io/library/web:1: " + last.String() + "\n"})
		}
		var both errgroup.Group
		for _, one := range []*site{s, &twin} {
			if one.line == nil {
				one.open()
			}
			both.Go(func() error {
				_, err := one.line.Sync(t.Context(), Wake{Why: "test", Resolve: true, Audit: true})
				return err
			})
		}
		if err := both.Wait(); err != nil {
			t.Logf("round %d: %v", i, err) // one may find that the other was there first
		}
	}
	s.sync()
	twin.sync()
	at := s.stateHead()
	s.sync()
	twin.sync()
	if s.stateHead() != at {
		t.Error("two daemons at rest go on committing")
	}
	if text := s.onState("rendered/demo/record/web/snapshot.yaml"); !strings.Contains(text, last.Digest.String()) || s.tag("mirror/snapshot/docker.io/library/web", "1") != last.Digest {
		t.Errorf("the record:\n%s", text)
	}
	if s.onState("rendered/demo/record/other/snapshot.yaml") == "" || s.onState("rendered/demo/record/web/staging.yaml") == "" {
		t.Error("what one of them wrote is gone")
	}
}

func TestStateBranch_IsReadWithoutTheNetwork(t *testing.T) {
	t.Parallel()
	s := apartSite(t)
	first := s.pushSigned("docker.io/library/web:1", "first")
	s.sync()
	s.close()
	s.open()
	if _, err := s.line.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	f := *s.line.fleet.Load()
	s.line.offline = true
	read, err := s.line.newest(t.Context())
	if err == nil {
		read, err = s.line.atState(t.Context(), read)
	}
	if err != nil || read.state != f.state || read.state == "" {
		t.Fatalf("offline it is at %v, %v, want %s", read, err, f.state)
	}
	set, _ := read.desired.Set("web")
	record, err := s.line.record(read, set)
	if line := record.At("snapshot")["docker.io/library/web:1"]; err != nil || line.Image.Digest != first.Digest {
		t.Errorf("the record says %v, %v", line, err)
	}
}

// personState commits on top of the branch of rendered/, or of another commit, signed with a key.
func (s *vouchedSite) personState(key, on, text string) string {
	s.t.Helper()
	s.run("fetch", "-q", "origin", stateBranch)
	if on == "" {
		on = "FETCH_HEAD"
	}
	s.run("checkout", "-q", "--detach", on)
	commit := s.person(key, "by "+key, map[string]string{suspendedFile: text})
	s.run("push", "-q", "-f", "origin", "HEAD:"+stateBranch)
	s.run("checkout", "-q", "main")
	return commit
}

func TestSignedFleet_WhoSuspendsOnTheStateBranchMustSign(t *testing.T) {
	t.Parallel()
	s := newVouchedSite(t)
	s.config = apart(s.config)
	s.pushSigned("docker.io/library/web:1", "first")
	s.sync()
	if files := must(s.git.Files(stateBranch))(t); len(files) == 0 {
		t.Fatal("nothing was rendered")
	}
	before := s.stateHead()
	s.personState("alice", "", "version: 1\nsuspended: {web: freeze}\n")
	s.sync()
	if held, is := s.line.Suspended("web"); !is || held.Reason != "freeze" {
		t.Errorf("a signed suspension: %v, %v", held, is)
	}
	signed := s.stateHead()
	held := func(when, code string) {
		t.Helper()
		if _, err := s.trySync(); !slices.Contains(codesOf(err), code) {
			t.Errorf("%s: %v, want %s", when, err, code)
		}
		f := s.line.fleet.Load()
		if len(f.held) == 0 || f.held[0].Code != code {
			t.Errorf("%s: held by %v, want %s", when, f.held, code)
		}
		if _, is := s.line.Suspended("web"); !is {
			t.Errorf("%s: the set goes on", when)
		}
		if _, _, err := s.line.Resume(t.Context(), "web", "ops"); !slices.Contains(codesOf(err), code) {
			t.Errorf("%s: resumed with %v", when, err)
		}
	}
	s.personState("mallory", "", "version: 1\n")
	held("resumed by a stranger", "GIT034")
	s.close()
	held("in the next process", "GIT034")
	s.run("push", "-q", "-f", "origin", before+":"+stateBranch)
	held("set back to before", "GIT035")
	s.run("push", "-q", "-f", "origin", signed+":"+stateBranch)
	s.sync()
	if held, is := s.line.Suspended("web"); !is || held.Reason != "freeze" {
		t.Errorf("put back: %v, %v", held, is)
	}
	s.run("push", "-q", "origin", ":"+stateBranch)
	held("deleted", "GIT035")
	if a, err := s.line.Acknowledge(t.Context(), "", "ops"); err != nil || !a.Needed {
		t.Fatalf("acknowledge: %+v, %v", a, err)
	}
	s.sync()
	if _, is := s.line.Suspended("web"); is {
		t.Error("it was acknowledged that nothing is suspended")
	}
	if s.stateHead() == "" {
		t.Error("the branch was not made anew")
	}
}

func TestStateBranch_ABranchThatRefusesThePushSaysSo(t *testing.T) {
	t.Parallel()
	s := apartSite(t)
	s.pushSigned("docker.io/library/web:1", "first")
	s.git.Proxy().Break(func(r *http.Request) *testenv.Fault {
		if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "git-receive-pack") {
			return &testenv.Fault{Status: http.StatusForbidden}
		}
		return nil
	})
	if _, err := s.trySync(); err == nil || !strings.Contains(err.Error(), "push") {
		t.Errorf("nothing says that the push was refused: %v", err)
	}
	s.git.Proxy().Break(nil)
	s.sync()
	if s.onState("rendered/demo/record/web/snapshot.yaml") == "" {
		t.Error("nothing was recorded")
	}
}

func TestDesk_IsCalledForProposalsWhoseHeadsMoved(t *testing.T) {
	t.Parallel()
	s := pausedSite(t)
	s.open()
	point := func(ref, commit string) {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), "git", "-C", s.git.Dir(), "update-ref", ref, commit).CombinedOutput(); err != nil {
			t.Skipf("there is no git: %v %s", err, out)
		}
	}
	called := func(when string, want ...int) {
		t.Helper()
		s.line.desk.take()
		s.git.Proxy().Reset()
		if _, err := s.line.refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := s.git.Requests(); n != 1 {
			t.Errorf("%s: %d requests, want 1", when, n)
		}
		if e, _ := s.line.desk.take(); e.all || !slices.Equal(e.numbers, want) {
			t.Errorf("%s: the desk was called for %v, want %v", when, e, want)
		}
	}
	first := s.git.Head()
	point("refs/pull/7/head", first)
	if _, err := s.line.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	called("nothing moved")
	next, err := s.git.PutCommit("pushed to a proposal", must(s.git.PutTree())(t), first)
	if err != nil {
		t.Fatal(err)
	}
	point("refs/pull/7/head", next)
	point("refs/merge-requests/3/head", next)
	called("two moved", 3, 7)
	called("and rest again")
}
