package assemble

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Media types of what is written. A base of the older schema is taken over into the OCI one: its blobs are the same.
// Source: opencontainers/image-spec : manifest.md, image-index.md, layer.md.
const (
	ociIndex    = "application/vnd.oci.image.index.v1+json"
	ociManifest = "application/vnd.oci.image.manifest.v1+json"
	ociConfig   = "application/vnd.oci.image.config.v1+json"
	ociTar      = "application/vnd.oci.image.layer.v1.tar"
)

var ociOf = map[string]string{
	"application/vnd.docker.image.rootfs.diff.tar.gzip":         "application/vnd.oci.image.layer.v1.tar+gzip",
	"application/vnd.docker.image.rootfs.diff.tar":              ociTar,
	"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
	"application/vnd.docker.container.image.v1+json":            ociConfig,
}

// keyAnnotation names a layer's key in manifests, for people who compare two images. It is part of the bytes, so it stays;
// nobody believes it.
const keyAnnotation = "dev.poundlock.distribution.layer"

// maxConfig bounds the config of a base.
const maxConfig = 4 << 20

// Image is an image that is made here: as content it gives its manifests and blobs, those of the base from where the base
// lies.
type Image struct {
	mirror.Content // of the base and of the packages
	Root           mirror.Manifest
	base           mirror.Reference
	manifests      map[mirror.Digest]mirror.Manifest
	blobs          map[mirror.Digest][]byte
	layers         map[mirror.Digest]Layer
}

// Assemble puts layers, which are measured, behind those of every platform of a base, which is named by digest where it lies
// in the local registry. Attestations of the base's own build are left out: they are of another image.
func Assemble(ctx context.Context, c mirror.Content, base mirror.Reference, layers []Layer) (*Image, error) {
	i := &Image{Content: c, base: base, manifests: map[mirror.Digest]mirror.Manifest{}, blobs: map[mirror.Digest][]byte{}, layers: map[mirror.Digest]Layer{}}
	for _, l := range layers {
		if l.Digest == (mirror.Digest{}) {
			return nil, errors.New("a layer was not measured")
		}
		i.layers[l.Digest] = l
	}
	root, err := c.Manifest(ctx, base, base.Digest)
	if err != nil {
		return nil, fmt.Errorf("base %s: %w", base, err)
	}
	parts, err := root.Parts()
	if err != nil {
		return nil, fmt.Errorf("base %s: %w", base, err)
	}
	if len(parts.Manifests) == 0 {
		i.Root, err = i.append(ctx, root, parts, layers)
		return i, err
	}
	var children []mirror.Descriptor
	for _, child := range parts.Manifests {
		if child.Platform == nil || child.Platform.OS == "unknown" {
			continue
		}
		m, err := c.Manifest(ctx, base, child.Digest)
		if err != nil {
			return nil, fmt.Errorf("base %s: %w", base, err)
		}
		below, err := m.Parts()
		if err != nil {
			return nil, fmt.Errorf("base %s: %w", base, err)
		}
		made, err := i.append(ctx, m, below, layers)
		if err != nil {
			return nil, err
		}
		d := made.Descriptor
		d.Platform = child.Platform
		children = append(children, d)
	}
	if len(children) == 0 {
		return nil, fmt.Errorf("base %s: it is an index without an image for a platform", base)
	}
	i.Root = i.keep(ociIndex, map[string]any{"schemaVersion": 2, "mediaType": ociIndex, "manifests": children})
	return i, nil
}

// append makes the manifest of one platform.
func (i *Image) append(ctx context.Context, base mirror.Manifest, parts mirror.Parts, layers []Layer) (mirror.Manifest, error) {
	if parts.Config == nil || parts.ArtifactType != "" {
		return mirror.Manifest{}, fmt.Errorf("base %s: manifest %s is of no image", i.base, base.Descriptor.Digest)
	}
	config, err := i.config(ctx, *parts.Config, layers)
	if err != nil {
		return mirror.Manifest{}, fmt.Errorf("base %s: config %s: %w", i.base, parts.Config.Digest, err)
	}
	all := make([]mirror.Descriptor, 0, len(parts.Layers)+len(layers))
	for _, l := range parts.Layers {
		if other, ok := ociOf[string(l.MediaType)]; ok {
			l.MediaType = mirror.NewMediaType(other)
		}
		all = append(all, l)
	}
	for _, l := range layers {
		all = append(all, mirror.Descriptor{MediaType: mirror.NewMediaType(ociTar), Digest: l.Digest, Size: l.Size, Annotations: map[string]string{keyAnnotation: l.Key}})
	}
	return i.keep(ociManifest, map[string]any{"schemaVersion": 2, "mediaType": ociManifest, "config": config, "layers": all}), nil
}

// config gives the base's config with the layers added. What it says otherwise stays to the letter, also what is not known
// here.
func (i *Image) config(ctx context.Context, d mirror.Descriptor, layers []Layer) (mirror.Descriptor, error) {
	body, err := i.read(ctx, d)
	if err != nil {
		return mirror.Descriptor{}, err
	}
	var all map[string]json.RawMessage
	var rootfs struct {
		Type    string   `json:"type"`
		DiffIDs []string `json:"diff_ids"`
	}
	var history []json.RawMessage
	if err := json.Unmarshal(body, &all); err != nil {
		return mirror.Descriptor{}, err
	}
	if err := json.Unmarshal(all["rootfs"], &rootfs); err != nil || len(rootfs.DiffIDs) == 0 {
		return mirror.Descriptor{}, errors.New("it says nothing of layers: it is no image")
	}
	if len(all["history"]) > 0 {
		if err := json.Unmarshal(all["history"], &history); err != nil {
			return mirror.Descriptor{}, err
		}
	}
	for _, l := range layers {
		rootfs.DiffIDs = append(rootfs.DiffIDs, l.Digest.String()) // not compressed: both are the same
		history = append(history, json.RawMessage(`{"created":"1970-01-01T00:00:00Z","created_by":"poundlock distribution"}`))
	}
	all = maps.Clone(all)
	all["rootfs"], all["history"] = encode(rootfs), encode(history)
	made := encode(all)
	digest := mirror.DigestOf(made)
	i.blobs[digest] = made
	return mirror.Descriptor{MediaType: mirror.NewMediaType(ociConfig), Digest: digest, Size: int64(len(made))}, nil
}

func (i *Image) read(ctx context.Context, d mirror.Descriptor) ([]byte, error) {
	if d.Size > maxConfig {
		return nil, fmt.Errorf("%d bytes: %w", d.Size, mirror.ErrTooLarge)
	}
	blob, err := i.Content.Blob(ctx, i.base, d.Digest, 0)
	if err != nil {
		return nil, err
	}
	defer blob.Close()
	body, err := io.ReadAll(io.LimitReader(blob, d.Size+1))
	if err != nil {
		return nil, err
	}
	return body, mirror.CheckValues(body)
}

func encode(value any) []byte {
	body, err := json.Marshal(value) // keys of a map come sorted
	if err != nil {
		panic("assemble: " + err.Error()) // texts, numbers and JSON that was read
	}
	return body
}

func (i *Image) keep(mediaType string, value any) mirror.Manifest {
	m := mirror.NewManifest(mediaType, encode(value))
	i.manifests[m.Descriptor.Digest] = m
	return m
}

// Manifest gives a manifest that was made.
func (i *Image) Manifest(ctx context.Context, r mirror.Reference, d mirror.Digest) (mirror.Manifest, error) {
	if m, ok := i.manifests[d]; ok {
		return m, nil
	}
	return mirror.Manifest{}, fmt.Errorf("%s: %w", r.AtDigest(d), mirror.ErrNotFound)
}

// Blob gives a blob of the image, made here or of the base.
func (i *Image) Blob(ctx context.Context, _ mirror.Reference, d mirror.Digest, offset int64) (io.ReadCloser, error) {
	if body, ok := i.blobs[d]; ok {
		return io.NopCloser(newBody(body, offset)), nil
	}
	if l, ok := i.layers[d]; ok {
		return l.Open(ctx, i.Content, offset), nil
	}
	return i.Content.Blob(ctx, i.base, d, offset)
}

// Recipe identifies what an image is made of: the same recipe gives the same bytes.
func Recipe(base mirror.Digest, packages map[string]mirror.Digest, groups int) string {
	text := fmt.Appendf(nil, "distribution 1\nbase %s\ngroups %d\n", base, groups)
	for _, name := range sorted(packages) {
		text = fmt.Appendf(text, "%s %s\n", name, packages[name])
	}
	return mirror.DigestOf(text).Hex[:40]
}

func newBody(body []byte, offset int64) io.Reader {
	return bytes.NewReader(body[min(max(offset, 0), int64(len(body))):])
}

func sorted[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }
