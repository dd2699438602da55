package elastic

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/poundlock/poundlock/internal/mirror"
)

const (
	// maxDirectory bounds what is read before the number of entries is known: a directory of more is no package's, and a
	// zip may claim millions of entries.
	maxDirectory = 24 << 20
	// Text of rules and dashboards packs well; what packs better than this is made to fill somebody's disk.
	maxRatio   = 200
	ratioAbove = 1 << 20 // bytes unpacked
	maxName    = 1024    // bytes of the name of an entry
)

// source is where the bytes of a zip are. It counts while the directory is read, and keeps the first error that is not of
// the zip but of what it lies on.
type source struct {
	io.ReaderAt
	left    int64
	counted bool // the directory is read
	err     error
}

var errDirectory = errors.New("the directory of the zip is too large")

// ReadAt reads as the source does.
func (s *source) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 { // where a directory points to a place before the zip
		return 0, zip.ErrFormat
	}
	if !s.counted {
		if s.left -= int64(len(p)); s.left < 0 {
			return 0, errDirectory
		}
	}
	n, err := s.ReaderAt.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) && s.err == nil {
		s.err = err
	}
	return n, err
}

// checked is a zip while it is checked.
type checked struct {
	from *source
	size int64
	want mirror.Package
	// outline leaves files alone that are no documents: they were read when the package was checked.
	outline bool
	zip     *zip.Reader
	root    string // name of the one directory at the top
	facts   Facts
}

// name is what the package is called where something is wrong with it.
func (c *checked) name() string {
	switch {
	case c.want != (mirror.Package{}):
		return c.want.String() + ".zip"
	case c.root != "":
		return c.root + ".zip"
	}
	return "the zip"
}

func (c *checked) problem(code, fix, format string, args ...any) error {
	var ps mirror.Problems
	ps.Add(code, mirror.Position{File: c.name()}, fix, format, args...)
	return ps[0]
}

const rebuild = "build the package again, as elastic-package build does"

// open reads the directory of the zip.
func (c *checked) open(size int64) (err error) {
	if size > MaxZip {
		return c.problem("PKG002", "split the package", "it has %d MiB, more than %d", size>>20, MaxZip>>20)
	}
	c.size = size
	c.zip, err = zip.NewReader(c.from, size)
	c.from.counted = true
	switch {
	case errors.Is(err, errDirectory):
		return c.problem("PKG002", "split the package", "its directory has more than %d MiB", maxDirectory>>20)
	case errors.Is(err, zip.ErrInsecurePath): // told with the name of the entry below
	case err != nil:
		return c.problem("PKG001", "fetch or build it again", "it is no zip, or a damaged one: %v", err)
	case len(c.zip.File) > MaxEntries:
		return c.problem("PKG002", "split the package", "it has %d files and folders, more than %d", len(c.zip.File), MaxEntries)
	case len(c.zip.File) == 0:
		return c.problem("PKG006", rebuild, "it holds no file")
	}
	return nil
}

// readNames refuses every entry that some reader could take for something else than a file or a folder below the root.
func (c *checked) readNames() error {
	seen := map[string]string{} // name as told, by its folded form
	for _, f := range c.zip.File {
		if why := unsafeName(f.Name); why != "" {
			return c.problem("PKG003", rebuild, "entry %q: %s", cut(f.Name), why)
		}
		if why := unsafeKind(f); why != "" {
			return c.problem("PKG004", rebuild, "entry %q is %s", cut(f.Name), why)
		}
		name := strings.TrimSuffix(f.Name, "/")
		folded := fold(name)
		if first, twice := seen[folded]; twice {
			return c.problem("PKG005", rebuild, "entries %q and %q are one name where letters of both cases are the same", cut(first), cut(name))
		}
		seen[folded] = name
	}
	for _, f := range c.zip.File {
		if isFolder(f) {
			delete(seen, fold(strings.TrimSuffix(f.Name, "/")))
		}
	}
	for _, f := range c.zip.File {
		for dir := path.Dir(strings.TrimSuffix(f.Name, "/")); dir != "."; dir = path.Dir(dir) {
			if file, is := seen[fold(dir)]; is {
				return c.problem("PKG005", rebuild, "entry %q is a file, and the folder of %q", cut(file), cut(f.Name))
			}
		}
	}
	return nil
}

// fold gives the form that names have in common which a file system may take for the same.
func fold(name string) string { return strings.ToLower(strings.ToUpper(name)) }

func isFolder(f *zip.File) bool { return strings.HasSuffix(f.Name, "/") }

// cut bounds a name of an entry for a message.
func cut(name string) string { return mirror.Shorten(name, 120) }

func unsafeName(name string) string {
	clean := strings.TrimSuffix(name, "/")
	switch {
	case len(name) > maxName:
		return fmt.Sprintf("the name has %d bytes, more than %d", len(name), maxName)
	case !utf8.ValidString(name):
		return "the name is no UTF-8"
	case strings.HasPrefix(name, "/"):
		return "the name begins at the root of the disk"
	case strings.Contains(name, `\`):
		return "the name has a backslash, which some readers take for the separator of folders"
	case strings.ContainsFunc(name, unicode.IsControl):
		return "the name has a control character"
	case len(name) > 1 && name[1] == ':':
		return "the name begins with a drive"
	case clean == ".." || strings.HasPrefix(clean, "../") || strings.Contains("/"+clean+"/", "/../"):
		return "the name leads out of the package"
	case path.Clean(clean) != clean || clean == "." || clean == "":
		return "the name is not in its shortest form"
	}
	return ""
}

func unsafeKind(f *zip.File) string {
	kind := f.Mode().Type()
	switch {
	case f.Flags&0x1 != 0:
		return "encrypted"
	case f.Method != zip.Store && f.Method != zip.Deflate:
		return fmt.Sprintf("packed by method %d, which package registries do not read", f.Method)
	case isFolder(f) && (f.UncompressedSize64 > 0 || kind&^fs.ModeDir != 0):
		return "named as a folder and is none"
	case !isFolder(f) && kind&fs.ModeSymlink != 0:
		return "a symbolic link"
	case !isFolder(f) && kind != 0:
		return "neither a file nor a folder"
	}
	return ""
}

// readSizes refuses by what the directory says; that files are what it says is seen when they are read.
func (c *checked) readSizes() error {
	var packed, unpacked uint64
	for _, f := range c.zip.File {
		if f.UncompressedSize64 > MaxUnpacked || f.CompressedSize64 > MaxZip {
			return c.problem("PKG002", "split the package", "entry %q has more than %d MiB", cut(f.Name), MaxUnpacked>>20)
		}
		packed, unpacked = packed+f.CompressedSize64, unpacked+f.UncompressedSize64
		if f.UncompressedSize64 > ratioAbove && f.UncompressedSize64 > f.CompressedSize64*maxRatio {
			return c.problem("PKG002", "do not mirror it", "entry %q unpacks to more than %d times its size", cut(f.Name), maxRatio)
		}
	}
	switch {
	case unpacked > MaxUnpacked:
		return c.problem("PKG002", "split the package", "unpacked it has %d MiB, more than %d", unpacked>>20, MaxUnpacked>>20)
	case packed > uint64(c.size):
		return c.problem("PKG005", "do not mirror it", "its entries share bytes: together they have more than the zip")
	}
	return nil
}
