package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/poundlock/poundlock/internal/mirror"
)

// holdings is which content the local registry is seen to hold in one step. An override that names what it does not hold
// would stop a consumer whose images are pulled next.
type holdings struct {
	line *Line
	held map[string]bool // by host/repository@digest; what was not asked yet is in none
	lost []mirror.Reference
}

// holdings begins with what the step has confirmed already: what a copy completed, and what a tag was just made to name.
func (l *Line) holdings(v *view, moved []mirror.Done) *holdings {
	h := &holdings{line: l, held: map[string]bool{}}
	for content, whole := range v.holds {
		if whole {
			h.held[content] = true
		}
	}
	for _, d := range moved {
		h.held[d.Action.To.AtDigest(d.Action.New).String()] = true
	}
	return h
}

// contents gives where the content of what stands at a stage lies in the local registry, each once.
func (l *Line) contents(set mirror.Set, stage mirror.Stage, record mirror.Record) []mirror.Reference {
	all := map[mirror.Reference]bool{}
	for entry, line := range record.At(stage) {
		all[l.local.Pointer(set, stage, entry, line.Image).AtDigest(line.Image.Digest)] = true
	}
	return slices.SortedFunc(maps.Keys(all), func(a, b mirror.Reference) int { return strings.Compare(a.String(), b.String()) })
}

// guard keeps the files of a folder as they are where one that is to change names content that the local registry does
// not hold. where asks for them, contents are what they may name. It asks for nothing where no file of the folder changes.
func (h *holdings) guard(ctx context.Context, r *rendering, set mirror.Set, stage mirror.Stage, dir string, where mirror.Position, contents []mirror.Reference) error {
	named := map[mirror.Reference]bool{}
	for _, name := range r.changed() {
		if !strings.HasPrefix(name, dir+"/") {
			continue
		}
		for _, content := range contents {
			if bytes.Contains(r.files[name], []byte(content.Digest.Hex)) {
				named[content] = true
			}
		}
	}
	missing, err := h.missing(ctx, slices.DeleteFunc(slices.Clone(contents), func(c mirror.Reference) bool { return !named[c] }))
	if err != nil || len(missing) == 0 {
		return err
	}
	below := func(name string) bool { return strings.HasPrefix(name, dir+"/") }
	maps.DeleteFunc(r.files, func(name string, _ []byte) bool { return below(name) })
	r.actions = slices.DeleteFunc(r.actions, func(a mirror.Action) bool { return a.Kind == mirror.Render && below(a.Path) })
	r.kept = append(r.kept, dir)
	more := ""
	if n := len(missing) - 1; n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	r.actions = append(r.actions, mirror.Action{Kind: mirror.Refuse, Key: mirror.Key{Set: set.Name}, Stage: stage, Path: dir, Where: where,
		Reason: mirror.Because(mirror.NotHeld, "kept as it was: the local registry does not hold %s%s", missing[0], more)})
	h.lost = append(h.lost, missing...)
	return nil
}

// missing gives those contents that the local registry does not hold, by one HEAD for each that this step has not seen yet.
// A registry that cannot be asked is an error: what is unknown must look neither here nor gone.
func (h *holdings) missing(ctx context.Context, contents []mirror.Reference) ([]mirror.Reference, error) {
	present := make([]bool, len(contents))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(auditAtOnce)
	for i, content := range contents {
		if held, known := h.held[content.String()]; known {
			present[i] = held
			continue
		}
		group.Go(func() error {
			_, err := h.line.registry.Resolve(ctx, content)
			if err != nil && !errors.Is(err, mirror.ErrNotFound) {
				return fmt.Errorf("ask local registry for what an override is to name: %w", err)
			}
			present[i] = err == nil
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var missing []mirror.Reference
	for i, content := range contents {
		if h.held[content.String()] = present[i]; !present[i] {
			missing = append(missing, content)
		}
	}
	return missing, nil
}

// lacks makes the next step look for content that the local registry has lost, here and upstream.
func (p *progress) lacks(contents []mirror.Reference, at time.Time) {
	if len(contents) == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.looksForLost(mirror.Action{From: contents[0], New: contents[0].Digest}, at)
	for _, content := range contents {
		p.lost[content.String()] = true
	}
}
