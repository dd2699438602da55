package testenv

import (
	"archive/tar"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/poundlock/poundlock/internal/mirror"
)

func TestImage_DependsOnItsSeedAlone(t *testing.T) {
	const want = "sha256:09e80bc61afcaeb26c88e6587bc054e0ee4d06a2d57b445d550361cb7b8abaeb"
	if got := must(Image("app").Digest()).String(); got != want {
		t.Errorf("Image(app) = %s, want %s: recorded digests would not hold any more", got, want)
	}
	if a, b := must(Image("app").Digest()), must(Image("other").Digest()); a == b {
		t.Error("two seeds gave one digest")
	}
	base := Layer{Seed: "base", Size: 4096}
	a, b := Image("a", base, Layer{Seed: "a"}), Image("b", base, Layer{Seed: "b"})
	la, lb := must(a.Layers()), must(b.Layers())
	if must(la[0].Digest()) != must(lb[0].Digest()) || must(la[1].Digest()) == must(lb[1].Digest()) {
		t.Error("layers are not shared by seed")
	}
}

func TestImage_IsWhatARuntimeUnpacks(t *testing.T) {
	index := Index("app", Layer{Seed: "base"})
	children := must(index.IndexManifest()).Manifests
	if len(children) != 2 || children[0].Platform.Architecture != "amd64" || children[1].Platform.Architecture != "arm64" {
		t.Errorf("children = %+v", children)
	}
	images := []v1.Image{Image("app", Layer{Seed: "base"}, Layer{Seed: "app"})}
	for _, c := range children {
		images = append(images, must(index.Image(c.Digest)))
	}
	for _, img := range images {
		manifest := mirror.NewManifest(string(must(img.MediaType())), must(img.RawManifest()))
		parts, err := manifest.Parts()
		if err != nil || parts.MediaType != string(types.OCIManifestSchema1) || len(parts.Layers) != 2 {
			t.Fatalf("parts = %+v, %v", parts, err)
		}
		config := must(img.ConfigFile())
		if parts.Config.Digest != mirror.DigestOf(must(img.RawConfigFile())) || config.OS != "linux" || config.Architecture == "" || !config.Created.Equal(made) {
			t.Errorf("config = %+v", config)
		}
		for i, l := range must(img.Layers()) {
			if config.RootFS.DiffIDs[i] != must(l.DiffID()) || parts.Layers[i].Digest != must(l.Digest()) {
				t.Errorf("layer %d: %v and %v", i, config.RootFS.DiffIDs[i], parts.Layers[i])
			}
			header, err := tar.NewReader(must(l.Uncompressed())).Next()
			if err != nil || header.Size != defaultFile {
				t.Errorf("layer %d: %+v, %v", i, header, err)
			}
		}
	}
}

func TestPush_CarriesIndexesAndReferrers(t *testing.T) {
	r := startRegistry(t)
	index := Index("app")
	d, err := Push(t.Context(), r.Host(), "library/app", "1.0", index)
	if err != nil {
		t.Fatal(err)
	}
	subject := must(index.IndexManifest()).Manifests[0]
	sbom := Referrer("sbom", "application/spdx+json", subject)
	if _, err := Push(t.Context(), r.Host(), "library/app", "", sbom); err != nil {
		t.Fatal(err)
	}
	if got, err := TagDigest(r.Back(), "library/app", "1.0"); err != nil || got != d {
		t.Errorf("TagDigest = %v, %v, want %v", got, err, d)
	}
	// The registry has no referrers API, so the client wrote the fallback tag.
	fallback := "library/app:" + subject.Digest.Algorithm + "-" + subject.Digest.Hex
	if tags := TagsOf(r.Back()); tags[fallback] == "" {
		t.Errorf("tags = %v, want %s among them", tags, fallback)
	}
	if m := must(sbom.Manifest()); m.Subject == nil || m.Subject.Digest != subject.Digest || m.Config.MediaType != types.MediaType("application/spdx+json") {
		t.Errorf("referrer = %+v", m)
	}
	if faults := Verify(r.Back()); len(faults) > 0 {
		t.Errorf("faults: %v", faults)
	}
}
