package git

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// glob finds one file of the clone by the end of its name.
func glob(t *testing.T, dir, suffix string) string {
	t.Helper()
	var found string
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if !e.IsDir() && strings.HasSuffix(name, suffix) {
			found = name
		}
		return err
	})
	if err != nil || found == "" {
		t.Fatalf("no %s in %s: %v", suffix, dir, err)
	}
	return found
}

func spoil(t *testing.T, name string, change func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err == nil {
		err = os.Chmod(name, 0o600)
	}
	if err == nil {
		err = os.WriteFile(name, change(b), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestOpen_HealsTheClone(t *testing.T) {
	half := func(b []byte) []byte { return b[:len(b)/2] }
	flip := func(b []byte) []byte { b[len(b)/2] ^= 4; return b }
	touch := func(name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, cloneName, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	change := func(suffix string, f func([]byte) []byte) func(*testing.T, string) {
		return func(t *testing.T, dir string) { spoil(t, glob(t, dir, suffix), f) }
	}
	remove := func(name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			if err := os.RemoveAll(filepath.Join(dir, cloneName, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	cases := []struct {
		name   string
		damage func(t *testing.T, dir string)
		kept   bool // the clone is as good as before
	}{
		{"stale index.lock", touch("index.lock"), false},
		{"stale shallow.lock", touch("shallow.lock"), false},
		{"stale ref lock", touch("refs/heads/main.lock"), false},
		{"half a pack left by a fetch", touch("objects/pack/tmp_pack_1"), true},
		{"truncated pack", change(".pack", half), false},
		{"empty pack", change(".pack", func([]byte) []byte { return nil }), false},
		{"flipped bit in a pack", change(".pack", flip), false},
		{"truncated index", change(".idx", half), false},
		{"flipped bit in an index", change(".idx", flip), false},
		{"no index", func(t *testing.T, dir string) {
			if err := os.Remove(glob(t, dir, ".idx")); err != nil {
				t.Fatal(err)
			}
		}, false},
		{"no objects", remove("objects"), false},
		{"no refs", remove("refs"), false},
		{"no clone", remove("."), false},
		{"garbage in the ref", change("heads/main", func([]byte) []byte { return []byte("garbage") }), false},
		{"ref to nothing", change("heads/main", func([]byte) []byte { return []byte(strings.Repeat("ab", 20) + "\n") }), false},
		{"marker of another remote", change(markerName, func(b []byte) []byte { return append(b, 'x') }), false},
		{"empty marker", change(markerName, func([]byte) []byte { return nil }), false},
		{"killed while cloning", func(t *testing.T, dir string) {
			if err := os.Rename(filepath.Join(dir, cloneName), filepath.Join(dir, freshName)); err != nil {
				t.Fatal(err)
			}
		}, false},
	}
	g := fleet(t)
	head := write(t, g, map[string]string{"desired/a.yaml": "a", "desired/b.yaml": strings.Repeat("some text ", 50)})
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := options(t, g)
			r := open(t, o)
			fetch(t, r)
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			c.damage(t, o.Dir)
			r = open(t, o)
			g.Proxy().Reset()
			if got := fetch(t, r); got != head {
				t.Fatalf("head = %s, want %s", got, head)
			}
			if cloned := g.Requests() > 1; cloned == c.kept {
				t.Errorf("cloned anew: %v, want %v", cloned, !c.kept)
			}
			if files, err := r.Files(head, "desired"); err != nil || len(files) != 2 {
				t.Errorf("Files: %d, %v", len(files), err)
			}
			left, err := os.ReadDir(o.Dir)
			if err != nil || len(left) != 1 {
				t.Errorf("%d entries are left in the directory, want the clone alone: %v", len(left), err)
			}
		})
	}
}

func TestFetch_HealsWhatBreaksUnderTheRunningProcess(t *testing.T) {
	g := fleet(t)
	head := write(t, g, map[string]string{"desired/a.yaml": "a"})
	o := options(t, g)
	r := open(t, o)
	fetch(t, r)
	if err := r.Close(); err != nil { // nothing cached
		t.Fatal(err)
	}
	r = open(t, o)
	fetch(t, r)
	pack := glob(t, o.Dir, ".pack")
	if err := os.Remove(pack); err != nil {
		t.Fatal(err)
	}
	r.store = newStore(r.cloneDir())
	if _, err := r.Files(head, "desired"); err == nil {
		t.Fatal("files were read from a pack that is gone")
	}
	if fetch(t, r) != head {
		t.Fatal("the head is not back")
	}
	if _, err := r.Files(head, "desired"); err != nil {
		t.Error(err)
	}
}

func TestOpen_ReadsWithoutTheServer(t *testing.T) {
	g := fleet(t)
	head := write(t, g, map[string]string{"desired/a.yaml": "a"})
	o := options(t, g)
	r := open(t, o)
	if _, err := r.Files(head, "desired"); !errors.Is(err, ErrUnknownCommit) {
		t.Errorf("before the first fetch: %v", err)
	}
	fetch(t, r)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	g.Close()
	if _, err := open(t, o).Files(head, "desired"); err != nil {
		t.Error(err)
	}
}

func TestFetch_TidiesACloneInTooManyPieces(t *testing.T) {
	g := fleet(t)
	head := write(t, g, map[string]string{"desired/a.yaml": "a"})
	o := options(t, g)
	r := open(t, o)
	fetch(t, r)
	if _, err := r.Commit(t.Context(), head, change(map[string]string{"rendered/x": "x"}, "rendered")); err != nil {
		t.Fatal(err)
	}
	r = open(t, o)
	if r.loose != 4 { // file, directory, root, commit
		t.Errorf("%d single objects were counted, want 4", r.loose)
	}
	r.loose = maxLoose
	head = write(t, g, map[string]string{"desired/a.yaml": "b"})
	if got := fetch(t, r); got != head || r.loose != 0 {
		t.Errorf("head = %s, want %s; %d single objects are left", got, head, r.loose)
	}
	packs, err := r.store.ObjectPacks()
	if err != nil || len(packs) != 1 {
		t.Errorf("%d packs, %v, want 1", len(packs), err)
	}
}
