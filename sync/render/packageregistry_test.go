package render

import (
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

func TestLint_FindsWhatKibanaAndItsRegistryWouldMisread(t *testing.T) {
	const pinned = "r.example/mirror/distribution:1@sha256:1111111111111111111111111111111111111111111111111111111111111111"
	tests := []struct {
		name, kind, file string
		want             string // the code and a part of the message; "" where nothing is wrong
	}{
		{"settings with dots", "kibana", "xpack.fleet.registryUrl: https://p.example/epr/elastic/production\nxpack.fleet.isAirGapped: true\n", ""},
		{"nested settings", "kibana", "xpack:\n  fleet:\n    registryUrl: https://p.example\n", ""},
		{"a slash at the end", "kibana", "xpack.fleet.registryUrl: https://p.example/\n", "RND143 ends with a slash"},
		{"the upstream", "kibana", "xpack.fleet.registryUrl: https://epr.elastic.co\n", "RND143 leads to the upstream"},
		{"no scheme", "kibana", "xpack.fleet.registryUrl: p.example\n", "RND143 no address"},
		{"a password", "kibana", "xpack.fleet.registryUrl: https://me:hunter2@p.example\n", "RND143 holds a user"},
		{"a proxy alone", "kibana", "xpack.fleet.registryProxyUrl: http://proxy:3128\nxpack.fleet.isAirGapped: true\n", "RND143 a proxy without"},
		{"apart and nothing to ask", "kibana", "xpack.fleet.isAirGapped: true\n", "RND143 asks no registry"},
		{"the old name", "kibana", "xpack.ingestManager.registryUrl: https://p.example\n", "RND143 no setting"},
		{"misspelt", "kibana", "xpack.fleet.registryURL: https://p.example\n", "RND143 no setting"},
		{"inside a ConfigMap", "kibana", "kind: ConfigMap\ndata:\n  kibana.yml: |\n    xpack.fleet.registryUrl: https://p.example/\n", "RND143 ends with a slash"},
		{"inside a Kibana", "kibana", "kind: Kibana\nspec:\n  config:\n    xpack.fleet.registryUrl: https://p.example/\n", "RND143 ends with a slash"},
		{"no word of it", "kibana", "server.port: 5601\n", "RND143 says nothing"},

		{"config.yml", "package-registry", "package_paths: [/packages/production, /packages/staging]\ncache_time.search: 10m\n", ""},
		{"the lower stage first", "package-registry", "package_paths: [/packages/staging, /packages/production]\n", "RND146 stands behind"},
		{"a folder twice", "package-registry", "package_paths: [/p/, /p]\n", "RND146 listed twice"},
		{"no folder", "package-registry", "package_paths: []\n", "RND146 no folder"},
		{"no time", "package-registry", "package_paths: [/p]\ncache_time: {search: soon}\n", "RND146 no time"},
		{"a moving tag", "package-registry", deployment("docker.elastic.co/package-registry/distribution:production", ""), "RND147 not pinned"},
		{"pinned", "package-registry", deployment(pinned, "EPR_LOG_LEVEL, value: debug"), ""},
		{"an upstream behind it", "package-registry", deployment(pinned, "EPR_FEATURE_PROXY_MODE, value: \"1\""), "RND145 asks an upstream"},
		{"nobody can reach it", "package-registry", deployment(pinned, "EPR_ADDRESS, value: \"localhost:8080\""), "RND147 inside its own container"},
		{"something else", "package-registry", "kind: Service\n", "RND147 neither"},

		{"a PackageRegistry", "eck", "apiVersion: " + eckVersion + "\nkind: PackageRegistry\nspec: {version: 9.3.0, image: \"" + pinned + "\"}\n", ""},
		{"without image", "eck", "apiVersion: " + eckVersion + "\nkind: PackageRegistry\nspec: {version: 9.3.0}\n", "RND148 not pinned"},
		{"two answers", "eck", "kind: Kibana\nspec: {packageRegistryRef: {name: x}, config: {xpack.fleet.registryUrl: \"https://p.example\"}}\n", "RND148 both say"},
		{"a reference to nothing", "eck", "kind: Kibana\nspec: {packageRegistryRef: {}}\n", "RND148 names no"},
	}
	for _, tt := range tests {
		t.Run(tt.kind+"/"+tt.name, func(t *testing.T) {
			ps := Lint(tt.kind, "kibana.yml", []byte(tt.file))
			code, part, _ := strings.Cut(tt.want, " ")
			switch {
			case tt.want == "" && len(ps) > 0:
				t.Errorf("got %v", ps)
			case tt.want != "" && (len(ps) != 1 || ps[0].Code != code || !strings.Contains(ps[0].What, part)):
				t.Errorf("got %v, want %s", ps, tt.want)
			}
			if text := ps.Err(); text != nil && strings.Contains(text.Error(), "hunter2") {
				t.Errorf("a password is shown: %v", text)
			}
		})
	}
}

func deployment(image, env string) string {
	text := "apiVersion: apps/v1\nkind: Deployment\nspec: {template: {spec: {containers: [{image: \"" + image + "\""
	if env != "" {
		text += ", env: [{name: " + env + "}]"
	}
	return text + "}]}}}\n"
}

// A Deployment with the packages of another moment than the channel's would be a half promotion.
func TestFiles_AStageWaitsForItsDistributionImage(t *testing.T) {
	files := mirror.Files{"desired/elastic.yaml": []byte("version: 1\nsource: {kind: epr}\nstages: [snapshot]\n" +
		"distribution: {base: docker.elastic.co/package-registry/package-registry}\nrender: {package-registry: {}}\n")}
	desired, ps := mirror.ParseDesired("", files)
	if err := ps.Err(); err != nil {
		t.Fatal(err)
	}
	set := desired.Sets[0]
	rec := mirror.Record{Stages: map[mirror.Stage]mirror.Standing{"snapshot": {"nginx-1.0.0": {Image: ref(t, "nginx", "1"), Proven: true}}}}
	made, kept := filesAndKept(set, rec, mirror.Plan{})
	if len(made) > 0 || len(kept) != 1 || kept[0].Kind != mirror.Unchanged || !strings.Contains(kept[0].Reason.Detail, "not made yet") {
		t.Fatalf("got %v, %+v", made, kept)
	}
	set.Distributions = map[mirror.Stage]mirror.Reference{"snapshot": ref(t, "distribution", "1")}
	if made, kept = filesAndKept(set, rec, mirror.Plan{}); len(made) != 2 || len(kept) != 0 {
		t.Fatalf("got %v, %+v", made, kept)
	}
}
