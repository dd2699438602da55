package cli

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/poundlock/poundlock/testenv"
)

// echo is a server that asks for a credential and sends back what it got, in every place that people may read.
func echo(t *testing.T, way string, next http.Handler) string {
	t.Helper()
	s, err := testenv.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		got := r.Header.Get("Authorization")
		if got == "" {
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		user, password, _ := r.BasicAuth()
		all := fmt.Sprintf("%s %s %s", got, user, password)
		message, _ := json.Marshal(all)
		switch way {
		case "body":
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprintf(w, `{"errors":[{"code":"%s","message":%s}]}`, password, message)
		case "body with zero-width characters":
			w.WriteHeader(http.StatusTeapot)
			fmt.Fprintf(w, `{"errors":[{"code":"X","message":"%s"}]}`, strings.Join(strings.Split(password, ""), `\u200b`))
		case "scope":
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token?%s",service=%s,scope="repository:%s:pull"`, r.Host, password, message, password))
			w.WriteHeader(http.StatusUnauthorized)
		case "realm":
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="https://%s.example/token",service="x"`, strings.ToLower(password)))
			w.WriteHeader(http.StatusUnauthorized)
		case "redirect":
			http.Redirect(w, r, "http://"+password+".example/"+password+"?"+password, http.StatusTemporaryRedirect)
		case "malformed redirect":
			w.Header().Set("Location", "http://[%"+all)
			w.WriteHeader(http.StatusTemporaryRedirect)
		case "digest":
			w.Header().Set("Docker-Content-Digest", all)
			w.Header().Set("Content-Type", all)
			fmt.Fprintf(w, `{"mediaType":%s}`, message)
		case "status line":
			raw(w, "HTTP/1.1 403 "+all+"\r\nContent-Length: 0\r\n\r\n")
		case "malformed status line":
			raw(w, "HTTP/1.1 "+all+"\r\n\r\n")
		case "malformed header":
			raw(w, "HTTP/1.1 200 OK\r\n"+all+"\r\n\r\n")
		default:
			next.ServeHTTP(w, r)
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s.URL()
}

func raw(w http.ResponseWriter, text string) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	io.WriteString(conn, text)
	conn.Close()
}

var ways = []string{"body", "body with zero-width characters", "scope", "realm", "redirect", "malformed redirect", "digest", "status line", "malformed status line", "malformed header"}

// A registry or a Git server that sends back what it was given gets it onto no screen and into no file.
func TestHostileServer_NoSecretIsShownAnywhere(t *testing.T) {
	const secret = "Sp3cial-canary-password"
	t.Setenv("POUNDLOCK_TEST_HOSTILE", secret)
	hidden := []string{"canary", base64.StdEncoding.EncodeToString([]byte("robot:" + secret)), base64.StdEncoding.EncodeToString([]byte(secret))[:12]}
	for _, side := range []string{"upstream", "local", "git"} {
		for _, way := range ways {
			t.Run(side+" "+way, func(t *testing.T) {
				t.Parallel()
				w, config := hostileWorld(t, side, way)
				var said bytes.Buffer
				for _, args := range [][]string{{"plan", "-o", "json"}, {"sync"}, {"doctor"}} {
					_, out, talk := command(t, t.Context(), append([]string{"-c", config, "--log-level", "debug"}, args...)...)
					said.WriteString(out + talk)
				}
				said.WriteString(daemonSays(t, config))
				_, out, talk := command(t, t.Context(), "-c", config, "events", "-o", "json")
				said.WriteString(out + talk)
				for _, secret := range hidden {
					if i := strings.Index(strings.ToLower(said.String()), strings.ToLower(secret)); i >= 0 {
						t.Errorf("shown: ...%s...", said.String()[max(0, i-300):min(said.Len(), i+100)])
					}
				}
				filepath.WalkDir(filepath.Join(w.Dir(), "state"), func(path string, d os.DirEntry, err error) error {
					if text, err := os.ReadFile(path); err == nil && bytes.Contains(text, []byte("canary")) {
						t.Errorf("%s holds it", path)
					}
					return nil
				})
				if !strings.Contains(said.String(), "fix:") {
					t.Errorf("no way out is told:\n%s", said.String())
				}
			})
		}
	}
}

// hostileWorld is a world one side of which sends back what it was given.
func hostileWorld(t *testing.T, side, way string) (*testenv.World, string) {
	t.Helper()
	w, config := inWorld(t)
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	evil := echo(t, way, http.NotFoundHandler())
	host := strings.TrimPrefix(evil, "http://")
	const auth = ", auth: {username: robot, password: {env: POUNDLOCK_TEST_HOSTILE}}}"
	changed := string(text)
	switch side {
	case "upstream":
		changed = strings.ReplaceAll(changed, w.Upstream.URL(), evil)
		for line := range strings.Lines(changed) {
			if strings.Contains(line, "endpoint:") {
				changed = strings.Replace(changed, line, strings.Replace(line, ", insecure: true}", ", insecure: true"+auth, 1), 1)
			}
		}
	case "local":
		changed = strings.ReplaceAll(changed, fmt.Sprintf("{host: %q, insecure: true}", w.Local.Host()), fmt.Sprintf("{host: %q, insecure: true%s", host, auth))
	case "git":
		changed = strings.ReplaceAll(changed, w.Git.Host(), host)
		changed = strings.Replace(changed, fmt.Sprintf("{file: %q}", filepath.Join(w.Dir(), "git-password")), "{env: POUNDLOCK_TEST_HOSTILE}", 1)
		changed = strings.Replace(changed, "username: poundlock", "username: robot", 1)
	}
	if changed == string(text) || !strings.Contains(changed, "HOSTILE") {
		t.Fatalf("the configuration is as before:\n%s", changed)
	}
	return w, configure(t, changed)
}

// daemonSays runs the daemon until its first cycle has ended, and gives its log.
func daemonSays(t *testing.T, config string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	log := &until{end: cancel, words: []string{"failed", "image copied"}}
	code := Main(ctx, []string{"-c", config, "--log-format", "json", "--log-level", "debug", "run"}, io.Discard, log)
	log.mu.Lock()
	defer log.mu.Unlock()
	if log.text.Len() == 0 {
		t.Errorf("the daemon said nothing, exit %d", code)
	}
	return log.text.String()
}

// until ends something when one of some words was written.
type until struct {
	mu    sync.Mutex
	text  bytes.Buffer
	words []string
	end   func()
}

func (u *until) Write(b []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, word := range u.words {
		if bytes.Contains(b, []byte(word)) {
			u.end()
		}
	}
	return u.text.Write(b)
}
