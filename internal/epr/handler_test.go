package epr

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

// noise gives bytes that do not compress.
func noise(n int) string {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(sha256.Sum256([]byte("noise"))).Read(b) // never fails
	return string(b)
}

func large(t *testing.T, id string, size int) []byte {
	t.Helper()
	p, err := mirror.ParsePackage(id)
	if err != nil {
		t.Fatal(err)
	}
	return packZip(t, id, map[string]string{
		"manifest.yml":   "format_version: 3.0.0\nname: " + p.Name + "\ntitle: T\ndescription: D\nversion: " + p.Version + "\n",
		"docs/README.md": "# Large\n", "img/shot.png": noise(size), "kibana/all.txt": noise(size / 2),
	})
}

func TestHandler_KnowsNothingBeforeThereIsAChannel(t *testing.T) {
	h := Handler(func() *Channel { return nil }, newPantry())
	for path, want := range map[string]int{
		"/": 200, "/health": 200, "/health?ready=true": 503, "/search": 503, "/categories": 503, "/package/a/1.0.0/": 503,
		"/package/a/1.0.0/x": 503, "/epr/a/a-1.0.0.zip": 503, "/epr/a/a-1.0.0.zip.sig": 503, "/search?all=maybe": 400,
	} {
		if have := get(h, path); have.Code != want {
			t.Errorf("%s: %d, want %d", path, have.Code, want)
		}
	}
}

func TestHandler_SendsClientsBelowThePrefixThatTheyKnow(t *testing.T) {
	at := newPantry()
	h := http.StripPrefix("/epr/elastic/production", at.serve([]Item{at.put(t, simple(t, "nginx-1.0.0"), nil)}))
	for path, want := range map[string]string{
		"/search/?all=true":                    "/epr/elastic/production/search?all=true",
		"/package/nginx/1.0.0":                 "/epr/elastic/production/package/nginx/1.0.0/",
		"/package//nginx/1.0.0/":               "/epr/elastic/production/package/nginx/1.0.0/",
		"/package/nginx/1.0.0/img%2Fa%20b/":    "/epr/elastic/production/package/nginx/1.0.0/img/a%20b",
		"/package/nginx/1.0.0/x/../../../..//": "/epr/elastic/production/",
	} {
		have := get(h, "/epr/elastic/production"+path)
		if have.Code != http.StatusMovedPermanently || have.Header().Get("Location") != want {
			t.Errorf("%s: %d to %q, want %q", path, have.Code, have.Header().Get("Location"), want)
		}
	}
	if have := get(h, "/epr/elastic/production/search"); !strings.Contains(have.Body.String(), `"download": "/epr/nginx/nginx-1.0.0.zip"`) {
		t.Error("paths in answers begin at the root: Kibana puts them behind the address that it has")
	}
}

func TestHandler_AChannelIsAnotherOneAtTheNextRequest(t *testing.T) {
	at := newPantry()
	old := NewChannel([]Item{at.put(t, simple(t, "nginx-1.0.0"), nil)})
	now := old
	h := Handler(func() *Channel { return now }, at)
	if get(h, "/package/nginx/1.1.0/").Code != http.StatusNotFound {
		t.Error("it is there already")
	}
	now = NewChannel([]Item{at.put(t, simple(t, "nginx-1.1.0"), nil)})
	if get(h, "/package/nginx/1.1.0/").Code != http.StatusOK || get(h, "/package/nginx/1.0.0/").Code != http.StatusNotFound {
		t.Error("the channel is the old one")
	}
}

// TestHandler_ReadsOnlyThePartsOfAZipThatAreAskedFor counts the bytes that come from the registry.
func TestHandler_ReadsOnlyThePartsOfAZipThatAreAskedFor(t *testing.T) {
	at := newPantry()
	zip := large(t, "big-1.0.0", 8<<20)
	h := at.serve([]Item{at.put(t, zip, nil)})
	if have := get(h, "/package/big/1.0.0/docs/README.md"); have.Body.String() != "# Large\n" {
		t.Fatalf("%d %q", have.Code, have.Body)
	}
	if at.sent > 300<<10 {
		t.Errorf("%d bytes were read for a file of 8", at.sent)
	}
	at.sent, at.asked = 0, 0
	get(h, "/package/big/1.0.0/docs/README.md")
	if at.asked > 2 || at.sent > 64<<10 {
		t.Errorf("the second time: %d requests, %d bytes", at.asked, at.sent)
	}
	at.sent = 0
	have := get(h, "/epr/big/big-1.0.0.zip", "Range", "bytes=5000000-5000099")
	if have.Code != http.StatusPartialContent || !bytes.Equal(have.Body.Bytes(), zip[5000000:5000100]) {
		t.Errorf("%d, %d bytes", have.Code, have.Body.Len())
	}
	if at.sent > 64<<10 {
		t.Errorf("%d bytes were read for 100", at.sent)
	}
}

func TestHandler_ChannelsShareWhatWasRead(t *testing.T) {
	at := newPantry()
	items := []Item{at.put(t, simple(t, "nginx-1.0.0"), nil)}
	shared := NewCache()
	for i, want := range []bool{true, false} {
		at.asked = 0
		h := at.serve(items, Sharing(shared))
		if have := get(h, "/package/nginx/1.0.0/"); have.Code != http.StatusOK {
			t.Fatal(have.Code)
		}
		if asked := at.asked > 0; asked != want {
			t.Errorf("handler %d asked for %d blobs", i, at.asked)
		}
	}
}

// TestHandler_AFileThatFailedOnceIsReadTheNextTime: what did not come of a zip must not be taken for what lies there.
func TestHandler_AFileThatFailedOnceIsReadTheNextTime(t *testing.T) {
	at := newPantry()
	h := at.serve([]Item{at.put(t, simple(t, "nginx-1.0.0"), nil)})
	if have := get(h, "/package/nginx/1.0.0/docs/README.md"); have.Code != http.StatusOK {
		t.Fatal(have.Code)
	}
	at.fault = func(mirror.Digest, int64) error { return errors.New("503 Service Unavailable") }
	if have := get(h, "/package/nginx/1.0.0/img/icon.svg"); have.Code != http.StatusInternalServerError {
		t.Fatalf("%d while the registry is away", have.Code)
	}
	at.fault = nil
	if have := get(h, "/package/nginx/1.0.0/img/icon.svg"); have.Code != http.StatusOK || have.Body.String() != "<svg/>\n" {
		t.Errorf("once it is back: %d %q", have.Code, have.Body)
	}
}

func TestHandler_SendsLargeFilesOfAZip(t *testing.T) {
	at := newPantry()
	h := at.serve([]Item{at.put(t, large(t, "big-1.0.0", 12<<20), nil)})
	all := noise(12 << 20)
	for name, want := range map[string]string{"img/shot.png": all, "kibana/all.txt": noise(6 << 20)} {
		if have := get(h, "/package/big/1.0.0/"+name); have.Code != 200 || have.Body.String() != want {
			t.Errorf("%s: %d, %d bytes", name, have.Code, have.Body.Len())
		}
		if have := get(h, "/package/big/1.0.0/"+name, "Range", "bytes=4000000-4000009"); have.Code != 206 || have.Body.String() != want[4000000:4000010] {
			t.Errorf("part of %s: %d, %q", name, have.Code, have.Body)
		}
	}
}

func TestHandler_IsAskedWhetherItIsStillTheSame(t *testing.T) {
	at := newPantry()
	h := at.serve([]Item{at.put(t, simple(t, "nginx-1.0.0"), []byte("signature"))})
	for _, path := range []string{"/epr/nginx/nginx-1.0.0.zip", "/epr/nginx/nginx-1.0.0.zip.sig", "/package/nginx/1.0.0/img/icon.svg"} {
		first := get(h, path)
		if first.Header().Get("Last-Modified") != packageTime.Format(http.TimeFormat) {
			t.Errorf("%s: Last-Modified is %q", path, first.Header().Get("Last-Modified"))
		}
		if have := get(h, path, "If-None-Match", first.Header().Get("Etag")); have.Code != http.StatusNotModified {
			t.Errorf("%s: %d", path, have.Code)
		}
		if have := get(h, path, "If-None-Match", `"another"`, "If-Modified-Since", first.Header().Get("Last-Modified")); have.Code != http.StatusOK {
			t.Errorf("%s: other bytes of the same age are taken for the same: %d", path, have.Code)
		}
	}
}

func TestHandler_BridgesARegistryThatHiccups(t *testing.T) {
	at := newPantry()
	zip := large(t, "big-1.0.0", 4<<20)
	h := at.serve([]Item{at.put(t, zip, nil)})
	failed := 0
	at.fault = func(mirror.Digest, int64) error {
		if failed++; failed%2 == 1 {
			return errors.New("503 Service Unavailable")
		}
		return nil
	}
	at.broken = func(mirror.Digest, int64) int { return 700_000 }
	if have := get(h, "/epr/big/big-1.0.0.zip"); have.Code != 200 || !bytes.Equal(have.Body.Bytes(), zip) {
		t.Errorf("%d, %d bytes of %d", have.Code, have.Body.Len(), len(zip))
	}
}

func TestHandler_SaysThatContentCannotBeRead(t *testing.T) {
	at := newPantry()
	item := at.put(t, simple(t, "nginx-1.0.0"), []byte("signature"))
	var told []error
	h := at.serve([]Item{item}, OnFailure(func(_ *http.Request, err error) { told = append(told, err) }))
	at.fault = func(mirror.Digest, int64) error { return errors.New("connection refused by 10.0.0.7") }
	for _, path := range []string{"/package/nginx/1.0.0/", "/package/nginx/1.0.0/img/icon.svg", "/epr/nginx/nginx-1.0.0.zip", "/epr/nginx/nginx-1.0.0.zip.sig"} {
		told = nil
		have := get(h, path)
		if have.Code != http.StatusInternalServerError || have.Body.String() != "internal server error\n" {
			t.Errorf("%s: %d %q", path, have.Code, have.Body)
		}
		if kept := strings.Join(have.Header()["Cache-Control"], ", "); kept != "max-age=0, private, no-store" {
			t.Errorf("%s may be kept: %s", path, kept)
		}
		if len(told) != 1 {
			t.Errorf("%s: told %v", path, told)
		}
	}
	if have := get(h, "/search"); have.Code != 200 {
		t.Errorf("a search needs no registry: %d", have.Code)
	}
}

// TestHandler_NeverEndsAnAnswerWithOtherBytes serves a zip whose bytes in the registry are not those of its digest.
func TestHandler_NeverEndsAnAnswerWithOtherBytes(t *testing.T) {
	at := newPantry()
	zip := large(t, "big-1.0.0", 4<<20)
	item := at.put(t, zip, nil)
	changed := bytes.Clone(zip)
	changed[2<<20] ^= 1
	at.blobs[item.Layers.Zip.Digest] = changed
	server := httptest.NewServer(at.serve([]Item{item}))
	defer server.Close()
	resp, err := server.Client().Get(server.URL + "/epr/big/big-1.0.0.zip")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if n, err := io.Copy(io.Discard, resp.Body); err == nil {
		t.Errorf("%d bytes came to their end", n)
	}
	if have := get(at.serve([]Item{item}), "/package/big/1.0.0/img/shot.png"); have.Code == 200 && have.Body.String() == noise(4<<20) {
		t.Error("the file was changed and is not")
	}
}

func TestHandler_TypesOfFilesAreNotThoseOfTheMachine(t *testing.T) {
	at := newPantry()
	id := "types-1.0.0"
	files := map[string]string{"manifest.yml": "format_version: 3.0.0\nname: types\ntitle: T\ndescription: D\nversion: 1.0.0\n", "docs/README.md": "#\n"}
	want := map[string]string{
		"a.svg": "image/svg+xml", "a.PNG": "image/png", "a.json": "application/json", "a.md": "text/markdown; charset=utf-8", "a.yml": "text/yaml; charset=UTF-8",
		"a.hbs": "text/plain; charset=utf-8", "LICENSE": "text/plain; charset=utf-8", "a.zip": "application/zip", "a.sig": "text/plain; charset=utf-8", "a.csv": "text/plain; charset=utf-8",
	}
	for name := range want {
		files[name] = "text\n"
	}
	h := at.serve([]Item{at.put(t, packZip(t, id, files), nil)})
	for name, kind := range want {
		if have := get(h, "/package/types/1.0.0/"+name).Header().Get("Content-Type"); have != kind {
			t.Errorf("%s: %q, want %q", name, have, kind)
		}
	}
}

func TestHandler_FoldersAreNoFiles(t *testing.T) {
	at := newPantry()
	h := at.serve([]Item{at.put(t, simple(t, "nginx-1.0.0"), nil)})
	for _, path := range []string{"docs", "img", "no/such", "docs/README.md/more", "."} {
		if have := get(h, "/package/nginx/1.0.0/"+path); have.Code == http.StatusOK || have.Code == http.StatusInternalServerError {
			t.Errorf("%s: %d", path, have.Code)
		}
	}
}
