package embedded

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/poundlock/poundlock/internal/mirror"
)

func open(t *testing.T, dir string) *httptest.Server {
	t.Helper()
	r, err := New(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(r)
	t.Cleanup(func() { s.Close(); r.Close() })
	return s
}

func do(t *testing.T, method, url, contentType, body string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(b))
	return resp
}

func want(t *testing.T, resp *http.Response, status int) {
	t.Helper()
	if resp.StatusCode != status {
		b, _ := io.ReadAll(resp.Body)
		t.Fatalf("%s %s: got %s, want %d: %s", resp.Request.Method, resp.Request.URL.Path, resp.Status, status, b)
	}
}

// session gives the upload URL of an answer; it keeps its path and state when the server's port changes.
func session(t *testing.T, resp *http.Response, base string) *url.URL {
	t.Helper()
	loc, err := resp.Location()
	if err != nil {
		t.Fatal(err)
	}
	b, _ := url.Parse(base)
	loc.Host = b.Host
	return loc
}

func TestRegistry_UploadSessionSurvivesRestart(t *testing.T) {
	dir := t.TempDir()
	a := open(t, dir)
	resp := do(t, "POST", a.URL+"/v2/team/app/blobs/uploads/", "", "")
	want(t, resp, http.StatusAccepted)
	if strings.Contains(resp.Header.Get("Location"), "://") {
		t.Errorf("Location %q is absolute: it breaks behind a proxy", resp.Header.Get("Location"))
	}
	resp = do(t, "PATCH", session(t, resp, a.URL).String(), "application/octet-stream", "first half, ")
	want(t, resp, http.StatusAccepted)
	a.Close()

	b := open(t, dir)
	loc := session(t, resp, b.URL)
	q := loc.Query()
	q.Set("digest", mirror.DigestOf([]byte("first half, second half")).String())
	loc.RawQuery = q.Encode()
	want(t, do(t, "PUT", loc.String(), "application/octet-stream", "second half"), http.StatusCreated)
}

func TestRegistry_AcceptsSparseIndexAndDelete(t *testing.T) {
	s := open(t, t.TempDir())
	missing := mirror.DigestOf([]byte("not here"))
	const index = "application/vnd.oci.image.index.v1+json"
	body := `{"schemaVersion":2,"mediaType":"` + index + `","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"` +
		missing.String() + `","size":8,"platform":{"os":"linux","architecture":"arm64"}}]}`
	want(t, do(t, "PUT", s.URL+"/v2/team/app/manifests/v1", index, body), http.StatusCreated)
	want(t, do(t, "DELETE", s.URL+"/v2/team/app/manifests/"+mirror.DigestOf([]byte(body)).String(), "", ""), http.StatusAccepted)
}

func TestRegistry_RefusesImageWithoutItsBlobs(t *testing.T) {
	s := open(t, t.TempDir())
	missing := mirror.DigestOf([]byte("not here"))
	const image = "application/vnd.oci.image.manifest.v1+json"
	body := `{"schemaVersion":2,"mediaType":"` + image + `","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"` +
		missing.String() + `","size":8},"layers":[]}`
	want(t, do(t, "PUT", s.URL+"/v2/team/app/manifests/v1", image, body), http.StatusBadRequest)
}

func TestNew_PurgesOnlyOldUploads(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	fresh := do(t, "POST", s.URL+"/v2/team/app/blobs/uploads/", "", "").Header.Get("Docker-Upload-UUID")
	old := do(t, "POST", s.URL+"/v2/team/app/blobs/uploads/", "", "").Header.Get("Docker-Upload-UUID")
	uploads := filepath.Join(dir, "docker/registry/v2/repositories/team/app/_uploads")
	if err := os.WriteFile(filepath.Join(uploads, old, "startedat"), []byte("2020-01-02T03:04:05Z"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Close()
	open(t, dir)
	if _, err := os.Stat(filepath.Join(uploads, old)); !os.IsNotExist(err) {
		t.Errorf("old upload: got %v, want it purged", err)
	}
	if _, err := os.Stat(filepath.Join(uploads, fresh)); err != nil {
		t.Errorf("fresh upload: %v", err)
	}
}

func TestNew_KeepsItsSecretAndRefusesABrokenOne(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	path := filepath.Join(dir, "http.secret")
	first, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("secret has mode %v, want 0600", info.Mode().Perm())
	}
	open(t, dir)
	if again, _ := os.ReadFile(path); !bytes.Equal(first, again) {
		t.Error("the secret changed with a restart: every open upload session is lost")
	}
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(dir); err == nil {
		t.Error("a secret of one character was accepted")
	}
}

func TestRegistry_IsSilentAndAnswers503AfterClose(t *testing.T) {
	r, err := New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if logrus.IsLevelEnabled(logrus.ErrorLevel) || logrus.StandardLogger().Out != io.Discard {
		t.Error("the logger of distribution is not silenced")
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	r.ServeHTTP(w, httptest.NewRequest("GET", "/v2/", nil))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("got %d after Close, want 503", w.Code)
	}
}

func TestDiskTime_IsNow(t *testing.T) {
	dir := t.TempDir()
	now, err := diskTime(dir)
	if err != nil {
		t.Fatal(err)
	}
	if d := time.Since(now).Abs(); d > time.Hour {
		t.Errorf("the disk's clock is off by %v", d)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("%d files left behind", len(left))
	}
}
