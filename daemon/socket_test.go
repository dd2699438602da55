package daemon

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

func codeIn(err error) string {
	var ps mirror.Problems
	if errors.As(err, &ps) && len(ps) > 0 {
		return ps[0].Code
	}
	return ""
}

func TestSocket_IsForItsUserAlone(t *testing.T) {
	t.Parallel()
	s := pausedSite(t)
	s.pushSigned("docker.io/library/web:1", "first")
	stop := s.run()
	path := filepath.Join(s.dir, "state", "poundlock.sock")
	info := must(os.Lstat(path))(t)
	if info.Mode().Type() != fs.ModeSocket || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket is %s", info.Mode())
	}
	dir := must(os.Stat(filepath.Dir(path)))(t)
	if dir.Mode().Perm() != 0o700 {
		t.Errorf("its folder is %s", dir.Mode())
	}
	stop()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket was left: %v", err)
	}
	c := s.line.config
	s.close()
	if _, err := Dial(c); !errors.Is(err, ErrNoDaemon) {
		t.Errorf("no daemon: got %v", err)
	}
}

func TestSocket_TakesTheWayThatIsFree(t *testing.T) {
	f := newFace(newMetrics(""), time.Now)
	dir := memoryDir(t)
	for _, tt := range []struct {
		name, code string
		make       func(path string)
	}{
		{name: "nothing there", make: func(string) {}},
		{name: "of a process that was killed", make: func(path string) {
			l := must(net.ListenUnix("unix", &net.UnixAddr{Name: path}))(t)
			l.SetUnlinkOnClose(false)
			l.Close()
		}},
		{name: "of a process that lives", code: "LOCK002", make: func(path string) {
			l := must(net.ListenUnix("unix", &net.UnixAddr{Name: path}))(t)
			t.Cleanup(func() { l.Close() })
		}},
		{name: "a file", code: "CFG041", make: func(path string) {
			if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(dir, strings.ReplaceAll(tt.name, " ", ""))
			tt.make(path)
			before, _ := os.Lstat(path)
			s, err := f.listenSocket(config.Config{Socket: path})
			if codeIn(err) != tt.code {
				t.Fatalf("got %v, want %q", err, tt.code)
			}
			if tt.code != "" {
				if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) {
					t.Errorf("what was there is touched: %v", err)
				}
				return
			}
			if err := s.close(); err != nil {
				t.Error(err)
			}
		})
	}
	left := must(os.ReadDir(dir))(t)
	if len(left) != 2 {
		t.Errorf("left behind: %v", left)
	}
}

// The one that took over the path keeps it when the one before ends.
func TestSocket_TakesAwayOnlyItsOwn(t *testing.T) {
	f := newFace(newMetrics(""), time.Now)
	path := filepath.Join(memoryDir(t), "s")
	first := must(f.listenSocket(config.Config{Socket: path}))(t)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	second := must(f.listenSocket(config.Config{Socket: path}))(t)
	if err := first.close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the socket of another was taken away: %v", err)
	}
	if err := second.close(); err != nil {
		t.Error(err)
	}
}

// A client that says half a sentence and one that does not read hold neither the line nor the end.
func TestSocket_AClientThatHangsHoldsNothing(t *testing.T) {
	t.Parallel()
	s := pausedSite(t)
	first := s.pushSigned("docker.io/library/web:1", "first")
	stop := s.run()
	path := s.line.config.SocketPath()
	for _, said := range []string{"", "GET /v1/sta", "GET /v1/state HTTP/1.1\r\nHost: x\r\n\r\n", "GET /v1/events?follow=1 HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /v1/status?follow=1 HTTP/1.1\r\nHost: x\r\n\r\n", "POST /v1/suspend HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"} {
		conn := must(net.Dial("unix", path))(t)
		defer conn.Close()
		if _, err := conn.Write([]byte(said)); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "the image is copied", func() bool { return s.tag("mirror/snapshot/docker.io/library/web", "1") == first.Digest })
	clients := []*Client{must(Dial(s.line.config))(t), must(Dial(s.line.config))(t)}
	for _, c := range clients {
		if _, err := c.Status(t.Context()); err != nil {
			t.Error(err)
		}
	}
	began := time.Now()
	stop()
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the stop took %s", took)
	}
}

func TestSocket_RefusesWhatItCannotRead(t *testing.T) {
	t.Parallel()
	s := pausedSite(t)
	s.pushSigned("docker.io/library/web:1", "first")
	s.run()
	c := must(Dial(s.line.config))(t)
	for name, ask := range map[string]func() error{
		"an unknown key": func() error {
			return c.ask(t.Context(), "POST", "/v1/trigger", map[string]string{"stet": "web"}, &Triggered{})
		},
		"no object": func() error { return c.ask(t.Context(), "POST", "/v1/trigger", "web", &Triggered{}) },
		"a large body": func() error {
			return c.ask(t.Context(), "POST", "/v1/suspend", order{Set: "web", Reason: strings.Repeat("x", maxOrder)}, &Suspension{})
		},
		"a malformed time": func() error { return c.ask(t.Context(), "GET", "/v1/events?since=yesterday", nil, &happened{}) },
	} {
		if err := ask(); codeIn(err) != "CTL002" {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if err := c.ask(t.Context(), "GET", "/v1/nothing", nil, &Status{}); err == nil {
		t.Error("an unknown path was answered")
	}
	if _, err := c.Trigger(t.Context(), "wbe", "ops"); codeIn(err) != "FLT032" {
		t.Errorf("an unknown set: %v", err)
	}
}

// Events come while they happen, to several followers at once, and none twice.
func TestSocket_FollowersSeeACopy(t *testing.T) {
	t.Parallel()
	s := pausedSite(t)
	s.pushSigned("docker.io/library/web:1", "first")
	stop := s.run()
	c := must(Dial(s.line.config))(t)
	until(t, "the first commit", func() bool { return len(must(c.Events(t.Context(), Filter{Set: "web", Type: EventCommitted}))(t)) == 1 })
	seen := [2]chan Event{make(chan Event, 100), make(chan Event, 100)}
	ended := make(chan error, 2)
	for _, to := range seen {
		go func() {
			ended <- c.Follow(t.Context(), Filter{Set: "web"}, func(e Event) error { to <- e; return nil })
		}()
	}
	known := map[int]map[string]bool{0: {}, 1: {}}
	wait := func(want EventType, n int) {
		t.Helper()
		for i, from := range seen {
			for got := 0; got < n; {
				select {
				case e := <-from:
					if known[i][e.ID] {
						t.Errorf("event %s came twice", e.ID)
					}
					if known[i][e.ID] = true; e.Type == want {
						got++
					}
				case <-time.After(30 * time.Second):
					t.Fatalf("follower %d saw no %s", i, want)
				}
			}
		}
	}
	wait(EventCommitted, 1)
	s.pushSigned("docker.io/library/web:1", "next")
	if _, err := c.Trigger(t.Context(), "web", "ops@host"); err != nil {
		t.Fatal(err)
	}
	wait(EventTriggered, 1)
	wait(EventCopied, 1)
	wait(EventCommitted, 1)
	stop()
	for range seen {
		if err := <-ended; !errors.Is(err, ErrDaemonEnded) {
			t.Errorf("got %v", err)
		}
	}
}

// A command that only looks sees what the daemon beside it knows.
func TestSocket_GivesTheState(t *testing.T) {
	t.Parallel()
	s := pausedSite(t)
	s.pushSigned("docker.io/library/web:1", "first")
	s.run()
	c := must(Dial(s.line.config))(t)
	until(t, "both sets are at rest", func() bool {
		status := must(c.Status(t.Context()))(t)
		return len(status.Sets) == 2 && status.Sets[0].State == SetAtRest && status.Sets[1].State == SetAtRest
	})
	status := must(c.Status(t.Context()))(t)
	if status.Daemon == nil || status.Daemon.PID != os.Getpid() || status.Daemon.Address == "" || status.Git.Head != s.git.Head() || status.Next.Audit.IsZero() || status.Next.Schedule.IsZero() {
		t.Errorf("status: %+v", status)
	}
	var log bytes.Buffer
	beside := must(Open(t.Context(), s.line.config, Options{Temporary: true, Log: slog.New(slog.NewTextHandler(&log, nil)), Now: s.clock}))(t)
	plans, err := beside.Plan(t.Context(), Wake{Why: "plan", Resolve: true, Audit: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range plans {
		if p.Count(mirror.Unchanged) != len(p.Actions) {
			t.Errorf("a plan beside the daemon: %+v", p.Actions)
		}
	}
	if got, want := len(must(beside.Runs("", 0))(t)), len(must(s.line.Runs("", 0))(t)); got != want {
		t.Errorf("%d runs beside the daemon, want %d", got, want)
	}
	if err := beside.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if log.Len() > 0 {
		t.Errorf("it warns: %s", log.String())
	}
}

// A process that was killed leaves its socket; the next one takes its place.
func TestSocket_AKilledProcessIsReplaced(t *testing.T) {
	t.Parallel()
	s := pausedSite(t)
	first := s.pushSigned("docker.io/library/web:1", "first")
	hold := make(chan struct{})
	defer close(hold)
	s.upstream.Proxy().Break(testenv.Always(testenv.OfKind(testenv.ManifestGet, testenv.ManifestHead), testenv.Fault{Until: hold}))
	cmd := s.process()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.dir, "state", "poundlock.sock")
	c := config.Config{StateDir: filepath.Dir(path)}
	until(t, "the process answers", func() bool { _, err := Dial(c); return err == nil })
	client := must(Dial(c))(t)
	if status, err := client.Status(t.Context()); err != nil || status.Daemon.PID != cmd.Process.Pid {
		t.Errorf("status of a sync: %+v, %v", status.Daemon, err)
	}
	if _, err := client.Trigger(t.Context(), "web", "ops"); !errors.Is(err, ErrLocked) {
		t.Errorf("a sync was triggered: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	if _, err := os.Lstat(path); err != nil {
		t.Fatalf("no stale socket: %v", err)
	}
	s.upstream.Proxy().Break(nil)
	stop := s.run()
	until(t, "the next one works", func() bool { return s.tag("mirror/snapshot/docker.io/library/web", "1") == first.Digest })
	if _, err := must(Dial(s.line.config))(t).Status(t.Context()); err != nil {
		t.Error(err)
	}
	stop()
}
