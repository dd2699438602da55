package sources

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/charts"
	"github.com/poundlock/poundlock/internal/mirror"
)

// kustomizationNames are the names under which a kustomization is found in its folder.
var kustomizationNames = []string{"kustomization.yaml", "kustomization.yml", "Kustomization"}

// What keys of a kustomization say: nothing that is loaded, or what is named by paths. Keys that are in none of these lists
// are refused: generators, transformers and validators are programs or load what they like, and charts are read by kind helm.
var (
	kustomizeWords = []string{"apiVersion", "kind", "metadata", "namePrefix", "nameSuffix", "namespace", "commonLabels", "labels", "commonAnnotations",
		"images", "imageTags", "replicas", "sortOptions", "generatorOptions", "buildMetadata", "vars"}
	kustomizeFiles      = []string{"resources", "bases", "components", "crds", "configurations"}
	kustomizePatches    = []string{"patches", "patchesStrategicMerge", "patchesJson6902", "replacements"}
	kustomizeGenerators = []string{"configMapGenerator", "secretGenerator"}
)

// The keys of one patch or replacement, and of one generator. Source: sigs.k8s.io/kustomize/api/types, Patch, ReplacementField,
// ConfigMapArgs and SecretArgs.
var (
	kustomizePatch     = []string{"path", "patch", "target", "options", "source", "sourceValue", "targets"}
	kustomizeGenerator = []string{"name", "namespace", "behavior", "literals", "files", "envs", "env", "type", "options"}
)

// kustomized builds a kustomization as `kustomize build` does, on desired/ alone and without any program or request. It gives
// what was built.
func (m *manifests) kustomized(files mirror.Files, name string, where mirror.Position) (built []byte, ps mirror.Problems) {
	k := kustomizations{files: files, checked: map[string]bool{}, read: map[string]int{}, on: map[string][]string{}, left: maxManifestNodes}
	root := path.Join("desired", name)
	if path.IsAbs(name) || strings.Contains(name, "\\") || !strings.HasPrefix(root, "desired/") {
		ps.Add("SRC005", where, "name a folder below desired/, relative to it", "source.kustomization %q lies outside desired/", name)
		return nil, ps
	}
	if k.check(root, where); len(k.problems) > 0 {
		return nil, k.problems
	}
	if k.builds(root, nil, map[string]int{}) > maxKustomizations {
		ps.Add("SRC072", mirror.Position{File: k.first}, "let fewer of them build on the same folder", "it builds more than %d kustomizations, counted each time that one is built on", maxKustomizations)
		return nil, ps
	}
	named := mirror.Files{}
	for file := range k.read {
		named[file] = files[file]
	}
	built, err := charts.Build(named, root)
	if err != nil {
		return nil, chartProblem("SRC072", mirror.Position{File: k.first}, "see what `kustomize build` says of it", "the kustomization cannot be built", err)
	}
	m.place = func(string, int, int) mirror.Position { return mirror.Position{File: k.first} } // lines are those of what was built
	m.read(k.first, built)
	return built, nil
}

// kustomizations goes through a kustomization and those that it builds on, before the library does: that would run git
// for a path that looks like a repository, and fetch one that looks like an address.
type kustomizations struct {
	files    mirror.Files
	first    string              // the file of the first one
	checked  map[string]bool     // folders
	read     map[string]int      // the files that the library is given, with their parts
	on       map[string][]string // the folders that a folder builds on, as often as it does
	left     int                 // parts that the resources and patches may still have, aliases followed
	problems mirror.Problems
}

func (k *kustomizations) check(dir string, where mirror.Position) {
	var found []string
	for _, name := range kustomizationNames {
		if _, there := k.files[path.Join(dir, name)]; there {
			found = append(found, path.Join(dir, name))
		}
	}
	if len(found) != 1 {
		k.problems.Add("SRC071", where, "name a folder with one kustomization.yaml", "there are %d kustomizations in %s", len(found), mirror.OneLine(dir))
		return
	}
	if k.first == "" {
		k.first = found[0]
	}
	if k.checked[dir] {
		return
	}
	k.checked[dir], k.read[found[0]] = true, 0
	doc, ps := mirror.ParseDocument(found[0], k.files[found[0]])
	if k.problems = append(k.problems, ps...); len(ps) > 0 {
		return
	}
	for _, key := range doc.Keys() {
		value := doc.Key(key)
		switch {
		case slices.Contains(kustomizeWords, key):
		case slices.Contains(kustomizeFiles, key):
			each(value, func(item mirror.Node) { k.path(dir, item) })
		case slices.Contains(kustomizePatches, key):
			each(value, func(item mirror.Node) { k.patch(dir, item) })
		case slices.Contains(kustomizeGenerators, key):
			each(value, func(item mirror.Node) { k.generator(dir, item) })
		case key == "openapi":
			k.only(value, "path")
			k.path(dir, value.Key("path"))
		default:
			k.problems.Add("SRC071", doc.KeyWhere(key), "take it out; name charts in a set of kind helm", "%s is not read: it may run programs or ask somebody", mirror.OneLine(key))
		}
	}
}

func each(list mirror.Node, do func(mirror.Node)) {
	for _, item := range list.Items() {
		do(item)
	}
}

func (k *kustomizations) patch(dir string, item mirror.Node) {
	if text, ok := item.Text(); ok {
		if !strings.Contains(text, "\n") && !strings.HasPrefix(strings.TrimSpace(text), "{") {
			k.path(dir, item)
		} else { // a patch that is written out
			k.bounded([]byte(text), item.Where())
		}
		return
	}
	k.only(item, kustomizePatch...)
	if inline, ok := item.Key("patch").Text(); ok {
		k.bounded([]byte(inline), item.Key("patch").Where())
	}
	if at := item.Key("path"); !at.IsZero() {
		if text, _ := at.Text(); text != "" {
			k.path(dir, at)
		}
	}
}

// bounded refuses a text that the library would make too much of, and gives its parts.
func (k *kustomizations) bounded(text []byte, where mirror.Position) int {
	before := k.left
	if !unfolds(text, &k.left) {
		k.tooLarge(where)
	}
	return before - k.left
}

// tooLarge tells a text that is; the next one is judged anew.
func (k *kustomizations) tooLarge(where mirror.Position) {
	k.problems.Add("SRC072", where, "write out what the aliases stand for", "it has more than %d parts, aliases counted, or an alias inside of what it stands for", maxManifestNodes)
	k.left = maxManifestNodes
}

// only refuses keys that are not known here. The library reads keys in any case, and an s that is written ſ: it would fetch
// the address that stands behind Path or fileſ.
func (k *kustomizations) only(item mirror.Node, known ...string) {
	for _, key := range item.Keys() {
		if !slices.Contains(known, key) {
			k.problems.Add("SRC071", item.KeyWhere(key), "write one of "+strings.Join(known, ", "), "%s is no key that is read here", mirror.OneLine(key))
		}
	}
}

func (k *kustomizations) generator(dir string, item mirror.Node) {
	k.only(item, kustomizeGenerator...)
	for _, key := range []string{"files", "envs"} {
		each(item.Key(key), func(file mirror.Node) {
			text, _ := file.Text()
			if _, named, ok := strings.Cut(text, "="); ok {
				text = named
			}
			k.place(dir, text, file.Where())
		})
	}
	if env := item.Key("env"); !env.IsZero() {
		k.path(dir, env)
	}
}

// localPath is what a path may look like: nothing that kustomize takes for the address of a repository or a file. Those
// have a scheme, a user or a colon, or begin with github.com.
var localPath = regexp.MustCompile(`^[A-Za-z0-9._/-]+$`)

func (k *kustomizations) path(dir string, item mirror.Node) {
	text, ok := item.Text()
	if !ok {
		k.problems.Add("SRC071", item.Where(), "write a path", "want the path of a file or folder in desired/")
		return
	}
	k.place(dir, text, item.Where())
}

func (k *kustomizations) place(dir, text string, where mirror.Position) {
	at := path.Join(dir, text)
	_, isFile := k.files[at]
	switch {
	case !localPath.MatchString(text) || path.IsAbs(text) || strings.HasPrefix(strings.ToLower(text), "github.com") || !strings.HasPrefix(at, "desired/"):
		k.problems.Add("SRC071", where, "commit what it names into desired/, and name it by its path", "%q is no path of letters, digits and . _ - / inside of desired/", mirror.OneLine(text))
	case isFile:
		if parts, again := k.read[at]; !again {
			k.read[at] = k.bounded(k.files[at], where)
		} else if k.left -= parts; k.left < 0 {
			k.tooLarge(where)
		}
	case len(k.files.Under(at)) > 0:
		k.on[dir] = append(k.on[dir], at)
		k.check(at, where)
	default:
		k.problems.Add("SRC071", where, "commit the file, or name one that is there", "there is no file %s", mirror.OneLine(at))
	}
}
