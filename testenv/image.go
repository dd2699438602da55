package testenv

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/poundlock/poundlock/internal/mirror"
)

// made is the creation time of every image: a fixed one, so that digests depend on the seed alone.
var made = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// Layer describes a layer by what its bytes depend on. Two images that name the same layer share its blob.
type Layer struct {
	Seed string
	Size int // bytes of the one file in it; 0 means defaultFile
}

// defaultFile keeps the layers of a whole fleet at a few hundred KiB.
const defaultFile = 1 << 10

// Image makes an OCI image for linux/amd64 with the given layers; without any it has one of its own.
func Image(seed string, layers ...Layer) v1.Image { return platformImage(seed, "amd64", layers) }

// Index makes an OCI index of two images, for amd64 and arm64, that share the given layers; each has one of
// its own besides.
func Index(seed string, layers ...Layer) v1.ImageIndex {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, arch := range []string{"amd64", "arm64"} {
		img := platformImage(seed+"/"+arch, arch, append([]Layer{{Seed: seed + "/" + arch}}, layers...))
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{
			Platform: &v1.Platform{OS: "linux", Architecture: arch}}})
	}
	return index
}

// Referrer makes an OCI artifact that refers to subject, such as an SBOM would.
func Referrer(seed, artifactType string, subject mirror.Descriptor) v1.Image {
	img := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	img = mutate.ConfigMediaType(img, types.MediaType(artifactType))
	img = must(mutate.AppendLayers(img, static.NewLayer([]byte("about "+seed+"\n"), types.MediaType(artifactType))))
	subject = mirror.Descriptor{MediaType: subject.MediaType, Digest: subject.Digest, Size: subject.Size}
	return mutate.Subject(img, subject).(v1.Image)
}

func platformImage(seed, arch string, layers []Layer) v1.Image {
	if len(layers) == 0 {
		layers = []Layer{{Seed: seed}}
	}
	img := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	img = mutate.ConfigMediaType(img, types.OCIConfigJSON)
	for _, l := range layers {
		img = must(mutate.Append(img, mutate.Addendum{Layer: l.build(),
			History: v1.History{Created: v1.Time{Time: made}, CreatedBy: "testenv " + l.Seed}}))
	}
	config := must(img.ConfigFile()).DeepCopy()
	config.OS, config.Architecture = "linux", arch
	config.Created = v1.Time{Time: made}
	config.Config.Labels = map[string]string{"org.opencontainers.image.title": seed}
	return must(mutate.ConfigFile(img, config))
}

// build writes a tar archive of one file, so that a container runtime could unpack the layer.
func (l Layer) build() v1.Layer {
	size := l.Size
	if size == 0 {
		size = defaultFile
	}
	content := make([]byte, size)
	_, _ = rand.NewChaCha8(sha256.Sum256([]byte(l.Seed))).Read(content) // never fails
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	header := &tar.Header{Name: "opt/" + strings.ReplaceAll(l.Seed, "/", "_"), Mode: 0o644, Size: int64(size), ModTime: made}
	if err := w.WriteHeader(header); err != nil {
		panic(err)
	}
	must(w.Write(content))
	if err := w.Close(); err != nil {
		panic(err)
	}
	return static.NewLayer(b.Bytes(), types.OCIUncompressedLayer)
}

// must is for values made in memory from constants: an error there is a mistake in this package.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Push writes an image or an index with all its children to a registry on plain HTTP and tags it; an empty
// tag pushes by digest alone. It gives the digest of what was pushed.
func Push(ctx context.Context, host, repo, tag string, what remote.Taggable) (mirror.Digest, error) {
	body, err := what.RawManifest()
	if err != nil {
		return mirror.Digest{}, fmt.Errorf("push %s/%s: %w", host, repo, err)
	}
	d := mirror.DigestOf(body)
	to := host + "/" + repo + "@" + d.String()
	if tag != "" {
		to = host + "/" + repo + ":" + tag
	}
	ref, err := name.ParseReference(to, name.Insecure)
	if err != nil {
		return d, fmt.Errorf("push %s: %w", to, err)
	}
	// A transport of its own, closed afterwards, leaves no idle connection for a leak detector to find.
	transport := http.DefaultTransport.(*http.Transport).Clone()
	defer transport.CloseIdleConnections()
	pusher, err := remote.NewPusher(remote.WithTransport(transport))
	if err != nil {
		return d, fmt.Errorf("push %s: %w", to, err)
	}
	if err := pusher.Push(ctx, ref, what); err != nil {
		return d, fmt.Errorf("push %s: %w", to, err)
	}
	return d, nil
}
