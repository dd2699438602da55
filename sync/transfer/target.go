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
	ImageWanted  EventKind = "image-wanted"  // an image waits for its turn
	ImageStarted EventKind = "image-started" // its copy begins
	ImageDone    EventKind = "image-done"    // it is whole, or failed with Err; Bytes is what it cost in all
	ImageDropped EventKind = "image-dropped" // nobody wants it any more
	BlobNamed    EventKind = "blob-named"    // a manifest of the image names it; Bytes is its size
	BlobMoving   EventKind = "blob-moving"   // so many of its Bytes are at the target; may go back after a fault
	BlobCopied   EventKind = "blob-copied"   // it crossed from source to target
	BlobMounted  EventKind = "blob-mounted"  // linked from another repository, no bytes
	BlobFound    EventKind = "blob-found"    // the repository held it already
)

// Event is progress, for people and logs.
type Event struct {
	Kind  EventKind
	Image mirror.Reference // what is copied, as it is called upstream
	To    mirror.Reference // where it goes: repository and digest
	Blob  mirror.Digest    // zero for an image
	Bytes int64            // of the blob, unless the kind says otherwise
	Err   error
}
