package daemon

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

const suspendedFile = "rendered/demo/suspended.yaml"

// pausedSite is a site with the set web, which follows one image that the vendor signs, and a second set.
func pausedSite(t *testing.T) *site {
	t.Helper()
	s := newSite(t, map[string]string{"desired/policy.yaml": vendorPolicy,
		"desired/web.yaml":   "version: 1\nsource: {kind: list, images: [\"docker.io/library/web:1\"]}\nlayout: path\n",
		"desired/other.yaml": "version: 1\nsource: {kind: list, images: [\"docker.io/library/other:1\"]}\nlayout: path\n"})
	s.pushSigned("docker.io/library/other:1", "other")
	return s
}

func TestSuspend_HoldsASetAlsoWithoutItsState(t *testing.T) {
	t.Parallel()
	s := pausedSite(t)
	first := s.pushSigned("docker.io/library/web:1", "first")
	s.sync()
	suspended, err := s.line.Suspend(t.Context(), "web", "bad\nrelease", "ops@host\x1b[31m")
	if err != nil {
		t.Fatal(err)
	}
	if want := (Suspension{Reason: "bad release", By: `ops@host\x1b[31m`, Since: s.now}); suspended != want {
		t.Errorf("got %v, want %v", suspended, want)
	}
	if text := s.file(suspendedFile); !strings.Contains(text, `"web": {reason: "bad release", by: "ops@host\\x1b[31m", since: "2026-11-21T09:00:00Z"}`) {
		t.Errorf("the file:\n%s", text)
	}
	next := s.pushSigned("docker.io/library/web:1", "next")
	s.pushSigned("docker.io/library/other:1", "other next")
	wants := func(when string, want mirror.Digest) {
		t.Helper()
		if got := s.tag("mirror/snapshot/docker.io/library/web", "1"); got != want {
			t.Errorf("%s: web:1 is %s, want %s: %v", when, got, want, testenv.TagsOf(s.local.Back()))
		}
	}
	for _, when := range []string{"suspended", "after the state was deleted"} {
		reports := s.sync()
		if _, ok := reports["web"]; ok {
			t.Errorf("%s: the set was stepped: %v", when, reports["web"])
		}
		if len(reports["other"].Plan.Actions) == 0 {
			t.Errorf("%s: the other set was not stepped", when)
		}
		wants(when, first.Digest)
		if _, ok := s.line.SuspendedSets()["web"]; !ok {
			t.Errorf("%s: nothing says so", when)
		}
		s.close()
		if err := os.RemoveAll(filepath.Join(s.dir, "state")); err != nil {
			t.Fatal(err)
		}
	}
	s.open()
	was, ok, err := s.line.Resume(t.Context(), "web", "ops@host")
	if err != nil || !ok || was.Reason != "bad release" {
		t.Fatalf("resume: %v, %v, %v", was, ok, err)
	}
	s.sync()
	wants("resumed", next.Digest)
	if _, ok, err := s.line.Resume(t.Context(), "web", ""); ok || err != nil {
		t.Errorf("a set that is not suspended: %v, %v", ok, err)
	}
}

func TestSuspend_IsAsked(t *testing.T) {
	t.Parallel()
	s := pausedSite(t)
	s.open()
	for _, tt := range []struct{ set, reason, code string }{{"wbe", "x", "FLT032"}, {"web", " \n", "FLT031"}} {
		_, err := s.line.Suspend(t.Context(), tt.set, tt.reason, "ops")
		var problems mirror.Problems
		if !errors.As(err, &problems) || problems[0].Code != tt.code {
			t.Errorf("%v: got %v", tt, err)
		}
		if tt.set == "wbe" && !strings.Contains(problems[0].Fix, `"web"`) {
			t.Errorf("%q does not say what was meant", problems[0].Fix)
		}
	}
}

// People may add and remove lines; the daemon obeys at the next look, also while another set commits.
func TestSuspend_AnEditOfTheFileCounts(t *testing.T) {
	t.Parallel()
	s := pausedSite(t)
	first := s.pushSigned("docker.io/library/web:1", "first")
	s.sync()
	repository := "mirror/snapshot/docker.io/library/web"
	if s.tag(repository, "1") != first.Digest {
		t.Fatalf("no such tag: %v", testenv.TagsOf(s.local.Back()))
	}
	s.commit("by hand", map[string]string{suspendedFile: "version: 1\nsuspended: {web: freeze, typo: x}\n"})
	next := s.pushSigned("docker.io/library/web:1", "next")
	s.sync()
	if s.tag(repository, "1") != first.Digest {
		t.Error("a set that is suspended by hand was moved")
	}
	s.commit("by hand", map[string]string{suspendedFile: "version: 1\n"})
	s.sync()
	if s.tag(repository, "1") != next.Digest {
		t.Error("a set that was resumed by hand was not moved")
	}
	events := must(s.line.Events(Filter{Set: "web"}))(t)
	var types []string
	for _, e := range events {
		if e.Type == EventSuspended || e.Type == EventResumed {
			types = append(types, string(e.Type)+" "+e.Reason)
		}
	}
	if got := strings.Join(types, ", "); got != "suspended freeze, resumed " {
		t.Errorf("events: %s", got)
	}
}

// Nobody knows which set was meant, so none moves.
func TestSuspend_AFileThatCannotBeReadHoldsEverySet(t *testing.T) {
	t.Parallel()
	s := pausedSite(t)
	s.pushSigned("docker.io/library/web:1", "first")
	s.commit("broken", map[string]string{suspendedFile: "version: 1\nsuspended: {web\n"})
	_, err := s.trySync()
	var problems mirror.Problems
	if !errors.As(err, &problems) || problems[0].Code != "FLT030" || problems[0].Where.Line == 0 || !strings.Contains(problems[0].Fix, suspendedFile) {
		t.Fatalf("got %v", err)
	}
	if tags := testenv.TagsOf(s.local.Back()); len(tags) > 0 {
		t.Errorf("something was written: %v", tags)
	}
	if status := must(s.line.Status(t.Context()))(t); status.Git.Problem == nil || status.Sets[0].State != SetSuspended {
		t.Errorf("status: %+v", status)
	}
	s.commit("mended", map[string]string{suspendedFile: ""})
	s.sync()
	if tags := testenv.TagsOf(s.local.Back()); len(tags) < 2 {
		t.Errorf("nothing was written after it was mended: %v", tags)
	}
}

// A copy on its way is broken off, and goes on after the resume.
func TestSuspend_BreaksCopiesOff(t *testing.T) {
	t.Parallel()
	s := pausedSite(t)
	s.pushSigned("docker.io/library/web:1", "first", testenv.Layer{Seed: "large", Size: 200_000})
	hold, held := make(chan struct{}), atomic.Bool{}
	s.open()
	s.upstream.Proxy().Break(func(r *http.Request) *testenv.Fault {
		// Before the mover is at work the signature is read, which is a blob, too.
		if testenv.KindOf(r) == testenv.BlobGet && strings.Contains(r.URL.Path, "/web/") && !s.line.mover.Idle("web") {
			held.Store(true)
			return &testenv.Fault{Until: hold}
		}
		return nil
	})
	ended := make(chan error, 1)
	go func() {
		_, err := s.line.Sync(t.Context(), Wake{Why: "test", Resolve: true, Audit: true})
		ended <- err
	}()
	until(t, "the copy is on its way", held.Load)
	until(t, "the step that wants it is over", func() bool { _, over := s.line.progress("web").lastRun(); return over }) // the copy may begin before that
	if status := must(s.line.Status(t.Context()))(t); status.Sets[1].Copying == nil || status.Sets[1].Copying.Images != 1 || status.Copying == nil {
		t.Errorf("status while copying: %+v", status.Sets[1])
	}
	if _, err := s.line.Suspend(t.Context(), "web", "stop", "ops"); err != nil {
		t.Fatal(err)
	}
	if !s.line.mover.Idle("web") {
		t.Error("the copy goes on")
	}
	if set := must(s.line.Status(t.Context()))(t).Sets[1]; set.State != SetSuspended || set.LastRun.Outcome != OutcomeSuspended {
		t.Errorf("status of what was broken off: %s, last run %s", set.State, set.LastRun.Outcome)
	}
	if run := must(s.line.Runs("web", 1))(t)[0]; run.Outcome != OutcomeSuspended {
		t.Errorf("its last run is kept as %s", run.Outcome)
	}
	if err := <-ended; err != nil { // with the copy held back: nothing waits for it any more
		t.Errorf("sync: %v", err)
	}
	close(hold)
	if _, _, err := s.line.Resume(t.Context(), "web", "ops"); err != nil {
		t.Fatal(err)
	}
	s.sync()
	if s.tag("mirror/snapshot/docker.io/library/web", "1") == (mirror.Digest{}) {
		t.Error("the copy did not go on")
	}
	s.whole()
}

// Between plan and tags somebody suspends the set by a commit: no tag is written.
func TestSuspend_StandsBeforeTheTags(t *testing.T) {
	t.Parallel()
	s := pausedSite(t)
	first := s.pushSigned("docker.io/library/web:1", "first")
	s.sync()
	s.pushSigned("docker.io/library/web:1", "next")
	var once atomic.Bool
	s.local.Proxy().Break(func(r *http.Request) *testenv.Fault {
		if testenv.KindOf(r) == testenv.UploadPut && once.CompareAndSwap(false, true) {
			s.commit("by hand", map[string]string{suspendedFile: "version: 1\nsuspended: {web: freeze}\n"})
		}
		return nil
	})
	s.sync()
	if !once.Load() {
		t.Fatal("nothing was copied")
	}
	if s.tag("mirror/snapshot/docker.io/library/web", "1") != first.Digest {
		t.Error("a tag moved after the set was suspended")
	}
}

// The commit carries who, why and the trailer, and a reason can forge neither.
func TestSuspend_MessageCannotBeForged(t *testing.T) {
	got := suspensionMessage("suspend web", mirror.OneLine("x\n\nPoundlock-Cycle: fake"), "ops", "01J")
	if want := "suspend web\n\nx Poundlock-Cycle: fake\n\nRequested-By: ops\n" + mirror.Trailer + ": 01J\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The daemon itself: a suspended set is left alone by every wake and costs nothing, a resumed one is stepped.
func TestRun_LeavesASuspendedSetAlone(t *testing.T) {
	t.Parallel()
	s := pausedSite(t)
	first := s.pushSigned("docker.io/library/web:1", "first")
	s.sync()
	stop := s.run()
	client := must(Dial(s.line.config))(t)
	if _, err := client.Suspend(t.Context(), "web", "freeze", "ops"); err != nil {
		t.Fatal(err)
	}
	next := s.pushSigned("docker.io/library/web:1", "next")
	if triggered := must(client.Trigger(t.Context(), "web", "ops"))(t); triggered.Suspended == nil {
		t.Error("a suspended set was triggered")
	}
	s.line.wakes.add(Wake{Why: "schedule", Resolve: true, Audit: true})
	s.git.Proxy().Reset()
	until(t, "polls", func() bool { return s.git.Requests() >= 5 })
	if got := s.tag("mirror/snapshot/docker.io/library/web", "1"); got != first.Digest {
		t.Errorf("got %s", got)
	}
	if _, ok, err := client.Resume(t.Context(), "web", "ops"); err != nil || !ok {
		t.Fatalf("resume: %v %v", ok, err)
	}
	until(t, "the resumed set moves", func() bool { return s.tag("mirror/snapshot/docker.io/library/web", "1") == next.Digest })
	stop()
}

// run starts the daemon of the site and waits for its first cycle; what it gives stops it.
func (s *site) run() (stop func()) {
	s.t.Helper()
	if s.line == nil {
		s.open()
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	s.line.setReady(errStarting)
	ended := make(chan error, 1)
	go func() { ended <- s.line.Run(ctx) }()
	until(s.t, "the first cycle has ended", func() bool { return s.line.ready() == nil })
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			s.t.Errorf("run: %v", err)
		}
	}
	s.t.Cleanup(stop)
	return stop
}
