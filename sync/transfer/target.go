package transfer

import (
	"context"
	"io"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Target is the registry that content is brought to. Content of it is read too: a manifest that lies there
// already is not fetched again, and its blobs are asked for.
type Target interface {
	mirror.Content
	// HasBlob asks by one HEAD whether the repository of r holds the blob.
	HasBlob(ctx context.Context, r mirror.Reference, d mirror.Digest) (bool, error)
	// Mount links the blob of another repository of the same registry. Where the registry will not, it has
	// opened an upload session, as Begin does.
	Mount(ctx context.Context, to, from mirror.Reference, d mirror.Digest) (done bool, session string, err error)
	// Begin opens an upload session in the repository of to.
	Begin(ctx context.Context, to mirror.Reference) (session string, err error)
	// Upload sends the bytes of d from offset on and commits the blob under its digest. It does not read
	// body after it has returned.
	Upload(ctx context.Context, session string, d mirror.Descriptor, offset int64, body io.Reader) error
	// Offset asks how many bytes a session holds; mirror.ErrNotFound when there is no such session.
	Offset(ctx context.Context, session string) (int64, error)
	// Cancel ends a session and drops its bytes.
	Cancel(ctx context.Context, session string) error
	// Put writes a manifest under the tag of to or, without one, under its digest. It says whether the
	// registry announced that it lists the manifest among the referrers of its subject.
	Put(ctx context.Context, to mirror.Reference, m mirror.Manifest) (subjectAccepted bool, err error)
}

// Session is an upload that was opened and not yet ended.
type Session struct {
	URL  string
	To   mirror.Reference // repository
	Blob mirror.Digest
}

// Journal remembers open upload sessions across a crash. It may be empty at any start: then a session that
// was open is left to the registry's own purge.
type Journal interface {
	Begin(session string, to mirror.Reference, blob mirror.Digest) error
	End(session string) error
	Open() ([]Session, error)
}

// EventKind is what an Event tells.
type EventKind string

// The events of a Mover.
const (
	BlobCopied  EventKind = "blob-copied"  // Bytes crossed from source to target
	BlobMounted EventKind = "blob-mounted" // linked from another repository, no bytes
	ImageDone   EventKind = "image-done"   // an image is whole, or failed with Err
)

// Event is progress, for pages and logs. Bytes is the size of the blob, or what an image cost in all.
type Event struct {
	Kind  EventKind
	Image mirror.Reference // where it went
	Blob  mirror.Digest    // zero for an image
	Bytes int64
	Err   error
}
