package testenv

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

func startRegistry(t *testing.T) *Registry {
	t.Helper()
	r, err := NewRegistry(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func pushImage(t *testing.T, host, repo, tag, seed string) mirror.Digest {
	t.Helper()
	d, err := Push(t.Context(), host, repo, tag, Image(seed))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// get answers with status, header and body; -1 when the connection broke before an answer.
func get(t *testing.T, req *http.Request) (int, http.Header, []byte, error) {
	t.Helper()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return -1, nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, body, err
}

func request(t *testing.T, method, url string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func TestRegistry_HoldsItsContentOverRestart(t *testing.T) {
	for name, dir := range map[string]string{"on disk": t.TempDir(), "in memory": ""} {
		t.Run(name, func(t *testing.T) { holdsItsContentOverRestart(t, dir) })
	}
}

func holdsItsContentOverRestart(t *testing.T, dir string) {
	r, err := NewRegistry(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	d := pushImage(t, r.Host(), "library/app", "1.0", "app")
	host, back := r.Host(), r.Back()
	if err := r.Restart(); err != nil {
		t.Fatal(err)
	}
	if r.Host() != host || r.Back() != back {
		t.Errorf("addresses moved from %s, %s to %s, %s", host, back, r.Host(), r.Back())
	}
	for _, h := range []string{r.Host(), r.Back()} {
		if got, err := TagDigest(h, "library/app", "1.0"); err != nil || got != d {
			t.Errorf("TagDigest(%s) = %v, %v, want %v", h, got, err, d)
		}
	}
	if got := TagsOf(r.Back()); len(got) != 1 || got["library/app:1.0"] != d.String() {
		t.Errorf("TagsOf = %v", got)
	}
	if _, err := TagDigest(r.Host(), "library/app", "2.0"); !errors.Is(err, mirror.ErrNotFound) {
		t.Errorf("missing tag: %v", err)
	}
}

func TestRegistryProcess_KeepsWhatItAnsweredOverKill(t *testing.T) {
	p, err := NewRegistryProcess(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	d := pushImage(t, p.Host(), "library/app", "1.0", "app")
	p.Kill()
	if _, err := TagDigest(p.Host(), "library/app", "1.0"); err == nil {
		t.Error("the killed registry answers")
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	if got, err := TagDigest(p.Host(), "library/app", "1.0"); err != nil || got != d {
		t.Errorf("TagDigest = %v, %v, want %v", got, err, d)
	}
	if faults := Verify(p.Back()); len(faults) > 0 {
		t.Errorf("faults: %v", faults)
	}
}

func TestVerify_FindsEveryKindOfDamage(t *testing.T) {
	files := func(t *testing.T, dir, hex string) string {
		return filepath.Join(dir, "docker/registry/v2/blobs/sha256", hex[:2], hex, "data")
	}
	img := Image("app", Layer{Seed: "app"})
	layers := must(img.Layers())
	layer := must(layers[0].Digest()).Hex
	tests := []struct {
		name   string
		damage func(t *testing.T, dir string, d mirror.Digest) error
		want   string
	}{
		{"none", func(*testing.T, string, mirror.Digest) error { return nil }, ""},
		{"blob gone", func(t *testing.T, dir string, _ mirror.Digest) error { return os.Remove(files(t, dir, layer)) }, "404"},
		{"byte flipped", func(t *testing.T, dir string, _ mirror.Digest) error {
			b, err := os.ReadFile(files(t, dir, layer))
			if err != nil {
				return err
			}
			b[700] ^= 1
			return os.WriteFile(files(t, dir, layer), b, 0o600)
		}, "has the bytes of"},
		{"manifest gone", func(t *testing.T, dir string, d mirror.Digest) error { return os.Remove(files(t, dir, d.Hex)) }, "404"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			r, err := NewRegistry(dir)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(r.Close)
			d, err := Push(t.Context(), r.Host(), "library/app", "1.0", img)
			if err != nil {
				t.Fatal(err)
			}
			if err := test.damage(t, dir, d); err != nil {
				t.Fatal(err)
			}
			faults := strings.Join(Verify(r.Back()), "\n")
			if (faults == "") != (test.want == "") || !strings.Contains(faults, test.want) {
				t.Errorf("faults = %q, want %q", faults, test.want)
			}
		})
	}
}

func TestRegistry_AsksForBasicAuth(t *testing.T) {
	r := startRegistry(t)
	r.RequireBasic("robot", "secret")
	req := request(t, http.MethodGet, r.URL()+"/v2/", nil)
	if status, h, _, _ := get(t, req); status != http.StatusUnauthorized || !strings.HasPrefix(h.Get("WWW-Authenticate"), "Basic ") {
		t.Errorf("without credentials: %d %v", status, h)
	}
	req.SetBasicAuth("robot", "wrong")
	if status, _, _, _ := get(t, req); status != http.StatusUnauthorized {
		t.Errorf("wrong password: %d", status)
	}
	req.SetBasicAuth("robot", "secret")
	if status, _, _, _ := get(t, req); status != http.StatusOK {
		t.Errorf("right password: %d", status)
	}
	pushImage(t, r.Back(), "library/app", "1.0", "app")
}

func TestRegistry_AsksForTokensOfTheRightScope(t *testing.T) {
	r := startRegistry(t)
	pushImage(t, r.Back(), "library/app", "1.0", "app")
	tokens := NewTokens("robot", "secret")
	other, err := NewServer(tokens)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(other.Close)
	for _, realm := range []string{"", other.URL() + "/token"} {
		r.RequireToken(tokens, realm)
		want := realm
		if realm == "" {
			want = r.URL() + "/token"
		}
		manifest := request(t, http.MethodGet, r.URL()+"/v2/library/app/manifests/1.0", nil)
		manifest.Header.Set("Accept", acceptAll)
		status, h, _, _ := get(t, manifest)
		if c := h.Get("WWW-Authenticate"); status != http.StatusUnauthorized || !strings.Contains(c, `realm="`+want+`"`) || !strings.Contains(c, `scope="repository:library/app:pull"`) {
			t.Fatalf("challenge: %d %q", status, c)
		}
		tokenFor := func(scope string) string {
			req := request(t, http.MethodGet, want+"?service=testenv&scope="+scope, nil)
			req.SetBasicAuth("robot", "secret")
			status, _, body, err := get(t, req)
			if status != http.StatusOK || err != nil {
				t.Fatalf("token: %d %v", status, err)
			}
			_, rest, _ := bytes.Cut(body, []byte(`"token":"`))
			token, _, _ := bytes.Cut(rest, []byte(`"`))
			return string(token)
		}
		for scope, want := range map[string]int{"repository:library/app:pull": 200, "repository:library/app:pull,push": 200, "repository:library/other:pull": 401} {
			manifest.Header.Set("Authorization", "Bearer "+tokenFor(scope))
			if status, _, _, _ := get(t, manifest); status != want {
				t.Errorf("token for %s: %d, want %d", scope, status, want)
			}
		}
		tokens.Forget()
		if status, _, _, _ := get(t, manifest); status != http.StatusUnauthorized {
			t.Errorf("forgotten token: %d", status)
		}
	}
	if n := other.Proxy().Counts().Of(Token); n != 3 {
		t.Errorf("the token server on the other host was asked %d times, want 3", n)
	}
}
