package registry

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

func TestError_SaysWhatCallersChooseBy(t *testing.T) {
	for _, tc := range []struct {
		status    int
		is        error
		temporary bool
	}{
		{400, nil, false}, {401, ErrUnauthorized, false}, {403, ErrUnauthorized, false}, {404, mirror.ErrNotFound, false}, {408, nil, true},
		{429, nil, true}, {500, nil, true}, {502, nil, true}, {503, nil, true}, {507, nil, true},
	} {
		c := always(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(tc.status)
			fmt.Fprint(w, `{"errors":[{"code":"SOME_CODE","message":"some\u001b[31m words"}]}`)
		})
		_, err := c.Manifest(t.Context(), ref("team/app"), mirror.DigestOf(nil))
		var e *Error
		if !errors.As(err, &e) {
			t.Fatalf("%d: got %v", tc.status, err)
		}
		if e.Status != tc.status || e.Code != "SOME_CODE" || e.Message != `some\x1b[31m words` || e.RetryAfter != 7*time.Second || e.Op != "get" {
			t.Errorf("%d: got %+v", tc.status, e)
		}
		if e.Temporary() != tc.temporary || tc.is != nil && !errors.Is(err, tc.is) {
			t.Errorf("%d: temporary %v, %v", tc.status, e.Temporary(), err)
		}
		for _, word := range []string{"get " + host + "/team/app@sha256:", e.Host, fmt.Sprint(tc.status), "SOME_CODE"} {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%q does not say %q", err, word)
			}
		}
	}
}

type rule struct{}

func (rule) Error() string { return "not on the list" }
func (rule) Refused() bool { return true }

type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestError_OfTheNetwork(t *testing.T) {
	for name, tc := range map[string]struct {
		err       error
		temporary bool
	}{
		"reset":   {errors.New("connection reset"), true},
		"refused": {fmt.Errorf("wrapped: %w", rule{}), false},
	} {
		c := New(&http.Client{Transport: tripper(func(*http.Request) (*http.Response, error) { return nil, tc.err })}, nil)
		err := c.Cancel(t.Context(), "https://registry.example/v2/a/blobs/uploads/1?_state=secret")
		var e *Error
		if !errors.As(err, &e) || e.Temporary() != tc.temporary || !errors.Is(err, tc.err) || e.Host != "registry.example" {
			t.Errorf("%s: got %#v", name, err)
		}
		var u *url.Error
		if errors.As(err, &u) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error keeps the URL: %v", name, err)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	const date = "Sat, 21 Nov 2026 09:00:00 GMT"
	for value, want := range map[string]time.Duration{
		"": 0, "3": 3 * time.Second, "-3": 0, "soon": 0, "99999999999999999999": 0,
		"Sat, 21 Nov 2026 09:01:00 GMT": time.Minute, "Sat, 21 Nov 2026 08:00:00 GMT": 0,
	} {
		if got := retryAfter(http.Header{"Retry-After": {value}, "Date": {date}}); got != want {
			t.Errorf("%q: got %v, want %v", value, got, want)
		}
	}
}

func TestPrintable_IsShortAndHarmless(t *testing.T) {
	if got := printable("a\x1b[2J\nb" + strings.Repeat("ü", 500)); strings.ContainsAny(got, "\x1b\n") || len([]rune(got)) > maxMessage+1 {
		t.Errorf("got %q", got)
	}
}
