package daemon

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/elastic"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sources"
)

// A drop folder is a folder of the machine into which somebody puts packages. Nobody says when one is whole: it is taken
// when it has not changed for a while, and read again only when it changes.

// dropSettles is how long a file must not have changed.
const dropSettles = 10 * time.Second

// maxDropped is how many files a drop folder may have.
const maxDropped = 10_000

// drops remembers what was read of drop folders.
type drops struct {
	mu    sync.Mutex
	files map[string]droppedFile   // by folder and name
	seen  map[string]mirror.Digest // by folder: names, sizes and times when it was asked last
}

// droppedFile is what was found in a zip.
type droppedFile struct {
	stat string // size and time of zip and signature
	is   sources.Dropped
	why  string // why it is none; else ""
}

// droppable is how a file may be called: its name stands in addresses and on pages.
var droppable = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]{0,200}\.zip$`)

// Dropped lists the packages in a drop folder.
func (u upstreamOf) Dropped(ctx context.Context, name string) (sources.Drop, error) {
	folder, ok := u.line.config.Packages.Drop[name]
	if !ok {
		return sources.Drop{}, mirror.ErrNotFound
	}
	root, err := os.OpenRoot(folder) // what is in it cannot lead out of it
	if err != nil {
		return sources.Drop{}, unfolded(err)
	}
	defer root.Close()
	files, print, err := dropFiles(root)
	if err != nil {
		return sources.Drop{}, unfolded(err)
	}
	d := &u.line.drops
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.files == nil {
		d.files, d.seen = map[string]droppedFile{}, map[string]mirror.Digest{}
	}
	d.seen[name] = print
	look := dropLook{drops: d, folder: name, root: root, files: files, now: u.line.now()}
	for _, file := range sortedKeys(files) {
		if err := ctx.Err(); err != nil {
			return sources.Drop{}, err
		}
		look.take(file)
	}
	look.forget()
	return look.found, nil
}

// unfolded leaves the path of the machine out of an error: it is shown to whoever reads the fleet repository.
func unfolded(err error) error {
	if told := new(fs.PathError); errors.As(err, &told) {
		return told.Err
	}
	return err
}

// StrangeDrops tells of sets that take packages from a drop folder which the configuration does not have.
func StrangeDrops(c config.Config, desired mirror.Desired) (all mirror.Problems) {
	for _, set := range desired.Sets {
		for _, item := range set.Source.Node.Key("own").Items() {
			name, ok := item.Key("drop").Text()
			if _, known := c.Packages.Drop[name]; !ok || name == "" || known {
				continue
			}
			fix := "name it there under packages.drop, or mend the name"
			if near := mirror.Nearest(name, sortedKeys(c.Packages.Drop)); near != "" {
				fix = fmt.Sprintf("did you mean %q?", near)
			}
			all.Add("SRC118", item.Key("drop").Where(), fix, "config.yaml of this site has no drop folder %q", mirror.OneLine(name))
		}
	}
	return all
}

// dropsMoved says whether something was put into a drop folder of a set, or taken away, since it was asked last.
func (l *Line) dropsMoved(set mirror.Set) bool {
	for _, item := range set.Source.Node.Key("own").Items() {
		name, _ := item.Key("drop").Text()
		folder, ok := l.config.Packages.Drop[name]
		if !ok {
			continue
		}
		root, err := os.OpenRoot(folder)
		if err != nil {
			continue // told when it is asked
		}
		_, print, err := dropFiles(root)
		root.Close()
		l.drops.mu.Lock()
		moved := err == nil && l.drops.seen[name] != print
		l.drops.mu.Unlock()
		if moved {
			return true
		}
	}
	return false
}

// dropFiles lists the files of a folder, by name, and what identifies their state.
func dropFiles(root *os.Root) (map[string]fs.FileInfo, mirror.Digest, error) {
	dir, err := root.Open(".")
	if err != nil {
		return nil, mirror.Digest{}, err
	}
	defer dir.Close()
	entries, err := dir.Readdir(maxDropped + 1)
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return nil, mirror.Digest{}, err
	case len(entries) > maxDropped:
		return nil, mirror.Digest{}, fmt.Errorf("it has more than %d files: %w", maxDropped, mirror.ErrTooLarge)
	}
	files := map[string]fs.FileInfo{}
	var lines []string
	for _, e := range entries {
		files[e.Name()] = e
		lines = append(lines, e.Name()+" "+statOf(e))
	}
	slices.Sort(lines)
	return files, mirror.DigestOf([]byte(strings.Join(lines, "\n"))), nil
}

func statOf(f fs.FileInfo) string {
	if f == nil {
		return "none"
	}
	return fmt.Sprintf("%s %d %d", f.Mode().Type(), f.Size(), f.ModTime().UnixNano())
}

// dropLook is one look into a drop folder.
type dropLook struct {
	drops  *drops
	folder string
	root   *os.Root
	files  map[string]fs.FileInfo
	now    time.Time
	found  sources.Drop
}

// take takes one file, where it is a zip and whole.
func (k *dropLook) take(file string) {
	if !strings.HasSuffix(file, ".zip") || strings.HasPrefix(file, ".") {
		return // a signature, a file that is being written, or somebody's note
	}
	zip, signature := k.files[file], k.files[file+".sig"]
	key, stat := k.folder+"/"+file, statOf(zip)+" "+statOf(signature)
	before, known := k.drops.files[key]
	switch {
	case !droppable.MatchString(file):
		k.leave(file, "it has another name than letters, digits, dots, _, + and -, and .zip behind them")
		return
	case !zip.Mode().IsRegular() || signature != nil && !signature.Mode().IsRegular():
		k.leave(file, "it, or its signature, is no plain file")
		return
	case known && before.stat == stat:
	case !k.settled(zip) || signature != nil && !k.settled(signature):
		k.found.Again = k.now.Add(dropSettles)
		if !known {
			return
		}
		// What was taken before stays while somebody writes something newer over it.
	default:
		before = k.read(file, zip, signature)
		before.stat = stat
		k.drops.files[key] = before
	}
	if before.why != "" {
		k.leave(file, before.why)
		return
	}
	k.found.Packages = append(k.found.Packages, before.is)
}

// settled says whether a file has not changed for a while. One of the future is as old as it will ever get.
func (k *dropLook) settled(f fs.FileInfo) bool {
	age := k.now.Sub(f.ModTime())
	return age >= dropSettles || age < -time.Hour
}

func (k *dropLook) leave(file, why string) {
	k.found.Left = append(k.found.Left, sources.Left{Entry: mirror.Shorten(mirror.Clean(file), 120), Why: inDrop(k.folder) + mirror.Shorten(mirror.Clean(why), 200)})
}

// read reads a zip and its signature whole, once.
func (k *dropLook) read(file string, zip, signature fs.FileInfo) (d droppedFile) {
	if zip.Size() > elastic.MaxZip || signature != nil && (signature.Size() > elastic.MaxSignature || signature.Size() == 0) {
		return droppedFile{why: fmt.Sprintf("a package has at most %d MiB, and its signature 1 to %d KiB", elastic.MaxZip>>20, elastic.MaxSignature>>10)}
	}
	d.is.File = file
	h := sha256.New()
	if signature != nil {
		d.is.Signature = file + ".sig"
		f, _, err := k.copy(h, d.is.Signature, elastic.MaxSignature)
		if err != nil {
			return droppedFile{why: unfolded(err).Error()}
		}
		f.Close()
	}
	h.Write([]byte{0})
	f, size, err := k.copy(h, file, elastic.MaxZip)
	if err != nil {
		return droppedFile{why: unfolded(err).Error()}
	}
	facts, err := elastic.Check(f, size, mirror.Package{})
	f.Close()
	if wrong := new(mirror.Problem); errors.As(err, wrong) {
		return droppedFile{why: wrong.What}
	}
	if err != nil {
		return droppedFile{why: unfolded(err).Error()}
	}
	d.is.Package = facts.Package
	if d.is.Print, err = mirror.ParseDigest("sha256:" + hex.EncodeToString(h.Sum(nil))); err != nil {
		return droppedFile{why: err.Error()}
	}
	return d
}

// copy reads a file of at most limit bytes into w and gives it back, open.
func (k *dropLook) copy(w io.Writer, file string, limit int64) (*os.File, int64, error) {
	f, err := k.root.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0) // what became a pipe meanwhile must not hold us
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is no plain file any more") // reading of a pipe that somebody holds open would wait
	}
	var n int64
	if err == nil {
		n, err = io.Copy(w, io.LimitReader(f, limit+1))
	}
	if err == nil && n > limit {
		err = mirror.ErrTooLarge
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, n, nil
}

// forget drops what is known of files that are gone.
func (k *dropLook) forget() {
	for key := range k.drops.files {
		folder, file, _ := strings.Cut(key, "/")
		if folder == k.folder && k.files[file] == nil {
			delete(k.drops.files, key)
		}
	}
}
