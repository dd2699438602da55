package daemon

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// bomb is gzip that inflates to so many MiB; members of gzip may follow each other.
func bomb(t *testing.T, mebibytes int) []byte {
	t.Helper()
	var member bytes.Buffer
	w := must(gzip.NewWriterLevel(&member, gzip.BestCompression))(t)
	must(io.CopyN(w, zeros{}, 16<<20))(t)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return bytes.Repeat(member.Bytes(), mebibytes/16)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// swapping serves a registry that answers some requests with other bytes, in a coding of HTTP such as gzip.
func swapping(t *testing.T, registry, coding string, body []byte, when func(*http.Request) bool) string {
	t.Helper()
	honest := httputil.NewSingleHostReverseProxy(must(url.Parse(registry))(t))
	own := &http.Transport{}
	t.Cleanup(own.CloseIdleConnections)
	honest.Transport = own
	server := must(testenv.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !when(r) {
			honest.ServeHTTP(w, r)
			return
		}
		if coding != "" {
			w.Header().Set("Content-Encoding", coding)
		}
		w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		w.Write(body)
	})))(t)
	t.Cleanup(server.Close)
	return server.URL()
}

// repeated is JSON of so many bytes that is many times larger once it is read into memory.
func repeated(begin, each, end string, size int) []byte {
	return []byte(begin + strings.TrimSuffix(strings.Repeat(each+",", (size-len(begin)-len(end))/(len(each)+1)), ",") + end)
}

const attestedPolicy = "version: 1\nsigners: {vendor: {key: keys/vendor.pub}}\nrules:\n  - {match: \"**/honest\", require: {signers: [vendor]}}\n" +
	"  - {match: \"**/attacked\", attestations: [{type: " + slsa + ", by: [vendor]}]}\n"

// What inflates to a GiB beside an image is never inflated, and what is large in memory is not read.
func TestAttack_BombsLeaveMemoryBounded(t *testing.T) {
	const most = 64 << 20
	gib := bomb(t, 1<<10)
	if len(gib) > 1<<20 {
		t.Fatalf("%d bytes are refused for their size alone", len(gib))
	}
	referrer := func(artifactType, layerType string, body []byte) func(*site, string, mirror.Digest) error {
		return func(_ *site, at string, d mirror.Digest) error {
			return testenv.PutReferrer(t.Context(), at, d, artifactType, nil, layerType, body, map[string]string{"dev.cosignproject.cosign/signature": "AAAA"})
		}
	}
	swapped := func(what, coding string, body []byte) func(*site, string, mirror.Digest) error {
		return func(s *site, at string, d mirror.Digest) error {
			s.config = strings.ReplaceAll(s.config, s.upstream.URL(), swapping(t, s.upstream.URL(), coding, body, func(r *http.Request) bool {
				return r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/attacked/"+what)
			}))
			return s.vendor.SignLegacy(t.Context(), at, d, testenv.Claiming("docker.io/library/attacked"))
		}
	}
	const manifest = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",`
	const hollow = `{"mediaType":"` + testenv.BundleType + `","verificationMaterial":{"tlogEntries":[`
	for _, c := range []struct {
		name, policy string
		code         mirror.ReasonCode
		plant        func(s *site, at string, d mirror.Digest) error
	}{
		{"03 bundle", vendorPolicy, mirror.BadSignature, referrer(testenv.BundleType, testenv.BundleType, gib)},
		{"03 bundle that says it is compressed", vendorPolicy, mirror.BadSignature, referrer(testenv.BundleType, testenv.BundleType+"+gzip", gib)},
		{"03 bundle of 16 GiB", attestedPolicy, mirror.BadAttestation, referrer(testenv.BundleType, testenv.BundleType, bytes.Repeat(gib, 16))},
		{"03 payload", vendorPolicy, mirror.BadSignature, referrer(testenv.SignatureType, "application/vnd.dev.cosign.simplesigning.v1+json+gzip", gib)},
		{"03 signature manifest on the way", vendorPolicy, mirror.UpstreamFailed, swapped("manifests/sha256-", "gzip", gib)}, // for now: the next answer may be one
		{"03 payload on the way", vendorPolicy, mirror.BadSignature, swapped("blobs/", "gzip", gib)},
		{"03 referrers on the way", attestedPolicy, mirror.NoAttestation, swapped("referrers/", "gzip", gib)},
		{"03 hollow entries of a bundle", vendorPolicy, mirror.BadSignature, referrer(testenv.BundleType, testenv.BundleType, repeated(hollow, "{}", `]}}`, 1<<20))},
		{"03 hollow entries of an attestation", attestedPolicy, mirror.BadAttestation, referrer(testenv.BundleType, testenv.BundleType, repeated(hollow, "{}", `]}}`, 16<<20))},
		{"03 hollow signatures of an attestation", attestedPolicy, mirror.BadAttestation, referrer(testenv.BundleType, testenv.BundleType, repeated(`{"mediaType":"`+testenv.BundleType+`","dsseEnvelope":{"signatures":[`, "{}", `]}}`, 16<<20))},
		{"03 hollow envelope", attestedPolicy, mirror.BadAttestation, referrer("application/vnd.dev.cosign.artifact.att.v1+json", "application/vnd.dsse.envelope.v1+json", repeated(`{"signatures":[`, "{}", `]}`, 16<<20))},
		{"03 hollow envelope under its tag", attestedPolicy, mirror.BadAttestation, func(s *site, at string, d mirror.Digest) error {
			entry := string(repeated(`{"Payload":{"body":[`, "[]", `]}}`, 1<<20))
			return s.vendor.AttestLegacy(t.Context(), at, d, slsa, map[string]any{}, testenv.Annotated(logEntry, entry))
		}},
		{"03 hollow manifest", vendorPolicy, mirror.BadSignature, swapped("manifests/sha256-", "", repeated(manifest+`"layers":[`, "{}", `]}`, 4<<20))},
		{"03 hollow referrers", attestedPolicy, mirror.BadAttestation, swapped("referrers/", "", repeated(manifest+`"manifests":[`, "0", `]}`, 4<<20))},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, map[string]string{"desired/policy.yaml": c.policy})
			honest, attacked := s.pushSigned("docker.io/library/honest:1", "honest"), s.push("docker.io/library/attacked:1", "attacked")
			if err := c.plant(s, s.upstream.Back()+"/"+attacked.Name(), attacked.Digest); err != nil {
				t.Fatal(err)
			}
			s.commit("both", map[string]string{"desired/web.yaml": "version: 1\nsource: {kind: list, file: web.txt}\n", "desired/web.txt": "docker.io/library/honest:1\ndocker.io/library/attacked:1\n"})
			s.open()
			for range 2 { // and the next cycle
				var reports map[string]Report
				heap, resident := testenv.Growth(func() { reports = s.sync() })
				t.Logf("grew by at most %d MiB of heap, %d MiB resident", heap>>20, resident>>20)
				if heap > most || resident > most {
					t.Errorf("grew by %d MiB of heap and %d MiB resident, want at most %d", heap>>20, resident>>20, most>>20)
				}
				kind := mirror.Refuse
				if c.code == mirror.UpstreamFailed {
					kind = mirror.Failed
				}
				if got := kinds(reports["web"].Plan, kind)["snapshot/docker.io/library/attacked:1"]; got != c.code {
					t.Errorf("got reason %q, want %q: %s", got, c.code, details(reports["web"].Plan))
				}
				s.noTrace("mirror/docker.io/library/attacked")
				if got := s.tag("mirror/docker.io/library/honest", "1"); got != honest.Digest {
					t.Errorf("the honest one names %s, want %s", got, honest.Digest)
				}
			}
		})
	}
}
