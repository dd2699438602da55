package epr

import (
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
	"testing"

	"github.com/poundlock/poundlock/internal/elastic"
	"github.com/poundlock/poundlock/internal/mirror"
)

// shelf is content in memory, and counts what is read of it.
type shelf struct {
	mirror.Content
	manifests map[mirror.Digest]mirror.Manifest
	blobs     map[mirror.Digest][]byte
	read      int
}

func newShelf() *shelf {
	return &shelf{manifests: map[mirror.Digest]mirror.Manifest{}, blobs: map[mirror.Digest][]byte{}}
}

func (s *shelf) put(a mirror.Artifact) mirror.Reference {
	s.manifests[a.Manifest.Descriptor.Digest] = a.Manifest
	maps.Copy(s.blobs, a.Blobs)
	return a.Image.AtDigest(a.Manifest.Descriptor.Digest)
}

func (s *shelf) Manifest(_ context.Context, _ mirror.Reference, d mirror.Digest) (mirror.Manifest, error) {
	if m, ok := s.manifests[d]; ok {
		return m, nil
	}
	return mirror.Manifest{}, mirror.ErrNotFound
}

func (s *shelf) Blob(_ context.Context, _ mirror.Reference, d mirror.Digest, _ int64) (io.ReadCloser, error) {
	s.read++
	body, ok := s.blobs[d]
	if !ok {
		return nil, mirror.ErrNotFound
	}
	return io.NopCloser(bytes.NewReader(body)), nil
}

var (
	production = Name{"elastic", "production"}
	indexAt    = production.In("registry.site.example:5000", "mirror")
)

func standing(name, version, stage, bytes string) Standing {
	return Standing{Package: mirror.Package{Name: name, Version: version}, Stage: stage,
		Local: mirror.Reference{Host: indexAt.Host, Repository: "mirror/epr.elastic.co/" + name, Digest: mirror.DigestOf([]byte(bytes))}}
}

// many gives packages of so many names, a few versions each.
func many(names, versions int) (all []Standing) {
	for i := range names {
		for v := range versions {
			all = append(all, standing(fmt.Sprintf("pkg_%04d", i), fmt.Sprintf("1.%d.0", v), "production", fmt.Sprint(i, v)))
		}
	}
	return all
}

// workshop makes items, and counts them.
func workshop(made *int) Maker {
	slot := make(chan struct{}, 1)
	return func(_ context.Context, s Standing) (Item, error) {
		slot <- struct{}{}
		*made++
		<-slot
		return itemOf(s), nil
	}
}

func itemOf(s Standing) Item {
	search, err := json.Marshal(map[string]string{"name": s.Package.Name, "version": s.Package.Version, "title": "<" + s.Package.Name + ">"})
	if err != nil {
		panic(err)
	}
	blob := func(what string) mirror.Descriptor {
		return mirror.NewManifest("application/octet-stream", []byte(what+s.Local.Digest.Hex)).Descriptor
	}
	return Item{Layers: elastic.Layers{Facts: blob("facts"), Zip: blob("zip")}, Search: search}
}

func written(t *testing.T, at *shelf, before *Index, all []Standing, item Maker) Written {
	t.Helper()
	w, err := WriteIndex(t.Context(), at, indexAt, production, before, all, item)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestIndex_IsReadAsItWasWritten(t *testing.T) {
	at, made := newShelf(), 0
	all := many(50, 3)
	first := written(t, at, nil, all, workshop(&made))
	slices.Reverse(all)
	second := written(t, newShelf(), nil, all, workshop(&made))
	if first.Manifest.Descriptor.Digest != second.Manifest.Descriptor.Digest {
		t.Error("the order of packages changes the bytes")
	}
	c, err := ReadContents(t.Context(), at, at.put(first.Artifact))
	if err != nil {
		t.Fatal(err)
	}
	if c.Packages != 150 || len(c.Items) != 150 || c.Name != production || c.Sum() != Sum(production, all) {
		t.Fatalf("%d packages, %d items of %s, made of them %v", c.Packages, len(c.Items), c.Name, c.Sum() == Sum(production, all))
	}
	for _, item := range c.Items {
		want := itemOf(Standing{Package: item.Package, Local: item.Local})
		if item.Stage != "production" || fmt.Sprint(item.Layers) != fmt.Sprint(want.Layers) || string(item.Search) != string(want.Search) {
			t.Errorf("%s: %+v", item.Package, item)
		}
	}
}

func TestIndex_AChangeCostsOneShard(t *testing.T) {
	at, made := newShelf(), 0
	all := many(400, 2)
	before, err := ReadContents(t.Context(), at, at.put(written(t, at, nil, all, workshop(&made)).Artifact))
	if err != nil || made != 800 {
		t.Fatalf("%d made, %v", made, err)
	}
	made, at.read = 0, 0
	next := append(slices.Clone(all), standing("pkg_0000", "2.0.0", "production", "new"))
	w := written(t, at, &before.Index, next, workshop(&made))
	if made != 1 || at.read != 1 || len(w.Blobs) != 2 {
		t.Errorf("%d items were made, %d shards read and %d blobs written, want 1, 1 and 2: shard and config", made, at.read, len(w.Blobs))
	}
	ref := at.put(w.Artifact)
	at.read = 0
	after, err := ReadContents(t.Context(), at, ref, before)
	if err != nil || len(after.Items) != 801 || at.read != 2 {
		t.Errorf("%v, %d items, %d blobs read, want 801 by 2: shard and config", err, len(after.Items), at.read)
	}
	made = 0
	moved := slices.Clone(next)
	moved[0].Stage = "staging" // the bytes are those that they were
	if written(t, at, &after.Index, moved, workshop(&made)); made != 0 {
		t.Errorf("another stage made %d items anew", made)
	}
	moved[0].Local.Digest = mirror.DigestOf([]byte("other"))
	if written(t, at, &after.Index, moved, workshop(&made)); made != 1 {
		t.Errorf("other bytes made %d items anew, want 1", made)
	}
}

// Another Poundlock may have told something else of the same package.
func TestIndex_WhatWasMadeOtherwiseIsMadeAnew(t *testing.T) {
	at, made := newShelf(), 0
	all := many(10, 1)
	before, err := ReadContents(t.Context(), at, at.put(written(t, at, nil, all, workshop(&made)).Artifact))
	if err != nil {
		t.Fatal(err)
	}
	made = 0
	before.Index.made--
	if written(t, at, &before.Index, all, workshop(&made)); made != 10 {
		t.Errorf("%d of 10 items were made anew", made)
	}
}

func TestIndex_AnIndexBeforeThatIsLostIsMadeAnew(t *testing.T) {
	at, made := newShelf(), 0
	all := many(10, 1)
	w := written(t, at, nil, all, workshop(&made))
	before, err := ReadContents(t.Context(), at, at.put(w.Artifact))
	if err != nil {
		t.Fatal(err)
	}
	made = 0
	all[0].Stage = "staging"
	written(t, newShelf(), &before.Index, all, workshop(&made)) // its blobs are gone
	if made == 0 {
		t.Error("items came out of nowhere")
	}
}

func TestIndex_WhatCannotBeMadeIsLeftOutOrStopsIt(t *testing.T) {
	at, made := newShelf(), 0
	all := many(5, 1)
	bad := func(reason error) Maker {
		make := workshop(&made)
		return func(ctx context.Context, s Standing) (Item, error) {
			if s.Package.Name == "pkg_0003" {
				return Item{}, reason
			}
			return make(ctx, s)
		}
	}
	w := written(t, at, nil, all, bad(fmt.Errorf("%w: no manifest", ErrLeftOut)))
	if w.Packages != 4 || len(w.LeftOut) != 1 || !strings.Contains(w.LeftOut[0].Error(), "pkg_0003-1.0.0") {
		t.Fatalf("%d packages, left out %v", w.Packages, w.LeftOut)
	}
	c, err := ReadContents(t.Context(), at, at.put(w.Artifact))
	if err != nil || c.Sum() != "" {
		t.Fatalf("%v; it says that it is complete: %q", err, c.Sum())
	}
	if again := written(t, at, &c.Index, all, workshop(&made)); again.Packages != 5 {
		t.Errorf("the next try has %d packages, want all 5", again.Packages)
	}
	other := func(s Standing) Maker {
		return func(context.Context, Standing) (Item, error) { return itemOf(s), nil }
	}
	if w := written(t, at, nil, all[:1], other(all[1])); len(w.LeftOut) != 1 {
		t.Errorf("a package that tells of another is in the channel: %v", w.LeftOut)
	}
	trouble := errors.New("registry is away")
	if _, err := WriteIndex(t.Context(), at, indexAt, production, nil, all, bad(trouble)); !errors.Is(err, trouble) {
		t.Errorf("got %v, want that the whole waits", err)
	}
}

func TestIndex_AnEmptyChannelIsOne(t *testing.T) {
	at, made := newShelf(), 0
	c, err := ReadContents(t.Context(), at, at.put(written(t, at, nil, nil, workshop(&made)).Artifact))
	if err != nil || len(c.Items) != 0 || c.Sum() != Sum(production, nil) {
		t.Errorf("%v, %d items", err, len(c.Items))
	}
}

func TestReadContents_RefusesWhatWeDoNotWrite(t *testing.T) {
	good := many(1, 1)[0]
	line := func(change func(*Item)) string {
		item := itemOf(good)
		item.Package, item.Stage, item.Local = good.Package, good.Stage, good.Local
		change(&item)
		text, err := json.Marshal(item)
		if err != nil {
			t.Fatal(err)
		}
		return string(text) + "\n"
	}
	is := line(func(*Item) {})
	for _, tt := range []struct {
		name  string
		lines string
		want  string // "" for one that is read
		tune  func(w *writer, c *config, layers []mirror.Descriptor) []mirror.Descriptor
	}{
		{name: "as we write it", lines: is},
		{name: "no JSON", lines: "{\n", want: "unexpected end"},
		{name: "not packed", lines: is, want: "gzip", tune: func(w *writer, _ *config, layers []mirror.Descriptor) []mirror.Descriptor {
			layers[0].Digest, layers[0].Size = w.blob("", []byte(is)).Digest, int64(len(is))
			return layers
		}},
		{name: "twice", lines: is + is, want: "twice"},
		{name: "another count", lines: is, want: "says 2", tune: func(_ *writer, c *config, layers []mirror.Descriptor) []mirror.Descriptor {
			c.Packages = 2
			return layers
		}},
		{name: "another format", lines: is, want: "format is 2", tune: func(_ *writer, c *config, layers []mirror.Descriptor) []mirror.Descriptor {
			c.Format = 2
			return layers
		}},
		{name: "too many packages", lines: is, want: "larger than the limit", tune: func(_ *writer, c *config, layers []mirror.Descriptor) []mirror.Descriptor {
			c.Packages = maxPackages + 1
			return layers
		}},
		{name: "a shard twice", lines: is, want: "is no shard", tune: func(_ *writer, _ *config, layers []mirror.Descriptor) []mirror.Descriptor {
			return append(layers, layers[0])
		}},
		{name: "a shard of another number", lines: is, want: "another shard", tune: func(_ *writer, _ *config, layers []mirror.Descriptor) []mirror.Descriptor {
			layers[0].Annotations = map[string]string{keyShard: fmt.Sprint((shardOf(good.Package.Name) + 1) % shards)}
			return layers
		}},
		{name: "a shard without a number", lines: is, want: "is no shard", tune: func(_ *writer, _ *config, layers []mirror.Descriptor) []mirror.Descriptor {
			layers[0].Annotations = nil
			return layers
		}},
		{name: "a blob that is larger than it says", lines: is, want: "size", tune: func(_ *writer, _ *config, layers []mirror.Descriptor) []mirror.Descriptor {
			layers[0].Size--
			return layers
		}},
		{name: "a name that is none", lines: line(func(i *Item) { i.Package.Name = "../etc" }), want: "no name of a package"},
		{name: "a search of another", lines: line(func(i *Item) { i.Search = json.RawMessage(`{"name":"nginx","version":"1.0.0"}`) }), want: "not of it"},
		{name: "no search", lines: line(func(i *Item) { i.Search = json.RawMessage(`[]`) }), want: "what a search tells"},
		{name: "another registry", lines: line(func(i *Item) { i.Local.Host = "elsewhere.example" }), want: "outside"},
		{name: "what is kept for ourselves", lines: line(func(i *Item) { i.Local.Repository = "mirror/poundlock/distribution/elastic" }), want: "outside"},
		{name: "another part of the registry", lines: line(func(i *Item) { i.Local.Repository = "secret/app" }), want: "outside"},
		{name: "no digest", lines: line(func(i *Item) { i.Local.Digest, i.Local.Tag = mirror.Digest{}, "1" }), want: "outside"},
		{name: "no zip", lines: line(func(i *Item) { i.Layers.Zip = mirror.Descriptor{} }), want: "cannot parse hash"},
		{name: "a zip that is larger than a package may be", lines: line(func(i *Item) { i.Layers.Zip.Size = elastic.MaxZip + 1 }), want: "layers are malformed"},
		{name: "a bomb", lines: strings.Repeat(" ", maxShard+1), want: "larger than the limit"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			at := newShelf()
			w := &writer{at: indexAt, blobs: map[mirror.Digest][]byte{}}
			var packed bytes.Buffer
			z := gzip.NewWriter(&packed)
			if _, err := io.WriteString(z, tt.lines); err != nil || z.Close() != nil {
				t.Fatal(err)
			}
			d := w.blob(channelShard, packed.Bytes())
			d.Annotations = map[string]string{keyShard: fmt.Sprint(shardOf(good.Package.Name))}
			c, layers := config{Format: indexFormat, Name: production, Packages: 1, Made: madeFormat}, []mirror.Descriptor{d}
			if tt.tune != nil {
				layers = tt.tune(w, &c, layers)
			}
			text, err := json.Marshal(c)
			if err != nil {
				t.Fatal(err)
			}
			_, err = ReadContents(t.Context(), at, at.put(w.artifact(ChannelArtifact, w.blob(channelConfig, text), layers)))
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (!errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
