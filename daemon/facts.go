package daemon

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/poundlock/poundlock/internal/git"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy"
)

// factsFor is how long what the forge and others said of a promotion is taken for true.
const factsFor = 5 * time.Minute

// gating is what the process knows of the promotions of a set that are asked for and do not stand yet. It asks again
// what it forgets.
type gating struct {
	mu     sync.Mutex
	inputs string              // the version of desired/ and stages/ that the rest belongs to
	asked  map[string]git.Step // by stage, entry and image: the commit that asks for it
	said   map[string]said     // by stage and commit
	again  time.Time           // when the gates that wait for people or checks are tried again; else zero
	opens  time.Time           // when time alone may open or close a gate; else zero
	tries  int                 // for the backoff
	pages  map[int]string      // of proposals that were asked for
}

// said is what was asked of the forge and others about one commit.
type said struct {
	asking policy.Asking
	moves  []callMove // that it was asked about
	at     time.Time
}

// covers says whether what was asked was asked about all of some moves: an answer is good for no other.
func (s said) covers(moves []callMove) bool {
	type move struct {
		entry string
		image mirror.Reference
	}
	asked := map[move]bool{}
	for _, m := range s.moves {
		asked[move{m.Entry, m.image}] = true
	}
	return !slices.ContainsFunc(moves, func(m callMove) bool { return !asked[move{m.Entry, m.image}] })
}

// begin forgets what a wake asks to find out anew, and what is due.
func (g *gating) begin(w Wake, set, inputs string, at time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inputs != inputs {
		g.inputs, g.asked, g.said, g.tries, g.again = inputs, map[string]git.Step{}, map[string]said{}, 0, time.Time{}
	}
	told := !w.Local && slices.Contains(w.Sets, set)
	if told {
		g.tries = 0
	}
	due := !g.again.IsZero() && !at.Before(g.again)
	for key, s := range g.said {
		if told || due || w.Audit || w.Resolve || at.Sub(s.at) >= factsFor || at.Before(s.at) {
			delete(g.said, key)
		}
	}
}

// settle notes when the gates that are closed in a plan are to be tried again. within bounds the backoff.
func (g *gating) settle(p mirror.Plan, within time.Duration, at time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.opens = time.Time{}
	ask := false
	for _, a := range p.Actions {
		if a.Kind != mirror.Refuse {
			continue
		}
		if a.Until.After(at) {
			g.opens = earliest(g.opens, a.Until)
		}
		for _, gate := range a.Gates {
			if gate.Open && gate.Until.After(at) { // it is too late then, which is to be told at that moment
				g.opens = earliest(g.opens, gate.Until)
			}
		}
		ask = ask || slices.ContainsFunc(a.Gates, func(gate mirror.Gate) bool { return !gate.Open && asksOthers(gate.Code) })
	}
	switch {
	case !ask:
		g.again, g.tries = time.Time{}, 0
	case g.again.IsZero() || !at.Before(g.again):
		g.again = at.Add(min(firstRetry<<min(g.tries, 20), max(within, lastRetry)))
		g.tries++
	}
}

// asksOthers says whether a closed gate is one that people, checks or somebody outside open.
func asksOthers(code mirror.ReasonCode) bool {
	switch code {
	case mirror.NotApproved, mirror.NotChecked, mirror.NotAllowed, mirror.NotKnown:
		return true
	}
	return false
}

// due is when the gates of the set are to be looked at again; the zero time: not by themselves.
func (g *gating) due() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return earliest(g.again, g.opens)
}

// saw notes where the page of a proposal is.
func (g *gating) saw(number int, page string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.pages == nil || len(g.pages) >= maxAsked {
		g.pages = map[int]string{} // those that still wait are seen again
	}
	g.pages[number] = page
}

// page gives the page of a proposal; "" where it is not known.
func (g *gating) page(number int) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.pages[number]
}

// facts learns what the gates of a plan need to know besides the record: who asks for what is to change at the upper
// stages, and where a gate wants it, what the forge and others say of that. Somebody who cannot be asked is no error:
// what needs their word stays closed.
func (l *Line) facts(ctx context.Context, f *fleet, set mirror.Set, p mirror.Plan, record mirror.Record, at time.Time) (policy.Facts, error) {
	facts := policy.Facts{Record: record, Asked: map[mirror.Stage]map[string]policy.Asking{}}
	for _, stage := range set.Stages.Upper() {
		moving := changing(p, record, stage)
		if len(moving) == 0 {
			continue
		}
		asked, err := l.askedFor(ctx, f, set, stage, moving, record, at)
		if err != nil {
			return facts, fmt.Errorf("who asks for %s at %s: %w", set.Name, stage, err)
		}
		facts.Asked[stage] = asked
	}
	return facts, nil
}

// changing gives the images of a plan that do not stand at a stage and are to, by entry.
func changing(p mirror.Plan, record mirror.Record, stage mirror.Stage) map[string]mirror.Reference {
	moving := map[string]mirror.Reference{}
	for _, a := range p.Actions {
		if a.Stage == stage && (a.Kind == mirror.Copy || a.Kind == mirror.Tag) && record.At(stage)[a.Key.Entry].Image != a.Image {
			moving[a.Key.Entry] = a.Image
		}
	}
	return moving
}

// name puts into a plan which commits ask for its promotions.
func name(p mirror.Plan, facts policy.Facts) mirror.Plan {
	p.Actions = slices.Clone(p.Actions)
	for i, a := range p.Actions {
		if asking, ok := facts.Asked[a.Stage][a.Key.Entry]; ok {
			p.Actions[i].Asked, p.Actions[i].Proposal = asking.Commit, asking.Proposal
		}
	}
	return p
}

// askedFor gives how the lines of a stage that are to change came about.
func (l *Line) askedFor(ctx context.Context, f *fleet, set mirror.Set, stage mirror.Stage, moving map[string]mirror.Reference, record mirror.Record, at time.Time) (map[string]policy.Asking, error) {
	steps, err := l.askers(ctx, f, set, stage, moving)
	if err != nil {
		return nil, err
	}
	groups := map[string][]string{} // entries by the commit that asks for them
	for _, entry := range sortedKeys(moving) {
		commit := steps[entry].Commit
		groups[commit] = append(groups[commit], entry)
	}
	asked := map[string]policy.Asking{}
	for _, commit := range sortedKeys(groups) {
		if commit == "" && f.proposed == nil {
			continue // nothing is known of them, which keeps their gates closed
		}
		entries := groups[commit]
		q := question{fleet: f, set: set, stage: stage, step: steps[entries[0]], moves: movesOf(entries, moving, record.At(stage)), at: at}
		one := l.saidOf(ctx, q)
		for _, entry := range entries {
			asked[entry] = one
		}
	}
	return asked, nil
}

// question is what is asked about the lines of a stage that one commit brought.
type question struct {
	fleet *fleet
	set   mirror.Set
	stage mirror.Stage
	step  git.Step // no commit: nothing in the history asks for it
	moves []callMove
	at    time.Time
}

// saidOf gives what is said of a commit, as it was asked a moment ago or by asking now.
func (l *Line) saidOf(ctx context.Context, q question) policy.Asking {
	g := &l.progress(q.set.Name).gates
	key := string(q.stage) + " " + q.step.Commit
	g.mu.Lock()
	known, ok := g.said[key]
	g.mu.Unlock()
	if ok && known.covers(q.moves) {
		return known.asking
	}
	asking := policy.Asking{Commit: q.step.Commit, At: q.step.At, Marked: q.set.Marked[q.stage]}
	if asking.At.After(q.at) {
		asking.At = q.at // of a clock that is ahead: it is not asked for later than now
	}
	switch {
	case q.step.Commit != "":
		l.mergedSays(ctx, q, &asking)
	case q.fleet.proposed != nil:
		asking = l.proposalSays(ctx, q, *q.fleet.proposed)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.said == nil {
		g.said = map[string]said{}
	}
	g.said[key] = said{asking, q.moves, q.at}
	return asking
}
