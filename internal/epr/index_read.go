package epr

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/poundlock/poundlock/internal/elastic"
	"github.com/poundlock/poundlock/internal/mirror"
)

// Contents is what an index holds, read from a registry.
type Contents struct {
	Index
	Items []Item // in no order that means anything
	parts map[mirror.Digest]part
}

// part is a shard that was read.
type part struct {
	items []Item
	bytes int64 // unpacked
}

// ReadIndex reads the outline of a channel: its manifest, by digest, and its config.
func ReadIndex(ctx context.Context, content mirror.Content, at mirror.Reference) (Index, error) {
	m, err := content.Manifest(ctx, at, at.Digest)
	if err != nil {
		return Index{}, err
	}
	parts, err := m.Parts()
	if err != nil || parts.Config == nil {
		return Index{}, malformed("manifest %s has no config", at.Digest)
	}
	body, err := readBlob(ctx, content, at, *parts.Config, 64<<10)
	if err != nil {
		return Index{}, fmt.Errorf("config of %s: %w", at.Digest, err)
	}
	return openIndex(m, body)
}

// ReadContents reads a channel, by the digest of its index. Shards that are among what was read before, of whatever channel
// of the set, are taken from there. Whatever is not as we write it refuses the whole: nobody serves half a channel.
func ReadContents(ctx context.Context, content mirror.Content, at mirror.Reference, before ...*Contents) (*Contents, error) {
	return ReadContentsWithin(ctx, content, at, func(int64) bool { return true }, before...)
}

// ReadContentsWithin is ReadContents for one who reads many channels. room is told of bytes that were unpacked, by several at
// once, and says whether there may be more.
func ReadContentsWithin(ctx context.Context, content mirror.Content, at mirror.Reference, room func(bytes int64) bool, before ...*Contents) (*Contents, error) {
	x, err := ReadIndex(ctx, content, at)
	if err != nil {
		return nil, err
	}
	c := &Contents{Index: x, parts: map[mirror.Digest]part{}}
	var mu sync.Mutex
	left := atomic.Int64{} // what all shards may still have: a small artifact must not unpack to more before that is seen
	left.Store(maxChannel)
	take := func(bytes int64) bool { return left.Add(-bytes) >= 0 && room(bytes) }
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for _, n := range slices.Sorted(maps.Keys(x.shards)) {
		s := x.shards[n]
		if known, ok := partOf(before, s.Digest, n); ok {
			mu.Lock()
			c.parts[s.Digest] = known
			mu.Unlock()
			continue
		}
		group.Go(func() error {
			p, err := readShard(gctx, content, at, n, s, take)
			mu.Lock()
			defer mu.Unlock()
			c.parts[s.Digest] = p
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return c, c.collect()
}

// Share takes the shards that others of the set have, too, from there, so that what was read side by side is in memory once.
func (c *Contents) Share(others ...*Contents) error {
	for n, s := range c.shards {
		if p, ok := partOf(others, s.Digest, n); ok {
			c.parts[s.Digest] = p
		}
	}
	return c.collect()
}

// collect puts the items of all shards together.
func (c *Contents) collect() error {
	var bytes int64
	held := 0
	for _, p := range c.parts {
		held += len(p.items)
	}
	c.Items = make([]Item, 0, held)
	for n, s := range c.shards {
		p := c.parts[s.Digest]
		if bytes += p.bytes; bytes > maxChannel {
			return malformed("more than %d bytes: %w", int64(maxChannel), mirror.ErrTooLarge)
		}
		if len(p.items) > 0 && shardOf(p.items[0].Package.Name) != n {
			return malformed("shard %d holds packages of another", n)
		}
		c.Items = append(c.Items, p.items...)
	}
	if len(c.Items) != c.Packages {
		return malformed("it holds %d packages and says %d", len(c.Items), c.Packages)
	}
	return nil
}

// Bytes tells of each shard how many bytes it has, unpacked.
func (c *Contents) Bytes(each func(shard mirror.Digest, bytes int64)) {
	for d, p := range c.parts {
		each(d, p.bytes)
	}
}

func partOf(before []*Contents, d mirror.Digest, n int) (part, bool) {
	for _, c := range before {
		if c == nil {
			continue
		}
		if p, ok := c.parts[d]; ok && (len(p.items) == 0 || shardOf(p.items[0].Package.Name) == n) {
			return p, true
		}
	}
	return part{}, false
}

// readShard reads one shard and checks every item of it.
func readShard(ctx context.Context, content mirror.Content, at mirror.Reference, n int, s shard, take func(int64) bool) (part, error) {
	packed, err := readBlob(ctx, content, at, s.Descriptor, maxPacked)
	if err != nil {
		return part{}, fmt.Errorf("shard %d: %w", n, err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return part{}, malformed("shard %d: %w", n, err)
	}
	var p part
	seen := map[mirror.Package]bool{}
	lines := bufio.NewReaderSize(io.LimitReader(z, maxShard+1), 64<<10)
	for {
		line, err := lines.ReadBytes('\n')
		if p.bytes += int64(len(line)); p.bytes > maxShard || !take(int64(len(line))) {
			return part{}, malformed("shard %d: %w", n, mirror.ErrTooLarge)
		}
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return p, nil
		}
		if err != nil {
			return part{}, malformed("shard %d: %w", n, err)
		}
		item, err := readItem(at, n, line)
		if err != nil {
			return part{}, malformed("shard %d: %w", n, err)
		}
		if seen[item.Package] {
			return part{}, malformed("shard %d: %s is there twice", n, item.Package)
		}
		seen[item.Package] = true
		p.items = append(p.items, item)
	}
}

// readItem reads an item and refuses one that names content elsewhere: servers give out what it names, with the rights that
// they have in the registry.
func readItem(at mirror.Reference, n int, line []byte) (Item, error) {
	var item Item
	if len(line) > maxItem {
		return item, fmt.Errorf("a package with %d bytes: %w", len(line), mirror.ErrTooLarge)
	}
	if err := mirror.CheckValues(line); err != nil {
		return item, err
	}
	if err := json.Unmarshal(line, &item); err != nil {
		return item, err
	}
	_, wrong := mirror.NewPackage(item.Package.Name, item.Package.Version)
	ours, _, _ := strings.Cut(at.Repository, indexesDir+"/")
	switch {
	case wrong != nil:
		return item, wrong
	case shardOf(item.Package.Name) != n:
		return item, fmt.Errorf("%s is of another shard", item.Package)
	case item.Local.Host != at.Host || !item.Local.HasDigest() || !strings.HasPrefix(item.Local.Repository, ours), strings.HasPrefix(item.Local.Repository, ours+"poundlock/"):
		return item, fmt.Errorf("%s lies outside of what this registry holds for us", item.Package)
	case !isBlob(item.Layers.Zip, elastic.MaxZip) || !isBlob(item.Layers.Facts, elastic.MaxFacts) ||
		item.Layers.Signature.Digest != (mirror.Digest{}) && !isBlob(item.Layers.Signature, elastic.MaxSignature):
		return item, fmt.Errorf("%s: its layers are malformed", item.Package)
	}
	return item, item.read()
}

func isBlob(d mirror.Descriptor, limit int64) bool {
	_, err := mirror.ParseDigest(d.Digest.String())
	return err == nil && d.Size >= 0 && d.Size <= limit
}

// readBlob reads a small blob whole; its digest is checked by content.
func readBlob(ctx context.Context, content mirror.Content, at mirror.Reference, d mirror.Descriptor, limit int64) ([]byte, error) {
	if d.Size > limit {
		return nil, malformed("blob %s has %d bytes: %w", d.Digest, d.Size, mirror.ErrTooLarge)
	}
	body, err := content.Blob(ctx, at, d.Digest, 0)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	data, err := io.ReadAll(io.LimitReader(body, limit+1))
	switch {
	case errors.Is(err, mirror.ErrDigestMismatch):
		return nil, malformed("%w", err)
	case err != nil:
		return nil, err
	case int64(len(data)) != d.Size:
		return nil, malformed("blob %s has not the size that its descriptor says", d.Digest)
	}
	return data, nil
}
