package sources

import (
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

func init() { register("oc-mirror", readOCMirror, ocMirrorDefaults) }

// ocMirrorOptions are the options of kind oc-mirror.
type ocMirrorOptions struct {
	Kind   string   `yaml:"kind,required" jsonschema_description:"An ImageSetConfiguration of oc-mirror: its additionalImages, and its charts that lie in a registry; entries move one by one."`
	File   string   `yaml:"file,required" jsonschema:"example=openshift/imageset-config.yaml" jsonschema_description:"The file, relative to desired/."`
	Ignore []string `yaml:"ignore" jsonschema:"example=platform" jsonschema_description:"What of the file is left out: platform, operators, helm (charts that lie in no registry), blockedImages, samples, or a key of an image such as targetRepo and targetTag."`
	Follow follow   `yaml:"follow" jsonschema:"enum=once,enum=always" jsonschema_description:"How often the tag of an image without digest is asked upstream: once for each version of the file, or at each scheduled cycle."`
	Where  mirror.Position
}

var ocMirrorDefaults = ocMirrorOptions{Follow: "always"}

// ocMirrorWords are what ignore may name, whether or not a file has it.
var ocMirrorWords = []string{"platform", "operators", "helm", "blockedImages", "samples", "targetRepo", "targetTag"}

// readOCMirror reads the images and charts of an ImageSetConfiguration. Releases and operators are found by what their
// catalogs say, which only oc-mirror reads. Source: openshift/oc-mirror, api v1alpha2 and v2alpha1.
func readOCMirror(set mirror.Set, files mirror.Files) (listing, mirror.Problems) {
	o := ocMirrorDefaults
	if ps := set.Source.Node.DecodeAs("source", &o); len(ps) > 0 {
		return listing{}, ps
	}
	file, data, ps := open(files, o.File, set.Source.Node.Key("file").Where())
	if len(ps) > 0 {
		return listing{}, ps
	}
	docs, ps := mirror.ParseDocuments(file, data)
	f := &foreign{source: set.Source.Node, ignore: o.Ignore, words: slices.Clone(ocMirrorWords)}
	f.problems = append(f.problems, ps...)
	if len(docs) == 0 && len(ps) == 0 {
		f.problems.Add("SRC051", mirror.Position{File: file}, "name an ImageSetConfiguration", "the file holds no document")
	}
	for _, doc := range docs {
		f.imageSet(doc)
	}
	return f.list(data, false, o.Follow)
}

var ocMirrorVersions = []string{"mirror.openshift.io/v1alpha2", "mirror.openshift.io/v2alpha1"}

func (f *foreign) imageSet(doc mirror.Node) {
	kind, _ := doc.Key("kind").Text()
	version, _ := doc.Key("apiVersion").Text()
	if kind != "ImageSetConfiguration" || !slices.Contains(ocMirrorVersions, version) {
		f.problems.Add("SRC051", doc.Where(), "name an ImageSetConfiguration of "+strings.Join(ocMirrorVersions, " or "), "this is %s of %s", kind, version)
		return
	}
	m := doc.Key("mirror")
	if given(m.Key("platform")) {
		f.lost("platform", m.KeyWhere("platform"), "mirror.platform", "let oc-mirror go on with the releases of OpenShift")
	}
	if given(m.Key("operators")) {
		f.lost("operators", m.KeyWhere("operators"), "mirror.operators", "list the images of the operators in additionalImages")
	}
	if given(m.Key("blockedImages")) {
		f.lost("blockedImages", m.KeyWhere("blockedImages"), "mirror.blockedImages", "leave those images out by exclude: in the set")
	}
	f.keys(m, "mirror", "platform", "operators", "blockedImages", "additionalImages", "helm")
	for _, item := range m.Key("additionalImages").Items() {
		f.ocImage(item)
	}
	helm := m.Key("helm")
	f.keys(helm, "mirror.helm", "repositories", "local")
	for _, item := range helm.Key("local").Items() {
		name, _ := item.Key("name").Text()
		f.lost("helm", item.Where(), "the chart "+name, "name it in a set of kind helm")
	}
	for _, repository := range helm.Key("repositories").Items() {
		address, _ := repository.Key("url").Text()
		for _, item := range repository.Key("charts").Items() {
			f.ocChart(item, address)
		}
	}
}

func (f *foreign) ocImage(item mirror.Node) {
	name, _ := item.Key("name").Text()
	if name == "" {
		f.problems.Add("SRC051", item.Where(), "write - name: registry/repository:tag", "an image without a name")
		return
	}
	f.keys(item, "the image "+name, "name")
	f.image(name, item.Key("name").Where())
}

// ocChart reads a chart of a repository. Its images come from what it renders to, which a set of kind helm does.
func (f *foreign) ocChart(item mirror.Node, address string) {
	name, _ := item.Key("name").Text()
	version, _ := item.Key("version").Text()
	f.keys(item, "the chart "+name, "name", "version")
	f.chart(strings.TrimSuffix(address, "/")+"/"+name, version, item.Where(), "helm")
	if strings.HasPrefix(address, "oci://") {
		f.lost("helm", item.Where(), "the images of the chart "+name, "name it in a set of kind helm")
	}
}
