package render

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/charts"
	"github.com/poundlock/poundlock/internal/mirror"
)

func init() {
	register("helm", kind{reach: forSets, check: checkHelm, files: helmFiles, options: helmOptions{}, proof: proveHelm,
		about: "Values for any Helm chart: you say which value names which entry, and in which form."})
}

// helmFile holds the values, for helm upgrade --values.
const helmFile = "helm-values.yaml"

// helmOptions are the options of kind helm.
type helmOptions struct {
	Images      map[string]helmImage `yaml:"images,required" jsonschema_description:"What names an image in the chart's values, by its path, as in controller.image or $.sidecars['log.shipper'].image."`
	Chart       string               `yaml:"chart" jsonschema:"example=charts/ingress-nginx.tgz" jsonschema_description:"The chart that paths and values are checked with, relative to desired/: a folder, a .tgz, or its values.yaml with values.schema.json beside; nothing is checked when it is left out."`
	Namespace   string               `yaml:"namespace" jsonschema:"example=web" jsonschema_description:"Namespace of the release, for the pull secret; whoever applies it decides when it is left out."`
	PullSecret  *pullSecretOptions   `yaml:"pullSecret" jsonschema_description:"The pull secret of the consumers; the paths of pullSecrets name it."`
	PullSecrets []string             `yaml:"pullSecrets" jsonschema:"example=imagePullSecrets" jsonschema_description:"Paths of values that take a list of pull secrets, each with its name."`
	Where       mirror.Position
}

// helmImage is what names one image.
type helmImage struct {
	Entry string            `yaml:"entry,required" jsonschema:"example=docker.io/library/nginx:*" jsonschema_description:"The entry of the set, or a glob that matches one entry only."`
	Form  helmForm          `yaml:"form,required" jsonschema:"enum=image,enum=repository+tag,enum=repository+tag+digest,enum=registry+repository+tag,enum=registry+repository+tag+digest" jsonschema_description:"How the chart takes it: one text, or a mapping with these keys. Without a key for the registry the repository begins with it; without one for the digest the tag ends with it."`
	Keys  map[string]string `yaml:"keys" jsonschema_description:"The chart's own names of these keys, where they are others, as in repository: image."`
	Where mirror.Position
}

func helmOf(options mirror.Node) (helmOptions, mirror.Problems) {
	var o helmOptions
	ps := options.DecodeAs("render.helm", &o)
	if len(ps) > 0 {
		return o, ps
	}
	if len(o.Images) == 0 {
		ps.Add("RND039", options.KeyWhere("images"), "name the values of the chart that name images", "render.helm.images is empty")
	}
	if o.Namespace != "" && !namespaceName.MatchString(o.Namespace) {
		ps.Add("RND010", options.Key("namespace").Where(), "use lower-case letters, digits and -", "render.helm.namespace: %q is no namespace", o.Namespace)
	}
	if len(o.PullSecrets) > 0 && o.PullSecret == nil {
		ps.Add("RND039", options.KeyWhere("pullSecrets"), "add pullSecret: {name: <secret>}", "render.helm.pullSecrets: there is no pull secret to name")
	}
	return o, ps
}

func checkHelm(r request) mirror.Problems {
	o, ps := helmOf(r.options)
	if len(ps) > 0 {
		return ps
	}
	ps = append(ps, o.PullSecret.check("render.helm.pullSecret", r)...)
	set := r.parts[0].set
	var names []string
	for _, e := range set.Entries {
		names = append(names, e.Name)
	}
	tree := values{}
	for _, at := range slices.Sorted(maps.Keys(o.Images)) {
		where, image := r.options.Key("images").KeyWhere(at), o.Images[at]
		ps = append(ps, placeValue(tree, at, where)...)
		if _, one := image.match(names); !one && len(names) > 0 {
			ps.Add("RND039", r.options.Find("images", at, "entry").Where(), nearOf(image.Entry, names), "render.helm.images.%s: %q is not one entry of the set", at, image.Entry)
		}
		for _, key := range slices.Sorted(maps.Keys(image.Keys)) {
			if parts := strings.Split(string(image.Form), "+"); !slices.Contains(parts, key) || image.Form == "image" || image.Keys[key] == "" {
				ps.Add("RND039", r.options.Find("images", at, "keys").KeyWhere(key), "rename keys of the form "+string(image.Form), "render.helm.images.%s: the form %s has no key %q to rename", at, image.Form, key)
			}
		}
	}
	for i, at := range o.PullSecrets {
		ps = append(ps, placeValue(tree, at, r.options.Find("pullSecrets", fmt.Sprint(i)).Where())...)
	}
	if o.Chart == "" {
		return ps
	}
	return append(ps, o.checkChart(r)...)
}

// placeValue finds paths that are none, or that stand in the way of each other.
func placeValue(tree values, at string, where mirror.Position) (ps mirror.Problems) {
	switch keys, err := valuePath(at); {
	case err != nil:
		ps.Add("RND039", where, "write keys with dots between them, as in controller.image", "render.helm: %q is no path of a value: %v", at, err)
	case !put(tree, keys, ""):
		ps.Add("RND039", where, "keep one of the two", "render.helm: the path %q is there twice, or lies inside another", at)
	}
	return ps
}

func nearOf(entry string, names []string) string {
	if near := mirror.Nearest(entry, names); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "entries look like " + strings.Join(names[:min(3, len(names))], ", ")
}

// checkChart finds values that the chart does not have: Helm takes them without a word, and the image stays upstream.
func (o helmOptions) checkChart(r request) (ps mirror.Problems) {
	c, err := chartAt(r.files, o.Chart)
	if err != nil {
		ps.Add("RND031", r.options.Key("chart").Where(), "name the chart, or its values.yaml, relative to desired/", "render.helm: the chart %s cannot be read: %v", path.Join("desired", o.Chart), err)
		return ps
	}
	defaults := c.defaults
	for _, at := range slices.Sorted(maps.Keys(o.Images)) {
		keys, err := valuePath(at)
		if err != nil {
			continue // told already
		}
		if parent, _ := lookup(defaults, keys[:len(keys)-1]).(values); parent != nil {
			if _, there := parent[keys[len(keys)-1]]; there {
				continue
			}
			ps.Add("RND039", r.options.Key("images").KeyWhere(at), mirror.Suggest(keys[len(keys)-1], slices.Sorted(maps.Keys(parent))), "render.helm: the chart has no value %q", at)
		} else {
			ps.Add("RND039", r.options.Key("images").KeyWhere(at), mirror.Suggest(keys[0], slices.Sorted(maps.Keys(defaults))), "render.helm: the chart has no value %q", at)
		}
		ps[len(ps)-1].Why = "Helm takes a value that no template reads without a word, and the image stays upstream"
	}
	return ps
}

// helmFiles writes the values that are asked for, and notes entries that none of them names.
func helmFiles(s scene, options mirror.Node) overrides {
	o, _ := helmOf(options)
	tree, places, names := values{}, map[string]mirror.Reference{}, []string{}
	for _, i := range s.images() {
		places[i.entry], names = i.local, append(names, i.entry)
	}
	named := map[string]bool{}
	for at, image := range o.Images {
		if entry, one := image.match(names); one {
			keys, _ := valuePath(at)
			put(tree, keys, image.value(places[entry]))
			named[entry] = true
		}
	}
	for _, at := range o.PullSecrets {
		keys, _ := valuePath(at)
		put(tree, keys, []any{values{"name": o.PullSecret.Name}})
	}
	all := overrides{files: mirror.Files{helmFile: valuesYAML(tree)}}
	o.PullSecret.addTo(&all, s, o.Namespace)
	for _, entry := range slices.Sorted(slices.Values(names)) {
		if !named[entry] && !strings.HasPrefix(entry, "chart/") {
			all.notes = append(all.notes, entry+" is in the set, and no value of render.helm.images names it")
		}
	}
	return all
}

// proveHelm reads the values back as Helm does: every path has to be the content of its entry in the local registry, and
// the chart's schema, if it is known, has to take them.
func proveHelm(s scene, options mirror.Node, files mirror.Files) (ps mirror.Problems) {
	at := mirror.Position{File: helmFile}
	o, _ := helmOf(options)
	given, err := charts.ReadValues(files[helmFile])
	if err != nil {
		ps.Add("RND038", at, "tell the makers of Poundlock", "the values cannot be read: %v", err)
		return ps
	}
	places, names := map[string]mirror.Reference{}, []string{}
	for _, i := range s.images() {
		places[i.entry], names = i.local, append(names, i.entry)
	}
	for _, name := range slices.Sorted(maps.Keys(o.Images)) {
		image := o.Images[name]
		entry, one := image.match(names)
		if !one {
			ps.Add("RND039", at, "see which entries stand at this stage, and promote the one that is meant", "%s: %q is not one entry that stands here", name, image.Entry)
			continue
		}
		keys, _ := valuePath(name)
		if got, want := fmt.Sprint(lookup(given, keys)), fmt.Sprint(image.value(places[entry])); got != want {
			ps.Add("RND038", at, "tell the makers of Poundlock", "%s reads %s, want %s", name, got, want)
		}
	}
	if o.Chart != "" && s.parts[0].isCurrent() && len(ps) == 0 {
		ps = append(ps, schemaProblems(s.files, o.Chart, files[helmFile])...)
	}
	return ps
}
