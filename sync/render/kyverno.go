package render

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

func init() {
	register("kyverno", kind{reach: forBoth, check: checkKyverno, files: kyvernoFiles, options: kyvernoOptions{},
		proof: proveKyverno, reads: readsKyverno, lint: lintKyverno,
		about: "A Kyverno ClusterPolicy that puts the local registry into the images of every Pod as it is admitted; for layout path."})
}

const kyvernoFile = "kyverno-images.yaml"

// kyvernoOptions are the options of kind kyverno.
type kyvernoOptions struct {
	Name     string `yaml:"name" jsonschema:"example=poundlock" jsonschema_description:"Name of the ClusterPolicy; poundlock- with the set and the stage, or with the consumer, when it is left out."`
	Fallback bool   `yaml:"fallback" jsonschema_description:"Lets Pods in as they are, with the upstream's images, while Kyverno does not answer (failurePolicy Ignore); otherwise they wait (Fail)."`
	Where    mirror.Position
}

func checkKyverno(r request) mirror.Problems {
	var o kyvernoOptions
	ps := r.options.DecodeAs("render.kyverno", &o)
	if name := clusterName(o.Name, r.consumer, r.parts); len(ps) == 0 && !objectName.MatchString(name) {
		ps.Add("RND060", o.Where, "write name: with lower-case letters, digits, . and -", "render.kyverno: %q is no name of an object", name)
	}
	return append(ps, r.resolvesTags("kyverno")...)
}

// podLists are the lists of containers that a Pod has. kubectl debug adds to the last one in a running Pod.
var podLists = []string{"containers", "initContainers", "ephemeralContainers"}

// kyvernoFiles writes the policy: for each list of containers one rule, for each place where images lie one pattern.
// Which of them runs first never matters, since an image matches one pattern at most and what it becomes matches none:
// Kyverno asks again at every update of a Pod, and its releases differ in whether a pattern sees what the one before it
// did. Nothing is escaped by a backslash, which YAML, JMESPath and the expression would each read in their own way.
func kyvernoFiles(s scene, options mirror.Node) overrides {
	var o kyvernoOptions
	_ = options.DecodeAs("", &o) // checked before
	policy := "Fail"
	all := overrides{files: mirror.Files{}, resources: []string{kyvernoFile}}
	if o.Fallback {
		policy = "Ignore"
		all.notes = append(all.notes, "Pods that are admitted while Kyverno does not answer run the upstream's images")
	}
	if s.local.Login {
		all.notes = append(all.notes, fmt.Sprintf("%s wants a login: Pods need a pull secret for it, in their namespace or at their service account", s.local.Host))
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "apiVersion: kyverno.io/v1\nkind: ClusterPolicy\nmetadata:\n  name: %s\n  annotations:\n", strconv.Quote(clusterName(o.Name, s.consumer, s.parts)))
	// Else Deployments and their like are changed, too, and whoever applies them from Git changes them back.
	fmt.Fprintf(&b, "    pod-policies.kyverno.io/autogen-controllers: none\nspec:\n  background: false\n  failurePolicy: %s\n  rules:\n", policy)
	rules := imageRules(s)
	for _, list := range podLists {
		fmt.Fprintf(&b, "    - name: %s\n      match:\n        any:\n          - resources:\n              kinds: [Pod]\n", strings.ToLower(list))
		fmt.Fprintf(&b, "      preconditions:\n        all:\n          - key: \"{{ request.operation || 'BACKGROUND' }}\"\n            operator: AnyIn\n            value: [CREATE, UPDATE]\n")
		fmt.Fprintf(&b, "          - key: \"{{ request.object.spec.%s[] || `[]` | length(@) }}\"\n            operator: GreaterThanOrEquals\n            value: 1\n", list)
		b.WriteString("      mutate:\n        foreach:\n")
		for _, r := range rules {
			r.write(&b, list)
		}
	}
	all.files[kyvernoFile] = b.Bytes()
	return all
}

// imageRule says what images become that match one expression and none of the others.
type imageRule struct {
	match string
	not   []string
	to    string
}

func (r imageRule) write(b *bytes.Buffer, list string) {
	condition := func(expression string, is bool) {
		fmt.Fprintf(b, "                - key: \"{{ regex_match('%s', element.image) }}\"\n                  operator: Equals\n                  value: %v\n", expression, is)
	}
	fmt.Fprintf(b, "          - list: request.object.spec.%s\n            preconditions:\n              all:\n", list)
	condition(r.match, true)
	for _, not := range r.not {
		condition(not, false)
	}
	fmt.Fprintf(b, "            patchStrategicMerge:\n              spec:\n                %s:\n                  - name: \"{{ element.name }}\"\n", list)
	fmt.Fprintf(b, "                    image: \"{{ regex_replace_all('%s', element.image, '%s') }}\"\n", r.match, r.to)
}

// proveKyverno reads the policy back and evaluates it for every spelling of every image: one pattern of each list may match
// it, which has to lead to where the content lies, and from there nothing leads on.
func proveKyverno(s scene, _ mirror.Node, files mirror.Files) (ps mirror.Problems) {
	lies := map[string][]string{}
	for _, i := range s.images() {
		content := i.upstream.AtDigest(i.upstream.Digest).String()
		lies[content] = append(lies[content], i.local.Name())
	}
	for name, data := range files {
		policies, problems := readPolicies(name, data)
		if ps = append(ps, problems...); len(ps) > 0 {
			return ps
		}
		for n, list := range podLists {
			patches := policies[0].of(list)
			if n > 0 && samePatches(patches, policies[0].of(podLists[0])) {
				continue
			}
			for _, i := range s.images() {
				places := lies[i.upstream.AtDigest(i.upstream.Digest).String()]
				rest := ":any@" + i.upstream.Digest.String() // the tag does not matter where a digest is written
				for _, spelled := range spellings(i.upstream) {
					end, patched := follow(patches, spelled+rest)
					if again, more := follow(patches, end); patched != 1 || more != 0 || again != end || !slices.Contains(places, strings.TrimSuffix(end, rest)) {
						ps.Add("RND069", mirror.Position{File: name}, "leave kyverno out, or give the upstream another path in paths:", "%s: %s becomes %s, it lies at %s", list, spelled+rest, end, places[0])
						return ps
					}
				}
			}
		}
	}
	return ps
}

// follow gives what an image becomes by all patches that apply to it as it came, and how many they are.
func follow(patches []imagePatch, image string) (end string, n int) {
	end = image
	for _, p := range patches {
		if p.applies(image) {
			end, n = p.apply(image), n+1
		}
	}
	return end, n
}

// samePatches says whether two lists are treated alike, so that one need not be judged again.
func samePatches(a, b []imagePatch) bool {
	return slices.EqualFunc(a, b, func(a, b imagePatch) bool {
		return a.to == b.to && a.replace.String() == b.replace.String() && slices.EqualFunc(a.when, b.when, func(a, b imageCondition) bool {
			return a.is == b.is && a.match.String() == b.match.String()
		})
	})
}
