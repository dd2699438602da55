package daemon

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// thousand commits a set of 1,000 pinned entries in 100 repositories and pushes them upstream.
func thousand(t *testing.T) *site {
	t.Helper()
	s := newSite(t, map[string]string{"desired/policy.yaml": pinnedPolicy,
		"desired/many.yaml": "version: 1\nsource: {kind: list, file: many.txt}\nlayout: path\n", "desired/many.txt": "docker.io/library/none:1\n"})
	refs := make([]mirror.Reference, 1000)
	var group errgroup.Group
	group.SetLimit(8)
	for i := range refs {
		group.Go(func() error {
			ref, err := mirror.ParseReference(fmt.Sprintf("docker.io/library/repo%02d:v%d", i/10, i%10))
			if err != nil {
				return err
			}
			d, err := testenv.Push(t.Context(), s.upstream.Back(), ref.Name(), ref.Tag, testenv.Image(fmt.Sprint("repo", i/10)))
			refs[i] = ref.WithDigest(d)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	s.commit("a thousand", map[string]string{"desired/many.txt": list(refs...)})
	return s
}

func TestCycle_NothingChangedCostsOneRefListing(t *testing.T) {
	s := thousand(t)
	if r := s.sync()["many"]; r.Plan.Count(mirror.Unchanged) != 1000 {
		t.Fatalf("first sync: %d of 1000 stand; %v", r.Plan.Count(mirror.Unchanged), kinds(r.Plan, mirror.Failed))
	}
	head := s.git.Head()
	reset := func() {
		s.upstream.Proxy().Reset()
		s.local.Proxy().Reset()
		s.git.Proxy().Reset()
	}
	want := func(what string, git, local, upstream int) {
		t.Helper()
		g, l, u := s.git.Requests(), s.local.Proxy().Counts(), s.upstream.Proxy().Counts()
		if g != git || l.Total() > local || l.Writes() != 0 || u.Total() != upstream {
			t.Errorf("%s: %d Git requests, want %d; %d local requests, want at most %d, %d of them writes; %d upstream requests, want %d",
				what, g, git, l.Total(), local, l.Writes(), u.Total(), upstream)
		}
		if s.git.Head() != head {
			t.Errorf("%s: a commit was made", what)
		}
	}
	for _, tt := range []struct {
		name  string
		wake  Wake
		local int
	}{
		{"poll", Wake{Why: "poll"}, 0},
		{"schedule", Wake{Why: "schedule", Resolve: true}, 0},
		{"audit", Wake{Why: "audit", Audit: true}, 1000},
	} {
		reset()
		if _, err := s.line.cycle(t.Context(), tt.wake); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		want(tt.name, 1, tt.local, 0)
	}
	if got := s.local.Proxy().Counts(); got.Of(testenv.ManifestHead) != 1000 {
		t.Errorf("an audit asks each tag once: got %d HEADs", got.Of(testenv.ManifestHead))
	}
	reset()
	s.commit("unrelated", map[string]string{"README.md": "hello\n"})
	head = s.git.Head()
	if _, err := s.line.cycle(t.Context(), Wake{Why: "poll"}); err != nil {
		t.Fatal(err)
	}
	if l, u := s.local.Proxy().Counts().Total(), s.upstream.Proxy().Counts().Total(); l+u != 0 {
		t.Errorf("a commit outside desired/ and stages/: %d registry requests, want 0", l+u)
	}
}

// Run itself, with its schedule, poll and audit, makes no registry request when nothing changed.
func TestRun_PollsGitAndLeavesRegistriesAlone(t *testing.T) {
	s := newSite(t, map[string]string{"desired/policy.yaml": pinnedPolicy})
	web := s.push("docker.io/library/web:1", "web")
	s.commit("web", map[string]string{"desired/web.yaml": "version: 1\nsource: {kind: list, file: web.txt}\n", "desired/web.txt": list(web)})
	s.sync()
	s.line.config.Schedule = "@every 1h"
	ctx, cancel := contextWithCancel(t)
	s.line.setReady(errStarting)
	ended := make(chan error, 1)
	go func() { ended <- s.line.Run(ctx) }()
	until(t, "the first cycle has ended", func() bool { return s.line.ready() == nil })
	s.local.Proxy().Reset()
	s.upstream.Proxy().Reset()
	s.git.Proxy().Reset()
	until(t, "ten polls", func() bool { return s.git.Requests() >= 10 })
	if l, u := s.local.Proxy().Counts().Total(), s.upstream.Proxy().Counts().Total(); l+u != 0 {
		t.Errorf("%d local and %d upstream requests between polls, want none: %v", l, u, s.local.Proxy().Counts().Paths)
	}
	for _, path := range s.git.Proxy().Counts().Paths {
		if !strings.Contains(path, "info/refs") {
			t.Errorf("a poll asked Git for %s, want ref listings only", path)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("run: %v", err)
	}
}
