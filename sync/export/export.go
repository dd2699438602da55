// Package export keeps folders of Elastic packages for a package registry of Elastic that runs beside.
//
// It promises that such a server never sees a zip without its signature, or a part of one: the signature is in place before
// the zip is, both are whole and on disk before they get their names, and whatever moment the process dies at, the next
// call goes on from there. A package is in the folder of the higher stage before it leaves that of the lower one. What it
// did not write it never changes: that is told. What a folder is to hold is the caller's matter.
package export

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Package is one package that a folder is to hold.
type Package struct {
	Name      string // name-version: the names of its files without their endings
	Zip       mirror.Descriptor
	Signature mirror.Descriptor // zero where it has none: then it is left out
	At        mirror.Reference  // the repository in which both lie
}

// Folder is what one folder below the root is to hold.
type Folder struct {
	Name     string // of the folder: a stage
	Packages []Package
}

// Result is what was done, and what was not.
type Result struct {
	Added, Removed int
	Bytes          int64    // written
	LeftOut        []string // packages without signature, as folder/name-version
	Foreign        []string // files that are not ours and in the way or of no use, as folder/file
	Kept           []string // packages that should have left a folder and stay until they are in a higher one
}

// Exporter keeps the folders below one root.
type Exporter struct {
	root *os.Root
	from mirror.Content
	step func(what string) error // called before each change of the disk
}

// Open opens the root, which has to be there: a disk that is not mounted is no empty folder.
func Open(dir string, from mirror.Content) (*Exporter, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("folder for packages: %w", err)
	}
	return &Exporter{root, from, func(string) error { return nil }}, nil
}

// Close ends the use of the root.
func (e *Exporter) Close() error { return e.root.Close() }

// Export makes the folders hold what they are to hold. They come highest stage first: packages are added to all of them in
// that order, and only then removed, so that a server that reads all of them never misses one. One package that cannot be
// written does not stop the others; the error tells of each.
func (e *Exporter) Export(ctx context.Context, folders []Folder) (Result, error) {
	var r Result
	var failed []error
	opened := make([]*folder, len(folders))
	for i, want := range folders {
		f, err := e.open(want)
		if err != nil {
			return r, fmt.Errorf("%s: %w", want.Name, err)
		}
		opened[i] = f
		if err := f.add(ctx, &r); err != nil {
			failed = append(failed, err)
		}
		if ctx.Err() != nil {
			return r, errors.Join(append(failed, context.Cause(ctx))...)
		}
	}
	for i, f := range opened {
		if err := f.remove(opened[:i], &r); err != nil {
			failed = append(failed, err)
		}
	}
	slices.Sort(r.Foreign)
	r.Foreign = slices.Compact(r.Foreign)
	return r, errors.Join(failed...)
}

// folder is one folder while it is worked on.
type folder struct {
	*Exporter
	name  string
	want  map[string]Package
	notes notes
	holds map[string]fs.FileInfo // its files, by name
}

func (e *Exporter) open(want Folder) (*folder, error) {
	if !fs.ValidPath(want.Name) || strings.Contains(want.Name, "/") || want.Name == "." {
		return nil, fmt.Errorf("%q is no name of a folder", want.Name)
	}
	if err := e.root.Mkdir(want.Name, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	f := &folder{Exporter: e, name: want.Name, want: map[string]Package{}, holds: map[string]fs.FileInfo{}}
	for _, p := range want.Packages {
		f.want[p.Name] = p
	}
	if err := f.list(); err != nil {
		return nil, err
	}
	var err error
	f.notes, err = f.readNotes()
	return f, err
}

// list learns what lies in the folder. What a process that died left half written goes.
func (f *folder) list() error {
	dir, err := f.root.Open(f.name)
	if err != nil {
		return err
	}
	defer dir.Close()
	entries, err := dir.ReadDir(-1)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), partPrefix) && strings.HasSuffix(entry.Name(), partSuffix) {
			if err := f.root.Remove(f.at(entry.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			continue
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		f.holds[entry.Name()] = info
	}
	return nil
}

func (f *folder) at(name string) string { return path.Join(f.name, name) }

// toldFailures is how many packages of a folder that cannot be written are told one by one.
const toldFailures = 20

// add brings every package that is wanted, in order of their names.
func (f *folder) add(ctx context.Context, r *Result) error {
	var failed []error
	more := 0
	for _, name := range sorted(f.want) {
		p := f.want[name]
		if p.Signature.Digest == (mirror.Digest{}) {
			r.LeftOut = append(r.LeftOut, f.at(name))
			delete(f.want, name)
			continue
		}
		has, foreign, err := f.has(p)
		switch {
		case err != nil:
		case has:
			continue
		case foreign != "":
			r.Foreign = append(r.Foreign, f.at(foreign))
			delete(f.want, name)
			continue
		default:
			err = f.bring(ctx, p)
		}
		if err != nil {
			if len(failed) < toldFailures {
				failed = append(failed, fmt.Errorf("%s: %w", f.at(name), err))
			} else {
				more++
			}
			if ctx.Err() != nil || isFull(err) {
				break // every other one would meet the same
			}
			continue
		}
		r.Added++
		r.Bytes += p.Zip.Size + p.Signature.Size
	}
	if more > 0 {
		failed = append(failed, fmt.Errorf("%s: %d packages more could not be written", f.name, more))
	}
	return errors.Join(failed...)
}

// has says whether a package lies in the folder as it is wanted; foreign is the file in its place that is not ours. A file
// that nobody noted, but that has the bytes that are wanted, is adopted.
func (f *folder) has(p Package) (has bool, foreign string, err error) {
	has = true
	for _, file := range p.files() {
		info, there := f.holds[file.name]
		switch note, ours := f.notes.Files[file.name]; {
		case !there:
			has = false
		case !info.Mode().IsRegular():
			return false, file.name, nil
		case ours && note.is(file.Descriptor, info):
		case ours && note.Time != 0 && note.Digest != file.Digest.String() && note.stands(info):
			has = false // ours of before
		default:
			same, err := f.holdsBytes(file)
			switch {
			case err != nil:
				return false, "", err
			case same:
				err = f.note(file, info)
			case ours:
				has = false // half of it was lost, or it was changed: written anew
			default:
				return false, file.name, nil
			}
			if err != nil {
				return false, "", err
			}
		}
	}
	return has, "", nil
}

// bring writes both files whole, and then gives them their names: the signature first. A zip that is replaced has its new
// signature for that moment, which no server checks.
func (f *folder) bring(ctx context.Context, p Package) error {
	files := p.files()
	for _, file := range files {
		if err := f.writePart(ctx, p.At, file); err != nil {
			return err
		}
	}
	if err := f.intend(files); err != nil {
		return err
	}
	for _, file := range files {
		if err := f.step("rename " + file.name); err != nil {
			return err
		}
		if err := f.root.Rename(f.at(part(file.name)), f.at(file.name)); err != nil {
			return err
		}
		if err := f.sync(); err != nil {
			return err
		}
		info, err := f.root.Lstat(f.at(file.name))
		if err != nil {
			return err
		}
		f.holds[file.name] = info
		if err := f.note(file, info); err != nil {
			return err
		}
	}
	return nil
}

// writePart writes a file under a name that no server reads, and makes sure that it is on disk.
func (f *folder) writePart(ctx context.Context, at mirror.Reference, file file) (err error) {
	name := f.at(part(file.name))
	out, err := f.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) // before the bytes are asked for in vain
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.root.Remove(name))
		}
	}()
	if err := f.step("write " + file.name); err != nil {
		return errors.Join(err, out.Close())
	}
	blob, err := f.from.Blob(ctx, at, file.Digest, 0)
	if err != nil {
		return errors.Join(err, out.Close())
	}
	defer blob.Close()
	n, err := io.Copy(out, io.LimitReader(blob, file.Size+1)) // the reader itself compares the digest at its end
	if err == nil && n != file.Size {
		err = fmt.Errorf("%d bytes came, want %d", n, file.Size)
	}
	if err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}

// remove takes away what is wanted here no more, the zip first, once every higher folder that wants it has it.
func (f *folder) remove(higher []*folder, r *Result) error {
	var failed []error
	for _, name := range f.packages() {
		if _, wanted := f.want[name]; wanted {
			continue
		}
		if slices.ContainsFunc(higher, func(h *folder) bool { return h.lacks(name) }) {
			r.Kept = append(r.Kept, f.at(name))
			continue
		}
		gone := false
		for _, file := range []string{name + ".zip", name + ".zip.sig"} {
			info, there := f.holds[file]
			note, ours := f.notes.Files[file]
			if there && (!ours || !note.stands(info)) {
				r.Foreign = append(r.Foreign, f.at(file))
				break
			}
			if !there {
				continue
			}
			err := f.step("remove " + file)
			if err == nil {
				err = f.root.Remove(f.at(file))
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				failed = append(failed, err)
				break
			}
			gone = true
			delete(f.holds, file)
			if err := errors.Join(f.sync(), f.forget(file)); err != nil {
				failed = append(failed, err)
				break
			}
		}
		if gone {
			r.Removed++
		}
	}
	return errors.Join(failed...)
}

// lacks says whether a package is wanted in the folder and not there whole.
func (f *folder) lacks(name string) bool {
	_, wanted := f.want[name]
	_, zip := f.holds[name+".zip"]
	return wanted && !zip
}

// packages gives the names of what lies in the folder, sorted, whether ours or not.
func (f *folder) packages() (names []string) {
	for file := range f.holds {
		name, isZip := strings.CutSuffix(strings.TrimSuffix(file, ".sig"), ".zip")
		if isZip && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
