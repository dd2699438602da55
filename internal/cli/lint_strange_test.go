package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/sync/render"
)

// A file that --kind is wrong about may hold anything: its lines are named, none of its words are shown.
func TestLint_ShowsNoWordOfAFileOfAnotherKind(t *testing.T) {
	const words = "canary hunter2x correcthorse S3cr3t pässwort tabbed longsecretlongsecretlongsecretlongsecretlongsecretlongsecretlongsecretlongsecretlongsecretlongsecretlongsecretlongsecret"
	w := strings.Fields(words)
	text := "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\nstringData:\n  " + w[0] + ": " + w[1] + "\n" + w[2] + "::" + w[3] + "\n" + w[4] + "::https://" + w[0] + ":" + w[1] + "@x.example/\n" +
		w[1] + "::\t" + w[5] + "\n" + w[6] + "::" + w[6] + "//" + w[6] + "\n" + w[2] + "::" + w[0] + "\n"
	file := filepath.Join(t.TempDir(), "app.yaml")
	for _, body := range []string{text, strings.ReplaceAll(text, "::", ": "), "[" + w[0] + "]\n" + w[1] + " = \"" + w[2] + "\"\n", `{"` + w[0] + `": {"registry-mirrors": "` + w[1] + `"}, "registry-mirrors": ["` + w[3] + `"]}`} {
		if err := os.WriteFile(file, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, kind := range render.Linted() {
			for _, format := range []string{"text", "json", "github"} {
				_, out, talk := command(t, t.Context(), "lint", "--kind", kind, "-o", format, file)
				for _, word := range append(w, w[6][:40]) {
					if strings.Contains(out+talk, word) {
						t.Errorf("--kind %s -o %s shows %s:\n%s%s", kind, format, word, out, talk)
					}
				}
			}
		}
	}
}

// A value where true or false belongs may be a password that slipped by a line.
func TestLint_ShowsNoTextThatStandsForATruth(t *testing.T) {
	file := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(file, []byte("ociImageRegistry:\n  endpoint: h.example\n  name: R\n  password: \"\"\n  insecureSkipVerify: canary-text\n  mirrorRegistries: \"docker.io::h.example/docker.io\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, talk := command(t, t.Context(), "lint", file)
	if code != exitConfig || !strings.Contains(out+talk, file+":5") || !strings.Contains(out+talk, "insecureSkipVerify: ***") || strings.Contains(out+talk, "canary") {
		t.Errorf("exit %d:\n%s%s", code, out, talk)
	}
}

func TestLint_KnowsAFileOfAnotherName(t *testing.T) {
	file := filepath.Join(t.TempDir(), "map.txt")
	if err := os.WriteFile(file, []byte("default::\nregistry::r.example/x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, out, talk := command(t, t.Context(), "lint", "--kind", "image-swap", file); !strings.Contains(out+talk, "registry::r.example/x") {
		t.Errorf("its line is not quoted:\n%s%s", out, talk)
	}
}
