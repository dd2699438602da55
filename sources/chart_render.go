package sources

import (
	"errors"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/poundlock/poundlock/internal/charts"
	"github.com/poundlock/poundlock/internal/mirror"
)

// release says how a chart is rendered, and what is wanted of it.
type release struct {
	charts.Release
	hooks, tests bool
	paths        imagePaths
}

// renderedChart is what came of a chart.
type renderedChart struct {
	charts.Rendered
	found []wanted
}

// renderChart renders a chart and collects the images of its manifests, of its CRDs' files and of the annotations that list
// images. place gives the position of a file of the chart.
func renderChart(files charts.Files, r release, place func(file string, line int) mirror.Position) (renderedChart, mirror.Problems) {
	made, err := charts.Render(files, r.Release)
	if err != nil {
		return renderedChart{}, r.refused(err, files, place)
	}
	m := newManifests(r.paths)
	m.skip = r.skips
	for _, name := range slices.Sorted(maps.Keys(made.Manifests)) {
		// Lines are those of what was rendered, which nobody can open.
		m.place = func(string, int, int) mirror.Position { return place(name, 0) }
		m.read(name, []byte(made.Manifests[name]))
	}
	m.skip = nil
	for _, name := range slices.Sorted(maps.Keys(made.CRDs)) {
		m.place = func(_ string, line, _ int) mirror.Position { return place(name, line) }
		m.read(name, made.CRDs[name])
	}
	m.annotated(made.Charts, place)
	return renderedChart{made, m.found}, append(m.problems, m.unused()...)
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

// refused tells why a chart was not rendered.
func (r release) refused(err error, files charts.Files, place func(string, int) mirror.Position) mirror.Problems {
	at, why := place("Chart.yaml", 0), &charts.Refusal{Cause: charts.NotRenders, What: err.Error()}
	errors.As(err, &why)
	switch why.Cause {
	case charts.NoChart:
		return chartProblem("SRC065", at, "see what `helm lint` says of it", "this is no chart that Helm loads", why)
	case charts.NoVersion:
		return chartProblem("SRC064", at, "write it as in 1.34.0", "source.kubeVersion is no version", why)
	case charts.NotFor:
		return chartProblem("SRC064", at, "write kubeVersion: below source, as your clusters have it", "the chart is not for Kubernetes "+r.KubeVersion, why)
	case charts.IsLibrary:
		return chartProblem("SRC065", at, "name a chart that can be installed", "a library chart has no images", why)
	case charts.NotAll:
		return chartProblem("SRC065", at, "run `helm dependency build` and commit the folder charts/, or pack it with `helm package --dependency-update`", "charts that it depends on are not in it", why)
	case charts.NotInBounds:
		return chartProblem("SRC066", at, "take the loop out of its templates", "the chart cannot be rendered", why)
	case charts.NotProcessed:
		return chartProblem("SRC066", at, "see that poundlock may start its own program again", "the chart cannot be rendered", why)
	}
	return chartProblem("SRC066", r.templatePlace(err, files, place), "see what `helm template` says with the same values", "the chart cannot be rendered", why)
}

// templateAt is how the template engine names a place: chart/templates/file.yaml:12:3.
var templateAt = regexp.MustCompile(`([A-Za-z0-9._/-]+):(\d+)(?::\d+)?[):]`)

// templatePlace finds the template and the line that an error names.
func (release) templatePlace(err error, files charts.Files, place func(string, int) mirror.Position) mirror.Position {
	for _, at := range templateAt.FindAllStringSubmatch(err.Error(), -1) {
		if _, inside, ok := strings.Cut(at[1], "/"); ok && files[inside] != nil {
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
