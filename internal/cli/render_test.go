package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/testenv"
)

func TestRender_ShowsTheFilesAndTheirDrift(t *testing.T) {
	w, config := inWorld(t)
	if code, out, talk := command(t, t.Context(), "-c", config, "sync"); code != exitPartial {
		t.Fatalf("sync: exit %d\n%s\n%s", code, out, talk)
	}
	const file = "rendered/demo/ess/snapshot/images-digests.yaml"
	inGit := func() string {
		t.Helper()
		files, err := w.Git.Files("main")
		if err != nil {
			t.Fatal(err)
		}
		return files[file]
	}
	run := func(want int, args ...string) (out, talk string) {
		t.Helper()
		code, out, talk := command(t, t.Context(), append([]string{"-c", config, "render"}, args...)...)
		if code != want {
			t.Errorf("render %v: exit %d, want %d\n%s%s", args, code, want, out, talk)
		}
		return out, talk
	}
	if out, _ := run(exitOK, "ess", "--stage", "snapshot"); !strings.Contains(out, "--- "+file+"\n"+inGit()) || inGit() == "" {
		t.Errorf("not as it is in Git:\n%s\nGit has\n%s", out, inGit())
	}
	if out, _ := run(exitOK, "--check"); !strings.Contains(out, "are as the record says") {
		t.Errorf("got %s", out)
	}
	dir := t.TempDir()
	run(exitOK, "ess", "--dir", dir)
	if text, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(file))); err != nil || string(text) != inGit() {
		t.Errorf("written: %v\n%s", err, text)
	}
	edit(t, w, map[string]string{file: "# mine\n", "rendered/demo/ess/snapshot/stray.yaml": "x: 1\n"})
	out, _ := run(exitChanges, "ess", "--check", "--refresh")
	for _, want := range []string{"differs  " + file + "\n", "stray    rendered/demo/ess/snapshot/stray.yaml\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("want %q in\n%s", want, out)
		}
	}
	if out, _ := run(exitOK, "ess", "--refresh"); strings.Contains(out, "stray") || strings.Contains(out, "# mine") {
		t.Errorf("what was edited is shown:\n%s", out)
	}
	if _, talk := run(exitConfig, "es"); !strings.Contains(talk, `did you mean "ess"?`) {
		t.Errorf("got %s", talk)
	}
	if _, talk := run(exitConfig, "--kind", "elemant"); !strings.Contains(talk, `did you mean "element"?`) {
		t.Errorf("got %s", talk)
	}
}

func edit(t *testing.T, w *testenv.World, files map[string]string) {
	t.Helper()
	if _, err := w.Git.Commit(t.Context(), "by hand", files); err != nil {
		t.Fatal(err)
	}
}
