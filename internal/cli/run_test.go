package cli

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// told waits for a message to the service manager that begins with a text.
func told(t *testing.T, socket *net.UnixConn, text string) {
	t.Helper()
	if err := socket.SetReadDeadline(time.Now().Add(60 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var heard []string
	for b := make([]byte, 4096); ; {
		n, err := socket.Read(b)
		if err != nil {
			t.Fatalf("no %q, but %q: %v", text, heard, err)
		}
		if strings.HasPrefix(string(b[:n]), text) {
			return
		}
		heard = append(heard, string(b[:n]))
	}
}

// The program as systemd sees it: it says when it is ready, lives, reloads and stops; SIGTERM is an end in order,
// Ctrl-C an interruption. While it runs, whoever wants its state directory is told who has it.
func TestRun_AsSystemdSeesIt(t *testing.T) {
	bin, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	_, config := inWorld(t)
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	for i, tt := range []struct {
		signal os.Signal
		code   int
	}{{syscall.SIGTERM, exitOK}, {os.Interrupt, exitInterrupted}} {
		var log strings.Builder
		cmd := exec.Command(filepath.Join(bin, "poundlock"), "run", "--config", config)
		cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+name, "WATCHDOG_USEC=200000")
		cmd.Stdout, cmd.Stderr = &log, &log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill() })
		send := func(s os.Signal) {
			t.Helper()
			if err := cmd.Process.Signal(s); err != nil {
				t.Fatal(err)
			}
		}
		told(t, manager, "READY=1")
		told(t, manager, "WATCHDOG=1")
		told(t, manager, "STATUS=")
		send(syscall.SIGHUP)
		told(t, manager, "RELOADING=1\nMONOTONIC_USEC=")
		told(t, manager, "READY=1")
		for _, changed := range []string{string(text) + "sitee: x\n", string(text) + fmt.Sprintf("jitter: %ds\n", i+1)} {
			if err := os.WriteFile(config, []byte(changed), 0o600); err != nil {
				t.Fatal(err)
			}
			send(syscall.SIGHUP)
			told(t, manager, "RELOADING=1\nMONOTONIC_USEC=")
			told(t, manager, "READY=1")
		}
		code, _, talk := command(t, t.Context(), "-c", config, "sync")
		if want := fmt.Sprintf("another poundlock (run, pid %d ", cmd.Process.Pid); code != exitLocked || !strings.Contains(talk, want) {
			t.Errorf("sync beside it: exit %d, want %d, and %q to have %q", code, exitLocked, talk, want)
		}
		send(tt.signal)
		told(t, manager, "STOPPING=1")
		err := cmd.Wait()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) || cmd.ProcessState.ExitCode() != tt.code {
			t.Errorf("%s: %v, want code %d\n%s", tt.signal, err, tt.code, &log)
		}
		for _, want := range []string{"configuration refused, the old one stays", "sitee", "configuration reloaded"} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("the log lacks %q:\n%s", want, &log)
			}
		}
		if strings.Contains(log.String(), "password-canary") {
			t.Error("a secret is in the log")
		}
	}
}

// What a person at a terminal reads first.
func TestReachable_IsWhatABrowserCanOpen(t *testing.T) {
	for address, want := range map[string]string{"127.0.0.1:8686": "127.0.0.1:8686", "0.0.0.0:80": "127.0.0.1:80", "[::]:8686": "127.0.0.1:8686", "[fd00::1]:1": "[fd00::1]:1"} {
		if got := reachable(address); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}
