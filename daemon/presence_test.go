package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// A daemon whose state directory is taken away ends with an error that a service manager answers with a new start,
// and leaves what another process made there meanwhile.
func TestRun_EndsWithoutItsStateDirectory(t *testing.T) {
	r := oneImage(t).serve()
	dir := filepath.Join(r.dir, "state")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	other, unlock, err := lock(config.Config{StateDir: dir}, Options{Log: slog.New(slog.DiscardHandler), Now: time.Now, Command: "other"})
	if err != nil {
		t.Fatal(err)
	}
	defer unlock(context.Background())
	select {
	case err = <-r.ended:
		r.ended <- err
	case <-time.After(30 * time.Second):
		t.Fatal("the daemon goes on")
	}
	var p mirror.Problem
	var disk *DiskError
	if !errors.As(err, &p) || p.Code != "DISK006" || p.Where.Line == 0 || errors.Is(err, config.ErrConfiguration) || !errors.As(err, &disk) || !disk.Temporary() {
		t.Errorf("got %v", err)
	}
	for _, want := range []string{"the daemon ends", "DISK006", "stopping"} {
		if !strings.Contains(r.log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, r.log)
		}
	}
	if by := lockedBy(dir).Holder; by.Command != "other" || other.gone() {
		t.Errorf("what the other process wrote is not left alone: %v", by)
	}
}

// While it ends, /readyz says why.
func TestPage_NotReadyWhileItEnds(t *testing.T) {
	s := oneImage(t)
	f := newFace(s.line.metrics, s.clock)
	f.line.Store(s.line)
	s.line.setReady(nil)
	if err := f.ready(); err != nil {
		t.Fatal(err)
	}
	f.ending.Store(&ending{problem: Advise(s.line.config, stateGone(s.line.config))[0]})
	if err := f.ready(); err == nil || !strings.Contains(err.Error(), "deleted or replaced") {
		t.Errorf("got %v", err)
	}
}

// A socket that somebody removed is made again; until then the commands say who holds the state directory, not that
// nobody does.
func TestSocket_IsMadeAgain(t *testing.T) {
	r := oneImage(t).serve()
	path := r.line.config.SocketPath()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	_, err := Dial(r.line.config)
	var p mirror.Problem
	if errors.Is(err, ErrNoDaemon) || !errors.Is(err, ErrLocked) || !errors.As(err, &p) || p.Code != "LOCK004" || !strings.Contains(p.What, fmt.Sprintf("pid %d", os.Getpid())) || !strings.Contains(p.What, path) {
		t.Errorf("got %v", err)
	}
	until(t, "it answers again", func() bool { _, err := Dial(r.line.config); return err == nil })
	if status := must(must(Dial(r.line.config))(t).Status(t.Context()))(t); len(status.Sets) != 1 {
		t.Errorf("status: %+v", status)
	}
	if err := r.end(); err != nil {
		t.Error(err)
	}
	if _, err := Dial(r.line.config); !errors.Is(err, ErrNoDaemon) {
		t.Errorf("after the end: %v", err)
	}
}

// Root may ask a daemon of another user, such as one with DynamicUser=.
func TestSocket_RootMayUseIt(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("who runs this is not root, and cannot make files of another user")
	}
	r := oneImage(t).serve()
	const nobody = 65534
	for _, path := range []string{r.line.config.StateDir, r.line.config.SocketPath(), filepath.Join(r.line.config.StateDir, holderFile), filepath.Join(r.line.config.StateDir, stateFile)} {
		if err := os.Chown(path, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	if status, err := must(Dial(r.line.config))(t).Status(t.Context()); err != nil || status.Daemon == nil {
		t.Errorf("status: %+v, %v", status, err)
	}
}

// While copies in flight land for a configuration that takes over, everything can be looked at, and an order is told
// for how long it has to wait.
func TestReload_AnswersWhileACopyLands(t *testing.T) {
	s := oneImage(t)
	r := s.serve()
	held := make(chan struct{})
	s.upstream.Proxy().Break(func(q *http.Request) *testenv.Fault {
		if strings.Contains(q.URL.Path, "/library/slow/blobs/") {
			<-held
		}
		return nil
	})
	slow := s.push("docker.io/library/slow:1", "slow", testenv.Layer{Seed: "slow", Size: 100_000})
	s.commit("slow", map[string]string{"desired/web.txt": s.file("desired/web.txt") + slow.String() + "\n"})
	until(t, "the copy is in flight", func() bool { return !r.line.mover.Idle("web") })
	r.write(strings.Replace(s.config, "poll: 50ms", "poll: 60ms", 1))
	r.reload <- struct{}{}
	c := must(Dial(r.line.config))(t)
	var away error
	until(t, "orders are not taken", func() bool { _, away = c.Trigger(t.Context(), "web", "ops"); return away != nil })
	var p mirror.Problem
	var temporary interface{ Temporary() bool }
	if !errors.As(away, &p) || p.Code != "CTL003" || !strings.Contains(p.What, "20s") || !errors.As(away, &temporary) || !temporary.Temporary() {
		t.Errorf("an order: %v", away)
	}
	if status, err := c.Status(t.Context()); err != nil || len(status.Sets) != 1 || status.Daemon == nil {
		t.Errorf("status: %+v, %v", status, err)
	}
	if events, err := c.Events(t.Context(), Filter{}); err != nil || len(events) == 0 {
		t.Errorf("events: %v, %v", events, err)
	}
	if code, text := r.get("/readyz"); code != http.StatusOK {
		t.Errorf("readyz: %d %s", code, text)
	}
	r.wants("/", ">web<", "taking over")
	close(held)
	r.next()
	if _, err := c.Trigger(t.Context(), "web", "ops"); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// A refusal names the place in the configuration that was refused, as facts that a log can be searched for.
func TestReload_ARefusalNamesTheNewPlace(t *testing.T) {
	r := oneImage(t).serve()
	file := filepath.Join(r.dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r.write("# one\n# two\n# three\n" + strings.Replace(r.config, filepath.Join(r.dir, "state"), file, 1))
	r.hangup()
	for _, want := range []string{"code=DISK002", "where=" + r.file + ":6:", "what=", "why=", "fix="} {
		if !strings.Contains(r.log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, r.log)
		}
	}
}

// What is wrong with the state directory and the socket is told with the line that sets them, also in a drop-in.
func TestLock_TroubleHasItsPlace(t *testing.T) {
	t.Setenv("POUNDLOCK_TEST_GIT_PASSWORD", "x")
	dir := memoryDir(t)
	taken := filepath.Join(dir, "taken")
	if err := os.WriteFile(taken, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	lives := must(newFace(newMetrics(""), time.Now).listenSocket(config.Config{Socket: filepath.Join(dir, "lives")}))(t)
	defer lives.close()
	for _, tt := range []struct{ name, dropIn, code string }{
		{"no such place", "stateDir: /proc/nope", "DISK001"},
		{"a file", "stateDir: " + taken, "DISK002"},
		{"no socket", "socket: " + taken, "CFG041"},
		{"of another", "socket: " + lives.path, "LOCK002"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "config.yaml")
			dropIn := filepath.Join(filepath.Dir(file), "config.d", "site.yaml")
			if err := os.MkdirAll(filepath.Dir(dropIn), 0o700); err != nil {
				t.Fatal(err)
			}
			for name, text := range map[string]string{file: siteConfig(dir, "http://git.example", "http://local.example", "http://up.example"), dropIn: "# the site\n" + tt.dropIn + "\n"} {
				if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			c := must(config.Load(file, nil, nil))(t)
			var err error
			if strings.HasPrefix(tt.code, "DISK") {
				_, _, err = lock(c, Options{Log: slog.New(slog.DiscardHandler), Now: time.Now})
			} else {
				_, err = newFace(newMetrics(""), time.Now).listenSocket(c)
			}
			if got := Advise(c, err); len(got) != 1 || got[0].Code != tt.code || got[0].Where.File != dropIn || got[0].Where.Line != 2 {
				t.Errorf("got %v", got)
			}
		})
	}
}

// The log says what runs, since when it looked, and that it ends.
func TestRun_TellsItsStartAndItsEnd(t *testing.T) {
	s := oneImage(t)
	r := s.serve()
	s.commit("gone", map[string]string{"desired/web.yaml": "", "desired/web.txt": "", "desired/other.yaml": "version: 1\nsource: {kind: list, images: [\"docker.io/library/none:1\"]}\n"})
	until(t, "the orphan is told", func() bool { return strings.Contains(r.log.String(), "has this name any more") })
	r.write(strings.Replace(s.config, "poll: 50ms", "poll: 60ms", 1))
	r.reload <- struct{}{}
	r.next()
	if err := r.end(); err != nil {
		t.Fatal(err)
	}
	log := r.log.String()
	for _, want := range []string{"msg=starting version=", "config=" + r.file, `msg="first look done" sets=1 next=20`, "msg=stopping within=20s"} {
		if strings.Count(log, want) != 1 {
			t.Errorf("the log has %q not once:\n%s", want, log)
		}
	}
	if n := strings.Count(log, "has this name any more"); n != 1 {
		t.Errorf("the set that is no more is told %d times", n)
	}
}
