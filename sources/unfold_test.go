package sources

import (
	"slices"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

// A file of the fleet repository may not end the process, nor fill its memory, by aliases that stand for what is around
// them or that double with each line.
func TestManifests_AliasesThatGrowAreRefused(t *testing.T) {
	doubling := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\na0: &a0 [x, x]\n"
	for i := range 24 {
		n, next := string(rune('a'+i)), string(rune('a'+i+1))
		doubling += next + "1: &" + next + "0 [*" + n + "0, *" + n + "0]\n"
	}
	patched := func(patch string) string {
		return "resources: [x.yaml]\npatches:\n  - patch: |\n      " + strings.ReplaceAll(patch, "\n", "\n      ") + "\n"
	}
	const plain = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
	const round = "&r {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: *r}\n"
	for _, tc := range []struct{ name, source, kustomization, text, code string }{
		{"a list in itself", "files: [a/x.yaml]", "", "&r {kind: List, apiVersion: v1, items: [*r]}\n", "SRC060"},
		{"a resource in itself", "files: [a/x.yaml]", "", "&r {kind: Foo, apiVersion: v1, a: *r}\n", "SRC060"},
		{"paths over aliases", "files: [a/x.yaml], paths: {Foo: ['*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*']}", "",
			"apiVersion: v1\nkind: Foo\na: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n" + "d: &d [*c, *c]\ne: &e [*d, *d]\nf: [*e, *e]\n", "SRC063"},
		{"kustomize: a resource in itself", "kustomization: a", "resources: [x.yaml]\n", round, "SRC072"},
		{"kustomize: doubling", "kustomization: a", "resources: [x.yaml]\n", doubling, "SRC072"},
		{"kustomize: a patch in itself", "kustomization: a", patched(round), plain, "SRC072"},
		{"kustomize: a list of patches", "kustomization: a", "resources: [x.yaml]\npatchesStrategicMerge:\n  - |\n    " + round, plain, "SRC072"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			files := mirror.Files{"desired/s.yaml": []byte("version: 1\nsource: {kind: manifests, " + tc.source + "}\n"), "desired/a/x.yaml": []byte(tc.text)}
			if tc.kustomization != "" {
				files["desired/a/kustomization.yaml"] = []byte(tc.kustomization)
			}
			desired, ps := mirror.ParseDesired("", files)
			if len(ps) > 0 {
				t.Fatal(ps)
			}
			got := Read(&desired.Sets[0], files)
			if !slices.ContainsFunc(got, func(p mirror.Problem) bool { return p.Code == tc.code }) {
				t.Errorf("got %v, want %s", got, tc.code)
			}
		})
	}
}
