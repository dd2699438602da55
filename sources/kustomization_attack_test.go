package sources

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

const onePod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: x, image: \"docker.io/library/a:1\"}]}\n"

// The library reads keys in any case: none of these spellings may make it ask anybody.
func TestKustomization_NoSpellingOfAKeyAsksAnybody(t *testing.T) {
	asked := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { asked++; fmt.Fprint(w, onePod) }))
	defer s.Close()
	for _, text := range []string{
		"configMapGenerator: [{name: x, Files: ['%s/x']}]\n",
		"secretGenerator: [{name: x, FILES: ['a=%s/x']}]\n",
		"secretGenerator: [{name: x, fileſ: ['a=%s/x']}]\n",
		"configMapGenerator: [{name: x, literals: [a=b], Env: '%s/x'}]\n",
		"configMapGenerator: [{name: x, eNvs: ['%s/x']}]\n",
		"patches: [{Path: '%s/x'}]\n",
		"patchesJson6902: [{target: {kind: Pod, version: v1, name: a}, pAth: '%s/x'}]\n",
		"replacements: [{Path: '%s/x'}]\n",
		"openapi: {path: pod.yaml, Path: '%s/x'}\n",
		"Resources: ['%s/x']\n",
	} {
		files := mirror.Files{"desired/web/kustomization.yaml": []byte("resources: [pod.yaml]\n" + fmt.Sprintf(text, s.URL)), "desired/web/pod.yaml": []byte(onePod)}
		if _, ps := newManifests(nil).kustomized(files, "web", mirror.Position{}); !strings.Contains(ps.Error(), "SRC071") {
			t.Errorf("%s is not refused: %v", text, ps)
		}
	}
	if asked > 0 {
		t.Errorf("%d requests left", asked)
	}
}

func TestKustomization_WhatGrowsWithoutEndIsRefused(t *testing.T) {
	laughs := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\na0: &a0 {x: 1}\n"
	for i := 1; i < 30; i++ {
		laughs += fmt.Sprintf("a%d: &a%d {l: *a%d, r: *a%d}\n", i, i, i-1, i-1)
	}
	diamonds := mirror.Files{"desired/d40/kustomization.yaml": []byte("resources: [pod.yaml]\n"), "desired/d40/pod.yaml": []byte(onePod)}
	for i := range 40 {
		dir := fmt.Sprintf("desired/d%d", i)
		diamonds[dir+"/kustomization.yaml"] = []byte("resources: [l, r]\n")
		for _, side := range []string{"l", "r"} {
			diamonds[dir+"/"+side+"/kustomization.yaml"] = []byte(fmt.Sprintf("namePrefix: %s-\nresources: [../../d%d]\n", side, i+1))
		}
	}
	for name, tt := range map[string]struct {
		files mirror.Files
		dir   string
	}{
		"aliases in a resource": {mirror.Files{"desired/web/kustomization.yaml": []byte("resources: [b.yaml]\n"), "desired/web/b.yaml": []byte(laughs)}, "web"},
		"aliases in a patch": {mirror.Files{"desired/web/kustomization.yaml": []byte("resources: [pod.yaml]\npatches:\n  - patch: |\n      " +
			strings.ReplaceAll(laughs, "\n", "\n      ") + "\n"), "desired/web/pod.yaml": []byte(onePod)}, "web"},
		"bases that multiply": {diamonds, "d0"},
	} {
		if _, ps := newManifests(nil).kustomized(tt.files, tt.dir, mirror.Position{}); !strings.Contains(ps.Error(), "more than") {
			t.Errorf("%s: got %v, want to be refused for their number", name, ps)
		}
	}
	twice := mirror.Files{"desired/web/kustomization.yaml": []byte("resources: [pod.yaml]\nlabels: [{pairs: {a: b}}]\n"),
		"desired/web/pod.yaml": []byte("apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: &l {x: y}, annotations: *l}\nspec: {containers: [{name: x, image: \"docker.io/library/a:1\"}]}\n")}
	if _, ps := newManifests(nil).kustomized(twice, "web", mirror.Position{}); len(ps) > 0 {
		t.Errorf("an alias as people write them: %v", ps)
	}
}
