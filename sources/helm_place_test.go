package sources

import (
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

func TestHelm_AChartIsMadeOnNoHostThatImagesComeFrom(t *testing.T) {
	for _, tt := range []struct{ name, at, list, want string }{
		{"of another set", "ghcr.io/team", "ghcr.io/other/app:1", "set tools takes ghcr.io/other/app:1 from the same host"},
		{"of the chart itself", "example.org", "ghcr.io/other/app:1", "set web takes example.org/web:1 from the same host"},
		{"of nobody", "charts.example.org/team", "ghcr.io/other/app:1", ""},
		{"Docker Hub by its short name", "docker.io/team", "nginx:1", "set tools takes docker.io/library/nginx:1 from the same host"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files := mirror.Files{"desired/tools.yaml": []byte("version: 1\nsource: {kind: list, file: e.txt}\n"), "desired/e.txt": []byte(tt.list + "\n"),
				"desired/charts/web/Chart.yaml": []byte(chartYAML), "desired/charts/web/templates/pod.yaml": []byte(pod("example.org/web:1"))}
			for _, name := range []string{"web", "web2"} { // two sets may make charts at one place
				files["desired/"+name+".yaml"] = []byte("version: 1\nsource:\n  kind: helm\n  chart: charts/web\n  chartsAt: " + tt.at + "\n")
			}
			desired, ps := mirror.ParseDesired("", files)
			for i := range desired.Sets {
				ps = append(ps, Read(&desired.Sets[i], files)...)
			}
			if len(ps) > 0 {
				t.Fatal(ps)
			}
			ps = MadeApart(desired.Sets)
			if len(ps) != 0 && tt.want == "" || tt.want != "" && (len(ps) != 2 || ps[0].Code != "SRC073" || ps[0].Where.File != "desired/web.yaml" || ps[0].Where.Line != 5 || !strings.Contains(ps[0].What, tt.want)) {
				t.Errorf("got %v, want %q", ps, tt.want)
			}
		})
	}
}
