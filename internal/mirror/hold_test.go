package mirror

import (
	"strings"
	"testing"
	"time"
)

func TestHolds_AreReadBackAsTheyWereWritten(t *testing.T) {
	since := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	held := Holds{
		{"ess", "production", ""}:              {Reason: `ticket "4711" — später`, By: "ops@host", Since: since},
		{"ess", "staging", "synapse/synapse"}:  {Reason: "broken", Since: since},
		{"list", "staging", "quay.io/x/y:1.0"}: {Reason: "rolled back to quay.io/x/y:1.0", By: "rollback"},
	}
	text := HoldsFile(held)
	got, warnings, problems := ParseHolds("holds.yaml", text)
	if len(warnings)+len(problems) > 0 || len(got) != len(held) {
		t.Fatalf("%v %v\n%s", warnings, problems, text)
	}
	for place, want := range held {
		if got[place] != want {
			t.Errorf("%s: got %v, want %v", place, got[place], want)
		}
	}
	if empty, _, ps := ParseHolds("holds.yaml", HoldsFile(nil)); len(empty) > 0 || len(ps) > 0 {
		t.Errorf("none: %v %v", empty, ps)
	}
}

func TestHolds_MistakesHoldOrAreTold(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		held       string // a place that is held all the same
		problem    string
	}{
		{"a reason alone", "version: 1\nholds:\n  ess/production: ticket 4711\n", "ess/production", ""},
		{"a line with a mistake", "version: 1\nholds:\n  ess/production: {reason: x, colour: red}\n", "ess/production", ""},
		{"no stage", "version: 1\nholds:\n  ess: {reason: x}\n", "", "malformed place"},
		{"no stage name", "version: 1\nholds:\n  ess/PRODUCTION: {reason: x}\n", "", "malformed stage"},
		{"a list", "version: 1\nholds: [ess/production]\n", "", "want a mapping"},
		{"a newer version", "version: 2\nholds: {}\n", "", "newer"},
		{"no YAML", "version: [", "", " "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			held, _, problems := ParseHolds("holds.yaml", []byte(tt.text))
			if tt.problem != "" {
				if len(problems) == 0 || !strings.Contains(problems[0].Error(), tt.problem) || held != nil {
					t.Errorf("got %v, %v", held, problems)
				}
				return
			}
			place, err := ParsePlace(tt.held)
			if _, ok := held[place]; err != nil || !ok || len(problems) > 0 {
				t.Errorf("got %v, %v, %v", held, problems, err)
			}
		})
	}
}

func TestHolds_OverFindsTheStageToo(t *testing.T) {
	held := Holds{{"ess", "production", ""}: {Reason: "all"}, {"ess", "staging", "a/b"}: {Reason: "one"}}
	for _, tt := range []struct {
		stage       Stage
		entry, want string
	}{{"production", "x", "all"}, {"staging", "a/b", "one"}, {"staging", "a", ""}, {"snapshot", "x", ""}} {
		_, h, ok := held.Over("ess", tt.stage, tt.entry)
		if h.Reason != tt.want || ok != (tt.want != "") {
			t.Errorf("%s/%s: got %v, %v", tt.stage, tt.entry, h, ok)
		}
	}
}
