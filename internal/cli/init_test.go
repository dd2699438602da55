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
		{"nothing given", nil, map[string]string{"git": someGit, "host": someTarget, "prefix": "", "site": "site-1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fleet := filepath.Join(t.TempDir(), "fleet")
			args := append([]string{"init", "--dir", fleet, "--from", "ess:" + source, "--from", "tools=list:" + list}, tt.args...)
			code, out, talk := command(t, t.Context(), args...)
			if code != exitOK || !strings.Contains(out, "marked TODO") || !strings.Contains(talk, "1 entries have no digest, such as ess/adminbot/pipe") {
				t.Fatalf("exit %d\n%s%s", code, out, talk)
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
	for _, args := range [][]string{
		{"--from", "list:" + source},                                  // neither tag nor digest
		{"--from", "lsit:" + source},                                  // no such kind
		{"--from", source},                                            // no kind
		{"--from", "list:" + source + ".txt"},                         // no such file
		{"--from", "list:" + source, "--from", "list:" + source},      // one name for two
		{"--from", "list:" + source, "--target", "https://x.example"}, // a URL
	} {
		fleet := filepath.Join(dir, "fleet")
		code, out, talk := command(t, t.Context(), append([]string{"init", "--dir", fleet}, args...)...)
		if code == exitOK || out != "" || talk == "" {
			t.Errorf("%q: exit %d: %s%s", args, code, out, talk)
		}
		if _, err := os.Stat(fleet); err == nil {
			t.Errorf("%q: wrote something", args)
		}
	}
}
