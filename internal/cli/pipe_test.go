package cli

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// intoNothing runs the real binary with an output that nobody reads, as in `poundlock ... | head -1` after its
// first line.
func intoNothing(t *testing.T, args ...string) (code int, talk string) {
	t.Helper()
	bin, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	read.Close()
	defer write.Close()
	var e bytes.Buffer
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "poundlock"), args...)
	cmd.Stdout, cmd.Stderr = write, &e
	_ = cmd.Run() // its code says how it ended
	return cmd.ProcessState.ExitCode(), e.String()
}

func aReaderThatHasEnoughIsNoFailure(t *testing.T, config string) {
	for _, args := range [][]string{{"help"}, {"--help"}, {"version"}, {"man"}, {"get", "entries"}, {"get", "entries", "-o", "json"}, {"trace", "synapse"}, {"completion", "bash"}} {
		if code, talk := intoNothing(t, append([]string{"-c", config}, args...)...); code != exitOK || talk != "" {
			t.Errorf("%v: exit %d: %s", args, code, talk)
		}
	}
}

func TestPipe_AnExitCodeThatSaysMoreStays(t *testing.T) {
	_, config := inWorld(t)
	if code, talk := intoNothing(t, "-c", config, "sync"); code != exitPartial || strings.Contains(talk, "broken pipe") {
		t.Errorf("sync: exit %d, want %d: %s", code, exitPartial, talk)
	}
	if code, _ := intoNothing(t, "-c", config, "get", "sets", "no-such-set"); code != exitConfig {
		t.Errorf("get: exit %d, want %d", code, exitConfig)
	}
}

func aPipeInAShell(t *testing.T, config string) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("bash is not installed: pipefail is its own")
	}
	bin, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), bash, "-c", `set -o pipefail; poundlock -c "$1" get entries -o json | head -1`, "bash", config)
	cmd.Env = append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	var e bytes.Buffer
	cmd.Stderr = &e
	out, err := cmd.Output()
	if err != nil || string(out) != "{\n" || e.Len() > 0 {
		t.Errorf("%v: %q %q", err, out, e.String())
	}
}
