package daemon

import (
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/forge"
	"github.com/poundlock/poundlock/internal/mirror"
)

// standsAt fails the test where the tag, or the record, of web at a stage is not this image.
func (s *site) standsAt(stage string, image mirror.Reference) {
	s.t.Helper()
	if got := s.tag("mirror/"+stage+"/docker.io/library/web", "1"); got != image.Digest {
		s.t.Errorf("%s has %s, want %s", stage, got, image.Digest)
	}
	if record := s.file("rendered/demo/record/tools/" + stage + ".yaml"); !strings.Contains(record, "image: "+image.String()) {
		s.t.Errorf("the record of %s:\n%s", stage, record)
	}
}

// Two daemons, of which one hears that upstream moved: the other neither writes what it remembers over what stands, nor
// has its automation commit that again.
func TestTwoDaemons_TheOneThatHeardNothingCommitsNothingBack(t *testing.T) {
	t.Parallel()
	s, _, tool := promoteSite(t, "auto: {staging: commit}\n")
	two := s.twin()
	for range 2 {
		s.sync()
		two.sync()
	}
	next := s.pushSigned(webImage, "next")
	s.sync() // and automation commits the promotion
	s.sync()
	for range 3 {
		if err := two.line.serve(t.Context(), errand{all: true}); err != nil { // before it looked at anything
			t.Fatal(err)
		}
		if _, err := two.line.Sync(t.Context(), Wake{Why: "poll"}); err != nil {
			t.Fatal(err)
		}
	}
	s.lists(s.main(), "staging", next, tool)
	s.standsAt("snapshot", next)
	s.standsAt("staging", next)
	if holds := s.file("rendered/demo/holds.yaml"); holds != "" {
		t.Errorf("something is held:\n%s", holds)
	}
	rest(t, s, two)
}

// Nor does it propose what it remembers, or take back the proposal of the other.
func TestTwoDaemons_TheOneThatHeardNothingProposesNothingOlder(t *testing.T) {
	t.Parallel()
	s, _, tool := proposingSite(t, "gitea", "auto: {staging: propose}\n")
	two := &forgeSite{s.twin(), s.forge}
	open := func() []forge.Proposal {
		t.Helper()
		return must(s.line.forge.Proposals(t.Context(), forge.Query{Base: "main"}))(t)
	}
	for range 2 {
		s.sync()
		two.sync()
	}
	next := s.moves("next")
	s.attends()
	was := open()
	if len(was) != 1 {
		t.Fatalf("%d proposals of the one that heard of it, want one", len(was))
	}
	for range 3 {
		two.attends() // before it looked at anything
		if _, err := two.line.Sync(t.Context(), Wake{Why: "poll"}); err != nil {
			t.Fatal(err)
		}
	}
	if now := open(); len(now) != 1 || now[0].Number != was[0].Number || now[0].HeadCommit != was[0].HeadCommit {
		t.Errorf("open are %+v, want %+v", now, was)
	}
	s.lists(s.at(was[0].Head), "staging", next, tool)
	s.standsAt("snapshot", next)
	rest(t, s.site, two.site)
	if now := open(); len(now) != 1 || now[0].HeadCommit != was[0].HeadCommit {
		t.Errorf("at rest, open are %+v, want %+v", now, was)
	}
}
