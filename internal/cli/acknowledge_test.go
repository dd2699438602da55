package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Without trust.fleet nothing is ever acknowledged, and the command says so.
func TestAcknowledge_NotConfigured(t *testing.T) {
	_, config := inWorld(t)
	code, _, talk := command(t, t.Context(), "-c", config, "acknowledge")
	if code != exitConfig || !strings.Contains(talk, "GIT032") || !strings.Contains(talk, "trust.fleet is not configured") {
		t.Errorf("%d, %s", code, talk)
	}
}

// A rewritten history is told of by plan, sync and status, which await a person, until somebody acknowledged it. Without
// a daemon the command looks for itself.
func TestAcknowledge_ARewrittenHistoryAwaitsAPerson(t *testing.T) {
	w, config := inWorld(t)
	checkout, keys := t.TempDir(), t.TempDir()
	run := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = checkout
		cmd.Env = append(os.Environ(), "HOME="+keys, "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@b")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Skipf("%s %v: %v, %s", name, args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	key := filepath.Join(keys, "key")
	run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
	public, err := os.ReadFile(key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	allowed := filepath.Join(keys, "allowed")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	signed := filepath.Join(filepath.Dir(config), "signed.yaml")
	for name, data := range map[string]string{allowed: "a@b " + string(public), signed: string(text) + "\ntrust: {fleet: {allowedSigners: " + allowed + "}}\n"} {
		if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	anew := func(message string) string {
		t.Helper()
		tree := run("git", "rev-parse", "HEAD^{tree}")
		id := run("git", "-c", "gpg.format=ssh", "-c", "user.signingKey="+key, "commit-tree", "-S", tree, "-m", message)
		run("git", "push", "-q", "-f", "origin", id+":refs/heads/main")
		return id
	}
	run("git", "clone", "-q", w.Git.Dir(), ".")
	anew("signed")
	if code, out, talk := command(t, t.Context(), "-c", signed, "plan"); code != exitOK {
		t.Fatalf("plan: %d, %s%s", code, out, talk)
	}
	if code, out, talk := command(t, t.Context(), "-c", signed, "sync"); code != exitPartial {
		t.Fatalf("sync: %d, %s%s", code, out, talk)
	}
	run("git", "fetch", "-q", "origin", "main")
	run("git", "reset", "-q", "--hard", "FETCH_HEAD")
	anew("another history")
	for _, args := range [][]string{{"plan"}, {"sync"}, {"plan", "-o", "json"}} {
		code, out, talk := command(t, t.Context(), append([]string{"-c", signed}, args...)...)
		if code != exitWaiting || !strings.Contains(talk, "GIT031") || !strings.Contains(talk, "acknowledge") {
			t.Errorf("%s: %d, %s%s", args, code, out, talk)
		}
	}
	if code, out, talk := command(t, t.Context(), "-c", signed, "status"); code != exitOK || !strings.Contains(out, "GIT031") {
		t.Errorf("status: %d, %s%s", code, out, talk)
	}
	if code, _, talk := command(t, t.Context(), "-c", signed, "acknowledge", strings.Repeat("12", 20)); code != exitConfig || !strings.Contains(talk, "GIT032") {
		t.Errorf("another commit: %d, %s", code, talk)
	}
	run("git", "fetch", "-q", "origin", "main")
	head := run("git", "rev-parse", "FETCH_HEAD")
	if code, _, talk := command(t, t.Context(), "-c", signed, "acknowledge", head[:11]); code != exitConfig || !strings.Contains(talk, "GIT032") {
		t.Errorf("too short: %d, %s", code, talk)
	}
	if code, out, talk := command(t, t.Context(), "-c", signed, "acknowledge", head[:12]); code != exitOK || !strings.Contains(out, "all stages go on") {
		t.Errorf("acknowledge: %d, %s%s", code, out, talk)
	}
	if code, out, talk := command(t, t.Context(), "-c", signed, "acknowledge"); code != exitOK || !strings.Contains(out, "nothing waited for it") {
		t.Errorf("again: %d, %s%s", code, out, talk)
	}
	if code, out, talk := command(t, t.Context(), "-c", signed, "plan"); code != exitOK {
		t.Errorf("plan afterwards: %d, %s%s", code, out, talk)
	}
}

// A fleet in which nobody signed is refused by every command that acts on it, and validate reads the files of keys.
func TestTrustFleet_ExitCodes(t *testing.T) {
	_, config := inWorld(t)
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	keys := filepath.Join(t.TempDir(), "allowed")
	signed := filepath.Join(filepath.Dir(config), "signed.yaml")
	if err := os.WriteFile(signed, []byte(string(text)+"\ntrust: {fleet: {allowedSigners: "+keys+"}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, keys, code string }{
		{"no file", "", "CFG067"},
		{"an authority", "*@corp cert-authority ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIeqeC0sSx0Rj8Ddk2t0y0tYw0L0LAkXnQ1sB0fX2V1c\n", "CFG068"},
	} {
		if tt.keys != "" {
			if err := os.WriteFile(keys, []byte(tt.keys), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if code, out, talk := command(t, t.Context(), "-c", signed, "validate"); code != exitConfig || !strings.Contains(out+talk, tt.code) {
			t.Errorf("%s: %d, %s", tt.name, code, talk)
		}
	}
	if err := os.WriteFile(keys, []byte("alice@corp ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIeqeC0sSx0Rj8Ddk2t0y0tYw0L0LAkXnQ1sB0fX2V1c\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"plan"}, {"sync"}, {"acknowledge"}} {
		code, out, talk := command(t, t.Context(), append([]string{"-c", signed}, args...)...)
		if code != exitConfig || !strings.Contains(out+talk, "GIT030") {
			t.Errorf("%s: %d, %s", args, code, talk)
		}
	}
}
