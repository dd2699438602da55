package daemon

import (
	"cmp"
	"slices"
	"sync"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/transfer"
)

// Copying is how far the copies of this process are, counted since the mover last had nothing to do. Bytes
// are those of blobs, each counted once however many images have it.
type Copying struct {
	Images int     `json:"images"` // wanted
	Done   int     `json:"done"`   // whole at the target
	Failed int     `json:"failed"` // ended in an error
	Bytes  int64   `json:"bytes"`  // at the target: crossed, linked or found there
	Total  int64   `json:"total"`  // named by the manifests that were read so far
	Here   int64   `json:"here"`   // of Bytes, those that did not have to cross
	Active []Image `json:"active"` // on their way, in order of their names
}

// Image is one image on its way.
type Image struct {
	Image  mirror.Reference `json:"image"`
	Bytes  int64            `json:"bytes"`
	Total  int64            `json:"total"`
	Layers []Blob           `json:"layers"`
}

// Blob is one blob of an image on its way.
type Blob struct {
	Digest mirror.Digest `json:"digest"`
	State  BlobState     `json:"state"`
	Bytes  int64         `json:"bytes"`
	Total  int64         `json:"total"`
}

// BlobState is how a blob comes to the target.
type BlobState string

// The states of a blob.
const (
	BlobWaits   BlobState = "waits"
	BlobCopies  BlobState = "copies"
	BlobCopied  BlobState = "copied"
	BlobMounted BlobState = "mounted"
	BlobExists  BlobState = "exists"
)

// copying follows the events of the mover.
type copying struct {
	mu      sync.Mutex
	waiting map[string]bool        // images by target, wanted and not started
	active  map[string]*moving     // images by target
	blobs   map[mirror.Digest]Blob // of all images
	done    int
	failed  int
}

type moving struct {
	image mirror.Reference
	blobs []mirror.Digest
}

func newCopying() *copying { c := &copying{}; c.reset(); return c }

func (c *copying) reset() {
	c.waiting, c.active, c.blobs, c.done, c.failed = map[string]bool{}, map[string]*moving{}, map[mirror.Digest]Blob{}, 0, 0
}

// take counts one event.
func (c *copying) take(e transfer.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := e.To.String()
	switch e.Kind {
	case transfer.ImageWanted:
		if len(c.waiting)+len(c.active) == 0 {
			c.reset()
		}
		c.waiting[key] = true
	case transfer.ImageStarted:
		delete(c.waiting, key)
		c.active[key] = &moving{image: e.Image}
	case transfer.ImageDropped:
		delete(c.waiting, key)
		delete(c.active, key)
	case transfer.ImageDone:
		delete(c.active, key)
		if e.Err != nil {
			c.failed++
		} else {
			c.done++
		}
	case transfer.BlobNamed:
		if m := c.active[key]; m != nil && !slices.Contains(m.blobs, e.Blob) {
			m.blobs = append(m.blobs, e.Blob)
		}
		if _, known := c.blobs[e.Blob]; !known {
			c.blobs[e.Blob] = Blob{Digest: e.Blob, State: BlobWaits, Total: e.Bytes}
		}
	case transfer.BlobMoving:
		c.blob(e.Blob, BlobCopies, e.Bytes)
	case transfer.BlobCopied:
		c.blob(e.Blob, BlobCopied, e.Bytes)
	case transfer.BlobMounted:
		c.blob(e.Blob, BlobMounted, e.Bytes)
	case transfer.BlobFound:
		c.blob(e.Blob, BlobExists, e.Bytes)
	}
}

// blob notes how far a blob is. One that crossed stays so when another image finds or links it.
func (c *copying) blob(d mirror.Digest, state BlobState, bytes int64) {
	b, named := c.blobs[d]
	if !named || b.State == BlobCopied || b.State != BlobWaits && b.State != BlobCopies && state != BlobCopied {
		return // what hangs on an image, such as a signature, is in no manifest of it
	}
	b.State, b.Bytes = state, bytes
	c.blobs[d] = b
}

// now gives how far the copies are.
func (c *copying) now() Copying {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := Copying{Images: len(c.waiting) + len(c.active) + c.done + c.failed, Done: c.done, Failed: c.failed, Active: []Image{}}
	for _, b := range c.blobs {
		all.Total += b.Total
		all.Bytes += b.Bytes
		if b.State == BlobMounted || b.State == BlobExists {
			all.Here += b.Bytes
		}
	}
	for _, m := range c.active {
		image := Image{Image: m.image, Layers: []Blob{}}
		for _, d := range m.blobs {
			b := c.blobs[d]
			image.Bytes, image.Total = image.Bytes+b.Bytes, image.Total+b.Total
			image.Layers = append(image.Layers, b)
		}
		all.Active = append(all.Active, image)
	}
	slices.SortFunc(all.Active, func(a, b Image) int { return cmp.Compare(a.Image.String(), b.Image.String()) })
	return all
}

// Copying says how far the copies of this process are.
func (l *Line) Copying() Copying { return l.copying.now() }
