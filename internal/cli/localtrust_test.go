package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/testenv"
)

// What this machine adds to the policy is read before anything runs: by validate, and by doctor --pre.
func TestValidateAndDoctor_ReadLocalTrust(t *testing.T) {
	signer, err := testenv.NewSigner("p256")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"site.pub": signer.PublicPEM(), "floor.yaml": "version: 1\nrulez: []\n", "good.yaml": "version: 1\nrules: []\ndefault: fleet\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name, trust string
		code        int
		says        string
	}{
		{"a floor", "{floor: " + filepath.Join(dir, "good.yaml") + "}", exitOK, ""},
		{"a broken floor", "{floor: " + filepath.Join(dir, "floor.yaml") + "}", exitConfig, "DOC002"},
		{"no floor", "{floor: " + filepath.Join(dir, "none.yaml") + "}", exitConfig, "CFG050"},
		{"a public key", "{site: {key: {file: " + filepath.Join(dir, "site.pub") + "}}}", exitConfig, "CFG064"},
		{"no file of signers", "{fleet: {allowedSigners: " + filepath.Join(dir, "none") + "}}", exitConfig, "CFG067"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			config := configure(t, goodConfig+"trust: "+tt.trust+"\n")
			code, out, talk := command(t, t.Context(), "-c", config, "validate")
			if code != tt.code || !strings.Contains(out+talk, tt.says) {
				t.Errorf("validate: exit %d: %s%s", code, out, talk)
			}
			code, out, talk = command(t, t.Context(), "-c", config, "doctor", "--pre")
			if (tt.code != exitOK) != strings.Contains(out, "["+tt.says+"]") || tt.code != exitOK && code != tt.code {
				t.Errorf("doctor --pre: exit %d: %s%s", code, out, talk)
			}
		})
	}
}
