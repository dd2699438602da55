package sources

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

func init() { register("manifests", readManifests, manifestsDefaults) }

// manifestsOptions are the options of kind manifests: source: {kind: manifests, files: [web/deployment.yaml, web/base/]}.
type manifestsOptions struct {
	Kind          string     `yaml:"kind,required" jsonschema_description:"Kubernetes manifests or a kustomization in desired/: the images of every pod they make; entries move one by one."`
	Files         []string   `yaml:"files" jsonschema:"oneof_required=files,minItems=1,example=web/deployment.yaml" jsonschema_description:"Files with manifests and folders of such files, relative to desired/; the same file may be applied as it is by Flux or Argo CD."`
	Kustomization string     `yaml:"kustomization" jsonschema:"oneof_required=kustomization,example=web/overlays/site" jsonschema_description:"A folder with a kustomization, relative to desired/, instead of files; what it refers to lies in desired/ too."`
	Paths         imagePaths `yaml:"paths" jsonschema_description:"Where images stand in custom resources, by kind of resource, as in Prometheus: [spec.image]."`
	Atomic        bool       `yaml:"atomic" jsonschema_description:"Whether the entries move together above the first stage."`
	Follow        follow     `yaml:"follow" jsonschema:"enum=once,enum=always" jsonschema_description:"How often the tag of an image without digest is asked upstream: once for each version of the manifests, or at each scheduled cycle."`
	Where         mirror.Position
}

var manifestsDefaults = manifestsOptions{Follow: "once"}

// readManifests reads the images of Kubernetes manifests.
func readManifests(set mirror.Set, files mirror.Files) (listing, mirror.Problems) {
	o, source := manifestsDefaults, set.Source.Node
	ps := source.DecodeAs("source", &o)
	if len(ps) > 0 {
		return listing{}, ps
	}
	if (o.Files == nil) == (o.Kustomization == "") {
		ps.Add("SRC070", o.Where, "write source: {kind: manifests, files: [web/]} or source: {kind: manifests, kustomization: web}", "source: want either files or kustomization")
		return listing{}, ps
	}
	m := newManifests(o.Paths)
	m.problems = o.Paths.check()
	var origin []byte
	if o.Kustomization != "" {
		origin, ps = m.kustomized(files, o.Kustomization, source.Key("kustomization").Where())
	} else {
		origin, ps = m.plain(files, o.Files, source)
	}
	if ps = append(ps, m.problems...); len(ps) == 0 {
		ps = m.unused()
	}
	if len(ps) > 0 {
		return listing{}, ps
	}
	entries, ps := entriesOf(m.found)
	return listing{entries: entries, origin: mirror.DigestOf(origin), atomic: o.Atomic, follow: o.Follow == "always"}, ps
}

// plain reads files, and of folders everything that ends in .yaml, .yml or .json. It gives what identifies their bytes.
func (m *manifests) plain(files mirror.Files, names []string, source mirror.Node) (origin []byte, ps mirror.Problems) {
	read := map[string]bool{}
	for i, name := range names {
		where := source.Find("files", fmt.Sprint(i)).Where()
		inside := manifestsIn(files, name)
		if inside == nil {
			inside = []string{strings.TrimPrefix(path.Join("desired", name), "desired/")}
		}
		for _, one := range inside {
			file, data, problems := open(files, one, where)
			if ps = append(ps, problems...); len(problems) > 0 || read[file] {
				continue
			}
			read[file] = true
			origin = append(origin, file+" "+mirror.DigestOf(data).Hex+"\n"...)
			m.read(file, data)
		}
	}
	return origin, ps
}

// manifestsIn lists the manifests below a folder, by their names below desired/; nil for what is no folder. A kustomization
// is none: it says what is to be made of others.
func manifestsIn(files mirror.Files, name string) (inside []string) {
	dir := path.Join("desired", name)
	if !strings.HasPrefix(dir, "desired/") {
		return nil
	}
	for _, file := range files.Under(dir) {
		if slices.Contains([]string{".yaml", ".yml", ".json"}, path.Ext(file)) && !slices.Contains(kustomizationNames, path.Base(file)) {
			inside = append(inside, strings.TrimPrefix(file, "desired/"))
		}
	}
	return inside
}
