// Package plan computes what would be done for a set: the typed actions with their reasons. It compares
// what Git asks for with what the local registry names and what the record says stands.
//
// It promises to be pure: values in, values out, the same plan for the same values in whatever order they
// come. An action that is not Unchanged is still to be judged; nothing here admits anything. It leaves
// requests, policy and time to others.
package plan

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Compute gives the plan of one set. The first stage wants the candidates, the stages above it want the
// lines of their stage files; a stage without a file wants nothing and keeps what stands. inv is what the
// local registry was asked (see Pointers); what was not asked is taken from the record.
func Compute(all mirror.Desired, local mirror.Local, set mirror.Set, candidates []mirror.Candidate, inv mirror.Inventory, rec mirror.Record) mirror.Plan {
	c := &computation{all: all, local: local, set: set, inv: inv, rec: rec, candidates: map[string]mirror.Candidate{}}
	c.whole = c.named()
	p := mirror.Plan{Commit: all.Commit, Set: set.Name, Before: rec}
	for _, candidate := range candidates {
		c.candidates[candidate.Entry.Name] = candidate
		p.Actions = append(p.Actions, c.first(candidate))
	}
	for _, stage := range set.Stages.Upper() {
		if set.Listed[stage] {
			p.Actions = append(p.Actions, c.upper(stage)...)
		}
	}
	order(set, p.Actions)
	c.collide(p.Actions)
	p.After = after(set, p)
	return p
}

// order is how plans read: by stage, then by entry.
func order(set mirror.Set, actions []mirror.Action) {
	slices.SortStableFunc(actions, func(a, b mirror.Action) int {
		return cmp.Or(
			cmp.Compare(slices.Index(set.Stages, a.Stage), slices.Index(set.Stages, b.Stage)),
			cmp.Compare(a.Key.Entry, b.Key.Entry))
	})
}

type computation struct {
	all        mirror.Desired
	local      mirror.Local
	set        mirror.Set
	inv        mirror.Inventory
	rec        mirror.Record
	candidates map[string]mirror.Candidate
	whole      map[string]bool                             // host/repository@digest that a stage tag of ours names
	written    map[mirror.Reference]map[mirror.Digest]bool // by stage tag: what we wrote there; made when first asked
}

// named gives the content that a recorded stage tag names. Such a tag was written after its content was
// whole, so the content need not be copied into the same repository again.
func (c *computation) named() map[string]bool {
	whole := map[string]bool{}
	for stage, standing := range c.rec.Stages {
		for entry, line := range standing {
			pointer := c.local.Pointer(c.set, stage, entry, line.Image)
			if d, known := c.inv.Named(pointer); known && d == line.Image.Digest {
				whole[pointer.AtDigest(d).String()] = true
			}
		}
	}
	return whole
}

func (c *computation) first(candidate mirror.Candidate) mirror.Action {
	e, stage := candidate.Entry, c.set.Stages.First()
	if candidate.Err != nil {
		a := c.action(stage, e.Name, e.Image, e.Where)
		a.Kind, a.Reason = mirror.Failed, mirror.Because(mirror.UpstreamFailed, "%v", candidate.Err)
		switch {
		case errors.Is(candidate.Err, mirror.ErrOffline):
			a.Reason = mirror.Because(mirror.Offline, "%v", mirror.ErrOffline)
		case errors.Is(candidate.Err, mirror.ErrNotFound):
			a.Kind, a.Reason = mirror.Missing, mirror.Because(mirror.UpstreamMissing, "upstream has no %s", e.Image)
		default:
			a = unfetched(a, candidate.Err)
		}
		return a
	}
	// Here also what stands: the vendor moved on below it, and a release must not go on with an image that was
	// made for the one before.
	return c.basedOn(c.decide(c.action(stage, e.Name, candidate.Image, e.Where)))
}

func (c *computation) upper(stage mirror.Stage) []mirror.Action {
	var actions []mirror.Action
	for _, line := range c.set.Wanted[stage] {
		actions = append(actions, c.decide(c.action(stage, line.Entry, line.Image, line.Where)))
	}
	actions = append(actions, c.kept(stage)...)
	if c.set.Atomic && slices.ContainsFunc(actions, changes) {
		// A stage that rests may rest on a release for which its replacements were made.
		for i, a := range actions {
			actions[i] = c.basedOn(a)
		}
	}
	missing := c.missing(stage)
	if len(missing) == 0 {
		return actions
	}
	why := mirror.Because(mirror.Incomplete, "the stage file lacks %s; the entries of this set move together", names(missing))
	for i, a := range actions {
		if changes(a) {
			actions[i] = refuse(a, why)
		}
	}
	for _, entry := range missing {
		if line, stands := c.rec.At(stage)[entry]; stands {
			file := mirror.Position{File: "stages/" + c.set.Name + "/" + string(stage) + ".yaml"}
			actions = append(actions, refuse(c.action(stage, entry, line.Image, file),
				mirror.Because(mirror.Incomplete, "it stands here and the stage file no longer lists it; exclude it in desired/ if no consumer needs it")))
		}
	}
	return actions
}

// missing lists the entries that an atomic set's stage file leaves out although a consumer would then fall
// back to the upstream for them. A file that only has lines which stand or stood at this stage is a rollback
// to an older release, which may have had fewer entries: those that came with the release it takes back.
func (c *computation) missing(stage mirror.Stage) []string {
	if !c.set.Atomic {
		return nil
	}
	standing := c.rec.At(stage)
	stood, listed := true, map[string]bool{}
	var left []time.Time // since when stands what the file takes back
	for _, line := range c.set.Wanted[stage] {
		listed[line.Entry] = true
		stood = stood && c.rec.Stood(stage, line.Entry, line.Image)
		if here, ok := standing[line.Entry]; ok && here.Image != line.Image {
			left = append(left, here.Since)
		}
	}
	var missing []string
	for _, e := range c.set.Entries {
		here, stands := standing[e.Name]
		switch {
		case listed[e.Name], stood && !stands:
			continue
		case stood && len(left) > 0 && (len(here.Was) == 0 || here.Again) && !here.Since.Before(slices.MinFunc(left, time.Time.Compare)):
			continue // it came with the release that is taken back
		}
		missing = append(missing, e.Name)
	}
	return missing
}

func (c *computation) action(stage mirror.Stage, entry string, image mirror.Reference, where mirror.Position) mirror.Action {
	return mirror.Action{
		Key: mirror.Key{Set: c.set.Name, Entry: entry}, Stage: stage, Image: image, New: image.Digest, Where: where,
		To: c.local.Pointer(c.set, stage, entry, image), Vouch: c.vouch(stage, entry, image),
	}
}

// vouch gives the commit whose desired/ names the image: this one where it still does, else for a promotion
// the one that the record remembers, first that of the stage below. What stands is proved by the commit that
// vouched for it, so that proving it again changes nothing.
func (c *computation) vouch(stage mirror.Stage, entry string, image mirror.Reference) string {
	if line := c.rec.At(stage)[entry]; !line.Proven && line.Image == image && line.Vouch != "" {
		return line.Vouch
	}
	if e := c.candidates[entry].Entry; e.Pinned() && e.Image == image {
		return c.all.Commit
	}
	below, upper := c.set.Stages.Below(stage)
	if !upper {
		return ""
	}
	for _, s := range append([]mirror.Stage{below, stage}, c.set.Stages...) {
		if commit := c.rec.Past(s, entry).Vouches(image); commit != "" {
			return commit
		}
	}
	return ""
}

// decide compares what the stage tag is to name with what it names and what stands.
func (c *computation) decide(a mirror.Action) mirror.Action {
	line, recorded := c.rec.At(a.Stage)[a.Key.Entry]
	stands := recorded && line.Proven && line.Image == a.Image
	tagged, known := c.inv.Named(a.To)
	if a.Old = tagged; !known && recorded {
		a.Old = line.Image.Digest
	}
	if a.To.Tag == "" {
		return refuse(a, mirror.Because(mirror.LocalFailed, "the tag template gives no tag for this entry"))
	}
	switch {
	case stands && (!known || tagged == a.New):
		a.Kind, a.Reason = mirror.Unchanged, mirror.Because(mirror.AsDesired, "")
		return a
	case known && tagged == a.New && (c.ours(a.To) || c.inv.Holds(a.To, a.New)):
		// Nobody proved why it stands here: a step of ours that died before its commit, or a state that was
		// deleted. A tag of a stranger proves nothing of its content and signatures, so that is copied, which
		// moves no byte that is here.
		a.Kind, a.Reason = mirror.Tag, mirror.Because(mirror.AsDesired, "already here, to be judged and recorded")
	case known && tagged != (mirror.Digest{}) && tagged != a.New && !c.ours(a.To) && !c.set.Adopt:
		return refuse(a, mirror.Because(mirror.ForeignTag, "%s names %s, which we did not write; adopt: true in the set takes it over", a.To, mirror.Short(tagged)))
	case c.inv.Holds(a.To, a.New) || c.whole[a.To.AtDigest(a.New).String()]:
		a.Kind, a.Reason = mirror.Tag, c.behind(a, stands)
	default:
		a.Kind, a.From, a.Reason = mirror.Copy, c.source(a), mirror.Because(mirror.NotInRegistry, "not in the local registry")
		if below, _ := c.set.Stages.Below(a.Stage); a.From.Host == c.local.Host {
			a.Reason.Detail = fmt.Sprintf("stands at %s, not here yet", below)
		}
	}
	if a.Kind == mirror.Tag {
		a.From = a.To.AtDigest(a.New)
	}
	return c.basedOn(a)
}

// basedOn refuses a replacement that was made for another release than the vendor now ships.
func (c *computation) basedOn(a mirror.Action) mirror.Action {
	e := c.candidates[a.Key.Entry]
	if e.Entry.Replaced && e.Image == a.Image && e.Entry.BasedOn != (mirror.Digest{}) && e.Entry.BasedOn != e.Entry.Vendor.Digest {
		return refuse(a, mirror.Because(mirror.BasedOnMoved, "the replacement was made for %s, the vendor now ships %s", mirror.Short(e.Entry.BasedOn), e.Entry.Vendor))
	}
	return a
}

func (c *computation) behind(a mirror.Action, stands bool) mirror.Reason {
	wrote := c.wrote(a.To)
	switch {
	case a.Old == (mirror.Digest{}):
		return mirror.Because(mirror.TagAbsent, "content is here, the tag is not")
	case stands, wrote != nil && !wrote[a.Old]:
		return mirror.Because(mirror.Drift, "someone moved the tag to %s", mirror.Short(a.Old))
	}
	return mirror.Because(mirror.TagBehind, "the tag names %s", mirror.Short(a.Old))
}

// ours says whether we are known to have written a stage tag, whatever it names now.
func (c *computation) ours(pointer mirror.Reference) bool {
	return c.wrote(pointer) != nil || c.inv.Ours[pointer.WithDigest(mirror.Digest{}).String()]
}

// wrote gives the digests that the record shows we wrote under a stage tag; nil when we never wrote it.
// Under LayoutPath entries that share an image share the tag too, so all entries are looked through.
func (c *computation) wrote(pointer mirror.Reference) map[mirror.Digest]bool {
	if c.written == nil {
		c.written = map[mirror.Reference]map[mirror.Digest]bool{}
		for at, image := range c.rec.Known() {
			p := c.local.Pointer(c.set, at.Stage, at.Entry, image)
			if c.written[p] == nil {
				c.written[p] = map[mirror.Digest]bool{}
			}
			c.written[p][image.Digest] = true
		}
	}
	return c.written[pointer]
}

// source gives where the bytes of a copy are read: the stage below where a promotion crosses repositories
// of the local registry, else upstream.
func (c *computation) source(a mirror.Action) mirror.Reference {
	below, upper := c.set.Stages.Below(a.Stage)
	if upper && c.set.Layout == mirror.LayoutPath {
		pointer := c.local.Pointer(c.set, below, a.Key.Entry, a.Image)
		if d, _ := c.inv.Named(pointer); d == a.New || c.inv.Holds(pointer, a.New) {
			return pointer.AtDigest(a.New)
		}
	}
	return a.Image.AtDigest(a.New)
}

func refuse(a mirror.Action, why mirror.Reason) mirror.Action {
	a.Kind, a.From, a.Reason = mirror.Refuse, mirror.Reference{}, why
	return a
}

// changes says whether the action would change the local registry.
func changes(a mirror.Action) bool { return a.Kind == mirror.Copy || a.Kind == mirror.Tag }

// names joins the first few of many names.
func names(all []string) string {
	const shown = 5
	if len(all) <= shown {
		return strings.Join(all, ", ")
	}
	return strings.Join(all[:shown], ", ") + " and " + count(len(all)-shown, "more", "more")
}
