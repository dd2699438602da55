package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPackage_BuildsTheSameZipAndChecksIt(t *testing.T) {
	dir := t.TempDir()
	var zips [][]byte
	for _, name := range []string{"one.zip", "two.zip"} {
		file := filepath.Join(dir, name)
		code, out, talk := command(t, t.Context(), "package", "build", "testdata/package/acme", "--to", file)
		if code != exitOK || !strings.Contains(out, "acme-1.0.0, 4 files") {
			t.Fatalf("exit %d: %s%s", code, out, talk)
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		zips = append(zips, b)
	}
	if !bytes.Equal(zips[0], zips[1]) {
		t.Error("the same folder gave other bytes")
	}
	signature := filepath.Join(dir, "one.zip.sig")
	if err := os.WriteFile(signature, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, talk := command(t, t.Context(), "package", "check", filepath.Join(dir, "one.zip"), filepath.Join(dir, "two.zip"))
	if code != exitOK || strings.Count(out, "acme-1.0.0, 4 files") != 2 || strings.Count(out, "beside it") != 1 {
		t.Errorf("exit %d: %s%s", code, out, talk)
	}
}

func TestPackage_TellsWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.zip")
	if err := os.WriteFile(bad, []byte("<html>no zip</html>"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "pkg", "docs"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "pkg", "manifest.yml"), []byte("name: acme\nversion: 1.0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/hostname", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		args []string
		want []string
	}{
		{"no zip", []string{"check", bad}, []string{"PKG001", "bad.zip"}},
		{"no file", []string{"check", filepath.Join(dir, "none.zip")}, []string{"none.zip"}},
		{"a folder", []string{"check", dir}, []string{"PKG001", "no file"}},
		{"two mistakes in one pass", []string{"build", filepath.Join(dir, "pkg"), "--dry-run"}, []string{"PKG007", "PKG009", "pkg/manifest.yml"}},
		{"no folder", []string{"build", filepath.Join(dir, "none"), "--dry-run"}, []string{"none"}},
		{"no package", []string{"build", dir, "--dry-run"}, []string{"GIT001", "link"}},
		{"into itself", []string{"build", filepath.Join(dir, "pkg"), "--to", filepath.Join(dir, "pkg", "x.zip")}, []string{"PKG015"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, out, talk := command(t, t.Context(), append([]string{"package"}, test.args...)...)
			if code != exitConfig {
				t.Errorf("exit %d", code)
			}
			for _, want := range test.want {
				if !strings.Contains(out+talk, want) {
					t.Errorf("%q is not told: %s%s", want, out, talk)
				}
			}
		})
	}
	if _, err := os.Stat(filepath.Join(dir, "pkg", "x.zip")); err == nil {
		t.Error("a zip was written into its own folder")
	}
}
