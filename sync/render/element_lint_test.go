package render

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

const elementDigest = "sha256:1111111111111111111111111111111111111111111111111111111111111111"

func configMapOf(tree string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ess-images, namespace: ess}\ndata:\n  images_digests: |\n    " +
		strings.ReplaceAll(strings.TrimSuffix(tree, "\n"), "\n", "\n    ") + "\n"
}

func entryOf(server, path, tag, digest string) string {
	return fmt.Sprintf("a:\n  b:\n    image_repository_server: %s\n    image_repository_path: %s\n    image_tag: %s\n    image_digest: %s\n", server, path, tag, digest)
}

func deploymentOf(spec string) string {
	return "apiVersion: matrix.element.io/v1alpha2\nkind: ElementDeployment\nmetadata: {name: d, namespace: ess}\nspec: " + spec + "\n"
}

func TestElement_LintTellsEveryTrapOfTheOperators(t *testing.T) {
	good := entryOf("r.example:5000", "mirror/a", `"1.10"`, elementDigest)
	tests := []struct {
		name, file string
		want       []string // code, line and a word
	}{
		{"complete", configMapOf(good), nil},
		{"another ConfigMap", "kind: ConfigMap\nmetadata: {name: other}\ndata: {a: b}\n", []string{"RND013 0 nothing in it"}},
		{"no key", "kind: ConfigMap\nmetadata: {name: ess-images}\ndata:\n  images: x\n", []string{"RND013 3 has no text under data.images_digests"}},
		{"a tree instead of text", "kind: ConfigMap\ndata:\n  images_digests:\n    a: {}\n", []string{"RND013 4 want text"}},
		{"the vendor's top key", configMapOf("images_digests:\n  " + strings.ReplaceAll(strings.TrimSpace(good), "\n", "\n  ")), []string{"RND013 6 once more"}},
		{"the vendor's top key beside entries", configMapOf("images_digests: {}\na:\n  b:\n"), []string{"RND013 6 once more", "RND013 8 a/b: want image fields"}},
		{"empty bodies", configMapOf("a:\n  b:\nc:\n" + "d: {e: f}\n"), []string{"RND013 7 a/b: want image fields", "RND013 8 c: want a mapping", "RND013 9 d/e: want image fields"}},
		{"no tag", configMapOf(strings.Replace(good, "    image_tag: \"1.10\"\n", "", 1)), []string{"RND014 7 has no image_tag"}},
		{"tag without digest", configMapOf(good[:strings.Index(good, "    image_digest")]), []string{"RND014 7 has no image_digest"}},
		{"only what the page shows", configMapOf("a:\n  b:\n    image_repository_path: x/y\n    image_repository_server: r.example\n"), []string{"RND014 7 image_tag", "RND014 7 image_digest"}},
		{"empty digest", configMapOf(entryOf("r.example", "a", "v1", `""`)), []string{"RND014 11 image_digest is empty"}},
		{"tag is a number", configMapOf(entryOf("r.example", "a", "1.10", elementDigest)), []string{"RND015 10 1.10 without quotes"}},
		{"tag is no number", configMapOf(entryOf("r.example", "a", "2.8-alpine", elementDigest)), nil},
		{"unknown field", configMapOf(good + "    image_tga: v1\n"), []string{`RND014 12 unknown field "image_tga"`}},
		{"scheme", configMapOf(entryOf("https://r.example", "a", "v1", elementDigest)), []string{"RND019 8 begins with a scheme"}},
		{"slash", configMapOf(entryOf("r.example/", "a", "v1", elementDigest)), []string{"RND019 8 holds a slash"}},
		{"no host", configMapOf(entryOf("localregistry", "a", "v1", elementDigest)), []string{"RND019 8 Docker Hub"}},
		{"path with a tag", configMapOf(entryOf("r.example", "a:v1", "v1", elementDigest)), []string{"RND019 9 is no repository"}},
		{"path with slashes", configMapOf(entryOf("r.example", "/a/", "v1", elementDigest)), []string{"RND019 9 is no repository"}},
		{"tag with digest", configMapOf(entryOf("r.example", "a", "v1@"+elementDigest, elementDigest)), []string{"RND019 10 is no tag"}},
		{"short digest", configMapOf(entryOf("r.example", "a", "v1", "sha256:11")), []string{"RND019 11 image_digest"}},
		{"all in one pass", configMapOf(entryOf("https://r.example", "/a", "1.10", `""`)), []string{"RND015 10 1.10", "RND014 11 is empty", "RND019 8 scheme", "RND019 9 is no repository"}},
		{"the vendor's own file", "images_digests:\n  a: {}\n", []string{"RND013 0 nothing in it"}},
		{"twice", configMapOf("a: {}\na: {}\n"), []string{"DOC003 7 duplicate key"}},

		{"deployment", deploymentOf("{global: {config: {imagesDigestsConfigMap: ess-images}, k8s: {workloads: {dockerSecrets: [{name: s, url: 'r.example:5000'}]}}}}"), nil},
		{"url with scheme", deploymentOf("{global: {k8s: {workloads: {dockerSecrets: [{name: s, url: 'https://r.example:5000/'}]}}}}"), []string{"RND016 4 no registry host"}},
		{"url of a component with a path", deploymentOf("{components: {synapse: {k8s: {synapse: {workloads: {dockerSecrets: [{name: s, url: r.example/mirror}]}}}}}}"), []string{"RND016 4 no registry host"}},
		{"secret without url", deploymentOf("{global: {k8s: {workloads: {dockerSecrets: [{name: s}]}}}}"), []string{"RND016 4 want a name and a url"}},
		{"in the wrong place", deploymentOf("{global: {imagesDigestsConfigMap: ess-images}}"), []string{"RND017 4 spec.global.imagesDigestsConfigMap is read by nobody"}},
		{"no name", deploymentOf("{global: {config: {imagesDigestsConfigMap: ess/ess-images}}}"), []string{"RND017 4 is no name"}},

		{"both, and the port is missing", configMapOf(good) + "---\n" + deploymentOf("{global: {config: {imagesDigestsConfigMap: ess-images}, k8s: {workloads: {dockerSecrets: [{name: s, url: r.example}]}}}}"),
			[]string{`RND016 16 url "r.example" is not image_repository_server "r.example:5000"`}},
		{"both, and another host", configMapOf(good) + "---\n" + deploymentOf("{global: {config: {imagesDigestsConfigMap: ess-images}, k8s: {workloads: {dockerSecrets: [{name: s, url: other.example}]}}}}"),
			[]string{"RND016 16 of no entry"}},
		{"both, and another name", configMapOf(good) + "---\n" + deploymentOf("{global: {config: {imagesDigestsConfigMap: images}}}"), []string{`RND017 16 names ConfigMap "images"`}},
		{"both, and no name", configMapOf(good) + "---\n" + deploymentOf("{global: {config: {}}}"), []string{"RND017 16 names no ConfigMap"}},
		{"both, and another namespace", configMapOf(good) + "---\n" + strings.Replace(deploymentOf("{global: {config: {imagesDigestsConfigMap: ess-images}}}"), "namespace: ess", "namespace: chat", 1), []string{"RND017 3 in namespace"}},
		{"no YAML", "kind: ConfigMap\n\tdata: x\n", []string{"DOC001 2 tab"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ps := Lint("element", "x.yaml", []byte(tt.file))
			var got []string
			for _, p := range ps {
				got = append(got, fmt.Sprintf("%s %d %s", p.Code, p.Where.Line, p.What))
				if p.Where.File != "x.yaml" || p.Fix == "" {
					t.Errorf("%+v", p)
				}
			}
			if !slices.EqualFunc(got, tt.want, func(got, want string) bool {
				return got[:8] == want[:8] && strings.HasPrefix(got, want[:strings.Index(want[7:], " ")+8]) && strings.Contains(got, want[strings.Index(want[7:], " ")+8:])
			}) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}

func TestElement_ReadsItsOwnFiles(t *testing.T) {
	for name, s := range scenes(t, "testdata/element/*.txtar") {
		for file, data := range Files(s.local, s.sets[0], s.record, mirror.Plan{}, nil).Files {
			if strings.HasSuffix(file, kustomizationFile) {
				continue
			}
			if ps := Lint("element", file, data); len(ps) > 0 || !slices.Contains(KindOf(file, data), "element") {
				t.Errorf("%s: %s: %v, %v", name, file, ps, KindOf(file, data))
			}
		}
	}
}

// Whatever a file says that its consumer would misread, the folder keeps its bytes.
func TestElement_AProofFindsWhatIsMisread(t *testing.T) {
	for name, s := range scenes(t, "testdata/element/*.txtar") {
		set := s.sets[0]
		one := scene{local: s.local, parts: []part{{set: set, name: "snapshot", standing: s.record.Stages["snapshot"]}}}
		files := elementFiles(one, set.Render["element"]).files
		if ps := proveElement(one, set.Render["element"], files); len(ps) > 0 {
			t.Errorf("%s: %v", name, ps)
		}
		for _, broken := range []string{"docker.io", "2.8-alpine", "1111111"} {
			damaged := map[string][]byte{elementFile: []byte(strings.Replace(string(files[elementFile]), broken, "x", 1))}
			if ps := proveElement(one, set.Render["element"], damaged); len(ps) == 0 {
				t.Errorf("%s: %s is missing, and nobody finds it", name, broken)
			}
		}
	}
}
