package render

import (
	"fmt"
	"strings"
	"testing"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/poundlock/poundlock/internal/mirror"
)

// built gives what kustomize makes of images of a Deployment, by the image as it was written. A component is what
// writes images: into a kustomization.
func built(t *testing.T, component []byte, images []string) map[string]string {
	t.Helper()
	fs := filesys.MakeFsInMemory()
	var b strings.Builder
	b.WriteString("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec:\n  template:\n    spec:\n")
	for i, list := range []string{"initContainers", "containers"} {
		fmt.Fprintf(&b, "      %s:\n", list)
		for n, image := range images {
			if n%2 == i {
				fmt.Fprintf(&b, "      - {name: n%d, image: %q}\n", n, image)
			}
		}
	}
	for name, data := range map[string][]byte{
		"app/deployment.yaml":               []byte(b.String()),
		"app/kustomization.yaml":            []byte("resources: [deployment.yaml]\ncomponents: [../component]\n"),
		"component/" + "kustomization.yaml": component,
	} {
		if err := fs.WriteFile(name, data); err != nil {
			t.Fatal(err)
		}
	}
	result, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(fs, "app")
	if err != nil {
		t.Fatal(err)
	}
	text, err := result.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	var deployment struct {
		Spec struct {
			Template struct {
				Spec struct {
					InitContainers, Containers []struct{ Name, Image string }
				}
			}
		}
	}
	fromYAML(t, "deployment", text, &deployment)
	pod, got := deployment.Spec.Template.Spec, map[string]string{}
	for _, c := range append(pod.InitContainers, pod.Containers...) {
		var n int
		if _, err := fmt.Sscanf(c.Name, "n%d", &n); err != nil {
			t.Fatal(err)
		}
		got[images[n]] = c.Image
	}
	if len(got) != len(images) {
		t.Fatalf("%d images came back, want %d", len(got), len(images))
	}
	return got
}

// In whatever way a manifest writes one of sixty images, kustomize itself ends at its digest in the local registry.
func TestKustomize_EverySpellingEndsAtTheLocalRegistry(t *testing.T) {
	for _, layout := range []mirror.LayoutKind{mirror.LayoutPath, mirror.LayoutTag} {
		f := sixty(t, layout, "kustomize: {}")
		component := f.rendered(t)[componentFile]
		want := map[string]string{}
		for upstream, lies := range f.lies() {
			end := sixtyLocal.Host + "/" + lies.Repository
			if upstream.Tag != "" {
				end += ":" + upstream.Tag
			}
			for _, name := range spellings(upstream) {
				written := []string{name + ":other"}
				if layout == mirror.LayoutPath {
					written = []string{name, name + ":1@" + upstream.Digest.String()}
				}
				for _, image := range written {
					want[image] = end + "@" + upstream.Digest.String()
				}
			}
		}
		var images []string
		for image := range want {
			images = append(images, image)
		}
		foreign := []string{"docker.io/library/unknown:1", "ghcr.io/unknown/app@sha256:" + strings.Repeat("a", 64), sixtyLocal.Host + "/own/app:1"}
		for _, image := range foreign {
			want[image] = image
		}
		for image, got := range built(t, component, append(images, foreign...)) {
			if got != want[image] {
				t.Errorf("%s becomes %s, want %s", image, got, want[image])
			}
		}
		// What was replaced once is not replaced again.
		var ends []string
		for _, end := range want {
			if !strings.Contains(strings.Join(ends, " "), end) {
				ends = append(ends, end)
			}
		}
		for image, got := range built(t, component, ends) {
			if got != image {
				t.Errorf("%s becomes %s", image, got)
			}
		}
	}
}

func TestKustomize_VersionsAndDotsAreKeptApart(t *testing.T) {
	digest := func(text string) string { return mirror.DigestOf([]byte(text)).String() }
	s := scene{local: local, parts: []part{{set: mirror.Set{Name: "tools", Stages: mirror.Stages{"snapshot"}}, name: "snapshot", standing: mirror.Standing{}}}}
	for entry, image := range map[string]string{"a": "registry.k8s.io/pause:3.9@" + digest("3.9"), "b": "registry.k8s.io/pause:3.10@" + digest("3.10"),
		"c": "quay.io/o/my.app:1@" + digest("dot"), "d": "quay.io/o/my-app:2@" + digest("dash")} {
		r, err := mirror.ParseReference(image)
		if err != nil {
			t.Fatal(err)
		}
		s.parts[0].standing.Put(entry, mirror.Line{Image: r, Proven: true})
	}
	tests := map[string]string{ // "" stays as it is
		"registry.k8s.io/pause:3.9":                    "r.example/mirror/registry.k8s.io/pause:3.9@" + digest("3.9"),
		"registry.k8s.io/pause:3.10":                   "r.example/mirror/registry.k8s.io/pause:3.10@" + digest("3.10"),
		"registry.k8s.io/pause:3.10@" + digest("3.10"): "r.example/mirror/registry.k8s.io/pause:3.10@" + digest("3.10"),
		"registry.k8s.io/pause@" + digest("3.9"):       "r.example/mirror/registry.k8s.io/pause:3.9@" + digest("3.9"),
		"registry.k8s.io/pause":                        "",
		"registry.k8s.io/pause:3.8":                    "",
		"quay.io/o/my.app":                             "r.example/mirror/quay.io/o/my.app:1@" + digest("dot"),
		"quay.io/o/my-app:1":                           "r.example/mirror/quay.io/o/my-app:2@" + digest("dash"),
	}
	component := kustomizeFiles(s, mirror.Node{}).files[componentFile]
	if ps := append(lintKustomize("kustomization.yaml", component), proveKustomize(s, mirror.Node{}, mirror.Files{componentFile: component})...); len(ps) > 0 {
		t.Error(ps.Err())
	}
	var images []string
	for image := range tests {
		images = append(images, image)
	}
	for image, got := range built(t, component, images) {
		want := tests[image]
		if want == "" {
			want = image
		}
		if got != want {
			t.Errorf("%s becomes %s, want %s", image, got, want)
		}
	}
}

// A site whose own registry is an upstream, too: a mapped image could be mapped again.
func TestKustomize_WhatWouldBeReplacedTwiceIsRefused(t *testing.T) {
	set := mirror.Set{Name: "tools", Stages: mirror.Stages{"snapshot"}, Paths: map[string]string{"quay.io": "a", "r.example": "b"}}
	s := scene{local: mirror.Local{Host: "r.example"}, parts: []part{{set: set, name: "snapshot", standing: mirror.Standing{}}}}
	put := func(entry, name string) {
		r, err := mirror.ParseReference(name + ":1@" + mirror.DigestOf([]byte(name)).String())
		if err != nil {
			t.Fatal(err)
		}
		s.parts[0].standing.Put(entry, mirror.Line{Image: r, Proven: true})
	}
	put("one", "quay.io/x")
	prove := func() string {
		return told(proveKustomize(s, mirror.Node{}, kustomizeFiles(s, mirror.Node{}).files))
	}
	if got := prove(); got != "" {
		t.Errorf("got %s", got)
	}
	put("two", "r.example/a/x")
	if got := prove(); got != "RND066:0" {
		t.Errorf("got %q, want a refusal", got)
	}
}

func TestKustomize_LintTellsWhatKustomizeWouldStopAtOrMisread(t *testing.T) {
	const digest = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
	tests := []struct {
		name, file string
		want       string
		stops      bool // kustomize itself refuses it
	}{
		{name: "fine", file: "images:\n- {name: nginx, newName: r.example/nginx, newTag: '1.10'}\n- {name: r.example/o/r, digest: '" + digest + "'}\n"},
		{name: "component", file: "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nimages:\n- {name: nginx, newTag: '1'}\n"},
		{name: "component of another version", file: "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Component\nimages:\n- {name: nginx, newTag: '1'}\n", want: "RND065:1", stops: true},
		{name: "kind", file: "kind: Komponent\nimages:\n- {name: nginx, newTag: '1'}\n", want: "RND065:1", stops: true},
		{name: "a number", file: "images:\n- name: nginx\n  newTag: 1.10\n", want: "RND065:3", stops: true},
		{name: "unknown key", file: "images:\n- {name: nginx, tag: '1'}\n", want: "RND065:2 RND065:2", stops: true},
		{name: "no list", file: "images: {nginx: '1'}\n", want: "RND065:1", stops: true},
		{name: "no name", file: "images:\n- {newName: r.example/nginx}\n", want: "RND065:2"},
		{name: "no change", file: "images:\n- {name: nginx}\n", want: "RND065:2"},
		{name: "digest without its kind", file: "images:\n- {name: nginx, digest: '1111'}\n", want: "RND065:2"},
		{name: "scheme", file: "images:\n- {name: nginx, newName: 'https://r.example/nginx'}\n", want: "RND065:2"},
		{name: "tag in the name", file: "images:\n- {name: nginx, newName: 'r.example/nginx:1', newTag: '1'}\n", want: "RND065:2"},
		{name: "twice", file: "images:\n- {name: nginx, newTag: '1'}\n- {name: nginx, newTag: '2'}\n", want: "RND066:3"},
		{name: "a dot", file: "images:\n- {name: o/my.app, newTag: '1'}\n- {name: o/my-app, newTag: '2'}\n", want: "RND066:2"},
		{name: "a dot that is one", file: "images:\n- {name: 'o/my[.]app', newTag: '1'}\n- {name: o/my-app, newTag: '2'}\n"},
		{name: "replaced again", file: "images:\n- {name: nginx, newName: r.example/nginx}\n- {name: r.example/nginx, newName: s.example/nginx}\n", want: "RND066:3"},
		{name: "an expression over all", file: "images:\n- {name: nginx, newName: r.example/nginx}\n- {name: '.*', newName: s.example/all}\n", want: "RND066:3"},
		{name: "no YAML", file: "images: [\n", want: "DOC001:2", stops: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := told(lintKustomize("kustomization.yaml", []byte(tt.file))); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			fs := filesys.MakeFsInMemory()
			if err := fs.WriteFile("app/kustomization.yaml", []byte("resources: [d.yaml]\n"+tt.file)); err != nil {
				t.Fatal(err)
			}
			if err := fs.WriteFile("app/d.yaml", []byte("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: nginx}]}\n")); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(tt.file, "Component") { // a component is no place to begin
				return
			}
			if _, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(fs, "app"); (err != nil) != tt.stops {
				t.Errorf("kustomize says %v", err)
			}
		})
	}
}
