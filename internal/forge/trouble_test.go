package forge_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/forge"
	"github.com/poundlock/poundlock/testenv"
)

// all has every request answered by one fault.
func (p place) all(f testenv.Fault) {
	p.host.Fail(func(*http.Request) *testenv.Fault { return &f })
}

func TestForge_AnswersThatAreErrors(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		token := p.token("poundlock")
		for _, c := range []struct {
			name  string
			fault testenv.Fault
			is    error
			words string
			later bool
		}{
			{"401", testenv.Fault{Status: 401, Body: `{"message":"Bad credentials"}`}, forge.ErrForbidden, "Bad credentials", false},
			{"403", testenv.Fault{Status: 403, Body: `{"message":"Resource not accessible"}`}, forge.ErrForbidden, "Resource not accessible", false},
			{"404", testenv.Fault{Status: 404, Body: `{"message":"Not Found"}`}, forge.ErrNotFound, "", false},
			{"422 with details", testenv.Fault{Status: 422, Body: `{"message":"Validation Failed","errors":[{"message":"one"},"two"]}`}, nil, "Validation Failed; one; two", false},
			{"500", testenv.Fault{Status: 500, Body: `<html>stack trace</html>`}, nil, "500", true},
			{"503", testenv.Fault{Status: 503}, nil, "503", true},
			{"a cut connection", testenv.Fault{Reset: true}, nil, "", true},
			{"a page in place of an answer", testenv.Fault{Status: 200, Body: "<html>please log in</html>"}, forge.ErrAnswer, "", false},
			{"an answer of another shape", testenv.Fault{Status: 200, Body: `"x"`}, forge.ErrAnswer, "", false},
			{"nothing at all", testenv.Fault{Status: 200, Body: " "}, forge.ErrAnswer, "", false},
			{"the token repeated", testenv.Fault{Status: 400, Body: `{"message":"you sent ` + token + `"}`}, nil, "you sent ***", false},
			{"controls", testenv.Fault{Status: 400, Body: `{"message":"a\u001b[31mb\nc\u202ed"}`}, nil, "a [31mb c d", false},
			{"many words", testenv.Fault{Status: 400, Body: `{"message":"` + strings.Repeat("word ", 1000) + `"}`}, nil, "word…", false},
		} {
			t.Run(c.name, func(t *testing.T) {
				p.all(c.fault)
				defer p.host.Fail(nil)
				_, err := p.Proposal(t.Context(), 1)
				var e *forge.Error
				if !errors.As(err, &e) || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.words) || e.Temporary() != c.later {
					t.Fatalf("got %v, temporary %t", err, e != nil && e.Temporary())
				}
				if text := err.Error(); strings.Contains(text, token) || len(text) > 1000 || strings.ContainsAny(text, "\n\x1b") || !strings.HasPrefix(text, "read proposal 1 at 127.0.0.1") {
					t.Errorf("got %q", text)
				}
			})
		}
	})
}

// A forge that wants to be left alone gets no request until the time that it named.
func TestForge_AsksNothingWhileTheForgeWantsItSo(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault func(now time.Time) testenv.Fault
		wait  time.Duration
	}{
		{"429", func(time.Time) testenv.Fault { return testenv.Fault{Status: 429, RetryAfter: 90 * time.Second} }, 90 * time.Second},
		{"403 with a time", func(time.Time) testenv.Fault {
			return testenv.Fault{Status: 403, RetryAfter: 90 * time.Second, Body: `{"message":"slow"}`}
		}, 90 * time.Second},
		{"the window is used up", func(now time.Time) testenv.Fault {
			return testenv.Fault{Status: 403, Body: `{"message":"API rate limit exceeded"}`, Header: map[string]string{"Date": now.UTC().Format(http.TimeFormat),
				"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": strconv.FormatInt(now.Add(90*time.Second).Unix(), 10)}}
		}, 90 * time.Second},
		{"a secondary limit", func(time.Time) testenv.Fault {
			return testenv.Fault{Status: 403, Body: `{"message":"You have exceeded a secondary rate limit"}`}
		}, time.Minute},
		{"503 with a time", func(time.Time) testenv.Fault { return testenv.Fault{Status: 503, RetryAfter: 90 * time.Second} }, 90 * time.Second},
		{"for ever", func(time.Time) testenv.Fault { return testenv.Fault{Status: 429, RetryAfter: 1 << 30 * time.Second} }, 2 * time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := open(t, "github")
			n := p.propose(t, "poundlock/web").Number
			now := p.clock.now()
			p.all(c.fault(now))
			_, err := p.Proposal(t.Context(), n)
			var limited *forge.LimitedError
			if !errors.As(err, &limited) || !errors.Is(err, forge.ErrLimited) {
				t.Fatalf("got %v, want ErrLimited", err)
			}
			if off := limited.Until.Sub(now) - c.wait; off < 0 || off > 10*time.Second {
				t.Errorf("until %s after, want %s", limited.Until.Sub(now), c.wait)
			}
			p.host.Fail(nil)
			before := p.way.all.Load()
			if _, err := p.Proposal(t.Context(), n); !errors.Is(err, forge.ErrLimited) || p.way.all.Load() != before {
				t.Errorf("got %v after %d requests", err, p.way.all.Load()-before)
			}
			p.clock.pass(c.wait)
			if _, err := p.Proposal(t.Context(), n); err != nil {
				t.Errorf("after the time: %v", err)
			}
		})
	}
}

// The last request of a window is known before one too many is sent.
func TestForge_StopsAtTheEndOfAWindow(t *testing.T) {
	p := open(t, "github")
	p.all(testenv.Fault{Status: 200, Body: `{"number":1,"state":"open"}`, Header: map[string]string{"X-RateLimit-Remaining": "0",
		"X-RateLimit-Reset": strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10)}})
	if _, err := p.Proposal(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Proposal(t.Context(), 1); !errors.Is(err, forge.ErrLimited) || p.way.all.Load() != 1 {
		t.Errorf("got %v after %d requests, want ErrLimited after one", err, p.way.all.Load())
	}
}

// A forge cannot send the credential elsewhere, and cannot make a write a read.
func TestForge_RedirectTakesNoCredentialAlong(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		asked := 0
		other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
		defer other.Close()
		for _, status := range []int{301, 302, 303, 307, 308} {
			p.all(testenv.Fault{Status: status, Header: map[string]string{"Location": other.URL + "/api"}, Body: "x"})
			if _, err := p.Proposal(t.Context(), 1); !errors.Is(err, forge.ErrMoved) || !strings.Contains(err.Error(), other.URL) {
				t.Errorf("%d: got %v, want ErrMoved", status, err)
			}
			p.all(testenv.Fault{Status: status, Header: map[string]string{"Location": p.host.URL() + "/elsewhere"}, Body: "x"})
			if err := p.Close(t.Context(), 1); !errors.Is(err, forge.ErrMoved) {
				t.Errorf("a write, %d: got %v, want ErrMoved", status, err)
			}
		}
		if asked > 0 {
			t.Errorf("the other host was asked %d times", asked)
		}
	})
}

func TestForge_AnswerIsBounded(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		p.all(testenv.Fault{Status: 200, Body: `{"title":"` + strings.Repeat("x", 33<<20) + `"}`})
		if _, err := p.Proposal(t.Context(), 1); !errors.Is(err, forge.ErrAnswer) {
			t.Errorf("got %.200v, want ErrAnswer", err)
		}
	})
}

func TestForge_ListIsBounded(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		p.all(testenv.Fault{Status: 200, Body: `[]`, Header: map[string]string{"X-Next-Page": "2", "Link": `<` + p.host.URL() + `/x?page=2>; rel="next"`}})
		if _, err := p.Proposals(t.Context(), forge.Query{}); !errors.Is(err, forge.ErrTooMany) || p.way.all.Load() > 60 {
			t.Errorf("got %v after %d requests, want ErrTooMany", err, p.way.all.Load())
		}
	})
}

func TestForge_StopsWithItsContext(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		held := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		p.host.Fail(func(*http.Request) *testenv.Fault {
			cancel()
			return &testenv.Fault{Until: held}
		})
		if _, err := p.Proposal(ctx, 1); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want that it was called off", err)
		}
		close(held)
	})
}

func TestForge_CredentialThatCannotBeRead(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		gone := errors.New("the file is gone")
		o := p.options
		o.Token = func(context.Context) (string, error) { return "", gone }
		if _, err := dial(t, o).Proposal(t.Context(), 1); !errors.Is(err, gone) || p.way.all.Load() > 0 {
			t.Errorf("got %v after %d requests", err, p.way.all.Load())
		}
	})
}

func TestDial_SaysWhatIsWrong(t *testing.T) {
	good := forge.Options{Kind: "gitea", URL: "https://git.example", Repository: "a/b", HTTP: http.DefaultTransport, Now: time.Now,
		Token: func(context.Context) (string, error) { return "x", nil }}
	for _, c := range []struct {
		name  string
		spoil func(*forge.Options)
		want  string
	}{
		{"kind", func(o *forge.Options) { o.Kind = "sourcehut" }, "unknown kind"}, {"no scheme", func(o *forge.Options) { o.URL = "git.example" }, "https://host"},
		{"a password", func(o *forge.Options) { o.URL = "https://a:secret@git.example" }, "https://host"}, {"no owner", func(o *forge.Options) { o.Repository = "b" }, "owner/name"},
		{"no token", func(o *forge.Options) { o.Token = nil }, "no token"}, {"no clock", func(o *forge.Options) { o.Now = nil }, "clock"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := good
			c.spoil(&o)
			if _, err := forge.Dial(o); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	for _, c := range [][3]string{{"github", "https://github.com", "https://api.github.com/"}, {"github", "https://acme.ghe.com/", "https://api.acme.ghe.com/"},
		{"github", "https://ghe.example:8443", "https://ghe.example:8443/api/v3/"}, {"gitlab", "https://git.example/gitlab/", "https://git.example/gitlab/api/v4/"},
		{"gitea", "http://git.example:3000", "http://git.example:3000/api/v1/"}} {
		if u, err := forge.API(c[0], c[1]); err != nil || u.String() != c[2] {
			t.Errorf("%s at %s: got %v, %v, want %s", c[0], c[1], u, err, c[2])
		}
	}
}
