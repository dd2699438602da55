package git

import (
	"os"
	"runtime/debug"
	"testing"
)

// Objects that we wrote lie in files of their own. Reading them again and again leaves none of them open, also while
// no garbage collector runs that would close them.
func TestObject_ReadingLeavesNoFileOpen(t *testing.T) {
	const opened = "/proc/self/fd"
	if _, err := os.Stat(opened); err != nil {
		t.Skipf("the system does not say which files are open: %v", err)
	}
	count := func() int {
		t.Helper()
		files, err := os.ReadDir(opened)
		if err != nil {
			t.Fatal(err)
		}
		return len(files)
	}
	g := fleet(t)
	write(t, g, map[string]string{"desired/web.yaml": "version: 1\n"})
	repo := open(t, options(t, g))
	head, err := repo.Commit(t.Context(), fetch(t, repo), change(map[string]string{"rendered/demo/a": "text"}))
	if err != nil {
		t.Fatal(err)
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	before := count()
	for range 50 {
		if text, err := repo.File(head, "rendered/demo/a"); err != nil || string(text) != "text" {
			t.Fatalf("got %q, %v", text, err)
		}
	}
	if more := count() - before; more > 10 { // go-git keeps the descriptors of some packs
		t.Errorf("%d more files are open after 50 reads", more)
	}
}
