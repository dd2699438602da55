package daemon

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// pushing lets what happen once, right when a push of ours has reached the server: before the server told
// where the branch is, or after.
func (s *site) pushing(after bool, what func()) {
	done := false
	s.git.Proxy().Break(func(r *http.Request) *testenv.Fault {
		told := r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/git-receive-pack")
		telling := strings.Contains(r.URL.RawQuery, "service=git-receive-pack")
		if !done && (after && told || !after && telling) {
			done = true
			what()
		}
		return nil
	})
}

// The branch moves while we push. What people did is never undone; where their change is none of ours, our
// commit is made on it, and where it is, the plan is made anew.
func TestRejectedPush_NeverUndoesWhatPeopleDid(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		when := map[bool]string{false: " before the refs are told", true: " after"}[after]
		t.Run("inputs as before"+when, func(t *testing.T) {
			s, web, next := pendingPush(t)
			var theirs string
			s.pushing(after, func() { theirs = s.commit("theirs", map[string]string{"README.md": "hello\n"}) })
			s.sync()
			s.published(t, theirs, next.Digest, web.Digest)
			if s.file("README.md") != "hello\n" {
				t.Error("their file is gone")
			}
		})
		t.Run("inputs changed"+when, func(t *testing.T) {
			s, web, next := pendingPush(t)
			renewed := s.push("docker.io/library/next:1", "renewed")
			var theirs string
			s.pushing(after, func() {
				theirs = s.commit("theirs", map[string]string{"desired/web.txt": list(web, renewed)})
			})
			s.sync()
			s.published(t, theirs, renewed.Digest, web.Digest)
			if got := s.tag("mirror/snapshot/docker.io/library/next", "1"); got != renewed.Digest {
				t.Errorf("the tag names %s, want what is desired now: %s (it was %s)", got, renewed.Digest, next.Digest)
			}
		})
		t.Run("reset, inputs as before"+when, func(t *testing.T) {
			s, web, next := pendingPush(t)
			kept := s.git.Head()
			dropped := s.commit("to be dropped", map[string]string{"README.md": "hello\n"})
			s.pushing(after, func() { point(t, s, kept) })
			s.sync()
			s.published(t, kept, next.Digest, web.Digest)
			s.notInLog(t, dropped)
		})
		t.Run("reset, inputs changed"+when, func(t *testing.T) {
			s, web, next := pendingPush(t)
			dropped := s.git.Head() // it asks for next
			kept := must(s.git.Log())(t)[1].ID
			s.pushing(after, func() { point(t, s, kept) })
			if _, err := s.trySync(); err != nil {
				t.Fatal(err)
			}
			s.notInLog(t, dropped)
			record := s.file("rendered/demo/web/snapshot.yaml")
			if strings.Contains(record, next.Digest.String()) || !strings.Contains(record, web.Digest.String()) {
				t.Errorf("the record is to be of what is desired after the reset:\n%s", record)
			}
		})
	}
}

// pendingPush makes a site where a second image is asked for and not yet there.
func pendingPush(t *testing.T) (s *site, web, next mirror.Reference) {
	t.Helper()
	s, web = standing(t)
	next = s.push("docker.io/library/next:1", "next")
	s.commit("next", map[string]string{"desired/web.txt": list(web, next)})
	return s, web, next
}

// published fails the test unless the last commits are ours on theirs, and the record holds the digests.
func (s *site) published(t *testing.T, theirs string, digests ...mirror.Digest) {
	t.Helper()
	log := must(s.git.Log())(t)
	i := slices.IndexFunc(log, func(c testenv.GitCommit) bool { return c.ID == theirs })
	if i < 1 {
		t.Fatalf("their commit %s is not below ours: %v", theirs, log)
	}
	for _, c := range log[:i] {
		if !strings.Contains(c.Message, "Poundlock-Cycle: ") {
			t.Errorf("above theirs is a commit that is not ours: %s", c.Message)
		}
	}
	for _, d := range digests {
		if record := s.file("rendered/demo/web/snapshot.yaml"); !strings.Contains(record, d.String()) {
			t.Errorf("the record lacks %s:\n%s", d, record)
		}
	}
	s.whole()
}

// notRecorded fails the test when the record or an override names an image.
func (s *site) notRecorded(image mirror.Reference) {
	s.t.Helper()
	for name, text := range must(s.git.Files("main"))(s.t) {
		if strings.HasPrefix(name, "rendered/") && strings.Contains(text, image.Digest.String()) {
			s.t.Errorf("%s names %s:\n%s", name, image, text)
		}
	}
}

func (s *site) notInLog(t *testing.T, commit string) {
	t.Helper()
	for _, c := range must(s.git.Log())(t) {
		if c.ID == commit {
			t.Errorf("%s is back, which a person took away: %s", commit, c.Message)
		}
	}
}

// A branch that refuses every push is said in the server's words; nothing is forced and the tags are written
// down once it lets us.
func TestRejectedPush_RefusedByTheServer(t *testing.T) {
	t.Parallel()
	s, _, next := pendingPush(t)
	head := s.git.Head()
	pushes := s.refusePushes(20)
	_, err := s.trySync()
	if n := pushes.Load(); n > 4 {
		t.Errorf("%d pushes in one sync", n)
	}
	if err == nil || !strings.Contains(err.Error(), "publish: ") || !strings.Contains(err.Error(), s.git.Host()) {
		t.Errorf("got %v, want an error of the push", err)
	} else {
		discreet(t, "the error", err.Error())
	}
	if s.git.Head() != head {
		t.Error("a commit was made")
	}
	s.git.Proxy().Break(nil)
	s.sync()
	s.published(t, head, next.Digest)
}

// refusePushes answers 403 to so many pushes and counts them; the end lets a line that never rests come to an
// end in the test.
func (s *site) refusePushes(most int64) *atomic.Int64 {
	var pushes atomic.Int64
	s.git.Proxy().Break(func(r *http.Request) *testenv.Fault {
		if !strings.HasSuffix(r.URL.Path, "/git-receive-pack") || pushes.Add(1) > most {
			return nil
		}
		return &testenv.Fault{Status: http.StatusForbidden}
	})
	return &pushes
}

// The daemon whose pushes are refused waits for its backoff; what arrives meanwhile does not make it copy and
// push as fast as the servers answer.
func TestRun_RefusedPushesBackOff(t *testing.T) {
	t.Parallel()
	s, _, next := pendingPush(t)
	s.line.config.Schedule = "@every 1h"
	pushes := s.refusePushes(1000)
	ctx, cancel := contextWithCancel(t)
	ended := make(chan error, 1)
	go func() { ended <- s.line.Run(ctx) }()
	until(t, "next is tagged", func() bool { return s.tag("mirror/snapshot/docker.io/library/next", "1") == next.Digest })
	polls := s.git.Requests() + 20
	until(t, "twenty requests to Git", func() bool { return s.git.Requests() >= polls })
	if n := pushes.Load(); n > 4 {
		t.Errorf("%d pushes without a pause", n)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("run: %v", err)
	}
}

// limits.cycle ends a cycle wherever it stands; what was not done by then is done by the next.
func TestDeadline_EndsTheCycleAndChangesNothing(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		hold func(s *site, f testenv.Fault)
		tag  bool // the image may stand: the deadline came after
	}{
		{"while Git is asked", func(s *site, f testenv.Fault) { s.git.Proxy().Break(testenv.Always(everything, f)) }, false},
		{"while the local registry is asked", func(s *site, f testenv.Fault) {
			s.local.Proxy().Break(testenv.Always(testenv.OfKind(testenv.ManifestHead), f))
		}, false},
		{"while a tag is written", func(s *site, f testenv.Fault) {
			s.local.Proxy().Break(testenv.Always(func(r *http.Request) bool {
				return testenv.KindOf(r) == testenv.ManifestPut && strings.HasSuffix(r.URL.Path, "/manifests/1")
			}, f))
		}, false},
		{"while we push", func(s *site, f testenv.Fault) {
			s.git.Proxy().Break(testenv.Always(func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/git-receive-pack") }, f))
		}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, _, next := pendingPush(t)
			head := s.git.Head()
			s.close()
			normal := s.config
			s.config += "limits: {cycle: 400ms, stop: 5s}\n"
			s.open()
			before := s.outside().tags
			held := make(chan struct{})
			defer close(held)
			tt.hold(s, testenv.Fault{Until: held})
			began := time.Now()
			_, err := s.trySync()
			if !errors.Is(err, errCycleDeadline) || !strings.Contains(err.Error(), "limits.cycle") {
				t.Errorf("got %v, want %v", err, errCycleDeadline)
			} else {
				discreet(t, "the error", err.Error())
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("the cycle ended after %v", took)
			}
			s.local.Proxy().Break(nil)
			s.git.Proxy().Break(nil)
			if now := s.outside().tags; !tt.tag && !maps.Equal(now, before) {
				t.Errorf("tags moved: %v", now)
			}
			s.notRecorded(next)
			s.close()
			s.config = normal
			s.open()
			s.sync()
			s.published(t, head, next.Digest)
		})
	}
}
