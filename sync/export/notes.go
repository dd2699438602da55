package export

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Names that no package registry reads: it takes what ends in .zip.
const (
	notesFile  = ".poundlock.json"
	partPrefix = ".poundlock-"
	partSuffix = ".part"
)

func part(name string) string { return partPrefix + name + partSuffix }

// file is one of the two files of a package.
type file struct {
	name string
	mirror.Descriptor
}

// files gives the files in the order in which they get their names.
func (p Package) files() []file {
	return []file{{p.Name + ".zip.sig", p.Signature}, {p.Name + ".zip", p.Zip}}
}

// notes say which files of a folder are ours. They may be lost: files with the bytes that are wanted are adopted then, and
// others are nobody's.
type notes struct {
	Files map[string]note `json:"files"`
}

// note is what was written under a name. Without size and time it was about to be.
type note struct {
	Digest string `json:"digest"` // "" of a file that went
	Size   int64  `json:"size"`
	Time   int64  `json:"time,omitempty"` // of the file, in nanoseconds
}

// is says whether a file still is what was noted, and that is what is wanted. Whole zips are not read again for it.
func (n note) is(want mirror.Descriptor, info fs.FileInfo) bool {
	return n.Digest == want.Digest.String() && n.Time != 0 && n.stands(info)
}

// stands says whether nobody changed a file since it was noted.
func (n note) stands(info fs.FileInfo) bool {
	return info.Mode().IsRegular() && (n.Time == 0 || n.Size == info.Size() && n.Time == info.ModTime().UnixNano())
}

// maxNotes bounds the notes of a folder: 60,000 packages take a quarter of it.
const maxNotes = 64 << 20

func (f *folder) readNotes() (n notes, err error) {
	n.Files = map[string]note{}
	in, err := f.root.Open(f.at(notesFile))
	if errors.Is(err, fs.ErrNotExist) {
		return n, nil
	}
	if err != nil {
		return n, err
	}
	defer in.Close()
	if info, err := in.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() > maxNotes {
		return n, errors.Join(err, fmt.Errorf("%s is no file of ours: move it away", notesFile))
	}
	body, err := io.ReadAll(in)
	if err != nil {
		return n, err
	}
	for line := range strings.Lines(string(body)) {
		var one struct {
			Name string `json:"name"`
			note
		}
		if json.Unmarshal([]byte(line), &one) != nil {
			continue // the last line of a process that died: what it says was not done yet
		}
		if one.Digest == "" {
			delete(n.Files, one.Name)
		} else {
			n.Files[one.Name] = one.note
		}
	}
	return n, f.shorten(n, strings.Count(string(body), "\n"))
}

// shorten writes the notes anew where most of their lines say what is past.
func (f *folder) shorten(n notes, lines int) error {
	if lines < 4*len(n.Files)+100 {
		return nil
	}
	var b strings.Builder
	for _, name := range sorted(n.Files) {
		b.Write(noteLine(name, n.Files[name]))
	}
	out, err := f.root.OpenFile(f.at(part("notes")), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, b.String())
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		return err
	}
	return f.root.Rename(f.at(part("notes")), f.at(notesFile))
}

func noteLine(name string, n note) []byte {
	line, err := json.Marshal(struct {
		Name string `json:"name"`
		note
	}{name, n})
	if err != nil {
		panic("export: " + err.Error()) // texts and numbers alone
	}
	return append(line, '\n')
}

// intend notes files that are about to be written, so that a process that dies in between finds them as its own.
func (f *folder) intend(files []file) error {
	var lines []byte
	for _, one := range files {
		n := note{Digest: one.Digest.String(), Size: one.Size}
		f.notes.Files[one.name] = n
		lines = append(lines, noteLine(one.name, n)...)
	}
	return f.append(lines, true)
}

// note remembers a file of ours as it lies there. Where that is lost its bytes are read again.
func (f *folder) note(one file, info fs.FileInfo) error {
	n := note{one.Digest.String(), one.Size, info.ModTime().UnixNano()}
	f.notes.Files[one.name] = n
	return f.append(noteLine(one.name, n), false)
}

func (f *folder) forget(name string) error {
	delete(f.notes.Files, name)
	return f.append(noteLine(name, note{}), false)
}

func (f *folder) append(lines []byte, safe bool) error {
	if err := f.step("note"); err != nil {
		return err
	}
	out, err := f.root.OpenFile(f.at(notesFile), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	_, err = out.Write(lines)
	if safe && err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}

// holdsBytes reads a file and says whether it has the bytes that are wanted.
func (f *folder) holdsBytes(want file) (bool, error) {
	in, err := f.root.Open(f.at(want.name))
	if err != nil {
		return false, err
	}
	defer in.Close()
	if info, err := in.Stat(); err != nil || info.Size() != want.Size {
		return false, err
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, in); err != nil {
		return false, err
	}
	return hex.EncodeToString(sum.Sum(nil)) == want.Digest.Hex, nil
}

// sync makes sure that the names in the folder are on disk.
func (f *folder) sync() error {
	dir, err := f.root.Open(f.name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EROFS)
}

// Trouble says in words what is the matter with a disk, and what to do; false for any other error.
func Trouble(err error) (what, fix string, ok bool) {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "no space is left for packages", "free space there; what was written stays, and the rest follows by itself", true
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		return "the folder for packages cannot be written", "make it writable for the user of poundlock", true
	case errors.Is(err, fs.ErrNotExist):
		return "the folder for packages is not there", "make it, or mount the disk that it lies on", true
	}
	return "", "", false
}

func sorted[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }
