package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/publish"
	"github.com/poundlock/poundlock/sync/render"
)

// besides is what a step commits for the consumers that run its set.
type besides struct {
	publish.Beside
	actions []mirror.Action // folders that keep their bytes
	notes   []render.Note
}

// lookup gives what is settled of a set; why says what keeps it from being counted on.
type lookup func(set string) (one settledSet, why string, err error)

// consumersOf renders the consumers that run a set, for a commit on head. Each is made from all the sets that it runs,
// so the step of any of them makes it anew, whichever comes last.
func (l *Line) consumersOf(ctx context.Context, f *fleet, now settledSet, here *holdings, head string) (b besides, err error) {
	b.Files = mirror.Files{}
	for _, c := range f.desired.Consumers {
		if !runs(c, now.set.Name) {
			continue
		}
		r, contents, err := l.renderConsumer(f, c, now.set.Name, head, func(set string) (settledSet, string, error) {
			if set == now.set.Name {
				return now, "", nil
			}
			return l.settledAt(f, set, head)
		})
		if err != nil {
			return b, err
		}
		dir := render.ConsumerDir(l.local, c)
		if err := here.guard(ctx, &r, now.set, "", dir, c.KeyAt("render"), contents); err != nil {
			return b, err
		}
		if len(r.kept) > 0 {
			b.actions = append(b.actions, slices.DeleteFunc(r.actions, func(a mirror.Action) bool { return a.Kind == mirror.Render })...)
			continue
		}
		b.Owned, b.notes = append(b.Owned, dir), append(b.notes, r.notes...)
		maps.Copy(b.Files, r.files)
	}
	return b, nil
}

func runs(c mirror.Consumer, set string) bool {
	return slices.ContainsFunc(c.Runs, func(u mirror.Use) bool { return u.Set == set })
}

// renderConsumer gives the files of a consumer and, where one of them changes, the content that they may name. Actions are told with the set by. Where
// one of its sets is not settled, or a stage that it runs is on its way, the whole folder keeps its bytes: half of it
// could send a node to the upstream for the other half.
func (l *Line) renderConsumer(f *fleet, c mirror.Consumer, by, head string, of lookup) (rendering, []mirror.Reference, error) {
	dir := render.ConsumerDir(l.local, c)
	old, err := l.consumerHolds(c, dir, head)
	if err != nil {
		return rendering{}, nil, err
	}
	var used []settledSet
	var sets []mirror.Set
	records := map[string]mirror.Record{}
	for _, use := range c.Runs {
		one, why, err := of(use.Set)
		if err != nil {
			return rendering{}, nil, err
		}
		if why == "" && !slices.Contains(one.set.Stages, use.Stage) {
			why = fmt.Sprintf("set %s does not have the stage %s yet", use.Set, use.Stage)
		}
		if open := one.open[use.Stage]; why == "" && open != "" && len(one.record.At(use.Stage)) > 0 {
			why = fmt.Sprintf("set %s at %s: %s", use.Set, use.Stage, open)
		}
		if why != "" {
			kept := mirror.Action{Kind: mirror.Unchanged, Key: mirror.Key{Set: by}, Path: dir, Where: c.KeyAt("render"),
				Reason: mirror.Because(mirror.Incomplete, "kept as it was: %s", why)}
			return rendering{files: mirror.Files{}, old: old, kept: []string{dir}, actions: []mirror.Action{kept}}, nil, nil
		}
		if records[use.Set].Stages == nil {
			sets, records[use.Set] = append(sets, whereabouts(one.set)), one.record
		}
		used = append(used, one)
	}
	made := l.consumerMade(f, c, madeOf(f, c, used), func() render.Result { return render.Consumer(l.local, c, sets, records, f.desired.Files) })
	r := l.taken(made, old)
	for i := range r.actions {
		r.actions[i].Key.Set, r.actions[i].Where = by, c.KeyAt("render")
	}
	changed := r.changed()
	for _, name := range changed {
		r.actions = append(r.actions, r.change(by, name, c.KeyAt("render")))
	}
	r.warn()
	if len(changed) == 0 {
		return r, nil, nil
	}
	var contents []mirror.Reference
	for i, use := range c.Runs {
		contents = append(contents, l.contents(used[i].set, use.Stage, used[i].record)...)
	}
	return r, contents, nil
}

// foreseeConsumers gives what would become of the consumers that run the sets of some views, each told with the last of
// those sets, if all of their plans came about. It changes the plans.
func (l *Line) foreseeConsumers(f *fleet, views []*view, plans []mirror.Plan, show func(*view, rendering)) error {
	coming := map[string]settledSet{}
	for _, v := range views {
		if _, paused := f.paused(v.set.Name); !paused {
			coming[v.set.Name] = l.settles(v, v.foreseen())
		}
	}
	for _, c := range f.desired.Consumers {
		last := -1
		for i, v := range views {
			if _, steps := coming[v.set.Name]; steps && runs(c, v.set.Name) {
				last = i
			}
		}
		if last < 0 {
			continue
		}
		r, _, err := l.renderConsumer(f, c, views[last].set.Name, l.renderedAt(f), func(set string) (settledSet, string, error) {
			if one, steps := coming[set]; steps {
				return one, "", nil
			}
			return l.settledAt(f, set, l.renderedAt(f))
		})
		if err != nil {
			return err
		}
		if show != nil {
			show(views[last], r)
		}
		plans[last].Actions = append(plans[last].Actions, r.actions...)
	}
	return nil
}

// consumersDir holds the folders of all consumers of the site.
func (l *Line) consumersDir() string { return l.renderedDir() + "/consumers" }

// orphanConsumers lists the consumers that stand in rendered/ and that desired/ does not have any more.
func (l *Line) orphanConsumers(f *fleet, desired mirror.Desired) []string {
	files, err := l.renderedFiles(f, l.consumersDir())
	if err != nil && !errors.As(err, new(mirror.Problems)) {
		l.log.Debug("which consumers stand in rendered/ cannot be read", keyError, err)
	}
	names := map[string]bool{}
	for file := range files {
		name, _, below := strings.Cut(strings.TrimPrefix(file, l.consumersDir()+"/"), "/")
		asked := slices.ContainsFunc(desired.Consumers, func(c mirror.Consumer) bool { return c.Name == name })
		names[name] = names[name] || below && !asked
	}
	maps.DeleteFunc(names, func(_ string, orphan bool) bool { return !orphan })
	return sortedKeys(names)
}
