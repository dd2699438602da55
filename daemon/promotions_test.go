package daemon

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// What became of promotions is told from Git alone: a machine that never ran a cycle knows the same.
func TestPromotions_AreToldFromGit(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{
		"desired/policy.yaml": vendorPolicy,
		"desired/web.yaml":    "version: 1\nsource: {kind: list, images: [\"docker.io/library/app:1\", \"docker.io/library/low:1\"]}\nlayout: path\n"})
	app, low := s.pushSigned("docker.io/library/app:1", "app"), s.pushSigned("docker.io/library/low:1", "low")
	s.sync()
	s.promote("web", "snapshot", "staging")
	s.sync()
	s.promote("web", "staging", "production")
	s.sync()
	next := s.pushSigned("docker.io/library/app:1", "next")
	s.sync()
	s.promote("web", "snapshot", "staging")
	s.sync()
	bogus := app.WithDigest(mirror.DigestOf([]byte("never pushed")))
	ask := func(subject string, images ...mirror.Reference) string {
		text := "version: 1\nentries:\n"
		for _, image := range images {
			text += "  " + image.WithDigest(mirror.Digest{}).String() + ": " + image.String() + "\n"
		}
		return s.commit(subject, map[string]string{"stages/web/production.yaml": text})
	}
	ask("Merge pull request 'never' (#3) from x into main", bogus, low)
	s.sync()
	asked := ask("hotfix (#4)", next, low)
	before := s.promotionsOf(0)
	s.sync()
	after := s.promotionsOf(0)
	s.wipe()
	line := s.looking(false)
	fresh := must(line.Promotions(t.Context(), 0))(t)
	if err := line.Close(t.Context()); err != nil {
		t.Fatal(err)
	}

	for name, tt := range map[string]struct {
		all  []Promotion
		want []string
	}{
		"before the cycle": {before, []string{"4 production waiting", "3 production superseded", "staging applied", "production applied", "staging applied"}},
		"after the cycle":  {after, []string{"4 production applied", "3 production superseded", "staging applied", "production applied", "staging applied"}},
		"another machine":  {fresh, []string{"4 production applied", "3 production superseded", "staging applied", "production applied", "staging applied"}},
	} {
		var got []string
		for _, p := range tt.all {
			text := string(p.Stage) + " " + string(p.State)
			if p.Proposal > 0 {
				text = p.ID + " " + text
			}
			got = append(got, text)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
	newest := fresh[0]
	if newest.Commit != asked || newest.Applied == "" || newest.Subject != "hotfix (#4)" || !strings.Contains(newest.By, "@") {
		t.Errorf("the newest is %+v", newest)
	}
	if len(newest.Entries) != 1 || newest.Entries[0].From != bogus || newest.Entries[0].To != next {
		t.Errorf("it is about %+v, want %s instead of %s", newest.Entries, next, bogus)
	}
	if two := s.promotionsOf(2); len(two) != 2 || two[0].Commit != asked {
		t.Errorf("of two are listed %+v", two)
	}
}

// A commit of long ago at which stages/ cannot be read hides none of the others.
func TestPromotions_AreToldAcrossACommitThatCannotBeRead(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{"desired/policy.yaml": vendorPolicy,
		"desired/web.yaml": "version: 1\nsource: {kind: list, images: [\"docker.io/library/app:1\"]}\nlayout: path\n"})
	s.pushSigned("docker.io/library/app:1", "app")
	s.sync()
	s.promote("web", "snapshot", "staging")
	s.commit("a name that nobody may use", map[string]string{`stages/web/a\b.yaml`: "version: 1\n"})
	s.commit("taken back", map[string]string{`stages/web/a\b.yaml`: ""})
	s.sync()
	if all := s.promotionsOf(0); len(all) != 1 || all[0].State != PromotionApplied {
		t.Errorf("got %+v", all)
	}
}

// promotionsOf lists promotions as a command that looks does.
func (s *site) promotionsOf(n int) []Promotion {
	s.t.Helper()
	line := s.looking(false)
	defer line.Close(s.t.Context())
	return must(line.Promotions(s.t.Context(), n))(s.t)
}

// A promotion that nothing but a change mends is refused, with the reason that the last run found, and one that is asked
// for anew after that is not until a run looked at it.
func TestPromotions_WhatIsRefusedForGoodDoesNotWait(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{"desired/policy.yaml": vendorPolicy + "gates: [{stages: [production], soak: 24h, applyWithin: 48h}]\n",
		"desired/web.yaml": "version: 1\nsource: {kind: list, images: [\"docker.io/library/app:1\"]}\nlayout: path\n"})
	app := s.pushSigned("docker.io/library/app:1", "app")
	s.sync()
	s.promote("web", "snapshot", "staging")
	s.sync()
	newest := func() Promotion { s.close(); return s.promotionsOf(1)[0] }
	is := func(p Promotion, state PromotionState, why string) {
		t.Helper()
		if p.State != state || !strings.Contains(p.Why, why) {
			t.Errorf("got %s (%s), want %s (%s)", p.State, p.Why, state, why)
		}
	}
	s.now = s.now.Add(time.Minute)
	s.promote("web", "staging", "production")
	is(newest(), PromotionWaiting, "")
	s.now = s.now.Add(time.Minute)
	s.sync()
	is(newest(), PromotionWaiting, "")
	bogus := app.WithDigest(mirror.DigestOf([]byte("never pushed")))
	s.commit("bogus", map[string]string{"stages/web/production.yaml": stageOf(bogus)})
	s.now = s.now.Add(time.Minute)
	s.sync()
	is(newest(), PromotionRefused, "never stood in staging")
	s.commit("taken back", map[string]string{"stages/web/production.yaml": stageOf()})
	s.now = s.now.Add(time.Minute)
	s.commit("bogus again", map[string]string{"stages/web/production.yaml": stageOf(bogus)})
	is(newest(), PromotionWaiting, "")
	// Asked for in the stage below too, it may still come there.
	s.commit("and below", map[string]string{"stages/web/staging.yaml": stageOf(bogus)})
	s.now = s.now.Add(time.Minute)
	s.sync()
	s.close()
	for _, p := range s.promotionsOf(2) {
		want := map[mirror.Stage]PromotionState{"staging": PromotionRefused, "production": PromotionWaiting}[p.Stage]
		is(p, want, "never stood in")
	}
}
