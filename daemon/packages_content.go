package daemon

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"regexp"

	"github.com/poundlock/poundlock/internal/mirror"
)

// A package that was fetched is read out of the spool or, once it arrived, out of the local registry, by the reference
// that its upstream would have. Only content that is known to be of a package is: another one of the same name is the
// registry's.

// manifest gives the manifest of a package; ok is false for what is none.
func (p *packages) manifest(ctx context.Context, c mirror.Content, r mirror.Reference, d mirror.Digest) (m mirror.Manifest, ok bool, err error) {
	if one, is := p.spool.whole(r, d); is {
		if m, err = p.spool.manifest(one); err == nil {
			return m, true, nil
		}
	}
	key, known, ok := p.known.content(r, d)
	if !ok {
		return m, false, nil
	}
	if at, err := mirror.ParseReference(known.Stored); err == nil {
		if m, err = c.Manifest(ctx, at, d); !errors.Is(err, mirror.ErrNotFound) {
			return m, true, err
		}
	}
	return m, true, p.gone(key, r.AtDigest(d))
}

// blob gives a part of a package; ok is false for what is none.
func (p *packages) blob(ctx context.Context, c mirror.Content, r mirror.Reference, d mirror.Digest, offset int64) (body io.ReadCloser, ok bool, err error) {
	if one, is := p.spool.holding(r, d); is {
		if body, err = p.spool.blob(one, d, offset); err == nil {
			return body, true, nil
		}
	}
	p.mu.Lock()
	ours := p.names[r.Name()]
	p.mu.Unlock()
	if !ours {
		return nil, false, nil
	}
	for _, place := range p.known.places(r) {
		at, err := mirror.ParseReference(place)
		if err != nil {
			continue
		}
		if body, err = c.Blob(ctx, at, d, offset); !errors.Is(err, mirror.ErrNotFound) {
			return body, true, err
		}
	}
	return nil, false, nil
}

// holds says whether content is a package of ours.
func (p *packages) holds(r mirror.Reference, d mirror.Digest) bool {
	_, _, ok := p.known.content(r, d)
	return ok
}

// signedBy gives the digest that a tag of the legacy form is about.
var signedBy = regexp.MustCompile(`^sha256-([0-9a-f]{64})(\.[a-z]+)?$`)

// tagAbout says whether a tag would hold what is said of a package of ours: its upstream has no tags.
func (p *packages) tagAbout(r mirror.Reference) bool {
	m := signedBy.FindStringSubmatch(r.Tag)
	if m == nil {
		return false
	}
	d, err := mirror.ParseDigest("sha256:" + m[1])
	return err == nil && p.holds(r, d)
}

// gone says of a package whose bytes are nowhere that they are to be fetched again, or that nobody names it any more.
func (p *packages) gone(key string, r mirror.Reference) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, named := range p.named {
		if named[key] {
			return fmt.Errorf("%s: %w", r, mirror.ErrNotFetched)
		}
	}
	return fmt.Errorf("%s: its upstream names it no more: %w", r, mirror.ErrNotFound)
}

// places lists where the local registry holds packages of a repository.
func (k *knownPackages) places(r mirror.Reference) []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return sortedKeys(k.at[r.Name()])
}

// blob opens a part of a package in the spool. From its start on it is held against its digest.
func (s *spool) blob(one *spooled, d mirror.Digest, offset int64) (io.ReadCloser, error) {
	name := d.Hex
	if one.Parts.Layers[0].Digest == d {
		name = spoolZip
	}
	f, err := os.Open(filepath.Join(s.dir, one.name(), name))
	if err != nil {
		return nil, err
	}
	if offset > 0 {
		return f, seekTo(f, offset)
	}
	return &checkedFile{File: f, want: d, hash: sha256.New()}, nil
}

// checkedFile is a file that fails at its end where its bytes are not those of a digest.
type checkedFile struct {
	*os.File
	want mirror.Digest
	hash hash.Hash
}

// Read reads and hashes.
func (c *checkedFile) Read(b []byte) (int, error) {
	n, err := c.File.Read(b)
	c.hash.Write(b[:n])
	if err == io.EOF && hex.EncodeToString(c.hash.Sum(nil)) != c.want.Hex {
		return n, fmt.Errorf("spool: %s: %w", c.want, mirror.ErrDigestMismatch)
	}
	return n, err
}
