package git

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

// packs is how often Git was asked for more than its refs.
func packs(t *testing.T, all []string) (n int) {
	t.Helper()
	for _, path := range all {
		if filepath.Base(path) == "git-upload-pack" {
			n++
		}
	}
	return n
}

func TestCopyClone_IsReadAndFetchedIntoOnItsOwn(t *testing.T) {
	g := fleet(t)
	write(t, g, map[string]string{"desired/a.yaml": "one\n"})
	o := options(t, g)
	original := open(t, o)
	head := fetch(t, original)
	copied := o
	copied.Dir = t.TempDir()
	if err := CopyClone(o.Dir, copied.Dir); err != nil {
		t.Fatal(err)
	}
	g.Proxy().Reset()
	r := open(t, copied)
	if got, err := r.Head(); err != nil || got != head {
		t.Fatalf("head of the copy: %s, %v", got, err)
	}
	if subject, err := r.Subject(head); err != nil || subject != "by a person" {
		t.Errorf("subject %q, %v", subject, err)
	}
	if got := fetch(t, r); got != head || packs(t, g.Proxy().Counts().Paths) != 0 {
		t.Errorf("fetched %s, and what was here was asked for: %v", got, g.Proxy().Counts().Paths)
	}
	next := write(t, g, map[string]string{"desired/a.yaml": "two\n"})
	if got := fetch(t, r); got != next {
		t.Errorf("the copy is at %s, want %s", got, next)
	}
	// What happens to the copy does not happen to the clone.
	if err := os.RemoveAll(filepath.Join(copied.Dir, cloneName)); err != nil {
		t.Fatal(err)
	}
	if files, err := original.Files(head, "desired"); err != nil || string(files["desired/a.yaml"]) != "one\n" {
		t.Errorf("the clone afterwards: %v, %v", files, err)
	}
	if got, err := original.Head(); err != nil || got != head {
		t.Errorf("the clone is at %s, %v; want %s", got, err, head)
	}
}

func TestCopyClone_LeavesNothingOfHalf(t *testing.T) {
	g := fleet(t)
	write(t, g, map[string]string{"desired/a.yaml": "one\n"})
	o := options(t, g)
	head := fetch(t, open(t, o))
	into := o
	for name, spoilt := range map[string]func(dir string) error{
		"no clone":   func(dir string) error { return os.RemoveAll(filepath.Join(dir, cloneName)) },
		"no objects": func(dir string) error { return os.RemoveAll(filepath.Join(dir, cloneName, "objects")) },
		"no HEAD":    func(dir string) error { return os.Remove(filepath.Join(dir, cloneName, "HEAD")) },
	} {
		t.Run(name, func(t *testing.T) {
			from := t.TempDir()
			if err := CopyClone(o.Dir, from); err != nil {
				t.Fatal(err)
			}
			if err := spoilt(from); err != nil {
				t.Fatal(err)
			}
			into.Dir = t.TempDir()
			err := CopyClone(from, into.Dir)
			if left, _ := os.ReadDir(into.Dir); err != nil && len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
			r := open(t, into)
			if _, err := r.Head(); err != nil && !errors.Is(err, mirror.ErrOffline) {
				t.Errorf("head: %v", err)
			}
			if got := fetch(t, r); got != head { // cloned anew where need be
				t.Errorf("fetched %s, want %s", got, head)
			}
		})
	}
}
