package testenv

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
)

func newEPR(t *testing.T, o EPROptions, packages ...EPRPackage) *EPR {
	t.Helper()
	e, err := NewEPR(o, packages...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// fetch gives status and body of a GET, with some headers as key and value.
func fetch(t *testing.T, url string, header ...string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r, body
}

func TestEPR_AnswersLikeElastics(t *testing.T) {
	e := newEPR(t, EPROptions{Prefix: "/registry", ETags: true},
		EPRPackage{Name: "nginx", Version: "1.0.0", Kibana: "^8.0.0", Categories: []string{"web"}, DataStreams: []string{"access"}},
		EPRPackage{Name: "nginx", Version: "1.1.0", Kibana: "^9.0.0", Dotted: true},
		EPRPackage{Name: "nginx", Version: "1.2.0-beta1"},
		EPRPackage{Name: "apache", Version: "0.3.0", Type: "input", Unsigned: true},
		EPRPackage{Name: "redis", Version: "2.0.0", Unsigned: true, SignStatus: http.StatusNotFound},
		EPRPackage{Name: "kafka", Version: "1.0.0", Streamed: true})
	searches := []struct{ query, want string }{
		{"", "apache-0.3.0 kafka-1.0.0 nginx-1.1.0 redis-2.0.0"},
		{"?prerelease=true&package=nginx", "nginx-1.2.0-beta1"},
		{"?all=true&package=nginx", "nginx-1.0.0 nginx-1.1.0"},
		{"?kibana.version=8.4.0&package=nginx", "nginx-1.0.0"},
		{"?type=input", "apache-0.3.0"},
		{"?category=web", ""}, // chosen after the newest
		{"?category=web&all=1", "nginx-1.0.0"},
		{"?spec.max=2.9", ""},
	}
	for _, s := range searches {
		_, body := fetch(t, e.URL()+"/search"+s.query)
		var items []eprItem
		if err := json.Unmarshal(body, &items); err != nil {
			t.Fatalf("search%s: %v", s.query, err)
		}
		var got []string
		for _, i := range items {
			got = append(got, i.Name+"-"+i.Version)
		}
		if strings.Join(got, " ") != s.want {
			t.Errorf("search%s = %v, want %s", s.query, got, s.want)
		}
	}
	paths := []struct {
		path   string
		status int
		body   string
	}{
		{"/search?all=perhaps", 400, "invalid 'all' query param: 'perhaps'\n"},
		{"/epr/nginx/nginx-9.9.9.zip", 404, "artifact not found\n"},
		{"/epr/nginx/nginx-v1.zip", 400, "invalid package version\n"},
		{"/epr/nginx/nginx-9.9.9.zip.sig", 404, "signature file not found\n"},
		{"/epr/apache/apache-0.3.0.zip.sig", 500, "internal server error\n"},
		{"/epr/redis/redis-2.0.0.zip.sig", 404, "internal server error\n"},
	}
	for _, p := range paths {
		if r, body := fetch(t, e.URL()+p.path); r.StatusCode != p.status || string(body) != p.body {
			t.Errorf("%s = %d %q, want %d %q", p.path, r.StatusCode, body, p.status, p.body)
		}
	}
	r, first := fetch(t, e.URL()+"/search")
	if r, _ := fetch(t, e.URL()+"/search", "If-None-Match", r.Header.Get("ETag")); r.StatusCode != http.StatusNotModified {
		t.Errorf("the same search again = %d", r.StatusCode)
	}
	if r, part := fetch(t, e.URL()+"/epr/nginx/nginx-1.0.0.zip", "Range", "bytes=10-"); r.StatusCode != 206 || !bytes.Equal(part, e.Zip("nginx-1.0.0")[10:]) {
		t.Errorf("a range = %d with %d bytes", r.StatusCode, len(part))
	}
	if r, all := fetch(t, e.URL()+"/epr/kafka/kafka-1.0.0.zip", "Range", "bytes=10-"); r.StatusCode != 200 || r.ContentLength != -1 || !bytes.Equal(all, e.Zip("kafka-1.0.0")) {
		t.Errorf("a stream = %d, length %d", r.StatusCode, r.ContentLength)
	}
	if n := e.Asked(OfZip("")); n != 4 {
		t.Errorf("%d zips were asked for", n)
	}
	e.Say(func(items []json.RawMessage) []byte { return []byte("[]") })
	if _, body := fetch(t, e.URL()+"/search"); string(body) != "[]" || bytes.Equal(body, first) {
		t.Errorf("told to say nothing: %s", body)
	}
}

func TestEPR_MakesPackagesThatAreSigned(t *testing.T) {
	stranger, err := NewPGPKey("Stranger", PGPOptions{RSABits: 2048})
	if err != nil {
		t.Fatal(err)
	}
	e := newEPR(t, EPROptions{},
		EPRPackage{Name: "good", Version: "1.0.0", Size: 1 << 10},
		EPRPackage{Name: "stranger", Version: "1.0.0", Signer: stranger},
		EPRPackage{Name: "other", Version: "1.0.0", SignsOther: true})
	ring, err := openpgp.ReadArmoredKeyRing(strings.NewReader(e.Key.Public()))
	if err != nil {
		t.Fatal(err)
	}
	for id, good := range map[string]bool{"good-1.0.0": true, "stranger-1.0.0": false, "other-1.0.0": false} {
		_, err := openpgp.CheckArmoredDetachedSignature(ring, bytes.NewReader(e.Zip(id)), bytes.NewReader(e.Signature(id)), nil)
		if (err == nil) != good {
			t.Errorf("%s: %v", id, err)
		}
	}
	z, err := zip.NewReader(bytes.NewReader(e.Zip("good-1.0.0")), int64(len(e.Zip("good-1.0.0"))))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range z.File {
		names = append(names, f.Name)
	}
	want := []string{"good-1.0.0/changelog.yml", "good-1.0.0/docs/README.md", "good-1.0.0/img/icon.svg", "good-1.0.0/manifest.yml", "good-1.0.0/img/large.bin"}
	if !slices.Equal(names, want) {
		t.Errorf("files = %v, want %v", names, want)
	}
	before := e.Zip("good-1.0.0")
	for seed, same := range map[string]bool{"": true, "other": false} {
		if err := e.Put(EPRPackage{Name: "good", Version: "1.0.0", Size: 1 << 10, Seed: seed}); err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(e.Zip("good-1.0.0"), before) != same {
			t.Errorf("seed %q: same bytes is %v", seed, !same)
		}
	}
}
