package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A file that containerd would ignore in silence, so that nodes ask the upstream, is named with its line and the reason.
func TestLint_NamesWhatAConsumerWouldIgnore(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	good, err := os.ReadFile("testdata/lint/certs.d/docker.io/hosts.toml")
	if err != nil {
		t.Fatal(err)
	}
	ok := write("good/docker.io/hosts.toml", string(good))
	broken := write("broken/docker.io/hosts.toml", string(good)+"\nserver = \"https://registry.site.example\n")
	write("broken/notes.md", "# nothing\n")
	other := write("other.xyz", "hello\n")
	write("code/x_test.go", "package x\n\nconst text = `\nkind: ElementDeployment\nociImageRegistry:\n  endpoint: https://x\n`\n")
	write("code/x.txtar", "-- a.yaml --\nkind: RegistryMirrorConfig\nkind: ConfigMap\nimages_digests: x\n")
	lost := write("lost/docker.io/hosts.toml", "server = \"https://r.example\"\nca = \"corp.pem\"\n[host.\"https://r.example\"]\n  ca = [\"/etc/ssl/corp.pem\", \"other.pem\"]\n")
	for _, tt := range []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"a good one", []string{ok}, exitOK, []string{ok + ": containerd, no mistakes"}},
		{"by its kind", []string{"--kind", "containerd", ok}, exitOK, []string{"no mistakes"}},
		{"a broken one", []string{broken}, exitConfig, []string{broken + ":9", "1 problem"}},
		{"a folder", []string{dir + "/good", dir + "/broken"}, exitConfig, []string{broken + ":9", "1 problem"}},
		{"certificates that are not beside it", []string{lost}, exitConfig, []string{lost + ":2", lost + ":4", "RND058", "no file other.pem", "2 problems"}},
		{"programs and fixtures", []string{dir + "/code"}, exitOK, []string{"no file of a kind"}},
		{"of no kind", []string{other}, exitConfig, []string{"RND102", "--kind"}},
		{"none", []string{dir + "/nowhere"}, exitConfig, []string{"DOC009"}},
		{"an unknown kind", []string{"--kind", "containrd", ok}, exitFailure, []string{"did you mean containerd?"}},
		{"for a forge", []string{broken, "-o", "github"}, exitConfig, []string{"::error file=" + broken + ",line=9"}},
		{"for a program", []string{broken, "-o", "json"}, exitConfig, []string{`"type": "lint"`, `"line": 9`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, out, talk := command(t, t.Context(), append([]string{"lint"}, tt.args...)...)
			if code != tt.code {
				t.Errorf("exit %d, want %d", code, tt.code)
			}
			if missing := slices.DeleteFunc(tt.want, func(w string) bool { return strings.Contains(out+talk, w) }); len(missing) > 0 {
				t.Errorf("want %q in\n%s%s", missing, out, talk)
			}
		})
	}
}
