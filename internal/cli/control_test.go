package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/testenv"
)

// daemonIn runs the daemon of a world in this process; what it gives ends it and gives its exit code.
func daemonIn(t *testing.T, w *testenv.World, file string) (stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	code := make(chan int, 1)
	go func() { code <- Main(ctx, []string{"-c", file, "run"}, io.Discard, io.Discard) }()
	path := filepath.Join(w.Dir(), "state")
	eventually(t, "the daemon answers", func() bool { _, err := daemon.Dial(config.Config{StateDir: path}); return err == nil })
	ended := false
	stop = func() int {
		if ended {
			return 0
		}
		ended = true
		cancel()
		return <-code
	}
	t.Cleanup(func() { stop() })
	return stop
}

// eventually waits for what a daemon brings about over real connections.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(60 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

func statusJSON(t *testing.T, config string) (s daemon.Status) {
	t.Helper()
	code, out, talk := command(t, t.Context(), "-c", config, "status", "-o", "json")
	if code != exitOK {
		t.Fatalf("status: exit %d: %s", code, talk)
	}
	if err := json.Unmarshal([]byte(out), &s); err != nil || s.Type != "status" || s.Version != 1 {
		t.Fatalf("status: %v\n%s", err, out)
	}
	return s
}

func TestControl_ADaemonIsAskedAndOrdered(t *testing.T) {
	w, config := inWorld(t)
	stop := daemonIn(t, w, config)
	run := func(want int, args ...string) (out, talk string) {
		t.Helper()
		code, out, talk := command(t, t.Context(), append([]string{"-c", config}, args...)...)
		if code != want {
			t.Errorf("%v: exit %d, want %d\n%s%s", args, code, want, out, talk)
		}
		return out, talk
	}

	// trigger --wait ends when the set is at rest, with the code of that.
	if out, _ := run(exitOK, "trigger", "ess", "--wait"); !strings.Contains(out, "set ess: at rest") {
		t.Errorf("trigger ess: %s", out)
	}
	if out, _ := run(exitPartial, "trigger", "tools", "--wait"); !strings.Contains(out, "3 refused, 1 missing upstream") || !strings.Contains(out, "plan --only tools") {
		t.Errorf("trigger tools: %s", out)
	}
	if out, _ := run(exitOK, "trigger", "ess", "--wait", "-o", "json"); !strings.Contains(out, `"outcome": "done"`) || !strings.Contains(out, `"type": "trigger"`) {
		t.Errorf("trigger -o json: %s", out)
	}
	if _, talk := run(exitConfig, "trigger", "es"); !strings.Contains(talk, `did you mean "ess"?`) {
		t.Errorf("an unknown set: %s", talk)
	}

	// status tells of the daemon and of every set.
	out, _ := run(exitOK, "status")
	for _, want := range []string{"daemon  run, pid ", "git     http", "next    schedule in ", "ess    at rest", "snapshot 38/38", "tools  partial: 3 refused, 1 missing upstream"} {
		if !strings.Contains(out, want) {
			t.Errorf("status lacks %q:\n%s", want, out)
		}
	}
	s := statusJSON(t, config)
	if s.Daemon == nil || s.Daemon.PID != os.Getpid() || s.Git.Head != w.Git.Head() || len(s.Sets) != 2 || s.Sets[0].State != daemon.SetAtRest || s.Sets[0].Commit == "" || s.Reload == nil || !s.Reload.OK {
		t.Errorf("status: %+v", s)
	}

	// A plan beside the daemon has its state.
	if out, _ := run(exitOK, "plan", "--only", "ess"); !strings.Contains(out, "No changes") && !strings.Contains(out, "unchanged") || strings.Contains(out, "record") {
		t.Errorf("plan beside the daemon:\n%s", out)
	}

	// suspend: no wake steps the set, and everything says so.
	if _, talk := run(exitFailure, "suspend", "ess"); !strings.Contains(talk, "--reason") {
		t.Errorf("without a reason: %s", talk)
	}
	if out, _ := run(exitOK, "suspend", "ess", "--reason", "vendor \x1b[31mis ill"); !strings.Contains(out, "resume ess") {
		t.Errorf("suspend: %s", out)
	}
	files, err := w.Git.Files("main")
	if err != nil || !strings.Contains(files["rendered/demo/suspended.yaml"], `reason: "vendor \\x1b[31mis ill"`) {
		t.Errorf("%v: %s", err, files["rendered/demo/suspended.yaml"])
	}
	if _, err := w.NewRelease(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"trigger", "ess"}, {"trigger", "ess", "--wait"}} {
		if out, _ := run(exitWaiting, args...); !strings.Contains(out, "suspended by") || !strings.Contains(out, `vendor \x1b[31mis ill`) {
			t.Errorf("%v: %s", args, out)
		}
	}
	for _, args := range [][]string{{"status"}, {"get", "sets"}, {"plan"}} {
		if out, _ := run(exitOK, args...); !strings.Contains(out, `vendor \x1b[31mis ill`) {
			t.Errorf("%v does not say that the set is suspended:\n%s", args, out)
		}
	}
	if out, _ := run(exitOK, "resume", "ess"); !strings.Contains(out, "set ess goes on") {
		t.Errorf("resume: %s", out)
	}
	run(exitOK, "trigger", "ess", "--wait")
	out, _ = run(exitOK, "events", "--only", "ess", "-n", "0")
	at := 0
	for _, want := range []string{"copied", "moved", "committed", "triggered", "suspended", `(vendor \x1b[31mis ill)`, "resumed", "copied", "committed"} {
		i := strings.Index(out[at:], want)
		if i < 0 {
			t.Errorf("events lack %q after %d bytes:\n%s", want, at, out)
			break
		}
		at += i + len(want)
	}
	if out, _ := run(exitOK, "events", "--type", "refused", "-o", "json"); strings.Count(out, `"type": "refused"`) != 3 || !strings.Contains(out, `"type": "events"`) {
		t.Errorf("refused: %s", out)
	}
	if _, talk := run(exitFailure, "events", "--type", "copyed"); !strings.Contains(talk, "copied") {
		t.Errorf("a mistyped type: %s", talk)
	}

	if code := stop(); code != exitOK && code != exitInterrupted {
		t.Errorf("the daemon ended with %d", code)
	}

	// Without the daemon: what it left behind.
	if out, _ := run(exitOK, "status"); !strings.Contains(out, "no daemon runs on "+filepath.Join(w.Dir(), "state")) || !strings.Contains(out, "ess    at rest") {
		t.Errorf("status without a daemon:\n%s", out)
	}
	if s := statusJSON(t, config); s.Daemon != nil || len(s.Sets) != 2 || s.Sets[1].State != daemon.SetPartial {
		t.Errorf("status without a daemon: %+v", s)
	}
	if out, _ := run(exitOK, "events", "-n", "3"); strings.Count(out, "\n") != 3 {
		t.Errorf("events without a daemon:\n%s", out)
	}
	if _, talk := run(exitFailure, "trigger", "ess"); !strings.Contains(talk, "no daemon runs on ") || !strings.Contains(talk, "sync --only ess` does it at once") {
		t.Errorf("trigger without a daemon: %s", talk)
	}
	if _, talk := run(exitFailure, "events", "--follow"); !strings.Contains(talk, "no daemon runs on ") {
		t.Errorf("events --follow without a daemon: %s", talk)
	}
}

// Without a daemon the command itself commits, and the suspension outlives the state directory.
func TestControl_SuspendWithoutADaemon(t *testing.T) {
	w, config := inWorld(t)
	if code, out, talk := command(t, t.Context(), "-c", config, "suspend", "ess", "--reason", "freeze", "-o", "json"); code != exitOK || !strings.Contains(out, `"suspended": true`) {
		t.Fatalf("exit %d: %s%s", code, out, talk)
	}
	if err := os.RemoveAll(filepath.Join(w.Dir(), "state")); err != nil {
		t.Fatal(err)
	}
	if code, out, talk := command(t, t.Context(), "-c", config, "sync", "--only", "ess"); code != exitWaiting || !strings.Contains(out+talk, "freeze") {
		t.Errorf("a suspended set alone: exit %d, want %d: %s%s", code, exitWaiting, out, talk)
	}
	if code, _, talk := command(t, t.Context(), "-c", config, "sync"); code != exitPartial {
		t.Errorf("beside what is refused: exit %d, want %d: %s", code, exitPartial, talk)
	}
	for tag := range testenv.TagsOf(w.Local.Back()) {
		if strings.Contains(tag, "synapse") {
			t.Fatalf("something of ess was written: %s", tag)
		}
	}
	if code, out, talk := command(t, t.Context(), "-c", config, "resume", "ess"); code != exitOK || !strings.Contains(out, "sync --only ess") {
		t.Errorf("resume: exit %d: %s%s", code, out, talk)
	}
	if code, out, _ := command(t, t.Context(), "-c", config, "resume", "ess"); code != exitOK || !strings.Contains(out, "was not suspended") {
		t.Errorf("resume again: exit %d: %s", code, out)
	}
	if code, out, talk := command(t, t.Context(), "-c", config, "sync", "--only", "ess"); code != exitOK {
		t.Errorf("sync after the resume: exit %d: %s%s", code, out, talk)
	}
}

// The followers show each thing once as it happens, and Ctrl-C is no failure.
func TestControl_FollowersEndWithoutFailure(t *testing.T) {
	w, config := inWorld(t)
	daemonIn(t, w, config)
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"events", "--follow", "--only", "ess", "--type", "copied"}, "copied "},
		{[]string{"events", "--follow", "--type", "committed", "-o", "json"}, `"type":"committed"`},
		{[]string{"status", "-w"}, "ess  at rest"},
		{[]string{"status", "-w", "-o", "json"}, `"state":"at-rest"`},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			read, write := io.Pipe()
			code := make(chan int, 1)
			var talk bytes.Buffer
			go func() {
				code <- Main(ctx, append([]string{"-c", config}, tt.args...), write, &talk)
				write.Close()
			}()
			lines := bufio.NewScanner(read)
			lines.Buffer(nil, 1<<20)
			found := false
			for !found && lines.Scan() {
				found = strings.Contains(lines.Text(), tt.want)
			}
			if !found {
				t.Fatalf("no line with %q: %s", tt.want, talk.String())
			}
			cancel()
			go io.Copy(io.Discard, read)
			if got := <-code; got != exitOK {
				t.Errorf("exit %d: %s", got, talk.String())
			}
		})
	}
}
