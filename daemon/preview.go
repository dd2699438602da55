package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"go.etcd.io/bbolt"

	"github.com/poundlock/poundlock/internal/forge"
	"github.com/poundlock/poundlock/internal/git"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/plan"
)

// foresight is what would be done if a proposal were merged.
type foresight struct {
	plan      plan.Document
	fleet     *fleet                   // as it would be
	sights    map[string]sight         // by set
	before    map[string]mirror.Record // by set: what stands
	overrides []override
}

// override is a file below rendered/ that would not stay as it is.
type override struct {
	path     string
	old, new []byte // nil: not there
}

// difference gives it as a unified diff; "" for one that is too large to be compared.
func (o override) difference() (string, error) {
	if len(o.old) > maxCompared || len(o.new) > maxCompared {
		return "", nil
	}
	return git.Unified(o.old, o.new)
}

// maxCompared is the size in bytes of the largest rendered file of which a preview shows what changes in it.
const maxCompared = 256 << 10

// asideName is the folder of the state directory in which a line aside has its copy of the state.
const asideName = "aside"

// aside gives a line that looks at things without leaving a trace in this one: it has a copy of the state, and knows
// nothing of what the steps of the sets are at. It asks the same registries by the same clients. The caller closes it.
func (l *Line) aside() (_ *Line, err error) {
	c := l.beside()
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("copy the state: %w", err), c.Close(context.Background()))
		}
	}()
	// Beside the state that we hold the lock of: nobody else makes this folder, and one that is there was left behind.
	dir := filepath.Join(l.config.StateDir, asideName)
	if err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700)); err != nil {
		return nil, err
	}
	c.onClose(func(context.Context) error { return os.RemoveAll(dir) })
	if err := l.state.copyTo(dir); err != nil {
		return nil, err
	}
	if c.state, err = OpenState(dir); err != nil {
		return nil, err
	}
	c.onClose(func(context.Context) error { return c.state.Close() })
	return c, nil
}

// beside gives a line that knows nothing of what the steps of the sets are at, and has no state.
func (l *Line) beside() *Line {
	c := &Line{config: l.config, local: l.local, git: l.git, forge: l.forge, registry: l.registry, web: l.web, evidence: l.evidence, log: l.log, now: l.now,
		metrics: newMetrics(l.shared.version), wakes: newWakes(), copying: newCopying(), settled: l.settled, packages: l.packages.aside(), offline: l.offline, attester: l.attester, temporary: true, sets: map[string]*progress{}}
	c.shared = &shared{metrics: c.metrics, heart: l.shared.heart, events: &history{}, looked: func(*Line) {}, command: l.shared.command, version: l.shared.version, since: l.shared.since}
	c.fleet.Store(l.fleet.Load())
	if l.desk != nil {
		c.consulted = &l.desk.consulted
	}
	return c
}

// copyTo puts a snapshot of the state into a folder.
func (s *State) copyTo(dir string) error {
	return s.db.View(func(tx *bbolt.Tx) error { return tx.CopyFile(filepath.Join(dir, stateFile), 0o600) })
}

// foresee computes what would be done for some sets of a fleet that is not in force. The line must be one aside.
func (l *Line) foresee(ctx context.Context, f *fleet, sets []string) (foresight, error) {
	l.limit = limit{}
	for _, name := range sets {
		l.limit.only = append(l.limit.only, selector{set: name})
	}
	look := foresight{before: map[string]mirror.Record{}, fleet: f, sights: map[string]sight{}}
	if len(sets) == 0 {
		return look, nil
	}
	var err error
	look.plan, err = l.preview(ctx, f, PreviewOptions{Sizes: true, MaxAge: -1, completed: func(v *view, r rendering) {
		look.before[v.set.Name], look.sights[v.set.Name] = v.record, v.sight
		for _, a := range r.actions {
			if a.Kind == mirror.Render {
				look.overrides = append(look.overrides, override{a.Path, r.old[a.Path], r.files[a.Path]})
			}
		}
	}})
	if err == nil {
		err = ctx.Err()
	}
	return look, err
}

// merged gives the fleet as it would be with these files in the place of what people wrote, and all mistakes in them.
func (f *fleet) merged(p forge.Proposal, files mirror.Files, sign func(*mirror.Desired) mirror.Problems) (*fleet, mirror.Problems) {
	next := *f
	var problems mirror.Problems
	next.desired, next.rules, problems = CheckFleet(p.HeadCommit, files)
	problems = append(problems, sign(&next.desired)...)
	next.named, next.policy = pinsOf(next.desired), next.rules.WithFloor(f.least)
	next.version, next.inputs, next.parsed = "proposal "+p.HeadCommit+" on "+f.version, "", ""
	next.mistake, next.wrong, next.proposed, next.filled = nil, nil, &p, false // its sets were read anew
	return &next, problems
}

// beforeMerge leaves in the plan of a proposal that is not merged what only waits, with its gates: the reviewer is to
// see all that is said of it, not only that it waits. Of a fleet in force the gated plan stays as it is.
func (f *fleet) beforeMerge(planned, gated mirror.Plan) mirror.Plan {
	if f.proposed == nil {
		return gated
	}
	actions := slices.Clone(gated.Actions)
	before := map[string]mirror.Action{} // a gate may take an action out
	for _, a := range planned.Actions {
		before[actionKey(a)] = a
	}
	for i, a := range actions {
		if was := before[actionKey(a)]; a.Kind == mirror.Refuse && does(was) && a.Reason.Waits() {
			actions[i].Kind, actions[i].Reason, actions[i].From = was.Kind, was.Reason, was.From
		}
	}
	gated.Actions = actions
	return gated
}

// setsOf lists the sets of a fleet that a change of files may be about: those whose own files are among them, those that a
// consumer among them runs, and all where another file is, such as the policy. gone are those that would not be asked for any more.
func (f *fleet) setsOf(next *fleet, changed []string) (sets, gone []string) {
	names := map[string]bool{}
	for _, file := range changed {
		own := ""
		for _, d := range []mirror.Desired{f.desired, next.desired} {
			for _, set := range d.Sets {
				if ofSet(set, file) {
					own = set.Name
					names[own] = true
				}
			}
			for _, c := range d.Consumers {
				if c.Where.File != file {
					continue
				}
				for _, use := range c.Runs {
					own = use.Set
					names[own] = true
				}
			}
		}
		if own == "" {
			for _, set := range next.desired.Sets {
				names[set.Name] = true
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if _, ok := next.desired.Set(name); ok {
			sets = append(sets, name)
		} else {
			gone = append(gone, name)
		}
	}
	return sets, gone
}

// ofSet says whether a file is one of a set alone: its own document, what its source reads, or one of its stages.
func ofSet(set mirror.Set, file string) bool {
	source, _ := set.Source.Node.Key("file").Text()
	return file == "desired/"+set.Name+".yaml" || source != "" && file == path.Join("desired", source) || strings.HasPrefix(file, "stages/"+set.Name+"/")
}
