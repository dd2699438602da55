package registry

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

func TestReferrers_ByTheAPI(t *testing.T) {
	s := withReferrers(t)
	c := s.client()
	config := push(t, c, ref("team/app"), "{}")
	subject := image(config, nil)
	put(t, c, ref("team/app:v1"), subject)
	signature := image(config, &subject.Descriptor)
	put(t, c, ref("team/app").AtDigest(signature.Descriptor.Digest), signature)
	found, err := c.Referrers(t.Context(), ref("team/app"), subject.Descriptor.Digest)
	if err != nil || len(found) != 1 || found[0].Digest != signature.Descriptor.Digest {
		t.Errorf("got %v, %v", found, err)
	}
	if found, err := c.Referrers(t.Context(), ref("team/app"), signature.Descriptor.Digest); err != nil || len(found) != 0 {
		t.Errorf("of the signature: %v, %v", found, err)
	}
}

func TestReferrers_ByTheFallbackTag(t *testing.T) {
	c := real(t, t.TempDir()).client()
	config := push(t, c, ref("team/app"), "{}")
	subject := image(config, nil)
	put(t, c, ref("team/app:v1"), subject)
	if found, err := c.Referrers(t.Context(), ref("team/app"), subject.Descriptor.Digest); err != nil || len(found) != 0 {
		t.Fatalf("before any: %v, %v", found, err)
	}
	signature := image(config, &subject.Descriptor)
	if put(t, c, ref("team/app").AtDigest(signature.Descriptor.Digest), signature) {
		t.Fatal("this registry has no referrers API")
	}
	index := mirror.NewManifest(indexType, fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"manifests":[{"mediaType":%q,"digest":%q,"size":%d}]}`,
		indexType, imageType, signature.Descriptor.Digest, signature.Descriptor.Size))
	put(t, c, ref("team/app").WithTag(FallbackTag(subject.Descriptor.Digest)), index)
	found, err := c.Referrers(t.Context(), ref("team/app"), subject.Descriptor.Digest)
	if err != nil || len(found) != 1 || found[0].Digest != signature.Descriptor.Digest {
		t.Errorf("got %v, %v", found, err)
	}
}

// indexOf lists n referrers that do not exist, beginning with the given number.
func indexOf(from, n int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":1}`, imageType, mirror.DigestOf(fmt.Append(nil, from+i))))
	}
	return `{"schemaVersion":2,"manifests":[` + strings.Join(all, ",") + `]}`
}

func TestReferrers_OverPagesUpToTheLimit(t *testing.T) {
	pages := func(n int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("p") == "" {
				w.Header().Set("Link", `<?p=2>; rel="next"`)
				fmt.Fprint(w, indexOf(0, 30))
				return
			}
			fmt.Fprint(w, indexOf(30, n-30))
		}
	}
	found, err := always(t, pages(mirror.MaxListed)).Referrers(t.Context(), ref("team/app"), mirror.DigestOf(nil))
	if err != nil || len(found) != mirror.MaxListed {
		t.Errorf("got %d, %v, want %d", len(found), err, mirror.MaxListed)
	}
	_, err = always(t, pages(mirror.MaxListed+1)).Referrers(t.Context(), ref("team/app"), mirror.DigestOf(nil))
	if !errors.Is(err, mirror.ErrTooLarge) || !strings.Contains(err.Error(), "too many referrers") {
		t.Errorf("one more: got %v", err)
	}
}

func TestReferrers_LeavesMalformedDescriptorsOut(t *testing.T) {
	body := `{"manifests":[{"digest":"sha256:zz"},"x",{"mediaType":"a","digest":"sha512:` + strings.Repeat("0", 128) + `","size":1},` +
		`{"mediaType":"","digest":"` + mirror.DigestOf(nil).String() + `","size":1},{"mediaType":"a","digest":"` + mirror.DigestOf(nil).String() + `","size":-1},` +
		indexOf(1, 1)[len(`{"schemaVersion":2,"manifests":[`):]
	c := always(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, body) })
	found, err := c.Referrers(t.Context(), ref("team/app"), mirror.DigestOf(nil))
	if err != nil || len(found) != 1 {
		t.Errorf("got %v, %v, want the one that is valid", found, err)
	}
}

func TestReferrers_OnlyAnAbsentAPILeadsToTheTag(t *testing.T) {
	for status, fallback := range map[int]bool{404: true, 405: true, 400: true, 501: true, 200: true, 401: false, 403: false, 429: false, 500: false, 503: false} {
		s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "/referrers/") {
				w.WriteHeader(status)
				fmt.Fprint(w, "<html>")
				return
			}
			w.WriteHeader(http.StatusNotFound)
		}))
		_, err := s.client().Referrers(t.Context(), ref("team/app"), mirror.DigestOf(nil))
		if (err == nil) != fallback || (len(s.requests()) == 2) != fallback {
			t.Errorf("%d: got %v after %v", status, err, s.requests())
		}
	}
}
