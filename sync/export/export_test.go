package export

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

// blobs is content of which only blobs are asked for.
type blobs struct {
	mirror.Content
	all  map[mirror.Digest][]byte
	read int
	fail error
}

func (b *blobs) Blob(_ context.Context, r mirror.Reference, d mirror.Digest, _ int64) (io.ReadCloser, error) {
	b.read++
	body, ok := b.all[d]
	if !ok {
		return nil, fmt.Errorf("%s: %w", r.AtDigest(d), mirror.ErrNotFound)
	}
	if b.fail != nil {
		return io.NopCloser(io.MultiReader(bytes.NewReader(body[:len(body)/2]), failing{b.fail})), nil
	}
	return io.NopCloser(bytes.NewReader(body)), nil
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func (b *blobs) add(text string) mirror.Descriptor {
	d := mirror.DigestOf([]byte(text))
	b.all[d] = []byte(text)
	return mirror.Descriptor{Digest: d, Size: int64(len(text))}
}

// pack gives a package whose bytes are its name and some text.
func (b *blobs) pack(name, text string) Package {
	return Package{Name: name, Zip: b.add(name + " zip " + text), Signature: b.add(name + " signature " + text)}
}

func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != notesFile {
			body, _ := os.ReadFile(p)
			rel, _ := filepath.Rel(dir, p)
			all[filepath.ToSlash(rel)] = string(body)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func names(all map[string]string) []string { return sorted(all) }

func export(t *testing.T, dir string, b *blobs, folders ...Folder) (Result, error) {
	t.Helper()
	e, err := Open(dir, b)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	return e.Export(t.Context(), folders)
}

func TestExport_HoldsWhatStands(t *testing.T) {
	b := &blobs{all: map[mirror.Digest][]byte{}}
	dir := t.TempDir()
	one, two := b.pack("nginx-1.0.0", "a"), b.pack("nginx-2.0.0", "a")
	unsigned := b.pack("own-0.1.0", "a")
	unsigned.Signature = mirror.Descriptor{}
	r, err := export(t, dir, b, Folder{"production", []Package{one}}, Folder{"snapshot", []Package{two, unsigned}})
	if err != nil || r.Added != 2 || !slices.Equal(r.LeftOut, []string{"snapshot/own-0.1.0"}) {
		t.Fatalf("%+v, %v", r, err)
	}
	want := []string{"production/nginx-1.0.0.zip", "production/nginx-1.0.0.zip.sig", "snapshot/nginx-2.0.0.zip", "snapshot/nginx-2.0.0.zip.sig"}
	if got := names(tree(t, dir)); !slices.Equal(got, want) {
		t.Fatalf("got %v", got)
	}
	read := b.read
	if r, err = export(t, dir, b, Folder{"production", []Package{one}}, Folder{"snapshot", []Package{two}}); err != nil || r.Added+r.Removed != 0 || b.read != read {
		t.Errorf("nothing changed, and %+v was done with %d reads: %v", r, b.read-read, err)
	}
	// Promoted: added above, gone below.
	if r, err = export(t, dir, b, Folder{"production", []Package{one, two}}, Folder{"snapshot", nil}); err != nil || r.Added != 1 || r.Removed != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	// Replaced under the same version.
	again := b.pack("nginx-2.0.0", "b, and longer")
	if r, err = export(t, dir, b, Folder{"production", []Package{one, again}}, Folder{"snapshot", nil}); err != nil || r.Added != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	if got := tree(t, dir)["production/nginx-2.0.0.zip"]; !strings.HasSuffix(got, "longer") {
		t.Errorf("the old bytes stayed: %q", got)
	}
}

func TestExport_LeavesForeignFilesAndTells(t *testing.T) {
	b := &blobs{all: map[mirror.Digest][]byte{}}
	dir := t.TempDir()
	put := func(name, body string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Join(dir, "snapshot"), 0o755), os.WriteFile(filepath.Join(dir, "snapshot", name), []byte(body), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	p, mine := b.pack("nginx-1.0.0", "a"), b.pack("redis-1.0.0", "a")
	put("theirs-1.0.0.zip", "theirs")
	put("nginx-1.0.0.zip", "other bytes")
	put("README", "hello")
	put("redis-1.0.0.zip", "redis-1.0.0 zip a") // ours, of notes that were lost
	put("redis-1.0.0.zip.sig", "redis-1.0.0 signature a")
	put(part("half.zip"), "left by a process that died")
	r, err := export(t, dir, b, Folder{"snapshot", []Package{p, mine}})
	if err != nil || r.Added != 0 || !slices.Equal(r.Foreign, []string{"snapshot/nginx-1.0.0.zip", "snapshot/theirs-1.0.0.zip"}) {
		t.Fatalf("%+v, %v", r, err)
	}
	got := tree(t, dir)
	if got["snapshot/theirs-1.0.0.zip"] != "theirs" || got["snapshot/nginx-1.0.0.zip"] != "other bytes" || got["snapshot/README"] != "hello" || len(got) != 5 {
		t.Errorf("got %v", got)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "snapshot", "link-1.0.0.zip")); err != nil {
		t.Fatal(err)
	}
	r, err = export(t, dir, b, Folder{"snapshot", []Package{mine, b.pack("link-1.0.0", "a")}})
	if err != nil || !slices.Contains(r.Foreign, "snapshot/link-1.0.0.zip") {
		t.Errorf("a link was followed or replaced: %+v, %v", r, err)
	}
}

// A file that cannot be written, such as one of another user in the way, stops no other package.
func TestExport_OnePackageWithoutRightsStopsNoOther(t *testing.T) {
	b := &blobs{all: map[mirror.Digest][]byte{}}
	dir := t.TempDir()
	e, err := Open(dir, b)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	e.step = func(what string) error {
		if what == "rename a-1.0.0.zip" {
			return fs.ErrPermission
		}
		return nil
	}
	r, err := e.Export(t.Context(), []Folder{{"snapshot", []Package{b.pack("a-1.0.0", "a"), b.pack("b-1.0.0", "a"), b.pack("c-1.0.0", "a")}}})
	if r.Added != 2 || !errors.Is(err, fs.ErrPermission) {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestExport_AFullDiskIsToldAndNothingHalfIsLeft(t *testing.T) {
	b := &blobs{all: map[mirror.Digest][]byte{}, fail: syscall.ENOSPC}
	dir := t.TempDir()
	p, q := b.pack("nginx-1.0.0", "a"), b.pack("redis-1.0.0", "a")
	_, err := export(t, dir, b, Folder{"production", []Package{p, q}})
	if what, fix, ok := Trouble(err); !ok || !strings.Contains(what, "no space") || fix == "" {
		t.Errorf("got %v: %q", err, what)
	}
	if b.read != 1 {
		t.Errorf("%d packages were tried on a full disk", b.read)
	}
	if got := tree(t, dir); len(got) != 0 {
		t.Errorf("left: %v", names(got))
	}
	if _, err := Open(filepath.Join(dir, "not-mounted"), b); err == nil {
		t.Error("a folder that is not there was made")
	}
}

type died struct{}

// A process may die before any change of the disk. Whenever it does, a server that looks then finds no zip without its
// signature, no part of one, and every package that both moments have; and the next call makes everything good.
func TestExport_DiesAnywhereAndGoesOn(t *testing.T) {
	b := &blobs{all: map[mirror.Digest][]byte{}}
	keep, rise, replaced, gone := b.pack("keep-1.0.0", "a"), b.pack("rise-1.0.0", "a"), b.pack("same-1.0.0", "a"), b.pack("gone-1.0.0", "a")
	replacement, fresh := b.pack("same-1.0.0", "b"), b.pack("new-1.0.0", "a")
	before := []Folder{{"production", []Package{keep}}, {"snapshot", []Package{rise, replaced, gone}}}
	after := []Folder{{"production", []Package{keep, rise}}, {"snapshot", []Package{replacement, fresh}}}
	bodies := map[string][]string{} // what a whole file may hold, by name
	for _, p := range []Package{keep, rise, replaced, gone, replacement, fresh} {
		for _, f := range p.files() {
			bodies[f.name] = append(bodies[f.name], string(b.all[f.Digest]))
		}
	}
	for at := 1; ; at++ {
		dir := t.TempDir()
		if _, err := export(t, dir, b, before...); err != nil {
			t.Fatal(err)
		}
		e, err := Open(dir, b)
		if err != nil {
			t.Fatal(err)
		}
		steps := 0
		e.step = func(string) error {
			if steps++; steps == at {
				panic(died{})
			}
			return nil
		}
		finished := func() (whole bool) {
			defer func() {
				if r := recover(); r != nil && r != (died{}) {
					panic(r)
				}
			}()
			_, err := e.Export(t.Context(), after)
			return err == nil
		}()
		e.Close()
		got := tree(t, dir)
		served := map[string]bool{}
		for name, body := range got {
			base := filepath.Base(name)
			if strings.HasSuffix(base, ".zip") {
				if got[name+".sig"] == "" {
					t.Fatalf("died before step %d: %s has no signature", at, name)
				}
				served[base] = true
			}
			if !strings.HasSuffix(base, partSuffix) && !slices.Contains(bodies[base], body) {
				t.Fatalf("died before step %d: %s holds %q", at, name, body)
			}
		}
		for _, stays := range []string{"keep-1.0.0.zip", "rise-1.0.0.zip", "same-1.0.0.zip"} {
			if !served[stays] {
				t.Fatalf("died before step %d: %s is nowhere: %v", at, stays, names(got))
			}
		}
		if _, err := export(t, dir, b, after...); err != nil {
			t.Fatal(err)
		}
		clean := t.TempDir()
		if _, err := export(t, clean, b, after...); err != nil {
			t.Fatal(err)
		}
		if got, want := fmt.Sprint(tree(t, dir)), fmt.Sprint(tree(t, clean)); got != want {
			t.Fatalf("died before step %d: ended at %s, want %s", at, got, want)
		}
		if finished {
			if at < 15 {
				t.Fatalf("only %d steps were tried", at)
			}
			return
		}
	}
}

// What is not written above stays below.
func TestExport_APackageThatCannotRiseStays(t *testing.T) {
	b := &blobs{all: map[mirror.Digest][]byte{}}
	dir, p := t.TempDir(), b.pack("nginx-1.0.0", "a")
	if _, err := export(t, dir, b, Folder{"production", nil}, Folder{"snapshot", []Package{p}}); err != nil {
		t.Fatal(err)
	}
	b.fail = errors.New("the registry hiccups")
	r, err := export(t, dir, b, Folder{"production", []Package{p}}, Folder{"snapshot", nil})
	if err == nil || !slices.Equal(r.Kept, []string{"snapshot/nginx-1.0.0"}) || len(tree(t, dir)) != 2 {
		t.Errorf("%+v, %v: %v", r, err, names(tree(t, dir)))
	}
}
