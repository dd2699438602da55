package render

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

func init() {
	register("image-swap", kind{reach: forBoth, check: checkImageSwap, files: imageSwapFiles, proof: proveImageSwap,
		reads: readsImageSwap, lint: lintImageSwap, options: imageSwapDefaults,
		about: "ConfigMap with the map of the image-swap webhook, which rewrites the images of pods to the local registry; for layout path."})
}

// imageSwapFile holds the ConfigMap that the webhook mounts; imageSwapKey is the key that it reads.
const imageSwapFile, imageSwapKey = "imageswap-maps.yaml", "maps"

// imageSwapOptions are the options of kind image-swap.
type imageSwapOptions struct {
	Name      string `yaml:"name" jsonschema_description:"Name of the ConfigMap that the webhook mounts."`
	Namespace string `yaml:"namespace" jsonschema_description:"Namespace of the webhook."`
	Where     mirror.Position
}

var imageSwapDefaults = imageSwapOptions{Name: "imageswap-maps", Namespace: "imageswap-system"}

func checkImageSwap(r request) mirror.Problems {
	o := imageSwapDefaults
	ps := r.options.DecodeAs("render.image-swap", &o)
	if len(ps) == 0 && !objectName.MatchString(o.Name) {
		ps.Add("RND010", r.options.Key("name").Where(), "use lower-case letters, digits, . and -", "render.image-swap.name: %q is no name of a ConfigMap", o.Name)
	}
	if len(ps) == 0 && !namespaceName.MatchString(o.Namespace) {
		ps.Add("RND010", r.options.Key("namespace").Where(), "use lower-case letters, digits and -", "render.image-swap.namespace: %q is no namespace", o.Namespace)
	}
	return append(ps, r.resolvesTags("image-swap")...)
}

func imageSwapFiles(s scene, options mirror.Node) overrides {
	o := imageSwapDefaults
	_ = options.DecodeAs("", &o) // checked before
	var b bytes.Buffer
	fmt.Fprintf(&b, "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: %q\n  namespace: %q\ndata:\n  %s: |\n", o.Name, o.Namespace, imageSwapKey)
	for line := range strings.Lines(s.swapMap().text()) {
		b.WriteString("    " + line)
	}
	return overrides{files: mirror.Files{imageSwapFile: b.Bytes()}, resources: []string{imageSwapFile}}
}

// swapMap gives the whole map: an empty default, so that what is not mirrored is left as it is; a line for each host;
// and lines of their own for the repositories that the line of their host would lead elsewhere.
func (s scene) swapMap() swapMap {
	m := newSwapMap()
	m.add(swapLine{key: swapDefault})
	m.add(swapLine{key: swapNever, target: s.local.Host})
	for _, pair := range s.swapPairs() {
		m.add(pair)
	}
	places := s.swapPlaces()
	for _, i := range s.images() {
		for _, name := range swapSpellings(i.upstream) {
			if !slices.ContainsFunc(swapVersions(i.upstream), func(version string) bool { return !places.hold(m, i, name, version) }) {
				continue
			}
			if _, taken := m.exact[name]; !taken {
				m.add(swapLine{form: swapExact, key: name, target: i.local.Name()})
				m.add(swapLine{form: swapReplace, key: name + "[:@]*", target: path.Dir(i.local.Name())})
			}
		}
	}
	return m
}

// swapPairs gives a line for each host that something stands for or that the path table of a set names. A host without
// a dot is none for the webhook. Docker Hub has three: its own name, its older one, and names without any slash.
func (s scene) swapPairs() (pairs []swapLine) {
	for _, h := range s.swapHosts() {
		target := s.local.Host + "/" + h.paths[0]
		if h.name == dockerHub {
			pairs = append(pairs, swapLine{key: dockerHub + swapLibrary, target: target + swapLibrary}, swapLine{key: swapHubIndex, target: target})
		}
		if strings.Contains(h.name, ".") {
			pairs = append(pairs, swapLine{key: h.name, target: target})
		}
	}
	slices.SortFunc(pairs, func(a, b swapLine) int { return cmp.Compare(a.key, b.key) })
	return pairs
}

// swapHosts gives the hosts that a map names. A host of a path table of which nothing stands is named, too: images of
// it are then missed at the local registry instead of taken from the upstream. One that cannot be, where charts come from, is not.
func (s scene) swapHosts() []host {
	all := s.mirrored()
	for _, p := range s.parts {
		for _, name := range slices.Sorted(maps.Keys(p.set.Paths)) {
			if mirror.IsHost(name) && !strings.HasSuffix(name, ".invalid") && !s.isOwn(name) && !slices.ContainsFunc(all, func(h host) bool { return h.name == name }) {
				all = append(all, host{name, []string{s.local.HostPath(p.set, p.name, name)}})
			}
		}
	}
	slices.SortFunc(all, func(a, b host) int { return cmp.Compare(a.name, b.name) })
	return all
}

// swapSpellings gives the ways in which pods name the repository of an image.
func swapSpellings(image mirror.Reference) []string {
	if image.Host != dockerHub {
		return []string{image.Name()}
	}
	names := []string{image.Name(), swapHubIndex + "/" + image.Repository}
	if first, _, _ := strings.Cut(image.Repository, "/"); !strings.ContainsAny(first, ".:") && first != "localhost" {
		names = append(names, image.Repository)
	}
	if short, official := strings.CutPrefix(image.Repository, "library/"); official && !strings.Contains(short, "/") {
		names = append(names, short, dockerHub+"/"+short, swapHubIndex+"/"+short)
	}
	return names
}

// swapVersions gives what pods write behind the repository.
func swapVersions(image mirror.Reference) []string {
	digest := "@" + image.Digest.String()
	if image.Tag == "" {
		return []string{digest}
	}
	return []string{":" + image.Tag, digest, ":" + image.Tag + digest}
}

// swapPlaces knows what lies where: two sets may have one image at two places, and either is right.
type swapPlaces map[string]mirror.Digest

func (s scene) swapPlaces() swapPlaces {
	places := swapPlaces{}
	for _, i := range s.images() {
		for _, version := range swapVersions(i.upstream) {
			places[i.local.Name()+version] = i.upstream.Digest
		}
	}
	return places
}

// hold says whether the map leads an image, spelled so, to where its content lies, and leaves it there.
func (p swapPlaces) hold(m swapMap, i image, name, version string) bool {
	once, changed, err := m.swap(name + version)
	if err != nil || !changed || p[once] != i.upstream.Digest || i.upstream.Digest == (mirror.Digest{}) {
		return false
	}
	twice, _, err := m.swap(once)
	return err == nil && twice == once
}

// proveImageSwap reads the map back and swaps every image of the scene in every spelling.
func proveImageSwap(s scene, _ mirror.Node, files mirror.Files) (ps mirror.Problems) {
	root, ps := mirror.ParseDocument(imageSwapFile, files[imageSwapFile])
	if len(ps) > 0 {
		return ps
	}
	return s.proveSwap(readSwapMap(text(root.Find("data", imageSwapKey))), imageSwapFile, swapSpellings)
}

func (s scene) proveSwap(m swapMap, file string, spellings func(mirror.Reference) []string) (ps mirror.Problems) {
	at, places := mirror.Position{File: file}, s.swapPlaces()
	lies := map[string][]string{} // by repository upstream
	for _, i := range s.images() {
		if name := i.upstream.Name(); !slices.Contains(lies[name], i.local.Name()) {
			lies[name] = append(lies[name], i.local.Name())
		}
	}
	for _, i := range s.images() {
		name := i.upstream.Name()
		if two := lies[name]; len(two) > 1 && !places.hold(m, i, name, swapVersions(i.upstream)[0]) {
			ps.Add("RND090", at, "run the two sets at one stage and with one table of paths, or let the nodes ask both places (containerd, k3s)",
				"%s lies at two places, %s and %s, and image-swap knows one for a repository", name, two[0], two[1])
			continue
		}
		for _, spelling := range spellings(i.upstream) {
			version := slices.IndexFunc(swapVersions(i.upstream), func(v string) bool { return !places.hold(m, i, spelling, v) })
			if version >= 0 {
				ps = append(ps, s.astray(m, at, spelling+swapVersions(i.upstream)[version], i))
				break
			}
		}
	}
	return ps
}

// astray says what the webhook makes of an image that does not end where it lies.
func (s scene) astray(m swapMap, at mirror.Position, image string, i image) mirror.Problem {
	var ps mirror.Problems
	fix := "write paths: in the set so that no two hosts match each other"
	if !strings.Contains(s.local.Host, ".") {
		fix = "name the local registry by a host with a dot: image-swap takes any other for " + dockerHub
	}
	once, _, err := m.swap(image)
	twice, _, _ := m.swap(once)
	switch {
	case err != nil:
		ps.Add("RND091", at, fix, "the webhook breaks at %s: %v", image, err)
	case twice != once:
		ps.Add("RND091", at, fix, "%s becomes %s, and at the next update of the pod %s", image, once, twice)
	default:
		ps.Add("RND091", at, fix, "%s becomes %s, and lies at %s", image, once, strconv.Quote(i.local.Name()))
	}
	return ps[0]
}
