package policy

import (
	"fmt"
	"slices"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/poundlock/poundlock/internal/mirror"
)

// refuses says what of a deny list holds for an image; "" when nothing does.
func (d deny) refuses(image mirror.Reference) string {
	if slices.Contains(d.Digests, image.Digest) {
		return "deny.digests names " + image.Digest.String()
	}
	for _, pattern := range d.Repos {
		if doublestar.MatchUnvalidated(pattern, image.Name()) {
			return fmt.Sprintf("deny.repos %q matches %s", pattern, image.Name())
		}
	}
	return ""
}

// Denied says which deny list names content, by digest or repository, and what of it; "" when none does. The floor's counts,
// too. Who signed it is not looked at.
func (p Policy) Denied(image mirror.Reference) string { return p.denies(image) }

// denies says which deny list names an image; "" when none does.
func (p Policy) denies(image mirror.Reference) string {
	for _, l := range p.layers {
		if why := l.deny.refuses(image); why != "" {
			return why + " in " + l.file
		}
	}
	return ""
}
