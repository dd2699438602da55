package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/internal/mirror"
)

// A moment that a reason names is not told twice, and what will be too late is told although its gate is open.
func TestPromote_TellsGates(t *testing.T) {
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	text := new(app).promotionText(daemon.Promoted{Set: "ess", From: "staging", Stage: "production", Outcome: daemon.PromotedNothing, Gates: []mirror.Gate{
		{Name: "soak", Code: mirror.Soaking, Why: "it has to stand in staging for 24h: until 2026-11-22T12:00:00Z", Until: at},
		{Name: "freeze", Code: mirror.Frozen, Why: "nothing moves", Until: at},
		{Name: "within", Open: true, Why: "it may wait for 20s", Warning: "it is too late by then"},
	}}, false)
	for _, want := range []string{"\n  ✗ soak: it has to stand in staging for 24h: until 2026-11-22T12:00:00Z\n", "nothing moves, until 2026-11-22T12:00:00Z\n", "\n  ! within: it may wait for 20s; it is too late by then\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %q:\n%s", want, text)
		}
	}
}

// With a daemon and without one: promoted, rolled back, held and released, with words that say what comes next.
func TestPromote_WorksWithAndWithoutADaemon(t *testing.T) {
	const probe = "quay.io/example-tools/probe:3.2"
	for _, daemon := range []bool{false, true} {
		t.Run(map[bool]string{false: "without", true: "with"}[daemon], func(t *testing.T) {
			w, config := inWorld(t)
			run := func(want int, args ...string) string {
				t.Helper()
				code, out, talk := command(t, t.Context(), append([]string{"-c", config}, args...)...)
				if code != want {
					t.Fatalf("%v: exit %d, want %d\n%s%s", args, code, want, out, talk)
				}
				return out + talk
			}
			says := func(text string, words ...string) {
				t.Helper()
				for _, want := range words {
					if !strings.Contains(text, want) {
						t.Errorf("lacks %q:\n%s", want, text)
					}
				}
			}
			run(exitPartial, "sync", "--only", "tools")
			if daemon {
				daemonIn(t, w, config)
			}
			next := map[bool]string{false: "sync --only tools", true: "trigger tools --wait"}[daemon]
			says(run(exitOK, "promote", "tools", probe, "--to", "staging", "--direct", "--as", "alice"),
				"tools: snapshot → staging", "gates: ", "previous ✔", "+ ", probe, "committed ", "Next: ", next)
			says(run(exitOK, "promote", "tools", "tools/"+probe, "--to", "staging", "--direct"), "nothing to do")
			says(run(exitOK, "hold", "tools", probe, "--stage", "production", "--reason", "ticket 4711"), "tools/production/"+probe, "release tools --stage production")
			if !daemon { // else it applies the promotion meanwhile
				run(exitPartial, "sync", "--only", "tools")
			} else {
				run(exitPartial, "trigger", "tools", "--wait")
			}
			says(run(exitRefused, "promote", "tools", "--to", "production", "--direct"), "refused: ", "is held by", "ticket 4711", "release tools "+probe+" --stage production` lets it go on", config)
			says(run(exitOK, "release", "tools", "--stage", "production"), "tools/production/"+probe+" is held no more")
			says(run(exitOK, "release", "tools", "--stage", "production"), "nothing of tools was held")
			says(run(exitConfig, "promote", "tools", "nope", "--to", "staging"), "FLT032")
			says(run(exitConfig, "promote", "tools", "--to", "snapshot"), "PRM002")
			says(run(exitConfig, "rollback", "tools", "--stage", "staging"), "PRM003")
			run(exitOK, "promote", "tools", "--to", "staging", "--direct")
			says(run(exitOK, "rollback", "tools", "--stage", "staging", "--direct", "--reason", "broken", "-o", "json"), `"outcome": "committed"`, `"rollback": true`, `"type": "promotion"`)
			says(run(exitFailure, "promote", "tools", "--to", "staging", "--direct", "--pr"), "pr")
			says(run(exitFailure, "promote", "tools"), "to")
			log, err := w.Git.Log()
			if err != nil {
				t.Fatal(err)
			}
			var messages strings.Builder
			for _, c := range log {
				messages.WriteString(c.Message)
			}
			says(messages.String(), "Requested-By: alice\n", "Reason: broken\n", "tools: "+probe+" from snapshot to staging\n", "at staging\n")
		})
	}
}
