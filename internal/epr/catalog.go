package epr

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

// The catalog of a site is an artifact beside the indexes that names its channels: a server that starts anywhere finds them
// without asking the registry for a list, which many registries do not give.
const (
	catalogArtifact = "application/vnd.poundlock.epr.channels.v1"
	catalogConfig   = "application/vnd.poundlock.epr.channels.config.v1+json"
	catalogTag      = "channels"
	maxCatalog      = 64 << 10
	maxChannels     = 256
)

type catalog struct {
	Format   int    `json:"format"`
	Channels []Name `json:"channels"`
}

var (
	setPattern     = regexp.MustCompile(`^[a-z0-9]+(?:[._-][a-z0-9]+)*$`)
	channelPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,59}$`)
)

// ParseName reads set/channel.
func ParseName(text string) (Name, error) {
	set, channel, _ := strings.Cut(text, "/")
	n := Name{set, channel}
	if !n.valid() {
		return Name{}, fmt.Errorf("%q names no channel: want set/channel, such as elastic/production", mirror.OneLine(text))
	}
	return n, nil
}

func (n Name) valid() bool {
	return len(n.Set) <= 60 && setPattern.MatchString(n.Set) && channelPattern.MatchString(n.Channel)
}

// CatalogIn gives where the catalog lies in the local registry, with its tag.
func CatalogIn(host, prefix string) mirror.Reference {
	return mirror.Reference{Host: host, Repository: below(prefix, indexesDir), Tag: catalogTag}
}

// WriteCatalog makes the catalog of a site.
func WriteCatalog(at mirror.Reference, channels []Name) (mirror.Artifact, error) {
	channels = slices.SortedFunc(slices.Values(channels), func(a, b Name) int { return strings.Compare(a.String(), b.String()) })
	if len(channels) > maxChannels {
		return mirror.Artifact{}, fmt.Errorf("%d channels: %w", len(channels), mirror.ErrTooLarge)
	}
	w := &writer{at: at, blobs: map[mirror.Digest][]byte{}}
	text, err := json.Marshal(catalog{indexFormat, channels})
	if err != nil {
		return mirror.Artifact{}, err
	}
	// Registries want a layer: an empty object, as the image specification of OCI gives it for artifacts without one.
	return w.artifact(catalogArtifact, w.blob(catalogConfig, text), []mirror.Descriptor{w.blob("application/vnd.oci.empty.v1+json", []byte("{}"))}), nil
}

// ReadCatalog reads the catalog, by its digest.
func ReadCatalog(ctx context.Context, content mirror.Content, at mirror.Reference) ([]Name, error) {
	m, err := content.Manifest(ctx, at, at.Digest)
	if err != nil {
		return nil, err
	}
	parts, err := m.Parts()
	if err != nil || parts.Config == nil || parts.ArtifactType != catalogArtifact {
		return nil, malformed("manifest %s is no catalog of channels", at.Digest)
	}
	body, err := readBlob(ctx, content, at, *parts.Config, maxCatalog)
	if err != nil {
		return nil, err
	}
	var c catalog
	if err := json.Unmarshal(body, &c); err != nil {
		return nil, malformed("catalog: %w", err)
	}
	if c.Format != indexFormat || len(c.Channels) > maxChannels || slices.ContainsFunc(c.Channels, func(n Name) bool { return !n.valid() }) {
		return nil, malformed("catalog of format %d with %d channels", c.Format, len(c.Channels))
	}
	return c.Channels, nil
}
