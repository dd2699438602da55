package daemon

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	"github.com/poundlock/poundlock/internal/mirror"
)

// part is a package that is being fetched. Its bytes are hashed while they come; a part that was broken off, also by the
// end of a process, goes on where it stands as long as the server says that the file is the same.
type part struct {
	spool *spool
	name  string // of its folder
	file  *os.File
	hash  hash.Hash
	got   int64
	mark  partMark
	room  int64 // bytes that are taken of the spool
}

// partMark is what the server said of the file that a part is of.
type partMark struct {
	zipMark
	Address string `json:"address"`
}

// begin opens the part of a package, with what is there of it. One key has one job, so nobody else has it open.
func (s *spool) begin(key string) (*part, error) {
	if s.failed != nil {
		return nil, s.failed
	}
	p := &part{spool: s, name: partPrefix + mirror.DigestOf([]byte(key)).Hex, hash: sha256.New()}
	// First of all: who needs room removes what is left of a part that nobody fetches.
	s.mu.Lock()
	p.room = s.left[p.name]
	delete(s.left, p.name)
	s.parts[p.name] = p.room
	s.mu.Unlock()
	err := os.MkdirAll(p.dir(), 0o700)
	if err == nil {
		p.file, err = os.OpenFile(filepath.Join(p.dir(), spoolZip), os.O_RDWR|os.O_CREATE, 0o600)
	}
	if err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.parts, p.name)
		s.left[p.name] = sizeBelow(p.dir())
		s.open()
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(p.dir(), spoolMark))
	if err == nil && json.Unmarshal(text, &p.mark) == nil {
		p.got, err = io.Copy(p.hash, p.file)
	}
	if err != nil {
		err = p.reset()
	}
	return p, err
}

func (p *part) dir() string { return filepath.Join(p.spool.dir, p.name) }

// reset begins with nothing.
func (p *part) reset() error {
	p.hash.Reset()
	p.got, p.mark = 0, partMark{}
	return errors.Join(p.file.Truncate(0), seekTo(p.file, 0))
}

func seekTo(f *os.File, at int64) error {
	_, err := f.Seek(at, io.SeekStart)
	return err
}

// expect notes what the server says of the file before its bytes come.
func (p *part) expect(m partMark) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	p.mark = m
	return os.WriteFile(filepath.Join(p.dir(), spoolMark), text, 0o600)
}

// Write takes bytes in.
func (p *part) Write(b []byte) (int, error) {
	n, err := p.file.Write(b)
	p.hash.Write(b[:n])
	p.got += int64(n)
	return n, err
}

func (p *part) digest() mirror.Digest {
	d, err := mirror.ParseDigest("sha256:" + hex.EncodeToString(p.hash.Sum(nil)))
	if err != nil {
		panic(err) // a SHA-256 is one
	}
	return d
}

// takes takes room for so many bytes of the whole file; false where there is none now.
func (p *part) takes(size int64) bool {
	p.spool.mu.Lock()
	defer p.spool.mu.Unlock()
	if more := size - p.room; more > 0 && !p.spool.makeRoom(more) {
		return false
	}
	p.room = size
	p.spool.parts[p.name] = size
	return true
}

// waits waits until room for the whole file came into the spool. It keeps nothing meanwhile: two parts that each hold half
// of the spool would wait for each other.
func (p *part) waits(ctx context.Context, size int64) error {
	for {
		p.spool.mu.Lock()
		freed := p.spool.freed
		p.spool.mu.Unlock()
		if p.takes(size) {
			return nil
		}
		if err := p.reset(); err != nil {
			return err
		}
		p.gives()
		select {
		case <-freed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// gives gives back the room of a part without bytes.
func (p *part) gives() {
	p.spool.mu.Lock()
	defer p.spool.mu.Unlock()
	if p.room > 0 {
		p.room, p.spool.parts[p.name] = 0, 0
		p.spool.open()
	}
}

// rest closes a part that is not whole: it stays to be gone on with.
func (p *part) rest() {
	_ = p.file.Close() // what did not reach the disk is fetched again: the file is as long as it is
	p.spool.mu.Lock()
	defer p.spool.mu.Unlock()
	delete(p.spool.parts, p.name)
	p.spool.left[p.name] = p.got
	p.spool.open()
}

// abandon removes a part of which nothing is of use.
func (p *part) abandon() {
	_ = p.file.Close()
	_ = os.RemoveAll(p.dir()) // what is left is swept at a start
	p.spool.mu.Lock()
	defer p.spool.mu.Unlock()
	delete(p.spool.parts, p.name)
	p.spool.open()
}

// keep makes a whole package of a part: all files, then the rename that says so.
func (p *part) keep(a mirror.Artifact, one spooled) error {
	entry, err := json.Marshal(one)
	if err != nil {
		return err
	}
	files := map[string][]byte{spoolManifest: a.Manifest.Body, spoolEntry: entry}
	for digest, blob := range a.Blobs {
		files[digest.Hex] = blob
	}
	for name, body := range files {
		if err := writeSynced(filepath.Join(p.dir(), name), body); err != nil {
			return err
		}
	}
	if err := errors.Join(p.file.Sync(), p.file.Close(), os.Remove(filepath.Join(p.dir(), spoolMark))); err != nil {
		return err
	}
	s := p.spool
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.parts, p.name)
	defer s.open()
	name := one.name()
	to := filepath.Join(s.dir, name)
	if s.items[name] != nil {
		s.remove(name) // the same bytes once more
	}
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	if err := os.Rename(p.dir(), to); err != nil {
		return err
	}
	item, err := s.read(name)
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	s.put(name, item)
	return syncDir(s.dir)
}

func writeSynced(name string, body []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(body)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
