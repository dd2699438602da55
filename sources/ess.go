package sources

import (
	"regexp"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

func init() { register("ess", readESS, essDefaults) }

// essOptions are the options of kind ess: source: {kind: ess, file: ess/images_digests.yml, follow: once}.
type essOptions struct {
	Kind   string `yaml:"kind,required" jsonschema_description:"Element's images_digests.yml as the installer ships it, or the ConfigMap form of it; its entries move together."`
	File   string `yaml:"file,required" jsonschema:"example=ess/images_digests.yml" jsonschema_description:"The vendor's file, relative to desired/."`
	Follow follow `yaml:"follow" jsonschema:"enum=once,enum=always" jsonschema_description:"How often the tag of an entry without digest is asked upstream: once for each version of the file, or at each scheduled cycle."`
	Where  mirror.Position
}

var essDefaults = essOptions{Follow: "once"}

// follow says how often an upstream tag without digest is asked: once per version of the vendor's file, or
// at each scheduled cycle.
type follow string

// UnmarshalText accepts once and always.
func (f *follow) UnmarshalText(b []byte) error {
	switch *f = follow(b); *f {
	case "once", "always":
		return nil
	}
	return mirror.UnknownWord{Kind: "follow", Word: string(b), Known: []string{"once", "always"}}
}

// The trees that the vendor ships, by their top key.
var essRoots = []string{"images_digests", "default_images_digests"}

// Component and container are words of the vendor's; they end up in tags, paths and commit messages.
var essName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)

// readESS reads the vendor's images_digests file as shipped, the same tree without its top key, or the
// ConfigMap that carries it as text.
func readESS(set mirror.Set, files mirror.Files) (listing, mirror.Problems) {
	o := essDefaults
	if ps := set.Source.Node.DecodeAs("source", &o); len(ps) > 0 {
		return listing{}, ps
	}
	file, data, ps := open(files, o.File, set.Source.Node.Key("file").Where())
	if len(ps) > 0 {
		return listing{}, ps
	}
	root, ps := mirror.ParseDocument(file, data)
	if len(ps) > 0 {
		return listing{}, ps
	}
	tree, ps := essTree(root)
	if len(ps) > 0 {
		return listing{}, ps
	}
	entries, ps := essEntries(tree)
	return listing{entries: entries, origin: mirror.DigestOf(data), atomic: true, follow: o.Follow == "always"}, ps
}

func essTree(root mirror.Node) (mirror.Node, mirror.Problems) {
	var ps mirror.Problems
	if kind, _ := root.Key("kind").Text(); kind == "ConfigMap" {
		text := root.Key("data").Key("images_digests")
		if _, ok := text.Text(); !ok {
			ps.Add("SRC010", root.Where(), "add the key images_digests below data, with the tree as text", "the ConfigMap has no text under data.images_digests")
			return root, ps
		}
		if root, ps = text.Inner(); len(ps) > 0 {
			return root, ps
		}
	}
	for _, key := range essRoots {
		tree := root.Key(key)
		if tree.IsZero() {
			continue
		}
		if len(root.Keys()) > 1 {
			ps.Add("SRC010", root.Where(), "leave "+key+" as the only key at the top", "other keys stand at the top beside %s: %s", key, strings.Join(slices.DeleteFunc(root.Keys(), func(k string) bool { return k == key }), ", "))
		}
		return tree, ps
	}
	return root, ps
}

// essEntries walks component -> container -> fields. A body that is empty is no entry: the vendor's
// skeletons have such lines.
func essEntries(tree mirror.Node) ([]mirror.Entry, mirror.Problems) {
	var ps mirror.Problems
	var entries []mirror.Entry
	if !tree.IsMapping() && !tree.IsNull() {
		ps.Add("SRC010", tree.Where(), "write component, container and image fields as nested mappings", "images_digests: want a mapping of components")
	}
	for _, component := range tree.Keys() {
		containers := tree.Key(component)
		if !containers.IsMapping() && !containers.IsNull() {
			ps.Add("SRC010", containers.Where(), "write the containers below it, each with its image fields", "%s: want a mapping of containers", component)
		}
		for _, container := range containers.Keys() {
			body, name := containers.Key(container), component+"/"+container
			switch {
			case body.IsNull():
			case !essName.MatchString(component) || !essName.MatchString(container):
				ps.Add("SRC010", containers.KeyWhere(container), "use letters, digits and . _ -", "malformed name %q", name)
			default:
				image, problems := essImage(name, body)
				ps = append(ps, problems...)
				entries = append(entries, mirror.Entry{Name: name, Image: image, Where: body.Where()})
			}
		}
	}
	return entries, ps
}

// essImage reads the four fields of one entry. They are text in the vendor's file even where YAML would
// read a number: a tag 1.10 is not 1.1.
func essImage(name string, body mirror.Node) (mirror.Reference, mirror.Problems) {
	var fields struct {
		Server string      `yaml:"image_repository_server,required"`
		Path   string      `yaml:"image_repository_path,required"`
		Tag    string      `yaml:"image_tag,required"`
		Digest mirror.Node `yaml:"image_digest"`
	}
	ps := body.DecodeAs(name, &fields)
	if len(ps) > 0 {
		return mirror.Reference{}, ps
	}
	for _, f := range []struct{ key, value string }{
		{"image_repository_server", fields.Server}, {"image_repository_path", fields.Path}, {"image_tag", fields.Tag},
	} {
		if f.value == "" {
			ps.Add("DOC005", body.Key(f.key).Where(), "add it", "%s.%s is empty", name, f.key)
		}
	}
	if len(ps) > 0 {
		return mirror.Reference{}, ps
	}
	image, err := mirror.ParseReference(fields.Server + "/" + fields.Path + ":" + fields.Tag)
	switch {
	case err != nil || image.Tag != fields.Tag:
		ps.Add("SRC011", body.Key("image_repository_server").Where(), "write the server as host[:port] without scheme, the path without tag and digest, the tag alone", "%s: %q, %q and %q are no image reference", name, fields.Server, fields.Path, fields.Tag)
		return image, ps
	case !strings.EqualFold(image.Host, fields.Server) && fields.Server != "index.docker.io":
		// A server without dot or port would be taken for the first part of a Docker Hub repository.
		ps.Add("SRC011", body.Key("image_repository_server").Where(), "write the registry's full host name, with :port where it needs one", "%s: image_repository_server %q is no registry host", name, fields.Server)
		return image, ps
	}
	// An empty digest means none, as it does for the operator that reads this file.
	if text, ok := fields.Digest.Text(); ok && text != "" {
		if image.Digest, err = mirror.ParseDigest(text); err != nil {
			ps.Add("SRC012", fields.Digest.Where(), "copy it from the vendor's file again", "%s.image_digest: %v", name, err)
		}
	} else if !fields.Digest.IsZero() && !fields.Digest.IsNull() && !ok {
		ps.Add("SRC012", fields.Digest.Where(), "write sha256: and 64 hexadecimal digits", "%s.image_digest: want text", name)
	}
	return image, ps
}
