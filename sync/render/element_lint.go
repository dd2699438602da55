package render

import (
	"bytes"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

// readsElement knows an override ConfigMap and an ElementDeployment.
func readsElement(name string, data []byte) bool {
	return isDocument(name) && (bytes.Contains(data, []byte("kind: ConfigMap")) && bytes.Contains(data, []byte("images_digests:")) ||
		bytes.Contains(data, []byte("kind: ElementDeployment")))
}

// lintElement reads a file as the operator of the ElementDeployment does: in any of its generations, since they take an
// incomplete entry in different ways.
func lintElement(name string, data []byte) mirror.Problems {
	docs, ps := mirror.ParseDocuments(name, data)
	if !slices.ContainsFunc(docs, isElement) && len(ps) == 0 {
		ps.Add("RND013", mirror.Position{File: name}, "name a file with a ConfigMap that holds data.images_digests, or with an ElementDeployment", "there is nothing in it that the operator of an ElementDeployment reads")
	}
	var servers []string
	for _, root := range docs {
		if text(root.Key("kind")) == "ConfigMap" {
			ps = append(ps, lintConfigMap(root, &servers)...)
		}
	}
	for _, root := range docs {
		if text(root.Key("kind")) == "ElementDeployment" {
			ps = append(ps, lintDeployment(root, servers)...)
			ps = append(ps, lintNamed(root, docs)...)
		}
	}
	return ps
}

// isElement says whether a document is one that is looked at here.
func isElement(root mirror.Node) bool {
	kind := text(root.Key("kind"))
	return kind == "ElementDeployment" || kind == "ConfigMap" && (!root.Find("data", "images_digests").IsZero() || lacksTree(root))
}

// lacksTree says whether a ConfigMap without the tree is most likely meant to have one.
func lacksTree(root mirror.Node) bool {
	return !root.Key("images_digests").IsZero() || text(root.Find("metadata", "name")) == elementDefaults.Name
}

// lintNamed compares the name that an ElementDeployment gives with the ConfigMaps of the same file.
func lintNamed(root mirror.Node, docs []mirror.Node) (ps mirror.Problems) {
	named := root.Find(strings.Split(configMapPath, ".")...)
	for _, other := range docs {
		if text(other.Key("kind")) != "ConfigMap" || other.Find("data", "images_digests").IsZero() {
			continue
		}
		have, want := text(other.Find("metadata", "name")), text(named)
		here, there := text(other.Find("metadata", "namespace")), text(root.Find("metadata", "namespace"))
		switch {
		case want == "":
			ps.Add("RND017", root.Key("spec").Where(), "write "+configMapPath+": "+have, "the ElementDeployment names no ConfigMap, and %s is beside it", have)
		case have != want:
			ps.Add("RND017", named.Where(), "write the name of the ConfigMap: "+have, "the ElementDeployment names ConfigMap %q, and %q is beside it", want, have)
		case here != "" && there != "" && here != there:
			ps.Add("RND017", other.Find("metadata", "namespace").Where(), "write namespace: "+there, "the ConfigMap is in namespace %q and the ElementDeployment in %q", here, there)
		}
	}
	return ps
}

func lintConfigMap(root mirror.Node, servers *[]string) (ps mirror.Problems) {
	carrier := root.Find("data", "images_digests")
	if carrier.IsZero() {
		if lacksTree(root) {
			ps.Add("RND013", root.KeyWhere("data"), "put the tree as text under data.images_digests: write images_digests: | below data", "the ConfigMap has no text under data.images_digests")
			ps[len(ps)-1].Why = "the operator stops with an error"
		}
		return ps
	}
	if _, ok := carrier.Text(); !ok {
		ps.Add("RND013", carrier.Where(), "write images_digests: | and indent the tree below it", "data.images_digests: want text that holds YAML")
		ps[len(ps)-1].Why = "values of a ConfigMap are texts; the API server refuses anything else"
		return ps
	}
	tree, ps := carrier.Inner()
	if ps.Stop() {
		return ps
	}
	trees, tops := []mirror.Node{tree}, []string{"images_digests", "default_images_digests"}
	for _, top := range tops {
		if !tree.Key(top).IsZero() {
			ps.Add("RND013", tree.KeyWhere(top), "delete the line and begin with the components", "data.images_digests: the text begins below the key %s, which stands in it once more", top)
			ps[len(ps)-1].Why = "the operator takes it for a component, and no image is overridden"
			trees = append(trees, tree.Key(top))
		}
	}
	for i, tree := range trees {
		if !tree.IsMapping() {
			ps.Add("RND013", carrier.Where(), "write component, container and image fields as nested mappings", "data.images_digests: want a mapping of components")
		}
		ps = append(ps, lintComponents(tree, i == 0, tops, servers)...)
	}
	return ps
}

// lintComponents judges the components of a tree, but for keys of the outer one that begin a tree of their own.
func lintComponents(tree mirror.Node, outer bool, tops []string, servers *[]string) (ps mirror.Problems) {
	for _, component := range tree.Keys() {
		if outer && slices.Contains(tops, component) {
			continue
		}
		containers := tree.Key(component)
		if !containers.IsMapping() {
			ps.Add("RND013", tree.KeyWhere(component), "delete it, or write its containers below it", "%s: want a mapping of containers", component)
		}
		for _, container := range containers.Keys() {
			ps = append(ps, lintContainer(component+"/"+container, containers.KeyWhere(container), containers.Key(container), servers)...)
		}
	}
	return ps
}

// Why a field that is missing matters, by operator generation.
var elementMissing = map[string]string{
	"image_repository_server": "operators from 2.19.11 to 2.20 stop at an entry without it, others take the upstream's",
	"image_repository_path":   "operators from 2.19.11 to 2.20 stop at an entry without it, others take the upstream's",
	"image_tag":               "operators from 2.19.11 to 2.20 stop at an entry without it, also where it has a digest",
	"image_digest":            "operators up to 2.19.8 take the digest of the vendor's entry with it, and the vendor's image runs",
}

func lintContainer(name string, where mirror.Position, body mirror.Node, servers *[]string) (ps mirror.Problems) {
	if !body.IsMapping() {
		ps.Add("RND013", where, "delete it, or write its four fields", "%s: want image fields below it", name)
		ps[len(ps)-1].Why = "an entry without a body is no override"
		return ps
	}
	var known []string
	for _, f := range elementFields(mirror.Reference{}) {
		known = append(known, f[0])
		switch value := body.Key(f[0]); {
		case value.IsZero():
			ps.Add("RND014", where, "add "+f[0], "%s has no %s", name, f[0])
			ps[len(ps)-1].Why = elementMissing[f[0]]
		case text(value) == "":
			ps.Add("RND014", value.Where(), "write its value", "%s.%s is empty", name, f[0])
			ps[len(ps)-1].Why = "an empty text is not the same as no text: the image becomes one that does not exist"
		case !value.IsString():
			ps.Add("RND015", value.Where(), "put it in quotes: \""+text(value)+"\"", "%s.%s: %s without quotes is no text", name, f[0], text(value))
			ps[len(ps)-1].Why = "YAML reads a number, a truth or a date: 1.10 becomes 1.1"
		}
	}
	for _, key := range body.Keys() {
		if !slices.Contains(known, key) {
			ps.Add("RND014", body.KeyWhere(key), mirror.Suggest(key, known), "%s has an unknown field %q", name, key)
		}
	}
	ps = append(ps, lintElementImage(name, body)...)
	if server := text(body.Key("image_repository_server")); server != "" && !slices.Contains(*servers, server) {
		*servers = append(*servers, server)
	}
	return ps
}

// lintElementImage looks at the values that an entry has.
func lintElementImage(name string, body mirror.Node) (ps mirror.Problems) {
	for _, f := range elementFields(mirror.Reference{}) {
		value, where := text(body.Key(f[0])), body.Key(f[0]).Where()
		if value == "" {
			continue // told already
		}
		switch f[0] {
		case "image_repository_server":
			if what := notAHost(value); what != "" {
				ps.Add("RND019", where, "write host[:port] alone, as in registry.example.org:5000", "%s.%s: %q %s", name, f[0], value, what)
			}
		case "image_repository_path":
			if _, err := mirror.ParseReference("registry.example/" + value); err != nil || strings.ContainsAny(value, ":@") {
				ps.Add("RND019", where, "write the repository alone, without slashes at its ends, tag and digest", "%s.%s: %q is no repository", name, f[0], value)
			}
		case "image_tag":
			if r, err := mirror.ParseReference("registry.example/a:" + value); err != nil || r.Tag != value {
				ps.Add("RND019", where, "write the tag alone, without a digest", "%s.%s: %q is no tag", name, f[0], value)
			}
		case "image_digest":
			if _, err := mirror.ParseDigest(value); err != nil {
				ps.Add("RND019", where, "write sha256: and 64 hexadecimal digits", "%s.%s: %v", name, f[0], err)
			}
		}
	}
	return ps
}

// notAHost says why a text is no registry host as image names begin with it; "" when it is one.
func notAHost(host string) string {
	switch r, err := mirror.ParseReference(host + "/a/b"); {
	case strings.Contains(host, "://"):
		return "begins with a scheme"
	case strings.Contains(host, "/"):
		return "holds a slash"
	case err != nil:
		return "is no registry host"
	case r.Repository != "a/b":
		return "has neither a dot nor a port, so it is taken for a part of a Docker Hub repository"
	}
	return ""
}
