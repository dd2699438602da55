package render

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

func init() {
	register("kustomize", kind{reach: forSets, check: checkKustomize, files: kustomizeFiles, options: kustomizeOptions{},
		proof: proveKustomize, reads: readsKustomize, lint: lintKustomize,
		about: "A kustomize Component whose images: put the local registry, tag and digest into containers and initContainers of every workload."})
}

// componentFile lies in a folder of its own: a component is named by its folder, and the folder of the stage has a
// kustomization.yaml already.
const componentFile = "kustomize/kustomization.yaml"

// kustomizeOptions are the options of kind kustomize.
type kustomizeOptions struct {
	Exact bool `yaml:"exact" jsonschema_description:"Replaces only images that are written with the tag or the digest that stands; otherwise every tag of a repository that stands in one version becomes that version."`
}

func checkKustomize(r request) mirror.Problems {
	var o kustomizeOptions
	return r.options.DecodeAs("render.kustomize", &o)
}

// spellings gives every way in which manifests name a repository: kustomize compares texts, and Docker Hub has many.
func spellings(r mirror.Reference) []string {
	if r.Host != "docker.io" {
		return []string{r.Name()}
	}
	short := []string{r.Repository}
	if official, ok := strings.CutPrefix(r.Repository, "library/"); ok && !strings.Contains(official, "/") {
		short = append(short, official)
	}
	all := slices.Clone(short)
	for _, host := range []string{"docker.io/", "index.docker.io/"} {
		for _, name := range short {
			all = append(all, host+name)
		}
	}
	return all
}

// imageLines gives the lines of a scene in the order of the upstream references, those of one image together. Where a
// repository stands in several versions a line has tag or digest in its name, or all would become the first.
func imageLines(s scene, exact bool) []imageLine {
	versions := map[string]map[mirror.Digest]bool{}
	all := s.images()
	for _, i := range all {
		if versions[i.upstream.Name()] == nil {
			versions[i.upstream.Name()] = map[mirror.Digest]bool{}
		}
		versions[i.upstream.Name()][i.upstream.Digest] = true
	}
	var lines []imageLine
	seen := map[string]bool{}
	for _, i := range all {
		l := imageLine{newName: i.local.Name(), newTag: i.upstream.Tag, digest: i.upstream.Digest.String()}
		for _, name := range spellings(i.upstream) {
			written := []string{name}
			if exact || len(versions[i.upstream.Name()]) > 1 {
				written = []string{name + "@" + l.digest}
				if l.newTag != "" {
					written = append(written, name+":"+l.newTag)
				}
			}
			for _, l.literal = range written {
				if !seen[l.literal] {
					seen[l.literal] = true
					lines = append(lines, l)
				}
			}
		}
	}
	index := indexed(lines)
	for i, l := range lines {
		lines[i].guarded = len(index.matching(l, lines)) > 0
	}
	return lines
}

// kustomizeFiles writes the component. Each line is one line of the file, so that a new version is one hunk.
func kustomizeFiles(s scene, options mirror.Node) overrides {
	var o kustomizeOptions
	_ = options.DecodeAs("", &o) // checked before
	var b bytes.Buffer
	b.WriteString("apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nimages:\n")
	for _, l := range imageLines(s, o.Exact) {
		fmt.Fprintf(&b, "  - {name: %s, newName: %s", strconv.Quote(l.name()), strconv.Quote(l.newName))
		if l.newTag != "" {
			fmt.Fprintf(&b, ", newTag: %s", strconv.Quote(l.newTag))
		}
		fmt.Fprintf(&b, ", digest: %s}\n", strconv.Quote(l.digest))
	}
	return overrides{files: mirror.Files{componentFile: b.Bytes()}}
}

// proveKustomize applies the lines in their order, as kustomize does, to every spelling of every image: each has to end at
// the content that stands, also where the local registry is itself the upstream of something.
func proveKustomize(s scene, options mirror.Node, files mirror.Files) (ps mirror.Problems) {
	var o kustomizeOptions
	_ = options.DecodeAs("", &o)
	lines := imageLines(s, o.Exact)
	index := indexed(lines)
	for _, l := range lines {
		for _, image := range []string{l.literal, l.result()} {
			if got := index.apply(image); got != l.result() {
				ps.Add("RND066", mirror.Position{File: componentFile}, "leave kustomize out, or give the upstream another path in paths:",
					"images: %s becomes %s, it stands as %s", image, got, l.result())
				return ps
			}
		}
	}
	return ps
}
