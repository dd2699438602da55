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

// built is a version of a package as it came out of a build: another seed, other bytes.
func built(entry, seed string) mirror.Reference {
	p, err := mirror.ParsePackage(entry)
	if err != nil {
		panic(err)
	}
	return mirror.Reference{Host: "epr.elastic.co", Repository: p.Name, Tag: p.Tag(), Digest: mirror.DigestOf([]byte(entry + seed))}
}

// channels is a set of packages in which nginx-1.20.0 stands at every stage.
type channels struct {
	set    mirror.Set
	record mirror.Record
	rules  string // below the rules of the policy
}

func newChannels(stages ...mirror.Stage) *channels {
	if len(stages) == 0 {
		stages = mirror.DefaultStages
	}
	c := &channels{set: mirror.Set{Name: "elastic", Stages: stages, Packages: true, Wanted: map[mirror.Stage][]mirror.Wanted{}, Listed: map[mirror.Stage]bool{}, Marked: map[mirror.Stage]string{}}, record: mirror.Record{Stages: map[mirror.Stage]mirror.Standing{}}}
	for _, stage := range stages {
		c.record.Stages[stage] = mirror.Standing{}
		c.stands(stage, "nginx-1.20.0", "a")
	}
	return c
}

func (c *channels) stands(stage mirror.Stage, entry, seed string, was ...mirror.Reference) {
	c.record.Stages[stage][entry] = mirror.Line{Image: built(entry, seed), Since: noon.AddDate(0, 0, -9), Proven: true, Was: was}
}

// moves gives what becomes of bytes that are to stand at a stage; they stand in the one below.
func (c *channels) moves(t *testing.T, stage mirror.Stage, entry, seed string) mirror.Action {
	t.Helper()
	if below, ok := c.set.Stages.Below(stage); ok {
		if line, stands := c.record.Stages[below][entry]; !stands || line.Image != built(entry, seed) {
			c.stands(below, entry, seed)
		}
	}
	image := built(entry, seed)
	return c.gated(t, mirror.Action{Kind: mirror.Tag, Key: mirror.Key{Set: "elastic", Entry: entry}, Stage: stage, Image: image, New: image.Digest}).Actions[0]
}

func (c *channels) gated(t *testing.T, actions ...mirror.Action) mirror.Plan {
	t.Helper()
	p, problems := policy.Load(mirror.Files{mirror.PolicyFile: []byte("version: 1\nrules: [{match: \"**\", require: {pinned: true}}]\n" + c.rules),
		"desired/elastic.yaml": []byte("version: 1\nsource: {kind: epr}\nstages: [" + strings.Join(names(c.set.Stages), ", ") + "]\n")}, commit)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	asked := map[string]policy.Asking{}
	for _, a := range actions {
		asked[a.Key.Entry] = policy.Asking{Commit: "c0ffee", At: noon}
	}
	facts := policy.Facts{Record: c.record, Asked: map[mirror.Stage]map[string]policy.Asking{"staging": asked, "production": asked}}
	return p.Gate(mirror.Plan{Set: "elastic", Actions: actions, Before: c.record}, c.set, facts, noon.Add(time.Hour))
}

func names(stages mirror.Stages) (all []string) {
	for _, s := range stages {
		all = append(all, string(s))
	}
	return all
}

func TestChannels_WhoMayChangeTheBytesOfAVersion(t *testing.T) {
	old, older := built("nginx-1.20.0", "old"), built("nginx-1.20.0", "older")
	for _, tt := range []struct {
		name   string
		stages []mirror.Stage
		change func(*channels)
		stage  mirror.Stage
		seed   string
		code   mirror.ReasonCode // "" where it may
		noted  bool
	}{
		{"the first stage follows upstream", nil, nil, "snapshot", "b", "", false},
		{"a stage between, with a note", nil, nil, "staging", "b", "", true},
		{"the last stage never", nil, nil, "production", "b", mirror.Overwrites, true},
		{"the second of two is the last", []mirror.Stage{"snapshot", "production"}, nil, "production", "b", mirror.Overwrites, true},
		{"a stage between two others of four", []mirror.Stage{"snapshot", "qa", "staging", "production"}, nil, "staging", "b", "", true},
		{"an only stage is the first", []mirror.Stage{"production"}, nil, "production", "b", "", false},
		{"the same bytes", nil, nil, "production", "a", "", false},
		{"back to bytes that stood in the last stage", nil, func(c *channels) { c.stands("production", "nginx-1.20.0", "a", old) }, "production", "old", "", true},
		{"back to bytes that stood elsewhere alone", nil, func(c *channels) { c.stands("staging", "nginx-1.20.0", "a", old) }, "production", "old", mirror.Overwrites, true},
		{"new bytes of a version that left the last stage", nil, func(c *channels) {
			delete(c.record.Stages["production"], "nginx-1.20.0")
			c.record.Left = map[mirror.Stage]mirror.Standing{"production": {"nginx-1.20.0": {Since: noon, Was: []mirror.Reference{older}}}}
		}, "production", "b", mirror.Overwrites, false},
		{"the bytes that it left with", nil, func(c *channels) {
			delete(c.record.Stages["production"], "nginx-1.20.0")
			c.record.Left = map[mirror.Stage]mirror.Standing{"production": {"nginx-1.20.0": {Since: noon, Was: []mirror.Reference{older}}}}
		}, "production", "older", "", false},
		{"a version that never stood there", nil, func(c *channels) { delete(c.record.Stages["production"], "nginx-1.20.0") }, "production", "b", "", false},
		{"what nobody proved yet", nil, func(c *channels) {
			line := c.record.Stages["production"]["nginx-1.20.0"]
			line.Proven = false
			c.record.Stages["production"]["nginx-1.20.0"] = line
		}, "production", "b", mirror.Overwrites, true},
		{"what a lost state leaves of the past", nil, func(c *channels) {
			c.record.Stages["production"]["nginx-1.20.0"] = mirror.Line{Image: built("nginx-1.20.0", "b"), Recorded: []mirror.Reference{older}}
			delete(c.record.Stages["production"], "nginx-1.20.0")
			c.record.Left = map[mirror.Stage]mirror.Standing{"production": {"nginx-1.20.0": {Since: noon, Claimed: []mirror.Reference{older}}}}
		}, "production", "b", mirror.Overwrites, false},
		{"a set that has no packages", nil, func(c *channels) { c.set.Packages = false }, "production", "b", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newChannels(tt.stages...)
			if tt.change != nil {
				tt.change(c)
			}
			got := c.moves(t, tt.stage, "nginx-1.20.0", tt.seed)
			if refused := got.Kind == mirror.Refuse; refused != (tt.code != "") || refused && got.Reason.Code != tt.code {
				t.Errorf("got %s, %s (%s); want %q", got.Kind, got.Reason.Code, got.Reason, tt.code)
			}
			noted := len(got.Warnings) == 1 && strings.Contains(got.Warnings[0], "other bytes take the place of nginx-1.20.0")
			if noted != tt.noted {
				t.Errorf("got the notes %q", got.Warnings)
			}
		})
	}
}

func TestChannels_AnOlderVersionIsOneOfAnOlderPackage(t *testing.T) {
	const forward = "gates:\n  - {stages: [production], downgrade: refuse}\n"
	for _, tt := range []struct {
		name, entry string
		change      func(*channels)
		code        mirror.ReasonCode
	}{
		{"newer", "nginx-1.21.0", nil, ""},
		{"older", "nginx-1.19.0", nil, mirror.Downgrade},
		{"a release of what stands as a preview", "nginx-1.21.0", func(c *channels) { c.stands("production", "nginx-1.21.0-beta.1", "a") }, ""},
		{"a preview of what stands", "nginx-1.20.0-beta.1", nil, mirror.Downgrade},
		{"by number, not by letter", "nginx-1.9.0", nil, mirror.Downgrade},
		{"older than the newest of several", "nginx-1.30.0", func(c *channels) {
			c.stands("production", "nginx-1.31.0", "a")
			c.stands("production", "nginx-1.9.0", "a")
		}, mirror.Downgrade},
		{"another build of the same version", "nginx-1.20.0+build.2", nil, ""},
		{"another package", "apache-1.0.0", nil, ""},
		{"a package with a name that goes on", "nginx_ingress-0.1.0", nil, ""},
		{"older and marked", "nginx-1.19.0", func(c *channels) { c.set.Marked["production"] = "1.20.0 loses logs" }, ""},
		{"older, and stood here", "nginx-1.19.0", func(c *channels) {
			c.record.Left = map[mirror.Stage]mirror.Standing{"production": {"nginx-1.19.0": {Since: noon, Was: []mirror.Reference{built("nginx-1.19.0", "a")}}}}
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newChannels()
			c.rules = forward
			if tt.change != nil {
				tt.change(c)
			}
			got := c.moves(t, "production", tt.entry, "a")
			if refused := got.Kind == mirror.Refuse; refused != (tt.code != "") || refused && got.Reason.Code != tt.code {
				t.Errorf("got %s, %s (%s); want %q", got.Kind, got.Reason.Code, got.Reason, tt.code)
			}
		})
	}
}

func TestChannels_WhatMayLeaveAStage(t *testing.T) {
	digest := built("nginx-1.20.0", "a").Digest.String()
	exception := func(match, stages, until string) string {
		return fmt.Sprintf("exceptions:\n  - {match: %q, stages: [%s], skip: [removal], until: %s, reason: OPS-1, approvedBy: alice}\n", match, stages, until)
	}
	for _, tt := range []struct {
		name, rules string
		stages      []mirror.Stage
		leaves      []mirror.Stage
	}{
		{"nothing", "", nil, nil},
		{"by an exception for the package", exception("epr.elastic.co/nginx", "staging", "2026-12-31"), nil, []mirror.Stage{"staging"}},
		{"by an exception for these bytes", exception("epr.elastic.co/nginx@"+digest, "staging", "2026-12-31"), nil, []mirror.Stage{"staging"}},
		{"by an exception for every stage, never the last", exception("epr.elastic.co/nginx", "staging, production", "2026-12-31"), nil, []mirror.Stage{"staging"}},
		{"by an exception for others", exception("epr.elastic.co/apache", "staging", "2026-12-31"), nil, nil},
		{"by an exception that is over", exception("epr.elastic.co/nginx", "staging", "2026-01-31"), nil, nil},
		{"by an exception of signatures", strings.ReplaceAll(exception("epr.elastic.co/nginx", "staging", "2026-12-31"), "removal", "pinned"), nil, nil},
		{"what is denied, everywhere", "deny: {digests: [\"" + digest + "\"]}\n", nil, []mirror.Stage{"staging", "production"}},
		{"what is denied by name, from the last of two", "deny: {repos: [\"**/nginx\"]}\n", []mirror.Stage{"snapshot", "production"}, []mirror.Stage{"production"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newChannels(tt.stages...)
			c.rules = tt.rules
			var actions []mirror.Action
			for _, stage := range c.set.Stages.Upper() {
				image := built("nginx-1.20.0", "a")
				actions = append(actions, mirror.Action{Kind: mirror.Refuse, Key: mirror.Key{Set: "elastic", Entry: "nginx-1.20.0"}, Stage: stage, Image: image, New: image.Digest, Reason: mirror.Because(mirror.Removes, "")})
			}
			p := c.gated(t, actions...)
			for _, stage := range c.set.Stages.Upper() {
				told := slices.ContainsFunc(p.Actions, func(a mirror.Action) bool { return a.Stage == stage })
				if want := slices.Contains(tt.leaves, stage); p.Released[stage]["nginx-1.20.0"] != want || told == want {
					t.Errorf("%s: released %v, told as refused %v; want %v", stage, p.Released[stage], told, want)
				}
			}
		})
	}
}

func TestChannels_AnExceptionThatLetsNothingGoIsAMistake(t *testing.T) {
	for _, tt := range []struct{ name, set, stages, code string }{
		{"between", "{kind: epr}\nstages: [snapshot, staging, production]", "[staging]", ""},
		{"every stage", "{kind: epr}", "", ""},
		{"the last alone", "{kind: epr}", "[production]", "POL074"},
		{"the first alone", "{kind: epr}", "[snapshot]", "POL074"},
		{"two stages have none between", "{kind: epr}\nstages: [snapshot, production]", "", "POL074"},
		{"no packages", "{kind: list}", "[staging]", "POL074"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stages := ""
			if tt.stages != "" {
				stages = "stages: " + tt.stages + ", "
			}
			_, problems := policy.Load(mirror.Files{"desired/elastic.yaml": []byte("version: 1\nsource: " + tt.set + "\n"),
				mirror.PolicyFile: []byte("version: 1\nrules: []\nexceptions:\n  - {match: epr.elastic.co/nginx, " + stages + "skip: [removal], until: 2026-12-31, reason: OPS-1, approvedBy: alice}\n")}, commit)
			if got := strings.Join(codesOf(problems), " "); got != tt.code {
				t.Errorf("got %q (%v), want %q", got, problems, tt.code)
			}
		})
	}
}

// TestChannels_AnExceptionOfRemovalJudgesNothingAgain: it says nothing of what rules require.
func TestChannels_AnExceptionOfRemovalJudgesNothingAgain(t *testing.T) {
	judge := func(exceptions string) mirror.Verdict {
		p, problems := policy.Load(mirror.Files{"desired/elastic.yaml": []byte("version: 1\nsource: {kind: epr}\n"),
			mirror.PolicyFile: []byte("version: 1\nrules: [{match: \"**\", require: {pinned: true}}]\n" + exceptions)}, commit)
		if err := problems.Err(); err != nil {
			t.Fatal(err)
		}
		v, err := p.Verifier(policy.Options{At: now}).Verify(t.Context(), action(built("nginx-1.20.0", "a")), nil)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	without := judge("")
	with := judge("exceptions:\n  - {match: epr.elastic.co/nginx, skip: [removal], until: 2026-12-31, reason: OPS-1, approvedBy: alice}\n")
	if without.RuleHash != with.RuleHash || with.Outcome != mirror.OutcomeRejected || with.Exception != nil {
		t.Errorf("got %+v, without it %+v", with, without)
	}
}
