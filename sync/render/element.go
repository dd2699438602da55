package render

import (
	"bytes"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

func init() {
	register("element", kind{reach: forSets, check: checkElement, files: elementFiles, options: elementDefaults,
		proof: proveElement, reads: readsElement, lint: lintElement,
		about: "ConfigMap that an ElementDeployment names in imagesDigestsConfigMap, with the images of this site; for sets of kind ess."})
}

// elementFile holds the ConfigMap that an ElementDeployment names as imagesDigestsConfigMap.
const elementFile = "images-digests.yaml"

// elementOptions are the options of kind element.
type elementOptions struct {
	Name       string             `yaml:"name" jsonschema_description:"Name of the ConfigMap, as the ElementDeployment names it in imagesDigestsConfigMap."`
	Namespace  string             `yaml:"namespace" jsonschema:"example=ess" jsonschema_description:"Namespace of the ConfigMap, which must be that of the ElementDeployment; whoever applies it decides when it is left out."`
	Deployment string             `yaml:"deployment" jsonschema_description:"Name of the ElementDeployment that the patch element-deployment.yaml is for."`
	PullSecret *pullSecretOptions `yaml:"pullSecret" jsonschema_description:"The pull secret of the consumers; the patch names it in dockerSecrets."`
	Where      mirror.Position
}

var elementDefaults = elementOptions{Name: "ess-images", Deployment: "first-element-deployment"}

var (
	objectName    = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$`)
	namespaceName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	elementEntry  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9][A-Za-z0-9_.-]*$`)
)

func elementOf(options mirror.Node) (elementOptions, mirror.Problems) {
	o := elementDefaults
	ps := options.DecodeAs("render.element", &o)
	if len(ps) > 0 {
		return o, ps
	}
	for _, f := range []struct{ key, value, of string }{{"name", o.Name, "a ConfigMap"}, {"deployment", o.Deployment, "an ElementDeployment"}} {
		if !objectName.MatchString(f.value) && !options.Key(f.key).IsZero() {
			ps.Add("RND010", options.Key(f.key).Where(), "use lower-case letters, digits, . and -", "render.element.%s: %q is no name of %s", f.key, f.value, f.of)
		}
	}
	if o.Namespace != "" && !namespaceName.MatchString(o.Namespace) {
		ps.Add("RND010", options.Key("namespace").Where(), "use lower-case letters, digits and -", "render.element.namespace: %q is no namespace", o.Namespace)
	}
	if p := o.PullSecret; p != nil && p.Namespace != "" && p.Namespace != o.Namespace {
		ps.Add("RND012", options.Find("pullSecret", "namespace").Where(), "leave it out, and write the namespace of the ElementDeployment under render.element.namespace",
			"render.element.pullSecret.namespace: %q is not the namespace of the other files", p.Namespace)
		ps[len(ps)-1].Why = "a pod uses only Secrets of its own namespace"
	}
	return o, ps
}

func checkElement(r request) mirror.Problems {
	o, ps := elementOf(r.options)
	if o.PullSecret != nil {
		ps = append(ps, o.PullSecret.check("render.element.pullSecret", r)...)
	}
	for _, e := range r.parts[0].set.Entries {
		if !elementEntry.MatchString(e.Name) {
			ps.Add("RND011", r.where, "render element from a set whose source is of kind ess", "render.element: entry %q is not component/container", e.Name)
			break
		}
	}
	return ps
}

// elementFiles writes the override ConfigMap, the patch that makes an ElementDeployment use it, and the pull secret.
func elementFiles(s scene, options mirror.Node) overrides {
	o, _ := elementOf(options)
	all := overrides{files: mirror.Files{elementFile: elementConfigMap(s, o), deploymentFile: elementPatch(s, o)}, resources: []string{elementFile}}
	o.PullSecret.addTo(&all, s, o.Namespace)
	if o.PullSecret == nil && s.local.Login {
		all.notes = append(all.notes, "the local registry wants a login and no pullSecret is given: the operator adds no pull secret to its pods")
	}
	return all
}

// elementConfigMap writes all four fields of every entry: the operator's generations merge an incomplete one with its
// defaults in three different ways, and each can bring back an upstream image. Texts are always quoted, since a tag may
// look like a number.
func elementConfigMap(s scene, o elementOptions) []byte {
	one := s.parts[0]
	var b bytes.Buffer
	b.WriteString("apiVersion: v1\nkind: ConfigMap\nmetadata:\n")
	fmt.Fprintf(&b, "  name: %s\n", strconv.Quote(o.Name))
	if o.Namespace != "" {
		fmt.Fprintf(&b, "  namespace: %s\n", strconv.Quote(o.Namespace))
	}
	b.WriteString("data:\n  images_digests: |\n")
	// Sorted by component first: a component is written once, with all its containers.
	entries := slices.SortedFunc(maps.Keys(one.standing), func(a, b string) int {
		return slices.Compare(strings.SplitN(a, "/", 2), strings.SplitN(b, "/", 2))
	})
	places := map[string]mirror.Reference{}
	for _, i := range s.images() {
		places[i.entry] = i.local // its tag is there even where upstream has none: the operator wants one
	}
	last := ""
	for _, entry := range entries {
		component, container, _ := strings.Cut(entry, "/")
		if component != last {
			fmt.Fprintf(&b, "    %s:\n", word(component))
			last = component
		}
		fmt.Fprintf(&b, "      %s:\n", word(container))
		for _, f := range elementFields(places[entry]) {
			fmt.Fprintf(&b, "        %s: %s\n", f[0], strconv.Quote(f[1]))
		}
	}
	return b.Bytes()
}

// elementFields gives the fields of a container, as the operator names them, in the order in which they are written.
func elementFields(at mirror.Reference) [][2]string {
	return [][2]string{{"image_repository_server", at.Host}, {"image_repository_path", at.Repository}, {"image_tag", at.Tag}, {"image_digest", at.Digest.String()}}
}

// proveElement reads the ConfigMap back: every entry that stands has to come out as its content in the local registry.
func proveElement(s scene, _ mirror.Node, files mirror.Files) (ps mirror.Problems) {
	root, ps := mirror.ParseDocument(elementFile, files[elementFile])
	if len(ps) > 0 {
		return ps
	}
	tree, ps := root.Find("data", "images_digests").Inner()
	if len(ps) > 0 {
		return ps
	}
	for _, i := range s.images() {
		component, container, _ := strings.Cut(i.entry, "/")
		for _, f := range elementFields(i.local) {
			if got := text(tree.Find(component, container, f[0])); got != f[1] {
				ps.Add("RND018", mirror.Position{File: elementFile}, "tell the makers of Poundlock", "%s: %s reads %q, want %q", i.entry, f[0], got, f[1])
			}
		}
	}
	return ps
}

var bareWord = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]*$`)

// word writes a key: bare where every YAML reader takes it for text.
func word(s string) string {
	switch strings.ToLower(s) {
	case "true", "false", "yes", "no", "on", "off", "null", "y", "n":
		return strconv.Quote(s)
	}
	if bareWord.MatchString(s) {
		return s
	}
	return strconv.Quote(s)
}
