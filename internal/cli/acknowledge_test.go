package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Without a daemon the command looks for itself; where no history was rewritten nothing waits for it.
func TestAcknowledge(t *testing.T) {
	_, config := inWorld(t)
	code, out, talk := command(t, t.Context(), "-c", config, "acknowledge")
	if code != exitOK || !strings.Contains(out, "nothing waited for it") {
		t.Errorf("%d, %s%s", code, out, talk)
	}
	code, _, talk = command(t, t.Context(), "-c", config, "acknowledge", strings.Repeat("12", 20))
	if code != exitConfig || !strings.Contains(talk, "GIT032") || !strings.Contains(talk, " acknowledge ") {
		t.Errorf("%d, %s", code, talk)
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
