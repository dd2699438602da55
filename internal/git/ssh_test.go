package git

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/poundlock/poundlock/testenv"
)

func newKey(t *testing.T) ([]byte, ssh.Signer) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private, _ := sshKey(t, key)
	signer, err := ssh.ParsePrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return private, signer
}

// sshd serves Git's two services over ssh to who has the client key, and gives its address.
func sshd(t *testing.T, host ssh.Signer, client ssh.PublicKey) string {
	t.Helper()
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if string(key.Marshal()) != string(client.Marshal()) {
			return nil, errors.New("not this key")
		}
		return nil, nil
	}}
	config.AddHostKey(host)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, channels, requests, err := ssh.NewServerConn(conn, config)
				if err != nil {
					return
				}
				go ssh.DiscardRequests(requests)
				for c := range channels {
					channel, requests, err := c.Accept()
					if err != nil {
						return
					}
					go session(channel, requests)
				}
			}()
		}
	}()
	return l.Addr().String()
}

func session(channel ssh.Channel, requests <-chan *ssh.Request) {
	for req := range requests {
		_ = req.Reply(req.Type == "exec", nil)
		if req.Type != "exec" {
			continue
		}
		var exec1 struct{ Command string }
		_ = ssh.Unmarshal(req.Payload, &exec1)
		cmd := exec.Command("sh", "-c", strings.Replace(exec1.Command, "git-", "git ", 1))
		cmd.Stdout, cmd.Stderr = channel, channel.Stderr()
		in, _ := cmd.StdinPipe()
		go func() { _, _ = io.Copy(in, channel); in.Close() }()
		status := uint32(0)
		if cmd.Run() != nil {
			status = 128
		}
		_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status}))
		channel.Close()
	}
}

func knownHosts(t *testing.T, addr string, keys ...ssh.PublicKey) string {
	t.Helper()
	var lines strings.Builder
	for _, key := range keys {
		lines.WriteString(knownhosts.Line([]string{addr}, key) + "\n")
	}
	name := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(name, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func key(pem []byte) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) { return pem, nil }
}

func needGit(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("there is no git binary")
	}
}

// roundTrip is all that a remote has to do.
func roundTrip(t *testing.T, g *testenv.Git, o Options) {
	t.Helper()
	first := write(t, g, map[string]string{"desired/a.yaml": "a"})
	r := open(t, o)
	if got, err := r.Remote(t.Context()); err != nil || got != first {
		t.Fatalf("Remote = %q, %v", got, err)
	}
	fetch(t, r)
	second := write(t, g, map[string]string{"desired/a.yaml": "b"})
	if got := fetch(t, r); got != second {
		t.Fatalf("head = %s, want %s", got, second)
	}
	id, err := r.Commit(t.Context(), second, change(map[string]string{"rendered/x": "x"}, "rendered"))
	if err != nil || g.Head() != id {
		t.Fatalf("Commit = %q, %v; the head is %s", id, err, g.Head())
	}
	if _, err := r.Commit(t.Context(), second, change(map[string]string{"rendered/x": "y"}, "rendered")); !errors.Is(err, ErrRejected) {
		t.Errorf("a commit on an old head: %v", err)
	}
	if fetch(t, r) != id {
		t.Error("the head is not our commit")
	}
}

func TestSSH_CarriesFetchAndPush(t *testing.T) {
	needGit(t)
	private, client := newKey(t)
	_, host := newKey(t)
	addr := sshd(t, host, client.PublicKey())
	g := serve(t, testenv.NewGitBackend)
	roundTrip(t, g, Options{URL: "ssh://git@" + addr + g.Dir(), Branch: "main", Dir: t.TempDir(),
		Auth: Auth{PrivateKey: key(private), KnownHosts: knownHosts(t, addr, host.PublicKey())}})
}

func TestSSH_ChecksTheHostKey(t *testing.T) {
	private, client := newKey(t)
	_, host := newKey(t)
	_, other := newKey(t)
	addr := sshd(t, host, client.PublicKey())
	strange, _ := newKey(t)
	cases := []struct {
		name, known, says string
		private           []byte
	}{
		{"another key is known", knownHosts(t, addr, other.PublicKey()), "is not the one in the known_hosts file", private},
		{"the host is not known", knownHosts(t, "other.example:22", host.PublicKey()), "is not in the known_hosts file", private},
		{"our key is not accepted", knownHosts(t, addr, host.PublicKey()), ErrUnauthorized.Error(), strange},
		{"our key is none", knownHosts(t, addr, host.PublicKey()), "cannot be read", []byte(secret)},
		{"garbage in known_hosts", knownHosts(t, addr) + "/", "known_hosts", private},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r, err := Open(t.Context(), Options{URL: "ssh://git@" + addr + "/x", Branch: "main", Dir: t.TempDir(), Auth: Auth{PrivateKey: key(c.private), KnownHosts: c.known}})
			if err == nil {
				_, err = r.Remote(t.Context())
			}
			if err == nil || !strings.Contains(err.Error(), c.says) || isTemporary(err) || strings.Contains(err.Error(), secret) {
				t.Errorf("%v, want a lasting error that says %q", err, c.says)
			}
		})
	}
	for name, auth := range map[string]Auth{
		"no known_hosts":      {PrivateKey: key(private)},
		"missing known_hosts": {PrivateKey: key(private), KnownHosts: filepath.Join(t.TempDir(), "none")},
		"no key":              {KnownHosts: knownHosts(t, addr, host.PublicKey())},
	} {
		if _, err := Open(t.Context(), Options{URL: "git@" + addr[:9] + ":x", Branch: "main", Dir: t.TempDir(), Auth: auth}); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func TestSSH_EndsWithItsDeadline(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and never says a word
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	private, client := newKey(t)
	addr := l.Addr().String()
	r := open(t, Options{URL: "ssh://git@" + addr + "/x", Branch: "main", Dir: t.TempDir(),
		Auth: Auth{PrivateKey: key(private), KnownHosts: knownHosts(t, addr, client.PublicKey())}})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := r.Remote(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want an expired deadline", err)
	}
}

func TestSSH_NamesAMissingRepository(t *testing.T) {
	needGit(t)
	private, client := newKey(t)
	_, host := newKey(t)
	addr := sshd(t, host, client.PublicKey())
	r := open(t, Options{URL: "ssh://git@" + addr + t.TempDir() + "/it's not!", Branch: "main", Dir: t.TempDir(),
		Auth: Auth{PrivateKey: key(private), KnownHosts: knownHosts(t, addr, host.PublicKey())}})
	if _, err := r.Remote(t.Context()); err == nil || isTemporary(err) || !strings.Contains(err.Error(), "not found") {
		t.Errorf("%v, want a lasting not found", err)
	}
}

func TestLocal_CarriesFetchAndPush(t *testing.T) {
	needGit(t)
	for _, scheme := range []string{"", "file://"} {
		g := serve(t, testenv.NewGitBackend)
		u := g.Dir()
		if scheme != "" {
			u = (&url.URL{Scheme: "file", Path: u}).String()
		}
		roundTrip(t, g, Options{URL: u, Branch: "main", Dir: t.TempDir()})
	}
	r := open(t, Options{URL: t.TempDir(), Branch: "main", Dir: t.TempDir()})
	if _, err := r.Fetch(t.Context()); err == nil || isTemporary(err) {
		t.Errorf("no repository: %v", err)
	}
}

func TestFetch_RefusesAShallowRemote(t *testing.T) {
	needGit(t)
	g := serve(t, testenv.NewGitBackend)
	write(t, g, map[string]string{"desired/a.yaml": "a"})
	write(t, g, map[string]string{"desired/a.yaml": "b"})
	shallow := filepath.Join(t.TempDir(), "shallow.git")
	if out, err := exec.Command("git", "clone", "-q", "--bare", "--depth", "1", "file://"+g.Dir(), shallow).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	r := open(t, Options{URL: shallow, Branch: "main", Dir: t.TempDir()})
	if _, err := r.Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "shallow") || isTemporary(err) {
		t.Errorf("%v, want a lasting refusal", err)
	}
}
