package policy_test

import (
	"flag"
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy"
	"github.com/poundlock/poundlock/testenv"
)

// tools is given by testenv/interop.sh.
var tools = flag.String("tools", "", "folder with the real commands: signs with them and judges what they left")

// TestInterop_RealCommandsAndServersAreUnderstood lets the cosign commands of both generations sign in all their forms,
// with Fulcio, Rekor v2, the timestamp authority and an OIDC issuer of ours. Then every server is killed, and policy
// has to judge by files alone: who signed is accepted, everyone else is refused.
func TestInterop_RealCommandsAndServersAreUnderstood(t *testing.T) {
	if *tools == "" {
		t.Skip("the flag -tools is not given; testenv/interop.sh gives it")
	}
	eachRegistry(t, func(t *testing.T, w *world) {
		sigstore, err := testenv.StartSigstore(t.Context(), *tools, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(sigstore.Close)
		c := newCommands(t, *tools, sigstore)
		fleet := t.TempDir()
		c.trust(t, fleet)
		signed := map[string]mirror.Digest{}
		for _, path := range slices.Sorted(maps.Keys(signings)) {
			signed[path] = c.sign(t, w.server.Host(), path)
		}
		sigstore.Close()
		for _, url := range sigstore.URLs() {
			if answer, err := http.Get(url); err == nil {
				answer.Body.Close()
				t.Fatalf("%s still answers", url)
			}
		}
		policies, client := signingPolicies(t, fleet), w.clientFor(signingHost)
		for path, d := range signed {
			signings[path].wantJudged(t, path, policies, policy.Options{At: time.Now()}, d, client)
		}
	})
}
