package daemon

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/plan"
)

const (
	weighAtOnce  = 8   // manifests and blobs that are asked for side by side; the transport bounds it by host
	weighDepth   = 4   // indexes inside each other
	weighEntries = 500 // manifests of one index, and of all that are inside each other in one copy
)

// scales learn how much copies bring: they read manifests, and ask the local registry for each blob once.
type scales struct {
	line  *Line
	ours  map[string]bool // repositories of the local registry that hold something of ours
	slots chan struct{}

	mu    sync.Mutex
	here  map[mirror.Digest]*sync.Once
	has   map[mirror.Digest]bool
	tired map[string]error // hosts that could not answer: not asked again
}

// weight is the content of one copy.
type weight struct {
	blobs  map[mirror.Digest]int64 // sizes
	layers map[mirror.Digest]bool
	read   map[mirror.Digest]bool // manifests
}

// weigh puts the size of every copy into the plans and gives the bytes of all together. What cannot be read there
// cannot be copied either: such an action becomes missing or failed.
func (l *Line) weigh(ctx context.Context, views []*view) plan.Sizes {
	s := &scales{line: l, ours: map[string]bool{}, slots: make(chan struct{}, weighAtOnce),
		here: map[mirror.Digest]*sync.Once{}, has: map[mirror.Digest]bool{}, tired: map[string]error{}}
	var all []*mirror.Action
	for _, v := range views {
		s.know(v.set, v.plan)
		for i, a := range v.plan.Actions {
			if a.Kind == mirror.Copy {
				all = append(all, &v.plan.Actions[i])
			}
		}
	}
	weights := make([]weight, len(all))
	var group errgroup.Group
	group.SetLimit(weighAtOnce)
	for i, a := range all {
		group.Go(func() error { weights[i] = s.weigh(ctx, a); return nil })
	}
	_ = group.Wait() // what could not be learnt stands in the actions
	var sum plan.Sizes
	counted := map[mirror.Digest]bool{}
	for _, one := range weights {
		for d, size := range one.blobs {
			switch {
			case counted[d]:
				continue
			case s.has[d]:
				sum.Here += size
			default:
				sum.ToCopy += size
			}
			counted[d] = true
		}
	}
	for i, a := range all {
		for d, size := range weights[i].blobs {
			if s.has[d] {
				a.Size.Here += size
			}
		}
	}
	return sum
}

// know learns which repositories of the local registry hold something of ours: by what stands, and by the tags
// that name something. The others need not be asked for blobs.
func (s *scales) know(set mirror.Set, p mirror.Plan) {
	for stage, standing := range p.Before.Stages {
		for _, line := range standing {
			s.ours[s.line.local.Repository(set, stage, line.Image).Name()] = true
		}
	}
	for _, a := range p.Actions {
		if a.Old != (mirror.Digest{}) {
			s.ours[a.To.Name()] = true
		}
	}
}

// weigh reads what a copy brings and puts its size into it.
func (s *scales) weigh(ctx context.Context, a *mirror.Action) weight {
	from, one := a.From, weight{blobs: map[mirror.Digest]int64{}, layers: map[mirror.Digest]bool{}, read: map[mirror.Digest]bool{}}
	if from.IsZero() {
		from = a.Image
	}
	err := s.read(ctx, from, a.New, 0, &one)
	switch {
	case errors.Is(err, mirror.ErrTooLarge):
		a.Size = mirror.Size{Unknown: err.Error()}
		return weight{}
	case err != nil:
		*a = s.line.unreadable(*a, err)
		return weight{}
	}
	a.Size = mirror.Size{Layers: len(one.layers)}
	var group errgroup.Group
	group.SetLimit(weighAtOnce)
	for d, size := range one.blobs {
		a.Size.Bytes += size
		switch {
		case from.Host == s.line.local.Host: // from one repository of ours into another
			s.mark(d)
		case s.ours[a.To.Name()]:
			group.Go(func() error { s.ask(ctx, a.To, d); return nil })
		}
	}
	_ = group.Wait() // a blob that could not be asked for counts as to copy
	return one
}

// unreadable gives the action in place of a copy whose manifests cannot be read.
func (l *Line) unreadable(a mirror.Action, err error) mirror.Action {
	switch {
	case !errors.Is(err, mirror.ErrNotFound):
		return l.failedAction(a, err)
	case a.From.Host == l.local.Host:
		return l.lost(a)
	}
	return gone(a)
}

// gone is the end of a copy of content that upstream does not have.
func gone(a mirror.Action) mirror.Action {
	a.Kind, a.Outcome, a.Basis, a.Size = mirror.Missing, "", "", mirror.Size{}
	a.Reason = mirror.Because(mirror.UpstreamMissing, "upstream has no %s any more: nothing names it there, and it was deleted", a.Image.AtDigest(a.New))
	return a
}

// stillMissing takes over from the last run which content upstream does not have, so that a preview plans no copy
// that cannot come about. Whoever refreshes asks for it again.
func (l *Line) stillMissing(v *view) {
	places := l.state.trouble(v.set.Name).Places
	for i, a := range v.plan.Actions {
		if missing := gone(a); a.Kind == mirror.Copy && places[placeKey(a)] == placeText(missing) {
			v.plan.Actions[i] = missing
		}
	}
}

// read takes in a manifest and all below it.
func (s *scales) read(ctx context.Context, from mirror.Reference, d mirror.Digest, depth int, one *weight) error {
	if err := s.gaveUp(from.Host); err != nil {
		return err
	}
	if one.read[d] {
		return nil // an index may name one more than once
	}
	if len(one.read) > weighEntries {
		return mirror.ErrTooLarge
	}
	one.read[d] = true
	m, err := s.manifest(ctx, from, d)
	if err != nil {
		return err
	}
	parts, err := m.Parts()
	if err != nil {
		return err
	}
	if depth == weighDepth || len(parts.Manifests) > weighEntries {
		return mirror.ErrTooLarge
	}
	for _, blob := range parts.Blobs() {
		one.blobs[blob.Digest] = blob.Size
	}
	for _, layer := range parts.Layers {
		one.layers[layer.Digest] = true
	}
	for _, child := range parts.Manifests {
		if err := s.read(ctx, from, child.Digest, depth+1, one); err != nil {
			return err
		}
	}
	return nil
}

// manifest asks for one manifest. A host that limits us or does not answer is left alone from then on.
func (s *scales) manifest(ctx context.Context, from mirror.Reference, d mirror.Digest) (mirror.Manifest, error) {
	s.slots <- struct{}{}
	defer func() { <-s.slots }()
	m, err := s.line.origins().Manifest(ctx, from, d)
	var temporary interface{ Temporary() bool }
	if errors.As(err, &temporary) && temporary.Temporary() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.tired[from.Host] = err
	}
	return m, err
}

// gaveUp gives why a host is not asked any more; nil while it is.
func (s *scales) gaveUp(host string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tired[host]
}

func (s *scales) mark(d mirror.Digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.has[d] = true
}

// ask asks the local registry for a blob, once for all copies that bring it.
func (s *scales) ask(ctx context.Context, to mirror.Reference, d mirror.Digest) {
	s.mu.Lock()
	once := s.here[d]
	if once == nil {
		once = &sync.Once{}
		s.here[d] = once
	}
	s.mu.Unlock()
	once.Do(func() {
		if s.gaveUp(to.Host) != nil {
			return
		}
		s.slots <- struct{}{}
		defer func() { <-s.slots }()
		if has, err := s.line.registry.HasBlob(ctx, to, d); err == nil && has {
			s.mark(d)
		}
	})
}
