package cli

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/testenv"
)

// What Git does not tell ends a wait, too: a proposal that was declined, and a promotion that is refused for good. One
// that is open waits for its merge.
func TestWait_EndsWhereNothingMoreComes(t *testing.T) {
	w, config := inWorld(t)
	run := func(want int, args ...string) string {
		t.Helper()
		code, out, talk := command(t, t.Context(), append([]string{"-c", config}, args...)...)
		if code != want {
			t.Fatalf("%v: exit %d, want %d\n%s%s", args, code, want, out, talk)
		}
		return out
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
	out := run(exitOK, "promote", "tools", "quay.io/example-tools/probe:3.2", "--to", "staging", "--pr")
	found := regexp.MustCompile(`opened (\S+/(\d+))`).FindStringSubmatch(out)
	if found == nil {
		t.Fatalf("nothing was opened:\n%s", out)
	}
	id := "promotion/" + found[2]
	says(run(exitWaiting, "wait", id, "--timeout", "1s"), id[len("promotion/"):]+" waits for its merge: "+found[1], "still open after 1s")
	n, err := strconv.Atoi(found[2])
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Forge.Close(n, testenv.WorldPerson); err != nil {
		t.Fatal(err)
	}
	says(run(exitRefused, "wait", id), "was declined: "+found[1]+" was closed and not merged")
	says(run(exitRefused, "wait", id, "-o", "json"), `"state": "declined"`, `"promotions": []`)

	commit, err := w.Git.Commit(t.Context(), "never stood anywhere", map[string]string{"stages/tools/staging.yaml": "version: 1\nentries:\n  quay.io/example-tools/probe:3.2: quay.io/example-tools/probe:3.2@sha256:" + strings.Repeat("0", 64) + "\n"})
	if err != nil {
		t.Fatal(err)
	}
	run(exitPartial, "sync", "--only", "tools")
	says(run(exitRefused, "wait", "promotion/"+commit), "refused: tools to staging, quay.io/example-tools/probe:3.2", "it never stood in snapshot", "plan --only tools")
}

func TestWaitCode_ARefusalIsNotWaitedFor(t *testing.T) {
	for _, c := range []struct {
		states []daemon.PromotionState
		want   int
	}{
		{nil, exitWaiting},
		{[]daemon.PromotionState{daemon.PromotionApplied}, exitOK},
		{[]daemon.PromotionState{daemon.PromotionApplied, daemon.PromotionWaiting}, exitWaiting},
		{[]daemon.PromotionState{daemon.PromotionSuperseded, daemon.PromotionWaiting}, exitWaiting},
		{[]daemon.PromotionState{daemon.PromotionApplied, daemon.PromotionSuperseded}, exitRefused},
		{[]daemon.PromotionState{daemon.PromotionWaiting, daemon.PromotionRefused}, exitRefused},
	} {
		var found []daemon.Promotion
		for _, s := range c.states {
			found = append(found, daemon.Promotion{State: s})
		}
		if got := codeOfWait(found); got != c.want {
			t.Errorf("%v: got %d, want %d", c.states, got, c.want)
		}
	}
}
