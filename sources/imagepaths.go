package sources

import (
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/poundlock/poundlock/internal/mirror"
)

// imagePaths says, by kind of custom resource, in which fields images stand: spec.image, spec.thanos.image, or with * for
// each item of a list or a mapping. The field is a reference, or a mapping with repository and registry, tag, digest.
type imagePaths map[string][]mirror.Node

// check refuses a path that can lead nowhere.
func (p imagePaths) check() (ps mirror.Problems) {
	for _, kind := range slices.Sorted(maps.Keys(p)) {
		for _, node := range p[kind] {
			if text, _ := node.Text(); text == "" || slices.Contains(strings.Split(text, "."), "") {
				ps.Add("SRC063", node.Where(), "write keys with dots between them, as in spec.image", "source.paths.%s: %q is no path", kind, text)
			}
		}
	}
	return ps
}

// custom collects what paths name in one document, or in each item of a List. An item may be an alias of the list around
// it, so each counts.
func (m *manifests) custom(file string, root *yaml.Node) {
	if m.left--; m.left <= 0 {
		return // walk told of it, and a document of which not all was read is refused
	}
	root = resolved(root)
	kind := textOf(valueOf(root, "kind"))
	if items := resolvedValue(root, "items"); strings.HasSuffix(kind, "List") && items != nil && items.Kind == yaml.SequenceNode {
		for _, item := range items.Content {
			m.custom(file, item)
		}
	}
	for _, node := range m.paths[kind] {
		path, _ := node.Text()
		for _, n := range m.at(root, strings.Split(path, ".")) {
			if text := imageText(n); text != "" {
				m.add(file, n, text)
				m.met(kind, path)
			}
		}
	}
}

// met remembers that a path led to an image.
func (m *manifests) met(kind, path string) {
	if m.used == nil {
		m.used = map[[2]string]bool{}
	}
	m.used[[2]string{kind, path}] = true
}

// unused finds paths that led to no image: they are most likely misspelt, and a smaller set would go unnoticed.
func (m *manifests) unused() (ps mirror.Problems) {
	for _, kind := range slices.Sorted(maps.Keys(m.paths)) {
		for _, node := range m.paths[kind] {
			if path, _ := node.Text(); !m.used[[2]string{kind, path}] {
				ps.Add("SRC063", node.Where(), "name a field that has an image, or delete the path", "source.paths.%s: no resource of this kind has an image at %s", kind, path)
			}
		}
	}
	return ps
}

// at gives the values at a path.
func (m *manifests) at(n *yaml.Node, path []string) []*yaml.Node {
	if m.left--; m.left <= 0 {
		return nil
	}
	n = resolved(n)
	switch {
	case n == nil:
		return nil
	case len(path) == 0:
		return []*yaml.Node{n}
	case path[0] != "*":
		return m.at(valueOf(n, path[0]), path[1:])
	}
	var all []*yaml.Node
	for i, item := range n.Content {
		if n.Kind == yaml.SequenceNode || i%2 == 1 {
			all = append(all, m.at(item, path[1:])...)
		}
	}
	return all
}

// imageText gives the reference that a field holds, as one text or in parts.
func imageText(n *yaml.Node) string {
	repository := textOf(valueOf(n, "repository"))
	if repository == "" {
		return textOf(n)
	}
	if registry := textOf(valueOf(n, "registry")); registry != "" {
		repository = registry + "/" + repository
	}
	if tag := textOf(valueOf(n, "tag")); tag != "" {
		repository += ":" + tag
	}
	if digest := textOf(valueOf(n, "digest")); digest != "" {
		repository += "@" + digest
	}
	return repository
}
