package policy

import (
	"context"
	"fmt"
	"slices"

	"github.com/poundlock/poundlock/internal/mirror"
)

// platforms adds the manifests of the image's index, and of indexes in it, to what has to be signed. What is an index
// its own bytes say, since the one who lists it may call it something else; each is read once.
func (x *examination) platforms(ctx context.Context) {
	for i := 0; i < len(x.found.subjects); i++ {
		d := x.found.subjects[i].digest
		children, err := x.children(ctx, d)
		if err != nil {
			x.found.unlisted = err.Error()
			if !unusable(err) {
				x.trouble = append(x.trouble, err)
				return
			}
		}
		for _, child := range children {
			if slices.ContainsFunc(x.found.subjects, func(s subject) bool { return s.digest == child.Digest }) {
				continue
			}
			if len(x.found.subjects) > maxPlatforms {
				x.found.unlisted = fmt.Sprintf("index %s: more than %d manifests", mirror.Short(d), maxPlatforms)
				return
			}
			x.found.subjects = append(x.found.subjects, subject{child.Digest, true})
		}
	}
}

func (x *examination) children(ctx context.Context, d mirror.Digest) ([]mirror.Descriptor, error) {
	search := &search{ctx: ctx, content: x.content, limits: x.limits, spot: spot{x.source, d}}
	_, parts, err := search.manifest(mirror.Descriptor{Digest: d})
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w", mirror.Short(d), err)
	}
	return parts.Manifests, nil
}
