package daemon

import (
	"slices"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/publish"
)

// came is what one commit asked for at a stage and what stands there from now on.
type came struct {
	publish.Promoted
	entries []string
}

// cameOf gives what came to stand at the upper stages by the tags that were moved, by what asked for it.
func (v *view) cameOf(moved []mirror.Done, after mirror.Record) (all []came) {
	for _, m := range publish.Moves(v.set, v.record, after) {
		i := slices.IndexFunc(moved, func(d mirror.Done) bool {
			return d.Err == nil && d.Action.Stage == m.Stage && d.Action.Key.Entry == m.Entry && d.Action.Image == m.New
		})
		if i < 0 || m.Stage == v.set.Stages.First() {
			continue
		}
		a := moved[i].Action
		p := publish.Promoted{Set: v.set.Name, Stage: m.Stage, Commit: a.Asked, Number: a.Proposal, Rollback: a.Rollback}
		if at := slices.IndexFunc(all, func(c came) bool { return c.Promoted == p }); at >= 0 {
			all[at].entries = append(all[at].entries, m.Entry)
		} else {
			all = append(all, came{p, []string{m.Entry}})
		}
	}
	return all
}

// promoted gives the trailers of what came to stand.
func promoted(all []came) (trailers []publish.Promoted) {
	for _, c := range all {
		if c.Commit != "" {
			trailers = append(trailers, c.Promoted)
		}
	}
	return trailers
}

// tellCame tells of what came to stand, once its commit was made.
func (l *Line) tellCame(run string, all []came) {
	for _, c := range all {
		e := Event{Type: EventPromoted, Run: run, Set: c.Set, Stage: c.Stage, Commit: c.Promoted.Commit, Number: c.Number, Reason: few(c.entries),
			URL: l.progress(c.Set).gates.page(c.Number)}
		if c.Rollback {
			e.Type = EventRolledBack
		}
		if len(c.entries) == 1 {
			e.Entry = c.entries[0]
		}
		l.emit(e)
	}
}
