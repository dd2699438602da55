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
		about: "ConfigMap that an ElementDeployment names in imagesDigestsConfigMap, with the images of this site; for sets of kind ess."})
}

// elementFile holds the ConfigMap that an ElementDeployment names as imagesDigestsConfigMap.
const elementFile = "images-digests.yaml"

// elementOptions are the options of kind element.
type elementOptions struct {
	Name      string `yaml:"name" jsonschema_description:"Name of the ConfigMap, as the ElementDeployment names it in imagesDigestsConfigMap."`
	Namespace string `yaml:"namespace" jsonschema:"example=ess" jsonschema_description:"Namespace of the ConfigMap, which must be that of the ElementDeployment; whoever applies it decides when it is left out."`
	Where     mirror.Position
}

var elementDefaults = elementOptions{Name: "ess-images"}

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
	if !objectName.MatchString(o.Name) {
		ps.Add("RND010", options.Key("name").Where(), "use lower-case letters, digits, . and -", "render.element.name: %q is no name of a ConfigMap", o.Name)
	}
	if o.Namespace != "" && !namespaceName.MatchString(o.Namespace) {
		ps.Add("RND010", options.Key("namespace").Where(), "use lower-case letters, digits and -", "render.element.namespace: %q is no namespace", o.Namespace)
	}
	return o, ps
}

func checkElement(r request) mirror.Problems {
	_, ps := elementOf(r.options)
	for _, e := range r.parts[0].set.Entries {
		if !elementEntry.MatchString(e.Name) {
			ps.Add("RND011", r.where, "render element from a set whose source is of kind ess", "render.element: entry %q is not component/container", e.Name)
			break
		}
	}
	return ps
}

// elementFiles writes the override ConfigMap. Every entry has all four fields: the operator's generations
// merge an incomplete one with its defaults in three different ways, and each can bring back an upstream
// image. Texts are always quoted, since a tag may look like a number.
func elementFiles(s scene, options mirror.Node) overrides {
	o, _ := elementOf(options)
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
	last := ""
	for _, entry := range entries {
		component, container, _ := strings.Cut(entry, "/")
		if component != last {
			fmt.Fprintf(&b, "    %s:\n", word(component))
			last = component
		}
		image := one.standing[entry].Image
		pointer := s.local.Pointer(one.set, one.name, entry, image)
		tag := image.Tag
		if tag == "" {
			tag = pointer.Tag // the operator wants a tag even where it pulls by digest
		}
		fmt.Fprintf(&b, "      %s:\n", word(container))
		for _, f := range [][2]string{
			{"image_repository_server", pointer.Host}, {"image_repository_path", pointer.Repository},
			{"image_tag", tag}, {"image_digest", image.Digest.String()},
		} {
			fmt.Fprintf(&b, "        %s: %s\n", f[0], strconv.Quote(f[1]))
		}
	}
	return overrides{files: mirror.Files{elementFile: b.Bytes()}, resources: []string{elementFile}}
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
