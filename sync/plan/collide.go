package plan

import (
	"slices"

	"github.com/poundlock/poundlock/internal/mirror"
)

// claim is a wish that a local tag name a digest.
type claim struct {
	digest mirror.Digest
	who    mirror.Key
	where  mirror.Position
}

// collide refuses every action whose local tag somebody wants to name another digest: another entry of the
// set, or a line of another set that names its digest. Both lines are named, whichever set is planned.
func (c *computation) collide(actions []mirror.Action) {
	claims := map[mirror.Reference][]claim{}
	for _, a := range actions {
		for _, tag := range c.tags(c.set, a.Stage, a.To, a.Image) {
			claims[tag] = append(claims[tag], claim{a.New, a.Key, a.Where})
		}
	}
	repositories := map[string]bool{}
	for tag := range claims {
		repositories[tag.Name()] = true
	}
	for _, other := range c.all.Sets {
		if other.Name != c.set.Name {
			c.claimOf(other, claims, repositories)
		}
	}
	for i, a := range actions {
		for _, tag := range c.tags(c.set, a.Stage, a.To, a.Image) {
			all := claims[tag]
			j := slices.IndexFunc(all, func(o claim) bool { return o.digest != a.New })
			if j >= 0 {
				actions[i] = refuse(a, mirror.Because(mirror.Collision, "two digests for %s: %s wants %s (%s), %s wants %s (%s)",
					tag, a.Key, mirror.Short(a.New), a.Where, all[j].who, mirror.Short(all[j].digest), all[j].where))
				break
			}
		}
	}
}

// claimOf adds what another set wants of tags that are claimed already. A tag costs a template, so the
// repositories are compared first: a fleet has many sets, and each is compared with all others.
func (c *computation) claimOf(s mirror.Set, claims map[mirror.Reference][]claim, repositories map[string]bool) {
	add := func(stage mirror.Stage, entry string, image mirror.Reference, where mirror.Position) {
		if !repositories[c.local.Repository(s, stage, image).Name()] {
			return
		}
		for _, tag := range c.tags(s, stage, c.local.Pointer(s, stage, entry, image), image) {
			if claims[tag] != nil {
				claims[tag] = append(claims[tag], claim{image.Digest, mirror.Key{Set: s.Name, Entry: entry}, where})
			}
		}
	}
	if len(s.Stages) == 0 {
		return
	}
	for _, e := range s.Entries {
		if e.Pinned() {
			add(s.Stages.First(), e.Name, e.Image, e.Where)
		}
	}
	for _, stage := range s.Stages.Upper() {
		for _, line := range s.Wanted[stage] {
			add(stage, line.Entry, line.Image, line.Where)
		}
	}
}

// tags gives the local tags that an image is to be found under at a stage: the stage tag and, under
// LayoutTag, the vendor's own tag, which the first stage writes.
func (c *computation) tags(s mirror.Set, stage mirror.Stage, pointer, image mirror.Reference) []mirror.Reference {
	if !image.HasDigest() {
		return nil
	}
	tags := []mirror.Reference{pointer}
	if s.Layout != mirror.LayoutPath && s.VendorTags != mirror.VendorNone && stage == s.Stages.First() && image.Tag != "" {
		tags = append(tags, pointer.WithTag(image.Tag))
	}
	return tags
}
