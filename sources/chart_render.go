package sources

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"

	"github.com/poundlock/poundlock/internal/mirror"
)

// renderWithin bounds how long the templates of a chart may take. They are programs.
const renderWithin = 30 * time.Second

// release says how a chart is rendered: as `helm template` would, without a cluster.
type release struct {
	name, namespace string
	kubeVersion     string
	apiVersions     []string
	values          map[string]any
	hooks, tests    bool
	paths           imagePaths
}

// renderedChart is what came of a chart.
type renderedChart struct {
	meta  *chart.Metadata
	found []wanted
}

// renderChart renders a chart and collects the images of its manifests, of its CRDs' files and of the annotations that list
// images. place gives the position of a file of the chart.
func renderChart(files chartFiles, r release, place func(file string, line int) mirror.Position) (renderedChart, mirror.Problems) {
	c, err := loader.LoadFiles(files.buffered())
	if err != nil {
		return renderedChart{}, chartProblem("SRC065", place("Chart.yaml", 0), "see what `helm lint` says of it", "this is no chart that Helm loads", err)
	}
	texts, ps := r.render(c, files, place)
	if len(ps) > 0 {
		return renderedChart{}, ps
	}
	m := newManifests(r.paths)
	m.skip = r.skips
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		inside := strings.TrimPrefix(name, c.Name()+"/")
		// Lines are those of what was rendered, which nobody can open.
		m.place = func(string, int, int) mirror.Position { return place(inside, 0) }
		if path.Base(name) != "NOTES.txt" {
			m.read(inside, []byte(texts[name]))
		}
	}
	m.skip = nil
	for _, crd := range c.CRDObjects() {
		inside := strings.TrimPrefix(crd.Filename, c.Name()+"/")
		m.place = func(_ string, line, _ int) mirror.Position { return place(inside, line) }
		m.read(inside, crd.File.Data)
	}
	m.annotated(c, place)
	return renderedChart{c.Metadata, m.found}, append(m.problems, m.unused()...)
}

// skips leaves out hooks and tests as the release says.
func (r release) skips(annotations map[string]string) bool {
	hook := annotations["helm.sh/hook"]
	isTest := func(event string) bool { return strings.HasPrefix(strings.TrimSpace(event), "test") }
	switch {
	case hook == "":
		return false
	case !slices.ContainsFunc(strings.Split(hook, ","), func(event string) bool { return !isTest(event) }):
		return !r.tests
	}
	return !r.hooks
}

// render gives the manifests by the path of their template.
func (r release) render(c *chart.Chart, files chartFiles, place func(string, int) mirror.Position) (map[string]string, mirror.Problems) {
	at := place("Chart.yaml", 0)
	version, err := chartutil.ParseKubeVersion(r.kubeVersion)
	switch {
	case err != nil:
		return nil, chartProblem("SRC064", at, "write it as in 1.34.0", "source.kubeVersion is no version", err)
	case c.Metadata.Type == "library":
		return nil, chartProblem("SRC065", at, "name a chart that can be installed", "a library chart has no images", errors.New(c.Name()))
	case c.Metadata.KubeVersion != "" && !chartutil.IsCompatibleRange(c.Metadata.KubeVersion, version.String()):
		return nil, chartProblem("SRC064", at, "write kubeVersion: below source, as your clusters have it", "the chart is not for Kubernetes "+version.String(), errors.New("it wants "+c.Metadata.KubeVersion))
	}
	if err := missingCharts(c); err != nil {
		return nil, chartProblem("SRC065", at, "run `helm dependency build` and commit the folder charts/, or pack it with `helm package --dependency-update`", "charts that it depends on are not in it", err)
	}
	caps := chartutil.DefaultCapabilities.Copy()
	caps.KubeVersion = *version
	caps.APIVersions = append(slices.Clone(caps.APIVersions), r.apiVersions...)
	type outcome struct {
		texts map[string]string
		err   error
	}
	ended := make(chan outcome, 1)
	go func() {
		texts, err := r.execute(c, caps)
		ended <- outcome{texts, err}
	}()
	select {
	case o := <-ended:
		if o.err != nil {
			return nil, chartProblem("SRC066", templatePlace(c.Name(), o.err, files, place), "see what `helm template` says with the same values", "the chart cannot be rendered", o.err)
		}
		return o.texts, nil
	case <-time.After(renderWithin):
		return nil, chartProblem("SRC066", at, "take the loop out of its templates", "the chart cannot be rendered", fmt.Errorf("its templates take longer than %s", renderWithin))
	}
}

func (r release) execute(c *chart.Chart, caps *chartutil.Capabilities) (texts map[string]string, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it panics: %v", p)
		}
	}()
	if err := chartutil.ProcessDependenciesWithMerge(c, r.values); err != nil {
		return nil, err
	}
	options := chartutil.ReleaseOptions{Name: r.name, Namespace: r.namespace, Revision: 1, IsInstall: true}
	values, err := chartutil.ToRenderValuesWithSchemaValidation(c, r.values, options, caps, true)
	if err != nil {
		return nil, err
	}
	coalesced, err := values.Table("Values")
	if err != nil {
		return nil, err
	}
	if err := validValues(c, coalesced.AsMap()); err != nil {
		return nil, err
	}
	return engine.Render(c, values) // without a client: lookup finds nothing, as in `helm template`
}

// missingCharts names the charts that a chart depends on and that are not in it: they would be left out in silence.
func missingCharts(c *chart.Chart) error {
	var missing []string
	for _, want := range c.Metadata.Dependencies {
		if want != nil && !slices.ContainsFunc(c.Dependencies(), func(have *chart.Chart) bool { return have.Name() == want.Name }) {
			missing = append(missing, want.Name)
		}
	}
	if len(missing) > 0 {
		return errors.New(strings.Join(missing, ", "))
	}
	return nil
}

// validValues holds values against the schemas of a chart and of the charts inside it. Helm's own check would fetch what a
// schema refers to.
func validValues(c *chart.Chart, values map[string]any) error {
	if c.Schema != nil {
		if err := validAgainst(c.Schema, values); err != nil {
			return fmt.Errorf("values of %s: %w", c.Name(), err)
		}
	}
	for _, inner := range c.Dependencies() {
		if own, ok := values[inner.Name()].(map[string]any); ok {
			if err := validValues(inner, own); err != nil {
				return err
			}
		}
	}
	return nil
}

func validAgainst(schema []byte, values map[string]any) error {
	const here = "poundlock:values.schema.json"
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(schema)))
	if err != nil {
		return fmt.Errorf("values.schema.json: %w", err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(noLoader{})
	if err := compiler.AddResource(here, doc); err != nil {
		return fmt.Errorf("values.schema.json: %w", err)
	}
	compiled, err := compiler.Compile(here)
	if err != nil {
		return fmt.Errorf("values.schema.json: %w", err)
	}
	var wrong *jsonschema.ValidationError
	if err = compiled.Validate(values); errors.As(err, &wrong) {
		for len(wrong.Causes) > 0 {
			wrong = wrong.Causes[0]
		}
		return fmt.Errorf("the schema refuses /%s", strings.Join(wrong.InstanceLocation, "/")) // its message would repeat the value
	}
	return err
}

// noLoader fetches nothing.
type noLoader struct{}

// Load refuses every address.
func (noLoader) Load(string) (any, error) { return nil, fs.ErrPermission }

// templateAt is how the template engine names a place: chart/templates/file.yaml:12:3.
var templateAt = regexp.MustCompile(`([A-Za-z0-9._/-]+):(\d+)(?::\d+)?[):]`)

// templatePlace finds the template and the line that an error names.
func templatePlace(name string, err error, files chartFiles, place func(string, int) mirror.Position) mirror.Position {
	for _, at := range templateAt.FindAllStringSubmatch(err.Error(), -1) {
		if inside, ok := strings.CutPrefix(at[1], name+"/"); ok && files[inside] != nil {
			line, _ := strconv.Atoi(at[2]) // digits
			return place(inside, line)
		}
	}
	return place("Chart.yaml", 0)
}

func chartProblem(code string, where mirror.Position, fix, what string, err error) (ps mirror.Problems) {
	ps.Add(code, where, fix, "%s: %s", what, mirror.OneLine(err.Error()))
	return ps
}
