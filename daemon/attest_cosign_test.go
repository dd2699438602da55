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
// site's key and nothing else.
func TestInterop_CosignCommandsVerifyWhatThisSiteAttached(t *testing.T) {
	if *tools == "" {
		t.Skip("the flag -tools is not given; testenv/interop.sh gives it")
	}
	cosign2, cosign3 := filepath.Join(*tools, testenv.ToolCosign2), filepath.Join(*tools, testenv.ToolCosign3)
	root := filepath.Join(t.TempDir(), "trusted_root.json")
	if err := os.WriteFile(root, []byte(emptyRoot), 0o644); err != nil {
		t.Fatal(err)
	}
	eachLocal(t, vendorPolicy, func(t *testing.T, s *attesting) {
		image := s.pushSigned("docker.io/library/app:1", "app")
		s.stand(image)
		s.rise()
		other := s.newKey("other.key")
		ref := strings.TrimPrefix(s.endpoint(), "http://") + "/" + s.at(image).Repository + "@" + image.Digest.String()
		offline := []string{"--insecure-ignore-tlog=true", "--allow-http-registry"}
		attestation := func(kind string) []string { return append([]string{"verify-attestation", "--type", kind}, offline...) }
		for name, c := range map[string]struct {
			command string
			args    []string
		}{
			"v2, signature as bundle":            {cosign2, append([]string{"verify", "--trusted-root", root}, offline...)},
			"v3, signature under the legacy tag": {cosign3, append([]string{"verify", "--new-bundle-format=false"}, offline...)},
			"v3, signature as bundle":            {cosign3, append([]string{"verify"}, offline...)},
			"v2, verdict":                        {cosign2, append(attestation(attest.VerdictType), "--new-bundle-format", "--trusted-root", root)},
			"v3, verdict":                        {cosign3, attestation(attest.VerdictType)},
			"v2, promotion":                      {cosign2, append(attestation(attest.PromotionType), "--new-bundle-format", "--trusted-root", root)},
			"v3, promotion":                      {cosign3, attestation(attest.PromotionType)},
		} {
			t.Run(name, func(t *testing.T) {
				for _, k := range []struct {
					key  *attest.Key
					good bool
				}{{s.key, true}, {other, false}} {
					public := filepath.Join(t.TempDir(), "site.pub")
					if err := os.WriteFile(public, k.key.PublicPEM(), 0o644); err != nil {
						t.Fatal(err)
					}
					args := append([]string{c.args[0], "--key", public}, append(c.args[1:len(c.args):len(c.args)], ref)...)
					command := exec.CommandContext(t.Context(), c.command, args...)
					command.Env = []string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}
					if out, err := command.CombinedOutput(); (err == nil) != k.good {
						t.Errorf("by the right key %v: %s: %v\n%s", k.good, strings.Join(args, " "), err, mirror.Shorten(string(out), 1500))
					}
				}
			})
		}
	})
}
