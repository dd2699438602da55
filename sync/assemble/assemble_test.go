package assemble

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/poundlock/poundlock/internal/mirror"
)

// store is content in memory.
type store struct {
	mirror.Content
	manifests map[mirror.Digest]mirror.Manifest
	blobs     map[mirror.Digest][]byte
	reads     int
}

func newStore() *store {
	return &store{manifests: map[mirror.Digest]mirror.Manifest{}, blobs: map[mirror.Digest][]byte{}}
}

func (s *store) Manifest(_ context.Context, _ mirror.Reference, d mirror.Digest) (mirror.Manifest, error) {
	if m, ok := s.manifests[d]; ok {
		return m, nil
	}
	return mirror.Manifest{}, mirror.ErrNotFound
}

func (s *store) Blob(_ context.Context, _ mirror.Reference, d mirror.Digest, offset int64) (io.ReadCloser, error) {
	s.reads++
	body, ok := s.blobs[d]
	if !ok {
		return nil, mirror.ErrNotFound
	}
	return io.NopCloser(bytes.NewReader(body[offset:])), nil
}

func (s *store) put(text string) mirror.Descriptor {
	d := mirror.DigestOf([]byte(text))
	s.blobs[d] = []byte(text)
	return mirror.Descriptor{Digest: d, Size: int64(len(text))}
}

func (s *store) pack(name, version, text string) Package {
	return Package{Package: mirror.Package{Name: name, Version: version}, Zip: s.put(name + version + " zip " + text), Signature: s.put(name + version + " signature " + text)}
}

// image puts an image of a vendor into the store.
func (s *store) image(t *testing.T, img v1.Image) mirror.Descriptor {
	t.Helper()
	body, err := img.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	kind, _ := img.MediaType()
	config, _ := img.RawConfigFile()
	s.blobs[mirror.DigestOf(config)] = config
	m := mirror.NewManifest(string(kind), body)
	s.manifests[m.Descriptor.Digest] = m
	return m.Descriptor
}

func someImage(t *testing.T, kind types.MediaType) v1.Image {
	t.Helper()
	img, err := random.Image(64, 2)
	if err != nil {
		t.Fatal(err)
	}
	return mutate.MediaType(img, kind)
}

func read(t *testing.T, l Layer, s *store, offset int64) []byte {
	t.Helper()
	body := l.Open(t.Context(), s, offset)
	defer body.Close()
	all, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestLayers_AreTarsThatOnlyTheirOwnPackagesChange(t *testing.T) {
	s := newStore()
	var packages []Package
	for i := range 12 {
		packages = append(packages, s.pack(fmt.Sprintf("package_%d", i), "1.0.0", strings.Repeat("x", 300*i)))
	}
	layers := Layers(packages, 4)
	var names []string
	for _, l := range layers {
		body := read(t, l, s, 0)
		if int64(len(body)) != l.Size {
			t.Fatalf("%d bytes, said %d", len(body), l.Size)
		}
		for r := tar.NewReader(bytes.NewReader(body)); ; {
			h, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			content, _ := io.ReadAll(r)
			if h.Typeflag == tar.TypeReg && strings.HasPrefix(h.Name, Folder) {
				names = append(names, h.Name)
				if s.blobs[mirror.DigestOf(content)] == nil {
					t.Errorf("%s holds other bytes", h.Name)
				}
			}
		}
		for _, offset := range []int64{1, 511, 512, 513, 2000, l.Size - 1, l.Size} { // as a broken upload goes on
			if offset <= l.Size && !bytes.Equal(read(t, l, s, offset), body[offset:]) {
				t.Errorf("from byte %d on it is another layer", offset)
			}
		}
		measured, err := l.Measure(t.Context(), s)
		if err != nil || measured.Digest != mirror.DigestOf(body) {
			t.Errorf("measured %s, %v", measured.Digest, err)
		}
	}
	if len(names) != 24 {
		t.Errorf("%d files, want 24: %v", len(names), names)
	}
	slices.Reverse(packages)
	again := Layers(packages, 4)
	more := Layers(append(packages, s.pack("package_3", "2.0.0", "new")), 4)
	if len(again) != len(layers) || len(more) != len(layers) {
		t.Fatalf("%d, %d and %d layers", len(layers), len(again), len(more))
	}
	changed := 0
	for i := range layers {
		if again[i].Key != layers[i].Key {
			t.Error("the order of the packages changes a layer")
		}
		if more[i].Key != layers[i].Key {
			changed++
		}
	}
	if changed != 1 {
		t.Errorf("one package more changed %d layers", changed)
	}
}

func TestLayers_ABrokenBlobIsAnError(t *testing.T) {
	for name, damage := range map[string]func(*store, Package){
		"gone":  func(s *store, p Package) { delete(s.blobs, p.Zip.Digest) },
		"short": func(s *store, p Package) { s.blobs[p.Zip.Digest] = []byte("x") },
		"long":  func(s *store, p Package) { s.blobs[p.Zip.Digest] = append(s.blobs[p.Zip.Digest], "more"...) },
	} {
		s := newStore()
		p := s.pack("nginx", "1.0.0", "a")
		damage(s, p)
		layers := Layers([]Package{p}, 1)
		if _, err := layers[1].Measure(t.Context(), s); err == nil {
			t.Errorf("%s: measured", name)
		}
	}
}

func TestAssemble_PutsLayersBehindThoseOfEveryPlatform(t *testing.T) {
	for _, kind := range []types.MediaType{types.OCIManifestSchema1, types.DockerManifestSchema2} {
		s := newStore()
		var index v1.ImageIndex = empty.Index
		for _, arch := range []string{"amd64", "arm64"} {
			img := someImage(t, kind)
			s.image(t, img)
			index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}}})
		}
		attestation := someImage(t, types.OCIManifestSchema1)
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: attestation, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "unknown", Architecture: "unknown"}}})
		body, _ := index.RawManifest()
		root := mirror.NewManifest(string(types.OCIImageIndex), body)
		s.manifests[root.Descriptor.Digest] = root
		base := mirror.Reference{Host: "r.example", Repository: "server", Digest: root.Descriptor.Digest}
		layers := Layers([]Package{s.pack("nginx", "1.0.0", "a")}, 3)
		for i := range layers {
			layers[i], _ = layers[i].Measure(t.Context(), s)
		}
		image, err := Assemble(t.Context(), s, base, layers)
		if err != nil {
			t.Fatal(err)
		}
		again, _ := Assemble(t.Context(), s, base, layers)
		if again.Root.Descriptor.Digest != image.Root.Descriptor.Digest {
			t.Error("the same ingredients give another image")
		}
		parts, err := image.Root.Parts()
		if err != nil || len(parts.Manifests) != 2 || parts.Manifests[1].Platform.Architecture != "arm64" {
			t.Fatalf("%v, %+v", err, parts.Manifests)
		}
		for _, child := range parts.Manifests {
			m, err := image.Manifest(t.Context(), base, child.Digest)
			if err != nil {
				t.Fatal(err)
			}
			below, err := m.Parts()
			if err != nil || len(below.Layers) != 4 || below.Layers[3].Digest != layers[1].Digest || string(below.Layers[0].MediaType) != "application/vnd.oci.image.layer.v1.tar+gzip" {
				t.Fatalf("%v, %+v", err, below.Layers)
			}
			var config v1.ConfigFile
			blob, err := image.Blob(t.Context(), base, below.Config.Digest, 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.NewDecoder(blob).Decode(&config); err != nil || len(config.RootFS.DiffIDs) != 4 || config.RootFS.DiffIDs[3] != layers[1].Digest {
				t.Errorf("%v, %+v", err, config.RootFS)
			}
		}
	}
}

func TestAssemble_RefusesWhatIsNoImage(t *testing.T) {
	s := newStore()
	artifact := mirror.NewManifest(string(types.OCIManifestSchema1), fmt.Appendf(nil, `{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":%q,"size":2},"layers":[]}`, s.put("{}").Digest))
	s.manifests[artifact.Descriptor.Digest] = artifact
	for name, d := range map[string]mirror.Digest{"gone": mirror.DigestOf([]byte("x")), "an artifact": artifact.Descriptor.Digest} {
		if _, err := Assemble(t.Context(), s, mirror.Reference{Host: "r.example", Repository: "server", Digest: d}, nil); err == nil {
			t.Errorf("%s: assembled", name)
		}
	}
}
