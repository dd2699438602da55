package sources

import (
	"errors"
	"path"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/charts"
	"github.com/poundlock/poundlock/internal/mirror"
)

func init() { register("esshelm", readESSHelm, esshelmDefaults) }

// esshelmOptions are the options of kind esshelm: source: {kind: esshelm, chart: ess/matrix-stack-26.8.1.tgz}.
type esshelmOptions struct {
	Kind   string `yaml:"kind,required" jsonschema_description:"Images of the ESS Community Helm chart (matrix-stack), from the image blocks of its values; its entries move together."`
	File   string `yaml:"file" jsonschema:"oneof_required=file,example=ess/values.yaml" jsonschema_description:"The chart's values.yaml, or a list of its image blocks in JSON, relative to desired/."`
	Chart  string `yaml:"chart" jsonschema:"oneof_required=chart,example=ess/matrix-stack-26.8.1.tgz" jsonschema_description:"The chart itself, as a folder or a .tgz, relative to desired/; instead of a file."`
	Follow follow `yaml:"follow" jsonschema:"enum=once,enum=always" jsonschema_description:"How often the tag of an image without digest is asked upstream: once for each version of the values, or at each scheduled cycle."`
	Where  mirror.Position
}

var esshelmDefaults = esshelmOptions{Follow: "once"}

// readESSHelm reads the image blocks of the chart's values. An entry is named by the path of its values, without .image and
// with slashes: matrixAuthenticationService.syn2mas.image is matrixAuthenticationService/syn2mas.
// Source: element-hq/ess-helm, charts/matrix-stack/values.yaml and templates/ess-library/_pods.tpl.
func readESSHelm(set mirror.Set, files mirror.Files) (listing, mirror.Problems) {
	o := esshelmDefaults
	ps := set.Source.Node.DecodeAs("source", &o)
	if len(ps) > 0 {
		return listing{}, ps
	}
	if (o.File == "") == (o.Chart == "") {
		ps.Add("SRC030", o.Where, "write source: {kind: esshelm, chart: ess/matrix-stack.tgz} or source: {kind: esshelm, file: ess/values.yaml}", "source: want either file or chart")
		return listing{}, ps
	}
	file, data, ps := esshelmValues(o, files, set.Source.Node)
	if len(ps) > 0 {
		return listing{}, ps
	}
	root, ps := mirror.ParseDocument(file, data)
	if len(ps) > 0 {
		return listing{}, ps
	}
	w := imageBlocks{first: map[string]mirror.Position{}}
	if w.isExtract(root) {
		w.extract(root)
	} else {
		w.walk(root, nil)
	}
	if len(w.entries) == 0 && len(w.problems) == 0 {
		w.problems.Add("SRC031", mirror.Position{File: file}, "name the chart's own values.yaml", "no image block stands in it: a mapping image with registry, repository and tag")
	}
	return listing{entries: w.entries, origin: mirror.DigestOf(data), atomic: true, follow: o.Follow == "always"}, w.problems
}

// imageBlocks gathers the image blocks of Helm values.
type imageBlocks struct {
	entries  []mirror.Entry
	first    map[string]mirror.Position
	problems mirror.Problems
}

// isExtract says whether a document lists image blocks by their dotted paths.
func (w *imageBlocks) isExtract(root mirror.Node) bool {
	return slices.ContainsFunc(root.Keys(), func(key string) bool { return strings.HasSuffix(key, ".image") })
}

func (w *imageBlocks) extract(root mirror.Node) {
	for _, key := range root.Keys() {
		at, isImage := strings.CutSuffix(key, ".image")
		if !isImage || at == "" {
			w.problems.Add("SRC031", root.KeyWhere(key), "write the paths of image blocks, as in synapse.image", "%q is no path of an image block", key)
			continue
		}
		w.add(strings.Split(at, "."), root.KeyWhere(key), root.Key(key))
	}
}

// walk looks into mappings only: a list holds what people add, such as containers of their own.
func (w *imageBlocks) walk(n mirror.Node, at []string) {
	for _, key := range n.Keys() {
		body, path := n.Key(key), append(slices.Clone(at), key)
		has := func(field string) bool { return !body.Key(field).IsZero() }
		switch {
		case key == "image" && (has("registry") || has("repository") || has("tag") || has("digest")):
			w.add(at, n.KeyWhere(key), body)
		case key != "image" && has("registry") && has("repository"):
			w.problems.Add("SRC031", n.KeyWhere(key), "tell the makers of Poundlock which chart has it", "%s looks like an image block and is not named image: nobody would send it to the local registry", strings.Join(path, "."))
		default:
			w.walk(body, path)
		}
	}
}

func (w *imageBlocks) add(at []string, where mirror.Position, body mirror.Node) {
	name := strings.Join(at, "/")
	if name == "" || slices.ContainsFunc(at, func(word string) bool { return !essName.MatchString(word) }) {
		w.problems.Add("SRC031", where, "an image block belongs to a component, whose name has letters, digits and . _ -", "malformed name %q of an image block", name)
		return
	}
	if before, twice := w.first[name]; twice {
		w.problems.Add("SRC031", where, "keep one of them", "the image block %s is there twice, first in %s", name, before)
		return
	}
	w.first[name] = where
	image, ps := blockImage(strings.Join(at, ".")+".image", where, body)
	w.problems = append(w.problems, ps...)
	w.entries = append(w.entries, mirror.Entry{Name: name, Image: image, Where: where})
}

// blockImage reads an image block as the chart's templates do: registry/repository@digest, or :tag where there is no digest.
func blockImage(name string, where mirror.Position, body mirror.Node) (image mirror.Reference, ps mirror.Problems) {
	value := map[string]string{}
	for _, key := range []string{"registry", "repository", "tag", "digest"} {
		n := body.Key(key)
		if value[key], _ = n.Text(); value[key] != "" && !n.IsString() || n.IsMapping() {
			ps.Add("SRC034", n.Where(), "put it in quotes", "%s.%s: %s without quotes is no text", name, key, value[key])
			ps[len(ps)-1].Why = "Helm reads a number: 1.10 becomes 1.1"
		}
	}
	switch {
	case len(ps) > 0:
	case value["registry"] == "":
		ps.Add("SRC032", blockPlace(body, "registry", where), "write registry: docker.io for Docker Hub", "%s.registry is empty", name)
		ps[len(ps)-1].Why = "the chart makes /repository:tag of it, which is no image"
	case value["repository"] == "":
		ps.Add("SRC032", blockPlace(body, "repository", where), "write the path of the repository, without host, tag and digest", "%s.repository is empty", name)
	case value["tag"] == "" && value["digest"] == "":
		ps.Add("SRC033", where, "write a tag or, better, a tag and a digest", "%s has neither tag nor digest", name)
	}
	if len(ps) > 0 {
		return image, ps
	}
	text := value["registry"] + "/" + value["repository"]
	if value["tag"] != "" {
		text += ":" + value["tag"]
	}
	image, err := mirror.ParseReference(text)
	host, herr := mirror.ParseReference(value["registry"] + "/a/b")
	if err != nil || herr != nil || image.Tag != value["tag"] || host.Repository != "a/b" || strings.HasSuffix(value["registry"], "/") {
		ps.Add("SRC032", body.Key("registry").Where(), "write the registry as host[:port] without scheme and path, the repository without tag and digest, the tag alone",
			"%s: %q, %q and %q are no image reference", name, value["registry"], value["repository"], value["tag"])
		return image, ps
	}
	if value["digest"] != "" {
		if image.Digest, err = mirror.ParseDigest(value["digest"]); err != nil {
			ps.Add("SRC036", body.Key("digest").Where(), "copy it from the vendor's file again", "%s.digest: %v", name, err)
		}
	}
	return image, ps
}

func blockPlace(body mirror.Node, key string, otherwise mirror.Position) mirror.Position {
	if n := body.Key(key); !n.IsZero() {
		return n.Where()
	}
	return otherwise
}

// esshelmValues gives the values: a file, or the values.yaml of a chart.
func esshelmValues(o esshelmOptions, files mirror.Files, source mirror.Node) (string, []byte, mirror.Problems) {
	if o.File != "" {
		return open(files, o.File, source.Key("file").Where())
	}
	where := source.Key("chart").Where()
	if !strings.HasSuffix(o.Chart, ".tgz") {
		return open(files, path.Join(o.Chart, "values.yaml"), where)
	}
	var ps mirror.Problems
	file := path.Join("desired", o.Chart)
	archive, there := files[file]
	if !there || !strings.HasPrefix(file, "desired/") {
		ps.Add("SRC005", where, "add the file, or name one that is there, relative to desired/", "there is no file %s", file)
		return "", nil, ps
	}
	chart, err := charts.Unpack(archive)
	data, inside := chart["values.yaml"]
	if err == nil && !inside {
		err = errors.New("there is no values.yaml in it")
	}
	if err != nil {
		ps.Add("SRC035", where, "pack it with `helm package`, or take it from the vendor again", "%s is no chart: %v", file, err)
		return "", nil, ps
	}
	name := path.Join(file, "values.yaml")
	return name, data, mirror.CheckText(name, data)
}
