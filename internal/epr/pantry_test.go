package epr

import (
	"archive/zip"
	"bytes"
	"context"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/elastic"
	"github.com/poundlock/poundlock/internal/mirror"
)

// pantry is content in memory that is read in ranges, with faults.
type pantry struct {
	mirror.Content
	mu        sync.Mutex
	manifests map[mirror.Digest]mirror.Manifest
	blobs     map[mirror.Digest][]byte
	asked     int                                             // blobs
	sent      int64                                           // bytes of blobs
	fault     func(d mirror.Digest, offset int64) error       // instead of an answer
	broken    func(d mirror.Digest, offset int64) (after int) // bytes after which an answer breaks off; below zero for never
}

func newPantry() *pantry {
	return &pantry{manifests: map[mirror.Digest]mirror.Manifest{}, blobs: map[mirror.Digest][]byte{}}
}

func (p *pantry) Manifest(_ context.Context, _ mirror.Reference, d mirror.Digest) (mirror.Manifest, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m, ok := p.manifests[d]; ok {
		return m, nil
	}
	return mirror.Manifest{}, mirror.ErrNotFound
}

func (p *pantry) Blob(_ context.Context, _ mirror.Reference, d mirror.Digest, offset int64) (io.ReadCloser, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	if p.fault != nil {
		if err := p.fault(d, offset); err != nil {
			return nil, err
		}
	}
	body, ok := p.blobs[d]
	if !ok {
		return nil, mirror.ErrNotFound
	}
	s := &serving{pantry: p, from: bytes.NewReader(body[offset:]), left: -1}
	if p.broken != nil {
		s.left = p.broken(d, offset)
	}
	if offset == 0 && mirror.DigestOf(body) != d {
		s.end = mirror.ErrDigestMismatch
	}
	return s, nil
}

// serving is one answer with a blob.
type serving struct {
	pantry *pantry
	from   *bytes.Reader
	left   int
	end    error // instead of io.EOF
}

func (s *serving) Read(b []byte) (int, error) {
	if s.left == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	if s.left > 0 {
		b = b[:min(len(b), s.left)]
	}
	n, err := s.from.Read(b)
	s.left = max(s.left-n, min(s.left, 0))
	s.pantry.mu.Lock()
	s.pantry.sent += int64(n)
	s.pantry.mu.Unlock()
	if err == io.EOF && s.end != nil {
		err = s.end
	}
	return n, err
}

func (s *serving) Close() error { return nil }

// put stores a package and gives its item.
func (p *pantry) put(t testing.TB, packed, signature []byte) Item {
	t.Helper()
	f, err := elastic.Check(bytes.NewReader(packed), int64(len(packed)), mirror.Package{})
	if err != nil {
		t.Fatal(err)
	}
	zip := mirror.Descriptor{Digest: mirror.DigestOf(packed), Size: int64(len(packed))}
	a := elastic.Pack(mirror.Reference{Host: "registry.example", Repository: "mirror/" + f.Name}, zip, signature, f)
	p.manifests[a.Manifest.Descriptor.Digest] = a.Manifest
	maps.Copy(p.blobs, a.Blobs)
	p.blobs[zip.Digest] = packed
	l, err := elastic.Open(a.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	i, err := NewItem(f, a.Image, l)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// packageTime is when all files of packages were made.
var packageTime = time.Date(2026, 3, 4, 5, 6, 8, 0, time.UTC)

// packZip makes a zip of files below a root directory, in the order of the names that are given first; a name that ends in a
// slash is a folder.
func packZip(t testing.TB, root string, files map[string]string, order ...string) []byte {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if !slices.Contains(order, name) {
			order = append(order, name)
		}
	}
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range order {
		method := zip.Deflate
		if strings.HasSuffix(name, ".png") || strings.HasSuffix(name, "/") {
			method = zip.Store
		}
		f, err := w.CreateHeader(&zip.FileHeader{Name: root + "/" + name, Method: method, Modified: packageTime})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(f, files[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// simple makes a small package: the lines are added to its manifest.
func simple(t testing.TB, id string, lines ...string) []byte {
	t.Helper()
	p, err := mirror.ParsePackage(id)
	if err != nil {
		t.Fatal(err)
	}
	manifest := "format_version: 3.0.0\nname: " + p.Name + "\ntitle: T\ndescription: D\nversion: " + p.Version + "\n" + strings.Join(lines, "\n") + "\n"
	return packZip(t, id, map[string]string{"manifest.yml": manifest, "docs/README.md": "# " + id + "\n", "img/icon.svg": "<svg/>\n"})
}

// serve answers for packages of the pantry.
func (p *pantry) serve(items []Item, options ...Option) http.Handler {
	c := NewChannel(items)
	return Handler(func() *Channel { return c }, p, options...)
}

func get(h http.Handler, target string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}
