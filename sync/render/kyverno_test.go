package render

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

// policyDoc is a ClusterPolicy as an API server hands it to Kyverno.
type policyDoc struct {
	Kind string
	Spec struct {
		FailurePolicy string
		Rules         []struct {
			Name          string
			Preconditions struct{ All []policyCondition }
			Mutate        struct {
				Foreach []struct {
					List                string
					Preconditions       struct{ All []policyCondition }
					PatchStrategicMerge struct {
						Spec map[string][]struct{ Name, Image string }
					}
				}
			}
		}
	}
}

type policyCondition struct {
	Key      string
	Operator string
	Value    any
}

var jmespathCall = regexp.MustCompile(`^\{\{ (regex_match|regex_replace_all)\('([^'\\]*)', element\.image(?:, '([^'\\]*)')?\) \}\}$`)

var compiled = map[string]*regexp.Regexp{}

// evaluated is what Kyverno makes of one of the two functions that the policy uses, for an image.
func evaluated(t *testing.T, expression, image string) string {
	t.Helper()
	call := jmespathCall.FindStringSubmatch(expression)
	if call == nil {
		t.Fatalf("not an expression of ours: %s", expression)
	}
	re := compiled[call[2]]
	if re == nil {
		re = regexp.MustCompile(call[2])
		compiled[call[2]] = re
	}
	if call[1] == "regex_match" {
		return fmt.Sprint(re.MatchString(image))
	}
	return re.ReplaceAllString(image, call[3])
}

// admitted gives what a policy makes of the images of a Pod, by list. Older releases show every foreach the Pod as it
// came, newer ones as the foreach before left it.
func admitted(t *testing.T, policy policyDoc, pod map[string][]string, newer bool) map[string][]string {
	t.Helper()
	after := map[string][]string{}
	for list, images := range pod {
		after[list] = slices.Clone(images)
	}
	for _, rule := range policy.Spec.Rules {
		for _, each := range rule.Mutate.Foreach {
			list := strings.TrimPrefix(each.List, "request.object.spec.")
			if len(pod[list]) == 0 {
				t.Fatalf("rule %s goes through %s", rule.Name, each.List)
			}
			patch := each.PatchStrategicMerge.Spec[list]
			if len(patch) != 1 || patch[0].Name != "{{ element.name }}" {
				t.Fatalf("rule %s patches %+v", rule.Name, each.PatchStrategicMerge)
			}
			for n := range pod[list] {
				element := pod[list][n]
				if newer {
					element = after[list][n]
				}
				if !slices.ContainsFunc(each.Preconditions.All, func(c policyCondition) bool { return evaluated(t, c.Key, element) != fmt.Sprint(c.Value) }) {
					after[list][n] = evaluated(t, patch[0].Image, element)
				}
			}
		}
	}
	return after
}

func policyOf(t *testing.T, files mirror.Files) policyDoc {
	t.Helper()
	var policy policyDoc
	fromYAML(t, kyvernoFile, files[kyvernoFile], &policy)
	var names []string
	for _, rule := range policy.Spec.Rules {
		names = append(names, rule.Name)
		if got := rule.Preconditions.All[1].Key; !strings.Contains(got, "request.object.spec."+podLists[len(names)-1]+"[]") {
			t.Errorf("rule %s asks %s", rule.Name, got)
		}
	}
	if policy.Kind != "ClusterPolicy" || len(names) != 3 {
		t.Fatalf("kind %s, rules %v", policy.Kind, names)
	}
	return policy
}

func TestKyverno_EverySpellingEndsAtTheLocalRegistryAndStaysThere(t *testing.T) {
	for name, f := range map[string]sixtyFleet{"set": sixty(t, mirror.LayoutPath, "kyverno: {}"), "consumer": sixtyConsumer(t, "kyverno: {}")} {
		policy := policyOf(t, f.rendered(t))
		want := map[string]string{}
		for upstream, lies := range f.lies() {
			names := spellings(upstream)
			if upstream.Host == "docker.io" {
				names = append(names, "registry-1.docker.io/"+upstream.Repository, "Docker.io:443/"+upstream.Repository)
			}
			for _, spelled := range names {
				for _, rest := range []string{":" + upstream.Tag, "@" + upstream.Digest.String(), ":" + upstream.Tag + "@" + upstream.Digest.String()} {
					if !strings.HasPrefix(rest, ":@") && rest != ":" {
						want[spelled+rest] = lies.Name() + rest
					}
				}
			}
		}
		for _, image := range []string{"localhost/library/nginx:1", "localhost:5000/a/b", "other.example/docker.io/nginx", "ghcrXio/a/b:1", "Upper/case", "registry.k8s.io.evil.example/pause"} {
			want[image] = image
		}
		var images []string
		for image := range want {
			images = append(images, image)
		}
		pod := map[string][]string{"containers": images, "initContainers": images, "ephemeralContainers": images}
		for _, newer := range []bool{false, true} {
			after := admitted(t, policy, pod, newer)
			again := admitted(t, policy, after, newer)
			for _, list := range podLists {
				for n, image := range images {
					if got := after[list][n]; got != want[image] {
						t.Errorf("%s: %s: %s becomes %s, want %s", name, list, image, got, want[image])
					}
					if got := again[list][n]; got != after[list][n] {
						t.Errorf("%s: %s: an update makes %s of %s", name, list, got, after[list][n])
					}
				}
			}
		}
	}
}

// A cluster that runs several sets has several places for one host: each image is led to where it lies, and what lies in
// two places to the first.
func TestKyverno_OneHostInSeveralPlaces(t *testing.T) {
	digest := func(text string) string { return "@" + mirror.DigestOf([]byte(text)).String() }
	at := func(stage mirror.Stage, images ...string) part {
		p := part{set: mirror.Set{Name: string(stage), Layout: mirror.LayoutPath, Stages: mirror.Stages{stage}}, name: stage, standing: mirror.Standing{}}
		for n, text := range images {
			r, err := mirror.ParseReference(text)
			if err != nil {
				t.Fatal(err)
			}
			p.standing.Put(fmt.Sprint(n), mirror.Line{Image: r, Proven: true})
		}
		return p
	}
	s := scene{local: local, consumer: "edge", parts: []part{
		at("one", "nginx:1"+digest("1"), "quay.io/a/b:1"+digest("ab"), "team/x:1"+digest("x")),
		at("two", "nginx:1"+digest("1"), "nginx:2"+digest("2"), "redis:7"+digest("7"), "team/y:1"+digest("y"), "quay.io/a/c:1"+digest("ac")),
		at("three", "nginx:3.0"+digest("3"), "redis:7"+digest("7"), "redis:8"+digest("8"), "quay.io/a/c:1"+digest("moved")),
	}}
	files := kyvernoFiles(s, mirror.Node{}).files
	if ps := append(proveKyverno(s, mirror.Node{}, files), lintKyverno("f", files[kyvernoFile])...); len(ps) > 0 {
		t.Fatal(ps.Err())
	}
	want := map[string]string{
		"nginx:1": "one/docker.io/library/nginx:1", "nginx": "one/docker.io/library/nginx", "nginx:2": "two/docker.io/library/nginx:2",
		"docker.io/nginx:3.0": "three/docker.io/library/nginx:3.0", "library/nginx" + digest("3"): "three/docker.io/library/nginx" + digest("3"),
		"nginx:1" + digest("2"): "two/docker.io/library/nginx:1" + digest("2"), "redis:7": "two/docker.io/library/redis:7", "redis:8": "three/docker.io/library/redis:8",
		"team/x": "one/docker.io/team/x", "team/y:9": "two/docker.io/team/y:9", "docker.io/team/z": "one/docker.io/team/z",
		"quay.io/a/b:1": "one/quay.io/a/b:1", "quay.io/a/c:1": "two/quay.io/a/c:1", "quay.io/a/c" + digest("moved"): "three/quay.io/a/c" + digest("moved"), "quay.io/a/cc:1": "one/quay.io/a/cc:1",
	}
	var images []string
	for image := range want {
		images = append(images, image)
	}
	for _, newer := range []bool{false, true} {
		after := admitted(t, policyOf(t, files), map[string][]string{"containers": images, "initContainers": images, "ephemeralContainers": images}, newer)
		for n, image := range images {
			if got := after["containers"][n]; got != "r.example/mirror/"+want[image] {
				t.Errorf("%s becomes %s, want %s", image, got, want[image])
			}
		}
	}
}

func TestKyverno_ALocalRegistryThatIsAnUpstreamIsRefused(t *testing.T) {
	f := sixty(t, mirror.LayoutPath, "kyverno: {}")
	here := sixtyLocal
	here.Host = "quay.io"
	r := Files(here, f.sets[0], f.records["main"], mirror.Plan{}, f.files)
	if len(r.Files) > 0 || len(r.Kept) == 0 || r.Kept[0].Reason.Code != mirror.Misread {
		t.Errorf("%d files, kept %+v", len(r.Files), r.Kept)
	}
}

const policyHead = "apiVersion: kyverno.io/v1\nkind: ClusterPolicy\nmetadata: {name: a}\nspec:\n  rules:\n"

// policyWith has one expression for all lists of containers; it stands in line 8, 11 and 14.
func policyWith(pattern, to string) string {
	var b strings.Builder
	b.WriteString(policyHead)
	for _, list := range podLists {
		fmt.Fprintf(&b, "  - mutate:\n      foreach:\n      - {list: request.object.spec.%s, patchStrategicMerge: {spec: {%s: [{name: '{{ element.name }}', image: \"{{ regex_replace_all('%s', element.image, '%s') }}\"}]}}}\n", list, list, pattern, to)
	}
	return b.String()
}

func TestKyverno_LintTellsWhatAnExpressionWouldDo(t *testing.T) {
	three := func(code string) string { return code + ":8 " + code + ":11 " + code + ":14" }
	tests := []struct{ name, file, want, says string }{
		{name: "fine", file: policyWith("^docker[.]io/", "m.example/docker.io/")},
		{name: "fine with a rest", file: policyWith("^ghcr[.]io/(.*)$", "m.example/$1")},
		{name: "not anchored", file: policyWith("docker[.]io/", "m.example/"), want: three("RND067"), says: "inside of an image"},
		{name: "dots", file: policyWith("^docker.io/", "m.example/"), want: three("RND067"), says: "any character"},
		{name: "no expression", file: policyWith("^docker[.]io/(", "m.example/"), want: three("RND067"), says: "cannot read"},
		{name: "loses the digest", file: policyWith("^docker[.]io/([^@]*)@?.*$", "m.example/$1"), want: three("RND067"), says: "becomes m.example/a/b:1.2"},
		{name: "again", file: policyWith("^(?:m[.]example/)?", "m.example/x/"), want: three("RND067"), says: "at the next update"},
		{name: "hosts with a dash", file: policyWith("^(?:[a-z0-9]+[.])+[a-z0-9]+/", "m.example/"), want: three("RND067"), says: "probe-x.example"},
		{name: "hosts with a port", file: policyWith("^(?:[a-z0-9-]+[.])+[a-z0-9]+/", "m.example/"), want: three("RND067"), says: "probe.example:5000"},
		{name: "one list", file: policyHead + "  - mutate:\n      foreach:\n      - list: request.object.spec.containers\n        patchStrategicMerge: {spec: {containers: [{image: \"{{ regex_replace_all('^docker[.]io/', '{{element.image}}', 'm.example/') }}\"}]}}\n", want: "RND068:5 RND068:5", says: "initContainers"},
		{name: "a patch of text", file: policyHead + "  - mutate:\n      foreach:\n      - list: request.object.spec.containers\n        patchesJson6902: |-\n          - op: replace\n            path: /spec/containers/{{elementIndex}}/image\n            value: \"{{ regex_replace_all('docker[.]io/', element.image, 'm.example/') }}\"\n", want: "RND067:12 RND068:5 RND068:5", says: "inside of an image"},
		{name: "a policy for something else", file: policyHead + "  - validate: {message: no}\n"},
		{name: "no policy", file: "kind: ConfigMap\n", want: "RND068:0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ps := lintKyverno("f.yaml", []byte(tt.file))
			if got := told(ps); got != tt.want {
				t.Errorf("got %q, want %q: %v", got, tt.want, ps.Err())
			}
			if len(ps) > 0 && !strings.Contains(ps[0].What, tt.says) {
				t.Errorf("it says %q, want %q", ps[0].What, tt.says)
			}
		})
	}
}

// The public sample takes hosts with a dash or a port for repositories and has no rule for debug containers.
func TestKyverno_TheRealSampleIsRefusedWithItsPlace(t *testing.T) {
	name := filepath.Join(realdata(t, "kyverno"), "replace-image-registry.yaml")
	data := read(t, name)
	if got := KindOf(name, data); !slices.Contains(got, "kyverno") {
		t.Errorf("it is taken for %v", got)
	}
	ps := lintKyverno(name, data)
	if got := told(ps); got != "RND067:30 RND067:48 RND068:16" {
		t.Errorf("got %s: %v", got, ps.Err())
	}
}
