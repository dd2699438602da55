package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

func init() {
	register("digests", kind{reach: forSets, check: checkDigests, files: digestFiles, options: digestOptions{},
		reads: readsDigests, lint: lintDigests,
		about: "What stands, for any other tool: digests.txt, one image of the local registry a line, and images.json with all that is known of each."})
}

const (
	digestsFile = "digests.txt"
	imagesFile  = "images.json"
)

// digestOptions are the options of kind digests: it has none.
type digestOptions struct {
	Where mirror.Position
}

func checkDigests(r request) mirror.Problems {
	var o digestOptions
	return r.options.DecodeAs("render.digests", &o)
}

// imagesVersion is the version of images.json. A reader may rely on what is there: fields are added without a new one.
const imagesVersion = 1

// imageList is images.json.
type imageList struct {
	Version int           `json:"version"`
	Set     string        `json:"set"`
	Stage   mirror.Stage  `json:"stage"`
	Images  []listedImage `json:"images"`
}

// listedImage is one entry of images.json. What stays the same in a new version of the image comes first.
type listedImage struct {
	Entry      string `json:"entry"`
	Registry   string `json:"registry"`   // the local one, host[:port]
	Repository string `json:"repository"` // in it
	Upstream   string `json:"upstream"`   // reference as people name it, with digest
	Tag        string `json:"tag"`        // in the local registry
	Digest     string `json:"digest"`
	Image      string `json:"image"` // registry/repository@digest, to pull by
}

func digestFiles(s scene, _ mirror.Node) overrides {
	one := s.parts[0]
	list := imageList{Version: imagesVersion, Set: one.set.Name, Stage: one.name}
	upstream := map[string][]string{} // by what is pulled
	for _, i := range s.images() {
		pull := i.local.AtDigest(i.local.Digest).String()
		list.Images = append(list.Images, listedImage{Entry: i.entry, Registry: i.local.Host, Repository: i.local.Repository, Upstream: i.upstream.String(),
			Tag: i.local.Tag, Digest: i.local.Digest.String(), Image: pull})
		if name := i.upstream.WithDigest(mirror.Digest{}).String(); !slices.Contains(upstream[pull], name) {
			upstream[pull] = append(upstream[pull], name)
		}
	}
	slices.SortFunc(list.Images, func(a, b listedImage) int { return strings.Compare(a.Entry, b.Entry) })
	var text bytes.Buffer
	for _, i := range s.images() {
		pull := i.local.AtDigest(i.local.Digest).String()
		if names := upstream[pull]; len(names) > 0 {
			fmt.Fprintf(&text, "%s # %s\n", pull, strings.Join(names, " "))
			delete(upstream, pull)
		}
	}
	data, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		panic("render: " + err.Error()) // texts and numbers alone
	}
	return overrides{files: mirror.Files{digestsFile: text.Bytes(), imagesFile: append(data, '\n')}}
}

func readsDigests(name string, data []byte) bool {
	switch path.Base(name) {
	case digestsFile:
		return true
	case imagesFile:
		return bytes.Contains(data, []byte(`"images"`)) && bytes.Contains(data, []byte(`"version"`))
	}
	return false
}

// lintDigests finds lines that name no content, and in images.json what contradicts itself.
func lintDigests(name string, data []byte) mirror.Problems {
	if strings.HasSuffix(name, ".json") {
		return lintImageList(name, data)
	}
	ps := mirror.CheckText(name, data)
	if len(ps) > 0 {
		return ps
	}
	first := map[string]int{}
	for n, line := range strings.Split(string(data), "\n") {
		image, _, _ := strings.Cut(line, "#")
		where := mirror.Position{File: name, Line: n + 1, Column: 1}
		if image = strings.TrimSpace(image); image == "" {
			continue
		}
		if r, err := mirror.ParseReference(image); err != nil || !r.HasDigest() || !strings.HasPrefix(image, r.Host+"/") {
			ps.Add("RND070", where, "write registry/repository@sha256:<64 hex>, one a line", "%q names no content of a registry", mirror.OneLine(image))
			continue
		}
		if before, twice := first[image]; twice {
			ps.Add("RND070", where, "keep one of them", "%s is listed twice, first in line %d", image, before)
			continue
		}
		first[image] = n + 1
	}
	return ps
}

func lintImageList(name string, data []byte) mirror.Problems {
	doc, ps := mirror.ParseDocument(name, data)
	if ps.Stop() {
		return ps
	}
	if version := text(doc.Key("version")); version != fmt.Sprint(imagesVersion) {
		ps.Add("RND070", doc.Key("version").Where(), fmt.Sprintf("write \"version\": %d", imagesVersion), "version %q of the list is not known", mirror.OneLine(version))
	}
	for _, item := range doc.Key("images").Items() {
		image, err := mirror.ParseReference(text(item.Key("image")))
		_, err2 := mirror.ParseReference(text(item.Key("upstream")))
		where := item.Key("image").Where()
		switch {
		case err != nil || !image.HasDigest():
			ps.Add("RND070", where, "write registry/repository@sha256:<64 hex>", "%q names no content of a registry", mirror.OneLine(text(item.Key("image"))))
		case err2 != nil:
			ps.Add("RND070", item.Key("upstream").Where(), "write registry/repository:tag", "%q is no image", mirror.OneLine(text(item.Key("upstream"))))
		case image.Host+"/"+image.Repository+"@"+image.Digest.String() != text(item.Key("registry"))+"/"+text(item.Key("repository"))+"@"+text(item.Key("digest")):
			ps.Add("RND070", where, "see registry, repository and digest beside it", "image %s is not what its parts say", image)
		}
	}
	return ps
}
