package policy

import (
	"bytes"
	"container/list"
	"context"
	"errors"
	"io"
	"sync"

	"github.com/poundlock/poundlock/internal/mirror"
)

// What a cache keeps.
const (
	cacheBytes = 16 << 20 // of all that it holds; what was used longest ago goes first
	cacheBlob  = 1 << 20  // of one blob: a signature at its largest; larger ones pass through
)

// Cached gives the same content with a memory for manifests and small blobs, which is kept as long as what it gives.
// What is known by its digest cannot change, so a second look at an image costs only its tags and lists. Every
// repository has its own: what may be read in one may not be readable in another. It is for many goroutines at once.
// Cached of nil is nil.
func Cached(c mirror.Content) mirror.Content {
	if c == nil {
		return nil
	}
	return newCache(c, cacheBytes)
}

func newCache(c mirror.Content, limit int64) *cache {
	return &cache{Content: c, limit: limit, order: list.New(), known: map[string]*list.Element{}}
}

type cache struct {
	mirror.Content
	limit int64

	mu    sync.Mutex
	size  int64
	order *list.List               // of *cached, most recently used first
	known map[string]*list.Element // by kind, repository and digest
}

type cached struct {
	key      string
	manifest mirror.Manifest // of a blob only its body
}

// Manifest reads a manifest once.
func (c *cache) Manifest(ctx context.Context, r mirror.Reference, d mirror.Digest) (mirror.Manifest, error) {
	key := "manifest " + r.AtDigest(d).String()
	if m, ok := c.get(key); ok {
		return m, nil
	}
	m, err := c.Content.Manifest(ctx, r, d)
	if err == nil && mirror.DigestOf(m.Body) == d {
		c.put(key, m)
	}
	return m, err
}

// Blob reads a small blob once, from its beginning.
func (c *cache) Blob(ctx context.Context, r mirror.Reference, d mirror.Digest, offset int64) (io.ReadCloser, error) {
	key := "blob " + r.AtDigest(d).String()
	if m, ok := c.get(key); ok && offset >= 0 && offset <= int64(len(m.Body)) {
		return io.NopCloser(bytes.NewReader(m.Body[offset:])), nil
	}
	body, err := c.Content.Blob(ctx, r, d, offset)
	if err != nil || offset != 0 {
		return body, err
	}
	head, err := io.ReadAll(io.LimitReader(body, cacheBlob+1))
	if err != nil {
		return nil, errors.Join(err, body.Close())
	}
	if len(head) > cacheBlob {
		return struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(head), body), body}, nil
	}
	if mirror.DigestOf(head) == d {
		c.put(key, mirror.Manifest{Body: head})
	}
	return io.NopCloser(bytes.NewReader(head)), body.Close()
}

func (c *cache) get(key string) (mirror.Manifest, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.known[key]
	if !ok {
		return mirror.Manifest{}, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*cached).manifest, true
}

func (c *cache) put(key string, m mirror.Manifest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.known[key]; ok {
		return // somebody else read it meanwhile
	}
	c.known[key] = c.order.PushFront(&cached{key, m})
	for c.size += int64(len(m.Body)); c.size > c.limit; {
		last := c.order.Back()
		old := c.order.Remove(last).(*cached)
		delete(c.known, old.key)
		c.size -= int64(len(old.manifest.Body))
	}
}
