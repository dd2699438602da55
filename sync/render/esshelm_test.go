package render

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"

	"github.com/poundlock/poundlock/internal/mirror"
)

// essRelease is a set of kind esshelm at its first stage, with the chart that it is read from.
func essRelease(t *testing.T, files mirror.Files, entries map[string]string) (mirror.Set, mirror.Record) {
	t.Helper()
	desired, ps := mirror.ParseDesired("", files)
	if err := ps.Err(); err != nil {
		t.Fatal(err)
	}
	set, rec := desired.Sets[0], mirror.Record{Stages: map[mirror.Stage]mirror.Standing{"snapshot": {}}}
	for name, text := range entries {
		image, err := mirror.ParseReference(text)
		if err != nil {
			t.Fatal(err)
		}
		if set.Selects(name) {
			set.Entries = append(set.Entries, mirror.Entry{Name: name, Image: image})
			rec.Stages["snapshot"].Put(name, mirror.Line{Image: image.WithDigest(mirror.DigestOf([]byte(name))), Proven: true})
		}
	}
	return set, rec
}

const essChart = "apiVersion: v2\nname: matrix-stack\nversion: 1.0.0\n"

func TestESSHelm_ValuesAreHeldAgainstTheChart(t *testing.T) {
	const values = "synapse:\n  image: {registry: docker.io, repository: matrixdotorg/synapse, tag: v1}\n  redis:\n    image: {registry: docker.io, repository: library/redis, tag: '7'}\n"
	const schema = `{"properties": {"synapse": {"additionalProperties": false, "properties": {"image": {"type": "object"}, "redis": {"type": "object"}}}}}`
	both := map[string]string{"synapse": "matrixdotorg/synapse:v1", "synapse/redis": "redis:7"}
	tests := []struct {
		name, set      string
		values, schema string
		entries        map[string]string
		kept, note     string
	}{
		{name: "as it is", values: values, schema: schema, entries: both},
		{name: "no schema", values: values, entries: both},
		{name: "the chart has no such path", values: values[:strings.Index(values, "  redis")], schema: strings.Replace(schema, `, "redis": {"type": "object"}`, "", 1), entries: both, kept: "/synapse/redis (additionalProperties)"},
		{name: "the schema wants something else", values: values, schema: strings.Replace(schema, `{"type": "object"}}}`, `{"properties": {"image": {"additionalProperties": false, "properties": {"tag": {}}}}}}}`, 1),
			entries: both, kept: "the chart's schema refuses the values"},
		{name: "an image that is no entry", values: values + "hookshot:\n  image: {registry: ghcr.io, repository: own/hookshot, tag: v1}\n", schema: schema, entries: both,
			kept: "hookshot.image stays at ghcr.io/own/hookshot"},
		{name: "an entry that is left out", set: "exclude: [synapse/redis]\n", values: values, schema: schema, entries: both, note: "synapse.redis.image stays at docker.io/library/redis"},
		{name: "another release stands", values: strings.Replace(values, "redis:\n", "valkey:\n", 1), schema: strings.Replace(schema, `, "redis"`, `, "valkey"`, 1), entries: both},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			files := mirror.Files{"desired/ess.yaml": []byte("version: 1\nsource: {kind: esshelm, chart: c}\nrender: {esshelm: {}}\n" + tt.set),
				"desired/c/Chart.yaml": []byte(essChart), "desired/c/values.yaml": []byte(tt.values)}
			if tt.schema != "" {
				files["desired/c/values.schema.json"] = []byte(tt.schema)
			}
			set, rec := essRelease(t, files, tt.entries)
			if tt.name == "another release stands" { // desired/ asks for what is not yet here
				set.Entries = []mirror.Entry{{Name: "synapse", Image: rec.Stages["snapshot"]["synapse"].Image}}
			}
			if ps := Check(set, files); len(ps) > 0 {
				t.Fatal(ps)
			}
			r := Files(local, set, rec, mirror.Plan{}, files)
			kept := ""
			if len(r.Kept) > 0 {
				kept = r.Kept[0].Reason.Detail
			}
			if (kept == "") != (tt.kept == "") || !strings.Contains(kept, tt.kept) {
				t.Errorf("kept %q, want %q", kept, tt.kept)
			}
			notes := fmt.Sprint(r.Notes)
			if (len(r.Notes) == 0) != (tt.note == "") || !strings.Contains(notes, tt.note) {
				t.Errorf("notes %s, want %q", notes, tt.note)
			}
		})
	}
}

// Helm itself renders a chart, which builds image names as matrix-stack does, with our values: 60 images come out as their
// content in the local registry.
func TestESSHelm_HelmRendersOnlyLocalImages(t *testing.T) {
	const template = `{{- range $name, $body := .Values }}{{ with $body.image }}
{{ $name }}: "{{ .registry }}/{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag }}{{ end }} {{ .tag }} {{ (index .pullSecrets 0).name }}"
{{- end }}{{ end }}`
	for _, layout := range []string{"tag", "path"} {
		entries, defaults := map[string]string{}, strings.Builder{}
		for i := range 60 {
			name := fmt.Sprintf("component%02d", i)
			entries[name] = fmt.Sprintf("upstream%d.example/own/%s:1.%d0", i%7, name, i)
			fmt.Fprintf(&defaults, "%s:\n  image: {registry: upstream%d.example, repository: own/%s, tag: '1.%d0'}\n", name, i%7, name, i)
		}
		files := mirror.Files{"desired/ess.yaml": []byte("version: 1\nsource: {kind: esshelm, chart: c}\nlayout: " + layout + "\nrender: {esshelm: {pullSecret: {name: pull}}}\n"),
			"desired/c/Chart.yaml": []byte(essChart), "desired/c/values.yaml": []byte(defaults.String())}
		set, rec := essRelease(t, files, entries)
		r := Files(local, set, rec, mirror.Plan{}, files)
		if len(r.Kept) > 0 {
			t.Fatal(r.Kept)
		}
		given, err := chartutil.ReadValues(r.Files["rendered/site/ess/snapshot/"+esshelmFile])
		if err != nil {
			t.Fatal(err)
		}
		c, err := loader.LoadFiles([]*loader.BufferedFile{{Name: "Chart.yaml", Data: []byte(essChart)}, {Name: "values.yaml", Data: []byte(defaults.String())}, {Name: "templates/all.yaml", Data: []byte(template)}})
		if err != nil {
			t.Fatal(err)
		}
		out := helmRenders(t, c, given)
		for name, line := range rec.Stages["snapshot"] {
			at := local.Repository(set, "snapshot", line.Image).AtDigest(line.Image.Digest).String()
			if want := fmt.Sprintf("%s: %q", name, at+" "+line.Image.Tag+" pull"); !strings.Contains(out, want) {
				t.Errorf("layout %s: want %s in\n%s", layout, want, out)
			}
		}
		if strings.Contains(out, `"upstream`) || strings.Count(out, "@sha256:") != 60 {
			t.Errorf("layout %s: an image stays upstream:\n%s", layout, out)
		}
	}
}

func helmRenders(t *testing.T, c *chart.Chart, given map[string]any) string {
	t.Helper()
	all, err := chartutil.ToRenderValues(c, given, chartutil.ReleaseOptions{Name: "ess"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	files, err := engine.Render(c, all)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for name := range files {
			if !yield(name) {
				return
			}
		}
	}) {
		out.WriteString(files[name])
	}
	return out.String()
}

func TestESSHelm_LintTellsWhatTheChartMakesNoImageOf(t *testing.T) {
	tests := []struct{ name, file, want string }{
		{"partly", "synapse:\n  image: {registry: 'r.example:5000'}\n", ""},
		{"whole", "synapse:\n  image: {registry: r.example, repository: mirror/docker.io/synapse, tag: v1, digest: '" + elementDigest + "', pullPolicy: Always, pullSecrets: [{name: s}]}\n", ""},
		{"empty registry", "synapse:\n  image:\n    registry: \"\"\n", "RND034 3"},
		{"scheme", "synapse:\n  image: {registry: 'https://r.example'}\n", "RND034 2"},
		{"path in the registry", "synapse:\n  image: {registry: r.example/mirror}\n", "RND034 2"},
		{"no host", "synapse:\n  image: {registry: mirror}\n", "RND034 2"},
		{"host twice", "synapse:\n  image: {registry: r.example, repository: r.example/synapse}\n", "RND034 2"},
		{"tag in the repository", "synapse:\n  image: {repository: 'synapse:v1'}\n", "RND034 2"},
		{"a number", "synapse:\n  image: {tag: 1.10}\n", "RND035 2"},
		{"digest in the tag", "synapse:\n  image: {tag: 'v1@" + elementDigest + "'}\n", "RND035 2"},
		{"short digest", "synapse:\n  image: {digest: 'sha256:11'}\n", "RND035 2"},
		{"misspelt", "synapse:\n  redis:\n    image: {repo: x}\n", "RND036 3"},
		{"one text", "synapse:\n  image: r.example/synapse:v1\n", "RND036 2"},
		{"a registry for all", "image: {registry: r.example}\n", "RND036 1"},
		{"old pull secrets", "imagePullSecrets: [{name: s}]\n", "RND037 1"},
		{"pull secrets as texts", "synapse:\n  image: {pullSecrets: [s]}\n", "RND037 2"},
		{"containers of people", "synapse:\n  extraInitContainers: [{image: own}]\n", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			for _, p := range Lint("esshelm", "v.yaml", []byte(tt.file)) {
				got += fmt.Sprintf("%s %d", p.Code, p.Where.Line)
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	if got := KindOf("v.yaml", []byte("matrixTools:\n  image: {}\n")); !slices.Contains(got, "esshelm") {
		t.Errorf("got %v", got)
	}
}
