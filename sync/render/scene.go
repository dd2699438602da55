package render

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

// image is one line that stands, and where its content lies for consumers.
type image struct {
	set      mirror.Set
	stage    mirror.Stage
	entry    string
	upstream mirror.Reference // as people name it, with digest
	local    mirror.Reference // repository, tag and digest in the local registry
}

// images gives everything that stands in the scene, by upstream reference, set and entry. The tag of local is the
// vendor's where upstream has one, else the stage tag.
func (s scene) images() []image {
	var all []image
	for _, p := range s.parts {
		for entry, line := range p.standing {
			pointer := s.local.Pointer(p.set, p.name, entry, line.Image)
			all = append(all, image{p.set, p.name, entry, line.Image,
				pointer.WithTag(cmp.Or(line.Image.Tag, pointer.Tag)).WithDigest(line.Image.Digest)})
		}
	}
	slices.SortFunc(all, func(a, b image) int {
		return cmp.Or(cmp.Compare(a.upstream.String(), b.upstream.String()), cmp.Compare(a.set.Name, b.set.Name),
			cmp.Compare(a.stage, b.stage), cmp.Compare(a.entry, b.entry))
	})
	return all
}

// host is an upstream host that something stands for, and the repository prefixes in the local registry that stand for
// it, in the order of the parts, each once.
type host struct {
	name  string
	paths []string
}

// hosts gives the upstream hosts of the scene, sorted by name.
func (s scene) hosts() []host {
	var all []host
	for _, p := range s.parts {
		names := map[string]bool{}
		for _, line := range p.standing {
			names[line.Image.Host] = true
		}
		for name := range names {
			prefix := s.local.HostPath(p.set, p.name, name)
			i := slices.IndexFunc(all, func(h host) bool { return h.name == name })
			switch {
			case i < 0:
				all = append(all, host{name, []string{prefix}})
			case !slices.Contains(all[i].paths, prefix):
				all[i].paths = append(all[i].paths, prefix)
			}
		}
	}
	slices.SortFunc(all, func(a, b host) int { return cmp.Compare(a.name, b.name) })
	return all
}

// pulledByNodes gives the scene without Helm charts: Helm pulls them, and neither nodes nor clusters rewrite where from.
func (s scene) pulledByNodes() scene {
	parts := s.parts
	s.parts = nil
	for _, p := range parts {
		standing := mirror.Standing{}
		for entry, line := range p.standing {
			if !strings.HasPrefix(entry, "chart/") {
				standing[entry] = line
			}
		}
		if len(standing) > 0 {
			s.parts = append(s.parts, part{p.set, p.name, standing})
		}
	}
	return s
}

// url gives the address of a path in the local registry, with its scheme.
func (s scene) url(parts ...string) string {
	scheme := "https://"
	if s.local.Insecure {
		scheme = "http://"
	}
	return scheme + path.Join(append([]string{s.local.Host}, parts...)...)
}

// resolvesTags refuses sets of layout tag for a kind whose consumer resolves the vendor's tags through the mirror.
func (r request) resolvesTags(kind string) (ps mirror.Problems) {
	for _, p := range r.parts {
		if p.set.Layout == mirror.LayoutPath {
			continue
		}
		ps.AddAt("layout", "RND020", r.where, "write layout: path in the set "+p.set.Name,
			"render.%s: its consumer resolves the vendor's tags, and under layout %s those are not bound to a stage", kind, p.set.Layout)
		ps[len(ps)-1].Why = "a node would see content that was never promoted"
	}
	return ps
}
