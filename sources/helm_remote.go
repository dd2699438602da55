package sources

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"

	"github.com/poundlock/poundlock/internal/charts"
	"github.com/poundlock/poundlock/internal/mirror"
)

// Limits of what is fetched, in bytes.
const (
	maxChartIndex  = 32 << 20 // the index.yaml of a chart repository; large public ones have about 20 MB
	maxChartPacked = 20 << 20 // an archive
)

// remote says what to ask for a chart that does not lie in desired/; nil for one that does.
func (c *helmChart) remote() (asker, mirror.Problems) {
	var ps mirror.Problems
	o := c.options
	reference, isOCI := strings.CutPrefix(o.Chart, "oci://")
	if !isOCI && o.Repository == "" {
		if o.Version != "" {
			ps.Add("SRC068", c.source.Key("version").Where(), "delete it; Chart.yaml has the version", "source.version says nothing of a chart that lies in desired/")
		}
		return nil, ps
	}
	if isOCI && o.Repository != "" {
		ps.Add("SRC068", c.source.Key("repository").Where(), "write chart: oci://registry/path/name, or repository and the name of the chart in it", "source.repository stands beside a chart of a registry")
		return nil, ps
	}
	version, err := semver.NewConstraint(o.Version)
	if o.Version == "" || err != nil {
		ps.Add("SRC068", c.source.Find("version").Where(), "write version: 1.2.3, or a range such as ~1.2", "source.version: want the version of the chart, or a range")
		if c.source.Key("version").IsZero() {
			ps[len(ps)-1].Where = c.source.Key("chart").Where()
		}
		return nil, ps
	}
	if isOCI {
		repository, err := mirror.ParseReference(reference)
		if err != nil || repository.Tag != "" || repository.HasDigest() {
			ps.Add("SRC068", c.source.Key("chart").Where(), "write oci://registry/path/name, and its version as version:", "source.chart: %q names no repository of a registry", reference)
			return nil, ps
		}
		return func(ctx context.Context, up Upstream, _ Past, _ time.Time) (listing, error) {
			return c.askRegistry(ctx, up, repository, version)
		}, nil
	}
	at, err := url.Parse(o.Repository)
	if err != nil || at.Scheme != "https" && at.Scheme != "http" || at.Host == "" || at.User != nil || at.RawQuery != "" {
		ps.Add("SRC068", c.source.Key("repository").Where(), "write https://host/path; a credential belongs into config.yaml", "source.repository is no address of a chart repository")
		return nil, ps
	}
	return func(ctx context.Context, up Upstream, _ Past, _ time.Time) (listing, error) {
		return c.askRepository(ctx, up, at, version)
	}, nil
}

// askRegistry finds the newest version of a chart in a registry. The chart is copied from there as it is.
func (c *helmChart) askRegistry(ctx context.Context, up Upstream, repository mirror.Reference, want *semver.Constraints) (listing, error) {
	image := repository.WithTag(chartTag(c.options.Version))
	if _, err := semver.StrictNewVersion(c.options.Version); err != nil {
		tags, err := up.Tags(ctx, repository)
		if err != nil {
			return listing{}, fmt.Errorf("tags of %s: %w", repository, err)
		}
		best := newest(want, tags, func(tag string) string { return strings.ReplaceAll(tag, "_", "+") })
		if best == "" {
			return listing{}, c.noVersion(repository.String(), len(tags))
		}
		image = repository.WithTag(best)
	}
	return c.fetchRegistry(ctx, up, image)
}

func (c *helmChart) fetchRegistry(ctx context.Context, up Upstream, image mirror.Reference) (listing, error) {
	named, err := up.Resolve(ctx, image)
	if err != nil {
		return listing{}, fmt.Errorf("resolve %s: %w", image, err)
	}
	manifest, err := up.Manifest(ctx, image, named.Digest)
	if err != nil {
		return listing{}, fmt.Errorf("chart %s: %w", image, err)
	}
	parts, err := manifest.Parts()
	if err != nil {
		return listing{}, fmt.Errorf("chart %s: %w", image, err)
	}
	i := slices.IndexFunc(parts.Layers, func(d mirror.Descriptor) bool { return string(d.MediaType) == chartLayerType })
	if i < 0 || parts.Config == nil || string(parts.Config.MediaType) != chartConfigType {
		return listing{}, c.problem("SRC069", "name the repository of a chart, as helm pull takes it", fmt.Sprintf("%s is no Helm chart", image))
	}
	archive, err := readBlob(ctx, up, image, parts.Layers[i])
	if err != nil {
		return listing{}, fmt.Errorf("chart %s: %w", image, err)
	}
	l, err := c.fetched(archive)
	if err != nil {
		return listing{}, err
	}
	// It lies in a registry as it is: that is what is copied, with what is signed there.
	l.made = nil
	l.entries[len(l.entries)-1].Image = image.WithDigest(named.Digest)
	return l, nil
}

func readBlob(ctx context.Context, up Upstream, image mirror.Reference, d mirror.Descriptor) ([]byte, error) {
	if d.Size > maxChartPacked {
		return nil, fmt.Errorf("%d bytes: %w", d.Size, mirror.ErrTooLarge)
	}
	r, err := up.Blob(ctx, image, d.Digest, 0)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, maxChartPacked+1))
	switch {
	case err != nil:
		return nil, err
	case len(data) > maxChartPacked:
		return nil, mirror.ErrTooLarge
	case mirror.DigestOf(data) != d.Digest:
		return nil, mirror.ErrDigestMismatch
	}
	return data, nil
}

// askRepository finds the newest version of a chart in an HTTP repository and makes an OCI artifact of it.
func (c *helmChart) askRepository(ctx context.Context, up Upstream, repository *url.URL, want *semver.Constraints) (listing, error) {
	index := repository.JoinPath("index.yaml").String()
	data, err := up.Get(ctx, index, maxChartIndex)
	if err != nil {
		return listing{}, fmt.Errorf("chart repository %s: %w", repository, err)
	}
	versions, err := readChartIndex(data, c.options.Chart)
	switch {
	case errors.Is(err, errIndexParts):
		return listing{}, c.problem("SRC069", "see whether a chart repository is there", fmt.Sprintf("%s: %v", index, err))
	case err != nil:
		return listing{}, c.problem("SRC069", "see whether a chart repository is there", fmt.Sprintf("%s is no index of charts", index))
	}
	var names []string
	for _, v := range versions {
		names = append(names, v.Version)
	}
	best := newest(want, names, func(version string) string { return version })
	if best == "" {
		return listing{}, c.noVersion(fmt.Sprintf("%s in %s", c.options.Chart, repository), len(names))
	}
	chosen := versions[slices.Index(names, best)]
	if len(chosen.URLs) == 0 {
		return listing{}, c.problem("SRC069", "tell who keeps the repository", fmt.Sprintf("%s %s has no address in %s", c.options.Chart, best, index))
	}
	if reference, ok := strings.CutPrefix(chosen.URLs[0], "oci://"); ok {
		image, err := mirror.ParseReference(reference)
		if err != nil || image.Tag == "" {
			return listing{}, c.problem("SRC069", "tell who keeps the repository", fmt.Sprintf("%s %s has no address that can be read in %s", c.options.Chart, best, index))
		}
		return c.fetchRegistry(ctx, up, image)
	}
	at, err := repository.JoinPath("/").Parse(chosen.URLs[0])
	if err != nil || at.Scheme != "https" && at.Scheme != "http" {
		return listing{}, c.problem("SRC069", "tell who keeps the repository", fmt.Sprintf("%s %s has no address that can be read in %s", c.options.Chart, best, index))
	}
	archive, err := up.Get(ctx, at.String(), maxChartPacked)
	if err != nil { // of the address only the host is shown: the index wrote it, with what may be a key
		return listing{}, fmt.Errorf("chart %s %s at %s: %w", c.options.Chart, mirror.OneLine(best), mirror.OneLine(at.Host), err)
	}
	if have := mirror.DigestOf(archive).Hex; have != strings.TrimPrefix(strings.ToLower(chosen.Digest), "sha256:") {
		return listing{}, c.problem("SRC069", "ask who keeps the repository; nothing of it is taken", fmt.Sprintf("%s %s is sha256:%s, its index says %q", c.options.Chart, best, have, mirror.OneLine(chosen.Digest)))
	}
	return c.fetched(archive)
}

// fetched reads a chart that was fetched. The chart is the last entry.
func (c *helmChart) fetched(archive []byte) (listing, error) {
	where := c.source.Key("chart").Where()
	files, err := charts.Unpack(archive)
	if err != nil {
		return listing{}, chartProblem("SRC069", where, "tell who publishes it", "this is no chart", err)
	}
	l, ps := c.listing(files, archive, func(string, int) mirror.Position { return where })
	if err := ps.Err(); err != nil {
		return listing{}, err
	}
	if name := strings.TrimPrefix(l.entries[len(l.entries)-1].Name, "chart/"); name != path.Base(c.options.Chart) {
		return listing{}, c.problem("SRC069", "name the chart as its Chart.yaml does", fmt.Sprintf("the chart is named %s", name))
	}
	return l, nil
}

// newest gives the highest version that is wanted, as it is spelled; "" when there is none. Prereleases count only where the
// range names one.
func newest(want *semver.Constraints, spelled []string, version func(string) string) (best string) {
	var highest *semver.Version
	for _, text := range spelled {
		v, err := semver.StrictNewVersion(strings.TrimPrefix(version(text), "v"))
		if err != nil || !want.Check(v) {
			continue
		}
		if highest == nil || v.GreaterThan(highest) {
			best, highest = text, v
		}
	}
	return best
}

func (c *helmChart) noVersion(what string, of int) error {
	return c.problem("SRC069", "see which versions there are, or widen the range", fmt.Sprintf("none of the %d versions of %s is %s", of, what, c.options.Version))
}

func (c *helmChart) problem(code, fix, what string) error {
	return mirror.Problem{Code: code, Where: c.source.Key("chart").Where(), What: mirror.Clean(what), Fix: fix}
}
