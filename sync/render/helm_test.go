package render

import (
	"fmt"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"

	"github.com/poundlock/poundlock/internal/mirror"
)

func TestValuePath_ReadsKeysAndNothingElse(t *testing.T) {
	for text, want := range map[string]string{
		"image": "image", "a.b.c": "a|b|c", "$.a.b": "a|b", "a['b.c'].d": "a|b.c|d", `$["x/y"]`: "x/y", "a-b.c_d": "a-b|c_d",
		"": "", "$": "", "a..b": "", ".a": "", "a.": "", "a[0]": "", "a[*].b": "", "a b": "", "a['b": "",
	} {
		keys, err := valuePath(text)
		if got := strings.Join(keys, "|"); got != want || (err != nil) != (want == "") {
			t.Errorf("%q: got %q and %v, want %q", text, got, err, want)
		}
	}
}

// Helm itself renders a chart that takes images in five forms: 60 images come out as their content in the local registry.
func TestHelm_EveryFormEndsAtTheLocalRegistry(t *testing.T) {
	forms := map[helmForm]string{
		"image":                          `{{ .i }}`,
		"repository+tag":                 `{{ .i.repository }}:{{ .i.tag }}`,
		"repository+tag+digest":          `{{ .i.repository }}:{{ .i.tag }}@{{ .i.digest }}`,
		"registry+repository+tag":        `{{ .i.registry }}/{{ .i.repository }}:{{ .i.tag }}`,
		"registry+repository+tag+digest": `{{ .i.registry }}/{{ .i.repository }}:{{ .i.tag }}@{{ .i.digest }}`,
	}
	for _, layout := range []string{"tag", "path"} {
		var desired, template strings.Builder
		fmt.Fprintf(&desired, "version: 1\nsource: {kind: list, file: l.txt}\nlayout: %s\nrender:\n  helm:\n    images:\n", layout)
		entries, n := map[string]string{}, 0
		for n < 60 {
			name := fmt.Sprintf("upstream%d.example/own/app%02d:1.%d0", n%5, n, n)
			entries[name] = name
			form := helmForms[n%len(helmForms)]
			fmt.Fprintf(&desired, "      top.app%02d: {entry: %q, form: %s}\n", n, name, form)
			fmt.Fprintf(&template, "{{ with dict \"i\" .Values.top.app%02d }}%s{{ end }}\n", n, forms[helmForm(form)])
			n++
		}
		set, rec := essRelease(t, mirror.Files{"desired/web.yaml": []byte(desired.String())}, entries)
		if ps := Check(set, nil); len(ps) > 0 {
			t.Fatal(ps)
		}
		r := Files(local, set, rec, mirror.Plan{}, nil)
		if len(r.Kept)+len(r.Notes) > 0 {
			t.Fatal(r.Kept, r.Notes)
		}
		given, err := chartutil.ReadValues(r.Files["rendered/site/web/snapshot/"+helmFile])
		if err != nil {
			t.Fatal(err)
		}
		c, err := loader.LoadFiles([]*loader.BufferedFile{{Name: "Chart.yaml", Data: []byte("apiVersion: v2\nname: web\nversion: 1.0.0\n")}, {Name: "templates/all.yaml", Data: []byte(template.String())}})
		if err != nil {
			t.Fatal(err)
		}
		out := helmRenders(t, c, given)
		for _, line := range rec.Stages["snapshot"] {
			if want := local.Repository(set, "snapshot", line.Image).WithTag(line.Image.Tag).WithDigest(line.Image.Digest).String() + "\n"; !strings.Contains(out, want) {
				t.Errorf("layout %s: want %s in\n%s", layout, want, out)
			}
		}
	}
}

func TestHelm_WhatIsNotNamedOrNotThere(t *testing.T) {
	const desired = "version: 1\nsource: {kind: list, file: l.txt}\nrender: {helm: {images: {a: {entry: 'docker.io/library/nginx:*', form: image}}}}\n"
	files := mirror.Files{"desired/web.yaml": []byte(desired)}
	set, rec := essRelease(t, files, map[string]string{"docker.io/library/nginx:1": "nginx:1", "docker.io/library/redis:7": "redis:7", "chart/web": "r.example/charts/web:1"})
	r := Files(local, set, rec, mirror.Plan{}, files)
	if len(r.Notes) != 1 || !strings.Contains(r.Notes[0].Text, "docker.io/library/redis:7 is in the set") || len(r.Kept) > 0 {
		t.Errorf("notes %+v, kept %+v", r.Notes, r.Kept)
	}
	image := rec.Stages["snapshot"]["docker.io/library/nginx:1"].Image
	rec.Stages["snapshot"].Put("docker.io/library/nginx:2", mirror.Line{Image: image.WithTag("2"), Proven: true})
	if r = Files(local, set, rec, mirror.Plan{}, files); len(r.Kept) != 1 || r.Kept[0].Reason.Code != mirror.Misread || len(r.Files) > 0 {
		t.Errorf("two entries match, and one was taken: %+v, %v", r.Kept, r.Files)
	}
}
