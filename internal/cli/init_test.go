package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/daemon/config"
)

const vendorFile = `images_digests:
  synapse:
    synapse:
      image_repository_server: docker.io
      image_repository_path: matrixdotorg/synapse
      image_tag: "v1.118.0"
      image_digest: sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
  adminbot:
    pipe:
      image_repository_server: gitlab-registry.matrix.org
      image_repository_path: ems-image-store/standard/adminbot/pipe
      image_tag: "1.2"
`

func TestInit_WritesWhatTheDaemonReads(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join(dir, "images_digests.yml")
	list := filepath.Join(dir, "images.txt")
	for file, text := range map[string]string{source: vendorFile, list: "quay.io/example/tool:1@sha256:" + strings.Repeat("b", 64) + "\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name string
		args []string
		want map[string]string // key path of the configuration
	}{
		{"all given", []string{"--target", "harbor.example.org:5000/ess/mirror", "--git", "git@git.example.org:ops/platform.git", "--site", "berlin"},
			map[string]string{"git": "git@git.example.org:ops/platform.git", "host": "harbor.example.org:5000", "prefix": "ess/mirror", "site": "berlin"}},
		{"plain http", []string{"--git", "http://git.example.org/x.git"}, map[string]string{"git": "http://git.example.org/x.git", "host": someTarget, "prefix": "", "site": "site-1"}},
		{"nothing given", nil, map[string]string{"git": someGit, "host": someTarget, "prefix": "", "site": "site-1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fleet := filepath.Join(t.TempDir(), "fleet")
			args := append([]string{"init", "--dir", fleet, "--from", "ess:" + source, "--from", "tools=list:" + list}, tt.args...)
			code, out, talk := command(t, t.Context(), args...)
			if code != exitOK || !strings.Contains(out, "marked TODO") || !strings.Contains(talk, "1 entry has no digest, ess/adminbot/pipe: it is refused") {
				t.Fatalf("exit %d\n%s%s", code, out, talk)
			}
			if info, err := os.Stat(filepath.Join(fleet, "secrets")); err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("secrets/: %v, %v", info, err)
			}
			for _, line := range []string{"git -C " + fleet + " init -b main\n", " add .\n", " push -u origin main\n"} {
				if !strings.Contains(talk, line) {
					t.Errorf("%q is not told:\n%s", line, talk)
				}
			}
			c, err := config.Load(filepath.Join(fleet, "config.yaml"), nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			local := c.Registries[config.LocalRegistry]
			got := map[string]string{"git": c.Git.URL, "host": local.Host, "prefix": local.Prefix, "site": c.Site}
			for key, want := range tt.want {
				if got[key] != want {
					t.Errorf("%s: got %q, want %q", key, got[key], want)
				}
			}
			for _, section := range []string{"\n# forge:", "\n# webhooks:"} {
				if text, _ := os.ReadFile(filepath.Join(fleet, "config.yaml")); !strings.Contains(string(text), section) {
					t.Errorf("%q is not offered", section)
				}
			}
			for _, host := range []string{"docker-io", "gitlab-registry-matrix-org", "quay-io"} {
				if c.Registries[host].Host == "" {
					t.Errorf("registries.%s is missing", host)
				}
			}
			if realms := c.Registries["gitlab-registry-matrix-org"].Auth.Realms; len(realms) != 1 {
				t.Errorf("the image store's token server: %q", realms)
			}
			if code, _, talk := command(t, t.Context(), args...); code != exitConfig || !strings.Contains(talk, "INI001") {
				t.Errorf("a second init: exit %d: %s", code, talk)
			}
		})
	}
}

func TestInit_WritesNothingFromAFileWithMistakes(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join(dir, "images.txt")
	if err := os.WriteFile(source, []byte("quay.io/example/tool\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := filepath.Join(dir, "good.txt")
	if err := os.WriteFile(good, []byte("quay.io/example/tool:1@sha256:"+strings.Repeat("b", 64)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"--from", "list:" + source},                                  // neither tag nor digest
		{"--from", "lsit:" + source},                                  // no such kind
		{"--from", source},                                            // no kind
		{"--from", "list:" + source + ".txt"},                         // no such file
		{"--from", "list:" + source, "--from", "list:" + source},      // one name for two
		{"--from", "list:" + source, "--target", "https://x.example"}, // a URL
		{"--from", "../../../../esc=list:" + good},                    // a name that leaves the folder
		{"--from", "a b/c=list:" + good},
		{"--from", "../x=list:" + good},
		{"--from", "ABC=list:" + good},
		{"--from", "record=list:" + good},                                          // what rendered/ holds besides sets
		{"--from", "list:" + good, "--git", "https://u:hunter2@git.example.org/x"}, // secrets
		{"--from", "list:" + good, "--git", "git:hunter2@git.example.org:x"},
		{"--from", "list:" + good, "--git", "https://hunter2@git.example.org/x"},
		{"--from", "list:" + good, "--target", "u:hunter2@registry.example.org/x"},
	} {
		fleet := filepath.Join(dir, "fleet")
		code, out, talk := command(t, t.Context(), append([]string{"init", "--dir", fleet}, args...)...)
		if code == exitOK || out != "" || talk == "" || strings.Contains(talk, "hunter2") {
			t.Errorf("%q: exit %d: %s%s", args, code, out, talk)
		}
		if _, err := os.Stat(fleet); err == nil {
			t.Errorf("%q: wrote something", args)
		}
	}
}
