package epr

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/poundlock/poundlock/internal/mirror"
)

// itemsAtOnce is how many packages are looked at at the same time while an index is made.
const itemsAtOnce = 8

// ErrLeftOut is in the chain of the error of a maker for a package that cannot be in a channel, whoever tries again.
var ErrLeftOut = errors.New("left out of the channel")

// Maker makes the item of a package that stands in a channel. An error that is not ErrLeftOut stops the whole: it may go away.
type Maker func(context.Context, Standing) (Item, error)

// Written is an index that was made.
type Written struct {
	mirror.Artifact         // with the blobs that the index before did not have
	Packages        int     // that are in it
	LeftOut         []error // one for each package that is not
}

// WriteIndex makes the index of a channel for the repository of at. Shards of the index before, nil for none, that are still
// right are taken as they are, and of the others the items of packages whose bytes did not change; content is where they
// lie. The same packages give the same bytes.
func WriteIndex(ctx context.Context, content mirror.Content, at mirror.Reference, name Name, before *Index, all []Standing, item Maker) (Written, error) {
	w := &writer{content: content, at: at, item: item, slots: make(chan struct{}, itemsAtOnce), blobs: map[mirror.Digest][]byte{}}
	if len(all) > maxPackages {
		return Written{}, fmt.Errorf("channel %s: %d packages: %w", name, len(all), mirror.ErrTooLarge)
	}
	if before != nil && before.made == madeFormat { // items that another Poundlock made otherwise are made anew
		w.before = before.shards
	}
	parts := spread(all)
	made := make([]shard, shards)
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(4) // shards lie in memory while they are made
	for n, part := range parts {
		group.Go(func() (err error) {
			made[n], err = w.shard(gctx, n, part)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return Written{}, fmt.Errorf("channel %s: %w", name, err)
	}
	slices.SortFunc(w.leftOut, func(a, b error) int { return bytes.Compare([]byte(a.Error()), []byte(b.Error())) })
	layers := []mirror.Descriptor{}
	for _, n := range slices.Sorted(maps.Keys(parts)) {
		d := made[n].Descriptor
		d.Annotations = map[string]string{keyShard: strconv.Itoa(n), keySum: made[n].sum}
		layers = append(layers, d)
	}
	c := config{Format: indexFormat, Name: name, Packages: len(all) - len(w.leftOut), Made: madeFormat}
	text, err := json.Marshal(c)
	if err != nil {
		return Written{}, err
	}
	return Written{Artifact: w.artifact(ChannelArtifact, w.blob(channelConfig, text), layers), Packages: c.Packages, LeftOut: w.leftOut}, nil
}

// writer makes one index.
type writer struct {
	content mirror.Content
	at      mirror.Reference
	item    Maker
	before  map[int]shard
	slots   chan struct{}

	mu      sync.Mutex
	blobs   map[mirror.Digest][]byte
	leftOut []error
}

// shard gives one shard: that of the index before where it was made of the same.
func (w *writer) shard(ctx context.Context, n int, part []Standing) (shard, error) {
	sum, old := sumOf(part), w.before[n]
	if old.sum == sum {
		return old, nil
	}
	known := w.known(ctx, n, old)
	lines := make([][]byte, len(part))
	group, gctx := errgroup.WithContext(ctx)
	for i, s := range part {
		item, ok := known[s.Local]
		group.Go(func() (err error) {
			if ok = ok && item.Package == s.Package; !ok {
				if item, err = w.make(gctx, s); err != nil {
					return w.leaveOut(s, err)
				}
			}
			item.Package, item.Stage, item.Local = s.Package, s.Stage, s.Local
			lines[i], err = w.line(n, item, ok)
			return w.leaveOut(s, err)
		})
	}
	if err := group.Wait(); err != nil {
		return shard{}, err
	}
	if slices.ContainsFunc(lines, func(line []byte) bool { return line == nil }) {
		sum = "" // it is not what it should be, so the next try makes it again
	}
	d, err := w.pack(bytes.Join(lines, nil))
	return shard{d, sum}, err
}

// make asks for an item, a few at the same time.
func (w *writer) make(ctx context.Context, s Standing) (Item, error) {
	select {
	case w.slots <- struct{}{}:
		defer func() { <-w.slots }()
		return w.item(ctx, s)
	case <-ctx.Done():
		return Item{}, ctx.Err()
	}
}

// line gives an item as it stands in a shard. What a server would refuse to read must not be written: one package would
// stop a channel. What was read of the shard before was looked at then.
func (w *writer) line(n int, item Item, read bool) ([]byte, error) {
	var line bytes.Buffer
	to := json.NewEncoder(&line)
	to.SetEscapeHTML(false) // what a search tells keeps its bytes
	err := to.Encode(item)
	if err == nil && !read {
		_, err = readItem(w.at, n, line.Bytes())
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLeftOut, err)
	}
	return line.Bytes(), nil
}

// leaveOut takes note of a package that cannot be in the channel; any other error it gives back.
func (w *writer) leaveOut(s Standing, err error) error {
	if !errors.Is(err, ErrLeftOut) {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.leftOut = append(w.leftOut, fmt.Errorf("%s: %w", s.Package, err))
	return nil
}

// known gives the items of a shard of the index before. One that cannot be read is as good as none.
func (w *writer) known(ctx context.Context, n int, old shard) map[mirror.Reference]Item {
	known := map[mirror.Reference]Item{}
	if old.Digest == (mirror.Digest{}) {
		return known
	}
	part, err := readShard(ctx, w.content, w.at, n, old, func(int64) bool { return true })
	if err != nil {
		return known
	}
	for _, item := range part.items {
		known[item.Local] = item
	}
	return known
}

// pack gives the layer of a shard.
func (w *writer) pack(lines []byte) (mirror.Descriptor, error) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, err := z.Write(lines)
	if err = errors.Join(err, z.Close()); err != nil {
		return mirror.Descriptor{}, err
	}
	if len(lines) > maxShard || packed.Len() > maxPacked {
		return mirror.Descriptor{}, fmt.Errorf("a shard of %d bytes: %w", len(lines), mirror.ErrTooLarge)
	}
	return w.blob(channelShard, packed.Bytes()), nil
}

func (w *writer) blob(mediaType string, body []byte) mirror.Descriptor {
	d := mirror.NewManifest(mediaType, body).Descriptor
	w.mu.Lock()
	defer w.mu.Unlock()
	w.blobs[d.Digest] = body
	return d
}

// artifact gives a manifest over what was made.
func (w *writer) artifact(kind string, config mirror.Descriptor, layers []mirror.Descriptor) mirror.Artifact {
	const manifestType = "application/vnd.oci.image.manifest.v1+json"
	body, err := json.Marshal(struct {
		SchemaVersion int                 `json:"schemaVersion"`
		MediaType     string              `json:"mediaType"`
		ArtifactType  string              `json:"artifactType"`
		Config        mirror.Descriptor   `json:"config"`
		Layers        []mirror.Descriptor `json:"layers"`
	}{2, manifestType, kind, config, layers})
	if err != nil {
		panic(err) // of descriptors
	}
	m := mirror.NewManifest(manifestType, body)
	return mirror.Artifact{Image: w.at.WithDigest(m.Descriptor.Digest), Manifest: m, Blobs: w.blobs}
}
