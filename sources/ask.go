package sources

import (
	"context"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Upstream is what a source that has to be asked may read.
type Upstream interface {
	mirror.Content
	// Tags lists the tags of a repository, in no promised order. A repository that is not there is mirror.ErrNotFound.
	Tags(ctx context.Context, repository mirror.Reference) ([]string, error)
	// Get reads what lies at an http or https address, at most limit bytes; larger is mirror.ErrTooLarge.
	Get(ctx context.Context, url string, limit int64) ([]byte, error)
}

// Past is what is remembered of an upstream.
type Past interface {
	// FirstSeen says when a digest was seen first; false where it never was.
	FirstSeen(d mirror.Digest) (time.Time, bool)
}

// asker asks upstream what there is. Its listing has entries, origin and made; a failure is an error, an empty answer is
// one, too.
type asker func(ctx context.Context, up Upstream, past Past, at time.Time) (listing, error)
