package sources

import (
	"path"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

func init() { register("hauler", readHauler, haulerDefaults) }

// haulerOptions are the options of kind hauler.
type haulerOptions struct {
	Kind   string   `yaml:"kind,required" jsonschema_description:"A manifest of Hauler with its documents of kind Images and Charts, or its image list with one reference a line; entries move one by one."`
	File   string   `yaml:"file,required" jsonschema:"example=hauler/hauler.yaml" jsonschema_description:"The manifest, or a list that ends in .txt, relative to desired/."`
	Ignore []string `yaml:"ignore" jsonschema:"example=Files" jsonschema_description:"What of the manifest is left out: charts (those that lie in no registry), Files, ImageTxts, Directories, ThickCharts, K3s, or a key such as rewrite, local, add-images and add-dependencies."`
	Follow follow   `yaml:"follow" jsonschema:"enum=once,enum=always" jsonschema_description:"How often the tag of an image without digest is asked upstream: once for each version of the file, or at each scheduled cycle."`
	Where  mirror.Position
}

var haulerDefaults = haulerOptions{Follow: "always"}

// What a document may say of an image or a chart without changing which content is meant: who vouches for it is said by
// policy.yaml, how a registry is reached by config.yaml, and every platform of an image is copied.
var (
	haulerImageKeys = []string{"name", "key", "use-tlog-verify", "certificate-identity", "certificate-identity-regexp", "certificate-oidc-issuer",
		"certificate-oidc-issuer-regexp", "certificate-github-workflow-repository", "platform", "exclude-extras"}
	haulerChartKeys = []string{"name", "repoURL", "version", "platform", "exclude-extras", "verify", "keyring", "usernameEnv", "passwordEnv",
		"passCredentialsAll", "certFile", "keyFile", "caFile", "insecureSkipTLSVerify", "plainHTTP", "valuesFiles"}
)

// haulerWords are what ignore may name, whether or not a manifest has it.
var haulerWords = []string{"charts", "Files", "ImageTxts", "Directories", "ThickCharts", "K3s", "rewrite", "local", "add-images", "add-dependencies"}

// readHauler reads the documents of a manifest. Source: hauler-dev/hauler, pkg/apis/hauler.cattle.io.
func readHauler(set mirror.Set, files mirror.Files) (listing, mirror.Problems) {
	o := haulerDefaults
	if ps := set.Source.Node.DecodeAs("source", &o); len(ps) > 0 {
		return listing{}, ps
	}
	file, data, ps := open(files, o.File, set.Source.Node.Key("file").Where())
	if len(ps) > 0 {
		return listing{}, ps
	}
	f := &foreign{source: set.Source.Node, ignore: o.Ignore, words: slices.Clone(haulerWords)}
	if path.Ext(file) == ".txt" {
		f.found, ps = imageLines(file, data, true)
		f.problems = append(f.problems, ps...)
		return f.list(data, false, o.Follow)
	}
	docs, ps := mirror.ParseDocuments(file, data)
	f.problems = append(f.problems, ps...)
	for _, doc := range docs {
		f.hauler(doc)
	}
	return f.list(data, false, o.Follow)
}

func (f *foreign) hauler(doc mirror.Node) {
	version, _ := doc.Key("apiVersion").Text()
	kind, _ := doc.Key("kind").Text()
	group, _, _ := strings.Cut(version, "/")
	if group != "hauler.cattle.io" && !strings.HasSuffix(group, ".hauler.cattle.io") {
		f.problems.Add("SRC051", doc.KeyWhere("apiVersion"), "name a manifest with apiVersion content.hauler.cattle.io/v1", "this is no document of Hauler: its apiVersion is %q", version)
		return
	}
	spec := doc.Key("spec")
	switch kind {
	case "Images":
		registry, _ := doc.Find("metadata", "annotations", "hauler.dev/registry").Text()
		f.keys(spec, "spec", "images")
		for _, item := range spec.Key("images").Items() {
			f.haulerImage(item, registry)
		}
	case "Charts":
		f.keys(spec, "spec", "charts")
		for _, item := range spec.Key("charts").Items() {
			f.haulerChart(item)
		}
	default:
		f.lost(kind, doc.KeyWhere("kind"), "a document of kind "+kind, "")
	}
}

// haulerImage adds one image. The annotation of the document names the registry of images that name none.
func (f *foreign) haulerImage(item mirror.Node, registry string) {
	name, ok := item.Key("name").Text()
	if !ok || name == "" {
		f.problems.Add("SRC051", item.Where(), "write - name: registry/repository:tag", "an image without a name")
		return
	}
	f.keys(item, "the image "+name, haulerImageKeys...)
	if first, _, slash := strings.Cut(name, "/"); registry != "" && (!slash || !strings.ContainsAny(first, ".:") && first != "localhost") {
		name = registry + "/" + name
	}
	if !given(item.Key("local")) {
		f.image(name, item.Key("name").Where())
	}
}

func (f *foreign) haulerChart(item mirror.Node) {
	name, _ := item.Key("name").Text()
	repository, _ := item.Key("repoURL").Text()
	version, _ := item.Key("version").Text()
	f.keys(item, "the chart "+name, haulerChartKeys...)
	switch {
	case repository != "":
		name = strings.TrimSuffix(repository, "/") + "/" + name
	case name == "":
		f.problems.Add("SRC051", item.Where(), "write - name: and repoURL: of the chart", "a chart without a name")
		return
	}
	f.chart(name, version, item.Where(), "charts")
}
