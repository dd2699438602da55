package attest_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/internal/registry"
	"github.com/poundlock/poundlock/policy/attest"
	"github.com/poundlock/poundlock/testenv"
)

// tools is given by testenv/interop.sh.
var tools = flag.String("tools", "", "folder with the real commands: verifies with them what the site's key signed")

// TestInterop_WhatTheSiteSignsVerifiesWithTheCosignCommands attaches a signature, a promotion and a verdict to an image,
// and lets the commands of both generations verify them by key: the right one, and another one.
func TestInterop_WhatTheSiteSignsVerifiesWithTheCosignCommands(t *testing.T) {
	if *tools == "" {
		t.Skip("the flag -tools is not given; testenv/interop.sh gives it")
	}
	for kind, handler := range map[string]http.Handler{
		"referrers API": ggcr.New(ggcr.WithReferrersSupport(true), ggcr.Logger(log.New(io.Discard, "", 0))),
		"fallback tag":  ggcr.New(ggcr.WithReferrersSupport(false), ggcr.Logger(log.New(io.Discard, "", 0))),
	} {
		t.Run(kind, func(t *testing.T) {
			server, err := testenv.NewServer(handler)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(server.Close)
			dir := t.TempDir()
			for _, key := range []string{"site", "stranger"} {
				if err := testenv.RunCosign(t.Context(), filepath.Join(*tools, testenv.ToolCosign3), dir, "generate-key-pair", "--output-key-prefix="+key); err != nil {
					t.Fatal(err)
				}
			}
			authority, err := testenv.NewAuthority()
			if err != nil {
				t.Fatal(err)
			}
			// The commands fetch sigstore's own root where none is given, although a key needs none.
			if err := os.WriteFile(filepath.Join(dir, "root.json"), authority.TrustedRoot(), 0o600); err != nil {
				t.Fatal(err)
			}
			image := attached(t, server.Host(), filepath.Join(dir, "site.key"))
			for _, c := range []struct {
				tool string
				args []string
			}{
				{testenv.ToolCosign2, []string{"verify"}},
				{testenv.ToolCosign2, []string{"verify", "--new-bundle-format=false"}},
				{testenv.ToolCosign2, []string{"verify", "--new-bundle-format"}},
				{testenv.ToolCosign3, []string{"verify"}},
				{testenv.ToolCosign3, []string{"verify", "--new-bundle-format=false"}},
				{testenv.ToolCosign2, []string{"verify-attestation", "--new-bundle-format", "--type=" + attest.PromotionType}},
				{testenv.ToolCosign3, []string{"verify-attestation", "--type=" + attest.PromotionType}},
				{testenv.ToolCosign3, []string{"verify-attestation", "--type=https://slsa.dev/verification_summary/v1"}},
			} {
				for key, fine := range map[string]bool{"site.pub": true, "stranger.pub": false} {
					args := append(c.args, "--key="+key, "--trusted-root=root.json", "--insecure-ignore-tlog=true", "--allow-http-registry", image)
					if err := testenv.RunCosign(t.Context(), filepath.Join(*tools, c.tool), dir, args...); (err == nil) != fine {
						t.Errorf("%s %v with %s: %v", c.tool, c.args, key, err)
					}
				}
			}
		})
	}
}

// attached pushes an image to the registry at host, with statements by the site's key beside it, and gives its reference.
func attached(t *testing.T, host, keyFile string) string {
	t.Helper()
	body, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	key, err := attest.LoadKey(body, []byte("throwaway"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := testenv.Push(t.Context(), host, "team/app", "production", testenv.Image("app"))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	source := mirror.Reference{Host: "docker.io", Repository: "team/app", Tag: "1.0", Digest: d}
	verdict := mirror.Verdict{Outcome: mirror.OutcomeSigned, Reason: mirror.Because(mirror.Signed, "signed by release"), At: now}
	signature, err1 := key.Signature(host+"/team/app", d)
	promotion, err2 := key.Promotion(attest.Promotion{Set: "web", Entry: "app", Source: source, From: "staging", To: "production", Outcome: mirror.OutcomeSigned}, now)
	summary, err3 := key.Verdict(attest.Verdict{Verifier: "https://poundlock.example/site", Image: source, Key: "sha256:aa", Verdict: verdict})
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	subject := mirror.Descriptor{MediaType: types.OCIManifestSchema1, Digest: d, Size: size(t, host, d)}
	content, err := attest.Beside(subject, signature, promotion, summary)
	if err != nil {
		t.Fatal(err)
	}
	put(t, host, content, d)
	return host + "/team/app@" + d.String()
}

func size(t *testing.T, host string, d mirror.Digest) int64 {
	t.Helper()
	got, err := remote.Head(repository(t, host).Digest(d.String()), remote.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	return got.Size
}

func repository(t *testing.T, host string) name.Repository {
	t.Helper()
	repo, err := name.NewRepository(host+"/team/app", name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	return repo
}

// put writes all that lies beside d: referrers, and the legacy tag.
func put(t *testing.T, host string, c mirror.Content, d mirror.Digest) {
	t.Helper()
	at, repo := mirror.Reference{Host: host, Repository: "team/app"}, repository(t, host)
	list, err := c.Referrers(t.Context(), at, d)
	if err != nil {
		t.Fatal(err)
	}
	to := map[mirror.Digest]name.Reference{}
	for _, r := range list {
		to[r.Digest] = repo.Digest(r.Digest.String())
	}
	legacy := registry.FallbackTag(d) + ".sig"
	tagged, err := c.Resolve(t.Context(), at.WithTag(legacy))
	if err != nil {
		t.Fatal(err)
	}
	to[tagged.Digest] = repo.Tag(legacy)
	for d, ref := range to {
		m, err := c.Manifest(t.Context(), at, d)
		if err != nil {
			t.Fatal(err)
		}
		parts, err := m.Parts()
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range parts.Blobs() {
			r, err := c.Blob(t.Context(), at, b.Digest, 0)
			if err != nil {
				t.Fatal(err)
			}
			var body bytes.Buffer
			_, err = io.Copy(&body, r)
			if err := errors.Join(err, r.Close(), remote.WriteLayer(repo, static.NewLayer(body.Bytes(), b.MediaType), remote.WithContext(t.Context()))); err != nil {
				t.Fatal(err)
			}
		}
		if err := remote.Put(ref, manifest(m), remote.WithContext(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
}

// manifest lets remote.Put write exact bytes.
type manifest mirror.Manifest

func (m manifest) RawManifest() ([]byte, error)        { return json.RawMessage(m.Body), nil }
func (m manifest) MediaType() (types.MediaType, error) { return m.Descriptor.MediaType, nil }
