package policy_test

import (
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy"
)

func TestGate_LiftsOnlyWhatStoodBelowOrHere(t *testing.T) {
	image := func(text string) mirror.Reference {
		return mirror.Reference{Host: "docker.io", Repository: "library/app", Tag: "1.0", Digest: mirror.DigestOf([]byte(text))}
	}
	below, before, stands, never := image("below"), image("before"), image("stands"), image("never")
	retagged := below.WithTag("2.0")
	set := mirror.Set{Name: "web", Stages: mirror.DefaultStages}
	record := mirror.Record{Stages: map[mirror.Stage]mirror.Standing{
		"snapshot":   {"app": {Image: never}},
		"staging":    {"app": {Image: below}},
		"production": {"app": {Image: stands, Was: []mirror.Reference{before}}},
	}}
	denied := load(t, nil, "rules: [{match: docker.io/**, require: {pinned: true}}]\ndeny: {digests: [\""+before.Digest.String()+"\"]}\n")
	open := load(t, nil, "rules: [{match: docker.io/**, require: {pinned: true}}]\n")
	for _, c := range []struct {
		name  string
		kind  mirror.Kind
		stage mirror.Stage
		image mirror.Reference
		deny  bool
		want  mirror.Kind
		code  mirror.ReasonCode
	}{
		{"stands below", mirror.Tag, "production", below, false, mirror.Tag, mirror.TagBehind},
		{"stands below, to be copied", mirror.Copy, "production", below, false, mirror.Copy, mirror.TagBehind},
		{"stood here", mirror.Tag, "production", before, false, mirror.Tag, mirror.TagBehind},
		{"stands here", mirror.Tag, "production", stands, false, mirror.Tag, mirror.TagBehind},
		{"stood two stages below", mirror.Tag, "production", never, false, mirror.Refuse, mirror.NotBelow},
		{"same digest under another tag", mirror.Tag, "production", retagged, false, mirror.Refuse, mirror.NotBelow},
		{"never seen", mirror.Copy, "staging", image("new"), false, mirror.Refuse, mirror.NotBelow},
		{"first stage needs none below", mirror.Copy, "snapshot", image("new"), false, mirror.Copy, mirror.TagBehind},
		{"unknown stage", mirror.Copy, "moon", below, false, mirror.Refuse, mirror.NotBelow},
		{"denied rollback", mirror.Tag, "production", before, true, mirror.Refuse, mirror.Denied},
		{"denied in the first stage", mirror.Copy, "snapshot", before, true, mirror.Refuse, mirror.Denied},
		{"nothing moves", mirror.Unchanged, "production", never, false, mirror.Unchanged, mirror.TagBehind},
		{"missing stays missing", mirror.Missing, "production", never, false, mirror.Missing, mirror.TagBehind},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := action(c.image)
			a.Kind, a.Stage, a.Reason = c.kind, c.stage, mirror.Because(mirror.TagBehind, "")
			after := record.Clone()
			after.Stages["production"]["app"] = mirror.Line{Image: c.image}
			in := mirror.Plan{Set: "web", Actions: []mirror.Action{a}, After: after}
			p := open
			if c.deny {
				p = denied
			}
			out := p.Gate(in, set, policy.Facts{Record: record}, time.Time{})
			if got := out.Actions[0]; got.Kind != c.want || got.Reason.Code != c.code {
				t.Errorf("got %s, %s (%s); want %s, %s", got.Kind, got.Reason.Code, got.Reason, c.want, c.code)
			}
			if in.Actions[0].Kind != c.kind || in.After.At("production")["app"].Image != c.image {
				t.Error("the plan that was given changed")
			}
		})
	}
}

func TestGate_WithoutARecordNothingRises(t *testing.T) {
	a := action(mirror.Reference{Host: "docker.io", Repository: "library/app", Digest: mirror.DigestOf(nil)})
	a.Stage = "staging"
	p := load(t, nil, "rules: [{match: docker.io/**, require: {pinned: true}}]\n")
	out := p.Gate(mirror.Plan{Actions: []mirror.Action{a}}, mirror.Set{Name: "web", Stages: mirror.DefaultStages}, policy.Facts{}, time.Time{})
	if out.Actions[0].Kind != mirror.Refuse {
		t.Errorf("got %s, want refuse", out.Actions[0].Kind)
	}
}

func TestGate_TheDenyListOfTheFloorCountsToo(t *testing.T) {
	image := mirror.Reference{Host: "docker.io", Repository: "library/app", Tag: "1.0", Digest: mirror.DigestOf([]byte("app"))}
	p := load(t, nil, "rules: [{match: docker.io/**, require: {pinned: true}}]\n")
	floor, problems := policy.LoadFloor("/etc/poundlock/floor.yaml", mirror.Files{"/etc/poundlock/floor.yaml": []byte("version: 1\ndefault: fleet\ndeny: {repos: [docker.io/library/*]}\n")})
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	set := mirror.Set{Name: "web", Stages: mirror.DefaultStages}
	a := action(image)
	for _, c := range []struct {
		policy policy.Policy
		want   mirror.Kind
	}{{p, mirror.Copy}, {p.WithFloor(floor), mirror.Refuse}} {
		got := c.policy.Gate(mirror.Plan{Actions: []mirror.Action{a}}, set, policy.Facts{}, time.Time{}).Actions[0]
		if got.Kind != c.want {
			t.Errorf("got %s (%s), want %s", got.Kind, got.Reason, c.want)
		}
		v, err := c.policy.Verifier(policy.Options{At: now}).Verify(t.Context(), a, nil)
		if denied := v.Reason.Code == mirror.Denied; err != nil || denied != (c.want == mirror.Refuse) {
			t.Errorf("got %s, %v", v.Reason, err)
		}
	}
}
