package daemon

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/poundlock/poundlock/internal/git"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/plan"
	"github.com/poundlock/poundlock/sync/publish"
	"github.com/poundlock/poundlock/sync/render"
)

// rendering is what the folders of a set or a consumer are to hold, and how that differs from what they hold.
type rendering struct {
	files   mirror.Files
	old     mirror.Files // what they hold now
	kept    []string     // folders whose files keep their bytes
	actions []mirror.Action
	notes   []render.Note
}

// taken gives what was made of a set or a consumer as a rendering, old being what its folders hold now.
func (l *Line) taken(made render.Result, old mirror.Files) rendering {
	made = fits(l.renderedDir(), l.seal(made, old))
	r := rendering{files: made.Files, old: old, actions: made.Kept, notes: made.Notes}
	for _, a := range made.Kept {
		r.kept = append(r.kept, a.Path)
	}
	return r
}

// changed lists the files that are to differ from what the head holds, also those that are to go.
func (r rendering) changed() []string {
	names := maps.Clone(r.old)
	maps.Copy(names, r.files)
	return slices.DeleteFunc(sortedKeys(names), func(name string) bool {
		is, stays := r.files[name]
		was, stood := r.old[name]
		keeps := !stays && slices.ContainsFunc(r.kept, func(dir string) bool { return strings.HasPrefix(name, dir+"/") })
		return keeps || stays == stood && bytes.Equal(was, is)
	})
}

// change gives the action for a file that is to differ.
func (r rendering) change(set, name string, where mirror.Position) mirror.Action {
	a := mirror.Action{Kind: mirror.Render, Key: mirror.Key{Set: set}, Path: name, Where: where,
		Reason: mirror.Because(mirror.FileChanged, "%s", change(r.old[name], r.files[name]))}
	if _, stays := r.files[name]; !stays {
		a.Reason.Detail += ", goes"
	}
	return a
}

// render gives the files for a record: the record itself and the overrides. An action stands for each file that
// is to differ from what the head holds, also for one that is to go.
func (l *Line) render(f *fleet, v *view, record mirror.Record) (rendering, error) {
	old, err := l.outlineAt(l.renderedAt(f), l.ownedDirs(v.set)...)
	if err != nil {
		return rendering{}, fmt.Errorf("read what is rendered: %w", err)
	}
	made := render.Files(l.local, l.withDistributions(f, v.set, record), record, v.plan, f.desired.Files)
	remembered := l.freezes(f, v, record, old, &made)
	r := l.taken(made, old)
	for i, a := range r.actions {
		r.actions[i].Where = v.set.KeyAt("render")
		if f.rewritten != nil && a.Stage != v.set.Stages.First() {
			r.actions[i].Reason.Detail = "the history of the fleet repository was rewritten; what stands stays"
		}
	}
	overrides := maps.Clone(r.files)
	maps.Copy(r.files, mirror.RecordFiles(l.renderedDir(), v.set, record))
	maps.Copy(r.files, remembered)
	for _, name := range r.changed() {
		where := v.set.Where
		if overrides[name] != nil {
			where = v.set.KeyAt("render")
		}
		r.actions = append(r.actions, r.change(v.set.Name, name, where))
	}
	r.warn()
	return r, nil
}

// foreseen gives the record as it would be if all of the plan that is admitted came about.
func (v *view) foreseen() mirror.Record {
	after := v.plan.After.Clone()
	for _, a := range v.plan.Actions {
		line, stands := after.At(a.Stage)[a.Key.Entry]
		if verdict := v.verdicts[actionKey(a)]; stands && does(a) && verdict.Outcome.Admits() {
			line.Basis, line.Vouch = verdict.Basis(), cmp.Or(verdict.VouchedBy, line.Vouch)
			after.Stages[a.Stage][a.Key.Entry] = line
		}
	}
	return after
}

// dropped lists the entries that leave the record because nobody asks for them any more.
func (l *Line) dropped(f *fleet, v *view, record mirror.Record) []mirror.Action {
	var all []mirror.Action
	for _, m := range publish.Moves(v.set, v.record, record) {
		if !m.New.IsZero() {
			continue
		}
		where := v.set.At("source")
		if m.Stage != v.set.Stages.First() {
			where = mirror.Position{File: "stages/" + v.set.Name + "/" + string(m.Stage) + ".yaml"}
			if parts := f.desired.Files.Document(strings.TrimSuffix(where.File, ".yaml")); len(parts) > 0 {
				where.File = parts[0]
			}
		}
		all = append(all, mirror.Action{Kind: mirror.Drop, Key: mirror.Key{Set: v.set.Name, Entry: m.Entry}, Stage: m.Stage, Image: m.Old,
			To: l.local.Pointer(v.set, m.Stage, m.Entry, m.Old), Old: m.Old.Digest, Where: where,
			Reason: mirror.Because(mirror.NotAsked, "no longer asked for; its content and tag stay")})
	}
	return all
}

func (l *Line) ownedDirs(set mirror.Set) []string {
	return []string{l.renderedDir() + "/" + set.Name, l.renderedDir() + "/record/" + set.Name}
}

// change counts lines that come and go, as a diff would at best.
func change(old, new []byte) string {
	lines := map[string]int{}
	for line := range bytes.Lines(new) {
		lines[string(line)]++
	}
	for line := range bytes.Lines(old) {
		lines[string(line)]--
	}
	var more, less int
	for _, n := range lines {
		more, less = more+max(n, 0), less+max(-n, 0)
	}
	return fmt.Sprintf("+%d -%d", more, less)
}

// publish commits the record and the overrides as they are after the tags moved. Nothing changed, no commit.
func (l *Line) publish(ctx context.Context, f *fleet, v *view, moved []mirror.Done, at time.Time) (string, error) {
	record := plan.Settle(v.set, v.record, v.plan, moved, f.desired.Commit, at)
	shown, err := l.asTwinWrote(ctx, f, v.set, record)
	if err != nil {
		return "", err
	}
	r, err := l.render(f, v, shown)
	if err != nil {
		return "", err
	}
	here := l.holdings(v, moved)
	for _, stage := range v.set.Stages {
		if err := here.guard(ctx, &r, v.set, stage, render.Dir(l.local, v.set, stage), v.set.KeyAt("render"), l.contents(v.set, stage, shown)); err != nil {
			return "", err
		}
	}
	now := l.settles(v, shown)
	madeOn, generation := l.renderedAt(f), l.settled.generation()
	ahead, err := l.consumersOf(ctx, f, now, here, madeOn) // so that the registry is not asked while others wait to commit
	if err != nil {
		return "", err
	}
	v.plan.Actions = append(v.plan.Actions, slices.DeleteFunc(r.actions, func(a mirror.Action) bool { return a.Kind == mirror.Render })...)
	came := v.cameOf(moved, record)
	message, err := l.config.Git.Message.Text(publish.Facts{Set: v.set.Name, Site: l.config.Site, Cycle: v.run, Moves: publish.Moves(v.set, v.record, record), Promoted: promoted(came)})
	if err != nil {
		return "", err
	}
	if err := l.found(f, v); err != nil {
		return "", err
	}
	l.publishing.Lock()
	defer l.publishing.Unlock()
	// Another set may have committed meanwhile: build on that, its inputs are the same.
	on := f
	if now := l.fleet.Load(); now.inputs == f.inputs {
		on = now
	}
	commit, changed, err := publish.Publish(ctx, l.rendererOf(on), publish.Request{
		Head: l.renderedAt(on), Inputs: f.inputs, Kept: r.kept, Rejected: git.ErrRejected,
		Change: publish.Change{Owned: l.ownedDirs(v.set), Files: r.files, Message: message, At: at},
		Beside: func(head string) (publish.Beside, error) {
			if err := l.alone(f, v.set, head); err != nil {
				return publish.Beside{}, err
			}
			if next := l.settled.generation(); head != madeOn || next != generation {
				if ahead, err = l.consumersOf(ctx, f, now, here, head); err != nil {
					return publish.Beside{}, err
				}
				madeOn, generation = head, next
			}
			holds, err := l.rollbackHolds(l.withRendered(f, head), rolledBack(v.set, v.record, moved), at)
			beside := publish.Beside{Owned: ahead.Owned, Files: maps.Clone(ahead.Files)}
			maps.Copy(beside.Files, holds)
			return beside, err
		},
	})
	if err != nil {
		return "", err
	}
	l.settled.put(now)
	l.settled.leaves(ahead)
	l.keepSettled(now)
	l.progress(v.set.Name).lacks(here.lost, l.now())
	v.plan.Actions = append(v.plan.Actions, ahead.actions...)
	l.tellNotes(append(r.notes, ahead.notes...))
	if now := l.fleet.Load(); now.inputs == f.inputs {
		if err := l.advance(now, commit, ""); err != nil {
			return "", err
		}
	}
	if err := l.state.SetLines(v.set.Name, record); err != nil || !changed {
		return "", err
	}
	l.emit(Event{Type: EventCommitted, Run: v.run, Set: v.set.Name, Commit: commit})
	l.tellCame(v.run, came)
	return commit, nil
}
