package testenv

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/poundlock/poundlock/internal/mirror"
)

// BigRepository and BigTag name the one image of a Big.
const (
	BigRepository = "big/image"
	BigTag        = "1"
)

// Big is an upstream with one image whose only layer is as large as wanted and is made while it is read, so
// that memory can be measured without a disk. It answers reads alone, with ranges; serve it with NewServer.
type Big struct {
	layer    mirror.Descriptor
	config   []byte
	manifest mirror.Manifest
}

// NewBig makes an upstream with a layer of size bytes. The layer is hashed once: 2 GiB take a second or two.
func NewBig(size int64) *Big {
	h := sha256.New()
	_, _ = io.Copy(h, &stream{size: size}) // neither fails
	b := &Big{layer: mirror.Descriptor{MediaType: types.OCIUncompressedLayer, Size: size,
		Digest: mirror.Digest{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}}}
	b.config = must(json.Marshal(map[string]any{"architecture": "amd64", "os": "linux", "created": made,
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{b.layer.Digest.String()}}}))
	config := mirror.Descriptor{MediaType: types.OCIConfigJSON, Size: int64(len(b.config)), Digest: mirror.DigestOf(b.config)}
	b.manifest = mirror.NewManifest(string(types.OCIManifestSchema1), must(json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": types.OCIManifestSchema1, "config": config, "layers": []mirror.Descriptor{b.layer}})))
	return b
}

// Digest is that of the image's manifest.
func (b *Big) Digest() mirror.Digest { return b.manifest.Descriptor.Digest }

// ServeHTTP answers GET and HEAD of the image's manifest and blobs.
func (b *Big) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	object, found := strings.CutPrefix(r.URL.Path, "/v2/"+BigRepository+"/")
	what := path.Base(object)
	switch {
	case r.URL.Path == "/v2/":
	case !found:
		http.NotFound(w, r)
	case strings.HasPrefix(object, "manifests/") && (what == BigTag || what == b.Digest().String()):
		serveContent(w, r, b.manifest.Descriptor, bytes.NewReader(b.manifest.Body))
	case object == "blobs/"+b.layer.Digest.String():
		serveContent(w, r, mirror.Descriptor{MediaType: "application/octet-stream", Digest: b.layer.Digest}, &stream{size: b.layer.Size})
	case object == "blobs/"+mirror.DigestOf(b.config).String():
		serveContent(w, r, mirror.Descriptor{MediaType: "application/octet-stream", Digest: mirror.DigestOf(b.config)}, bytes.NewReader(b.config))
	default:
		http.NotFound(w, r)
	}
}

func serveContent(w http.ResponseWriter, r *http.Request, d mirror.Descriptor, content io.ReadSeeker) {
	w.Header().Set("Content-Type", string(d.MediaType))
	w.Header().Set("Docker-Content-Digest", d.Digest.String())
	http.ServeContent(w, r, "", time.Time{}, content)
}

// stream is size pseudo-random bytes that no compression shortens: one random block over and over, each
// time with its own number at the start.
type stream struct{ size, at int64 }

var block = func() []byte {
	b := make([]byte, 64<<10)
	_, _ = rand.NewChaCha8([32]byte{'b', 'i', 'g'}).Read(b) // never fails
	return b
}()

func (s *stream) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) && s.at < s.size {
		number, within := s.at/int64(len(block)), s.at%int64(len(block))
		part := block[within:min(int64(len(block)), within+s.size-s.at)]
		if within < 8 {
			var start [8]byte
			binary.BigEndian.PutUint64(start[:], uint64(number))
			part = start[within:min(8, within+s.size-s.at)]
		}
		k := copy(p[n:], part)
		n, s.at = n+k, s.at+int64(k)
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (s *stream) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += s.at
	case io.SeekEnd:
		offset += s.size
	}
	if offset < 0 {
		return 0, errors.New("testenv: seek before the start")
	}
	s.at = offset
	return offset, nil
}
