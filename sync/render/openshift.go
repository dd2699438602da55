package render

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

func init() {
	register("openshift", kind{reach: forBoth, check: checkOpenShift, files: openShiftFiles, options: openShiftDefaults,
		proof: proveOpenShift, reads: readsOpenShift, lint: lintOpenShift,
		about: "ImageDigestMirrorSet and ImageTagMirrorSet of OpenShift (or the older ImageContentSourcePolicy), which make its nodes ask the local registry; for layout path."})
}

// The files of kind openshift. A pull by digest never reads tag mirrors and a pull by tag never digest mirrors, so
// both are always written; the older kind has both rules' place and knows digests only.
const (
	digestMirrorsFile = "image-digest-mirrors.yaml"
	tagMirrorsFile    = "image-tag-mirrors.yaml"
	contentPolicyFile = "image-content-source-policy.yaml"
)

// sourceScope is what one rule of a mirror set covers.
type sourceScope string

const (
	byHost       sourceScope = "host"
	byRepository sourceScope = "repository"
)

// UnmarshalText accepts host and repository.
func (s *sourceScope) UnmarshalText(b []byte) error {
	switch sourceScope(b) {
	case byHost, byRepository:
		*s = sourceScope(b)
		return nil
	}
	return mirror.UnknownWord{Kind: "scope", Word: string(b), Known: []string{string(byHost), string(byRepository)}}
}

// openShiftOptions are the options of kind openshift.
type openShiftOptions struct {
	Name     string      `yaml:"name" jsonschema:"example=poundlock" jsonschema_description:"Name of the objects, which belong to the whole cluster; poundlock- with the set and the stage, or with the consumer, when it is left out."`
	Scope    sourceScope `yaml:"scope" jsonschema:"enum=host,enum=repository" jsonschema_description:"What one rule covers: an upstream host with everything in it, or one repository. Each change of the rules may drain and restart nodes; those by host change seldom."`
	Fallback bool        `yaml:"fallback" jsonschema_description:"Lets a node ask the upstream when the local registry does not answer (AllowContactingSource); otherwise it never does (NeverContactSource)."`
	ICSP     bool        `yaml:"icsp" jsonschema_description:"Writes the ImageContentSourcePolicy of OpenShift before 4.13 instead of the two mirror sets, which a cluster must not have beside it. It knows digests only and cannot forbid the upstream, so it wants fallback: true."`
	Where    mirror.Position
}

var openShiftDefaults = openShiftOptions{Scope: byHost}

func openShiftOf(options mirror.Node) (openShiftOptions, mirror.Problems) {
	o := openShiftDefaults
	ps := options.DecodeAs("render.openshift", &o)
	return o, ps
}

func checkOpenShift(r request) mirror.Problems {
	o, ps := openShiftOf(r.options)
	if len(ps) > 0 {
		return ps
	}
	if name := clusterName(o.Name, r.consumer, r.parts); !objectName.MatchString(name) {
		where := r.where
		if o.Name != "" {
			where = r.options.Key("name").Where()
		}
		ps.Add("RND060", where, "write name: with lower-case letters, digits, . and -", "render.openshift: %q is no name of an object", name)
	}
	if o.ICSP && !o.Fallback {
		ps.Add("RND061", r.options.Key("icsp").Where(), "write fallback: true beside it, or leave icsp out from OpenShift 4.13 on",
			"render.openshift.icsp: an ImageContentSourcePolicy cannot keep nodes from asking the upstream")
	}
	return append(ps, r.resolvesTags("openshift")...)
}

// clusterName gives the name of objects of the whole cluster: what is given, else one of the consumer, or of the set and the
// stage. They have no namespace, so those of two sets or stages must differ.
func clusterName(given, consumer string, parts []part) string {
	name := "poundlock-" + consumer
	switch {
	case given != "":
		return given
	case consumer == "":
		name += parts[0].set.Name + "-" + string(parts[0].name)
	}
	return strings.ReplaceAll(name, "_", "-")
}

// mirrorRule is one rule of a mirror set: what lies below source is looked for below each mirror, in order.
type mirrorRule struct {
	source  string
	mirrors []string
	policy  string // "" is AllowContactingSource
	where   mirror.Node
}

const (
	neverContact = "NeverContactSource"
	allowContact = "AllowContactingSource"
)

// rules gives the rules of a scene, sorted by source. None is for the local registry itself: NeverContactSource would block
// every image that names it already, such as those of an override.
func (o openShiftOptions) rules(s scene) []mirrorRule {
	var all []mirrorRule
	if o.Scope == byHost {
		for _, h := range s.mirrored() {
			r := mirrorRule{source: h.name}
			for _, p := range h.paths {
				r.mirrors = append(r.mirrors, path.Join(s.local.Host, p))
			}
			all = append(all, r)
		}
		return all
	}
	for _, p := range s.parts {
		for _, line := range p.standing {
			if s.isOwn(line.Image.Host) {
				continue
			}
			lies := s.local.Repository(p.set, p.name, line.Image).Name()
			i := slices.IndexFunc(all, func(r mirrorRule) bool { return r.source == line.Image.Name() })
			switch {
			case i < 0:
				all = append(all, mirrorRule{source: line.Image.Name(), mirrors: []string{lies}})
			case !slices.Contains(all[i].mirrors, lies):
				all[i].mirrors = append(all[i].mirrors, lies)
			}
		}
	}
	slices.SortFunc(all, func(a, b mirrorRule) int { return cmp.Compare(a.source, b.source) })
	return all
}

// mirrorKind is one of the three kinds of objects that OpenShift makes registries.conf of.
type mirrorKind struct {
	kind, version, list string
	policy              bool // its rules say whether the source may be asked
}

var mirrorKinds = []mirrorKind{
	{"ImageDigestMirrorSet", "config.openshift.io/v1", "imageDigestMirrors", true},
	{"ImageTagMirrorSet", "config.openshift.io/v1", "imageTagMirrors", true},
	{"ImageContentSourcePolicy", "operator.openshift.io/v1alpha1", "repositoryDigestMirrors", false},
}

func openShiftFiles(s scene, options mirror.Node) overrides {
	o, _ := openShiftOf(options)
	name, rules := clusterName(o.Name, s.consumer, s.parts), o.rules(s)
	all := overrides{files: mirror.Files{}, notes: o.notes(s)}
	if len(rules) == 0 {
		return all // the API server takes no object without rules
	}
	write := func(file string, k mirrorKind) {
		all.files[file] = mirrorObject(k, name, rules, o.Fallback)
		all.resources = append(all.resources, file)
	}
	if o.ICSP {
		write(contentPolicyFile, mirrorKinds[2])
		return all
	}
	write(digestMirrorsFile, mirrorKinds[0])
	write(tagMirrorsFile, mirrorKinds[1])
	return all
}

func mirrorObject(k mirrorKind, name string, rules []mirrorRule, fallback bool) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "apiVersion: %s\nkind: %s\nmetadata:\n  name: %s\nspec:\n  %s:\n", k.version, k.kind, strconv.Quote(name), k.list)
	for _, r := range rules {
		fmt.Fprintf(&b, "    - source: %s\n      mirrors:\n", strconv.Quote(r.source))
		for _, m := range r.mirrors {
			fmt.Fprintf(&b, "        - %s\n", strconv.Quote(m))
		}
		// Left out it means that the source is asked, so it is always said.
		if k.policy {
			policy := neverContact
			if fallback {
				policy = allowContact
			}
			fmt.Fprintf(&b, "      mirrorSourcePolicy: %s\n", policy)
		}
	}
	return b.Bytes()
}

// platformHosts are the hosts that OpenShift's own images come from.
var platformHosts = []string{"quay.io", "registry.redhat.io"}

func (o openShiftOptions) notes(s scene) (notes []string) {
	if o.Fallback {
		notes = append(notes, "nodes ask the upstream for what the local registry does not answer")
	}
	if o.ICSP {
		notes = append(notes, "an ImageContentSourcePolicy covers pulls by digest only; delete it when the cluster has mirror sets")
	}
	if !o.Fallback && o.Scope == byHost {
		for _, h := range s.hosts() {
			if slices.Contains(platformHosts, h.name) {
				notes = append(notes, fmt.Sprintf("nothing of %s is fetched from there any more, OpenShift's own images neither: mirror them with rules of their own, or write scope: repository", h.name))
			}
		}
	}
	if s.namesOwn() {
		notes = append(notes, s.ownNote())
	}
	if s.local.Insecure {
		notes = append(notes, fmt.Sprintf("%s speaks plain HTTP: name it in insecureRegistries of image.config.openshift.io/cluster", s.local.Host))
	}
	if s.local.Login {
		notes = append(notes, fmt.Sprintf("%s wants a login: add one to the pull secret of the cluster (openshift-config/pull-secret), pull secrets of a namespace are not sent to a mirror", s.local.Host))
	}
	return notes
}

// proveOpenShift reads the files back as the nodes' registries.conf is made of them: the rule with the longest source
// that an image lies in counts, and one of its mirrors has to be where the content lies.
func proveOpenShift(s scene, options mirror.Node, files mirror.Files) (ps mirror.Problems) {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		sets, problems := readMirrorSets(name, files[name])
		ps = append(ps, problems...)
		for _, set := range sets {
			for _, i := range s.images() {
				if !s.isOwn(i.upstream.Host) && !slices.Contains(resolveMirrors(set.rules, i.upstream.Name()), i.local.Name()) {
					ps.Add("RND062", mirror.Position{File: name}, "see paths: of the set", "%s does not lead from %s to %s", set.kind, i.upstream.Name(), i.local.Name())
				}
			}
		}
	}
	return ps
}

// resolveMirrors gives the repositories that a node asks for an upstream repository, in order.
func resolveMirrors(rules []mirrorRule, repository string) (asked []string) {
	best := ""
	for _, r := range rules {
		if rest, in := strings.CutPrefix(repository, r.source); in && (rest == "" || rest[0] == '/') && len(r.source) > len(best) {
			best, asked = r.source, nil
			for _, m := range r.mirrors {
				asked = append(asked, m+rest)
			}
		}
	}
	return asked
}
