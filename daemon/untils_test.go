package daemon

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy"
)

// An exception ends by time alone: the set is woken at its end, and what stood by it stays and is shown.
func TestException_EndsByTimeAlone(t *testing.T) {
	t.Parallel()
	end := time.Date(2026, 12, 11, 0, 0, 0, 0, time.UTC)
	s := newSite(t, map[string]string{
		"desired/policy.yaml": vendorPolicy + "exceptions: [{match: docker.io/library/web, skip: [signatures], until: 2026-12-10, reason: \"VEND-123\", approvedBy: alice}]\n",
		"desired/web.yaml":    "version: 1\nsource: {kind: list, images: [\"docker.io/library/web:1\"]}\n"})
	image := s.push("docker.io/library/web:1", "unsigned")
	r := s.sync()["web"]
	if a := r.Plan.Actions[0]; a.Outcome != mirror.OutcomeException || s.stageTagOf("web", image) != image.Digest {
		t.Fatalf("not let in by the exception: %v", details(r.Plan))
	}
	if text := s.file("rendered/demo/record/web/snapshot.yaml"); !strings.Contains(text, "VEND-123") {
		t.Errorf("the record does not name the exception:\n%s", text)
	}
	p := s.line.progress("web")
	if next := p.nextLook(); !next.Equal(end) {
		t.Errorf("the set is woken at %s, want %s", next, end)
	}
	if !p.nextRetry().IsZero() {
		t.Errorf("nothing failed, and a retry is told for %s", p.nextRetry())
	}
	status := must(s.line.Status(t.Context()))(t).Sets[0]
	if status.State != SetAtRest || status.Policy.Exceptions != 1 || status.Policy.Warned != 0 || !status.Policy.Changes.Equal(end) || !status.Retry.IsZero() {
		t.Errorf("status: %+v", status)
	}
	if text := s.metrics(); !strings.Contains(text, `poundlock_policy_exceptions{set="web",stage="snapshot"} 1`) {
		t.Errorf("metrics:\n%s", text)
	}
	// Some days before its end people are warned, once, by the next look.
	s.now = end.Add(-10 * 24 * time.Hour)
	for range 3 {
		s.sync()
	}
	if warned := must(s.line.Events(Filter{Type: EventWarned}))(t); len(warned) != 1 || !strings.Contains(warned[0].Reason, "2026-12-11") {
		t.Errorf("warned: %+v", warned)
	}
	wake := Wake{Why: "retry", Local: true}
	s.now = end.Add(-time.Second)
	if _, stepped := s.cycle(wake)["web"]; stepped {
		t.Error("the set is stepped before anything changes")
	}
	s.now = end
	r, stepped := s.cycle(wake)["web"]
	if !stepped {
		t.Fatal("the set is not stepped at the end of the exception")
	}
	if a := r.Plan.Actions[0]; a.Kind != mirror.Refuse || a.Reason.Code != mirror.NoSignature || !a.Stands || r.Commit != "" {
		t.Errorf("after its end: %s %s, stands %t, commit %q", a.Kind, a.Reason, a.Stands, r.Commit)
	}
	if got := s.stageTagOf("web", image); got != image.Digest {
		t.Errorf("what stood names %s now", got)
	}
	if status := must(s.line.Status(t.Context()))(t).Sets[0]; status.Policy.Exceptions != 0 || status.Policy.NoLonger != 1 {
		t.Errorf("status after its end: %+v", status.Policy)
	}
}

// What is too young comes in by itself at the moment at which it is old enough, counted from when we first saw it.
func TestMinAge_AdmitsByItself(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{"desired/policy.yaml": strings.TrimSuffix(vendorPolicy, "}]\n") + ", minAge: 72h}]\n",
		"desired/web.yaml": "version: 1\nsource: {kind: list, images: [\"docker.io/library/web:1\"]}\n"})
	image := s.pushSigned("docker.io/library/web:1", "signed")
	began := s.now
	r := s.sync()["web"]
	if got := kinds(r.Plan, mirror.Refuse)["snapshot/"+webEntry]; got != mirror.TooYoung {
		t.Fatalf("got %q: %v", got, details(r.Plan))
	}
	s.noTrace("mirror/docker.io/library/web")
	old := began.Add(72 * time.Hour)
	if next := s.line.progress("web").nextLook(); !next.Equal(old) {
		t.Errorf("it is woken at %s, want %s", next, old)
	}
	s.open() // another process goes on with what this one saw
	s.now = began.Add(50 * time.Hour)
	s.sync()
	if next := s.line.progress("web").nextLook(); !next.Equal(old) {
		t.Errorf("after a restart it is woken at %s, want %s", next, old)
	}
	s.now = old.Add(-time.Second)
	if _, stepped := s.cycle(Wake{Why: "retry", Local: true})["web"]; stepped {
		t.Error("the set is stepped before it is old enough")
	}
	s.now = old
	if _, err := s.line.Sync(t.Context(), Wake{Why: "retry", Local: true}); err != nil {
		t.Fatal(err)
	}
	if got := s.stageTagOf("web", image); got != image.Digest {
		t.Errorf("old enough, and the tag names %s", got)
	}
}

// A remembered verdict does not count from the moment on at which time alone may change it.
func TestState_NoVerdictCountsAtItsEnd(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{"desired/policy.yaml": vendorPolicy + "exceptions: [{match: docker.io/library/web, skip: [signatures], until: 2026-12-10, reason: \"VEND-123\", approvedBy: alice}]\n",
		"desired/web.yaml": "version: 1\nsource: {kind: list, images: [\"docker.io/library/web:1\"]}\n"})
	image := s.push("docker.io/library/web:1", "unsigned")
	s.sync()
	f := s.line.fleet.Load()
	a := mirror.Action{Kind: mirror.Copy, Stage: "snapshot", Image: image, From: image, New: image.Digest}
	end := time.Date(2026, 12, 11, 0, 0, 0, 0, time.UTC)
	for at, want := range map[time.Time]mirror.Outcome{s.now: mirror.OutcomeException, end.Add(-time.Second): mirror.OutcomeException, end: mirror.OutcomeRejected, end.Add(time.Hour): mirror.OutcomeRejected} {
		// The state remembers the exception as if it had been judged just before.
		known := remembering{s.line.state, at}
		o := s.line.judging(f, at)
		o.Known = known
		if v, err := f.policy.Verifier(o).Verify(t.Context(), a, s.line.registry); v.Outcome != want {
			t.Errorf("at %s: %s (%s, %v), want %s", at, v.Outcome, v.Reason, err, want)
		}
	}
}

// remembering gives every verdict as one of a moment ago.
type remembering struct {
	policy.Known
	at time.Time
}

func (r remembering) Verdict(key string) (mirror.Verdict, bool) {
	v, ok := r.Known.Verdict(key)
	v.At = r.at.Add(-time.Minute)
	return v, ok
}

func (remembering) Remember(string, mirror.Verdict) {}

// The daemon waits for exactly the moment at which time alone changes something, however far away it is, and for
// nothing else.
func TestUntil_WakesAtTheMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &Line{now: time.Now, sets: map[string]*progress{}}
		l.fleet.Store(&fleet{version: "v", desired: mirror.Desired{Sets: []mirror.Set{{Name: "web"}, {Name: "idle"}}}})
		p, began := l.progress("web"), time.Now()
		for _, name := range []string{"web", "idle"} {
			l.progress(name).begin(Wake{}, "v", began)
		}
		until := began.Add(40*time.Hour + 7*time.Minute)
		p.foresee(map[string]mirror.Verdict{
			"an exception": {Outcome: mirror.OutcomeException, Until: until},
			"another":      {Outcome: mirror.OutcomeException, Until: until.Add(time.Hour)},
			"for ever":     {Outcome: mirror.OutcomeSigned},
			"refused":      {Outcome: mirror.OutcomeRejected, Until: began.Add(time.Minute)}, // is kept with its retry
		}, 0, began)
		p.judge("young", judgement{verdict: mirror.Verdict{Outcome: mirror.OutcomeRejected, Reason: mirror.Because(mirror.TooYoung, ""), Until: until.Add(-5 * time.Hour)}, err: mirror.ErrRefused}, lastRetry, began)
		var woken []time.Duration
		for len(woken) < 3 && time.Since(began) < 100*time.Hour {
			time.Sleep(l.untilRetry())
			if l.progress("idle").due("v", l.now()) {
				t.Fatal("a set without a reason is due")
			}
			if !p.due("v", l.now()) {
				continue
			}
			woken = append(woken, time.Since(began))
			p.begin(Wake{Local: true}, "v", l.now())
			p.foresee(map[string]mirror.Verdict{
				"an exception": {Outcome: mirror.OutcomeException, Until: until},
				"another":      {Outcome: mirror.OutcomeException, Until: until.Add(time.Hour)},
			}, 0, l.now())
		}
		want := []time.Duration{35*time.Hour + 7*time.Minute, 40*time.Hour + 7*time.Minute, 41*time.Hour + 7*time.Minute}
		for i := range want {
			if i >= len(woken) || woken[i] != want[i] {
				t.Fatalf("woken after %v, want %v", woken, want)
			}
		}
	})
}

// What is left to be judged is due at once, and with backoff where a step brought nothing.
func TestRejudging_DoesNotSpin(t *testing.T) {
	p, at := newProgress(), time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	p.begin(Wake{}, "v", at)
	p.foresee(nil, 10, at)
	if !p.due("v", at) || !p.judgesOn(at) {
		t.Error("the rest is not due at once")
	}
	p.begin(Wake{}, "v", at)
	p.foresee(nil, 10, at)
	if p.due("v", at) || !p.due("v", at.Add(firstRetry)) {
		t.Error("a step that brought nothing is made again without a pause, or never")
	}
	p.begin(Wake{}, "v", at.Add(firstRetry))
	p.foresee(nil, 3, at)
	if !p.due("v", at) {
		t.Error("it goes on, and waits")
	}
	p.begin(Wake{}, "v", at)
	p.foresee(nil, 0, at)
	if p.due("v", at.Add(100*time.Hour)) {
		t.Error("all is judged, and the set is due")
	}
}
