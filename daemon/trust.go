package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy"
)

// record reads what the fleet repository says stands for a set. What cannot be read there, such as a link or a
// file of someone else's, says nothing and is overwritten.
func (l *Line) record(f *fleet, set mirror.Set) (mirror.Record, error) {
	dir := l.renderedDir()
	files, err := l.renderedFiles(f, dir+"/record/"+set.Name)
	if junk := (mirror.Problems)(nil); errors.As(err, &junk) {
		l.log.Warn("the record cannot be read and is written anew", keySet, set.Name, keyError, junk)
	} else if err != nil {
		return mirror.Record{}, fmt.Errorf("record of set %s: %w", set.Name, err)
	}
	return l.records.Parse(dir, set, files), nil
}

// confirm gives the record as far as more than the file speaks for it. A line that we committed counts as we
// committed it, proven or not: an edit is overwritten, and one that was taken out comes back. Any other line counts only where
// we journaled its tag and the registry names its digest there (a crash before the commit was noted), or
// where the state was deleted and the registry names it; and only as where things are: it is not proven, so
// it is judged again before anything is rendered from it. Since when it stands and what stood before count where the
// history of the fleet repository shows that we wrote it (see remembered and held).
func (l *Line) confirm(ctx context.Context, f *fleet, set mirror.Set, r mirror.Record, inv mirror.Inventory, at time.Time) (mirror.Record, error) {
	known, err := l.state.Record(set.Name)
	if err != nil {
		return r, err
	}
	ours, trusted := known.Stages, r.Clone()
	for _, stage := range set.Stages {
		standing := mirror.Standing{}
		for entry, known := range ours[stage] {
			if standing[entry], err = l.held(ctx, set, stage, entry, known, known); err != nil {
				return r, err
			}
		}
		for entry, line := range r.At(stage) {
			_, ok := ours[stage][entry]
			if _, left := known.Left[stage][entry]; ok || left || !l.stillNamed(set, stage, entry, line.Image, inv) {
				continue
			}
			if line.Since.IsZero() {
				line.Since = at.UTC()
			}
			if line, err = l.held(ctx, set, stage, entry, line, mirror.Line{}); err != nil {
				return r, err
			}
			by, err := l.vouched(f)(ctx, line.Vouch, mirror.Key{Set: set.Name, Entry: entry}, line.Image)
			if err != nil {
				return r, err
			}
			if !by {
				line.Vouch = ""
			}
			standing[entry] = line
		}
		trusted.Stages[stage] = standing
		if trusted.Left[stage], err = l.departed(ctx, set, stage, standing, known.Left[stage], r.Left[stage]); err != nil {
			return r, err
		}
	}
	return trusted, nil
}

// departed gives the past of what left a stage, as far as more than the file speaks for it: as we committed it, else what a
// commit of ours says.
func (l *Line) departed(ctx context.Context, set mirror.Set, stage mirror.Stage, standing, ours, said mirror.Standing) (mirror.Standing, error) {
	all := mirror.Standing{}
	for _, entry := range sortedKeys(said) {
		if _, ok := ours[entry]; !ok && len(said[entry].Recorded) > 0 {
			all[entry] = said[entry]
		}
	}
	maps.Copy(all, ours)
	for entry, line := range all {
		if _, stands := standing[entry]; stands {
			delete(all, entry)
			continue
		}
		held, err := l.held(ctx, set, stage, entry, line, ours[entry])
		if err != nil {
			return nil, err
		}
		all[entry] = held
	}
	return all, nil
}

// stillNamed says whether the local registry names an image at its place, and whether that says anything: we wrote the
// tag, or nobody knows any more who did.
func (l *Line) stillNamed(set mirror.Set, stage mirror.Stage, entry string, image mirror.Reference, inv mirror.Inventory) bool {
	pointer := l.local.Pointer(set, stage, entry, image)
	named, _ := inv.Named(pointer)
	wrote, written := l.state.Owned(pointer.String())
	return named == image.Digest && (!l.state.Knows(set.Name) || written && wrote == named)
}

// believed gives of the record what may say what a tag was resolved to: the lines that we committed and, where
// the state was deleted or they were not proven since, those that the registry confirms.
func (l *Line) believed(ctx context.Context, set mirror.Set, r mirror.Record, p *progress) (mirror.Record, error) {
	ours, err := l.state.Lines(set.Name)
	if err != nil {
		return r, err
	}
	first, lost := set.Stages.First(), !l.state.Knows(set.Name)
	tags := map[string]mirror.Line{}
	var ask []mirror.Reference
	for _, e := range set.Entries {
		if line, ok := r.At(first)[e.Name]; ok && !e.Image.HasDigest() {
			switch known := ours[first][e.Name]; {
			case known.Image == line.Image && known.Proven:
				tags[e.Name] = line
			case known.Image == line.Image, lost:
				tags[e.Name] = line
				ask = append(ask, l.local.Pointer(set, first, e.Name, line.Image))
			}
		}
	}
	inv, err := l.inventory(ctx, ask, p, false)
	if err != nil {
		return r, err
	}
	for entry, line := range tags {
		if named, asked := inv.Named(l.local.Pointer(set, first, entry, line.Image)); asked && named != line.Image.Digest {
			delete(tags, entry)
		}
	}
	r = r.Clone()
	r.Stages[first] = tags
	return r, nil
}

// held sorts what a line says stood before: those that we know did and, of those that somebody wants now, the
// ones that the local registry holds in the stage's own repository stay, the others are recorded or a claim. What we
// bring there was admitted there; under LayoutTag that holds of the first stage alone, since a tag above it leaves no
// trace of what it named: there a commit of ours has to say so too. It only opens the gate: what returns is judged by
// the rules of today.
func (l *Line) held(ctx context.Context, set mirror.Set, stage mirror.Stage, entry string, line, known mirror.Line) (mirror.Line, error) {
	var was, recorded, claimed []mirror.Reference
	for _, image := range slices.Concat(line.Was, line.Recorded, line.Claimed) {
		if slices.Contains(was, image) || slices.Contains(recorded, image) || slices.Contains(claimed, image) {
			continue
		}
		if image == known.Image || slices.Contains(known.Was, image) {
			was = append(was, image)
			continue
		}
		ours, rest := slices.Contains(line.Recorded, image), &claimed
		if ours {
			rest = &recorded
		}
		*rest = append(*rest, image)
		wanted := slices.ContainsFunc(slices.Concat(slices.Collect(maps.Values(set.Wanted))...), func(w mirror.Wanted) bool {
			return w.Entry == entry && w.Image == image
		})
		if !wanted || !ours && set.Layout != mirror.LayoutPath && stage != set.Stages.First() {
			continue
		}
		_, err := l.registry.Resolve(ctx, l.local.Repository(set, stage, image).AtDigest(image.Digest))
		switch {
		case err == nil:
			was, *rest = append(was, image), (*rest)[:len(*rest)-1]
		case !errors.Is(err, mirror.ErrNotFound) && !errors.Is(err, mirror.ErrOffline):
			return line, fmt.Errorf("ask local registry: %w", err)
		}
	}
	line.Was, line.Recorded, line.Claimed = was, recorded, claimed
	return line, nil
}

// vouched says whether an earlier commit of our history names a digest in its desired/: what makes a
// pinned line count after desired/ moved on.
func (l *Line) vouched(f *fleet) policy.Vouched {
	return func(ctx context.Context, commit string, key mirror.Key, image mirror.Reference) (bool, error) {
		if commit == f.desired.Commit {
			return f.named[pin{key, image}], nil
		}
		pins, err := l.past(ctx, f.head, commit)
		return pins[pin{key, image}], err
	}
}
