package render

import (
	"bytes"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Helm pulls charts, so nodes and clusters get no rule for them; the lists of what stands name them all the same.
func TestCharts_AreInNoFileOfNodesAndClusters(t *testing.T) {
	const all = "containerd: {}, k3s: {}, registries-conf: {}, talos: {}, image-swap: {}, openshift: {}, kyverno: {}"
	chart := mirror.Reference{Host: "charts.invalid", Repository: "web", Tag: "1.0.0", Digest: mirror.DigestOf([]byte("web"))}
	own := mirror.Reference{Host: "charts.example.org", Repository: "team/web", Tag: "1.0.0", Digest: mirror.DigestOf([]byte("web"))}
	for name, f := range map[string]sixtyFleet{
		"a consumer": sixtyConsumer(t, all),
		"a set":      sixty(t, mirror.LayoutPath, all+", digests: {}"),
	} {
		without := f.rendered(t)
		f.sets[0].Paths["charts.invalid"] = "charts"
		for _, standing := range f.records[f.sets[0].Name].Stages {
			standing.Put("chart/web", mirror.Line{Image: chart, Proven: true})
			standing.Put("chart/own", mirror.Line{Image: own, Proven: true})
		}
		if f.consumer.Name == "" {
			f.sets[0].Wanted["production"] = append(f.sets[0].Wanted["production"], mirror.Wanted{Entry: "chart/web", Image: chart}, mirror.Wanted{Entry: "chart/own", Image: own})
		}
		for file, body := range f.rendered(t) {
			list := file == digestsFile || file == imagesFile
			if named := bytes.Contains(body, []byte(chart.Digest.Hex)); named != list {
				t.Errorf("%s: %s names the chart: %t", name, file, named)
			}
			if !list && !bytes.Equal(body, without[file]) {
				t.Errorf("%s: %s is another one with charts:\n%s", name, file, body)
			}
		}
	}

	// Where nothing else stands there is nothing to tell nodes.
	f := sixtyConsumer(t, all)
	for name := range f.records {
		f.records[name] = mirror.Record{Stages: map[mirror.Stage]mirror.Standing{
			"snapshot": {"chart/web": {Image: chart, Proven: true}}, "production": {"chart/web": {Image: chart, Proven: true}}}}
	}
	if r := Consumer(sixtyLocal, f.consumer, f.sets, f.records, f.files); len(r.Files)+len(r.Kept) > 0 {
		t.Errorf("got %d files, kept %v", len(r.Files), r.Kept)
	}
}
