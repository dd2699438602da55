package render

import (
	"bytes"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// registryImageName is how the images of the server are named, wherever they lie.
const registryImageName = "package-registry"

// readsPackageRegistry knows a config.yml of the server, and Deployments that run it.
func readsPackageRegistry(name string, data []byte) bool {
	return isDocument(name) && (bytes.Contains(data, []byte("package_paths:")) ||
		bytes.Contains(data, []byte("\nkind: Deployment")) && (bytes.Contains(data, []byte("/"+registryImageName)) || bytes.Contains(data, []byte("EPR_"))))
}

// lintPackageRegistry finds with what the server serves something else than was promoted, or does not start.
func lintPackageRegistry(name string, data []byte) mirror.Problems {
	docs, ps := mirror.ParseDocuments(name, data)
	known := false
	for _, root := range docs {
		switch {
		case text(root.Key("kind")) == "Deployment":
			known = true
			for _, c := range root.Find("spec", "template", "spec", "containers").Items() {
				ps = append(ps, lintServer(c)...)
			}
		case text(root.Key("kind")) == "ConfigMap":
			known = true
			for _, key := range root.Key("data").Keys() {
				if inner, wrong := root.Find("data", key).Inner(); len(wrong) == 0 && !inner.Key("package_paths").IsZero() {
					ps = append(ps, lintServerConfig(inner)...)
				}
			}
		case !root.Key("package_paths").IsZero():
			known = true
			ps = append(ps, lintServerConfig(root)...)
		}
	}
	if !known && len(ps) == 0 {
		ps.Add("RND147", mirror.Position{File: name}, "see the kind of the documents", "the file holds neither settings of a package registry nor a Deployment")
	}
	return ps
}

func lintServer(c mirror.Node) (ps mirror.Problems) {
	isServer := strings.Contains(text(c.Key("image")), registryImageName) || strings.Contains(text(c.Key("image")), "/distribution")
	for _, one := range c.Key("env").Items() {
		name := text(one.Key("name"))
		isServer = isServer || strings.HasPrefix(name, "EPR_")
		switch {
		case slices.Contains(upstreamSettings, name) && isTrue(text(one.Key("value"))):
			ps.Add("RND145", one.Where(), "delete it", "with %s the server asks an upstream for packages", name)
			ps[len(ps)-1].Why = "what comes from there was never judged"
		case name == "EPR_ADDRESS" && (strings.HasPrefix(text(one.Key("value")), "localhost:") || strings.HasPrefix(text(one.Key("value")), "127.")):
			ps.Add("RND147", one.Key("value").Where(), "write 0.0.0.0:8080", "the server answers inside its own container only")
		}
	}
	image := c.Key("image")
	if r, err := mirror.ParseReference(text(image)); isServer && (err != nil || !r.HasDigest()) {
		ps.Add("RND147", image.Where(), "add the digest: registry/repository:tag@sha256:<64 hex>", "image %q is not pinned to content", mirror.OneLine(text(image)))
		ps[len(ps)-1].Why = "a tag that moves rolls nothing out, and two pods may serve two channels"
	}
	return ps
}

func lintServerConfig(root mirror.Node) (ps mirror.Problems) {
	var paths []string
	list := root.Key("package_paths")
	for _, item := range list.Items() {
		paths = append(paths, text(item))
	}
	if len(paths) == 0 {
		ps.Add("RND146", list.Where(), "list the folders with packages", "package_paths: no folder is listed")
		ps[len(ps)-1].Why = "the server ends where it finds no package"
	}
	seen := map[string]int{}
	for i, dir := range paths {
		if before, twice := seen[path.Clean(dir)]; twice {
			ps.Add("RND146", list.Find(strconv.Itoa(i)).Where(), "list it once", "package_paths: %s is listed twice, first as number %d", mirror.OneLine(dir), before+1)
		}
		seen[path.Clean(dir)] = i
	}
	ps = append(ps, lintPathOrder(paths, list)...)
	found := map[string]setting{}
	flatten(root, "", found)
	for _, key := range []string{"index", "search", "categories", "catch_all"} {
		at := found["cache_time."+key]
		if _, err := time.ParseDuration(text(at.node)); !at.node.IsZero() && err != nil {
			ps.Add("RND146", at.node.Where(), "write a number with its unit, such as 10m", "cache_time.%s: %q is no time", key, mirror.OneLine(text(at.node)))
		}
	}
	return ps
}

// lintPathOrder finds a lower stage before a higher one: of the same version in two folders the first one is served.
func lintPathOrder(paths []string, list mirror.Node) (ps mirror.Problems) {
	for i := range paths {
		rank := slices.Index(mirror.DefaultStages, mirror.Stage(path.Base(paths[i])))
		for j := range i {
			if before := slices.Index(mirror.DefaultStages, mirror.Stage(path.Base(paths[j]))); rank >= 0 && before >= 0 && before < rank {
				ps.Add("RND146", list.Find(strconv.Itoa(i)).Where(), "list the highest stage first: production, staging, snapshot", "package_paths: %s stands behind %s", mirror.OneLine(paths[i]), mirror.OneLine(paths[j]))
				ps[len(ps)-1].Why = "of the same version in two folders the first one is served"
				break
			}
		}
	}
	return ps
}
