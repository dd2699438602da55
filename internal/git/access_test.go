package git

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

func TestCanPush_AsksAndChangesNothing(t *testing.T) {
	onEachServer(t, func(t *testing.T, g *testenv.Git) {
		head := write(t, g, map[string]string{"desired/a.yaml": "a"})
		o := options(t, g)
		if err := open(t, o).CanPush(t.Context()); err != nil || g.Head() != head {
			t.Errorf("%v, head %s, want %s", err, g.Head(), head)
		}
		o.Branch, o.Dir = "mian", t.TempDir()
		if err := open(t, o).CanPush(t.Context()); !errors.Is(err, ErrNoBranch) || !errors.Is(err, mirror.ErrNotFound) {
			t.Errorf("%v, want that the branch is missing", err)
		}
		g.Proxy().Break(testenv.Always(func(r *http.Request) bool { return strings.Contains(r.URL.RawQuery, "receive-pack") }, testenv.Fault{Status: http.StatusForbidden}))
		o = options(t, g)
		o.Dir = t.TempDir()
		r := open(t, o)
		if err := r.CanPush(t.Context()); !errors.Is(err, ErrUnauthorized) || isTemporary(err) {
			t.Errorf("%v, want a lasting refusal", err)
		}
		if _, err := r.Fetch(t.Context()); err != nil {
			t.Errorf("who may not push may still read: %v", err)
		}
	})
}

func TestCanPush_OverSSHAndLocally(t *testing.T) {
	needGit(t)
	private, client := newKey(t)
	_, host := newKey(t)
	_, other := newKey(t)
	addr := sshd(t, host, client.PublicKey())
	g := serve(t, testenv.NewGitBackend)
	head := write(t, g, map[string]string{"desired/a.yaml": "a"})
	for name, known := range map[string]string{"": knownHosts(t, addr, host.PublicKey()), "another host key": knownHosts(t, addr, other.PublicKey()),
		"no host key": knownHosts(t, "other.example:22", host.PublicKey())} {
		r := open(t, Options{URL: "ssh://git@" + addr + g.Dir(), Branch: "main", Dir: t.TempDir(), Auth: Auth{PrivateKey: key(private), KnownHosts: known}})
		if err := r.CanPush(t.Context()); name == "" && err != nil || name != "" && !errors.Is(err, ErrHostKey) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if err := open(t, Options{URL: g.Dir(), Branch: "main", Dir: t.TempDir()}).CanPush(t.Context()); err != nil || g.Head() != head {
		t.Errorf("%v, head %s", err, g.Head())
	}
}

// A server that says how long it wants to be left alone is quoted; so is a hook that says no, without a secret.
func TestError_CarriesWhatTheServerSaid(t *testing.T) {
	g := fleet(t)
	head := write(t, g, map[string]string{"desired/a.yaml": "a"})
	g.Proxy().Break(testenv.Always(func(*http.Request) bool { return true }, testenv.Fault{Status: http.StatusTooManyRequests, RetryAfter: 7e9}))
	_, err := open(t, options(t, g)).Remote(t.Context())
	var e *Error
	if !errors.As(err, &e) || e.Status != 429 || e.RetryAfter.Seconds() != 7 || e.Until.IsZero() || !e.Temporary() {
		t.Errorf("got %+v", e)
	}
	g.Proxy().Break(nil)
	o := options(t, g)
	o.HTTP = masking{answerPush{o.HTTP, pkt("unpack ok\n") + pkt("ng refs/heads/main hook says the-canary is protected\n") + "0000"}}
	r := open(t, o)
	fetch(t, r)
	_, err = r.Commit(t.Context(), head, change(map[string]string{"rendered/x": "y"}, "rendered"))
	if !errors.Is(err, ErrPushRefused) || isTemporary(err) || !strings.Contains(err.Error(), "hook says *** is protected") || !errors.As(err, &e) || e.Branch != "main" {
		t.Errorf("got %v of branch %q", err, e.Branch)
	}
}

// masking is a transport that knows a secret.
type masking struct{ http.RoundTripper }

func (masking) Mask(text string) string { return strings.ReplaceAll(text, "the-canary", "***") }

// What is cut off must be masked before: of half a secret nobody knows that it is one.
func TestReason_MasksBeforeItCuts(t *testing.T) {
	r := &Repo{opts: Options{HTTP: masking{}}}
	for at := range maxReason + 20 {
		text := strings.Repeat("x", at) + " the-canary and base64-of-it"
		for name, got := range map[string]string{
			"known to the transport": reason(text, r.without([]string{"base64-of-it"})),
			"sent by the session":    reason(strings.ReplaceAll(text, "the-canary", "sent-canary"), r.without([]string{"", "sent-canary"})),
			"on the standard error":  r.remoteError(t.Context(), "fetch from", complaint(text)).Error(),
		} {
			if strings.Contains(got, "the-c") || strings.Contains(got, "sent-c") || at > 3 && name == "known to the transport" && strings.Contains(got, "base64-") {
				t.Fatalf("%s, %d: %q", name, at, got)
			}
		}
	}
	if got := reason("a\x1b[31m\u009bb\u202ec\xff\n d", nil); got != `a\x1b[31m\u009bb\u202ec d` {
		t.Errorf("got %q", got)
	}
}
