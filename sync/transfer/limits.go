package transfer

import (
	"cmp"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Limits say how much a Mover does at once and how long it tries. A zero field takes its default.
type Limits struct {
	Images    int           // images of one set in flight; default 16
	Blobs     int           // uploads at once; default 8
	Requests  int           // requests for manifests and about blobs at once; default 32
	Referrers int           // referrers of one digest, above which an image fails; default 50
	Pause     time.Duration // before the second try of a request, doubled after that; default 200 ms
	Stall     time.Duration // an upload that moves no byte for so long is broken off; default 2 min
	Commit    time.Duration // what a registry may take after the last byte; default 15 min
}

func (l Limits) withDefaults() Limits {
	l.Images = cmp.Or(l.Images, 16)
	l.Blobs = cmp.Or(l.Blobs, 8)
	l.Requests = cmp.Or(l.Requests, 32)
	l.Referrers = cmp.Or(l.Referrers, mirror.MaxReferrers)
	l.Pause = cmp.Or(l.Pause, 200*time.Millisecond)
	l.Stall = cmp.Or(l.Stall, 2*time.Minute)
	l.Commit = cmp.Or(l.Commit, 15*time.Minute)
	return l
}

// Bounds of what one image may ask of us. An image beyond them fails, it is never copied in part.
const (
	maxNesting   = 3       // an index in an index in an index
	maxChildren  = 500     // manifests of one index
	maxBlobs     = 2000    // config and layers of one manifest
	maxReferring = 3       // referrers of referrers of referrers
	maxAttached  = 500     // signature and referrer manifests of one image with all its children
	maxConfig    = 1 << 20 // bytes of a signature's config, the only blob that is read into memory

	tries        = 3                // of one request that failed for now, and of a blob whose bytes were wrong
	breaks       = 5                // of one download without a MiB between them
	lateImages   = 4                // images in flight over Limits.Images, kept for work that came later
	largeBlob    = 32 << 20         // bytes from which a blob is large: large ones leave upload slots to small ones
	knownBlobs   = 500_000          // places of blobs remembered at most; a forgotten one costs a HEAD
	cancelWithin = 5 * time.Second  // to end an upload session of work that nobody wants any more
	maxPause     = 10 * time.Second // between two tries
)
