package daemon

import (
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/render"
)

// consumerMentions adds the lines of the files of consumers that send somebody to an image: those that carry its digest
// and, in files that name no digest, those that name the place which stands for its host.
func (g *glance) consumerMentions(found []Mention, set mirror.Set, stage mirror.Stage, image mirror.Reference, rendered mirror.Files) []Mention {
	place := g.line.local.HostPath(set, stage, image.Host)
	for _, c := range g.fleet.desired.Consumers {
		if !slices.ContainsFunc(c.Runs, func(u mirror.Use) bool { return u.Set == set.Name && u.Stage == stage }) {
			continue
		}
		for _, name := range rendered.Under(render.ConsumerDir(g.line.local, c)) {
			text := string(rendered[name])
			byDigest := strings.Contains(text, image.Digest.Hex)
			for i, line := range strings.Split(text, "\n") {
				if byDigest && strings.Contains(line, image.Digest.Hex) || !byDigest && namesPlace(line, place) {
					found = append(found, Mention{name, i + 1})
				}
			}
		}
	}
	return found
}

// namesPlace says whether a line names a place in the local registry, and not one whose name only begins or ends alike.
func namesPlace(line, place string) bool {
	const word = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
	for place != "" {
		before, after, ok := strings.Cut(line, place)
		switch {
		case !ok:
			return false
		case strings.TrimRight(before, word) == before && strings.TrimLeft(after, word) == after:
			return true
		}
		line = after
	}
	return false
}
