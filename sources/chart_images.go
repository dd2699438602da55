package sources

import (
	"path"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/poundlock/poundlock/internal/charts"
	"github.com/poundlock/poundlock/internal/mirror"
)

// imageAnnotations are annotations of Chart.yaml that list images, each as a YAML list of {name, image}. Sources: Artifact
// Hub, "Helm annotations" (artifacthub.io/images); Bitnami charts (images).
var imageAnnotations = []string{"artifacthub.io/images", "images"}

// annotated collects the images that a chart and the charts that are enabled in it list in annotations.
func (m *manifests) annotated(described []charts.Described, place func(string, int) mirror.Position) {
	for _, chart := range described {
		where := place(path.Join(chart.Dir, "Chart.yaml"), 0)
		m.place = func(string, int, int) mirror.Position { return where }
		for _, key := range imageAnnotations {
			m.listed(key, chart.Annotations[key])
		}
	}
}

func (m *manifests) listed(key, text string) {
	if strings.TrimSpace(text) == "" {
		return
	}
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil || len(doc.Content) == 0 || doc.Content[0].Kind != yaml.SequenceNode {
		m.problems.Add("SRC067", m.place("", 0, 0), "write a list of name and image, as Artifact Hub describes it", "the annotation %s is no list of images", key)
		return
	}
	for _, item := range doc.Content[0].Content {
		image := valueOf(resolved(item), "image")
		if textOf(image) == "" {
			m.problems.Add("SRC067", m.place("", 0, 0), "write name and image for each of them", "the annotation %s lists something without an image", key)
			continue
		}
		m.add("", image, textOf(image))
	}
}
