package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/internal/mirror"
)

// verify prints all of a verdict, and nothing in it steers the terminal.
func TestVerify_PrintsAllOfAVerdict(t *testing.T) {
	at := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	image := mirror.Reference{Host: "docker.io", Repository: "library/web", Tag: "1", Digest: mirror.DigestOf([]byte("web"))}
	text := verdictText(image, mirror.Verdict{Outcome: mirror.OutcomeException, Reason: mirror.Because(mirror.Excepted, "exception VEND-123"),
		Rules:     []string{"docker.io/** in desired/policy.yaml", "** in /etc/poundlock/floor.yaml"},
		Proofs:    []mirror.Proof{{Signer: "ci", Identity: "https://oidc.corp \x1b[31mci@corp", Manifest: mirror.DigestOf(nil), Time: at, Source: "timestamp authority"}},
		Exception: &mirror.Exception{Match: "docker.io/library/web", Skip: []string{"age"}, Until: at.Add(time.Hour), Reason: "VEND-123", ApprovedBy: "alice"},
		Seen:      at.Add(-time.Hour), Until: at.Add(time.Hour), Warnings: []string{"it ends soon"}, Findings: []string{"signature in x: not by ci"}})
	for _, want := range []string{image.String(), "* exception: exception VEND-123", "docker.io/** in desired/policy.yaml", "** in /etc/poundlock/floor.yaml", "ci", "https://oidc.corp",
		"2026-11-21T09:00:00Z by timestamp authority", "docker.io/library/web without age until 2026-11-21T10:00:00Z: VEND-123, approved by alice", "first seen 2026-11-21T08:00:00Z",
		"until      2026-11-21T10:00:00Z", "warning    it ends soon", "found      signature in x: not by ci"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not there:\n%s", want, text)
		}
	}
	if strings.Contains(text, "\x1b") {
		t.Errorf("text of a certificate steers the terminal: %q", text)
	}
	for outcome, symbol := range map[mirror.Outcome]string{mirror.OutcomeSigned: "+", mirror.OutcomePinned: "+", mirror.OutcomeWarn: "*", mirror.OutcomeRejected: "!", mirror.OutcomeUnknown: "?"} {
		if got := verdictText(image, mirror.Verdict{Outcome: outcome}); !strings.Contains(got, "\n  "+symbol+" "+string(outcome)+": ") {
			t.Errorf("%s has no symbol: %q", outcome, got)
		}
	}
}

// What policy has more to say of than yes or no is told in words by status and get entries.
func TestPolicy_RemarksAreToldInWords(t *testing.T) {
	image := mirror.Reference{Host: "docker.io", Repository: "library/web", Tag: "1", Digest: mirror.DigestOf([]byte("web"))}
	stand := daemon.Stand{Stage: "snapshot", State: daemon.Stands, Image: image, Basis: "signed by vendor",
		Remark: &daemon.Remark{Stage: "snapshot", Entry: "web", Image: image, Outcome: mirror.OutcomeWarn, Reason: "not enforced", Warnings: []string{"no signature found"}}}
	rows := entryRows(daemon.EntryLook{Set: "s", Entry: "web", Stages: []daemon.Stand{stand}}, asTable)
	if all := strings.Join(rows[len(rows)-1], " "); len(rows) != 2 || !strings.Contains(all, "* warn at snapshot: not enforced; warning: no signature found") {
		t.Errorf("entries: %q", rows)
	}
	now := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	lines := (&app{}).policyLines([]daemon.SetStatus{{Set: "idle"}, {Set: "web", Policy: daemon.PolicyStatus{Exceptions: 2, Warned: 1, NoLonger: 3, Unjudged: 4, Warnings: []string{"ends soon"}, Changes: now.Add(48 * time.Hour),
		Remarks: []daemon.PolicyRemark{{Stage: "production", Image: image, Text: "ends soon", More: 1}, {Stage: "staging", Image: image, Stands: true, Text: "no signature found"}}}}}, now)
	if want := "set web: 3 stand and are admitted no longer, 2 by exception, 1 with a warning, 4 still to be judged, changes in 2d" +
		"\n  * docker.io/library/web:1 at production (and 1 more): warning: ends soon\n  ! docker.io/library/web:1 at staging: admitted no longer: no signature found\n  Next: poundlock plan web -v"; len(lines) != 1 || lines[0] != want {
		t.Errorf("status: got %q, want %q", lines, want)
	}
}

// A reference that cannot be looked up is a mistake of the command line, with a way out.
func TestVerify_WantsATagOrADigest(t *testing.T) {
	_, config := inWorld(t)
	for _, ref := range []string{"quay.io/example-tools/probe", "Quay.io/UPPER/x:1:2"} {
		code, _, talk := command(t, t.Context(), "-c", config, "verify", ref)
		if code != exitFailure || strings.Contains(talk, "ERR001") || !strings.Contains(talk, "--help") || ref == "quay.io/example-tools/probe" && !strings.Contains(talk, "add a tag or digest") {
			t.Errorf("%s: exit %d: %s", ref, code, talk)
		}
	}
}

// BASIS says for each stage what stands on what where that differs.
func TestEntries_TellTheBasisOfEachStage(t *testing.T) {
	image := mirror.Reference{Host: "docker.io", Repository: "library/web", Tag: "1", Digest: mirror.DigestOf([]byte("web"))}
	stand := func(stage, basis string) daemon.Stand {
		return daemon.Stand{Stage: mirror.Stage(stage), State: daemon.Stands, Image: image, Basis: basis}
	}
	for want, stages := range map[string][]daemon.Stand{
		"signed by vendor": {stand("snapshot", "signed by vendor"), stand("staging", "signed by vendor")},
		"snapshot,staging: signed by vendor; production: signed by alice, bob": {stand("snapshot", "signed by vendor"), stand("staging", "signed by vendor"), stand("production", "signed by alice, bob")},
	} {
		rows := entryRows(daemon.EntryLook{Set: "s", Entry: "web", Stages: stages}, asTable)
		if len(rows) != 1 || rows[0][5] != want {
			t.Errorf("got %q, want %q", rows, want)
		}
	}
}
