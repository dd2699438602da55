package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/forge"
	"github.com/poundlock/poundlock/internal/git"
	"github.com/poundlock/poundlock/internal/mirror"
)

// proposable are the gates that have to be open before automation proposes anything: what time and people do with a
// proposal comes after it.
var proposable = []string{"denied", "previous", "soak", "downgrade", "immutable", "whole"}

// proposeDue does what automation is to do at every stage of every set: it opens, renews and supersedes proposals, and
// commits promotions. open are the open proposals onto the branch. One set that fails stops no other.
func (l *Line) proposeDue(ctx context.Context, f *fleet, open []forge.Proposal) error {
	if err := l.proposing.take(ctx); err != nil {
		return err
	}
	defer l.proposing.release()
	errs := []error{l.tellDeclined(ctx, open)}
	if f.refused != nil || f.held != nil || f.mistake != nil || l.offline {
		return errors.Join(errs...)
	}
	for _, set := range f.desired.Sets {
		if _, suspended := f.paused(set.Name); suspended {
			continue
		}
		for _, stage := range set.Stages.Upper() {
			if set.Automatic(stage) == mirror.AutoOff {
				continue
			}
			if err := l.automate(ctx, f, set, stage, open); err != nil {
				errs = append(errs, fmt.Errorf("promote %s to %s: %w", set.Name, stage, err))
			}
			if err := ctx.Err(); err != nil {
				return errors.Join(append(errs, err)...)
			}
		}
	}
	return errors.Join(errs...)
}

// automate does what automation is to do at one stage.
func (l *Line) automate(ctx context.Context, f *fleet, set mirror.Set, stage mirror.Stage, open []forge.Proposal) error {
	commits := set.Automatic(stage) == mirror.AutoCommit
	a, why, err := l.due(ctx, f, set, stage, commits)
	switch {
	case err != nil:
		return err
	case why == "" && len(a.moves) == 0:
		return l.moot(ctx, f, a, open)
	case why == "" && commits:
		why = l.uncommittable(f, a)
	}
	l.tellIdle(set.Name, stage, why)
	switch {
	case why != "":
		return nil
	case commits:
		return l.commitDue(ctx, f, a)
	}
	same, err := l.identical(ctx, a, open)
	if err != nil {
		return err
	}
	if len(same) == 0 {
		if declined, err := l.wasDeclined(ctx, a); err != nil || declined {
			return err
		}
	}
	if open == nil {
		open = []forge.Proposal{} // none: they were listed just now
	}
	if _, err = l.openOrAdopt(ctx, f, a, open); errors.Is(err, errOvertaken) {
		return nil // the cycle that reads the new head calls the desk again
	}
	return err
}

// due gives the promotion that is due at a stage: all that stands below, but for what is held and, in a set whose
// entries move one by one, for what a gate is closed for. why says in words what keeps all of it from moving.
func (l *Line) due(ctx context.Context, f *fleet, set mirror.Set, stage mirror.Stage, commits bool) (a ascent, why string, err error) {
	a, blocked, err := l.ascend(ctx, f, PromoteOrder{Set: set.Name, Stage: stage})
	if err != nil || len(blocked) > 0 {
		return a, strings.Join(blocked, "; "), err
	}
	held, err := l.holds(f)
	if err != nil {
		return a, "", err
	}
	waits := map[string]string{} // why, by entry
	for _, m := range a.moves {
		if place, hold, ok := held.Over(set.Name, stage, m.Entry); ok {
			waits[m.Entry] = fmt.Sprintf("%s is %s", place, hold)
		}
	}
	if why = a.leave(waits); why != "" {
		return a, why, nil
	}
	a.gates = l.gatesOf(f, a, l.now())
	waits = a.closed(commits)
	if len(waits) == 0 {
		return a, "", nil
	}
	if why = a.leave(waits); why != "" {
		return a, why, nil
	}
	a.gates = l.gatesOf(f, a, l.now()) // some judge all of it together
	if waits = a.closed(commits); len(waits) > 0 {
		return a, waits[sortedKeys(waits)[0]], nil
	}
	return a, "", nil
}

// closed gives why entries cannot move, by entry: all gates count for a commit.
func (a ascent) closed(commits bool) map[string]string {
	waits := map[string]string{}
	for entry, gates := range a.gates {
		for _, g := range gates {
			if !g.Open && (commits || slices.Contains(proposable, g.Name)) && waits[entry] == "" {
				waits[entry] = entry + ": " + g.Why
			}
		}
	}
	return waits
}

// leave takes entries out of a promotion: they keep the lines that they have. It says in words why nothing is left, or
// why the set, whose entries move together, does not move.
func (a *ascent) leave(waits map[string]string) string {
	if len(waits) == 0 {
		return ""
	}
	first := waits[sortedKeys(waits)[0]]
	if a.set.Atomic {
		return first
	}
	var moves = a.moves[:0:0]
	for _, m := range a.moves {
		if _, left := waits[m.Entry]; !left {
			moves = append(moves, m)
			continue
		}
		if delete(a.file.Lines, m.Entry); !m.Old.IsZero() {
			a.file.Lines[m.Entry] = m.Old
		}
	}
	a.moves = moves
	if len(moves) == 0 {
		return first
	}
	return ""
}

// uncommittable says what forbids that automation commits a promotion by itself.
func (l *Line) uncommittable(f *fleet, a ascent) string {
	switch {
	case f.policy.Wants(a.set.Name, a.stage).Proposal:
		return "a gate wants approvals, which a commit without a proposal never has; write auto: propose"
	case !l.config.Trust.Fleet.IsZero():
		return "trust.fleet asks that people sign what changes stages/; write auto: propose"
	}
	return ""
}

// commitDue commits a promotion where the branch is as it was when it was decided; the next turn decides anew.
func (l *Line) commitDue(ctx context.Context, f *fleet, a ascent) error {
	l.publishing.Lock()
	defer l.publishing.Unlock()
	now, err := l.atHead(ctx)
	if err != nil || now.inputs != f.inputs {
		return err
	}
	switch err := l.alone(f, a.set, l.renderedAt(now)); {
	case errors.Is(err, errTwin):
		return nil
	case err != nil:
		return err
	}
	_, err = l.commitAscent(ctx, now, a)
	if errors.Is(err, git.ErrRejected) {
		l.metrics.conflicts.Inc()
		return nil
	}
	return err
}

// moot closes proposals of automation that have become pointless: the stage file lists all that stands below.
func (l *Line) moot(ctx context.Context, f *fleet, a ascent, open []forge.Proposal) error {
	if l.forge == nil {
		return nil
	}
	same, err := l.identical(ctx, a, open)
	if err != nil {
		return err
	}
	for _, p := range same {
		if p.touched != "" || p.mark.By != "" {
			continue
		}
		switch _, err := l.unmoved(ctx, f); {
		case errors.Is(err, errOvertaken):
			return nil
		case err != nil:
			return err
		}
		if err := l.retire(ctx, p, p.Number, "The stage file lists all that stands in the stage below, so nothing is left to promote."); err != nil {
			return err
		}
	}
	return nil
}

// tellIdle logs what keeps automation from acting at a stage, once for each reason.
func (l *Line) tellIdle(set string, stage mirror.Stage, why string) {
	key := set + "/" + string(stage)
	if l.proposing.told[key] == why {
		return
	}
	if l.proposing.told[key] = why; why != "" {
		l.log.Info("automation leaves a stage as it is", keySet, set, keyStage, string(stage), keyReason, why)
	}
}
