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
	if name := (openShiftOptions{Name: o.Name}).name(r.consumer, r.parts); len(ps) == 0 && !objectName.MatchString(name) {
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
	fmt.Fprintf(&b, "apiVersion: kyverno.io/v1\nkind: ClusterPolicy\nmetadata:\n  name: %s\n  annotations:\n", strconv.Quote(openShiftOptions{Name: o.Name}.name(s.consumer, s.parts)))
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

// imageRules gives the rules of a scene by upstream host. Where a host has several places, all of it leads to the first
// but for what stands in a later one only.
func imageRules(s scene) (all []imageRule) {
	for _, h := range s.hosts() {
		var later []string
		for i := len(h.paths) - 1; i >= 0; i-- {
			to := s.local.Host + "/" + h.paths[i] + "/"
			rules := hostRules(h.name, to)
			if i > 0 {
				rules = placeRules(s, h, i, to)
			}
			for n := range rules {
				rules[n].not = append(rules[n].not, later...)
			}
			for _, r := range rules {
				later = append(later, r.match)
			}
			all = append(all, rules...)
		}
	}
	return all
}

// hubPrefix is how Docker Hub is written where it is written at all.
const hubPrefix = `(?i:(?:index[.]|registry-1[.])?docker[.]io)(?::443)?/`

// hostPrefix is the expression of a host with its slash. Whoever writes the port of https or upper case means the same.
func hostPrefix(host string) string {
	switch {
	case host == "docker.io":
		return hubPrefix
	case strings.Contains(host, ":"):
		return "(?i:" + dots(host) + ")/"
	}
	return "(?i:" + dots(host) + ")(?::443)?/"
}

// dots writes the dots of a name so that they are dots in an expression.
func dots(name string) string { return strings.ReplaceAll(name, ".", "[.]") }

// hostRules lead everything of a host to one place. Docker Hub may be left out of an image: then there is no slash, or no
// dot, colon or capital before the first one, and it is not localhost.
func hostRules(host, to string) []imageRule {
	if host != "docker.io" {
		return []imageRule{{match: "^" + hostPrefix(host), to: to}}
	}
	return []imageRule{
		{match: "^(?:" + hubPrefix + ")?([^/]+)$", to: to + "library/$1"},
		{match: "^" + hubPrefix + "([^/]+/.+)$", to: to + "$1"},
		{match: "^([a-z0-9_-]+/.+)$", not: []string{"^localhost/"}, to: to + "$1"},
	}
}

// placeRules lead what stands in place i of a host, and in none before it, there: by repository, or by tag and digest
// where an earlier place has other versions of the repository.
func placeRules(s scene, h host, i int, to string) (rules []imageRule) {
	before := map[string]map[string]bool{} // repository to what comes after it
	note := func(m map[string]map[string]bool, r mirror.Reference) {
		if m[r.Repository] == nil {
			m[r.Repository] = map[string]bool{}
		}
		m[r.Repository][`(?::[^@]+)?@`+r.Digest.String()] = true
		if r.Tag != "" {
			m[r.Repository][":"+dots(r.Tag)] = true
		}
	}
	here := map[string]map[string]bool{}
	for _, p := range s.parts {
		at := slices.Index(h.paths, s.local.HostPath(p.set, p.name, h.name))
		for _, line := range p.standing {
			switch {
			case line.Image.Host != h.name || at > i:
			case at < i:
				note(before, line.Image)
			default:
				note(here, line.Image)
			}
		}
	}
	var official, others []string
	for repository, versions := range here {
		name := dots(repository)
		rest := `(?:[:@].*)?`
		if taken, shared := before[repository]; shared {
			var own []string
			for version := range versions {
				if !taken[version] {
					own = append(own, version)
				}
			}
			if len(own) == 0 {
				continue
			}
			slices.Sort(own)
			rest = "(?:" + strings.Join(own, "|") + ")"
		}
		if short, ok := strings.CutPrefix(name, "library/"); ok && h.name == "docker.io" && !strings.Contains(short, "/") {
			official = append(official, short+rest)
		} else {
			others = append(others, name+rest)
		}
	}
	slices.Sort(official)
	slices.Sort(others)
	prefix := hostPrefix(h.name)
	if h.name == "docker.io" {
		prefix = "(?:" + hubPrefix + ")?"
	}
	if len(official) > 0 {
		rules = append(rules, imageRule{match: "^" + prefix + "(?:library/)?(" + strings.Join(official, "|") + ")$", to: to + "library/$1"})
	}
	if len(others) > 0 {
		rules = append(rules, imageRule{match: "^" + prefix + "(" + strings.Join(others, "|") + ")$", to: to + "$1"})
	}
	return rules
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
