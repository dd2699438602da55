package sources

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/poundlock/poundlock/internal/charts"
	"github.com/poundlock/poundlock/internal/mirror"
)

// Media types of a chart in a registry. Source: helm.sh/docs/topics/registries, "Helm chart manifest".
const (
	chartConfigType = "application/vnd.cncf.helm.config.v1+json"
	chartLayerType  = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
	ociManifestType = "application/vnd.oci.image.manifest.v1+json"
)

// packChart makes the archive of a chart as `helm package` lays it out, without times and owners. The bytes are stored, not
// squeezed: then they stay the same when the compressor changes, and with them the digest that people promote.
func packChart(name string, files charts.Files) ([]byte, error) {
	var b bytes.Buffer
	zipped, err := gzip.NewWriterLevel(&b, gzip.NoCompression)
	if err != nil {
		return nil, fmt.Errorf("pack: %w", err)
	}
	packed := tar.NewWriter(zipped)
	for _, file := range files.Names() {
		header := &tar.Header{Name: path.Join(name, file), Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(files[file]))}
		if err := packed.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("pack %s: %w", file, err)
		}
		if _, err := packed.Write(files[file]); err != nil {
			return nil, fmt.Errorf("pack %s: %w", file, err)
		}
	}
	if err := errors.Join(packed.Close(), zipped.Close()); err != nil {
		return nil, fmt.Errorf("pack: %w", err)
	}
	return b.Bytes(), nil
}

// chartArtifact makes of an archive what `helm push` would push, without the time of the push.
func chartArtifact(below string, chart charts.Rendered, archive []byte) (mirror.Artifact, error) {
	describe := func(mediaType string, body []byte) mirror.Descriptor {
		return mirror.Descriptor{MediaType: mirror.NewMediaType(mediaType), Digest: mirror.DigestOf(body), Size: int64(len(body))}
	}
	manifest := struct {
		SchemaVersion int                 `json:"schemaVersion"`
		MediaType     string              `json:"mediaType"`
		Config        mirror.Descriptor   `json:"config"`
		Layers        []mirror.Descriptor `json:"layers"`
		Annotations   map[string]string   `json:"annotations"`
	}{2, ociManifestType, describe(chartConfigType, chart.Config), []mirror.Descriptor{describe(chartLayerType, archive)},
		map[string]string{"org.opencontainers.image.title": chart.Name, "org.opencontainers.image.version": chart.Version}}
	body, err := json.Marshal(manifest)
	if err != nil {
		return mirror.Artifact{}, fmt.Errorf("chart %s: %w", chart.Name, err)
	}
	image, err := mirror.ParseReference(below + "/" + chart.Name + ":" + chartTag(chart.Version))
	if err != nil {
		return mirror.Artifact{}, err
	}
	made := mirror.Artifact{Manifest: mirror.NewManifest(ociManifestType, body),
		Blobs: map[mirror.Digest][]byte{mirror.DigestOf(chart.Config): chart.Config, mirror.DigestOf(archive): archive}}
	made.Image = image.WithDigest(made.Manifest.Descriptor.Digest)
	return made, nil
}

// chartTag gives the tag of a version: a tag has no plus sign, so Helm writes an underscore.
func chartTag(version string) string { return strings.ReplaceAll(version, "+", "_") }
