package charts

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
)

// maxRendered bounds what one chart renders to, with its CRDs, in bytes. Large public ones have about 7 MB.
const maxRendered = 32 << 20

// Release says how a chart is rendered: as `helm template` would, without a cluster.
type Release struct {
	Name, Namespace string
	KubeVersion     string   // as in 1.34.0
	APIVersions     []string // beside those of Kubernetes itself
	Values          Values
}

// Rendered is what came of a chart.
type Rendered struct {
	Name, Version string
	Config        []byte            // what Chart.yaml says, in JSON as `helm push` writes it
	Manifests     map[string]string // by the path of their template in the chart
	CRDs          map[string][]byte // by the path of their file in the chart
	Charts        []Described       // the chart and those that are enabled inside it
}

// Described is what the Chart.yaml of a chart says in its annotations.
type Described struct {
	Dir         string // in the outermost chart; empty for that one
	Annotations map[string]string
}

// Cause is the kind of reason for which a chart is refused.
type Cause string

// The causes.
const (
	NoChart      Cause = "chart"      // Helm does not load it
	NoVersion    Cause = "version"    // KubeVersion is none
	NotFor       Cause = "kubernetes" // the chart is not for this version of Kubernetes
	IsLibrary    Cause = "library"    // nothing comes of it
	NotAll       Cause = "missing"    // charts that it depends on are not in it
	NotRenders   Cause = "templates"  // templates or schemas refuse the values, or fail
	NotInBounds  Cause = "bounds"     // it takes more time or memory than it may
	NotProcessed Cause = "process"    // the process that renders could not be run
)

// Refusal says why there is no result for a chart.
type Refusal struct {
	Cause Cause
	What  string // may name lines of templates, never values
}

// Error gives what it says.
func (r *Refusal) Error() string { return r.What }

func refuse(cause Cause, format string, args ...any) error {
	return &Refusal{cause, short(fmt.Sprintf(format, args...))}
}

// short leaves out the middle of a long text: templates that call each other repeat themselves in their errors.
func short(text string) string {
	const most = 800
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most/2]+" ... "+text[len(text)-most/2:], "")
}

// job is one question: to render a chart, to check values with its schemas, or to build a kustomization.
type job struct {
	Chart         Files
	Release       *Release       // to render
	Values        Values         // to check, whole
	Kustomization *kustomization `json:",omitempty"` // to build
}

// answer is what comes of a job.
type answer struct {
	Rendered Rendered
	Faults   []Fault
	Built    []byte
	Refused  *Refusal
}

// do answers a job in this process.
func (j job) do() (a answer) {
	var err error
	defer func() {
		if p := recover(); p != nil {
			err = refuse(NotRenders, "it panics: %v", p)
		}
		if err != nil && !errors.As(err, &a.Refused) {
			a.Refused = &Refusal{NotRenders, short(err.Error())}
		}
	}()
	if j.Kustomization != nil {
		a.Built, err = j.Kustomization.build()
		return a
	}
	c, err := load(j.Chart)
	switch {
	case err != nil:
		err = refuse(NoChart, "%v", err)
	case j.Release != nil:
		a.Rendered, err = j.Release.render(c)
	default:
		a.Faults, err = refusedBy(c, j.Values)
	}
	return a
}

func (r Release) render(c *chart.Chart) (Rendered, error) {
	version, err := chartutil.ParseKubeVersion(r.KubeVersion)
	switch {
	case err != nil:
		return Rendered{}, refuse(NoVersion, "%v", err)
	case c.Metadata.Type == "library":
		return Rendered{}, refuse(IsLibrary, "%s", c.Name())
	case c.Metadata.KubeVersion != "" && !chartutil.IsCompatibleRange(c.Metadata.KubeVersion, version.String()):
		return Rendered{}, refuse(NotFor, "it wants %s", c.Metadata.KubeVersion)
	}
	if missing := missingCharts(c); len(missing) > 0 {
		return Rendered{}, refuse(NotAll, "%s", strings.Join(missing, ", "))
	}
	caps := chartutil.DefaultCapabilities.Copy()
	caps.KubeVersion = *version
	caps.APIVersions = append(slices.Clone(caps.APIVersions), r.APIVersions...)
	texts, err := r.execute(c, caps)
	if err != nil {
		return Rendered{}, err
	}
	config, err := json.Marshal(c.Metadata)
	if err != nil {
		return Rendered{}, err
	}
	all := Rendered{Name: c.Name(), Version: c.Metadata.Version, Config: config, Manifests: map[string]string{}, CRDs: map[string][]byte{}, Charts: described(c, "")}
	size := 0
	for name, text := range texts {
		if path.Base(name) != "NOTES.txt" {
			all.Manifests[strings.TrimPrefix(name, c.Name()+"/")] = text
			size += len(text)
		}
	}
	for _, crd := range c.CRDObjects() {
		all.CRDs[strings.TrimPrefix(crd.Filename, c.Name()+"/")] = crd.File.Data
		size += len(crd.File.Data)
	}
	if size > maxRendered {
		return Rendered{}, refuse(NotInBounds, "it renders to more than %d MiB", maxRendered>>20)
	}
	return all, nil
}

func (r Release) execute(c *chart.Chart, caps *chartutil.Capabilities) (map[string]string, error) {
	if r.Values == nil {
		r.Values = Values{}
	}
	if err := chartutil.ProcessDependenciesWithMerge(c, r.Values); err != nil {
		return nil, err
	}
	options := chartutil.ReleaseOptions{Name: r.Name, Namespace: r.Namespace, Revision: 1, IsInstall: true}
	// Helm's own check of the schemas is skipped: it would fetch what they refer to.
	values, err := chartutil.ToRenderValuesWithSchemaValidation(c, r.Values, options, caps, true)
	if err != nil {
		return nil, err
	}
	coalesced, err := values.Table("Values")
	if err != nil {
		return nil, err
	}
	faults, err := refusedBy(c, coalesced.AsMap())
	if err != nil {
		return nil, err
	}
	if len(faults) > 0 {
		var lines []string
		for _, f := range faults {
			lines = append(lines, f.String())
		}
		return nil, fmt.Errorf("values of %s: the schema refuses %s", c.Name(), strings.Join(lines, ", "))
	}
	return engine.Render(c, values) // without a client and without DNS: lookup and getHostByName find nothing
}

// missingCharts names the charts that a chart depends on and that are not in it: they would be left out in silence.
func missingCharts(c *chart.Chart) (missing []string) {
	for _, want := range c.Metadata.Dependencies {
		if want != nil && !slices.ContainsFunc(c.Dependencies(), func(have *chart.Chart) bool { return have.Name() == want.Name }) {
			missing = append(missing, want.Name)
		}
	}
	return missing
}

func described(c *chart.Chart, dir string) []Described {
	all := []Described{{dir, maps.Clone(c.Metadata.Annotations)}}
	for _, inner := range c.Dependencies() {
		all = append(all, described(inner, path.Join(dir, "charts", inner.Name()))...)
	}
	return all
}
