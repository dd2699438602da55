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
// no longer selected leaves the first stage, one that its stage file no longer lists leaves that stage; an atomic
// set's stage only once all that is listed stands.
func Settle(set mirror.Set, rec mirror.Record, p mirror.Plan, dones []mirror.Done, commit string, at time.Time) mirror.Record {
	next := rec.Clone()
	for _, d := range dones {
		if a := d.Action; d.Err == nil && a.Kind == mirror.Tag && d.Verdict.Outcome.Admits() {
			put(next, a.Stage, a.Key.Entry, mirror.Line{Image: a.Image, Since: at, Proven: true, Basis: d.Verdict.Basis(),
				Vouch: cmp.Or(d.Verdict.VouchedBy, a.Vouch), Commit: cmp.Or(a.Asked, commit)})
		}
	}
	return leave(set, next, p)
}

// after is the record as it would be if every copy and tag action of the plan succeeded.
func after(set mirror.Set, p mirror.Plan) mirror.Record {
	next := p.Before.Clone()
	p.Actions = slices.Clone(p.Actions)
	for i, a := range p.Actions {
		if changes(a) {
			put(next, a.Stage, a.Key.Entry, mirror.Line{Image: a.Image, Proven: true, Vouch: a.Vouch, Commit: cmp.Or(a.Asked, p.Commit)})
			p.Actions[i].Kind = mirror.Tag // what is to be copied has come
		}
	}
	return leave(set, next, p)
}

func put(r mirror.Record, stage mirror.Stage, entry string, line mirror.Line) {
	if r.Stages[stage] == nil {
		r.Stages[stage] = mirror.Standing{}
	}
	r.Stages[stage].Put(entry, line)
}

// leave drops the lines of what nobody asks for any more and says which version of the source stands. It
// works on a clone.
func leave(set mirror.Set, r mirror.Record, p mirror.Plan) mirror.Record {
	selected := map[string]bool{}
	for _, e := range set.Entries {
		selected[e.Name] = true
	}
	keep(r, set.Stages.First(), selected)
	for _, stage := range set.Stages.Upper() {
		listed, complete := map[string]bool{}, true
		for _, line := range set.Wanted[stage] {
			listed[line.Entry] = true
			complete = complete && r.At(stage)[line.Entry].Image == line.Image
		}
		refused := slices.ContainsFunc(p.Actions, func(a mirror.Action) bool {
			return a.Stage == stage && a.Reason.Code == mirror.Incomplete
		})
		if set.Listed[stage] && !refused && (complete || !set.Atomic) {
			keep(r, stage, listed)
		}
	}
	if settled(set, r, p) {
		r.Origin = set.Origin
	}
	return r
}

func keep(r mirror.Record, stage mirror.Stage, entries map[string]bool) {
	for entry := range r.At(stage) {
		if !entries[entry] {
			delete(r.Stages[stage], entry)
		}
	}
}

// settled says whether the first stage belongs to the source file as it is now. While the same tag still
// stands for its former digest it does not: the line would later pass for one that was resolved for this
// version of the file.
func settled(set mirror.Set, r mirror.Record, p mirror.Plan) bool {
	first := set.Stages.First()
	tags := map[string]mirror.Reference{}
	for _, e := range set.Entries {
		if !e.Pinned() {
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
