package elastic

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Build packs the files below a folder as a package. The same files give the same bytes. What is wrong with them is told in
// one pass, each at its file. What elastic-package leaves out (_dev, build, .git) is left out; what it makes itself cannot be
// made here and is refused.
func Build(files mirror.Files, dir string) (zip []byte, p mirror.Package, ps mirror.Problems) {
	b := folder{files: files, dir: strings.TrimSuffix(dir, "/")}
	b.read()
	if len(b.problems) > 0 {
		return nil, mirror.Package{}, b.problems
	}
	zip, err := b.pack()
	if err != nil {
		b.add("", "PKG011", "see the error", "it cannot be packed: %v", err)
		return nil, mirror.Package{}, b.problems
	}
	if _, err := Check(bytes.NewReader(zip), int64(len(zip)), b.is); err != nil {
		var wrong mirror.Problem
		if !errors.As(err, &wrong) {
			wrong = mirror.Problem{Code: "PKG001", What: err.Error()}
		}
		b.add("", wrong.Code, wrong.Fix, "%s", wrong.What)
		return nil, mirror.Package{}, b.problems
	}
	return zip, b.is, nil
}

// folder is a package that lies unpacked in a folder.
type folder struct {
	files    mirror.Files
	dir      string
	is       mirror.Package
	names    []string // of the files that are packed, below dir, in order
	problems mirror.Problems
}

func (b *folder) add(file, code, fix, format string, args ...any) {
	b.problems.Add(code, mirror.Position{File: path.Join(b.dir, file)}, fix, format, args...)
}

// read finds what is packed and what is wrong with it.
func (b *folder) read() {
	for _, name := range b.files.Under(b.dir) {
		name = strings.TrimPrefix(name, b.dir+"/")
		if !left(name) {
			b.names = append(b.names, name)
			b.readName(name)
		}
	}
	body, has := b.files[path.Join(b.dir, manifestFile)]
	if !has {
		b.add("", "PKG006", "write manifest.yml, or name another folder", "the folder is no package: it has no %s", manifestFile)
		return
	}
	var err error
	if b.is, err = Identify(body); err != nil {
		b.problems.Add("PKG007", mirror.Position{File: path.Join(b.dir, manifestFile), Line: versionLine(body)}, mendManifest(body), "%v", err)
	}
	if !slices.Contains(b.names, readmeFile) {
		b.add(readmeFile, "PKG009", "write it", "there is no %s, without which no package registry lists the package", readmeFile)
	}
	b.readMade()
}

// readName refuses what a package registry refuses to list.
func (b *folder) readName(name string) {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if strings.Contains(path.Base(dir), "-") {
			b.add(name, "PKG011", "write _ in its place", "folder %q has a hyphen in its name, which no package registry lists", dir)
			return
		}
	}
}

// left says whether a file is no part of the package. Source: elastic/elastic-package : internal/files/copy.go,
// CopyWithoutDev.
func left(name string) bool {
	return slices.ContainsFunc(strings.Split(name, "/"), func(part string) bool {
		return part == "_dev" || part == "build" || part == ".git" || part == ".DS_Store" || part == ".gitkeep"
	})
}

// earliest is the first time that a zip can tell: files have none of their own here.
var earliest = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// pack writes the zip as elastic-package lays it out, folders with entries of their own. The bytes are stored, not squeezed:
// then they stay the same when the compressor changes, and with them signature and digest.
func (b *folder) pack() ([]byte, error) {
	var out bytes.Buffer
	packed := zip.NewWriter(&out)
	for _, name := range b.entries() {
		body := b.files[path.Join(b.dir, name)]
		header := &zip.FileHeader{Name: path.Join(b.is.String(), name), Method: zip.Store, Modified: earliest,
			CRC32: crc32.ChecksumIEEE(body), CompressedSize64: uint64(len(body)), UncompressedSize64: uint64(len(body))}
		header.ModifiedDate = 1<<5 | 1 // the same day for readers that know only the old field: raw entries get what is written here
		header.SetMode(0o644)
		if name == "" || strings.HasSuffix(name, "/") {
			header.Name += "/"
			header.SetMode(0o755)
		}
		// Raw, because sizes are known: then they stand before the bytes, where readers of streams want them.
		w, err := packed.CreateRaw(header)
		if err != nil {
			return nil, err
		}
		if _, err := w.Write(body); err != nil {
			return nil, err
		}
	}
	if err := packed.Close(); err != nil {
		return nil, err
	}
	if out.Len() > MaxZip {
		return nil, fmt.Errorf("%d MiB: %w", out.Len()>>20, mirror.ErrTooLarge)
	}
	return out.Bytes(), nil
}

// entries are files and folders in order, each folder with a slash behind it before what is in it; "" is the root.
func (b *folder) entries() []string {
	all := []string{""}
	for _, name := range b.names {
		all = append(all, name)
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			all = append(all, dir+"/")
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
