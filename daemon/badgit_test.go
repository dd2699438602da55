package daemon

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/testenv"
)

// A Git server that lets nobody in, refuses or is away is said with its address and without a secret, at
// every point of the cycle at which it can happen; no tag moves and no registry is asked before.
func TestBadGit_StopsBeforeAnythingMoves(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
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
