package sources

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Packages is where Elastic packages lie, beside registries.
type Packages interface {
	// Since reads what lies at an http or https address as it comes, at most limit bytes, together with its version. What is
	// still of the version before is ErrUnchanged; more than limit is mirror.ErrTooLarge while it is read.
	Since(ctx context.Context, url string, limit int64, before Version) (io.ReadCloser, Version, error)
	// Head asks for the version of what lies at an address. Where there is nothing it is mirror.ErrNotFound.
	Head(ctx context.Context, url string) (Version, error)
	// Dropped lists the packages in a folder of config.yaml, by the name that it has there; a name that it does not have is
	// mirror.ErrNotFound.
	Dropped(ctx context.Context, name string) (Drop, error)
}

// ErrUnchanged says that what was asked for is still what it was.
var ErrUnchanged = errors.New("unchanged since it was read last")

// Version is what a web server says of the version of a file. The zero value is of one that says nothing.
type Version struct {
	ETag     string `json:"etag,omitempty"`
	Modified string `json:"modified,omitempty"` // as its Last-Modified
	Size     int64  `json:"size,omitempty"`     // bytes; 0 where it is not known
}

// Drop is what lies in a folder into which somebody puts packages.
type Drop struct {
	Packages []Dropped
	Left     []Left    // what is none, or not whole
	Again    time.Time // when to look again, since something was put there just now; zero where nothing waits
}

// Dropped is one package of such a folder.
type Dropped struct {
	Package   mirror.Package
	File      string        // name of the zip
	Signature string        // name of its signature; "" where there is none
	Print     mirror.Digest // of the bytes of both
}

// Left is something that a source names and that is passed over. It is told in every plan and keeps nothing else from
// being taken.
type Left struct {
	Entry string `json:"entry"` // as far as it has a name
	Why   string `json:"why"`
	Own   bool   `json:"own,omitempty"`  // the site's own, not upstream's
	Gone  bool   `json:"gone,omitempty"` // it is asked for, and there is no such thing
}

// holds asks whether upstream has an entry: content of a registry, or a file.
func holds(ctx context.Context, up Upstream, e Listed) error {
	if e.Package.IsZero() {
		_, err := up.Resolve(ctx, e.Image)
		return err
	}
	if !isWeb(e.Package.Zip) {
		return nil // it was seen while the answer was made
	}
	_, err := up.Head(ctx, e.Package.Zip)
	return err
}
