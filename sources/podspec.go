package sources

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Limits of what is read of Kubernetes documents. Aliases are followed, so a small file can be a large document.
const (
	maxManifestNodes = 1 << 20
	maxManifestDepth = 100
)

// workloads are the kinds of Kubernetes in which every container has an image.
var workloads = []string{"Pod", "PodTemplate", "ReplicationController", "Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "CronJob"}

// containerLists are the lists of a PodSpec whose items have an image.
var containerLists = []string{"containers", "initContainers", "ephemeralContainers"}

// wanted is an image that a document names.
type wanted struct {
	image mirror.Reference
	where mirror.Position
}

// manifests collects the images of Kubernetes documents: those of every PodSpec, however deep it lies, image volumes, and
// the fields of custom resources that paths name.
type manifests struct {
	paths imagePaths
	skip  func(annotations map[string]string) bool // documents that are not wanted; nil wants all
	place func(file string, line, column int) mirror.Position

	found    []wanted
	problems mirror.Problems
	left     int                // nodes that may still be read
	used     map[[2]string]bool // paths that led to an image, by kind and path
}

func newManifests(paths imagePaths) *manifests {
	return &manifests{paths: paths, left: maxManifestNodes, place: func(file string, line, column int) mirror.Position {
		return mirror.Position{File: file, Line: line, Column: column}
	}}
}

// read collects from all documents of one file.
func (m *manifests) read(file string, data []byte) {
	for docs := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var doc yaml.Node
		err := docs.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			m.malformed(file, err)
			return
		}
		if len(doc.Content) == 0 {
			continue
		}
		root := doc.Content[0]
		if m.skip != nil && m.skip(annotationsOf(root)) {
			continue
		}
		m.walk(file, root, "", 0)
		m.custom(file, root)
		if m.left <= 0 && len(m.problems) == 0 {
			m.problems.Add("SRC060", m.place(file, root.Line, root.Column), "see whether this is the right file, and write fewer * in paths:", "the documents have more than %d parts, aliases counted", maxManifestNodes)
		}
	}
}

// yamlLine is where the reader of YAML stopped.
var yamlLine = regexp.MustCompile(`line (\d+)(?:, column (\d+))?`)

func (m *manifests) malformed(file string, err error) {
	line := 0
	if at := yamlLine.FindStringSubmatch(err.Error()); at != nil {
		line, _ = strconv.Atoi(at[1]) // digits
	}
	m.problems.Add("SRC060", m.place(file, line, 0), "mend the YAML; `kubectl apply --dry-run=client -f` reads it the same way", "this is no YAML document: %v", err)
}

// walk goes through a document. kind is that of the resource around.
func (m *manifests) walk(file string, n *yaml.Node, kind string, depth int) {
	if m.left--; m.left == 0 {
		m.problems.Add("SRC060", m.place(file, n.Line, n.Column), "see whether this is the right file", "the documents have more than %d parts, aliases counted", maxManifestNodes)
	}
	if m.left <= 0 {
		return
	}
	if depth > maxManifestDepth {
		m.problems.Add("SRC060", m.place(file, n.Line, n.Column), "flatten it", "nested deeper than %d levels", maxManifestDepth)
		m.left = 0
		return
	}
	switch n.Kind {
	case yaml.AliasNode:
		m.walk(file, n.Alias, kind, depth+1)
	case yaml.SequenceNode:
		for _, item := range n.Content {
			m.walk(file, item, kind, depth+1)
		}
	case yaml.MappingNode:
		if own := textOf(valueOf(n, "kind")); own != "" && valueOf(n, "apiVersion") != nil {
			kind = own
		}
		if kind == "CustomResourceDefinition" {
			return // its schema describes containers, it has none
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := n.Content[i].Value, resolved(n.Content[i+1])
			switch {
			case slices.Contains(containerLists, key) && value.Kind == yaml.SequenceNode:
				m.containers(file, value, kind)
			case key == "volumes" && value.Kind == yaml.SequenceNode:
				m.volumes(file, value)
			}
			m.walk(file, n.Content[i+1], kind, depth+1)
		}
	}
}

func (m *manifests) containers(file string, list *yaml.Node, kind string) {
	for _, item := range list.Content {
		item = resolved(item)
		image := valueOf(item, "image")
		switch {
		case item.Kind != yaml.MappingNode:
		case textOf(image) != "":
			m.add(file, image, textOf(image))
		case slices.Contains(workloads, kind):
			m.problems.Add("SRC061", m.place(file, item.Line, item.Column), "name the image of the container", "%s: the container %q has no image", kind, mirror.OneLine(textOf(valueOf(item, "name"))))
		}
	}
}

// volumes reads image volumes: volumes[].image.reference.
func (m *manifests) volumes(file string, list *yaml.Node) {
	for _, item := range list.Content {
		if reference := valueOf(resolvedValue(resolved(item), "image"), "reference"); textOf(reference) != "" {
			m.add(file, reference, textOf(reference))
		}
	}
}

// add takes what a document names. A name without tag and digest is what Kubernetes makes of it: the tag latest.
func (m *manifests) add(file string, n *yaml.Node, text string) {
	where := m.place(file, n.Line, n.Column)
	image, err := mirror.ParseReference(text)
	if err != nil {
		m.problems.Add("SRC061", where, "write registry/repository:tag or registry/repository:tag@sha256:<64 hex>", "%v", err)
		return
	}
	if image.Tag == "" && !image.HasDigest() {
		image.Tag = "latest"
	}
	m.found = append(m.found, wanted{image, where})
}

func annotationsOf(root *yaml.Node) map[string]string {
	all := map[string]string{}
	list := resolvedValue(resolvedValue(resolved(root), "metadata"), "annotations")
	if list == nil || list.Kind != yaml.MappingNode {
		return all
	}
	for i := 0; i+1 < len(list.Content); i += 2 {
		all[list.Content[i].Value] = textOf(list.Content[i+1])
	}
	return all
}

// entriesOf names what was found: by host and repository where that is wanted once, else with the tag too. The same content
// that is named several times is one entry.
func entriesOf(found []wanted) ([]mirror.Entry, mirror.Problems) {
	var ps mirror.Problems
	byTag := map[string][]wanted{} // by name and tag: the digests, each once
	tags := map[string][]string{}  // by name
	for _, w := range found {
		key := w.image.WithDigest(mirror.Digest{}).String()
		if !slices.Contains(tags[w.image.Name()], key) {
			tags[w.image.Name()] = append(tags[w.image.Name()], key)
		}
		i := slices.IndexFunc(byTag[key], func(o wanted) bool { return o.image.Digest == w.image.Digest })
		if i < 0 {
			byTag[key] = append(byTag[key], w)
		}
	}
	var entries []mirror.Entry
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		keys := tags[name]
		for _, key := range keys {
			all := byTag[key]
			pinned := slices.DeleteFunc(slices.Clone(all), func(w wanted) bool { return !w.image.HasDigest() })
			switch {
			case len(pinned) > 1 && strings.HasPrefix(key, name+":"):
				ps.Add("SRC062", pinned[1].where, "let both name the same digest", "%s is wanted with two digests, %s and, in %s, %s", key,
					mirror.Short(pinned[1].image.Digest), pinned[0].where, mirror.Short(pinned[0].image.Digest))
				continue
			case len(pinned) > 0:
				all = pinned
			}
			for _, w := range all {
				entry := mirror.Entry{Name: name, Image: w.image, Where: w.where}
				if len(keys) > 1 || len(all) > 1 {
					entry.Name = listName(w.image)
				}
				entries = append(entries, entry)
			}
		}
	}
	if len(entries) > maxListed {
		ps.Add("SRC060", entries[0].Where, "split it into several sets", "%d images are more than %d", len(entries), maxListed)
	}
	return entries, ps
}
