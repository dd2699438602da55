package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// aCheckout writes the fleet repository of a world to disk, with changed files, as the pipeline of a change request
// has it.
func aCheckout(t *testing.T, w *testenv.World, changed map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	files, err := w.Git.Files("main")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range changed {
		files[name] = text
	}
	for name, text := range files {
		put(t, map[string]string{filepath.Join(dir, name): text})
	}
	return dir
}

// changedPolicy gives the policy of a world with words replaced, each of which must be there.
func changedPolicy(t *testing.T, w *testenv.World, oldnew ...string) map[string]string {
	t.Helper()
	files, err := w.Git.Files("main")
	if err != nil {
		t.Fatal(err)
	}
	text := files[mirror.PolicyFile]
	for i := 0; i < len(oldnew); i += 2 {
		if !strings.Contains(text, oldnew[i]) {
			t.Fatalf("the policy has no %q", oldnew[i])
		}
		text = strings.Replace(text, oldnew[i], oldnew[i+1], 1)
	}
	return map[string]string{mirror.PolicyFile: text}
}

const goodTests = `version: 1
tests:
  - {image: "quay.io/example-tools/probe:3.2", stage: snapshot, expect: signed}
  - {image: "ghcr.io/example-tools/unsigned:1.0.0", stage: production, expect: rejected, reason: no-signature, name: unsigned images stay out}
  - {image: "ghcr.io/example-tools/wrong-key:1.0.0", stage: production, expect: rejected, reason: bad-signature}
  - {image: "quay.io/other/thing:1@sha256:1111111111111111111111111111111111111111111111111111111111111111", stage: snapshot, expect: rejected, reason: no-rule}
`

func TestPolicyTest_TellsWhatIsNotAsExpected(t *testing.T) {
	w, config := inWorld(t)
	const file = "desired/policy/tests.yaml"
	for _, tt := range []struct {
		name, tests string
		code        int
		says        []string
		not         string
	}{
		{"as expected", goodTests, exitOK, []string{": 4 passed\n"}, "FAIL"},
		{"another verdict", strings.Replace(goodTests, "expect: signed", "expect: pinned", 1), exitRefused,
			[]string{"FAIL  quay.io/example-tools/probe:3.2 at snapshot  (", file + ":3:5)", "want pinned, got signed: signed by vendor", "1 of 4 failed"}, "unsigned images"},
		{"another reason", strings.Replace(goodTests, "reason: no-signature", "reason: bad-signature", 1), exitRefused,
			[]string{"FAIL  unsigned images stay out", "want rejected (bad-signature), got rejected (no-signature)"}, ""},
		{"an image that is not there", strings.Replace(goodTests, "probe:3.2", "probe:absent", 1), exitRefused, []string{"want signed, got unknown: upstream has no such image"}, ""},
		{"no tests", "version: 1\n", exitOK, []string{"no tests"}, ""},
		{"a mistake", strings.Replace(goodTests, "expect: signed", "expect: singed", 1), exitConfig, []string{"error[FLT040]", file + ":3:", `did you mean "signed"?`}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, out, talk := command(t, t.Context(), "-c", config, "policy", "test", aCheckout(t, w, map[string]string{file: tt.tests}))
			for _, want := range tt.says {
				if !strings.Contains(out+talk, want) {
					t.Errorf("it does not say %q", want)
				}
			}
			if code != tt.code || tt.not != "" && strings.Contains(out, tt.not) || t.Failed() {
				t.Errorf("exit %d, want %d:\n%s%s", code, tt.code, out, talk)
			}
		})
	}
	if n := w.Local.Proxy().Counts().Writes(); n != 0 {
		t.Errorf("tests wrote %d times", n)
	}
}

func TestPolicyTest_JudgesByThePolicyOfTheCheckout(t *testing.T) {
	w, config := inWorld(t)
	changed := changedPolicy(t, w, "deny\n", "deny\ndeny: {repos: [\"quay.io/example-tools/*\"]}\n")
	changed["desired/policy/tests.yaml"] = goodTests
	code, out, _ := command(t, t.Context(), "-c", config, "policy", "test", aCheckout(t, w, changed), "-o", "json")
	var doc testedDocument
	if err := json.Unmarshal([]byte(out), &doc); err != nil || code != exitRefused || doc.Failed != 1 || doc.Tests[0].Verdict.Reason.Code != mirror.Denied {
		t.Errorf("exit %d, %v: %s", code, err, out)
	}
	// Without a folder it is the newest commit that is tested.
	if _, err := w.Git.Commit(t.Context(), "deny one", changed); err != nil {
		t.Fatal(err)
	}
	code, out, _ = command(t, t.Context(), "-c", config, "policy", "test", "-v")
	if code != exitRefused || !strings.Contains(out, "1 of 4 failed") || !strings.Contains(out, "ok    unsigned images stay out") {
		t.Errorf("exit %d: %s", code, out)
	}
	code, out, _ = command(t, t.Context(), "-c", config, "policy", "test", "-o", "github")
	if code != exitRefused || !strings.HasPrefix(out, "::error file=desired/policy/tests.yaml,line=3,") || strings.Count(out, "\n") != 1 {
		t.Errorf("exit %d: %s", code, out)
	}
}

// A pin counts by the desired/ of the checkout, which no commit holds yet.
func TestPolicyTest_CountsPinsOfTheCheckout(t *testing.T) {
	w, config := inWorld(t)
	changed := changedPolicy(t, w, "\"{ghcr.io,quay.io}/example-tools/**\", require: {signers: [vendor], count: 1}", "\"{ghcr.io,quay.io}/example-tools/**\", require: {pinned: true}")
	pinned := "quay.io/example-tools/new:1@sha256:" + strings.Repeat("7", 64)
	changed["desired/tools/images.txt"] = pinned + "\n"
	changed["desired/policy/tests.yaml"] = "version: 1\ntests:\n  - {image: \"" + pinned + "\", stage: snapshot, expect: pinned}\n" +
		"  - {image: \"" + strings.ReplaceAll(pinned, "7", "8") + "\", stage: snapshot, expect: rejected, reason: not-pinned}\n"
	if code, out, talk := command(t, t.Context(), "-c", config, "policy", "test", aCheckout(t, w, changed)); code != exitOK {
		t.Errorf("exit %d: %s%s", code, out, talk)
	}
}

func TestPolicyDiff_TellsWhatWouldChange(t *testing.T) {
	w, config := inWorld(t)
	if code, out, talk := command(t, t.Context(), "-c", config, "sync"); code != exitPartial {
		t.Fatalf("sync: exit %d: %s%s", code, out, talk)
	}
	other, err := testenv.NewSigner("p256")
	if err != nil {
		t.Fatal(err)
	}
	diff := func(args ...string) (int, daemon.PolicyDiff) {
		t.Helper()
		code, out, talk := command(t, t.Context(), append([]string{"-c", config, "policy", "diff", "-o", "json"}, args...)...)
		var doc policyDiffDocument
		if err := json.Unmarshal([]byte(out), &doc); err != nil {
			t.Fatalf("exit %d: %v\n%s%s", code, err, out, talk)
		}
		return code, doc.PolicyDiff
	}
	code, same := diff("--detailed-exitcode", aCheckout(t, w, nil))
	if code != exitOK || len(same.Changes) != 0 || same.Unchanged < 20 {
		t.Fatalf("the same policy: exit %d, %+v", code, same)
	}
	const tools = "{match: \"{ghcr.io,quay.io}/example-tools/**\", require: {signers: [vendor], count: 1}}"
	for _, tt := range []struct {
		name, rule string
		count      map[daemon.ChangeKind]int
		outcome    mirror.Outcome // of the first change
	}{
		// Of the tools stand what the vendor signed, some of it named by digest; three are refused.
		{"nobody vouches", "", map[daemon.ChangeKind]int{daemon.WouldRefuse: 4}, mirror.OutcomeRejected},
		{"other signer", strings.Replace(tools, "vendor", "other", 1), map[daemon.ChangeKind]int{daemon.WouldRefuse: 4}, mirror.OutcomeRejected},
		{"pins", "{match: \"{ghcr.io,quay.io}/example-tools/**\", require: {pinned: true}}", map[daemon.ChangeKind]int{daemon.WouldRefuse: 2, daemon.OtherBasis: 2}, mirror.OutcomeRejected},
		{"the same in other words", "{match: \"ghcr.io/example-tools/**\", require: {signers: [vendor]}}\n  - {match: \"quay.io/example-tools/**\", require: {signers: [vendor]}}", nil, ""},
		{"an exception", tools + "\nexceptions:\n  - {match: ghcr.io/example-tools/unsigned, skip: [signatures], until: 2099-01-01, reason: VEND-1, approvedBy: ada}", map[daemon.ChangeKind]int{daemon.WouldAdmit: 1}, mirror.OutcomeException},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rule := tt.rule
			if rule != "" {
				rule = "- " + rule
			}
			changed := changedPolicy(t, w, "- "+tools, rule, "vendor: {key: keys/vendor.pub}", "vendor: {key: keys/vendor.pub}\n  other: {key: keys/other.pub}")
			changed["desired/keys/other.pub"] = other.PublicPEM()
			dir := aCheckout(t, w, changed)
			code, d := diff("--detailed-exitcode", dir)
			wantCode := exitChanges
			if len(tt.count) == 0 {
				wantCode = exitOK
			}
			total := 0
			for _, kind := range []daemon.ChangeKind{daemon.WouldRefuse, daemon.WouldAdmit, daemon.OtherBasis, daemon.CannotBeSaid} {
				total += d.Count(kind)
				if d.Count(kind) != tt.count[kind] {
					t.Errorf("%s: %d, want %d", kind, d.Count(kind), tt.count[kind])
				}
			}
			if code != wantCode || total+d.Unchanged != same.Unchanged {
				t.Errorf("exit %d, want %d; %d changes and %d as before, want %d together", code, wantCode, total, d.Unchanged, same.Unchanged)
			}
			if total > 0 && d.Changes[0].After.Outcome != tt.outcome {
				t.Errorf("after: %+v", d.Changes[0].After)
			}
			if code, _, _ := command(t, t.Context(), "-c", config, "policy", "diff", dir); code != exitOK {
				t.Errorf("exit %d without --detailed-exitcode", code)
			}
		})
	}
}

func TestPolicyDiff_ReadsSignaturesOnceForBothAndWritesNothing(t *testing.T) {
	w, config := inWorld(t)
	if code, out, _ := command(t, t.Context(), "-c", config, "sync"); code != exitPartial {
		t.Fatalf("sync: exit %d: %s", code, out)
	}
	if err := os.RemoveAll(filepath.Join(w.Dir(), "state", "state.db")); err != nil { // so that neither policy's verdicts are remembered
		t.Fatal(err)
	}
	requests := func(args ...string) int {
		t.Helper()
		before := w.Local.Proxy().Counts()
		if code, out, talk := command(t, t.Context(), append([]string{"-c", config}, args...)...); code != exitOK {
			t.Fatalf("exit %d: %s%s", code, out, talk)
		}
		after := w.Local.Proxy().Counts()
		if after.Writes() != before.Writes() {
			t.Errorf("%v wrote", args)
		}
		return after.Total() - before.Total()
	}
	alone := requests("policy", "diff", aCheckout(t, w, nil))
	both := requests("policy", "diff", aCheckout(t, w, changedPolicy(t, w, "example-tools/**\", require: {signers: [vendor]", "example-tools/**\", minAge: 1s, require: {signers: [vendor]")))
	t.Logf("%d requests at the local registry without a difference, %d with one", alone, both)
	const tools = 7 // whose rule changed
	if both > alone+6*tools {
		t.Errorf("%d requests, and %d where the policies are the same", both, alone)
	}
}

func TestPolicyDiff_ComparesWithACommit(t *testing.T) {
	w, config := inWorld(t)
	before := w.Git.Head()
	if _, err := w.Git.Commit(t.Context(), "no tools", changedPolicy(t, w, "  - {match: \"{ghcr.io,quay.io}/example-tools/**\", require: {signers: [vendor], count: 1}}\n", "")); err != nil {
		t.Fatal(err)
	}
	code, out, talk := command(t, t.Context(), "-c", config, "policy", "diff", "--commit", before)
	if code != exitOK || !strings.Contains(out, "+ tools/") || strings.Contains(out, "\n- ") || !strings.Contains(out, "Policy of "+before+": 4 admitted,") {
		t.Errorf("exit %d: %s%s", code, out, talk)
	}
	for _, wrong := range []string{"HEAD", strings.Repeat("a", 40)} {
		if code, _, talk := command(t, t.Context(), "-c", config, "policy", "diff", "--commit", wrong); code != exitConfig || !strings.Contains(talk, "FLT046") {
			t.Errorf("--commit %s: exit %d: %s", wrong, code, talk)
		}
	}
	if code, _, talk := command(t, t.Context(), "-c", config, "policy", "diff", "--commit", before, "."); code != exitFailure {
		t.Errorf("a folder and a commit: exit %d: %s", code, talk)
	}
	if code, _, talk := command(t, t.Context(), "-c", config, "policy", "diff", t.TempDir()); code != exitConfig || !strings.Contains(talk, "FLT020") {
		t.Errorf("no checkout: exit %d: %s", code, talk)
	}
}
