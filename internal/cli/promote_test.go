package cli

import (
	"strings"
	"testing"
)

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
			says(run(exitRefused, "promote", "tools", "--to", "production", "--direct"), "refused: ", "is held by", "ticket 4711")
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
