package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy"
)

// record reads what the fleet repository says stands for a set.
func (l *Line) record(head string, set mirror.Set) (mirror.Record, error) {
	dir := l.renderedDir()
	files, err := l.git.Files(head, dir+"/record/"+set.Name)
	if err != nil {
		return mirror.Record{}, fmt.Errorf("record of set %s: %w", set.Name, err)
	}
	return mirror.ParseRecord(dir, set, files), nil
}

// confirm gives the record without the lines that nobody but an editor of the file vouches for. A line
// counts when we committed exactly this line, or when the local registry names its digest under its
// tag. What a line says stood before counts, where we did not write it, only as far as the local registry
// still holds it.
func (l *Line) confirm(ctx context.Context, set mirror.Set, r mirror.Record, inv mirror.Inventory) (mirror.Record, error) {
	trusted := r.Clone()
	for stage, standing := range trusted.Stages {
		for entry, line := range standing {
			if l.state.Line(lineKey(set.Name, stage, entry)) == line.Hash() {
				continue
			}
			pointer := l.local.Pointer(set, stage, entry, line.Image)
			if named, _ := inv.Named(pointer); named != line.Image.Digest {
				delete(standing, entry)
				continue
			}
			var err error
			if line.Was, err = l.held(ctx, set, stage, entry, line.Was); err != nil {
				return r, err
			}
			standing[entry] = line
		}
	}
	return trusted, nil
}

// held keeps of earlier references those that somebody wants now and the local registry still holds.
func (l *Line) held(ctx context.Context, set mirror.Set, stage mirror.Stage, entry string, was []mirror.Reference) ([]mirror.Reference, error) {
	var kept []mirror.Reference
	for _, image := range was {
		wanted := slices.ContainsFunc(slices.Concat(slices.Collect(maps.Values(set.Wanted))...), func(w mirror.Wanted) bool {
			return w.Entry == entry && w.Image == image
		})
		if !wanted {
			continue
		}
		_, err := l.registry.Resolve(ctx, l.local.Repository(set, stage, image).AtDigest(image.Digest))
		switch {
		case err == nil:
			kept = append(kept, image)
		case !errors.Is(err, mirror.ErrNotFound):
			return nil, fmt.Errorf("ask local registry: %w", err)
		}
	}
	return kept, nil
}

func lineKey(set string, stage mirror.Stage, entry string) string {
	return set + "/" + string(stage) + "/" + entry
}

// vouched says whether an earlier commit of our history names a digest in its desired/: what makes a
// pinned line count after desired/ moved on. Each commit is read once.
func (l *Line) vouched(f *fleet) policy.Vouched {
	return func(ctx context.Context, commit string, key mirror.Key, image mirror.Reference) (bool, error) {
		if commit == f.desired.Commit {
			return names(f.desired, key, image), nil
		}
		old, err := l.past(ctx, f.head, commit)
		if err != nil || old == nil {
			return false, err
		}
		return names(*old, key, image), nil
	}
}

func names(d mirror.Desired, key mirror.Key, image mirror.Reference) bool {
	set, ok := d.Set(key.Set)
	return ok && slices.ContainsFunc(set.Entries, func(e mirror.Entry) bool {
		return e.Name == key.Entry && e.Pinned() && e.Image == image
	})
}
