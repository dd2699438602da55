package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/poundlock/poundlock/internal/forge"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/publish"
)

// outcome is how the last step of a set ended.
type outcome struct {
	version string // identity of what was in force
	plan    mirror.Plan
	err     error
}

// stepped remembers how a step ended, for what is told of merges.
func (l *Line) stepped(f *fleet, set string, r Report, err error) {
	if l.desk == nil || r.Suspended != nil || errors.Is(err, publish.ErrSuperseded) || errors.Is(err, context.Canceled) {
		return
	}
	l.desk.mu.Lock()
	defer l.desk.mu.Unlock()
	l.desk.steps[set] = outcome{f.version, r.Plan, err}
}

// merge is a proposal that was merged and whose end is not told yet.
type merge struct {
	forge.Proposal
	wants map[mirror.Place]mirror.Reference // what it asked for: lines of stage files, and entries of the first stage
	sets  []string                          // whose files it changed
	known bool                              // wants and sets were read
	told  forge.Status
}

// sawMerge notes a proposal that was merged. The caller holds turn.
func (d *desk) sawMerge(p forge.Proposal) {
	_, known := d.merges[p.Number]
	if _, over := d.over[p.Number]; known || over || p.MergeCommit == "" {
		return
	}
	d.merges[p.Number] = merge{Proposal: p}
}

// tellMerges sets the check of every merge whose end was not told. One that is over is forgotten, and so is one that
// waits for longer than anybody looks back.
func (l *Line) tellMerges(ctx context.Context, f *fleet) error {
	var errs []error
	for _, n := range slices.Sorted(maps.Keys(l.desk.merges)) {
		if err := ctx.Err(); err != nil {
			break
		}
		over, err := l.tellMerge(ctx, f, n)
		if err != nil {
			errs = append(errs, fmt.Errorf("merge of proposal #%d: %w", n, err))
			if errors.Is(err, forge.ErrLimited) {
				break
			}
			continue
		}
		if over || l.now().Sub(l.desk.merges[n].Ended) > lookBack {
			delete(l.desk.merges, n)
			l.desk.over[n] = l.now()
		}
	}
	return errors.Join(errs...)
}

// tellMerge sets the check of one merge, and says whether nothing more is to be told of it.
func (l *Line) tellMerge(ctx context.Context, f *fleet, n int) (over bool, err error) {
	m := l.desk.merges[n]
	if !m.known {
		// Only a commit that our own clone has in the history of the branch is believed to be one.
		if in, err := l.git.Ancestor(ctx, m.MergeCommit, f.head); err != nil || !in {
			return false, nil // the next cycle reads it, and calls again
		}
		if m, err = l.brought(ctx, f, m); err != nil {
			return false, err
		}
		l.desk.merges[n] = m
		if len(m.sets) == 0 {
			return true, nil
		}
		if all, err := l.forge.Statuses(ctx, m.MergeCommit); err != nil {
			return false, err
		} else if i := slices.IndexFunc(all, func(s forge.Status) bool { return s.Context == checkSync }); i >= 0 {
			if m.told = all[i]; m.told.Result == forge.Success {
				return true, nil // told before this process began
			}
		}
	}
	s := l.becameOf(f, m)
	s.Context, s.URL = checkSync, m.URL
	if s != m.told {
		if err := l.forge.SetStatus(ctx, m.MergeCommit, s); err != nil {
			return false, err
		}
		m.told = s
		l.desk.merges[n] = m
	}
	return s.Result == forge.Success, nil
}

// brought finds out what a merge changed: the lines of stage files and the entries that it brought, and the sets that it
// touched.
func (l *Line) brought(ctx context.Context, f *fleet, m merge) (merge, error) {
	m.wants, m.known = map[mirror.Place]mirror.Reference{}, true
	before, after, err := l.endsOf(ctx, m.Proposal)
	if err != nil {
		return m, err
	}
	if before == "" {
		return m, nil
	}
	changed, err := l.git.Differ(before, after, "desired", "stages")
	if err != nil {
		return m, fmt.Errorf("compare %s with %s: %w", brief(before), brief(after), err)
	}
	if len(changed) == 0 {
		return m, nil
	}
	then, wrong, err := l.parse(after)
	if err != nil {
		return m, err
	}
	earlier, _, err := l.parse(before)
	if err != nil {
		return m, err
	}
	m.sets, _ = f.setsOf(&fleet{desired: then}, changed)
	if len(wrong) > 0 {
		for _, set := range f.desired.Sets { // what it asked for can not be read: all sets wait for its repair
			m.sets = append(m.sets, set.Name)
		}
		m.sets = slices.Compact(slices.Sorted(slices.Values(m.sets)))
		return m, nil
	}
	old := wantsOf(earlier)
	for at, image := range wantsOf(then) {
		if old[at] != image {
			m.wants[at] = image
		}
	}
	return m, nil
}

// endsOf gives the two commits between which lies what a merge brought: where the head of the proposal was left behind
// by a squash or a rebase, that head and the commit at which it parted from the branch, on which others went on
// meanwhile; else the merge and its first parent. before is "" where there is none.
func (l *Line) endsOf(ctx context.Context, p forge.Proposal) (before, after string, err error) {
	if parted, err := l.git.MergeBase(ctx, p.HeadCommit, p.MergeCommit); err == nil && parted != "" && parted != p.HeadCommit {
		return parted, p.HeadCommit, nil
	}
	step, err := l.git.Step(p.MergeCommit)
	if err != nil || len(step.Parents) == 0 {
		return "", "", err
	}
	return step.Parents[0], p.MergeCommit, nil
}

// wantsOf lists what a fleet asks for: entries at the first stage, and the lines of stage files.
func wantsOf(d mirror.Desired) map[mirror.Place]mirror.Reference {
	all := map[mirror.Place]mirror.Reference{}
	for _, set := range d.Sets {
		for _, e := range set.Entries {
			all[mirror.Place{Set: set.Name, Stage: set.Stages.First(), Entry: e.Name}] = e.Image
		}
		for stage, lines := range set.Wanted {
			for _, w := range lines {
				all[mirror.Place{Set: set.Name, Stage: stage, Entry: w.Entry}] = w.Image
			}
		}
	}
	return all
}
