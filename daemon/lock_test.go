package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/poundlock/poundlock/daemon/config"
)

// Whoever finds a state directory held is told by whom; what a file says without the lock is believed by nobody.
func TestLock_NamesWhoHoldsIt(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	since := time.Now().Truncate(time.Second)
	o := Options{Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return since }, Command: "run"}
	c := config.Config{StateDir: dir}
	_, unlock, err := lock(c, o)
	if err != nil {
		t.Fatal(err)
	}
	host, _ := os.Hostname()
	_, _, err = lock(c, o)
	want := fmt.Sprintf("another poundlock (run, pid %d on host %s, since %s) holds the state directory %s", os.Getpid(), host, since.Format("15:04"), dir)
	if !errors.Is(err, ErrLocked) || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	file := filepath.Join(dir, holderFile)
	text := string(must(os.ReadFile(file))(t))
	if strings.Contains(text, os.Args[0]) {
		t.Errorf("it tells the arguments: %s", text)
	}
	for _, damage := range []string{"{", "{}", `{"pid":"x"}`} {
		if err := os.WriteFile(file, []byte(damage), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenState(dir); !errors.Is(err, ErrLocked) || err.Error() != "another poundlock holds the state directory "+dir {
			t.Errorf("with %s: %v", damage, err)
		}
	}
	if err := unlock(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it stays: %v", err)
	}
	// What a process that was killed left behind keeps nobody out.
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, unlock, err = lock(c, o)
	if err != nil {
		t.Fatal(err)
	}
	// The directory may be deleted under a process that runs: its end is no error then.
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := unlock(t.Context()); err != nil {
		t.Error(err)
	}
}

// Each trouble of the disk has its code, and says whether a retry may help.
func TestDisk_TroubleHasAFix(t *testing.T) {
	for _, tt := range []struct {
		err       error
		code      string
		temporary bool
	}{
		{syscall.EROFS, "DISK001", false},
		{fs.ErrPermission, "DISK001", false},
		{syscall.ENOTDIR, "DISK002", false},
		{syscall.ENOSPC, "DISK003", true},
		{syscall.EDQUOT, "DISK003", true},
		{syscall.EIO, "DISK004", true},
	} {
		var e *DiskError
		err := stateError("/var/lib/poundlock", &fs.PathError{Op: "open", Path: "/var/lib/poundlock/state.db", Err: tt.err})
		if !errors.As(err, &e) || e.Problem.Code != tt.code || e.Problem.Fix == "" || e.Temporary() != tt.temporary || errors.Is(err, config.ErrConfiguration) == tt.temporary || !errors.Is(err, tt.err) {
			t.Errorf("%v: %#v", tt.err, e)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "below")} {
		var e *DiskError
		if _, err := OpenState(dir); !errors.As(err, &e) || e.Problem.Code != "DISK002" || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

// diskVariable makes a process of this test binary open a state, the way TestDisk_ARealOne asks for it.
const diskVariable = "POUNDLOCK_TEST_STATE_DIR"

// A disk that is full, or mounted read-only, is told as that, and the state that lies on it is not set aside.
func TestDisk_ARealOne(t *testing.T) {
	if dir := os.Getenv(diskVariable); dir != "" {
		s, err := OpenState(dir)
		fmt.Println(err)
		if err == nil {
			fmt.Println(s.Close())
		}
		return
	}
	if out, err := exec.Command("unshare", "-m", "true").CombinedOutput(); err != nil {
		t.Skipf("a mount namespace is needed to fill a disk of our own: %v: %s", err, out)
	}
	disk, self := t.TempDir(), must(os.Executable())(t)
	script := `mount -t tmpfs -o size=512k none "$1" && mkdir "$1"/fresh || exit 1
open() { ` + diskVariable + `="$1" "$2" -test.run '^TestDisk_ARealOne$'; ls "$1"; }
open "$1"/state "$2"
dd if=/dev/zero of="$1"/fill bs=4k 2>/dev/null
echo full; open "$1"/fresh "$2"; open "$1"/state "$2"
rm "$1"/fill; mount -o remount,ro "$1"
echo read-only; open "$1"/state "$2"`
	out, err := exec.Command("unshare", "-m", "sh", "-c", script, "sh", disk, self).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	_, rest, _ := strings.Cut(string(out), "full\n")
	full, readOnly, _ := strings.Cut(rest, "read-only\n")
	if !strings.Contains(full, "DISK003") || !strings.Contains(readOnly, "DISK001") || strings.Contains(string(out), "damaged") {
		t.Errorf("full: %s\nread-only: %s", full, readOnly)
	}
}
