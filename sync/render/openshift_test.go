package render

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containers/image/v5/docker/reference"
	"github.com/containers/image/v5/pkg/sysregistriesv2"
	"github.com/containers/image/v5/types"
	"go.yaml.in/yaml/v4"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"

	"github.com/poundlock/poundlock/internal/mirror"
)

// realdata gives a folder of real third-party files that lies beside the repository, where it is there.
func realdata(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join("..", "..", "..", "shared", "realdata", name)
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("the real files are not here: %v", err)
	}
	return dir
}

// judge is an API server's view of one kind: what its schema refuses, and what it drops.
type judge struct {
	validator  validation.SchemaValidator
	structural *schema.Structural
}

func openShiftJudges(t *testing.T) map[string]judge {
	t.Helper()
	judges := map[string]judge{}
	names, _ := filepath.Glob(filepath.Join(realdata(t, "openshift"), "*.crd.yaml"))
	for _, name := range names {
		var crd apiextensionsv1.CustomResourceDefinition
		fromYAML(t, name, read(t, name), &crd)
		var props apiextensions.JSONSchemaProps
		if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(crd.Spec.Versions[0].Schema.OpenAPIV3Schema, &props, nil); err != nil {
			t.Fatal(err)
		}
		structural, err := schema.NewStructural(&props)
		if err != nil {
			t.Fatal(err)
		}
		validator, _, err := validation.NewSchemaValidator(&props)
		if err != nil {
			t.Fatal(err)
		}
		judges[crd.Spec.Names.Kind] = judge{validator, structural}
	}
	if len(judges) != 2 {
		t.Fatalf("have the schemas of %d kinds, want 2", len(judges))
	}
	return judges
}

// refuses says what an API server has against an object; "" when it takes it as it is.
func (j judge) refuses(object map[string]any) string {
	if wrong := validation.ValidateCustomResource(nil, object, j.validator); len(wrong) > 0 {
		return wrong.ToAggregate().Error()
	}
	if wrong := listtype.ValidateListSetsAndMaps(nil, j.structural, object); len(wrong) > 0 {
		return wrong.ToAggregate().Error()
	}
	if dropped := pruning.PruneWithOptions(object, j.structural, true, schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}); len(dropped) > 0 {
		return "drops " + strings.Join(dropped, ", ")
	}
	return ""
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// fromYAML reads YAML as Kubernetes does, by way of JSON.
func fromYAML(t *testing.T, name string, data []byte, into any) {
	t.Helper()
	var tree any
	if err := yaml.Unmarshal(data, &tree); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	text, err := json.Marshal(tree)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func TestOpenShift_TheSchemasTakeWhatIsRendered(t *testing.T) {
	judges := openShiftJudges(t)
	for _, ask := range []string{"openshift: {}", "openshift: {scope: repository, fallback: true}"} {
		for _, f := range []sixtyFleet{sixty(t, mirror.LayoutPath, ask), sixtyConsumer(t, ask)} {
			seen := 0
			for name, data := range f.rendered(t) {
				var object map[string]any
				fromYAML(t, name, data, &object)
				if j, ours := judges[fmt.Sprint(object["kind"])]; ours {
					seen++
					if why := j.refuses(object); why != "" {
						t.Errorf("%s: %s: %s", ask, name, why)
					}
				}
			}
			if seen != 2 {
				t.Errorf("%s: %d objects, want 2", ask, seen)
			}
		}
	}
}

// The nodes' registries.conf is made of both kinds; containers/image then says where each of sixty images is asked for.
func TestOpenShift_NodesAskTheLocalRegistryAlone(t *testing.T) {
	tests := []struct {
		name, ask string
		upstream  bool
	}{
		{name: "by host", ask: "openshift: {}"},
		{name: "by repository", ask: "openshift: {scope: repository}"},
		{name: "with fallback", ask: "openshift: {fallback: true}", upstream: true},
	}
	for _, tt := range tests {
		for fleet, f := range map[string]sixtyFleet{"set": sixty(t, mirror.LayoutPath, tt.ask), "consumer": sixtyConsumer(t, tt.ask)} {
			t.Run(tt.name+"/"+fleet, func(t *testing.T) {
				conf := filepath.Join(t.TempDir(), "registries.conf")
				if err := os.WriteFile(conf, registriesConfOf(t, f.rendered(t)), 0o600); err != nil {
					t.Fatal(err)
				}
				ctx := &types.SystemContext{SystemRegistriesConfPath: conf, SystemRegistriesConfDirPath: t.TempDir()}
				for upstream, lies := range f.lies() {
					for _, spelled := range []string{upstream.WithTag("").String(), upstream.Name() + ":" + upstream.Tag} {
						if strings.HasSuffix(spelled, ":") {
							continue
						}
						asked, blocked := asks(t, ctx, spelled)
						if blocked == tt.upstream {
							t.Errorf("%s: upstream blocked: %v", spelled, blocked)
						}
						if tt.upstream {
							asked = asked[:len(asked)-1]
						}
						if !slices.Contains(asked, lies.Name()) {
							t.Errorf("%s is asked for at %v, it lies at %s", spelled, asked, lies.Name())
						}
						for _, place := range asked {
							if !strings.HasPrefix(place, sixtyLocal.Host+"/") {
								t.Errorf("%s is asked for at %s", spelled, place)
							}
						}
					}
				}
			})
		}
	}
}

// A rule for the local registry itself would keep nodes from what names it already.
func TestOpenShift_TheLocalRegistryIsNeverBlocked(t *testing.T) {
	for _, ask := range []string{"openshift: {}", "openshift: {scope: repository}"} {
		f := sixty(t, mirror.LayoutPath, ask)
		here := sixtyLocal
		here.Host = "quay.io"
		r := Files(here, f.sets[0], f.records["main"], mirror.Plan{}, f.files)
		if len(r.Kept) > 0 || len(r.Files) == 0 {
			t.Fatalf("%s: %d files, kept %+v", ask, len(r.Files), r.Kept)
		}
		for name, data := range r.Files {
			if strings.Contains(string(data), `source: "quay.io`) {
				t.Errorf("%s: %s has a rule for the local registry", ask, name)
			}
		}
		if !slices.ContainsFunc(r.Notes, func(n Note) bool { return strings.Contains(n.Text, "the local registry itself") }) {
			t.Errorf("%s: nothing is said of it: %v", ask, r.Notes)
		}
	}
}

// asks gives the repositories that a node asks for a reference, in order, and whether its own place is blocked.
func asks(t *testing.T, ctx *types.SystemContext, spelled string) (asked []string, blocked bool) {
	t.Helper()
	named, err := reference.ParseNormalizedNamed(spelled)
	if err != nil {
		t.Fatal(err)
	}
	registry, err := sysregistriesv2.FindRegistry(ctx, named.Name())
	if err != nil || registry == nil {
		t.Fatalf("%s: no registry: %v", spelled, err)
	}
	sources, err := registry.PullSourcesFromReference(named)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sources {
		asked = append(asked, s.Reference.Name())
	}
	if registry.Blocked { // the last source is then refused
		asked = asked[:len(asked)-1]
	}
	return asked, registry.Blocked
}

// registriesConfOf makes of mirror sets what the machine-config operator makes of them.
func registriesConfOf(t *testing.T, files mirror.Files) []byte {
	t.Helper()
	type entry struct {
		blocked bool
		mirrors []string
	}
	entries := map[string]*entry{}
	for name, data := range files {
		sets, ps := readMirrorSets(name, data)
		if err := ps.Err(); err != nil {
			t.Fatal(err)
		}
		for _, set := range sets {
			pull := map[string]string{"ImageDigestMirrorSet": "digest-only", "ImageTagMirrorSet": "tag-only"}[set.kind]
			for _, r := range set.rules {
				if entries[r.source] == nil {
					entries[r.source] = &entry{}
				}
				entries[r.source].blocked = r.policy == neverContact
				for _, m := range r.mirrors {
					entries[r.source].mirrors = append(entries[r.source].mirrors, fmt.Sprintf("[[registry.mirror]]\nlocation = %q\npull-from-mirror = %q\n", m, pull))
				}
			}
		}
	}
	var b strings.Builder
	for source, e := range entries {
		fmt.Fprintf(&b, "[[registry]]\nlocation = %q\nblocked = %v\n%s", source, e.blocked, strings.Join(e.mirrors, ""))
	}
	return []byte(b.String())
}

const digestSet = "apiVersion: config.openshift.io/v1\nkind: ImageDigestMirrorSet\nmetadata: {name: a}\nspec:\n  imageDigestMirrors:\n"

func TestOpenShift_LintTellsWhatTheClusterWouldRefuseOrDrop(t *testing.T) {
	tests := []struct {
		name, file string
		want       string // code:line, "" where nothing is wrong
		schema     bool   // the API server says so, too
	}{
		{name: "fine", file: digestSet + "    - {source: quay.io, mirrors: [m.example:5000/a/b_c], mirrorSourcePolicy: NeverContactSource}\n"},
		{name: "wildcard", file: digestSet + "    - {source: '*.redhat.io', mirrors: [m.example]}\n"},
		{name: "no mirrors", file: digestSet + "    - {source: quay.io}\n"},
		{name: "scheme", file: digestSet + "    - {source: quay.io, mirrors: ['https://m.example/a']}\n", want: "RND062:6", schema: true},
		{name: "tag", file: digestSet + "    - {source: 'quay.io/a:1', mirrors: [m.example]}\n", want: "RND062:6", schema: true},
		{name: "digest", file: digestSet + "    - {source: 'quay.io/a@sha256:11', mirrors: [m.example]}\n", want: "RND062:6", schema: true},
		{name: "slash at the end", file: digestSet + "    - {source: quay.io/, mirrors: [m.example]}\n", want: "RND062:6", schema: true},
		{name: "upper case path", file: digestSet + "    - {source: quay.io, mirrors: [m.example/Team]}\n", want: "RND062:6", schema: true},
		{name: "wildcard mirror", file: digestSet + "    - {source: quay.io, mirrors: ['*.example']}\n", want: "RND062:6", schema: true},
		{name: "wildcard inside", file: digestSet + "    - {source: 'a.*.example', mirrors: [m.example]}\n", want: "RND062:6", schema: true},
		{name: "no source", file: digestSet + "    - mirrors: [m.example]\n", want: "RND062:6", schema: true},
		{name: "twice", file: digestSet + "    - {source: quay.io, mirrors: [m.example, m.example]}\n", want: "RND062:6", schema: true},
		{name: "policy", file: digestSet + "    - {source: quay.io, mirrors: [m.example], mirrorSourcePolicy: Never}\n", want: "RND062:6", schema: true},
		{name: "policy alone", file: digestSet + "    - {source: quay.io, mirrorSourcePolicy: NeverContactSource}\n", want: "RND064:6"},
		{name: "the source never and first", file: digestSet + "    - {source: quay.io, mirrors: [quay.io], mirrorSourcePolicy: NeverContactSource}\n", want: "RND064:6"},
		{name: "two policies", file: digestSet + "    - {source: quay.io, mirrors: [m.example], mirrorSourcePolicy: NeverContactSource}\n    - {source: quay.io, mirrors: [n.example]}\n", want: "RND064:7"},
		{name: "two policies in two objects", file: digestSet + "    - {source: quay.io, mirrors: [m.example], mirrorSourcePolicy: NeverContactSource}\n---\napiVersion: config.openshift.io/v1\nkind: ImageTagMirrorSet\nmetadata: {name: a}\nspec:\n  imageTagMirrors:\n    - {source: quay.io, mirrors: [m.example]}\n", want: "RND064:13"},
		{name: "the other kind's list", file: strings.Replace(digestSet, "imageDigestMirrors", "imageTagMirrors", 1) + "    - {source: quay.io, mirrors: [m.example]}\n", want: "RND063:5", schema: true},
		{name: "misspelt key", file: digestSet + "    - {source: quay.io, mirror: [m.example]}\n", want: "RND063:6", schema: true},
		{name: "no spec", file: "apiVersion: config.openshift.io/v1\nkind: ImageDigestMirrorSet\nmetadata: {name: a}\n", want: "RND063:1", schema: true},
		{name: "another version", file: strings.Replace(digestSet, "/v1", "/v1alpha1", 1) + "    - {source: quay.io}\n", want: "RND063:1"},
		{name: "no name", file: strings.Replace(digestSet, "{name: a}", "{}", 1) + "    - {source: quay.io}\n", want: "RND063:3"},
		{name: "both generations", file: digestSet + "    - {source: quay.io, mirrors: [m.example]}\n---\napiVersion: operator.openshift.io/v1alpha1\nkind: ImageContentSourcePolicy\nmetadata: {name: a}\nspec: {repositoryDigestMirrors: [{source: b.example, mirrors: [m.example]}]}\n", want: "RND063:0"},
		{name: "a policy with what it does not know", file: "apiVersion: operator.openshift.io/v1alpha1\nkind: ImageContentSourcePolicy\nmetadata: {name: a}\nspec: {repositoryDigestMirrors: [{source: b.example, mirrors: [m.example], mirrorSourcePolicy: NeverContactSource}]}\n", want: "RND063:4"},
		{name: "something else", file: "kind: ConfigMap\n", want: "RND063:0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := told(lintOpenShift("f.yaml", []byte(tt.file))); got != tt.want && !strings.HasPrefix(got, tt.want+" ") || tt.want == "" && got != "" {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	t.Run("schemas", func(t *testing.T) {
		judges := openShiftJudges(t)
		for _, tt := range tests {
			var object map[string]any
			first, _, _ := strings.Cut(tt.file, "---\n")
			fromYAML(t, tt.name, []byte(first), &object)
			j, ours := judges[fmt.Sprint(object["kind"])]
			if !ours {
				continue
			}
			if why := j.refuses(object); (why != "") != tt.schema {
				t.Errorf("%s: the schema says %q", tt.name, why)
			}
		}
	})
}

// told gives code:line of each problem, joined by blanks.
func told(ps mirror.Problems) string {
	var all []string
	for _, p := range ps {
		all = append(all, fmt.Sprintf("%s:%d", p.Code, p.Where.Line))
	}
	return strings.Join(all, " ")
}

func TestOpenShift_RealMirrorSetsAreReadWithoutLoss(t *testing.T) {
	name := filepath.Join(realdata(t, "openshift"), "idms-oc-mirror-docs.yaml")
	data := read(t, name)
	if got := KindOf(name, data); !slices.Contains(got, "openshift") {
		t.Errorf("it is taken for %v", got)
	}
	if err := lintOpenShift(name, data).Err(); err != nil {
		t.Error(err)
	}
	sets, _ := readMirrorSets(name, data)
	got := resolveMirrors(sets[0].rules, "quay.io/openshift-release-dev/ocp-release")
	if !slices.Equal(got, []string{"registry.example.com/openshift-release-dev/ocp-release"}) {
		t.Errorf("got %v", got)
	}
}
