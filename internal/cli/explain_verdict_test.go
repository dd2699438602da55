package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy"
	"github.com/poundlock/poundlock/testenv"
)

func explained(t *testing.T, config string, args ...string) (int, explanationDocument) {
	t.Helper()
	code, out, talk := command(t, t.Context(), append([]string{"-c", config, "explain-verdict", "-o", "json"}, args...)...)
	var doc explanationDocument
	if err := json.Unmarshal([]byte(out), &doc); err != nil {
		t.Fatalf("exit %d: %v\n%s%s", code, err, out, talk)
	}
	return code, doc
}

func TestExplainVerdict_TellsWhatLedToIt(t *testing.T) {
	_, config := inWorld(t)
	if code, out, _ := command(t, t.Context(), "-c", config, "sync"); code != exitPartial {
		t.Fatalf("sync: exit %d: %s", code, out)
	}
	for _, tt := range []struct {
		name string
		args []string
		code int
		says []string
	}{
		{"what stands", []string{"synapse/synapse"}, exitOK, []string{"docker.io/matrixdotorg/synapse:", " at snapshot: signed\n", "signed by vendor", "entry      ess/synapse/synapse", "stands     since",
			"remembered", "signed by  vendor (key sha256:", "desired/policy.yaml:11:5  rule \"docker.io/{vectorim,matrixdotorg}/**\"", "+ met      a signature of vendor, for docker.io/matrixdotorg/synapse"}},
		{"what a reviewed commit names", []string{"adminbot/haproxy"}, exitOK, []string{"at snapshot: pinned", "pinned by  commit ", "+ met      a reviewed commit must name the digest"}},
		{"unsigned", []string{"ghcr.io/example-tools/unsigned:1.0.0"}, exitRefused, []string{"rejected (no-signature)", "remembered", "! missing  a signature of vendor", "vendor is missing: have them sign sha256:", "fix        have it signed by vendor", "add an exception that skips signatures"}},
		{"another key", []string{"wrong-key"}, exitRefused, []string{"rejected (bad-signature)", "found      signature in sha256:", "not by vendor"}},
		{"no rule", []string{"docker.io/matrixdotorg/synapse:v1@sha256:" + strings.Repeat("1", 64), "--stage", "production"}, exitRefused, nil},
		{"at a stage where it is not wanted", []string{"synapse/synapse", "--stage", "production"}, exitOK, []string{"at production: signed"}},
		{"not there", []string{"quay.io/example-tools/missing:1.0.0"}, exitPartial, []string{"REG002", "correct the name or the tag that was typed"}},
		{"a short digest", []string{"sha256:40750"}, exitFailure, []string{"TRC001", "at least seven digits"}},
		{"an unknown digest", []string{"sha256:40750ab1"}, exitFailure, []string{"TRC001"}},
		{"for programs", []string{"ghcr.io/example-tools/unsigned:1.0.0", "-o", "json"}, exitRefused, []string{`"type":"exit_error"`, `"code":"POL100"`, "have it signed by vendor"}},
		{"nothing", []string{"synaps"}, exitFailure, []string{"TRC001", "did you mean"}},
		{"no stage", []string{"synapse/synapse", "--stage", "prod"}, exitConfig, []string{"FLT032"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, out, talk := command(t, t.Context(), append([]string{"-c", config, "explain-verdict"}, tt.args...)...)
			for _, want := range tt.says {
				if !strings.Contains(out+talk, want) {
					t.Errorf("it does not say %q", want)
				}
			}
			if code != tt.code || t.Failed() {
				t.Errorf("exit %d, want %d:\n%s%s", code, tt.code, out, talk)
			}
		})
	}
}

func TestExplainVerdict_AsksNobodyForWhatIsRemembered(t *testing.T) {
	w, config := inWorld(t)
	if code, out, _ := command(t, t.Context(), "-c", config, "sync"); code != exitPartial {
		t.Fatalf("sync: exit %d: %s", code, out)
	}
	requests := func() int { return w.Local.Proxy().Counts().Total() + w.Upstream.Proxy().Counts().Total() }
	before := requests()
	for _, query := range []string{"synapse/synapse", "ghcr.io/example-tools/unsigned:1.0.0"} {
		if _, doc := explained(t, config, query); doc.Source != daemon.VerdictRemembered {
			t.Errorf("%s: %s", query, doc.Source)
		}
	}
	if n := requests() - before; n != 0 {
		t.Errorf("%d requests for what is remembered", n)
	}
	if _, doc := explained(t, config, "synapse/synapse", "--refresh"); doc.Source != daemon.VerdictAsked || requests() == before {
		t.Errorf("--refresh asked nobody: %s", doc.Source)
	}
	// What nobody judged yet is judged now.
	if code, doc := explained(t, config, "quay.io/example-tools/probe:3.2", "--stage", "production"); code != exitOK || doc.Source == "" {
		t.Errorf("exit %d: %+v", code, doc)
	}
}

// What a rule asks for is held against what was found: who is missing of two, what an exception lifts, which layer
// refuses.
func TestExplainVerdict_TellsWhatIsMissing(t *testing.T) {
	w, config := inWorld(t)
	alice, err := testenv.NewSigner("p256")
	if err != nil {
		t.Fatal(err)
	}
	changed := changedPolicy(t, w, "vendor: {key: keys/vendor.pub}", "vendor: {key: keys/vendor.pub}\n  alice: {key: keys/alice.pub}",
		"- {match: \"{ghcr.io,quay.io}/example-tools/**\", require: {signers: [vendor], count: 1}}",
		"- {match: \"{ghcr.io,quay.io}/example-tools/**\", require: {signers: [vendor]}}\n  - {match: \"**/probe\", stages: [production], require: {signers: [vendor, alice], count: 2}}",
		"default: deny", "exceptions:\n  - {match: quay.io/example-tools/probe, stages: [staging], skip: [signatures], until: 2099-01-01, reason: OPS-1, approvedBy: ada}\ndefault: deny")
	changed["desired/keys/alice.pub"] = alice.PublicPEM()
	if _, err := w.Git.Commit(t.Context(), "two persons", changed); err != nil {
		t.Fatal(err)
	}
	code, doc := explained(t, config, "quay.io/example-tools/probe:3.2", "--stage", "production", "--refresh")
	if code != exitRefused || len(doc.Policy) != 1 || len(doc.Policy[0].Rules) != 2 {
		t.Fatalf("exit %d: %+v", code, doc.Policy)
	}
	one, two := doc.Policy[0].Rules[0].Wants[0], doc.Policy[0].Rules[1].Wants[0]
	if one.State != policy.WantMet || len(one.By) != 1 || !strings.HasPrefix(one.By[0], "vendor") {
		t.Errorf("one signature: %+v", one)
	}
	if two.State != policy.WantMissing || len(two.By) != 1 || !strings.HasPrefix(two.Fix, "alice is missing") {
		t.Errorf("two persons: %+v", two)
	}
	if where := doc.Policy[0].Rules[1].Where; where.File != mirror.PolicyFile || where.Line == 0 || where.Column == 0 {
		t.Errorf("the rule is at %+v", where)
	}
	code, doc = explained(t, config, "quay.io/example-tools/probe:3.2", "--stage", "staging", "--refresh")
	if code != exitOK || len(doc.Policy[0].Exceptions) != 1 || doc.Policy[0].Exceptions[0].Ended || doc.Policy[0].Exceptions[0].ApprovedBy != "ada" {
		t.Errorf("exit %d, exceptions %+v", code, doc.Policy[0].Exceptions)
	}
	if code, doc = explained(t, config, "quay.io/example-tools/probe:3.2", "--refresh"); code != exitOK || len(doc.Policy[0].Rules) != 1 || len(doc.Policy[0].Exceptions) != 0 {
		t.Errorf("exit %d at snapshot: %+v", code, doc.Policy)
	}
}
