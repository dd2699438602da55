// Package assemble makes images of Elastic's package registry that carry packages: the layers of a bare server image, and
// behind them layers with the packages of a channel.
//
// It promises that the same base and the same packages give the same bytes, that a group in which nothing changed keeps its
// layer, and that no layer is ever whole in memory or on disk: its bytes are read from the packages' own blobs as often as
// they are wanted, from any offset. It signs nothing and judges nothing; what goes in was admitted before.
package assemble

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Package is one package that goes in.
type Package struct {
	mirror.Package
	Zip       mirror.Descriptor
	Signature mirror.Descriptor
	At        mirror.Reference // the repository in which both lie
}

// Folder is where the packages lie in the image, as in the distributions of Elastic.
const Folder = "packages/package-storage"

// configFile replaces the settings of the bare image, which name no folder of packages inside.
const configFile = "package-registry/config.yml"

const config = `package_paths:
  - /packages/package-registry
  - /packages/package-storage

cache_time.index: 10s
cache_time.search: 10m
cache_time.categories: 10m
cache_time.catch_all: 10m
`

// Layer is one layer that is made here: a tar that is not compressed, since zips are.
type Layer struct {
	Key    string // identifies its content: the same key is the same bytes
	Size   int64
	Digest mirror.Digest // zero until it is measured

	parts []part
}

// part is a stretch of a layer: bytes, or a blob.
type part struct {
	bytes []byte
	blob  mirror.Descriptor
	at    mirror.Reference
}

func (p part) size() int64 {
	if p.bytes != nil {
		return int64(len(p.bytes))
	}
	return p.blob.Size
}

// Layers gives the layers for packages, of which every one has a signature: the settings, then one for each of n groups that
// is not empty. A package belongs to a group by its name, so its versions lie together and others are not touched by it.
func Layers(packages []Package, n int) []Layer {
	groups := make([][]Package, n)
	for _, p := range packages {
		h := fnv.New32a()
		io.WriteString(h, p.Name)
		i := int(h.Sum32() % uint32(n))
		groups[i] = append(groups[i], p)
	}
	all := []Layer{settings()}
	for _, group := range groups {
		if len(group) > 0 {
			all = append(all, groupLayer(group))
		}
	}
	return all
}

func settings() Layer {
	var b builder
	b.folder("package-registry/")
	b.file(configFile, int64(len(config)), part{bytes: []byte(config)})
	return b.layer()
}

func groupLayer(group []Package) Layer {
	slices.SortFunc(group, func(a, b Package) int { return cmp.Compare(a.String(), b.String()) })
	var b builder
	b.folder("packages/")
	b.folder(Folder + "/")
	for _, p := range group {
		name := Folder + "/" + p.String() + ".zip"
		b.file(name, p.Zip.Size, part{blob: p.Zip, at: p.At})
		b.file(name+".sig", p.Signature.Size, part{blob: p.Signature, at: p.At})
	}
	return b.layer()
}

// builder lays out a tar without reading what goes in.
type builder struct {
	parts []part
	names []byte // what the key is made of
}

func (b *builder) folder(name string) {
	b.header(&tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755})
}

func (b *builder) file(name string, size int64, content part) {
	b.header(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: size})
	digest := content.blob.Digest
	if content.bytes != nil {
		digest = mirror.DigestOf(content.bytes)
	}
	b.names = fmt.Appendf(b.names, "%q %s %d\n", name, digest, size)
	b.parts = append(b.parts, content)
	if rest := size % 512; rest != 0 {
		b.parts = append(b.parts, part{bytes: make([]byte, 512-rest)})
	}
}

func (b *builder) header(h *tar.Header) {
	h.ModTime = time.Unix(0, 0) // when it was made is nobody's fact
	var block bytes.Buffer
	if err := tar.NewWriter(&block).WriteHeader(h); err != nil {
		panic("assemble: " + err.Error()) // a name of a package and a size that was checked fit into a header
	}
	b.parts = append(b.parts, part{bytes: block.Bytes()})
}

func (b *builder) layer() Layer {
	b.parts = append(b.parts, part{bytes: make([]byte, 1024)}) // two empty blocks end a tar
	l := Layer{parts: b.parts, Key: mirror.DigestOf(append([]byte("layer 1\n"), b.names...)).Hex}
	for _, p := range b.parts {
		l.Size += p.size()
	}
	return l
}

// Measure reads the layer once and gives it with its digest. Blobs are checked against theirs by who gives them.
func (l Layer) Measure(ctx context.Context, c mirror.Content) (Layer, error) {
	body := l.Open(ctx, c, 0)
	defer body.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, body)
	if err != nil {
		return l, err
	}
	if n != l.Size {
		return l, fmt.Errorf("a layer of %d bytes came out with %d", l.Size, n)
	}
	l.Digest = mirror.Digest{Algorithm: "sha256", Hex: hex.EncodeToString(sum.Sum(nil))}
	return l, nil
}

// Open streams the layer from an offset on.
func (l Layer) Open(ctx context.Context, c mirror.Content, offset int64) io.ReadCloser {
	r := &reader{ctx: ctx, content: c, parts: l.parts}
	for len(r.parts) > 0 && offset >= r.parts[0].size() {
		offset -= r.parts[0].size()
		r.parts = r.parts[1:]
	}
	r.skip = offset
	return r
}

// reader reads one part after another.
type reader struct {
	ctx     context.Context
	content mirror.Content
	parts   []part
	skip    int64 // bytes of the first part
	open    io.ReadCloser
	left    int64 // bytes that the open blob still has to give
}

func (r *reader) Read(p []byte) (int, error) {
	for {
		if r.open != nil {
			n, err := r.open.Read(p)
			r.left -= int64(n)
			switch {
			case r.left < 0:
				return 0, fmt.Errorf("blob %s: longer than its descriptor says: %w", r.parts[0].blob.Digest, mirror.ErrDigestMismatch)
			case err == io.EOF && r.left > 0:
				return n, io.ErrUnexpectedEOF
			case err == io.EOF:
				err = r.next()
			}
			if n > 0 || err != nil {
				return n, err
			}
			continue
		}
		if len(r.parts) == 0 {
			return 0, io.EOF
		}
		if now := r.parts[0]; now.bytes == nil {
			blob, err := r.content.Blob(r.ctx, now.at, now.blob.Digest, r.skip)
			if err != nil {
				return 0, err
			}
			r.open, r.left = blob, now.blob.Size-r.skip
			continue
		}
		n := copy(p, r.parts[0].bytes[r.skip:])
		if r.skip += int64(n); r.skip == r.parts[0].size() {
			r.parts, r.skip = r.parts[1:], 0
		}
		if n > 0 || len(p) == 0 {
			return n, nil
		}
	}
}

func (r *reader) next() error {
	err := r.open.Close()
	r.open, r.parts, r.skip = nil, r.parts[1:], 0
	return err
}

// Close ends the reading of the blob that is open.
func (r *reader) Close() error {
	if r.open == nil {
		return nil
	}
	return r.open.Close()
}
