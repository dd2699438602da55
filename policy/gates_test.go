package policy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy"
)

// scene is a set with two entries. Release 2 stands in staging since noon, release 1 in production, where release 0
// stood before.
type scene struct {
	set   mirror.Set
	facts policy.Facts
	at    time.Time
}

var noon = time.Date(2026, 11, 18, 12, 0, 0, 0, time.UTC) // a Wednesday

func release(entry, tag string) mirror.Reference {
	return mirror.Reference{Host: "docker.io", Repository: "library/" + entry, Tag: tag, Digest: mirror.DigestOf([]byte(entry + tag))}
}

func newScene(tag string) *scene {
	s := &scene{set: mirror.Set{Name: "web", Stages: mirror.DefaultStages, Wanted: map[mirror.Stage][]mirror.Wanted{}, Marked: map[mirror.Stage]string{}}, at: noon.Add(time.Hour)}
	s.facts = policy.Facts{Record: mirror.Record{Stages: map[mirror.Stage]mirror.Standing{"staging": {}, "production": {}}}, Asked: map[mirror.Stage]map[string]policy.Asking{"production": {}}}
	for _, entry := range []string{"app", "db"} {
		s.facts.Record.Stages["staging"][entry] = mirror.Line{Image: release(entry, "2.0"), Since: noon, Proven: true,
			Was: []mirror.Reference{release(entry, "1.5")}, Stood: map[mirror.Digest]time.Duration{release(entry, "1.5").Digest: 5 * time.Hour}}
		s.facts.Record.Stages["production"][entry] = mirror.Line{Image: release(entry, "1.0"), Since: noon.AddDate(0, 0, -9), Proven: true, Was: []mirror.Reference{release(entry, "0.9")}}
		s.want(entry, release(entry, tag))
		s.facts.Asked["production"][entry] = policy.Asking{Commit: "c0ffee", At: noon, Proposal: 7, Author: "bot", RequestedBy: "carol"}
	}
	return s
}

func (s *scene) want(entry string, image mirror.Reference) {
	lines := slices.DeleteFunc(s.set.Wanted["production"], func(w mirror.Wanted) bool { return w.Entry == entry })
	s.set.Wanted["production"] = append(lines, mirror.Wanted{Entry: entry, Image: image})
}

func (s *scene) asking(change func(*policy.Asking)) {
	for entry, a := range s.facts.Asked["production"] {
		change(&a)
		s.facts.Asked["production"][entry] = a
	}
}

func (s *scene) line(stage mirror.Stage, entry string, change func(*mirror.Line)) {
	l := s.facts.Record.Stages[stage][entry]
	change(&l)
	s.facts.Record.Stages[stage][entry] = l
}

// gate gives what becomes of the entry app.
func (s *scene) gate(t *testing.T, gates string) mirror.Action {
	t.Helper()
	p := load(t, nil, "rules: [{match: docker.io/**, require: {pinned: true}}]\ngates:\n  - {stages: [production], "+gates+"}\n")
	a := mirror.Action{Kind: mirror.Tag, Key: mirror.Key{Set: "web", Entry: "app"}, Stage: "production", Image: s.set.Wanted["production"][0].Image, Reason: mirror.Because(mirror.TagBehind, "")}
	for _, w := range s.set.Wanted["production"] {
		if w.Entry == "app" {
			a.Image, a.New = w.Image, w.Image.Digest
		}
	}
	got := p.Gate(mirror.Plan{Actions: []mirror.Action{a}}, s.set, s.facts, s.at).Actions[0]
	for _, g := range got.Gates {
		if g.Why == "" || g.Open != (g.Code == "") {
			t.Errorf("gate without a reason: %+v", g)
		}
	}
	if refused := got.Kind == mirror.Refuse; refused != slices.ContainsFunc(got.Gates, func(g mirror.Gate) bool { return !g.Open }) {
		t.Errorf("%s with gates %+v", got.Kind, got.Gates)
	}
	return got
}

func TestGate_EachAsksForItsOwn(t *testing.T) {
	approve := func(by ...string) func(*scene) {
		return func(s *scene) {
			s.asking(func(a *policy.Asking) {
				for _, one := range by {
					login, owner := strings.CutSuffix(one, "*")
					a.Approvals = append(a.Approvals, policy.Approval{By: login, Owner: owner})
				}
			})
		}
	}
	status := func(good ...bool) func(*scene) {
		return func(s *scene) {
			s.asking(func(a *policy.Asking) {
				a.Statuses = map[string]bool{"lint": true}
				for _, g := range good {
					a.Statuses["ci/e2e"] = g
				}
			})
		}
	}
	answer := func(one policy.Answer) func(*scene) {
		return func(s *scene) {
			s.asking(func(a *policy.Asking) { a.Answers = map[string]policy.Answer{"smoke": one} })
		}
	}
	unknown := func(s *scene) { s.asking(func(a *policy.Asking) { a.Unknown = "502 Bad Gateway" }) }
	at := func(h time.Duration) func(*scene) { return func(s *scene) { s.at = noon.Add(h * time.Hour) } }
	below := func(change func(*mirror.Line)) func(*scene) {
		return func(s *scene) { s.line("staging", "app", change) }
	}
	const week = "windows: [{days: [wed, thu], from: '20:00', to: '23:00'}], applyWithin: 1000h"
	for _, c := range []struct {
		name, gates, tag string
		change           func(*scene)
		code             mirror.ReasonCode // "" where it goes on
		why              string
		until            time.Duration // in hours after noon; 0: none
	}{
		{"soaks", "soak: 24h", "2.0", nil, mirror.Soaking, "it has to stand in staging for 24h: until 2026-11-19T12:00:00Z", 24},
		{"has soaked", "soak: 24h", "2.0", at(24), "", "", 0},
		{"soaked before", "soak: 4h", "1.5", nil, "", "", 0},
		{"stood too short and stands no more", "soak: 6h", "1.5", nil, mirror.NotBelow, "stood there for 5h; it has to for 6h", 0},
		{"stands again and soaked before", "soak: 24h", "2.0", below(func(l *mirror.Line) { l.Stood[l.Image.Digest] = 25 * time.Hour }), "", "", 0},
		{"stands since nobody knows when", "soak: 24h", "2.0", below(func(l *mirror.Line) { l.Since = time.Time{} }), mirror.NotKnown, "not known", 0},
		{"stands in the future", "soak: 24h", "2.0", below(func(l *mirror.Line) { l.Since = noon.Add(48 * time.Hour) }), mirror.Soaking, "", 72},
		{"never stood below", "soak: 1s", "3.0", nil, mirror.NotBelow, "never stood in staging", 0},
		{"outside of the window", week, "2.0", nil, mirror.OutOfWindow, "outside of wed, thu 20:00-23:00 UTC: it opens at 2026-11-18T20:00:00Z", 8},
		{"inside of the window", week, "2.0", at(8), "", "", 0},
		{"the window is over", week, "2.0", at(11), mirror.OutOfWindow, "", 32},
		{"time of another zone", "windows: [{from: '11:45', to: '14:00', timeZone: Asia/Kathmandu}], applyWithin: 99h", "2.0", nil, mirror.OutOfWindow, "", 18},
		{"one of two windows", "windows: [{from: '20:00', to: '21:00'}, {from: '12:00', to: '15:00'}]", "2.0", nil, "", "", 0},
		{"frozen", "freezes: [{from: 2026-11-18, until: 2026-11-19, timeZone: Europe/Berlin, reason: audit}]", "2.0", nil, mirror.Frozen, "nothing moves (audit) until 2026-11-19T23:00:00Z", 35},
		{"frozen to a moment", "freezes: [{from: 2026-11-18, until: '2026-11-18T14:00:00Z'}]", "2.0", nil, mirror.Frozen, "until 2026-11-18T14:00:00Z", 2},
		{"frozen twice in a row", "freezes: [{from: 2026-11-18, until: 2026-11-18}, {from: 2026-11-19, until: 2026-11-19}]", "2.0", nil, mirror.Frozen, "until 2026-11-20T00:00:00Z", 36},
		{"not frozen any more", "freezes: [{from: 2026-11-17, until: 2026-11-17}]", "2.0", nil, "", "", 0},
		{"all of time together", "soak: 24h, " + week + ", freezes: [{from: 2026-11-19, until: 2026-11-20}]", "2.0", nil, mirror.Soaking, "", 176},
		{"too late", "soak: 24h, applyWithin: 12h", "2.0", at(13), mirror.TooLate, "until 2026-11-19T00:00:00Z, 12h after it was asked for", 0},
		{"too late stays so when the gates open", "soak: 24h, applyWithin: 12h", "2.0", at(30), mirror.TooLate, "", 0},
		{"too late by a window that closed since", "windows: [{from: '12:00', to: '15:00'}], applyWithin: 2h", "2.0", at(24), mirror.TooLate, "", 0},
		{"not too late where time never stood in its way since", "soak: 1h", "2.0", at(1000), "", "", 0},
		{"asked for nobody knows when", "soak: 1h", "2.0", func(s *scene) { at(2)(s); delete(s.facts.Asked["production"], "app") }, mirror.NotKnown, "", 0},
		{"only proposed", "soak: 1h", "2.0", func(s *scene) { at(1000)(s); s.asking(func(a *policy.Asking) { a.Commit, a.At = "", time.Time{} }) }, "", "", 0},
		{"approved", "approvals: {count: 2}", "2.0", approve("alice", "bob"), "", "", 0},
		{"one is not two", "approvals: {count: 2}", "2.0", approve("alice"), mirror.NotApproved, "1 of 2 approvals: alice", 0},
		{"one person is not two", "approvals: {count: 2}", "2.0", approve("alice", "Alice"), mirror.NotApproved, "1 of 2", 0},
		{"the author does not count", "approvals: {}", "2.0", approve("Bot"), mirror.NotApproved, "0 of 1", 0},
		{"who asked for it does not count", "approvals: {}", "2.0", approve("carol"), mirror.NotApproved, "0 of 1", 0},
		{"owners", "approvals: {count: 1, owners: true}", "2.0", approve("alice", "bob*"), "", "", 0},
		{"no owner", "approvals: {count: 1, owners: true}", "2.0", approve("alice", "bob"), mirror.NotApproved, "0 of 1 approvals by owners", 0},
		{"people pushed to it", "approvals: {count: 1}", "2.0", func(s *scene) { approve("alice")(s); s.asking(func(a *policy.Asking) { a.Touched = true }) }, mirror.NotApproved, "1 of 2 approvals: alice; one more than else, since people pushed to it", 0},
		{"a direct push", "approvals: {}", "2.0", func(s *scene) { approve("alice")(s); s.asking(func(a *policy.Asking) { a.Proposal = 0 }) }, mirror.NotApproved, "direct push", 0},
		{"the forge does not answer", "approvals: {}", "2.0", func(s *scene) { approve("alice")(s); unknown(s) }, mirror.NotKnown, "502 Bad Gateway", 0},
		{"nobody knows who asked", "approvals: {}", "2.0", func(s *scene) { approve("alice")(s); s.facts.Asked = nil }, mirror.NotKnown, "", 0},
		{"a check succeeded", "statuses: [ci/e2e]", "2.0", status(true), "", "", 0},
		{"a check failed", "statuses: [ci/e2e]", "2.0", status(false), mirror.NotChecked, "ci/e2e has failed", 0},
		{"a check runs", "statuses: [ci/e2e]", "2.0", func(s *scene) {
			s.asking(func(a *policy.Asking) { a.Running = map[string]bool{"ci/e2e": true} })
		}, mirror.NotChecked, "ci/e2e has not ended", 0},
		{"a check that nobody set", "statuses: [ci/e2e]", "2.0", status(), mirror.NotChecked, "nobody has set ci/e2e yet", 0},
		{"a check is not known", "statuses: [ci/e2e]", "2.0", unknown, mirror.NotKnown, "502", 0},
		{"somebody says yes", "calls: [smoke]", "2.0", answer(policy.Answer{Allow: true}), "", "", 0},
		{"somebody says no", "calls: [smoke]", "2.0", answer(policy.Answer{Reason: "error rate\n3 %"}), mirror.NotAllowed, "smoke says no: error rate 3 %", 0},
		{"somebody says nothing", "calls: [smoke]", "2.0", answer(policy.Answer{Unknown: "timeout"}), mirror.NotKnown, "smoke gave no answer: timeout", 0},
		{"nobody was asked", "calls: [smoke]", "2.0", nil, mirror.NotKnown, "smoke was not asked yet", 0},
		{"newer", "downgrade: refuse", "2.0", nil, "", "", 0},
		{"older", "downgrade: refuse", "1.5", func(s *scene) { s.line("production", "app", func(l *mirror.Line) { l.Image.Tag = "v1.6" }) }, mirror.Downgrade, "1.5 is older than v1.6, which stands here", 0},
		{"older and marked", "downgrade: refuse", "1.5", func(s *scene) {
			s.line("production", "app", func(l *mirror.Line) { l.Image.Tag = "v1.6" })
			s.set.Marked["production"] = "1.6 loses sessions"
		}, "", "", 0},
		{"older and allowed", "downgrade: allow", "1.5", func(s *scene) { s.line("production", "app", func(l *mirror.Line) { l.Image.Tag = "v1.6" }) }, "", "", 0},
		{"no versions", "downgrade: refuse", "2.0", func(s *scene) { s.line("production", "app", func(l *mirror.Line) { l.Image.Tag = "latest" }) }, "", "", 0},
		{"another image", "downgrade: refuse", "2.0", func(s *scene) {
			s.line("production", "app", func(l *mirror.Line) { l.Image = release("other", "9.0") })
		}, "", "", 0},
		{"a tag with other content", "immutable: true", "2.0", func(s *scene) {
			s.line("production", "app", func(l *mirror.Line) {
				l.Was = []mirror.Reference{release("app", "2.0").AtDigest(mirror.DigestOf(nil)).WithTag("2.0")}
			})
		}, mirror.Immutable, "tag 2.0 stood here as", 0},
		{"a tag with the same content", "immutable: true", "2.0", nil, "", "", 0},
		{"all that stands below", "whole: true", "2.0", nil, "", "", 0},
		{"a part of it", "whole: true", "2.0", func(s *scene) { s.want("db", release("db", "1.0")) }, mirror.NotAll, "other there: db", 0},
		{"less than it", "whole: true", "2.0", func(s *scene) { s.set.Wanted["production"] = s.set.Wanted["production"][:1] }, mirror.NotAll, "other there: db", 0},
		{"another stage's gate", "soak: 1000h, sets: ['el*', other]", "2.0", nil, "", "", 0},
		{"a glob over sets", "soak: 1000h, sets: ['w*']", "2.0", nil, mirror.Soaking, "", 1000},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(c.tag)
			if c.change != nil {
				c.change(s)
			}
			got := s.gate(t, c.gates)
			var until time.Time
			if c.until != 0 {
				until = noon.Add(c.until * time.Hour)
			}
			switch refused := got.Kind == mirror.Refuse; {
			case refused != (c.code != ""), refused && got.Reason.Code != c.code, !strings.Contains(got.Reason.Detail, c.why):
				t.Errorf("got %s [%s]: %s; want [%s]: %s", got.Kind, got.Reason.Code, got.Reason, c.code, c.why)
			case !got.Until.Equal(until):
				t.Errorf("until %s, want %s", got.Until, until)
			}
		})
	}
}

// What may wait for less time than it will have to is told so while it is proposed, and after that until it is too late.
func TestGate_WarnsOfWhatWillBeTooLate(t *testing.T) {
	proposed := func(s *scene) { s.asking(func(a *policy.Asking) { a.Commit, a.At = "", time.Time{} }) }
	for _, c := range []struct {
		name, gates string
		change      func(*scene)
		want        string // of the warning
	}{
		{"proposed, and the window is far", "windows: [{from: '20:00', to: '23:00'}], applyWithin: 1h", proposed, "no sooner than 2026-11-18T20:00:00Z: what is merged now is too late by then"},
		{"merged, and the window is far", "windows: [{from: '20:00', to: '23:00'}], applyWithin: 4h", nil, "no sooner than 2026-11-18T20:00:00Z: it is too late by then"},
		{"proposed, and the window is near", "windows: [{from: '12:30', to: '23:00'}], applyWithin: 1h", proposed, ""},
		{"merged, and it soaks in time", "soak: 24h, applyWithin: 25h", nil, ""},
		{"open", "windows: [{from: '11:00', to: '23:00'}], applyWithin: 1h", proposed, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene("2.0")
			if c.change != nil {
				c.change(s)
			}
			got := s.gate(t, c.gates)
			i := slices.IndexFunc(got.Gates, func(g mirror.Gate) bool { return g.Name == "within" })
			if g := got.Gates[i]; !g.Open || (g.Warning == "") != (c.want == "") || !strings.Contains(g.Warning, c.want) {
				t.Errorf("got %+v, want the warning %q", g, c.want)
			}
		})
	}
}

func TestGate_SaysWhatNeverStoodBelow(t *testing.T) {
	for tag, want := range map[string]string{"3.0": "it never stood in staging; it has to for 6h", "1.5": "it does not stand in staging any more and stood there for 5h; it has to for 6h"} {
		s := newScene(tag)
		for _, g := range s.gate(t, "soak: 6h").Gates {
			if g.Name == "soak" && g.Why != want {
				t.Errorf("%s: got %q, want %q", tag, g.Why, want)
			}
		}
	}
}

const everything = "soak: 1000h, windows: [{from: '20:00', to: '21:00'}], freezes: [{from: 2026-01-01, until: 2026-12-31}], downgrade: refuse, whole: true, applyWithin: 1s"

func TestGate_ARollbackIsExemptFromTimeAndOrder(t *testing.T) {
	s := newScene("0.9")
	got := s.gate(t, everything)
	if got.Kind != mirror.Tag || !got.Rollback {
		t.Errorf("got %s (%s), rollback %t", got.Kind, got.Reason, got.Rollback)
	}
	var names []string
	for _, g := range got.Gates {
		if g.Exempt {
			names = append(names, g.Name)
		}
	}
	if want := []string{"previous", "soak", "window", "freeze", "downgrade", "whole", "within"}; !slices.Equal(names, want) {
		t.Errorf("exempt from %v, want %v", names, want)
	}
}

func TestGate_WhatIsPromotedAgainAfterARollbackIsNoRollback(t *testing.T) {
	for _, c := range []struct {
		name, here, below string
		rollback          bool
	}{
		{"forward to what stands below", "1.0", "2.0", false},
		{"forward to what stands below no more", "1.0", "3.0", true},
		{"back to what stands below, which went back too", "3.0", "2.0", true},
		{"without an order to what stands below", "good", "2.0", false},
	} {
		s := newScene("2.0")
		for _, entry := range []string{"app", "db"} {
			s.line("production", entry, func(l *mirror.Line) {
				l.Image, l.Was = release(entry, c.here), []mirror.Reference{release(entry, "2.0")}
			})
			s.line("staging", entry, func(l *mirror.Line) { l.Image = release(entry, c.below) })
		}
		if got := s.gate(t, everything); got.Kind != mirror.Tag || got.Rollback != c.rollback {
			t.Errorf("%s: got %s (%s), rollback %t", c.name, got.Kind, got.Reason, got.Rollback)
		}
	}
}

func TestGate_ARollbackIsNotExemptFromPeople(t *testing.T) {
	for _, c := range []struct {
		gates string
		code  mirror.ReasonCode
	}{{"approvals: {}", mirror.NotApproved}, {"statuses: [ci]", mirror.NotChecked}, {"calls: [smoke]", mirror.NotKnown}} {
		if got := newScene("0.9").gate(t, c.gates); got.Kind != mirror.Refuse || got.Reason.Code != c.code || !got.Rollback {
			t.Errorf("%s: got %s (%s), rollback %t", c.gates, got.Kind, got.Reason, got.Rollback)
		}
	}
}

func TestGate_ASetThatMovesTogetherRollsBackAndSoaksAsAWhole(t *testing.T) {
	s := newScene("0.9")
	s.set.Atomic = true
	if got := s.gate(t, everything); got.Kind != mirror.Tag || !got.Rollback {
		t.Errorf("a whole rollback: got %s (%s)", got.Kind, got.Reason)
	}
	s.want("db", release("db", "2.0"))
	if got := s.gate(t, everything); got.Kind != mirror.Refuse || got.Rollback {
		t.Errorf("half a rollback: got %s (%s)", got.Kind, got.Reason)
	}
	s = newScene("2.0")
	s.set.Atomic, s.at = true, noon.Add(25*time.Hour)
	s.line("staging", "db", func(l *mirror.Line) { l.Since = noon.Add(12 * time.Hour) })
	got := s.gate(t, "soak: 24h")
	if got.Reason.Code != mirror.Soaking || !got.Until.Equal(noon.Add(36*time.Hour)) {
		t.Errorf("got %s until %s, want it to soak as the youngest", got.Reason, got.Until)
	}
	s.want("db", release("db", "1.0")) // which stands already
	if got := s.gate(t, "soak: 24h"); got.Kind != mirror.Tag {
		t.Errorf("got %s (%s): what does not change does not soak", got.Kind, got.Reason)
	}
}

func TestGate_WhatStandsHasNoGates(t *testing.T) {
	s := newScene("1.0")
	if got := s.gate(t, everything); got.Kind != mirror.Tag || len(got.Gates) != 0 {
		t.Errorf("got %s (%s), gates %v", got.Kind, got.Reason, got.Gates)
	}
}

func TestGate_TheGatesOfAllDocumentsHaveToBeOpen(t *testing.T) {
	floor, problems := policy.LoadFloor("/etc/poundlock/floor.yaml", mirror.Files{"/etc/poundlock/floor.yaml": []byte("version: 1\ndefault: fleet\ngates: [{stages: [production], soak: 48h, calls: [site], approvals: {count: 3}}, {sets: [nowhere], stages: [production], whole: true}]\n")})
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	p := load(t, nil, "rules: [{match: docker.io/**, require: {pinned: true}}]\ngates: [{stages: [production], soak: 24h, statuses: [ci], approvals: {owners: true}}]\n").WithFloor(floor)
	s := newScene("2.0")
	s.at = noon.Add(30 * time.Hour)
	closed := map[string]string{}
	a := mirror.Action{Kind: mirror.Copy, Key: mirror.Key{Set: "web", Entry: "app"}, Stage: "production", Image: release("app", "2.0")}
	for _, g := range p.Gate(mirror.Plan{Actions: []mirror.Action{a}}, s.set, s.facts, s.at).Actions[0].Gates {
		if !g.Open {
			closed[g.Name] = g.Why
		}
	}
	for _, name := range []string{"soak", "approvals", "statuses", "calls"} {
		if closed[name] == "" {
			t.Errorf("%s is open", name)
		}
	}
	if w := p.Wants("web", "production"); !w.Proposal || !w.Owners || !slices.Equal(w.Statuses, []string{"ci"}) || !slices.Equal(w.Calls, []string{"site"}) {
		t.Errorf("wants %+v", w)
	}
	if w := p.Wants("web", "staging"); w.Proposal || w.Owners || len(w.Statuses)+len(w.Calls) > 0 {
		t.Errorf("staging wants %+v", w)
	}
	if got := p.Calls(); !slices.Equal(got, []string{"site"}) {
		t.Errorf("calls %v", got)
	}
	strange := p.UnknownSets([]mirror.Set{{Name: "web"}})
	if len(strange) != 1 || strange[0].Code != "POL071" || strange[0].Where.Line != 3 || strange[0].Where.File != "/etc/poundlock/floor.yaml" {
		t.Errorf("got %v", strange)
	}
}

// A set of many entries is gated in one go: what its entries have in common is looked at once for each stage.
func TestGate_ManyEntriesAtOnce(t *testing.T) {
	p := load(t, nil, "rules: [{match: docker.io/**, require: {pinned: true}}]\ngates:\n  - {stages: [production], soak: 24h, windows: [{from: '20:00', to: '23:00', timeZone: Europe/Berlin}], freezes: [{from: 2026-12-20, until: 2026-12-31}], downgrade: refuse, immutable: true, applyWithin: 99h}\n")
	s := newScene("2.0")
	s.set.Atomic = true
	var actions []mirror.Action
	for i := range 2000 {
		entry := fmt.Sprintf("e%d", i)
		image := release(entry, "2.0")
		s.facts.Record.Stages["staging"][entry] = mirror.Line{Image: image, Since: noon, Proven: true}
		s.facts.Record.Stages["production"][entry] = mirror.Line{Image: release(entry, "1.0"), Since: noon, Proven: true}
		s.facts.Asked["production"][entry] = policy.Asking{Commit: "c0ffee", At: noon}
		s.set.Wanted["production"] = append(s.set.Wanted["production"], mirror.Wanted{Entry: entry, Image: image})
		actions = append(actions, mirror.Action{Kind: mirror.Tag, Key: mirror.Key{Set: "web", Entry: entry}, Stage: "production", Image: image})
	}
	began := time.Now()
	plan := p.Gate(mirror.Plan{Actions: actions}, s.set, s.facts, s.at)
	t.Logf("%d entries in %s", len(actions), time.Since(began))
	for _, a := range plan.Actions {
		if a.Reason.Code != mirror.Soaking || !a.Until.Equal(noon.Add(31*time.Hour)) {
			t.Fatalf("got %s until %s", a.Reason, a.Until)
		}
	}
}

// A set that leaves out the stages below a guarded one gets nothing past its gates.
func TestGate_AFirstStageThatIsGuardedTakesNothing(t *testing.T) {
	s := newScene("2.0")
	s.set.Stages = mirror.Stages{"production"}
	s.set.Wanted = nil
	const plain = "rules: [{match: docker.io/**, require: {pinned: true}}]\n"
	for _, tt := range []struct {
		gates string
		want  mirror.Kind
	}{
		{"", mirror.Tag},
		{"gates: [{stages: [staging], soak: 24h}]\n", mirror.Tag},
		{"gates: [{stages: [production], sets: [other], soak: 24h}]\n", mirror.Tag},
		{"gates: [{stages: [production], soak: 24h}]\n", mirror.Refuse},
		{"gates: [{stages: [production], approvals: {count: 1}}]\n", mirror.Refuse},
		{"gates: [{stages: [production], calls: [smoke]}]\n", mirror.Refuse},
		{"gates: [{stages: [production], downgrade: refuse}]\n", mirror.Refuse},
	} {
		floor, problems := policy.LoadFloor("floor.yaml", mirror.Files{"floor.yaml": []byte("version: 1\n" + plain + tt.gates)})
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		a := mirror.Action{Kind: mirror.Tag, Key: mirror.Key{Set: "web", Entry: "app"}, Stage: "production", Image: release("app", "2.0")}
		got := load(t, nil, plain).WithFloor(floor).Gate(mirror.Plan{Actions: []mirror.Action{a}}, s.set, s.facts, s.at).Actions[0]
		if got.Kind != tt.want || got.Kind == mirror.Refuse && (got.Reason.Code != mirror.NotBelow || got.Reason.Waits()) {
			t.Errorf("%q: got %s %+v", tt.gates, got.Kind, got.Reason)
		}
		a.Image = release("app", "1.0") // stands
		if got := load(t, nil, plain).WithFloor(floor).Gate(mirror.Plan{Actions: []mirror.Action{a}}, s.set, s.facts, s.at).Actions[0]; got.Kind != mirror.Tag {
			t.Errorf("%q: what stands: got %s %+v", tt.gates, got.Kind, got.Reason)
		}
	}
}

// What left a stage, as an entry that is named by its tag does, counts there as what stood before, and in the stage below
// as what stood there.
func TestGate_WhatLeftIsReturnedTo(t *testing.T) {
	leave := func(s *scene, stage mirror.Stage, entry, tag string, stood time.Duration) {
		delete(s.facts.Record.Stages[stage], entry)
		image := release(entry, tag)
		s.facts.Record.Left = map[mirror.Stage]mirror.Standing{stage: {entry: {Since: noon, Was: []mirror.Reference{image}, Stood: map[mirror.Digest]time.Duration{image.Digest: stood}}}}
	}
	for _, c := range []struct {
		name, gates, tag string
		change           func(*scene)
		code             mirror.ReasonCode
		rollback         bool
	}{
		{"back to what left", everything, "1.1", func(s *scene) { leave(s, "production", "app", "1.1", 0) }, "", true},
		{"what stands below and left here", everything, "2.0", func(s *scene) { leave(s, "production", "app", "2.0", 0) }, "", false},
		{"what stands below and left here for a newer one", everything, "2.0", func(s *scene) {
			leave(s, "production", "app", "2.0", 0)
			newer := release("app", "2.1")
			s.facts.Record.Stages["production"]["app:2.1"] = mirror.Line{Image: newer, Proven: true}
		}, "", true},
		{"another one than left", "soak: 1h", "1.2", func(s *scene) { leave(s, "production", "app", "1.1", 0) }, mirror.NotBelow, false},
		{"other content than left", "immutable: true", "1.1", func(s *scene) {
			leave(s, "production", "app", "1.1", 0)
			line := s.facts.Record.Left["production"]["app"]
			line.Was[0].Digest = mirror.DigestOf([]byte("other"))
			s.line("staging", "app", func(l *mirror.Line) { l.Image = release("app", "1.1") })
		}, mirror.Immutable, false},
		{"left below after its soak", "soak: 4h", "1.1", func(s *scene) { leave(s, "staging", "app", "1.1", 4*time.Hour) }, "", false},
		{"left below too early", "soak: 4h", "1.1", func(s *scene) { leave(s, "staging", "app", "1.1", 3*time.Hour) }, mirror.NotBelow, false},
		{"a whole release that lost an entry", everything, "0.9", func(s *scene) { s.set.Atomic = true; leave(s, "production", "app", "0.9", 0) }, "", true},
		{"a release that had another one", "soak: 4h", "0.9", func(s *scene) { s.set.Atomic = true; leave(s, "production", "app", "0.8", 0) }, mirror.NotBelow, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(c.tag)
			c.change(s)
			got := s.gate(t, c.gates)
			if code := map[bool]mirror.ReasonCode{true: got.Reason.Code}[got.Kind == mirror.Refuse]; code != c.code || got.Rollback != c.rollback {
				t.Errorf("got %s (%s), rollback %t; want %q, %t", got.Kind, got.Reason, got.Rollback, c.code, c.rollback)
			}
		})
	}
}
