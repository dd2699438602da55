package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/docs"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// The manual page and docs/exit-codes.md tell the codes that commands end with, all of them and in one way.
func TestExitCodes_AreOneTable(t *testing.T) {
	page, _ := docs.Page("exit-codes")
	var rows []string
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, "| ") && !strings.HasPrefix(line, "| code") {
			rows = append(rows, strings.TrimSpace(line))
		}
	}
	if len(rows) != len(exitCodes) {
		t.Fatalf("%d rows, want %d", len(rows), len(exitCodes))
	}
	for i, one := range exitCodes {
		if want := "| " + strconv.Itoa(one.code) + " | " + one.meaning + " | " + one.then + " |"; rows[i] != want {
			t.Errorf("docs/exit-codes.md has\n%s\nwant\n%s", rows[i], want)
		}
	}
}

// A certificate that nobody trusts needs a person; that it shows as a broken connection does not matter.
func TestExitCodes_ACertificateNeedsAPerson(t *testing.T) {
	w, config := inWorld(t)
	server := httptest.NewTLSServer(nil)
	t.Cleanup(server.Close)
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	upstream := configure(t, strings.ReplaceAll(string(text), w.Upstream.URL(), server.URL))
	git := configure(t, strings.Replace(string(text), "http://"+w.Git.Host(), server.URL, 1))
	for _, args := range [][]string{{"-c", upstream, "verify", "quay.io/example-tools/probe:3.2"}, {"-c", git, "plan"}, {"-c", git, "sync"}, {"-c", upstream, "plan", "tools"}} {
		if code, out, talk := command(t, t.Context(), args...); code != exitConfig {
			t.Errorf("%v: exit %d, want %d: %s%s", args[2:], code, exitConfig, out, talk)
		}
	}
}

func TestVerify_OfWhatIsNotThereIsMissing(t *testing.T) {
	_, config := inWorld(t)
	code, _, talk := command(t, t.Context(), "-c", config, "verify", "quay.io/example-tools/probe:9.9", "-o", "json")
	if code != exitPartial || !strings.Contains(talk, "REG002") || !strings.Contains(talk, `"code":3`) {
		t.Errorf("exit %d, want %d: %s", code, exitPartial, talk)
	}
}

// What a sync tells is what it ends with.
func TestSync_TellsTheEndingThatItHas(t *testing.T) {
	w, config := inWorld(t)
	w.Local.RequireBasic("robot", "right-canary")
	code, out, talk := command(t, t.Context(), "-c", config, "sync", "-o", "json")
	var doc synced
	if out != "" {
		if err := json.Unmarshal([]byte(out), &doc); err != nil || doc.Code != code || doc.Outcome != "failed" {
			t.Errorf("%v: exit %d, and the document says %d %q", err, code, doc.Code, doc.Outcome)
		}
	}
	if code != exitAuth {
		t.Errorf("exit %d, want %d: %s", code, exitAuth, talk)
	}
	w.Local.RequireBasic("", "")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var o bytes.Buffer
	e := &onFirstCopy{end: cancel}
	code = Main(ctx, []string{"-c", config, "sync", "-o", "json"}, &o, e)
	said := e.String()
	if code != exitInterrupted || !strings.Contains(said, "stopping: copies in flight may land (up to 20s)") || strings.Contains(said, "failed: context canceled") {
		t.Errorf("exit %d, want %d: %s", code, exitInterrupted, said)
	}
	doc = synced{}
	if err := json.Unmarshal(o.Bytes(), &doc); err != nil || doc.Code != exitInterrupted || doc.Outcome != "interrupted" || doc.Left.Failed > 0 {
		t.Errorf("%v: %d %q, %+v", err, doc.Code, doc.Outcome, doc.Left)
	}
	text := doc.ending(func(args ...string) string { return strings.Join(args, " ") })
	if !strings.HasPrefix(text, "interrupted: ") || strings.Contains(text, "failed") {
		t.Errorf("it says %q", text)
	}
}

// onFirstCopy interrupts when the first image arrived.
type onFirstCopy struct {
	onceBuffer
	end context.CancelFunc
}

func (b *onFirstCopy) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte("  snapshot ")) {
		b.end()
	}
	return b.onceBuffer.Write(p)
}

func (b *onFirstCopy) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// A mistake on the command line is told in our words, and to programs as any other.
func TestUsage_IsAnObjectInOurWords(t *testing.T) {
	for _, tt := range []struct{ args, says string }{
		{"plan --bogus -o json", "unknown flag"},
		{"events --since x -o json", "want a duration with a unit"},
		{"get runs --limit many --output=json", "want a whole number"},
		{"get runs --limit -5 -o json", "want 0 or more"},
		{"events -n -1 -o json", "want 0 or more"},
		{"trigger -o json", "poundlock trigger takes 1 argument, and got 0"},
		{"verify a b -ojson", "poundlock verify takes 1 argument, and got 2"},
		{"plan --offline --refresh -o json", "--offline and --refresh do not go together"},
		{"plan --max-age -1s -o json", "not negative"},
		{"explain git.pol -o json", "git.poll"},
		{"events --follow -o yaml", "--follow shows text or json"},
	} {
		code, out, talk := command(t, t.Context(), strings.Fields(tt.args)...)
		lines := strings.Split(strings.TrimSpace(talk), "\n")
		var doc ending
		err := json.Unmarshal([]byte(lines[len(lines)-1]), &doc)
		if strings.Contains(tt.args, "yaml") {
			doc.Problems, err = mirror.Problems{{Code: "ERR002"}}, nil
		}
		if err != nil || code != exitFailure || out != "" || len(doc.Problems) != 1 || doc.Problems[0].Code != "ERR002" || !strings.Contains(talk, tt.says) {
			t.Errorf("%s: exit %d, %v, want %q: %s%s", tt.args, code, err, tt.says, out, talk)
		}
		for _, word := range []string{"arg(s)", "strconv", "time:", "group ["} {
			if strings.Contains(talk, word) {
				t.Errorf("%s: %q is nobody's word: %s", tt.args, word, talk)
			}
		}
	}
	if code, _, talk := command(t, t.Context(), "init"); code != exitFailure || !strings.Contains(talk, "missing: --from") {
		t.Errorf("init: exit %d: %s", code, talk)
	}
}

// A printed command can be typed: quoted, with the configuration and the keys that were set.
func TestAgain_IsWhatCanBeTyped(t *testing.T) {
	t.Setenv("POUNDLOCK_CONFIG", "")
	a := &app{config: "my fleet/config.yaml", set: []string{"git.poll=1m", "site=it's"}}
	a.loaded.StateDir = "state"
	line := a.typed("`poundlock run` does it; see `poundlock help policy`")
	want := `'my fleet/config.yaml' --set git.poll=1m --set 'site=it'\''s' run` + "` does it; see `poundlock help policy`"
	if !strings.HasSuffix(line, want) {
		t.Errorf("got %q, want %q", line, want)
	}
	out, err := exec.Command("sh", "-c", "printf '%s|' "+a.again("sync")).Output()
	if err != nil || string(out) != "poundlock|-c|my fleet/config.yaml|--set|git.poll=1m|--set|site=it's|sync|" {
		t.Errorf("%v: a shell reads %q", err, out)
	}
	a.loaded.StateDir = ""
	if line := a.again("plan"); strings.Contains(line, "1m") {
		t.Errorf("a value that nobody accepted is shown: %s", line)
	}
}

func TestInit_MakesAFolderForSecretsAndNamesWhatCanBeTyped(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("POUNDLOCK_CONFIG", "")
	put(t, map[string]string{"images.txt": "docker.io/library/nginx:1.25@sha256:" + strings.Repeat("a", 64) + "\n"})
	code, _, talk := command(t, t.Context(), "init", "--from", "tools=list:images.txt", "--dir", "my fleet")
	if code != exitOK || !strings.Contains(talk, "Next: poundlock -c 'my fleet/config.yaml' doctor\n") {
		t.Errorf("exit %d: %s", code, talk)
	}
	if info, err := os.Stat("my fleet/secrets"); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("secrets: %v %v", info, err)
	}
	code, _, talk = command(t, t.Context(), "validate", "my fleet")
	if code != exitOK || !strings.Contains(talk, "no configuration was named") {
		t.Errorf("validate: exit %d: %s", code, talk)
	}
	put(t, map[string]string{filepath.Join("my fleet", "rendered", "site-1", "suspended.yaml"): "version: 1\nsuspended: [ess]\n"})
	if code, out, _ := command(t, t.Context(), "validate", "my fleet"); code != exitConfig || !strings.Contains(out, "suspended.yaml:2") {
		t.Errorf("validate: exit %d: %s", code, out)
	}
}

// What left the fleet is found in the events.
func TestTrace_RemembersWhatLeft(t *testing.T) {
	w, config := inWorld(t)
	if code, _, talk := command(t, t.Context(), "-c", config, "sync", "--only", "tools"); code != exitPartial {
		t.Fatalf("sync: exit %d: %s", code, talk)
	}
	if _, err := w.Git.Commit(t.Context(), "probe leaves", map[string]string{"desired/tools/images.txt": "quay.io/example-tools/exporter:v0.9.0\n"}); err != nil {
		t.Fatal(err)
	}
	if code, out, talk := command(t, t.Context(), "-c", config, "sync", "--only", "tools"); code != exitOK && code != exitPartial && code != exitRefused {
		t.Fatalf("sync: exit %d: %s%s", code, out, talk)
	}
	for _, query := range []string{"probe:3.2", "tools/quay.io/example-tools/probe:3.2"} {
		code, out, talk := command(t, t.Context(), "-c", config, "trace", query)
		if code != exitOK || !strings.Contains(out, "probe:3.2") || !strings.Contains(out, "copied") {
			t.Errorf("%s: exit %d: %s%s", query, code, out, talk)
		}
	}
}

// While the file of suspensions cannot be read, nobody is sent to resume.
func TestTrigger_OfAHeldFleetSaysWhatMendsIt(t *testing.T) {
	w, config := inWorld(t)
	daemonIn(t, w, config)
	if code, out, talk := command(t, t.Context(), "-c", config, "trigger", "ess", "--wait", "--timeout", "1ms"); code != exitRetry || !strings.Contains(talk, "CTL005") || strings.Contains(talk, "firewall") {
		t.Errorf("1 ms: exit %d: %s%s", code, out, talk)
	}
	if _, err := w.Git.Commit(t.Context(), "broken", map[string]string{"rendered/" + testenv.WorldSite + "/suspended.yaml": "version: 1\nsuspended: [ess]\n"}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the fleet is held", func() bool {
		p := statusJSON(t, config).Git.Problem
		return p != nil && p.Code == "FLT030"
	})
	code, out, talk := command(t, t.Context(), "-c", config, "trigger", "ess", "--wait")
	if code != exitConfig || strings.Contains(out+talk, "resume ess") || !strings.Contains(talk, "fix: mend rendered/") {
		t.Errorf("exit %d, want %d: %s%s", code, exitConfig, out, talk)
	}
}

// A suspension of a name that no set has can be taken back, and then there is nothing to trigger.
func TestControl_WithoutADaemonSaysOneThing(t *testing.T) {
	w, config := inWorld(t)
	if _, err := w.Git.Commit(t.Context(), "stray", map[string]string{"rendered/" + testenv.WorldSite + "/suspended.yaml": "version: 1\nsuspended:\n  tols: {reason: x}\n"}); err != nil {
		t.Fatal(err)
	}
	code, out, talk := command(t, t.Context(), "-c", config, "suspend", "tools", "--reason", "x")
	if code != exitOK || talk != "" {
		t.Errorf("suspend: exit %d: %s%s", code, out, talk)
	}
	code, out, talk = command(t, t.Context(), "-c", config, "resume", "tols")
	if code != exitOK || strings.Contains(out, "Next:") || talk != "" {
		t.Errorf("resume: exit %d: %s%s", code, out, talk)
	}
}
