package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/poundlock/poundlock/testenv"
)

// binary builds the program once, as a user does, and gives the folder that it lies in.
var binary = sync.OnceValues(func() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "poundlock-bin-"); err != nil {
		return "", err
	}
	built = dir
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "poundlock"), "../..")
	build.Stderr = os.Stderr
	return dir, build.Run()
})

// built is what is to be removed at the end.
var built string

func TestMain(m *testing.M) {
	if err := testenv.NoTestLog(); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(built)
	os.Exit(code)
}

// TestScripts runs what a user types against the real binary. Each script is headed by the promise it keeps.
func TestScripts(t *testing.T) {
	bin, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", bin+string(os.PathListSeparator)+e.Getenv("PATH"))
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("GIT_CONFIG_COUNT", "2")
			e.Setenv("GIT_CONFIG_KEY_0", "user.name")
			e.Setenv("GIT_CONFIG_VALUE_0", "Ada")
			e.Setenv("GIT_CONFIG_KEY_1", "user.email")
			e.Setenv("GIT_CONFIG_VALUE_1", "ada@example.org")
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"next":    next,
			"awaits":  awaits,
			"exits":   exits,
			"replace": replace,
			"clone":   clone,
		},
	})
}

// advice is what a command tells its user to type.
var advice = regexp.MustCompile(`(?m)(?:Next|Run): +(\S.*?)\s*$`)

// next runs the last command that the one before told its user to run, exactly as printed.
func next(ts *testscript.TestScript, neg bool, _ []string) {
	all := advice.FindAllStringSubmatch(ts.ReadFile("stdout")+"\n"+ts.ReadFile("stderr"), -1)
	if len(all) == 0 {
		ts.Fatalf("nothing says what to do next")
	}
	line := strings.Fields(all[len(all)-1][1])
	ts.Logf("> %s", strings.Join(line, " "))
	if err := ts.Exec(line[0], line[1:]...); (err != nil) != neg {
		ts.Fatalf("%s: %v", strings.Join(line, " "), err)
	}
}

// exits runs a command that must end with an exit code: exits 3 poundlock sync.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := "0"
	if exit, ok := err.(*exec.ExitError); ok {
		got = strings.TrimPrefix(exit.Error(), "exit status ")
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != args[0] {
		ts.Fatalf("exit %s, want %s", got, args[0])
	}
}

// awaits returns once a file is there.
func awaits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: awaits FILE")
	}
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) { // it is another process that is waited for
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
		if time.Since(began) > 30*time.Second {
			ts.Fatalf("%s did not appear", args[0])
		}
	}
}

// replace changes a file: replace FILE OLD NEW.
func replace(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: replace FILE OLD NEW")
	}
	file := ts.MkAbs(args[0])
	text, err := os.ReadFile(file)
	ts.Check(err)
	if !strings.Contains(string(text), args[1]) {
		ts.Fatalf("%s has no %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(file, []byte(strings.Replace(string(text), args[1], args[2], 1)), 0o600))
}

// clone clones the fleet repository of the demo whose configuration is named: clone CONFIG DIR.
func clone(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: clone CONFIG DIR")
	}
	url := regexp.MustCompile(`(?m)^  url: http://(\S+)$`).FindStringSubmatch(ts.ReadFile(args[0]))
	if url == nil {
		ts.Fatalf("%s names no Git server", args[0])
	}
	ts.Check(ts.Exec("git", "clone", "-q", "http://poundlock:demo-password@"+url[1], args[1]))
}
