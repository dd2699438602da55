package daemon

import (
	"cmp"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// loses deletes parts of a repository of the local registry on its disk, as whoever cleans up there by hand does, and
// starts it anew.
func (s *site) loses(repository, part string) {
	s.t.Helper()
	gone := 0
	err := filepath.WalkDir(filepath.Join(s.dir, "local"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() || !strings.HasSuffix(path, filepath.Join("/", repository, part)) {
			return err
		}
		gone++
		return cmp.Or[error](os.RemoveAll(path), fs.SkipDir)
	})
	if err != nil || gone == 0 {
		s.t.Fatalf("%d deleted: %v", gone, err)
	}
	if err := s.local.Restart(); err != nil {
		s.t.Fatal(err)
	}
}

// A promotion of what the local registry has lost says so, and not that upstream did, and it heals as soon as upstream
// answers.
func TestPromote_WhatTheRegistryLostComesFromUpstreamAgain(t *testing.T) {
	t.Parallel()
	for part, trouble := range map[string]string{"": "all of it", "_manifests": "its manifests", "_layers": "its layers"} {
		t.Run(trouble, func(t *testing.T) {
			s, web, tool := promoteSite(t, "")
			s.sync()
			s.loses("mirror/snapshot/"+webRepository, part)
			s.upstream.Proxy().Break(testenv.Always(func(*http.Request) bool { return true }, testenv.Fault{Status: http.StatusServiceUnavailable}))
			s.commit("promote", map[string]string{"stages/tools/staging.yaml": stageOf(web, tool)})
			var last mirror.Action
			retries := func(until func() bool) time.Duration {
				began := s.now
				for range 12 {
					seen := []Report{}
					for w := (Wake{Why: "poll"}); ; {
						seen = append(seen, slices.Collect(maps.Values(s.cycle(w)))...)
						if !s.line.busy() {
							break
						}
						w = must(s.line.arrival(t.Context()))(t)
					}
					for _, r := range seen {
						for _, a := range r.Plan.Actions {
							if a.Stage == "staging" && a.Key.Entry == webImage {
								last = a
							}
						}
					}
					next := s.line.progress("tools").nextLook()
					if until() {
						break
					}
					if next.IsZero() {
						t.Fatalf("nothing is tried again: %+v", last)
					}
					s.now = next
				}
				return s.now.Sub(began)
			}
			said := false
			retries(func() bool {
				if last.Kind == mirror.Missing {
					t.Errorf("it is said to be missing upstream: %s", last.Reason)
				}
				said = said || strings.Contains(last.Reason.Detail, "the local registry has lost")
				return s.now.Sub(time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)) > time.Minute
			})
			for _, e := range s.events("") {
				said = said || strings.Contains(e.Reason, "the local registry has lost")
			}
			if !said {
				t.Errorf("nothing says that the registry lost it: %s %s", last.Kind, last.Reason)
			}
			s.upstream.Proxy().Break(nil)
			took := retries(func() bool {
				return s.tag("mirror/staging/"+webRepository, "1") == web.Digest && s.tag("mirror/snapshot/"+webRepository, "1") == web.Digest
			})
			s.whole()
			if took > lastRetry || s.tag("mirror/staging/"+webRepository, "1") != web.Digest {
				t.Errorf("after %s: %s %s", took, last.Kind, last.Reason)
			}
		})
	}
}

const webRepository = "docker.io/library/web"
