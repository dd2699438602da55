package sources

import (
	"bytes"
	"fmt"
	"path"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/poundlock/poundlock/internal/charts"
	"github.com/poundlock/poundlock/internal/mirror"
)

func init() { register("helm", readHelm, helmDefaults) }

// helmOptions are the options of kind helm: source: {kind: helm, chart: charts/web, values: [web/values.yaml]}.
type helmOptions struct {
	Kind        string      `yaml:"kind,required" jsonschema_description:"A Helm chart: the images of what it renders with your values, and the chart itself; its entries move together."`
	Chart       string      `yaml:"chart,required" jsonschema:"example=charts/web,example=oci://ghcr.io/example/charts/web" jsonschema_description:"The chart: a folder or a .tgz relative to desired/, oci://registry/path/name, or its name in the repository."`
	Repository  string      `yaml:"repository" jsonschema:"example=https://charts.example.org" jsonschema_description:"Address of a chart repository with an index.yaml, where the chart is in one."`
	Version     string      `yaml:"version" jsonschema:"example=1.2.3,example=~1.2" jsonschema_description:"Version of a chart that is not in desired/: an exact one, or a semver range of which the newest is taken."`
	Values      []string    `yaml:"values" jsonschema:"example=web/values.yaml" jsonschema_description:"Files with values, relative to desired/; later ones win."`
	Inline      mirror.Node `yaml:"inline" jsonschema:"type=object" jsonschema_description:"Values that win over those of the files."`
	Release     string      `yaml:"release" jsonschema_description:"Name of the release that the chart is rendered for."`
	Namespace   string      `yaml:"namespace" jsonschema_description:"Namespace that the chart is rendered for."`
	KubeVersion string      `yaml:"kubeVersion" jsonschema_description:"Version of Kubernetes that the chart is rendered for."`
	APIVersions []string    `yaml:"apiVersions" jsonschema:"example=monitoring.coreos.com/v1" jsonschema_description:"API versions that the clusters have beside those of Kubernetes itself, for charts that ask."`
	Hooks       bool        `yaml:"hooks" jsonschema_description:"Whether images of hooks are wanted."`
	Tests       bool        `yaml:"tests" jsonschema_description:"Whether images of the chart's tests are wanted."`
	Paths       imagePaths  `yaml:"paths" jsonschema_description:"Where images stand in custom resources, by kind of resource, as in Prometheus: [spec.image]."`
	ChartsAt    string      `yaml:"chartsAt" jsonschema_description:"Reference below which a chart is known as an upstream that comes from no registry: it lies in the local registry at the path of that host."`
	Follow      follow      `yaml:"follow" jsonschema:"enum=once,enum=always" jsonschema_description:"How often the tag of an image without digest is asked upstream: once for each version of chart and values, or at each scheduled cycle."`
	Shrink      shrink      `yaml:"shrink" jsonschema:"enum=refuse,enum=allow" jsonschema_description:"Whether a newer chart that is not in desired/ may have less than half of the images of the one before; otherwise what was listed before stays."`
	Where       mirror.Position
}

// helmDefaults render for a release and a namespace as helm template does. .invalid is a name that no registry can have.
var helmDefaults = helmOptions{Release: "release-name", Namespace: "default", KubeVersion: "1.34.0", Hooks: true,
	ChartsAt: "charts.invalid", Follow: "once", Shrink: "refuse"}

// helmChart is a set's chart with everything that does not depend on where the chart comes from.
type helmChart struct {
	options helmOptions
	source  mirror.Node
	release release
	at      string // host and path below which a chart is known
	given   []byte // what its images depend on beside the chart
}

// readHelm reads a chart of the fleet repository, or says what is to be asked for one that lies elsewhere.
func readHelm(set mirror.Set, files mirror.Files) (listing, mirror.Problems) {
	c := helmChart{options: helmDefaults, source: set.Source.Node}
	if ps := c.source.DecodeAs("source", &c.options); len(ps) > 0 {
		return listing{}, ps
	}
	ps := c.prepare(files)
	remote, problems := c.remote()
	switch ps = append(ps, problems...); {
	case remote != nil && len(ps) > 0:
		return listing{}, ps
	case remote != nil:
		return listing{origin: mirror.DigestOf(c.given), atomic: true, follow: c.options.Follow == "always", ask: remote}, nil
	}
	if len(problems) > 0 { // it is not known where the chart lies
		return listing{}, ps
	}
	chart, archive, place, problems := c.local(files)
	if ps = append(ps, problems...); len(ps) > 0 {
		return listing{}, ps
	}
	return c.listing(chart, archive, place)
}

// prepare reads values and the rest of the release.
func (c *helmChart) prepare(files mirror.Files) (ps mirror.Problems) {
	o := c.options
	for i, name := range o.Values {
		file, data, problems := open(files, name, c.source.Find("values", fmt.Sprint(i)).Where())
		if ps = append(ps, problems...); len(problems) > 0 {
			continue
		}
		ps = append(ps, c.mix(data, mirror.Position{File: file})...)
	}
	inline, err := o.Inline.YAML()
	if err != nil || !o.Inline.IsZero() && !o.Inline.IsMapping() {
		ps.Add("SRC064", o.Inline.Where(), "write keys with values below it", "source.inline: want a mapping")
	} else {
		ps = append(ps, c.mix(inline, o.Inline.Where())...)
	}
	at, err := mirror.ParseReference(o.ChartsAt + "/x")
	if err != nil || at.Tag != "" || at.HasDigest() || !strings.HasPrefix(o.ChartsAt, at.Host) {
		ps.Add("SRC064", c.source.Key("chartsAt").Where(), "write a host and, where it is wanted, a path, as in charts.example.org/team", "source.chartsAt: %q is no place for charts", o.ChartsAt)
	}
	if _, err := semver.NewVersion(o.KubeVersion); err != nil {
		ps.Add("SRC064", c.source.Key("kubeVersion").Where(), "write it as in 1.34.0", "source.kubeVersion: %q is no version", o.KubeVersion)
	}
	c.at = strings.TrimSuffix(at.Name(), "/x")
	c.release.Release = charts.Release{Name: o.Release, Namespace: o.Namespace, KubeVersion: o.KubeVersion, APIVersions: o.APIVersions, Values: c.release.Values}
	c.release.hooks, c.release.tests, c.release.paths = o.Hooks, o.Tests, o.Paths
	return append(ps, o.Paths.check()...)
}

// mix puts values over those that are there, as Helm does with several files.
func (c *helmChart) mix(data []byte, where mirror.Position) mirror.Problems {
	more, err := charts.ReadValues(data)
	if err != nil {
		return chartProblem("SRC064", where, "mend the YAML", "these are no values", err)
	}
	c.given = append(append(c.given, mirror.DigestOf(data).Hex...), '\n')
	c.release.Values = charts.Merged(c.release.Values, more)
	return nil
}

// local reads the chart from desired/: a folder or an archive. archive is nil for a folder.
func (c *helmChart) local(files mirror.Files) (chart charts.Files, archive []byte, place func(string, int) mirror.Position, ps mirror.Problems) {
	where, name := c.source.Key("chart").Where(), path.Join("desired", c.options.Chart)
	if path.IsAbs(c.options.Chart) || strings.Contains(c.options.Chart, "\\") || !strings.HasPrefix(name, "desired/") {
		ps.Add("SRC005", where, "name a folder or a .tgz below desired/, relative to it", "source.chart %q lies outside desired/", c.options.Chart)
		return nil, nil, nil, ps
	}
	if data, packed := files[name]; packed {
		chart, err := charts.Unpack(data)
		if err != nil {
			return nil, nil, nil, chartProblem("SRC065", mirror.Position{File: name}, "pack it with `helm package`, or take it from the vendor again", "this is no chart", err)
		}
		return chart, data, func(string, int) mirror.Position { return mirror.Position{File: name} }, nil
	}
	if _, there := files[path.Join(name, "Chart.yaml")]; !there {
		_, _, ps := open(files, path.Join(c.options.Chart, "Chart.yaml"), where)
		return nil, nil, nil, ps
	}
	chart, err := charts.Folder(files, name)
	if err != nil {
		return nil, nil, nil, chartProblem("SRC065", mirror.Position{File: path.Join(name, ".helmignore")}, "write one pattern a line, without **", "it cannot be read", err)
	}
	place = func(file string, line int) mirror.Position {
		if at := path.Join(name, file); files[at] != nil {
			return mirror.Position{File: at, Line: line}
		}
		return mirror.Position{File: path.Join(name, "Chart.yaml")} // of a chart that lies packed in it
	}
	return chart, nil, place, nil
}

// listing renders a chart and packs it. archive is nil for one that lies unpacked.
func (c *helmChart) listing(files charts.Files, archive []byte, place func(string, int) mirror.Position) (listing, mirror.Problems) {
	whole, err := files.Whole()
	if err != nil {
		return listing{}, chartProblem("SRC065", place("Chart.yaml", 0), "pack it with `helm package`, or take it from the vendor again", "this is no chart", err)
	}
	rendered, ps := renderChart(whole, c.release, place)
	if len(ps) > 0 {
		return listing{}, ps
	}
	entries, ps := entriesOf(rendered.found)
	if len(ps) > 0 {
		return listing{}, ps
	}
	if archive == nil {
		if archive, err = packChart(rendered.Name, files); err != nil {
			return listing{}, chartProblem("SRC065", place("Chart.yaml", 0), "give its files shorter names", "it cannot be packed", err)
		}
	}
	made, err := chartArtifact(c.at, rendered.Rendered, archive)
	if err != nil {
		return listing{}, chartProblem("SRC065", place("Chart.yaml", 0), "write a name in lower case and a version as semver has it", "its name or version makes no reference", err)
	}
	entries = append(entries, mirror.Entry{Name: "chart/" + rendered.Name, Image: made.Image, Where: place("Chart.yaml", 0)})
	return listing{entries: entries, origin: c.origin(archive), atomic: true, follow: c.options.Follow == "always", made: []mirror.Artifact{made}}, nil
}

// origin identifies a chart with what it is rendered with.
func (c *helmChart) origin(archive []byte) mirror.Digest {
	return mirror.DigestOf(bytes.Join([][]byte{c.given, []byte(mirror.DigestOf(archive).Hex)}, nil))
}
