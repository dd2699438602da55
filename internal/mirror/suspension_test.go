package mirror

import (
	"maps"
	"strings"
	"testing"
	"time"
)

func TestSuspensions_WhatIsWrittenIsRead(t *testing.T) {
	since := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	for _, paused := range []map[string]Suspension{
		{},
		{"ess": {Reason: "vendor ships \"broken\" images: #4711 \\ {x}", By: "ops@host", Since: since}},
		{"ess": {Reason: "a"}, "tools": {Reason: "ünïcode – yes", Since: since}},
	} {
		text := SuspensionFile(paused)
		got, warnings, problems := ParseSuspensions("f", text)
		if len(warnings)+len(problems) > 0 || !maps.Equal(got, paused) {
			t.Errorf("got %v, %v, %v of\n%s", got, warnings, problems, text)
		}
	}
}

func TestSuspensions_AreReadGenerouslyAndFailClosed(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		paused     map[string]Suspension
		warns      bool
		code       string
	}{
		{name: "a reason alone", text: "version: 1\nsuspended: {ess: bad day}\n", paused: map[string]Suspension{"ess": {Reason: "bad day"}}},
		{name: "a name alone", text: "version: 1\nsuspended:\n  ess:\n", paused: map[string]Suspension{"ess": {}}},
		{name: "nobody", text: "version: 1\nsuspended:\n", paused: map[string]Suspension{}},
		{name: "not even the key", text: "version: 1\n", paused: map[string]Suspension{}},
		{name: "a mistyped key", text: "version: 1\nsuspended: {ess: {raeson: x}}\n", paused: map[string]Suspension{"ess": {}}, warns: true},
		{name: "a malformed time", text: "version: 1\nsuspended: {ess: {reason: x, since: yesterday}}\n", paused: map[string]Suspension{"ess": {Reason: "x"}}, warns: true},
		{name: "control characters", text: "version: 1\nsuspended: {ess: \"a\\e[31m\\nb\"}\n", paused: map[string]Suspension{"ess": {Reason: `a\x1b[31m b`}}},
		{name: "no YAML", text: "version: 1\nsuspended: {ess\n", code: "DOC001"},
		{name: "empty", text: "", code: "DOC011"},
		{name: "a list", text: "version: 1\nsuspended: [ess]\n", code: "DOC004"},
		{name: "a mistyped key above", text: "version: 1\nsuspend: {ess: x}\n", code: "DOC002"},
		{name: "another version", text: "version: 2\nsuspended: {ess: x}\n", code: "DOC008"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			paused, warnings, problems := ParseSuspensions("f", []byte(tt.text))
			if tt.code != "" {
				if len(problems) == 0 || paused != nil {
					t.Fatalf("got %v, %v, want %s", paused, problems, tt.code)
				}
				if problems[0].Code != tt.code {
					t.Errorf("got %s (%s), want %s", problems[0].Code, problems[0].What, tt.code)
				}
				return
			}
			if len(problems) > 0 || !maps.Equal(paused, tt.paused) || (len(warnings) > 0) != tt.warns {
				t.Errorf("got %v, warnings %v, problems %v; want %v", paused, warnings, problems, tt.paused)
			}
		})
	}
}

func TestOneLine_KeepsTheTerminalSafe(t *testing.T) {
	for in, want := range map[string]string{
		"plain": "plain", "  two\n lines\t": "two lines", "bell\a\x1b[2J": `bell\a\x1b[2J`, "\u202eabc": `\u202eabc`,
		strings.Repeat("x", 400): strings.Repeat("x", 300) + "…",
	} {
		if got := OneLine(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
