package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

// claim is a wish that a local tag name a digest.
type claim struct {
	digest mirror.Digest
	who    mirror.Key
	where  mirror.Position
}

// collision says why an action that wants a local tag cannot be done, and what mends it. A set that names a tag alone
// wants what that tag names upstream, whenever it asks: two sets would move the local tag to and fro.
func collision(a mirror.Action, tag mirror.Reference, other claim) mirror.Reason {
	reason := mirror.Because(mirror.Collision, "two digests for %s: %s wants %s (%s), %s wants %s (%s)",
		tag, a.Key, mirror.Short(a.New), a.Where, other.who, mirror.Short(other.digest), other.where)
	same := "let both name the same digest"
	if other.digest == (mirror.Digest{}) {
		reason = mirror.Because(mirror.Collision, "%s is named twice: %s wants %s (%s), and %s names the tag alone (%s), which may come to mean other content",
			tag, a.Key, mirror.Short(a.New), a.Where, other.who, other.where)
		same = "name the digest in both"
	}
	if other.who.Set != a.Key.Set {
		reason.Fix = fmt.Sprintf("%s, or give one of the two sets a place of its own, as by paths: {%s: %s/%s} in desired/%s.yaml",
			same, quoteHost(a.Image.Host), other.who.Set, strings.ReplaceAll(a.Image.Host, ":", "_"), other.who.Set)
	}
	return reason
}

// quoteHost writes a host as a key of YAML: a port needs quotes in braces.
func quoteHost(host string) string {
	if strings.Contains(host, ":") {
		return `"` + host + `"`
	}
	return host
}

// collide refuses every action whose local tag somebody wants to name another digest: another entry of the
// set, or a line of another set. Both lines are named, whichever set is planned.
func (c *computation) collide(actions []mirror.Action) {
	claims := map[mirror.Reference][]claim{}
	for _, a := range actions {
		if a.New == (mirror.Digest{}) {
			continue // not resolved: nothing of it moves
		}
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
		if a.New == (mirror.Digest{}) {
			continue
		}
		for _, tag := range c.tags(c.set, a.Stage, a.To, a.Image) {
			all := claims[tag]
			j := slices.IndexFunc(all, func(o claim) bool { return o.digest != a.New })
			if j >= 0 {
				actions[i] = refuse(a, collision(a, tag, all[j]))
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
		add(s.Stages.First(), e.Name, e.Image, e.Where)
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
	tags := []mirror.Reference{pointer}
	vendor := s.VendorTags == mirror.VendorFollow || s.VendorTags == mirror.VendorOnce && image.HasDigest()
	if s.Layout != mirror.LayoutPath && vendor && stage == s.Stages.First() && image.Tag != "" {
		tags = append(tags, pointer.WithTag(image.Tag))
	}
	return tags
}
