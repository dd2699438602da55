package daemon

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// A Git server that lets nobody in, refuses or is away is said with its address and without a secret, at
// every point of the cycle at which it can happen; no tag moves and no registry is asked before.
func TestBadGit_StopsBeforeAnythingMoves(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault func(*site)
		says  string
	}{
		{"wrong password", func(s *site) { s.git.Password = "another-canary" }, "credentials missing or not accepted"},
		{"403", func(s *site) {
			s.git.Proxy().Break(testenv.Always(everything, testenv.Fault{Status: http.StatusForbidden}))
		}, "credentials missing or not accepted"},
		{"404", func(s *site) {
			s.git.Proxy().Break(testenv.Always(everything, testenv.Fault{Status: http.StatusNotFound}))
		}, "not found"},
		{"500", func(s *site) {
			s.git.Proxy().Break(testenv.Always(everything, testenv.Fault{Status: http.StatusInternalServerError}))
		}, "500"},
		{"reset", func(s *site) { s.git.Proxy().Break(testenv.Always(everything, testenv.Fault{Reset: true})) }, "reset"},
		{"not there", func(s *site) { s.git.Close() }, "refused"},
		{"no branch", func(s *site) { point(s.t, s, "") }, "not found"},
	} {
		for _, when := range []string{"at the start", "later"} {
			t.Run(tt.name+" "+when, func(t *testing.T) {
				s := newSite(t, map[string]string{"desired/policy.yaml": pinnedPolicy, "desired/web.yaml": webSet, "desired/web.txt": "docker.io/library/none:1\n"})
				web := s.push("docker.io/library/web:1", "web")
				if when == "later" {
					s.commit("web", map[string]string{"desired/web.txt": list(web)})
					s.sync()
					web = s.push("docker.io/library/web:2", "web2")
				}
				s.commit("next", map[string]string{"desired/web.txt": list(web)})
				logged := s.listen()
				tt.fault(s)
				before := s.outside()
				s.local.Proxy().Reset()
				_, err := s.trySync()
				if err == nil || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), s.git.Host()) {
					t.Errorf("got %v, want %q of %s", err, tt.says, s.git.Host())
					return
				}
				discreet(t, "what people see", err.Error(), logged.String())
				s.unchanged(before)
				if n := s.local.Proxy().Counts().Total(); n != 0 {
					t.Errorf("%d requests to the local registry without a fleet", n)
				}
			})
		}
	}
}

func everything(*http.Request) bool { return true }

// Git goes away in the middle: before the tags nothing moves, before the commit the tags stand and the next
// cycle writes them down. The work of other cycles is not lost in either case.
func TestBadGit_AwayInTheMiddle(t *testing.T) {
	for _, tt := range []struct {
		name, path string
		tagged     bool
	}{
		{"before the tags", "service=git-upload-pack", false},
		{"before the commit", "service=git-receive-pack", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, web := standing(t)
			next := s.push("docker.io/library/next:1", "next")
			s.commit("next", map[string]string{"desired/web.txt": list(web, next)})
			s.local.Proxy().Reset()
			s.git.Proxy().Break(func(r *http.Request) *testenv.Fault {
				// A manifest was put: next has been copied, and what follows is its tag.
				if s.local.Proxy().Counts().Of(testenv.ManifestPut) > 0 && strings.Contains(r.URL.RawQuery, tt.path) {
					return &testenv.Fault{Status: http.StatusServiceUnavailable}
				}
				return nil
			})
			reports, err := s.trySync()
			text := details(reports["web"].Plan)
			if err != nil {
				text += err.Error()
			}
			if !strings.Contains(text, "503") || !strings.Contains(text, s.git.Host()) {
				t.Errorf("neither error nor plan says what Git answered: %s", text)
			}
			discreet(t, "what people see", text)
			if got := s.tag("mirror/snapshot/docker.io/library/next", "1") == next.Digest; got != tt.tagged {
				t.Errorf("tagged: got %v, want %v\n%s", got, tt.tagged, text)
			}
			s.notRecorded(next)
			s.git.Proxy().Break(nil)
			s.now = s.now.Add(time.Hour)
			s.sync()
			if got := s.tag("mirror/snapshot/docker.io/library/next", "1"); got != next.Digest || !strings.Contains(s.file("rendered/demo/web/snapshot.yaml"), next.Digest.String()) {
				t.Errorf("after Git came back: next names %s, the record is\n%s", got, s.file("rendered/demo/web/snapshot.yaml"))
			}
			s.whole()
		})
	}
}

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
	s, _, next := pendingPush(t)
	head := s.git.Head()
	s.git.Proxy().Break(testenv.Always(func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/git-receive-pack") },
		testenv.Fault{Status: http.StatusForbidden}))
	_, err := s.trySync()
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

// limits.cycle ends a cycle wherever it stands; what was not done by then is done by the next.
func TestDeadline_EndsTheCycleAndChangesNothing(t *testing.T) {
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
