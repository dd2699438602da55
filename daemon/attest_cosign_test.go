package daemon

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy/attest"
	"github.com/poundlock/poundlock/testenv"
)

var tools = flag.String("tools", "", "folder of the real commands, as testenv/interop.sh builds them")

// emptyRoot is a trusted root that trusts nothing: version 2 wants one for bundles, also for those of a key.
const emptyRoot = `{"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`

// What this site signs and states is verified by the cosign commands of both generations, with the public half of the
// one key and nothing else. What stands at a stage that this site does not sign for carries its statements, and none of
// them passes for a signature by the key that clusters trust.
func TestInterop_CosignCommandsVerifyWhatThisSiteAttached(t *testing.T) {
	t.Parallel()
	if *tools == "" {
		t.Skip("the flag -tools is not given; testenv/interop.sh gives it")
	}
	cosign2, cosign3 := filepath.Join(*tools, testenv.ToolCosign2), filepath.Join(*tools, testenv.ToolCosign3)
	root := filepath.Join(t.TempDir(), "trusted_root.json")
	if err := os.WriteFile(root, []byte(emptyRoot), 0o644); err != nil {
		t.Fatal(err)
	}
	eachLocal(t, vendorPolicy, func(t *testing.T, s *attesting) {
		image, low := s.pushSigned("docker.io/library/app:1", "app"), s.pushSigned("docker.io/library/low:1", "low")
		s.stand(image)
		s.rise()
		s.commit("one more", map[string]string{"desired/web.txt": list(image, low)})
		s.sync()
		s.promote("web", "snapshot", "staging")
		s.sync()
		if got := s.marks(low); got["verdict"] != 1 || got["promotion"] != 1 || got["signature"] != 0 {
			t.Fatalf("beside what stands at staging lies %v", got)
		}
		other := s.newKey("other.key")
		ref := func(image mirror.Reference) string {
			return strings.TrimPrefix(s.endpoint(), "http://") + "/" + s.at(image).Repository + "@" + image.Digest.String()
		}
		offline := []string{"--insecure-ignore-tlog=true", "--allow-http-registry"}
		attestation := func(kind string) []string { return append([]string{"verify-attestation", "--type", kind}, offline...) }
		for name, c := range map[string]struct {
			command string
			args    []string
			key     *attest.Key
		}{
			"v2, signature as bundle":            {cosign2, append([]string{"verify", "--trusted-root", root}, offline...), s.signs},
			"v3, signature under the legacy tag": {cosign3, append([]string{"verify", "--new-bundle-format=false"}, offline...), s.signs},
			"v3, signature as bundle":            {cosign3, append([]string{"verify"}, offline...), s.signs},
			"v2, verdict":                        {cosign2, append(attestation(attest.VerdictType), "--new-bundle-format", "--trusted-root", root), s.key},
			"v3, verdict":                        {cosign3, attestation(attest.VerdictType), s.key},
			"v2, promotion":                      {cosign2, append(attestation(attest.PromotionType), "--new-bundle-format", "--trusted-root", root), s.key},
			"v3, promotion":                      {cosign3, attestation(attest.PromotionType), s.key},
		} {
			t.Run(name, func(t *testing.T) {
				for _, k := range []struct {
					key   *attest.Key
					image mirror.Reference
					good  bool
				}{{c.key, image, true}, {other, image, false}, {s.signs, low, false}, {c.key, low, c.key == s.key}} {
					public := filepath.Join(t.TempDir(), "site.pub")
					if err := os.WriteFile(public, k.key.PublicPEM(), 0o644); err != nil {
						t.Fatal(err)
					}
					args := append([]string{c.args[0], "--key", public}, append(c.args[1:len(c.args):len(c.args)], ref(k.image))...)
					command := exec.CommandContext(t.Context(), c.command, args...)
					command.Env = []string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}
					if out, err := command.CombinedOutput(); (err == nil) != k.good {
						t.Errorf("want it verified %v: %s: %v\n%s", k.good, strings.Join(args, " "), err, mirror.Shorten(string(out), 1500))
					}
				}
			})
		}
	})
}
