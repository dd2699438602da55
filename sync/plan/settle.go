package plan

import (
	"cmp"
	"slices"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Settle gives the record after tags were moved: dones are the ends of the plan's tag actions, at is the
// time of the cycle, commit the desired one, for what no commit of its own asks for. Only a tag that was seen to
// move, on an admitting verdict, makes a line; what was refused or failed keeps the line it had. An entry that is
// no longer selected leaves the first stage, one that its stage file no longer lists leaves that stage (see leave). What
// leaves is remembered, so that it can be returned to.
func Settle(set mirror.Set, rec mirror.Record, p mirror.Plan, dones []mirror.Done, commit string, at time.Time) mirror.Record {
	next := rec.Clone()
	for _, d := range dones {
		if a := d.Action; d.Err == nil && a.Kind == mirror.Tag && d.Verdict.Outcome.Admits() {
			next.Put(a.Stage, a.Key.Entry, mirror.Line{Image: a.Image, Since: at, Proven: true, Basis: d.Verdict.Basis(),
				Vouch: cmp.Or(d.Verdict.VouchedBy, a.Vouch), Commit: cmp.Or(a.Asked, commit)})
		}
	}
	return leave(set, next, p, at)
}

// after is the record as it would be if every copy and tag action of the plan succeeded.
func after(set mirror.Set, p mirror.Plan) mirror.Record {
	next := p.Before.Clone()
	p.Actions = slices.Clone(p.Actions)
	for i, a := range p.Actions {
		if changes(a) {
			next.Put(a.Stage, a.Key.Entry, mirror.Line{Image: a.Image, Proven: true, Vouch: a.Vouch, Commit: cmp.Or(a.Asked, p.Commit)})
			p.Actions[i].Kind = mirror.Tag // what is to be copied has come
		}
	}
	return leave(set, next, p, time.Time{})
}

// leave drops the lines of what nobody asks for any more and says which version of the source stands. It works on a
// clone. That a stage file no longer lists an entry is asked for like its other changes: an atomic set's stage waits
// until all that is listed stands, another one until what the same commit asks for does. Else the gate that refuses a
// new line would let go the one that it was to replace.
func leave(set mirror.Set, r mirror.Record, p mirror.Plan, at time.Time) mirror.Record {
	selected := map[string]bool{}
	for _, e := range set.Entries {
		selected[e.Name] = true
	}
	for _, entry := range unlisted(r, set.Stages.First(), selected) {
		r.Leave(set.Stages.First(), entry, at)
	}
	for _, stage := range set.Stages.Upper() {
		listed, open, asked := map[string]bool{}, map[string]bool{}, asking(p, stage)
		for _, line := range set.Wanted[stage] {
			listed[line.Entry] = true
			if r.At(stage)[line.Entry].Image != line.Image {
				open[asked[line.Entry]] = true
			}
		}
		refused := slices.ContainsFunc(p.Actions, func(a mirror.Action) bool {
			return a.Stage == stage && a.Reason.Code == mirror.Incomplete
		})
		if !set.Listed[stage] || refused || set.Atomic && len(open) > 0 {
			continue
		}
		for _, entry := range unlisted(r, stage, listed) {
			if !leaves(set, p, stage, entry) {
				continue
			}
			if by := p.Dropped[stage][entry]; len(open) == 0 || by != "" && !open[by] && !open[""] {
				r.Leave(stage, entry, at)
			}
		}
	}
	r.Forget()
	if settled(set, r, p) {
		r.Origin = set.Origin
	}
	return r
}

// unlisted gives the entries that stand at a stage beside the listed ones.
func unlisted(r mirror.Record, stage mirror.Stage, listed map[string]bool) (all []string) {
	for entry := range r.At(stage) {
		if !listed[entry] {
			all = append(all, entry)
		}
	}
	return all
}

// asking gives the commits that ask for the lines of a stage file, by entry, as far as they are known.
func asking(p mirror.Plan, stage mirror.Stage) map[string]string {
	by := map[string]string{}
	for _, a := range p.Actions {
		if _, known := by[a.Key.Entry]; a.Stage == stage && !known {
			by[a.Key.Entry] = a.Asked
		}
	}
	return by
}

// settled says whether the first stage belongs to the source file as it is now. While the same tag still
// stands for its former digest it does not: the line would later pass for one that was resolved for this
// version of the file.
func settled(set mirror.Set, r mirror.Record, p mirror.Plan) bool {
	first := set.Stages.First()
	tags := map[string]mirror.Reference{}
	for _, e := range set.Entries {
		if !e.Image.HasDigest() {
			tags[e.Name] = e.Image
		}
	}
	for _, a := range p.Actions {
		if a.Stage == first && a.Kind == mirror.Copy {
			return false // it comes with the content, in one commit
		}
		line, stands := r.At(first)[a.Key.Entry]
		tag, moves := tags[a.Key.Entry]
		if a.Stage == first && moves && stands && line.Image.WithDigest(mirror.Digest{}) == tag && line.Image != a.Image {
			return false
		}
	}
	return true
}
