package registry

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, c *Client, d mirror.Digest, offset int64) (string, error) {
	t.Helper()
	body, err := c.Blob(t.Context(), ref("team/app"), d, offset)
	if err != nil {
		return "", err
	}
	defer body.Close()
	b, err := io.ReadAll(body)
	return string(b), err
}

func TestBlob_StreamsFromAnyOffset(t *testing.T) {
	c := real(t, t.TempDir()).client()
	d := push(t, c, ref("team/app"), "hello, world")
	for offset, want := range map[int64]string{0: "hello, world", 7: "world", 11: "d"} {
		if got, err := read(t, c, d.Digest, offset); err != nil || got != want {
			t.Errorf("from %d: got %q, %v, want %q", offset, got, err, want)
		}
	}
}

func TestBlob_SkipsWhenRangesAreIgnored(t *testing.T) {
	c := always(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello, world") })
	if got, err := read(t, c, blobOf("hello, world").Digest, 7); err != nil || got != "world" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestBlob_PassesOverTheFirstPartWhereRangesAreNotUnderstood(t *testing.T) {
	asked := 0
	c := always(t, func(w http.ResponseWriter, r *http.Request) {
		asked++
		if r.Header.Get("Range") != "" {
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
			return
		}
		io.WriteString(w, "hello, world")
	})
	if got, err := read(t, c, blobOf("hello, world").Digest, 7); err != nil || got != "world" || asked != 2 {
		t.Errorf("got %q, %v by %d requests", got, err, asked)
	}
	if got, err := read(t, c, blobOf("hello, world").Digest, 20); err == nil {
		t.Errorf("got %q from beyond the end", got)
	}
}

func TestBlob_RefusesAnotherRange(t *testing.T) {
	c := always(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Range", "bytes 0-4/12")
		w.WriteHeader(http.StatusPartialContent)
		io.WriteString(w, "hello")
	})
	if got, err := read(t, c, blobOf("hello, world").Digest, 7); err == nil {
		t.Errorf("got %q from another offset", got)
	}
}

func TestBlob_WrongBytesAreADigestMismatch(t *testing.T) {
	for _, sent := range []string{"hello, World", "hello", "", "hello, world and more"} {
		c := always(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, sent) })
		if _, err := read(t, c, blobOf("hello, world").Digest, 0); !errors.Is(err, mirror.ErrDigestMismatch) {
			t.Errorf("%q: got %v", sent, err)
		}
	}
}

func TestBlob_TruncatedIsTemporary(t *testing.T) {
	c := always(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "12")
		io.WriteString(w, "hello")
		panic(http.ErrAbortHandler)
	})
	_, err := read(t, c, blobOf("hello, world").Digest, 0)
	var e *Error
	if !errors.As(err, &e) || !e.Temporary() || errors.Is(err, mirror.ErrDigestMismatch) {
		t.Errorf("got %v, want a temporary error", err)
	}
}

func TestManifest_RefusesHostileAnswers(t *testing.T) {
	good := image(blobOf("{}"), nil)
	mixed := mirror.NewManifest(indexType, []byte(`{"schemaVersion":2,"mediaType":"`+indexType+`","manifests":[],"layers":[]}`))
	lying := mirror.NewManifest(imageType, []byte(`{"schemaVersion":2,"mediaType":"`+imageType+`","manifests":[]}`))
	v1 := mirror.NewManifest("", []byte(`{"schemaVersion":1,"mediaType":"application/vnd.docker.distribution.manifest.v1+json"}`))
	for name, tc := range map[string]struct {
		ask    mirror.Digest
		header string
		digest string
		body   []byte
		want   error
	}{
		"other bytes":         {good.Descriptor.Digest, imageType, "", []byte(`{"schemaVersion":2,"layers":[]}`), mirror.ErrDigestMismatch},
		"other digest header": {good.Descriptor.Digest, imageType, mirror.DigestOf(nil).String(), good.Body, mirror.ErrDigestMismatch},
		"media type confused": {good.Descriptor.Digest, indexType, "", good.Body, nil},
		"image and index":     {mixed.Descriptor.Digest, indexType, "", mixed.Body, nil},
		"index says image":    {lying.Descriptor.Digest, imageType, "", lying.Body, nil},
		"schema 1":            {v1.Descriptor.Digest, "", "", v1.Body, nil},
		"web page":            {mirror.DigestOf([]byte("<html>")), "text/html", "", []byte("<html>"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			c := always(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", tc.header)
				if tc.digest != "" {
					w.Header().Set("Docker-Content-Digest", tc.digest)
				}
				w.Write(tc.body)
			})
			_, err := c.Manifest(t.Context(), ref("team/app"), tc.ask)
			if err == nil || tc.want != nil && !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
}

func TestManifest_EndlessIsRefusedAtTheLimit(t *testing.T) {
	sent := 0
	gone := make(chan struct{})
	c := always(t, func(w http.ResponseWriter, r *http.Request) {
		defer close(gone)
		for chunk := make([]byte, 64<<10); ; {
			n, err := w.Write(chunk)
			if err != nil {
				return
			}
			sent += n
		}
	})
	_, err := c.Manifest(t.Context(), ref("team/app"), mirror.DigestOf(nil))
	if !errors.Is(err, mirror.ErrTooLarge) {
		t.Errorf("got %v", err)
	}
	<-gone
	if sent > 8*mirror.MaxManifest { // what was read, and what the sockets hold
		t.Errorf("took %d bytes", sent)
	}
}

func TestManifest_LenientWhereTheBodySaysWhatItIs(t *testing.T) {
	for name, tc := range map[string]struct{ header, body, want string }{
		"plain text":               {"text/plain; charset=utf-8", `{"schemaVersion":2,"mediaType":"` + imageType + `","layers":[]}`, imageType},
		"no type in the body":      {indexType, `{"schemaVersion":2,"manifests":[]}`, indexType},
		"no type at all, index":    {"", `{"schemaVersion":2,"manifests":[]}`, indexType},
		"no type at all, image":    {"application/json", `{"schemaVersion":2,"config":{},"layers":[]}`, imageType},
		"parameters in the header": {imageType + "; charset=utf-8", `{"schemaVersion":2,"layers":[]}`, imageType},
	} {
		t.Run(name, func(t *testing.T) {
			c := always(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", tc.header)
				io.WriteString(w, tc.body)
			})
			m, err := c.Manifest(t.Context(), ref("team/app"), mirror.DigestOf([]byte(tc.body)))
			if err != nil || string(m.Descriptor.MediaType) != tc.want {
				t.Errorf("got %s, %v, want %s", m.Descriptor.MediaType, err, tc.want)
			}
		})
	}
}

func TestResolve_RefusesAnotherDigest(t *testing.T) {
	c := always(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Docker-Content-Digest", mirror.DigestOf([]byte("other")).String())
		w.Header().Set("Content-Length", "5")
	})
	if _, err := c.Resolve(t.Context(), ref("team/app").AtDigest(mirror.DigestOf(nil))); !errors.Is(err, mirror.ErrDigestMismatch) {
		t.Errorf("got %v", err)
	}
	c = always(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Docker-Content-Digest", "md5:x")
		w.Header().Set("Content-Length", "5")
	})
	if _, err := c.Resolve(t.Context(), ref("team/app:v1")); err == nil {
		t.Error("a malformed digest was taken")
	}
}

func TestPut_RefusesWhatIsNotTheManifest(t *testing.T) {
	c := real(t, t.TempDir()).client()
	m := image(push(t, c, ref("team/app"), "{}"), nil)
	if _, err := c.Put(t.Context(), ref("team/app").AtDigest(mirror.DigestOf(nil)), m); !errors.Is(err, mirror.ErrDigestMismatch) {
		t.Errorf("under another digest: %v", err)
	}
	put(t, c, ref("team/app").AtDigest(m.Descriptor.Digest), m)
	c = always(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Docker-Content-Digest", mirror.DigestOf(nil).String())
		w.WriteHeader(http.StatusCreated)
	})
	if _, err := c.Put(t.Context(), ref("team/app:v1"), m); !errors.Is(err, mirror.ErrDigestMismatch) {
		t.Errorf("stored under another digest: %v", err)
	}
}

func TestTags_FollowsPagesOfTheSameHostOnly(t *testing.T) {
	page := func(next func(n int) string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			n, _ := strconv.Atoi(r.URL.Query().Get("last"))
			if link := next(n + 1); link != "" {
				w.Header().Set("Link", link)
			}
			io.WriteString(w, `{"tags":["v`+strconv.Itoa(n)+`"]}`)
		}
	}
	c := always(t, page(func(n int) string {
		if n == 3 {
			return ""
		}
		return `</v2/team/app/tags/list?last=` + strconv.Itoa(n) + `>; rel="next"`
	}))
	if tags, err := c.Tags(t.Context(), ref("team/app")); err != nil || strings.Join(tags, " ") != "v0 v1 v2" {
		t.Errorf("got %v, %v", tags, err)
	}
	other := serve(t, http.NotFoundHandler())
	c = always(t, page(func(int) string { return `<` + other.URL + `/v2/x>; rel="next"` }))
	if _, err := c.Tags(t.Context(), ref("team/app")); err == nil || len(other.requests()) != 0 {
		t.Errorf("got %v, the other host saw %v", err, other.requests())
	}
	c = always(t, page(func(n int) string { return `<?last=` + strconv.Itoa(n) + `>; rel="next"` }))
	if _, err := c.Tags(t.Context(), ref("team/app")); !errors.Is(err, mirror.ErrTooLarge) {
		t.Errorf("endless pages: %v", err)
	}
	asked := 0
	c = always(t, page(func(n int) string { asked++; return `<?last=` + strconv.Itoa(n%3) + `>; rel="next"` }))
	if _, err := c.Tags(t.Context(), ref("team/app")); !errors.Is(err, errLoop) || asked != 4 {
		t.Errorf("pages in a circle: %v after %d requests", err, asked)
	}
}
