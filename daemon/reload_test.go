package daemon

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/testenv"
)

// serving is a service that runs on a site.
type serving struct {
	*site
	file   string // its configuration
	reload chan struct{}
	began  chan began
	ended  chan error
	stop   context.CancelFunc
	log    *talk

	line    *Line // the one that runs, as far as the test knows
	address string
}

type began struct {
	line    *Line
	address string
}

// talk is a buffer that many may write to.
type talk struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *talk) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *talk) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// serve runs the service on the site's configuration until the test ends. It has ended its first cycle when
// serve returns.
func (s *site) serve() *serving {
	s.t.Helper()
	r := s.startService(filepath.Join(s.dir, "config.yaml"))
	r.next()
	return r
}

func (s *site) startService(file string) *serving {
	s.t.Helper()
	s.close()
	r := &serving{site: s, file: file, reload: make(chan struct{}), began: make(chan began, 10), ended: make(chan error, 1), log: &talk{}}
	if _, err := os.Lstat(file); err != nil {
		r.write(s.config)
	}
	ctx, cancel := contextWithCancel(s.t)
	r.stop = cancel
	service := Service{Options: Options{Log: slog.New(slog.NewTextHandler(io.MultiWriter(r.log, s.t.Output()), nil)), Now: time.Now, Command: "run"},
		Load: func() (config.Config, error) { return config.Load(r.file, nil, nil) }, Reload: r.reload,
		Began: func(l *Line, address string) { r.began <- began{l, address} }}
	go func() { r.ended <- service.Run(ctx) }()
	s.t.Cleanup(func() { r.end() })
	return r
}

// end stops the service and gives its error.
func (r *serving) end() error {
	r.stop()
	err := <-r.ended
	r.ended <- err
	return err
}

func (r *serving) write(config string) {
	r.t.Helper()
	if err := os.WriteFile(r.file, []byte(config), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// next waits for a line that begins, until it has ended its first cycle.
func (r *serving) next() {
	r.t.Helper()
	select {
	case b := <-r.began:
		r.line, r.address = b.line, b.address
	case err := <-r.ended:
		r.ended <- err
		r.t.Fatalf("the service ended: %v", err)
	case <-time.After(30 * time.Second):
		r.t.Fatalf("no line began within 30 s:\n%s", r.log)
	}
	until(r.t, "the first cycle has ended", func() bool { code, _ := r.get("/readyz"); return code == http.StatusOK })
}

// hangup asks for a reload, as SIGHUP does, that makes no line begin, and waits until the log says what came of it.
func (r *serving) hangup() {
	r.t.Helper()
	told := func() int {
		return strings.Count(r.log.String(), "configuration refused") + strings.Count(r.log.String(), "in force already")
	}
	before := told()
	select {
	case r.reload <- struct{}{}:
	case <-time.After(30 * time.Second):
		r.t.Fatal("the reload is not looked at")
	}
	until(r.t, "the reload is told of", func() bool { return told() > before })
}

// get asks the service over HTTP; code 0 means that nobody answered.
func (r *serving) get(path string) (int, string) {
	answer, err := http.Get("http://" + r.address + path)
	if err != nil {
		return 0, err.Error()
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, err.Error()
	}
	return answer.StatusCode, string(body)
}

// wants fails the test unless what is shown at a path has all of the words.
func (r *serving) wants(path string, words ...string) {
	r.t.Helper()
	_, text := r.get(path)
	for _, word := range words {
		if !strings.Contains(text, word) {
			r.t.Errorf("%s lacks %q:\n%s", path, word, text)
		}
	}
}

// oneImage is a site with one set of one image that stands.
func oneImage(t *testing.T) *site {
	s := newSite(t, map[string]string{"desired/policy.yaml": pinnedPolicy, "desired/web.yaml": "version: 1\nsource: {kind: list, file: web.txt}\n", "desired/web.txt": "docker.io/library/none:1\n"})
	s.commit("web", map[string]string{"desired/web.txt": list(s.push("docker.io/library/web:1", "web"))})
	s.sync()
	return s
}

// A wrong new configuration is refused before the running line is touched, and everyone is told: the log once, the
// gauge, the page, the history. When it is mended, all of that is over.
func TestReload_AWrongConfigurationIsRefused(t *testing.T) {
	t.Parallel()
	r := oneImage(t).serve()
	taken := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	defer taken.Close()
	locked := filepath.Join(r.dir, "locked")
	other := must(OpenState(locked))(t)
	defer other.Close()
	file := filepath.Join(r.dir, "file")
	if err := os.WriteFile(file, []byte("no PEM, secret-canary"), 0o600); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(r.dir, "no-such-secret")
	_, port, err := net.SplitHostPort(r.address)
	if err != nil {
		t.Fatal(err)
	}
	change := func(old, new string) string {
		t.Helper()
		if !strings.Contains(r.config, old) {
			t.Fatalf("%q is not in the configuration", old)
		}
		return strings.Replace(r.config, old, new, 1)
	}
	for _, tt := range []struct{ name, config, says string }{
		{"unknown key", r.config + "sitee: x\n", "sitee"},
		{"no YAML", "version: [", "DOC001"},
		{"schedule", r.config + "schedule: every day\n", "schedule"},
		{"secret missing", change("{env: POUNDLOCK_TEST_GIT_PASSWORD}", "{file: "+secret+"}"), "git.auth.password"},
		{"CA file missing", r.config + "tls: {caFiles: [/no/such/ca.pem]}\n", "/no/such/ca.pem"},
		{"CA file that is none", r.config + "tls: {caFiles: [" + file + "]}\n", file},
		{"address in use", change("listen: 127.0.0.1:0", "listen: "+taken.Addr().String()), "address already in use"},
		{"another address of the port", change("listen: 127.0.0.1:0", "listen: 0.0.0.0:"+port), "which has the same port"},
		{"embedded address in use", change(`endpoint: "`+r.local.URL()+`", insecure: true`, "embedded: {dir: embedded, listen: "+`"`+taken.Addr().String()+`"}`), "address already in use"},
		{"state directory locked", change(filepath.Join(r.dir, "state"), locked), "another poundlock"},
		{"state directory is a file", change(filepath.Join(r.dir, "state"), file), "DISK002"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := strings.Count(r.log.String(), "configuration refused")
			r.write(tt.config)
			r.hangup()
			r.wants("/metrics", "poundlock_config_reload_ok 0")
			r.wants("/", "A changed configuration was refused", tt.says)
			r.wants("/readyz", "ready")
			if n := strings.Count(r.log.String(), "configuration refused") - before; n != 1 {
				t.Errorf("%d lines of the log", n)
			}
			until(t, "the history has it", func() bool {
				events := must(r.line.Events(Filter{Type: EventReloadFailed, N: 1}))(t)
				return len(events) == 1 && strings.Contains(events[0].Reason, tt.says)
			})
			if _, page := r.get("/"); strings.Contains(r.log.String()+page, "canary") {
				t.Error("a secret is shown")
			}
			r.write(r.config)
			r.hangup()
			r.wants("/metrics", "poundlock_config_reload_ok 1")
			if _, page := r.get("/"); strings.Contains(page, "refused at") {
				t.Errorf("the banner stays:\n%s", page)
			}
		})
	}
	if len(r.began) > 0 {
		t.Error("another line began")
	}
	if err := r.end(); err != nil {
		t.Errorf("end: %v", err)
	}
}

// A good new configuration takes over in the same process: the socket answers all the time, nobody else can take
// the state directory, a copy that was in flight lands and is taken up, counters go on.
func TestReload_AGoodOneTakesOver(t *testing.T) {
	t.Parallel()
	s := oneImage(t)
	r := s.serve()
	before, address := r.line, r.address
	held := make(chan struct{})
	s.upstream.Proxy().Break(func(q *http.Request) *testenv.Fault {
		if strings.Contains(q.URL.Path, "/library/slow/blobs/") {
			<-held
		}
		return nil
	})
	slow := s.push("docker.io/library/slow:1", "slow", testenv.Layer{Seed: "slow", Size: 100_000})
	s.commit("slow", map[string]string{"desired/web.txt": s.file("desired/web.txt") + slow.String() + "\n"})
	until(t, "the copy is in flight", func() bool { return !before.mover.Idle("web") })
	var away, stolen int
	watching, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-watching:
				return
			default:
			}
			if answer, err := http.Get("http://" + address + "/healthz"); err != nil {
				away++
			} else {
				answer.Body.Close()
			}
			if free(filepath.Join(s.dir, "state", "state.db")) {
				stolen++
			}
		}
	}()
	r.write(strings.Replace(s.config, "poll: 50ms", "poll: 60ms", 1))
	r.reload <- struct{}{}
	close(held)
	r.next()
	close(watching)
	<-done
	if away+stolen > 0 {
		t.Errorf("%d times nobody answered, %d times the lock was free", away, stolen)
	}
	if r.line == before || r.address != address || r.line.config.Git.Poll != 60*time.Millisecond {
		t.Errorf("line new %t, address %s after %s, poll %s", r.line != before, r.address, address, r.line.config.Git.Poll)
	}
	until(t, "the copy is recorded", func() bool { return strings.Contains(s.file("rendered/demo/web/snapshot.yaml"), slow.Digest.String()) })
	s.whole()
	if n := s.upstream.Proxy().Counts().Of(testenv.BlobGet); n > 4 { // config and layer of two images
		t.Errorf("%d blobs were read upstream, some twice", n)
	}
	r.wants("/metrics", "poundlock_config_reload_ok 1", `poundlock_run_last_success_timestamp_seconds{set="web"}`, `code="200"`)
	if events := must(r.line.Events(Filter{Type: EventReloaded}))(t); len(events) != 1 {
		t.Errorf("the history has %v", events)
	}
	if err := r.end(); err != nil {
		t.Errorf("end: %v", err)
	}
}

// free says whether the file lock of a state could be taken now.
func free(file string) bool {
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}

// Another address and another state directory are taken before the old ones are let go.
func TestReload_MovesToAnotherAddressAndState(t *testing.T) {
	t.Parallel()
	s := oneImage(t)
	r := s.serve()
	old := r.address
	elsewhere := filepath.Join(s.dir, "state2")
	r.write(strings.NewReplacer("listen: 127.0.0.1:0", "listen: localhost:0", filepath.Join(s.dir, "state"), elsewhere).Replace(s.config))
	r.reload <- struct{}{}
	r.next()
	if _, err := net.Dial("tcp", old); err == nil || old == r.address {
		t.Errorf("still listens on %s", old)
	}
	if !free(filepath.Join(s.dir, "state", "state.db")) || free(filepath.Join(elsewhere, "state.db")) {
		t.Error("holds the old state directory, or not the new one")
	}
	if _, err := os.Stat(filepath.Join(s.dir, "state", holderFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the old directory still names a holder: %v", err)
	}
	if err := r.end(); err != nil || !free(filepath.Join(elsewhere, "state.db")) {
		t.Errorf("end: %v", err)
	}
}

// Where the new configuration passes every check and cannot be opened nevertheless, the old one is opened again.
func TestReload_GoesBackWhenOpeningFails(t *testing.T) {
	t.Parallel()
	s := oneImage(t)
	r := s.serve()
	before := r.line
	if err := os.WriteFile(filepath.Join(s.dir, "embedded"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r.write(strings.Replace(s.config, `endpoint: "`+s.local.URL()+`", insecure: true`, `embedded: {dir: embedded/below, listen: "127.0.0.1:0"}`, 1))
	r.reload <- struct{}{}
	r.next()
	if r.line == before || r.line.config.Registries[config.LocalRegistry].Embedded.Dir != "" {
		t.Error("the line is the one before, or has the configuration that cannot be opened")
	}
	r.wants("/metrics", "poundlock_config_reload_ok 0")
	r.wants("/", "A changed configuration was refused", "embedded")
	if free(filepath.Join(s.dir, "state", "state.db")) {
		t.Error("the lock was lost")
	}
}

// A changed file is seen by itself, also when Kubernetes swaps the folder behind a symbolic link; comments and
// order of keys are no change.
func TestReload_SeesTheSwapOfASymbolicLink(t *testing.T) {
	t.Parallel()
	s := oneImage(t)
	mount := filepath.Join(s.dir, "mount")
	publish := func(name, config string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(mount, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(mount, name, "config.yaml"), []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(name, filepath.Join(mount, "..data.new")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(mount, "..data.new"), filepath.Join(mount, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	publish("1", s.config)
	file := filepath.Join(mount, "config.yaml")
	if err := os.Symlink("..data/config.yaml", file); err != nil {
		t.Fatal(err)
	}
	r := s.startService(file)
	r.next()
	publish("2", "# the same\n"+s.config)
	until(t, "the comment is seen", func() bool { return strings.Contains(r.log.String(), "in force already") })
	if len(r.began) > 0 {
		t.Error("a comment made another line begin")
	}
	publish("3", strings.Replace(s.config, "poll: 50ms", "poll: 70ms", 1))
	r.next()
	if got := r.line.config.Git.Poll; got != 70*time.Millisecond {
		t.Errorf("poll is %s", got)
	}
}

// A file that is being written is not taken before it is whole; what follows is seen once.
func TestWatch_TakesWhatIsThereTwice(t *testing.T) {
	dir := t.TempDir()
	file, ca := filepath.Join(dir, "config.yaml"), filepath.Join(dir, "ca.pem")
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(file, "a")
	write(ca, "1")
	w := watch{file: file}
	accept := func() {
		w.attempt()
		w.refers(config.Config{TLS: config.TLS{CAFiles: []string{ca}}})
		w.file = file
		w.accept()
	}
	accept()
	for _, tt := range []struct {
		name string
		do   func()
		want bool
	}{
		{"nothing", func() {}, false},
		{"half of a file", func() { write(file, "b") }, false},
		{"the other half", func() { write(file, "bc") }, false},
		{"it rests", func() {}, true},
		{"it was tried", accept, false},
		{"and rests", func() {}, false},
		{"a drop-in appears", func() { write(filepath.Join(dir, "config.d", "x.yaml"), "x") }, false},
		{"and rests", func() {}, true},
		{"it was tried", accept, false},
		{"a CA file is renewed", func() { write(ca, "2") }, false},
		{"and rests", func() {}, true},
		{"it was tried", accept, false},
		{"the file goes away", func() { os.Remove(file) }, false},
		{"and stays away", func() {}, true},
	} {
		tt.do()
		if got := w.changed(); got != tt.want {
			t.Errorf("%s: changed = %t, want %t", tt.name, got, tt.want)
		}
	}
}

// Where a value was set, and what Load noticed, are no difference.
func TestConfig_SameIgnoresWhereItCameFrom(t *testing.T) {
	text := strings.Replace(siteConfig("/x", "http://git.example", "http://local.example", "http://up.example"), "  poll: 50ms\n", "  poll: 50ms\n  message: \"{{.Subject}}\"\n", 1)
	load := func(text string, environ ...string) config.Config {
		t.Helper()
		file := filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return must(config.Load(file, environ, nil))(t)
	}
	a := load(text)
	for name, b := range map[string]config.Config{"comment": load("# hello\n" + text), "environment": load(text, "POUNDLOCK_GIT__POLL=50ms", "POUNDLOCK_STRAY=1")} {
		if !a.Same(b) {
			t.Errorf("%s: another configuration", name)
		}
	}
	for name, b := range map[string]config.Config{"poll": load(text, "POUNDLOCK_GIT__POLL=51ms"), "secret": load(strings.Replace(text, "POUNDLOCK_TEST_GIT_PASSWORD", "OTHER", 1)),
		"message": load(strings.Replace(text, "{{.Subject}}", "{{.Subject}}!", 1)), "registry": load(strings.Replace(text, "prefix: mirror", "prefix: mirror2", 1))} {
		if a.Same(b) {
			t.Errorf("%s: the same configuration", name)
		}
	}
}

// The files are read every few seconds: what has no end, or waits for somebody, must not hold that up.
func TestWatch_ReadsNoPipeAndNoDevice(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	first, again := printOf(pipe, "/dev/zero"), printOf(pipe, "/dev/zero")
	if first != again || printOf(pipe) == printOf("/dev/zero") {
		t.Error("what cannot be read has no identity")
	}
}
