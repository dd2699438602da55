package sources

import (
	"regexp"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

func init() { register("zarf", readZarf, zarfDefaults) }

// zarfOptions are the options of kind zarf.
type zarfOptions struct {
	Kind      string            `yaml:"kind,required" jsonschema_description:"A zarf.yaml: the images and charts of its components; they are one release and move together."`
	File      string            `yaml:"file,required" jsonschema:"example=app/zarf.yaml" jsonschema_description:"The file, relative to desired/."`
	Flavor    string            `yaml:"flavor" jsonschema:"example=upstream" jsonschema_description:"The flavor that is wanted, where components have one."`
	Variables map[string]string `yaml:"variables" jsonschema_description:"Values of the package's templates: NAME stands for ###ZARF_PKG_TMPL_NAME###."`
	Ignore    []string          `yaml:"ignore" jsonschema:"example=files" jsonschema_description:"What of the package is left out: charts (those that lie in no registry), files, repos, dataInjections, imageArchives, import, extensions, daemon."`
	Follow    follow            `yaml:"follow" jsonschema:"enum=once,enum=always" jsonschema_description:"How often the tag of an image without digest is asked upstream: once for each version of the file, or at each scheduled cycle."`
	Where     mirror.Position
}

var zarfDefaults = zarfOptions{Follow: "once"}

// zarfWords are what ignore may name, whether or not a package has it.
var zarfWords = []string{"charts", "files", "repos", "dataInjections", "imageArchives", "import", "extensions", "daemon"}

// What of a component brings no content of its own: the images of manifests stand in images, too, since Zarf pulls no
// other ones.
var zarfKeys = []string{"name", "description", "default", "required", "optional", "only", "group", "cosignKeyPath", "deprecatedCosignKeyPath", "images",
	"charts", "manifests", "actions", "scripts", "healthChecks", "connect", "service", "features", "annotations"}

// readZarf reads the components of a package. Source: zarf-dev/zarf, src/api (v1alpha1 and v1beta1).
func readZarf(set mirror.Set, files mirror.Files) (listing, mirror.Problems) {
	o := zarfDefaults
	if ps := set.Source.Node.DecodeAs("source", &o); len(ps) > 0 {
		return listing{}, ps
	}
	file, data, ps := open(files, o.File, set.Source.Node.Key("file").Where())
	if len(ps) > 0 {
		return listing{}, ps
	}
	doc, ps := mirror.ParseDocument(file, data)
	if ps.Stop() {
		return listing{}, ps
	}
	z := zarf{foreign: &foreign{source: set.Source.Node, ignore: o.Ignore, words: slices.Clone(zarfWords)}, options: o}
	z.problems = append(z.problems, ps...)
	if kind, _ := doc.Key("kind").Text(); kind != "ZarfPackageConfig" && kind != "ZarfInitConfig" {
		z.problems.Add("SRC051", doc.KeyWhere("kind"), "name a file of kind ZarfPackageConfig", "this is no zarf.yaml: its kind is %q", kind)
	}
	for _, component := range doc.Key("components").Items() {
		z.component(component)
	}
	return z.list(data, true, o.Follow)
}

type zarf struct {
	*foreign
	options zarfOptions
}

func (z zarf) component(n mirror.Node) {
	name, _ := n.Key("name").Text()
	if flavor, _ := n.Find("only", "flavor").Text(); flavor != "" {
		if z.options.Flavor == "" {
			z.problems.Add("SRC055", n.Find("only", "flavor").Where(), "write flavor: "+flavor+" in the source, or the one that is wanted", "the component %s is of the flavor %s, and the source names none", name, flavor)
		}
		if flavor != z.options.Flavor {
			return
		}
	}
	z.keys(n, "the component "+name, zarfKeys...)
	for _, item := range n.Key("images").Items() {
		z.zarfImage(item)
	}
	for _, item := range n.Key("charts").Items() {
		z.zarfChart(item)
	}
}

// zarfImage reads a reference, or a mapping with its name and where it is taken from.
func (z zarf) zarfImage(item mirror.Node) {
	node := item
	if item.IsMapping() {
		node = item.Key("name")
		if source, _ := item.Key("source").Text(); source == "daemon" {
			z.lost("daemon", item.Key("source").Where(), "an image of a Docker daemon", "push it to a registry")
			return
		}
	}
	if text, ok := z.filled(node); ok {
		z.image(text, node.Where())
	}
}

// zarfChart reads a chart in the forms of both versions: url or oci.url, else another place that no registry is.
func (z zarf) zarfChart(item mirror.Node) {
	name, _ := item.Key("name").Text()
	node, version := item.Key("url"), item.Key("version")
	if oci := item.Key("oci"); given(oci) {
		node, version = oci.Key("url"), oci.Key("version")
	}
	if text, _ := node.Text(); text == "" {
		z.lost("charts", item.Where(), "the chart "+name, "name it in a set of kind helm")
		return
	}
	address, ok := z.filled(node)
	if !ok {
		return
	}
	text := ""
	if given(version) {
		if text, ok = z.filled(version); !ok {
			return
		}
	}
	z.chart(address, text, item.Where(), "charts")
}

var zarfTemplate = regexp.MustCompile(`###ZARF_PKG_(?:TMPL|VAR)_([A-Z0-9_]+)###`)

// filled gives a text with the package's templates filled in; false where one has no value.
func (z zarf) filled(n mirror.Node) (string, bool) {
	text, _ := n.Text()
	var missing []string
	text = zarfTemplate.ReplaceAllStringFunc(text, func(template string) string {
		name := zarfTemplate.FindStringSubmatch(template)[1]
		value, ok := z.options.Variables[name]
		if !ok && !slices.Contains(missing, name) {
			missing = append(missing, name)
		}
		return value
	})
	switch {
	case len(missing) > 0:
		z.problems.Add("SRC055", n.Where(), "write variables: {"+missing[0]+": value} in the source", "the template %s has no value", strings.Join(missing, ", "))
	case strings.Contains(text, "###ZARF_"):
		z.problems.Add("SRC055", n.Where(), "write the value itself", "this template is filled in when the package is deployed, and no set knows its value")
	default:
		return text, true
	}
	return "", false
}
