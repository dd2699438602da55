package policy_test

import (
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// A refusal names those who are missing, and what is to be done about a signature under another name.
func TestVerdict_NamesWhoHasToDoWhat(t *testing.T) {
	a, b, stranger := newSigner(t, "p256"), newSigner(t, "p256"), newSigner(t, "p256")
	for _, tt := range []struct {
		name string
		sign func(w *world)
		want string
	}{
		{"nobody", func(*world) {}, "have it signed by other, release"},
		{"one of two", func(w *world) { w.legacy(a) }, "have it signed by other"},
		{"another name", func(w *world) { w.legacy(a, testenv.Claiming("registry.local/else")); w.legacy(b) }, "have it signed under the name docker.io/library/app, or set reference: any"},
		{"a stranger", func(w *world) { w.legacy(stranger) }, "what was found is by nobody whom the rule names"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newAPIWorld(t)
			tt.sign(w)
			p := load(t, map[string]*testenv.Signer{"release": a, "other": b}, "rules:\n  - match: docker.io/**\n    require: {signers: [release, other], count: 2}\n")
			v := w.verify(p)
			if v.Outcome != mirror.OutcomeRejected || !strings.Contains(v.Reason.Mend, tt.want) {
				t.Errorf("%s (%s): mend %q, want %q", v.Outcome, v.Reason, v.Reason.Mend, tt.want)
			}
		})
	}
}
