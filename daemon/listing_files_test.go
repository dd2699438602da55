package daemon

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sources"
	"github.com/poundlock/poundlock/testenv"
)

func TestUpstream_ReadsFilesAgainOnlyWhenTheyChanged(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/etag":
			w.Header().Set("ETag", `"one"`)
			if r.Header.Get("If-None-Match") == `"one"` {
				w.WriteHeader(http.StatusNotModified)
				return
			}
		case "/modified":
			w.Header().Set("Last-Modified", "Sat, 21 Nov 2026 09:00:00 GMT")
			if r.Header.Get("If-Modified-Since") == "Sat, 21 Nov 2026 09:00:00 GMT" {
				w.WriteHeader(http.StatusNotModified)
				return
			}
		case "/always":
			w.WriteHeader(http.StatusNotModified)
			return
		case "/cut":
			w.Header().Set("Content-Length", "100")
		case "/long":
			w.Header().Set("ETag", strings.Repeat("x", maxValidator+1))
		case "/none":
			http.NotFound(w, r)
			return
		case "/stream":
			_ = http.NewResponseController(w).Flush()
		}
		_, _ = io.WriteString(w, "0123456789")
	}))
	t.Cleanup(server.Close)
	s := newSite(t, map[string]string{"desired/policy.yaml": vendorPolicy})
	s.config += "  files: {host: \"" + strings.TrimPrefix(server.URL, "http://") + "\", insecure: true}\n"
	up := s.open().upstream()
	read := func(path string, limit int64, before sources.Version) (string, sources.Version, error) {
		body, v, err := up.Since(t.Context(), server.URL+path+"?key=get-canary", limit, before)
		if err != nil {
			return "", v, err
		}
		defer body.Close()
		text, err := io.ReadAll(body)
		return string(text), v, err
	}
	for _, path := range []string{"/etag", "/modified"} {
		text, v, err := read(path, 10, sources.Version{})
		if err != nil || text != "0123456789" || v.Size != 10 || v.ETag+v.Modified == "" {
			t.Errorf("%s: got %q, %+v: %v", path, text, v, err)
		}
		if _, again, err := read(path, 10, v); !errors.Is(err, sources.ErrUnchanged) || again != v {
			t.Errorf("%s: asked again: %+v, %v", path, again, err)
		}
		if head, err := up.Head(t.Context(), server.URL+path); err != nil || head != v {
			t.Errorf("%s: head %+v, %v", path, head, err)
		}
	}
	if _, v, err := read("/long", 10, sources.Version{}); err != nil || v.ETag != "" {
		t.Errorf("got %+v: %v", v, err)
	}
	for _, tt := range []struct {
		path string
		is   error
	}{{"/etag", mirror.ErrTooLarge}, {"/stream", mirror.ErrTooLarge}, {"/none", mirror.ErrNotFound}, {"/always", nil}, {"/cut", io.ErrUnexpectedEOF}} {
		limit := int64(9)
		if tt.path == "/cut" {
			limit = 200
		}
		text, _, err := read(tt.path, limit, sources.Version{})
		if err == nil || tt.is != nil && !errors.Is(err, tt.is) || int64(len(text)) > max(limit, 10) || strings.Contains(err.Error(), "get-canary") {
			t.Errorf("%s: got %q: %v", tt.path, text, err)
		}
	}
}

// An unchanged cycle of a set of packages costs one search, whose body does not come where upstream has validators; what
// cannot be taken is told in each plan.
func TestListing_AnUnchangedCycleOfPackagesCostsOneSearch(t *testing.T) {
	t.Parallel()
	s := newPackageSiteWith(t, testenv.EPROptions{ETags: true, Prefix: "/registry"},
		testenv.EPRPackage{Name: "nginx", Version: "1.0.0"}, testenv.EPRPackage{Name: "nginx", Version: "1.1.0"},
		testenv.EPRPackage{Name: "away", Version: "1.0.0", DownloadAt: "https://elsewhere.example/away.zip"})
	s.sync()
	known := s.line.listing("elastic")
	if len(known.Entries) != 2 || len(known.Versions) != 1 || known.Failed != nil {
		t.Fatalf("got %+v", known)
	}
	s.epr.Proxy().Reset()
	s.now = s.now.Add(time.Hour)
	reports := s.sync()
	if n := s.epr.Proxy().Counts().Total(); n != 1 || s.epr.Asked(testenv.OfSearch) != 1 {
		t.Errorf("unchanged: %d requests", n)
	}
	if again := s.line.listing("elastic"); !again.At.Equal(s.now) || again.Print() != known.Print() {
		t.Errorf("answered at %v", again.At)
	}
	told := false
	for _, a := range reports["elastic"].Plan.Actions {
		told = told || a.Kind == mirror.Refuse && a.Key.Entry == "away-1.0.0" && strings.Contains(a.Reason.Detail, "no path below the package registry")
	}
	if !told {
		t.Errorf("nothing is told of away-1.0.0: %+v", reports["elastic"].Plan.Actions)
	}
	s.close()
	again := s.open().listing("elastic") // as a new process has it
	if again.Print() != known.Print() || len(again.Versions) != 1 || len(again.Left) != 1 || !again.At.Equal(s.now) {
		t.Errorf("got %+v", again)
	}
}

// What is large is kept packed, and comes back as it was; so does what an older release kept.
func TestState_KeepsLargeListingsPacked(t *testing.T) {
	t.Parallel()
	text := []byte(`{"entries":["` + strings.Repeat("https://epr.example.org/epr/nginx/nginx-1.0.0.zip ", 4000) + `"]}`)
	kept := packed(text)
	if len(kept)*20 > len(text) || string(unpacked(kept)) != string(text) || string(packed(text)) != string(kept) {
		t.Errorf("%d bytes are kept as %d", len(text), len(kept))
	}
	for _, as := range []string{"", "{}", `{"at":1}`} {
		if got := unpacked(packed([]byte(as))); string(got) != as {
			t.Errorf("%q came back as %q", as, got)
		}
	}
	if unpacked(kept[:len(kept)-9]) != nil {
		t.Error("half of it came back")
	}
}
