package epr

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

// A channel lies in the local registry as an artifact of its own, its index: what the servers of packages read, and all that
// they read. It is made of the record and of the packages, so it may be deleted and is made anew.
//
// The packages of a channel are spread over shards by a hash of their names, one layer each, so that a changed package costs
// one small layer: the others keep their digests and are neither sent nor read again. Each shard says by a sum what it was
// made of, so that one that is still right is known without reading it.

// The media types of the index of a channel.
const (
	ChannelArtifact = "application/vnd.poundlock.epr.channel.v1"
	channelConfig   = "application/vnd.poundlock.epr.channel.config.v1+json"
	channelShard    = "application/vnd.poundlock.epr.channel.shard.v1+json+gzip"
)

const (
	indexFormat = 1 // of the index; a server reads no other
	// madeFormat is raised when NewItem makes something else of the same package: then every shard is made anew, and a
	// server goes on to serve what was made before until that came.
	madeFormat = 1

	shards     = 64
	keyShard   = "dev.poundlock.channel.shard"
	keySum     = "dev.poundlock.channel.sum"
	indexesDir = "poundlock/channels"
)

// Limits on what is read of a channel: it lies where others may be able to write. More is refused, never cut.
const (
	maxShard    = 64 << 20  // bytes of one shard, unpacked
	maxPacked   = 32 << 20  // bytes of one shard as it lies in the registry
	maxChannel  = 512 << 20 // bytes of all shards, unpacked
	maxPackages = 100_000
	maxItem     = 2 << 20 // bytes of what a search tells of one package
)

// ErrMalformed is in the chain of errors that say that an index is not one that this Poundlock wrote or reads.
var ErrMalformed = errors.New("malformed index of a channel")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrMalformed, fmt.Errorf(format, args...))
}

// Name names a channel: of a set, and one of its stages or what was frozen under a name of its own.
type Name struct {
	Set     string `json:"set"`
	Channel string `json:"channel"`
}

// String gives set/channel.
func (n Name) String() string { return n.Set + "/" + n.Channel }

// In gives where the index of the channel lies in the local registry, with its tag. prefix is the path that is put before
// every repository there; "" for none.
func (n Name) In(host, prefix string) mirror.Reference {
	return mirror.Reference{Host: host, Repository: below(prefix, indexesDir+"/"+n.Set), Tag: n.Channel}
}

func below(prefix, path string) string { return strings.TrimPrefix(prefix+"/"+path, "/") }

// Standing is a package in a channel, before it is known what Kibana is told of it.
type Standing struct {
	Package mirror.Package
	Stage   string           // the highest at which it stands
	Local   mirror.Reference // its artifact in the local registry, with digest
}

func (s Standing) line() string {
	return s.Package.Name + " " + s.Package.Version + " " + s.Stage + " " + s.Local.String() + "\n"
}

// Index is the outline of a channel in a registry: what it is and which shards it has.
type Index struct {
	Name
	Digest   mirror.Digest
	Packages int
	made     int
	shards   map[int]shard
}

type shard struct {
	mirror.Descriptor
	sum string
}

// config is the config of an index.
type config struct {
	Format int `json:"format"`
	Name
	Packages int `json:"packages"`
	Made     int `json:"made"`
}

// Blobs lists what the index consists of beside its manifest and config.
func (x Index) Blobs() (all []mirror.Digest) {
	for _, n := range slices.Sorted(maps.Keys(x.shards)) {
		all = append(all, x.shards[n].Digest)
	}
	return all
}

// Sum identifies what the index says of itself that it was made of; "" where a package was left out. That is believed of
// what we wrote ourselves.
func (x Index) Sum() string {
	sums := map[int]string{}
	for n, s := range x.shards {
		if sums[n] = s.sum; s.sum == "" {
			return ""
		}
	}
	return total(x.Name, sums)
}

// Sum identifies what an index of these packages is made of, by this Poundlock.
func Sum(name Name, all []Standing) string {
	sums := map[int]string{}
	for n, part := range spread(all) {
		sums[n] = sumOf(part)
	}
	return total(name, sums)
}

func total(name Name, sums map[int]string) string {
	h := sha256.New()
	fmt.Fprintln(h, name)
	for _, n := range slices.Sorted(maps.Keys(sums)) {
		fmt.Fprintln(h, n, sums[n])
	}
	return hex.EncodeToString(h.Sum(nil))
}

// openIndex reads manifest and config of an index.
func openIndex(m mirror.Manifest, body []byte) (Index, error) {
	parts, err := m.Parts()
	if err != nil {
		return Index{}, malformed("%w", err)
	}
	var c config
	switch err := json.Unmarshal(body, &c); {
	case parts.ArtifactType != ChannelArtifact || len(parts.Manifests) > 0:
		return Index{}, malformed("manifest %s is no index of a channel", m.Descriptor.Digest)
	case err != nil:
		return Index{}, malformed("config: %w", err)
	case c.Format != indexFormat:
		return Index{}, malformed("its format is %d, this Poundlock reads %d: use the same version for the daemon and for its servers", c.Format, indexFormat)
	case c.Packages < 0 || c.Packages > maxPackages:
		return Index{}, malformed("%d packages: %w", c.Packages, mirror.ErrTooLarge)
	case len(parts.Layers) > shards:
		return Index{}, malformed("%d layers, want at most %d", len(parts.Layers), shards)
	}
	x := Index{Name: c.Name, Digest: m.Descriptor.Digest, Packages: c.Packages, made: c.Made, shards: map[int]shard{}}
	for _, d := range parts.Layers {
		n, err := strconv.Atoi(d.Annotations[keyShard])
		_, twice := x.shards[n]
		if err != nil || n < 0 || n >= shards || twice || string(d.MediaType) != channelShard || d.Size > maxPacked {
			return Index{}, malformed("layer %s is no shard", d.Digest)
		}
		x.shards[n] = shard{d, d.Annotations[keySum]}
	}
	return x, nil
}

// spread gives the packages by shard, each sorted. There is always a shard: registries want a layer.
func spread(all []Standing) map[int][]Standing {
	parts := map[int][]Standing{}
	for _, s := range all {
		s.Local = s.Local.AtDigest(s.Local.Digest)
		n := shardOf(s.Package.Name)
		parts[n] = append(parts[n], s)
	}
	for n, part := range parts {
		parts[n] = inOrder(part)
	}
	if len(parts) == 0 {
		parts[0] = nil
	}
	return parts
}

// inOrder sorts packages by what a sum has of them. Most often they come as they are wanted.
func inOrder(part []Standing) []Standing {
	type lined struct {
		Standing
		line string
	}
	all := make([]lined, len(part))
	for i, s := range part {
		all[i] = lined{s, s.line()}
	}
	slices.SortFunc(all, func(a, b lined) int { return strings.Compare(a.line, b.line) })
	for i, one := range all {
		part[i] = one.Standing
	}
	return part
}

func shardOf(name string) int {
	sum := sha256.Sum256([]byte(name))
	return int(sum[0]) % shards
}

// sumOf says what a shard is made of.
func sumOf(part []Standing) string {
	h := sha256.New()
	fmt.Fprintf(h, "made %d\n", madeFormat)
	for _, s := range part {
		h.Write([]byte(s.line()))
	}
	return hex.EncodeToString(h.Sum(nil))
}
