package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// manager is the socket of a service manager, with what it was told.
type manager struct {
	t    *testing.T
	conn *net.UnixConn
	told chan string
}

func newManager(t *testing.T, watchdog time.Duration) *manager {
	t.Helper()
	name := filepath.Join(memoryDir(t), "notify")
	m := &manager{t: t, conn: must(net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"}))(t), told: make(chan string, 1000)}
	t.Cleanup(func() { m.conn.Close() })
	t.Setenv("NOTIFY_SOCKET", name)
	if watchdog > 0 {
		t.Setenv("WATCHDOG_USEC", fmt.Sprint(watchdog.Microseconds()))
		t.Setenv("WATCHDOG_PID", fmt.Sprint(os.Getpid()))
	}
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := m.conn.Read(b)
			if err != nil {
				return
			}
			m.told <- string(b[:n])
		}
	}()
	return m
}

// hears waits for a message that holds a text and gives what came before.
func (m *manager) hears(text string) (before []string) {
	m.t.Helper()
	for {
		select {
		case got := <-m.told:
			if strings.Contains(got, text) {
				return before
			}
			before = append(before, got)
		case <-time.After(30 * time.Second):
			m.t.Fatalf("no %q within 30 s, but %q", text, before)
		}
	}
}

// systemd is told when the daemon is up, that it lives, what it does, each reload and the stop.
func TestNotify_TellsTheServiceManager(t *testing.T) {
	m := newManager(t, 100*time.Millisecond)
	s := oneImage(t)
	r := s.startService(filepath.Join(s.dir, "config.yaml"))
	if before := m.hears("READY=1"); len(before) > 0 {
		t.Errorf("before it is ready: %q", before)
	}
	r.next()
	if code, _ := r.get("/healthz"); code != 200 || free(filepath.Join(s.dir, "state", "state.db")) {
		t.Errorf("ready without listening (%d) or without the lock", code)
	}
	first := append(m.hears("WATCHDOG=1"), m.hears("STATUS=1 sets at rest; next look at ")...)
	if said := strings.Join(first, "\n"); strings.Contains(said, "taking over") || !strings.Contains(said, "STATUS=starting") {
		t.Errorf("a fresh start says %q", first)
	}
	m.hears("WATCHDOG=1")
	r.write(s.config + "sitee: x\n")
	r.reload <- struct{}{}
	m.hears("RELOADING=1\nMONOTONIC_USEC=")
	m.hears("READY=1")
	m.hears("STATUS=changed configuration refused at ")
	r.write(strings.Replace(s.config, "poll: 50ms", "poll: 60ms", 1))
	r.reload <- struct{}{}
	m.hears("RELOADING=1\nMONOTONIC_USEC=")
	m.hears("READY=1")
	r.next()
	m.hears("WATCHDOG=1")
	go r.end()
	m.hears("STOPPING=1\nSTATUS=stopping: copies in flight may land\nEXTEND_TIMEOUT_USEC=80000000")
	if err := r.end(); err != nil {
		t.Errorf("end: %v", err)
	}
	for len(m.told) > 0 {
		if text := <-m.told; strings.Contains(text, "taking over") {
			t.Errorf("a stop says %q", text)
		}
	}
}

// The watchdog is fed while the loop answers, and while a cycle shows progress within its limit; not when one hangs.
func TestHeart_BeatsWhileThereIsProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHeart(time.Now)
		loop, end := context.WithCancel(t.Context())
		defer end()
		work := make(chan time.Duration)
		go func() {
			for {
				h.rest()
				select {
				case <-loop.Done():
					return
				case h.beat <- struct{}{}:
				case d := <-work:
					h.work(2*time.Hour + overtime)
					select {
					case <-time.After(d):
					case <-loop.Done():
						return
					}
				}
			}
		}()
		want := func(what string, want bool) {
			t.Helper()
			if got := h.beats(t.Context()); got != want {
				t.Errorf("%s: beats = %t, want %t", what, got, want)
			}
		}
		want("at rest", true)
		work <- time.Hour
		want("a cycle began", true)
		for range 25 {
			time.Sleep(2 * time.Minute)
			h.stir()
		}
		want("a long cycle that shows progress", true)
		time.Sleep(patience + time.Second)
		want("it stands still", false)
		h.stir()
		want("it goes on", true)
		time.Sleep(10 * time.Minute)
		want("it ended", true)
		work <- 24 * time.Hour
		fetched := h.silent(30 * time.Minute)
		time.Sleep(20 * time.Minute)
		want("a long clone gives no sign", true)
		fetched()
		time.Sleep(patience + time.Second)
		want("and then it hangs", false)
		time.Sleep(2 * time.Hour)
		h.stir()
		want("a cycle beyond its limit, whatever it does", false)
	})
}

// A heart that stopped is not fed for, and the log says so once.
func TestNotify_AHungDaemonIsNotFed(t *testing.T) {
	m := newManager(t, 20*time.Millisecond)
	log := &talk{}
	n := &notifier{log: slog.New(slog.NewTextHandler(log, nil))}
	ctx, cancel := contextWithCancel(t)
	done := make(chan struct{})
	go func() { defer close(done); n.follow(ctx, newHeart(time.Now), func() string { return "hangs" }) }()
	before := m.hears("STATUS=hangs")
	until(t, "the log says so", func() bool { return strings.Contains(log.String(), "no progress") })
	cancel()
	<-done
	if strings.Contains(strings.Join(before, "\n"), "WATCHDOG") || strings.Count(log.String(), "no progress") != 1 {
		t.Errorf("told %q, log %s", before, log)
	}
}
