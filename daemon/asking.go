package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/poundlock/poundlock/internal/git"
	"github.com/poundlock/poundlock/internal/mirror"
)

// askers gives, by entry, the commit that asks for an image at a stage: the newest one of the first-parent history
// that changed the stage document such that the entry has this image. An entry for which there is none is left out.
func (l *Line) askers(ctx context.Context, f *fleet, set mirror.Set, stage mirror.Stage, moving map[string]mirror.Reference) (map[string]git.Step, error) {
	g := &l.progress(set.Name).gates
	found, open := map[string]git.Step{}, map[string]mirror.Reference{}
	g.mu.Lock()
	for entry, image := range moving {
		if step, ok := g.asked[askedKey(stage, entry, image)]; ok {
			found[entry] = step
		} else {
			open[entry] = image
		}
	}
	g.mu.Unlock()
	if len(open) == 0 {
		return found, nil
	}
	head := f.desired.Commit
	if f.proposed != nil {
		head = f.head // what is only proposed is asked for by no commit of the branch
	}
	walked, err := l.walkAskers(ctx, head, set.Name, stage, open)
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.asked == nil {
		g.asked = map[string]git.Step{}
	}
	for entry, step := range walked {
		g.asked[askedKey(stage, entry, moving[entry])] = step
	}
	maps.Copy(found, walked)
	return found, nil
}

// droppers gives the commits that took entries which stand out of their stage files, by stage and entry, where something
// that is listed there does not stand yet: only then it matters who asked.
func (l *Line) droppers(ctx context.Context, f *fleet, set mirror.Set, record mirror.Record) (map[mirror.Stage]map[string]string, error) {
	all := map[mirror.Stage]map[string]string{}
	for _, stage := range set.Stages.Upper() {
		gone, open := map[string]mirror.Reference{}, false
		for entry := range record.At(stage) {
			gone[entry] = mirror.Reference{} // what a stage file without it names for it
		}
		for _, line := range set.Wanted[stage] {
			delete(gone, line.Entry)
			open = open || record.At(stage)[line.Entry].Image != line.Image
		}
		if !open || len(gone) == 0 || set.Atomic || !set.Listed[stage] {
			continue
		}
		steps, err := l.askers(ctx, f, set, stage, gone)
		if err != nil {
			return nil, fmt.Errorf("who dropped lines of %s at %s: %w", set.Name, stage, err)
		}
		all[stage] = map[string]string{}
		for entry, step := range steps {
			all[stage][entry] = step.Commit
		}
	}
	return all, nil
}

func askedKey(stage mirror.Stage, entry string, image mirror.Reference) string {
	return string(stage) + " " + entry + " " + image.String()
}

// walkAskers goes back through the commits that changed a stage document. One asks for an image that the document names
// there and did not name before. Each version of the document is read once.
func (l *Line) walkAskers(ctx context.Context, head, set string, stage mirror.Stage, wanted map[string]mirror.Reference) (map[string]git.Step, error) {
	found, open := map[string]git.Step{}, maps.Clone(wanted)
	var last git.Step // the commit before which the document is still to be read
	before := func(step git.Step, lines map[string]mirror.Reference) {
		for entry, image := range open {
			if lines[entry] != image {
				if step.Commit != "" { // else the head itself does not name it
					found[entry] = step
				}
				delete(open, entry)
			}
		}
	}
	err := l.git.Walk(ctx, head, stagePaths(set, stage), func(s git.Step) (bool, error) {
		lines, err := l.stageLines(s.Commit, set, stage)
		if err != nil {
			return false, err
		}
		before(last, lines)
		last = s
		return len(open) > 0, nil
	})
	if err != nil {
		return nil, err
	}
	before(last, nil) // where the history begins there was no document
	return found, nil
}

// stagePaths gives where the document of a stage may lie: a file, or a folder of shards.
func stagePaths(set string, stage mirror.Stage) []string {
	name := mirror.StageName(set, stage)
	return []string{name + ".yaml", mirror.ShardDir(name)}
}

// stageDocument gives the files of a stage document at a commit. What cannot be read is not there.
func (l *Line) stageDocument(commit, set string, stage mirror.Stage) (mirror.Files, error) {
	files, err := l.git.Files(commit, "stages/"+set)
	if errors.As(err, new(mirror.Problems)) {
		return mirror.Files{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("stage files at %s: %w", commit, err)
	}
	return documentOf(files, set, stage), nil
}

// documentOf gives of the files of a fleet those of a stage document.
func documentOf(files mirror.Files, set string, stage mirror.Stage) mirror.Files {
	document := mirror.Files{}
	for _, name := range files.Document(mirror.StageName(set, stage)) {
		document[name] = files[name]
	}
	return document
}

func (l *Line) stageLines(commit, set string, stage mirror.Stage) (map[string]mirror.Reference, error) {
	files, err := l.stageDocument(commit, set, stage)
	if err != nil {
		return nil, err
	}
	wanted, _, _ := mirror.ParseLines(files, mirror.StageName(set, stage))
	return listedLines(wanted), nil
}
