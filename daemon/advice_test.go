package daemon

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/git"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/internal/registry"
	"github.com/poundlock/poundlock/internal/wire"
	"github.com/poundlock/poundlock/testenv"
)

// mishap is a server and how it is configured, and what is asked of it.
type mishap struct {
	config config.Config
	ask    func(ctx context.Context, r *registry.Client) error
}

// at gives a configuration with one registry, ems, asked at a URL, and a pull from it.
func at(endpoint string, auth config.RegistryAuth) mishap {
	u, _ := url.Parse(endpoint)
	c := config.Default()
	c.Registries = map[string]config.Registry{"ems": {Host: "ems.example", Endpoint: endpoint, Insecure: u.Scheme == "http", Auth: auth}}
	return mishap{config: c, ask: pulls("ems.example/team/app:1")}
}

func pulls(image string) func(context.Context, *registry.Client) error {
	return func(ctx context.Context, r *registry.Client) error {
		ref, err := mirror.ParseReference(image)
		if err == nil && ref.HasDigest() {
			ref = ref.AtDigest(ref.Digest)
		}
		if err == nil {
			_, err = r.Resolve(ctx, ref)
		}
		return err
	}
}

func (t mishap) pushing() mishap {
	t.ask = func(ctx context.Context, r *registry.Client) error {
		ref, _ := mirror.ParseReference("ems.example/team/app:1")
		_, err := r.Put(ctx, ref, tinyManifest([]byte("{}"), "x", nil))
		return err
	}
	return t
}

func (t mishap) deleting() mishap {
	t.ask = func(ctx context.Context, r *registry.Client) error {
		ref, _ := mirror.ParseReference("ems.example/team/app:1")
		return r.Delete(ctx, ref)
	}
	return t
}

func (t mishap) asking(image string) mishap { t.ask = pulls(image); return t }

// advice makes the trouble come about and gives what is advised.
func (t mishap) advice(tt *testing.T, proxy *url.URL) mirror.Problem {
	tt.Helper()
	hosts, endpoints, err := hostsOf(t.config)
	if err != nil {
		tt.Fatal(err)
	}
	out, err := wire.New(wire.Settings{Hosts: hosts, CAFiles: t.config.TLS.CAFiles, Proxy: func(*http.Request) (*url.URL, error) { return proxy, nil }})
	if err != nil {
		tt.Fatal(err)
	}
	defer out.Close()
	err = t.ask(tt.Context(), registry.New(out.Client(), endpoints))
	if err == nil {
		tt.Fatal("nothing went wrong")
	}
	all := Advise(t.config, fmt.Errorf("set ess: %w", err))
	if len(all) != 1 {
		tt.Fatalf("%d problems: %v", len(all), all)
	}
	return all[0]
}

// testRegistry is one with an image, guarded by a user.
func testRegistry(t *testing.T) *testenv.Registry {
	t.Helper()
	r := must(testenv.NewRegistry(""))(t)
	t.Cleanup(r.Close)
	must(testenv.Push(t.Context(), r.Back(), "team/app", "1", testenv.Image("app")))(t)
	return r
}

// answering serves one answer to everything.
func answering(t *testing.T, status int, header map[string]string, body string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		for k, v := range header {
			w.Header().Set(k, v)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		io.WriteString(w, body)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// withCertificate serves by TLS with a certificate for some names and a time, and gives the file of its authority.
func withCertificate(t *testing.T, name string, from, until time.Time) (endpoint, ca string) {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Corp Test CA"}, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotBefore: from, NotAfter: until, DNSNames: []string{name}}
	if ip := net.ParseIP(name); ip != nil {
		leaf.DNSNames, leaf.IPAddresses = nil, []net.IP{ip}
	}
	rootDER := must(x509.CreateCertificate(rand.Reader, root, root, &key.PublicKey, key))(t)
	leafDER := must(x509.CreateCertificate(rand.Reader, leaf, root, &key.PublicKey, key))(t)
	ca = filepath.Join(t.TempDir(), "corp-ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rootDER}), 0o600); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{leafDER}, PrivateKey: key}}}
	s.Config.ErrorLog = nil
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL, ca
}

// Each trouble of the world is told with its code, whom and what it is about, and a way out.
func TestAdvise_SaysWhatHappenedAndWhatToDo(t *testing.T) {
	t.Setenv("POUNDLOCK_TEST_PW", "wrong-canary")
	ci := config.RegistryAuth{Username: "ci", Password: config.Secret{Env: "POUNDLOCK_TEST_PW"}}
	now := time.Now()
	guarded, tokens := testRegistry(t), testRegistry(t)
	guarded.RequireBasic("ci", "right-canary")
	tokens.RequireToken(testenv.NewTokens("ci", "right-canary"), "")
	open := testRegistry(t)
	unknownCA, ca := withCertificate(t, "127.0.0.1", now.Add(-time.Hour), now.Add(time.Hour))
	otherName, otherCA := withCertificate(t, "registry.corp.example", now.Add(-time.Hour), now.Add(time.Hour))
	expired, expiredCA := withCertificate(t, "127.0.0.1", now.Add(-2*time.Hour), now.Add(-time.Hour))
	trusting := func(tr mishap, files ...string) mishap {
		tr.config.TLS.CAFiles = files
		return tr
	}
	elsewhere := filepath.Join(filepath.Dir(ca), "other-ca.pem")
	if text, err := os.ReadFile(otherCA); err != nil || os.WriteFile(elsewhere, text, 0o600) != nil {
		t.Fatal(err)
	}
	plainHTTP := at(open.URL(), config.RegistryAuth{})
	r := plainHTTP.config.Registries["ems"]
	r.Insecure = false
	plainHTTP.config.Registries["ems"] = r
	gone := "ems.example/team/app@" + mirror.DigestOf([]byte("gone")).String()
	home := func(tr mishap) mishap {
		tr.config.Registries[config.LocalRegistry] = tr.config.Registries["ems"]
		delete(tr.config.Registries, "ems")
		return tr
	}
	proxied := at("https://proxied.example", config.RegistryAuth{})
	wantsUser := must(url.Parse(answering(t, http.StatusProxyAuthRequired, nil, "")))(t)
	wantsUser.User = url.UserPassword("me", "proxy-canary")
	for _, tt := range []struct {
		name    string
		trouble mishap
		proxy   *url.URL
		code    string
		says    []string
	}{
		{"wrong password", at(guarded.URL(), ci), nil, "AUTH001", []string{`user "ci"`, "env POUNDLOCK_TEST_PW", "pull ems.example/team/app", guarded.Host(), "fix: check the user"}},
		{"wrong password for tokens", at(tokens.URL(), ci), nil, "AUTH001", []string{`user "ci"`, "token server " + tokens.Host() + " refuses", "repository:team/app:pull"}},
		{"no credential", at(guarded.URL(), config.RegistryAuth{}), nil, "AUTH002", []string{"anonymous", "pull ems.example/team/app", "registries.ems.auth"}},
		{"empty keychain", at(guarded.URL(), config.RegistryAuth{Keychain: true}), nil, "AUTH001", []string{"Docker keychain, which has no credential"}},
		{"not allowed", at(answering(t, 403, nil, `{"errors":[{"code":"DENIED","message":"read only robot"}]}`), ci).pushing(), nil, "AUTH003", []string{"push ems.example/team/app", "DENIED", "read only robot", "right to push"}},
		{"quota", home(at(answering(t, 403, nil, `{"errors":[{"code":"DENIED","message":"adding 3 MiB will exceed the configured upper limit of the quota"}]}`), ci).pushing()), nil, "REG008", []string{"quota", "raise the quota"}},
		{"too large", at(answering(t, 413, nil, ""), ci).pushing(), nil, "REG008", []string{"413", "limit of a body"}},
		{"full", at(answering(t, 507, nil, `{"errors":[{"code":"X","message":"disk is full"}]}`), ci).pushing(), nil, "REG008", []string{"507", "disk is full", "free space"}},
		{"full, as 500", at(answering(t, 500, nil, `{"errors":[{"code":"UNKNOWN","message":"write: no space left on device"}]}`), ci).pushing(), nil, "REG008", []string{"no space left"}},
		{"read-only", at(answering(t, 405, nil, `{"errors":[{"code":"UNSUPPORTED","message":"The operation is unsupported."}]}`), ci).deleting(), nil, "REG003", []string{"does not delete", "405", "REGISTRY_STORAGE_DELETE_ENABLED"}},
		{"too many requests", at(answering(t, 429, map[string]string{"Retry-After": "5400", "RateLimit-Limit": "100;w=21600", "RateLimit-Remaining": "0;w=21600"}, ""), config.RegistryAuth{}), nil, "RATE001",
			[]string{"1h30m0s", "until ", "UTC", "0 of 100 requests are left per 6h", "log in"}},
		{"fault", at(answering(t, 501, nil, ""), ci), nil, "REG005", []string{"501", "tried again"}},
		{"refused", at(answering(t, 418, nil, ""), ci), nil, "REG006", []string{"418"}},
		{"a web page", at(answering(t, 202, nil, "<html>sign in</html>"), ci), nil, "REG006", []string{"does not look like a registry", "check host and endpoint"}},
		{"digest is gone", at(open.URL(), config.RegistryAuth{}).asking(gone), nil, "REG001", []string{"no longer has " + gone, "garbage", "stays and is still served"}},
		{"no such tag", at(open.URL(), config.RegistryAuth{}).asking("ems.example/team/app:9"), nil, "REG002", []string{"ems.example/team/app:9", "which tags ems.example/team/app has"}},
		{"unknown authority", at(unknownCA, config.RegistryAuth{}), nil, "TLS002", []string{"Corp Test CA", "no file of the configuration", "registries.ems.tls.caFiles: [corp-ca.pem]"}},
		{"unknown authority with files", trusting(at(unknownCA, config.RegistryAuth{}), elsewhere), nil, "TLS002", []string{"other-ca.pem"}},
		{"wrong name", trusting(at(otherName, config.RegistryAuth{}), otherCA), nil, "TLS003", []string{`not for "127.0.0.1"`, "it is for registry.corp.example"}},
		{"expired", trusting(at(expired, config.RegistryAuth{}), expiredCA), nil, "TLS001", []string{now.Add(-time.Hour).UTC().Format("2006-01-02 15:04 UTC"), "our clock", "current time"}},
		{"no TLS there", at(strings.Replace(open.URL(), "http:", "https:", 1), config.RegistryAuth{}), nil, "TLS005", []string{"does not speak TLS", "insecure: true"}},
		{"plain http", plainHTTP, nil, "NET006", []string{"plain http", "insecure: true"}},
		{"closed port", at("http://127.0.0.1:1", config.RegistryAuth{}), nil, "NET002", []string{"nothing listens", "127.0.0.1:1"}},
		{"no such name", at("https://no-such-name.invalid", config.RegistryAuth{}), nil, "NET001", []string{"no-such-name.invalid"}},
		{"proxy is down", proxied, must(url.Parse("http://me:proxy-canary@127.0.0.1:1"))(t), "NET004", []string{"proxied.example", "proxy 127.0.0.1:1", "NO_PROXY"}},
		{"proxy wants a user", proxied, wantsUser, "NET004", []string{wantsUser.Host, "407", "user and password"}},
		{"realm of another host", at(answering(t, 401, map[string]string{"WWW-Authenticate": `Bearer realm="https://evil.example/token",service="x"`}, ""), ci), nil, "NET005", []string{"evil.example:443", "registries.ems.auth.realms: [evil.example]"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := tt.trouble.advice(t, tt.proxy)
			if p.Code != tt.code || p.Fix == "" {
				t.Errorf("got %s, want %s, with a fix:\n%v", p.Code, tt.code, p)
			}
			for _, want := range tt.says {
				if !strings.Contains(p.Error(), want) {
					t.Errorf("%q is not said:\n%v", want, p)
				}
			}
			if strings.Contains(p.Error(), "canary") {
				t.Errorf("a secret is shown:\n%v", p)
			}
		})
	}
}

func TestAdvise_Git(t *testing.T) {
	t.Setenv("POUNDLOCK_TEST_PW", "wrong-canary")
	server := must(testenv.NewGit(filepath.Join(t.TempDir(), "fleet.git")))(t)
	t.Cleanup(server.Close)
	must(server.Commit(t.Context(), "first", map[string]string{"README.md": "hello\n"}))(t)
	server.User, server.Password = "poundlock", "right-canary"
	wrong := config.GitAuth{Username: "poundlock", Password: config.Secret{Env: "POUNDLOCK_TEST_PW"}}
	right := config.GitAuth{Username: "poundlock", Password: config.Secret{Env: "POUNDLOCK_TEST_RIGHT"}}
	t.Setenv("POUNDLOCK_TEST_RIGHT", "right-canary")
	busy := answering(t, 429, map[string]string{"Retry-After": "600"}, "")
	for _, tt := range []struct {
		name   string
		change func(*config.GitConfig)
		push   bool
		code   string
		says   []string
	}{
		{"wrong password", func(g *config.GitConfig) { g.Auth = wrong }, false, "AUTH004", []string{`user "poundlock" with the password of env POUNDLOCK_TEST_PW`, server.Host(), "fleet.git"}},
		{"wrong password to push", func(g *config.GitConfig) { g.Auth = wrong }, true, "AUTH004", []string{"does not let us push"}},
		{"no credential", func(g *config.GitConfig) {}, false, "AUTH005", []string{"anonymous", "git.auth.token"}},
		{"no branch", func(g *config.GitConfig) { g.Auth, g.Branch = right, "mian" }, false, "GIT021", []string{`no branch "mian"`, "git switch -c mian", "git push -u origin HEAD"}},
		{"no branch to push to", func(g *config.GitConfig) { g.Auth, g.Branch = right, "mian" }, true, "GIT021", []string{`no branch "mian"`}},
		{"no repository", func(g *config.GitConfig) { g.Auth, g.URL = right, strings.Replace(g.URL, "fleet.git", "felet.git", 1) }, false, "GIT022", []string{"felet.git", "git.url"}},
		{"server is down", func(g *config.GitConfig) { g.URL = "http://127.0.0.1:1/fleet.git" }, false, "NET002", []string{"Git server 127.0.0.1:1"}},
		{"busy", func(g *config.GitConfig) { g.URL = busy + "/fleet.git" }, false, "RATE001", []string{"10m0s", "until ", "git.poll"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := config.Default()
			c.Git.URL, c.Git.Insecure = server.URL(), true
			tt.change(&c.Git)
			hosts, _, err := hostsOf(c)
			if err != nil {
				t.Fatal(err)
			}
			out := must(wire.New(wire.Settings{Hosts: hosts}))(t)
			defer out.Close()
			repo := must(git.Open(t.Context(), gitOptions(c.Git, t.TempDir(), out)))(t)
			defer repo.Close()
			if _, err = repo.Fetch(t.Context()); tt.push {
				err = repo.CanPush(t.Context())
			}
			all := Advise(c, gitError(err))
			if len(all) != 1 || all[0].Code != tt.code || all[0].Fix == "" {
				t.Fatalf("want %s alone, with a fix, of %v:\n%v", tt.code, err, all)
			}
			for _, want := range tt.says {
				if !strings.Contains(all[0].Error(), want) {
					t.Errorf("%q is not said:\n%v", want, all[0])
				}
			}
			if strings.Contains(all.Error(), "canary") {
				t.Errorf("a secret is shown:\n%v", all)
			}
		})
	}
}

func TestAdvise_JoinedErrorsAreSeveralProblemsEachOnce(t *testing.T) {
	mistakes := mirror.Problems{{Code: "FLT001", What: "one"}, {Code: "FLT002", What: "two"}}
	odd := errors.New("an odd thing")
	locked := fmt.Errorf("open: %w", lockedBy("/var/lib/poundlock"))
	var c config.Config
	got := Advise(c, fmt.Errorf("sync: %w", errors.Join(
		fmt.Errorf("set a: %w", mistakes), odd, errors.Join(odd, locked), fmt.Errorf("set b: %w", mistakes))))
	var codes []string
	for _, p := range got {
		codes = append(codes, p.Code)
	}
	if want := "FLT001 FLT002 ERR001 LOCK001"; strings.Join(codes, " ") != want {
		t.Errorf("got %v, want %s\n%v", codes, want, got)
	}
	if got := Advise(c, fmt.Errorf("%w: %w", config.ErrConfiguration, odd)); len(got) != 1 || got[0].Code != "CFG100" || got[0].What != "an odd thing" {
		t.Errorf("two wrapped into one sentence are one problem: %v", got)
	}
	if got := Advise(c, nil); got != nil {
		t.Errorf("no error is no problem: %v", got)
	}
	wire.Conceal("advice-canary")
	if got := Advise(c, errors.New("it says advice-canary")).Error(); strings.Contains(got, "canary") {
		t.Errorf("a secret is shown: %s", got)
	}
}

// A failed cycle is told in the log as a problem: code, what and fix are facts of their own.
func TestLogTrouble_TellsAProblemByItsParts(t *testing.T) {
	var said bytes.Buffer
	l := &Line{config: config.Config{StateDir: "/var/lib/poundlock"}, log: slog.New(slog.NewJSONHandler(&said, nil))}
	l.logTrouble("cycle failed", errors.Join(lockedBy(t.TempDir()), errors.New("odd")), func(mirror.Problem) bool { return true }, keyWake, "poll")
	lines := strings.Split(strings.TrimSpace(said.String()), "\n")
	if len(lines) != 2 {
		t.Fatalf("want a line for each problem:\n%s", said.String())
	}
	var facts map[string]string
	if err := json.Unmarshal([]byte(lines[0]), &facts); err != nil {
		t.Fatal(err)
	}
	if facts[keyCode] != "LOCK001" || !strings.Contains(facts[keyWhat], "holds the state directory") || facts[keyFix] == "" || facts[keyWhy] == "" || facts[keyWake] != "poll" {
		t.Errorf("got %v", facts)
	}
}

// An address that cannot be listened on is told at the key that names it.
func TestAdvise_AddressesToListenOn(t *testing.T) {
	taken := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	defer taken.Close()
	for _, tt := range []struct {
		name, code, key string
		open            func() error
	}{
		{"page", "NET009", "listen", func() error {
			_, err := newFace(newMetrics("test"), time.Now).listen(taken.Addr().String())
			return err
		}},
		{"registry", "NET009", "registries.local.embedded.listen", func() error {
			return (&Line{}).openEmbedded(config.Registry{Embedded: config.Embedded{Dir: t.TempDir(), Listen: taken.Addr().String()}}, false)
		}},
		{"address of another machine", "NET010", "listen", func() error { _, err := newFace(newMetrics("test"), time.Now).listen("192.0.2.1:0"); return err }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Advise(config.Config{}, tt.open()); len(got) != 1 || got[0].Code != tt.code || got[0].Path != tt.key || !strings.Contains(got[0].Fix, tt.key) {
				t.Errorf("%+v", got)
			}
		})
	}
}

// What a peer is blamed for is told at the key that names its address, and a full disk is nobody else's fault.
func TestAdvise_ToTheKeyThatNamesTheAddress(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.yaml")
	text := "version: 1\nsite: x\ngit:\n  url: https://git.example/x.git\nregistries:\n  local:\n    host: local.example\n    auth: {keychain: true}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c := must(config.Load(file, nil, map[string]any{"git.url": "https://127.0.0.1:1/x.git", "registries.local.endpoint": "https://127.0.0.1:2"}))(t)
	a := adviser{c}
	for key, want := range map[string]string{"git": "flag --set git.url", "registries.local": "flag --set registries.local.endpoint", "registries.local.auth": "config.yaml:8:11"} {
		if got := a.problem("X", key, "x").Where.String(); !strings.HasSuffix(got, want) {
			t.Errorf("%s: got %s, want %s", key, got, want)
		}
	}
	full := fmt.Errorf("%w: %w", &git.Error{Op: "fetch"}, &fs.PathError{Op: "write", Path: "/state/git/x", Err: syscall.ENOSPC})
	if got := Advise(c, full); len(got) != 1 || got[0].Code != "DISK003" {
		t.Errorf("a full disk: %v", got)
	}
}
