package render

import (
	"bytes"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

func readsKustomize(name string, data []byte) bool {
	switch path.Base(name) {
	case "kustomization.yaml", "kustomization.yml", "Kustomization":
		return bytes.Contains(data, []byte("images:"))
	}
	return false
}

var kustomizeVersions = map[string]string{"": "kustomize.config.k8s.io/v1beta1", "Kustomization": "kustomize.config.k8s.io/v1beta1", "Component": "kustomize.config.k8s.io/v1alpha1"}

// lintKustomize finds in images: what makes kustomize stop, what it takes without effect, and what it applies to images
// that the line is not for.
func lintKustomize(name string, data []byte) mirror.Problems {
	doc, ps := mirror.ParseDocument(name, data)
	if ps.Stop() {
		return ps
	}
	kind, version := text(doc.Key("kind")), text(doc.Key("apiVersion"))
	want, known := kustomizeVersions[kind]
	switch {
	case !known:
		ps.Add("RND065", doc.KeyWhere("kind"), "write Kustomization or Component", "kind: %q is refused", mirror.OneLine(kind))
	case version != "" && version != want:
		ps.Add("RND065", doc.KeyWhere("apiVersion"), "write "+want, "apiVersion: %q is refused for this kind", mirror.OneLine(version))
	}
	list := doc.Key("images")
	if !list.IsZero() && !list.IsNull() && len(list.Items()) == 0 {
		ps.Add("RND065", list.Where(), "write a list of {name, newName, newTag, digest}", "images: has no lines")
	}
	var all []written
	for _, item := range list.Items() {
		w := readImageLine(item)
		wrong := w.lint()
		if ps = append(ps, wrong...); len(wrong) == 0 {
			all = append(all, w)
		}
	}
	return append(ps, clashes(all)...)
}

// written is a line of images: as somebody wrote it.
type written struct {
	imageLine
	as     string // the name as it stands there
	suffix string
	where  mirror.Node
}

var plainImage = regexp.MustCompile(`^([a-zA-Z0-9_/:@-]|\.|\[\.\])+$`)

func readImageLine(item mirror.Node) written {
	w := written{as: text(item.Key("name")), suffix: text(item.Key("tagSuffix")), where: item}
	w.newName, w.newTag, w.digest = text(item.Key("newName")), text(item.Key("newTag")), text(item.Key("digest"))
	w.literal = strings.ReplaceAll(w.as, "[.]", ".")
	w.guarded = w.literal != w.as
	if w.guarded && strings.Count(w.as, "[.]") != strings.Count(w.literal, ".") || !plainImage.MatchString(w.as) {
		w.other, _ = regexp.Compile("^(" + w.as + ")$") // told of in lint
	}
	return w
}

// lint finds what is wrong with a line by itself.
func (w written) lint() (ps mirror.Problems) {
	known := []string{"name", "newName", "newTag", "digest", "tagSuffix"}
	for _, key := range w.where.Keys() {
		value := w.where.Key(key)
		switch {
		case !slices.Contains(known, key):
			ps.Add("RND065", w.where.KeyWhere(key), mirror.Suggest(key, known), "images: kustomize stops at the unknown key %q", mirror.OneLine(key))
		case !value.IsString():
			ps.Add("RND065", value.Where(), "put it into quotes", "images: %s is no text: a tag such as 1.10 is read as a number", key)
		}
	}
	where := w.where.KeyWhere("name")
	if w.as == "" {
		ps.Add("RND065", where, "write name: with the image as the manifests spell it", "images: a line without name matches nothing")
		return ps
	}
	if _, err := regexp.Compile("^" + w.as + "$"); err != nil {
		ps.Add("RND065", where, "write the image's name; a dot may be written as [.]", "images: name is no regular expression, at which kustomize crashes: %v", err)
		return ps
	}
	if w.newName+w.newTag+w.digest+w.suffix == "" {
		ps.Add("RND065", where, "write newName:, newTag: or digest:", "images: the line for %s changes nothing", mirror.OneLine(w.as))
	}
	if w.digest != "" {
		if _, err := mirror.ParseDigest(w.digest); err != nil {
			ps.Add("RND065", w.where.Key("digest").Where(), "copy the whole digest: sha256: and 64 hexadecimal digits", "images: the digest for %s is none", mirror.OneLine(w.as))
		}
	}
	if w.newName != "" {
		place, err := mirror.ParseReference(w.newName)
		switch {
		case err != nil:
			ps.Add("RND065", w.where.Key("newName").Where(), "write registry/repository, without a scheme", "images: newName %q is no image", mirror.OneLine(w.newName))
		case place.Tag != "" || place.HasDigest():
			ps.Add("RND065", w.where.Key("newName").Where(), "write it as newTag: or digest:", "images: newName %q has a tag or digest, and one more is put after it", mirror.OneLine(w.newName))
		}
	}
	return ps
}

// clashes finds what lines make of each other's images.
func clashes(all []written) (ps mirror.Problems) {
	lines := make([]imageLine, len(all))
	for i, w := range all {
		lines[i] = w.imageLine
	}
	index := indexed(lines)
	say := func(at, other int, fix, format string, args ...any) {
		ps.Add("RND066", all[at].where.KeyWhere("name"), fix, "images: "+format+" (line %d)", append(args, all[other].where.Where().Line)...)
	}
	first := map[string]int{}
	for i, w := range all {
		if before, twice := first[w.as]; twice {
			say(i, before, "keep one of them", "%s has two lines", mirror.OneLine(w.as))
			continue
		}
		first[w.as] = i
		if w.other == nil {
			for _, other := range index.matching(lines[i], lines) {
				say(i, other, fmt.Sprintf("write name: %q", strings.ReplaceAll(w.literal, ".", "[.]")),
					"the line for %s also matches %s, since its dots stand for any character", mirror.OneLine(w.as), mirror.OneLine(all[other].as))
			}
		}
		if again := index.first(w.result(), i+1); again >= 0 && w.newName != "" && lines[again].result() != w.result() {
			say(again, i, "write the final name in one line", "%s is replaced again, since the lines apply one after the other", mirror.OneLine(w.newName))
		}
	}
	return ps
}
