package daemon

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// The page shows each set with its last run, needs no script and nothing from elsewhere, and quotes whatever
// it shows.
func TestPage_ShowsTheSets(t *testing.T) {
	t.Parallel()
	s := oneImage(t)
	f := newFace(s.line.metrics, s.clock)
	f.line.Store(s.line)
	f.refused.Store(&refusal{s.clock(), mirror.Problems{{Code: "CFG011", What: `unknown key "<script>alert(1)</script>"`, Where: mirror.Position{File: "config.yaml", Line: 3}, Fix: "rename it"}}})
	answer := httptest.NewRecorder()
	f.routes().ServeHTTP(answer, httptest.NewRequest("GET", "/", nil))
	page := answer.Body.String()
	for _, want := range []string{"poundlock at demo", ">web<", "every 15m", "A changed configuration was refused", "CFG011", "config.yaml:3", "fix: rename it", "&lt;script&gt;"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	for _, unwanted := range []string{"<script", "http://", "https://", "style=", "ZgotmplZ"} {
		if strings.Contains(page, unwanted) {
			t.Errorf("the page has %q:\n%s", unwanted, page)
		}
	}
	if policy := answer.Header().Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'; style-src 'sha256-") {
		t.Errorf("policy %q", policy)
	}
	for path, code := range map[string]int{"/else": http.StatusNotFound, "/healthz": http.StatusOK, "/metrics": http.StatusOK} {
		answer := httptest.NewRecorder()
		f.routes().ServeHTTP(answer, httptest.NewRequest("GET", path, nil))
		if answer.Code != code {
			t.Errorf("%s: %d, want %d", path, answer.Code, code)
		}
	}
	answer = httptest.NewRecorder()
	f.routes().ServeHTTP(answer, httptest.NewRequest("POST", "/", nil))
	if answer.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", answer.Code)
	}
}

// Before a line is there, there is a page, too, and the daemon is not ready.
func TestPage_BetweenTwoLines(t *testing.T) {
	f := newFace(newMetrics("test"), time.Now)
	for path, want := range map[string]string{"/": "starting", "/readyz": "starting", "/healthz": "ok"} {
		answer := httptest.NewRecorder()
		f.routes().ServeHTTP(answer, httptest.NewRequest("GET", path, nil))
		if !strings.Contains(answer.Body.String(), want) {
			t.Errorf("%s: %d %s", path, answer.Code, answer.Body)
		}
	}
	f.ending.Store(&ending{takenOver: true, problem: mirror.Problem{What: "a changed configuration is taking over"}})
	for path, want := range map[string]string{"/": "taking over", "/readyz": "taking over", "/healthz": "ok"} {
		answer := httptest.NewRecorder()
		f.routes().ServeHTTP(answer, httptest.NewRequest("GET", path, nil))
		if !strings.Contains(answer.Body.String(), want) {
			t.Errorf("%s: %d %s", path, answer.Code, answer.Body)
		}
	}
}
