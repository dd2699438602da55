package daemon

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// What two persons signed in staging, beside the local image, counts for production wherever it is asked: by verify,
// explain-verdict and policy test, with the memory of the daemon and without any.
func TestConsult_LooksWhereAStepLooks(t *testing.T) {
	t.Parallel()
	for _, layout := range []string{"tag", "path"} {
		t.Run(layout, func(t *testing.T) {
			alice, bob := must(testenv.NewSigner("p256"))(t), must(testenv.NewSigner("p256"))(t)
			s := newSite(t, map[string]string{"desired/keys/alice.pub": alice.PublicPEM(), "desired/keys/bob.pub": bob.PublicPEM(),
				"desired/web.yaml": strings.TrimSuffix(webList, "\n") + "\nlayout: " + layout + "\n", "desired/web.txt": "docker.io/none/none:1\n", "desired/policy.yaml": `version: 1
signers: {vendor: {key: keys/vendor.pub}, alice: {key: keys/alice.pub}, bob: {key: keys/bob.pub}}
rules:
  - {match: "docker.io/**", require: {signers: [vendor]}}
  - {match: "docker.io/**", stages: [production], require: {signers: [alice, bob], count: 2}, reference: any}
`})
			image := s.pushSigned("docker.io/library/app:1", "app")
			s.commit("it", map[string]string{"desired/web.txt": list(image)})
			s.sync()
			s.promote("web", "snapshot", "staging")
			s.sync()
			set, _ := must(s.line.refresh(t.Context()))(t).desired.Set("web")
			local := s.line.local.Repository(set, "staging", image)
			s.close()
			dir := t.TempDir()
			files := must(s.git.Files("main"))(t)
			files["desired/policy/tests.yaml"] = "version: 1\ntests:\n  - {image: \"" + image.Name() + ":1\", stage: production, expect: signed}\n"
			for name, text := range files {
				if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
					t.Fatal(err)
				}
				s.write(filepath.Join(dir, name), text)
			}
			asked := func() (all []mirror.Outcome) {
				t.Helper()
				l := s.looking(false)
				_, v, err := l.Verify(t.Context(), image.WithDigest(mirror.Digest{}), "production")
				if err != nil {
					t.Fatal(err)
				}
				here, h, err := l.Verify(t.Context(), local.AtDigest(image.Digest), "production")
				if err != nil || here.Name() != image.Name() {
					t.Fatalf("%s: %v", here, err)
				}
				e := must(l.Explain(t.Context(), image.String(), "production", true))(t)
				if !e.Verdict.Outcome.Admits() && (len(e.Verdict.Proofs) == 0 || !strings.Contains(e.Fix, "signed by bob")) {
					t.Errorf("explained with %v, fix %q", e.Verdict.Proofs, e.Fix)
				}
				tested := must(l.TestPolicy(t.Context(), dir))(t)
				return []mirror.Outcome{v.Outcome, h.Outcome, e.Verdict.Outcome, tested.Tests[0].Verdict.Outcome}
			}
			for i, by := range []*testenv.Signer{alice, bob} {
				if err := by.SignLegacy(t.Context(), s.local.Back()+"/"+local.Repository, image.Digest, testenv.Claiming(local.Name())); err != nil {
					t.Fatal(err)
				}
				want := []mirror.Outcome{mirror.OutcomeRejected, mirror.OutcomeSigned}[i]
				for _, memory := range []string{"with", "without"} {
					if memory == "without" {
						if err := os.RemoveAll(filepath.Join(s.dir, "state", "state.db")); err != nil {
							t.Fatal(err)
						}
					}
					if got := asked(); !slices.Equal(got, []mirror.Outcome{want, want, want, want}) {
						t.Errorf("%d signed, %s memory: verify, verify of the local name, explain and test say %v, want %s", i+1, memory, got, want)
					}
				}
			}
		})
	}
}
