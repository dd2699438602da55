package git

import (
	"fmt"
	"io"
	"os"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

// Limits on the objects of one fetch. go-git unpacks each object whole in memory, so a small pack could
// otherwise ask for any amount of it.
const (
	maxObject  = 64 << 20  // bytes of one object, anywhere in the history
	maxObjects = 2_000_000 // objects of one pack
)

// checkPack reads the pack once before go-git indexes it: whole, not too many objects, none too large,
// also after its delta is applied.
func checkPack(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	scanner := packfile.NewScanner(f)
	_, count, err := scanner.Header()
	if err != nil {
		return fmt.Errorf("read the pack: %w", err)
	}
	if count > maxObjects {
		return permanentError(fmt.Sprintf("the repository has %d objects, more than %d", count, maxObjects))
	}
	for range count {
		h, err := scanner.NextObjectHeader()
		if err != nil {
			return fmt.Errorf("read the pack: %w", err)
		}
		size, start := h.Length, &firstBytes{}
		if size <= maxObject {
			if _, _, err := scanner.NextObject(start); err != nil {
				return fmt.Errorf("read the pack: %w", err)
			}
			if h.Type == plumbing.OFSDeltaObject || h.Type == plumbing.REFDeltaObject {
				size = start.deltaResult()
			}
		}
		if size > maxObject {
			return permanentError(fmt.Sprintf("the repository holds an object larger than %d MiB", maxObject>>20))
		}
	}
	if err := checkSum(name); err != nil {
		return fmt.Errorf("read the pack: %w: %w", err, io.ErrUnexpectedEOF)
	}
	return nil
}

// firstBytes keeps the head of what is written to it: a delta starts with the size of what it is applied
// to and the size of what it gives, as numbers of seven bits a byte.
type firstBytes struct{ kept []byte }

func (f *firstBytes) Write(p []byte) (int, error) {
	f.kept = append(f.kept, p[:min(len(p), 20-len(f.kept))]...)
	return len(p), nil
}

func (f *firstBytes) deltaResult() int64 {
	var number uint64
	rest := f.kept
	for range 2 {
		number = 0
		for shift := 0; ; shift += 7 {
			if len(rest) == 0 || shift > 56 {
				return maxObject + 1 // not a delta that anyone honest makes
			}
			b := rest[0]
			rest = rest[1:]
			number |= uint64(b&0x7f) << shift
			if b&0x80 == 0 {
				break
			}
		}
	}
	return int64(min(number, maxObject+1))
}

func importPack(store *filesystem.Storage, pack string) (err error) {
	defer func() { // go-git was seen to panic on a malformed pack
		if p := recover(); p != nil {
			err = permanentError("the pack cannot be indexed")
		}
	}()
	f, err := os.Open(pack)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := packfile.UpdateObjectStorage(store, f); err != nil {
		return fmt.Errorf("index the pack: %w", err)
	}
	return nil
}
