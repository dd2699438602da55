package sources

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestHelm_AnIndexIsReadInEveryStyle(t *testing.T) {
	const one = "version: 1.2.0\n"
	for name, text := range map[string]string{
		"as Helm writes it":   "apiVersion: v1\nentries:\n  other:\n  - version: 9.0.0\n    description: |\n      web:\n  web:\n  - apiVersion: v2\n    " + one + "    urls:\n    - a.tgz\n  x:\n  - version: 8.0.0\ngenerated: \"2024\"\n",
		"deeper":              "entries:\n    web:\n        - " + one + "\n          urls: [a.tgz]\n    x:\n        - version: 8.0.0\n",
		"quoted, with \\r\\n": "entries:\r\n  \"web\":\r\n  - version: 1.2.0\r\n    urls: [a.tgz]\r\n",
		"flow":                "entries: {x: [{version: 8.0.0}], web: [{version: 1.2.0, urls: [a.tgz]}]}\n",
		"JSON":                `{"apiVersion":"v1","entries":{"web":[{"version":"1.2.0","urls":["a.tgz"]}]}}`,
		"partly flow":         "entries:\n  x: [{version: 8.0.0}]\n  web: [{version: 1.2.0, urls: [a.tgz]}]\n",
		"comments":            "# hello\nentries:\n# of web\n  web:\n  # the newest\n  - version: 1.2.0\n\n    urls: [a.tgz]\n",
	} {
		versions, err := readChartIndex([]byte(text), "web")
		if err != nil || len(versions) != 1 || versions[0].Version != "1.2.0" || !slices.Equal(versions[0].URLs, []string{"a.tgz"}) {
			t.Errorf("%s: got %+v, %v", name, versions, err)
		}
		if versions, err := readChartIndex([]byte(text), "nobody"); err != nil || len(versions) > 0 {
			t.Errorf("%s, a chart that is not in it: got %+v, %v", name, versions, err)
		}
	}
}

// An index of a few MiB must not take gigabytes when it is parsed.
func TestHelm_AnIndexThatIsAllStructureIsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"lists":      "entries: {web: " + strings.Repeat("[", maxIndexParts+1),
		"words":      "entries: {web: [" + strings.Repeat("a,", maxIndexParts+1) + "]}",
		"lines":      "entries:\n  web:\n" + strings.Repeat("  -\n", maxIndexParts+1),
		"other keys": "x:\n" + strings.Repeat("- a\n", maxIndexParts+1),
		"keys":       "entries:\n  web:\n  - {" + strings.Repeat("? ,", maxIndexParts) + "}\n",
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := readChartIndex([]byte(text), "web")
		if runtime.ReadMemStats(&after); err != errIndexParts || after.TotalAlloc-before.TotalAlloc > 16<<20 {
			t.Errorf("%s: got %v, and %d MiB are taken", name, err, (after.TotalAlloc-before.TotalAlloc)>>20)
		}
	}
}

// Of a large index only what is said of the chart is parsed.
func TestHelm_ALargeIndexIsRead(t *testing.T) {
	var b strings.Builder
	b.WriteString("apiVersion: v1\nentries:\n")
	for i := range 2000 {
		fmt.Fprintf(&b, "  chart-%d:\n", i)
		for j := range 20 {
			fmt.Fprintf(&b, "  - apiVersion: v2\n    created: \"2024-01-01T00:00:00Z\"\n    dependencies:\n    - name: a\n      version: 1.x\n    description: of many words, as they have\n    digest: %064d\n    name: chart-%d\n    urls:\n    - https://charts.example.org/chart-%d-%d.tgz\n    version: 1.%d.0\n", i, i, i, j, j)
		}
	}
	versions, err := readChartIndex([]byte(b.String()), "chart-1999")
	if err != nil || len(versions) != 20 || versions[19].Version != "1.19.0" {
		t.Errorf("got %d versions, %v", len(versions), err)
	}
	if versions, err := readChartIndex([]byte(b.String()), "nobody"); err != nil || len(versions) > 0 {
		t.Errorf("a chart that is not in it: got %d versions, %v", len(versions), err)
	}
}
