package epr

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

const (
	maxDirectories = 64 << 20  // bytes of all directories that are kept, about
	fileWeight     = 400       // bytes of a file in a directory beside its name
	maxDirectory   = 24 << 20  // bytes that are read for one directory
	blockSize      = 128 << 10 // bytes of one request for a part of a directory
	maxInMemory    = 4 << 20   // larger files are unpacked while they are sent
)

// directory is what lies where in the zip of a package.
type directory struct {
	files    map[string]*zip.File // by path below the root directory
	modified time.Time            // of the newest file
	window   *window
	mu       sync.Mutex
}

// directoryKey names a zip in a repository, which it is read from.
type directoryKey struct {
	repository string
	zip        mirror.Digest
}

// window is the part of a zip that was read last.
type window struct {
	ctx     context.Context
	content mirror.Content
	at      mirror.Reference
	is      mirror.Descriptor
	block   int64
	left    int64
	start   int64
	data    []byte
}

// ReadAt reads a block where the window does not show what is wanted.
func (w *window) ReadAt(p []byte, off int64) (int, error) {
	if off >= w.is.Size {
		return 0, io.EOF
	}
	if off < w.start || min(off+int64(len(p)), w.is.Size) > w.start+int64(len(w.data)) {
		if err := w.move(off, int64(len(p))); err != nil {
			return 0, err
		}
	}
	n := copy(p, w.data[off-w.start:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// move shows what is wanted and some more: a directory is read from its end first, then from its beginning on.
func (w *window) move(off, n int64) error {
	start, end := off, min(off+max(n, w.block), w.is.Size)
	if end == w.is.Size {
		start = min(off, max(0, end-w.block))
	}
	if w.left -= end - start; w.left < 0 {
		return fmt.Errorf("directory of the zip: %w", mirror.ErrTooLarge)
	}
	data, err := readAll(w.ctx, w.content, w.at, w.is, start, end-start)
	if err != nil {
		w.data = nil // what did not come must not be shown to the next one as zeros
		return err
	}
	w.start, w.data = start, data
	return nil
}

// directory reads the directory of a package's zip, by two or three small requests, once.
func (f *face) directory(ctx context.Context, v *version) (*directory, error) {
	key := directoryKey{v.Local.Name(), v.Layers.Zip.Digest}
	if d, ok := f.zips.get(key); ok {
		return d, nil
	}
	w := &window{ctx: ctx, content: f.content, at: v.Local, is: v.Layers.Zip, block: blockSize, left: maxDirectory}
	z, err := zip.NewReader(w, v.Layers.Zip.Size)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) { // such a name is never looked up
		return nil, fmt.Errorf("zip of %s: %w", v.Package, err)
	}
	d := &directory{files: make(map[string]*zip.File, len(z.File)), window: w}
	weight := fileWeight
	for _, one := range z.File {
		one.Extra, one.Comment = nil, "" // as long as somebody likes, and of no use
		weight += fileWeight + 2*len(one.Name)
		name, inside := strings.CutPrefix(one.Name, v.Package.String()+"/")
		if inside && !strings.HasSuffix(name, "/") {
			d.files[name] = one
		}
		if one.Modified.After(d.modified) {
			d.modified = one.Modified
		}
	}
	// From now on only the 30 bytes before a file are read through the window.
	w.block, w.data, w.left = 0, nil, 1<<40
	f.zips.add(key, d, weight)
	return d, nil
}

// dataOffset gives where the bytes of a file begin in the zip: only the header before them says it.
func (d *directory) dataOffset(ctx context.Context, file *zip.File) (int64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.window.ctx = ctx
	return file.DataOffset()
}

// open gives the bytes of a file of the zip.
func (f *face) open(ctx context.Context, v *version, d *directory, file *zip.File) (io.ReadSeeker, error) {
	offset, err := d.dataOffset(ctx, file)
	if err != nil {
		return nil, fmt.Errorf("file of %s: %w", v.Package, err)
	}
	e := &entry{blob: &blob{ctx: ctx, content: f.content, at: v.Local, is: v.Layers.Zip}, file: file, begins: offset}
	if file.UncompressedSize64 > maxInMemory {
		return e, nil
	}
	defer e.blob.Close()
	body, err := io.ReadAll(io.LimitReader(e, int64(file.UncompressedSize64)+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("file of %s: %w", v.Package, err)
	case uint64(len(body)) != file.UncompressedSize64 || crc32.ChecksumIEEE(body) != file.CRC32:
		return nil, fmt.Errorf("file of %s: %w", v.Package, zip.ErrChecksum)
	}
	return bytes.NewReader(body), nil
}

// entry reads a file of a zip from wherever it is asked to, by unpacking all before.
type entry struct {
	blob   *blob
	file   *zip.File
	begins int64 // of its packed bytes
	from   io.Reader
	offset int64
}

// Seek only notes the offset.
func (e *entry) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += e.offset
	case io.SeekEnd:
		offset += int64(e.file.UncompressedSize64)
	}
	if offset < 0 {
		return 0, errors.New("negative offset")
	}
	if offset != e.offset {
		e.from = nil
	}
	e.offset = offset
	return offset, nil
}

// Read unpacks on.
func (e *entry) Read(p []byte) (int, error) {
	if e.from == nil {
		if _, err := e.blob.Seek(e.begins, io.SeekStart); err != nil {
			return 0, err
		}
		e.from = io.LimitReader(e.blob, int64(e.file.CompressedSize64))
		if e.file.Method == zip.Deflate {
			e.from = flate.NewReader(e.from)
		}
		if _, err := io.CopyN(io.Discard, e.from, e.offset); err != nil {
			return 0, err
		}
	}
	n, err := e.from.Read(p)
	e.offset += int64(n)
	return n, err
}
