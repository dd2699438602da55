package sources

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

func init() { register("palette", readPalette, paletteDefaults) }

// paletteOptions are the options of kind palette: lists of images, values of a chart of Palette's, or both.
type paletteOptions struct {
	Kind   string        `yaml:"kind,required" jsonschema_description:"Images of Spectro Cloud Palette: lists as Palette ships them, and values of its image-swap chart; its entries move together."`
	Files  []mirror.Node `yaml:"files" jsonschema:"minItems=1,example=palette/images.txt" jsonschema_description:"Files with one reference a line, relative to desired/; # begins a comment."`
	Values string        `yaml:"values" jsonschema:"example=palette/image-swap-values.yaml" jsonschema_description:"Values with ociImageRegistry, or the Secret registry-info, relative to desired/: imageSwapImages are images of the set, and mirrorRegistries says where the images of each host lie, for hosts that paths does not name."`
	Follow follow        `yaml:"follow" jsonschema:"enum=once,enum=always" jsonschema_description:"How often the tag of an image without digest is asked upstream: once for each version of the files, or at each scheduled cycle."`
	Where  mirror.Position
}

var paletteDefaults = paletteOptions{Follow: "once"}

// readPalette reads the lists and the values. An entry is named by host and repository where one tag of it is wanted, so
// that a new release changes digests and not names.
func readPalette(set mirror.Set, files mirror.Files) (listing, mirror.Problems) {
	o := paletteDefaults
	ps := set.Source.Node.DecodeAs("source", &o)
	if len(ps) > 0 {
		return listing{}, ps
	}
	if len(o.Files) == 0 && o.Values == "" {
		ps.Add("SRC040", o.Where, "write source: {kind: palette, files: [palette/images.txt], values: palette/values.yaml}, or one of the two", "source: want files, values or both")
		return listing{}, ps
	}
	var found []wanted
	var bytes []byte
	for _, node := range o.Files {
		name, _ := node.Text()
		file, data, problems := open(files, name, node.Where())
		ps, bytes = append(ps, problems...), append(bytes, data...)
		images, problems := imageLines(file, data, false)
		ps, found = append(ps, problems...), append(found, images...)
	}
	l := listing{atomic: true, follow: o.Follow == "always"}
	if o.Values != "" {
		file, data, problems := open(files, o.Values, set.Source.Node.Key("values").Where())
		ps, bytes = append(ps, problems...), append(bytes, data...)
		if len(problems) == 0 {
			v := paletteValues{paths: map[string]string{}}
			v.read(file, data)
			ps, found, l.paths = append(ps, v.problems...), append(found, v.found...), v.paths
		}
	}
	if len(ps) > 0 {
		return listing{}, ps
	}
	l.origin = mirror.DigestOf(bytes)
	l.entries, ps = entriesOf(found)
	return l, ps
}

// imageLines reads one reference a line; # begins a comment. With latest a name alone means that tag, as tools take it.
func imageLines(file string, data []byte, latest bool) (found []wanted, ps mirror.Problems) {
	for i, line := range strings.Split(strings.TrimPrefix(string(data), "\ufeff"), "\n") {
		text, _, _ := strings.Cut(line, "#")
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		where := mirror.Position{File: file, Line: i + 1, Column: 1 + len([]rune(line[:strings.Index(line, text)]))}
		image, err := mirror.ParseReference(text)
		switch {
		case err != nil:
			ps.Add("SRC021", where, "write registry/repository:tag or registry/repository@sha256:<64 hex>, one a line", "%v", err)
			continue
		case image.Tag == "" && !image.HasDigest() && !latest:
			ps.Add("SRC022", where, fmt.Sprintf("write %s:<tag> or, better, %s:<tag>@sha256:<64 hex>", image.Name(), image.Name()), "%s has neither tag nor digest", text)
			continue
		case image.Tag == "" && !image.HasDigest():
			image.Tag = "latest"
		}
		found = append(found, wanted{image, where})
	}
	return found, ps
}

// paletteValues are values of a chart of Palette's or the Secret registry-info, with what they say of images and paths.
// Source: spectrocloud/librarium, registry-override.md.
type paletteValues struct {
	endpoint, base string
	found          []wanted
	paths          map[string]string
	problems       mirror.Problems
}

func (v *paletteValues) read(file string, data []byte) {
	docs, ps := mirror.ParseDocuments(file, data)
	v.problems = append(v.problems, ps...)
	told := false
	for _, root := range docs {
		if kind, _ := root.Key("kind").Text(); kind == "Secret" {
			secret := root.Key("stringData")
			told = v.block(secret, "DOMAIN", "BASE_PATH", "MIRROR_REGISTRIES") || told
			continue
		}
		for _, config := range []mirror.Node{root, root.Key("config")} {
			block := config.Key("ociImageRegistry")
			told = !block.IsZero() && v.block(block, "endpoint", "baseContentPath", "mirrorRegistries") || told
			v.images(config.Key("imageSwapImages"))
		}
	}
	if !told && len(v.problems) == 0 {
		v.problems.Add("SRC044", mirror.Position{File: file}, "name values with ociImageRegistry, or the Secret registry-info with stringData", "the file says nothing of a registry")
	}
}

// block reads where the registry is and the mapping, by the keys of either form.
func (v *paletteValues) block(n mirror.Node, endpoint, base, pairs string) bool {
	v.endpoint, _ = n.Key(endpoint).Text()
	v.base, _ = n.Key(base).Text()
	v.base = strings.Trim(v.base, "/")
	text, _ := n.Key(pairs).Text()
	for _, key := range []string{endpoint, pairs} {
		if value, _ := n.Key(key).Text(); value == "" || strings.HasPrefix(value, "REPLACE_WITH_") {
			v.problems.Add("SRC044", n.KeyWhere(key), "fill it in, or name the images in files and the paths in paths: of the set", "%s is missing or not filled in", key)
		}
	}
	if len(v.problems) == 0 {
		v.mapping(text, n.Key(pairs).Where())
	}
	return true
}

func (v *paletteValues) images(n mirror.Node) {
	for _, key := range n.Keys() {
		text, _ := n.Key(key).Text()
		image, err := mirror.ParseReference(text)
		switch {
		case text == "":
		case err != nil:
			v.problems.Add("SRC045", n.Key(key).Where(), "write registry/repository:tag", "imageSwapImages.%s: %v", key, err)
		case v.names(image):
			v.problems.Add("SRC045", n.Key(key).Where(), "take the values as Palette ships them: this names the mirror, not the upstream", "imageSwapImages.%s is taken from %s", key, v.endpoint)
		case image.Tag == "" && !image.HasDigest():
			v.problems.Add("SRC022", n.Key(key).Where(), "add a tag or, better, a digest", "imageSwapImages.%s has neither tag nor digest", key)
		default:
			v.found = append(v.found, wanted{image, n.Key(key).Where()})
		}
	}
}

// names says whether an image lies at the endpoint, which may have a path: registries such as public.ecr.aws give one to
// each account, and what lies beside it is of others.
func (v *paletteValues) names(image mirror.Reference) bool {
	endpoint := strings.ToLower(strings.TrimSuffix(v.endpoint, "/"))
	return endpoint != "" && strings.HasPrefix(strings.ToLower(image.Name())+"/", endpoint+"/")
}

// mapping makes a path of every pair: what is behind the endpoint and the base path. Palette's own examples are uneven,
// so nothing is derived from a host: two may share a path, and one may be the base itself.
func (v *paletteValues) mapping(text string, where mirror.Position) {
	add := func(code, fix, format string, args ...any) { v.problems.Add(code, where, fix, format, args...) }
	hub := map[string]string{} // what Docker Hub's other names map to
	for i, pair := range strings.Split(text, ",") {
		host, target, ok := strings.Cut(strings.TrimSpace(pair), "::")
		rest, inside := v.behind(target)
		switch {
		case !ok || host == "" || strings.Contains(target, "::"):
			add("SRC041", "write host::registry/path, with commas between", "mirrorRegistries: pair %d is not host::target", i+1)
		case strings.HasPrefix(host, "["), strings.HasSuffix(target, "-"), target == "" && host != "default":
			add("SRC043", "take it out, and name such images in the map of image-swap yourself", "mirrorRegistries: pair %d (%s) names no place for the images of a host", i+1, host)
		case host == "default" && target == "", host == "noswap_wildcards":
		case !inside:
			add("SRC042", "give the set paths: of its own, or map below "+path.Join(v.endpoint, v.base), "mirrorRegistries: %s maps to %s, which does not lie below %s", host, target, path.Join(v.endpoint, v.base))
		case host == "docker.io/library" || host == "index.docker.io":
			hub[host] = rest
		case !isRepositoryPath(rest) || !mirror.IsHost(host):
			add("SRC041", "write a host as images name it and a path in lower case", "mirrorRegistries: pair %d does not map a host to a path", i+1)
		case v.has(host):
			add("SRC041", "keep one of them", "mirrorRegistries: %s stands there twice", host)
		default:
			v.paths[host] = rest
		}
	}
	for _, name := range slices.Sorted(maps.Keys(hub)) {
		if want := path.Join(v.paths["docker.io"], strings.TrimPrefix(strings.TrimPrefix(name, "docker.io"), "index.docker.io")); !v.has("docker.io") || hub[name] != want {
			add("SRC043", "map docker.io, docker.io/library and index.docker.io to one place", "mirrorRegistries: %s lies elsewhere than docker.io, and both are one registry", name)
		}
	}
}

func (v *paletteValues) has(host string) bool { _, ok := v.paths[host]; return ok }

// behind gives what comes after endpoint and base path, with or without the /v2 that containerd wants.
func (v *paletteValues) behind(target string) (rest string, inside bool) {
	for _, prefix := range []string{path.Join(v.endpoint, v.base), path.Join(v.endpoint, "v2", v.base)} {
		if rest, ok := strings.CutPrefix(strings.TrimSuffix(target, "/")+"/", prefix+"/"); ok {
			return strings.Trim(rest, "/"), true
		}
	}
	return "", false
}

func isRepositoryPath(p string) bool {
	_, err := mirror.ParseReference("x.example/" + path.Join(p, "x"))
	return err == nil && !strings.ContainsAny(p, ":@")
}
