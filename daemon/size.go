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
	weighEntries = 500 // manifests of one index
)

// scales learn how much copies bring: they read manifests, and ask the local registry for each blob once.
type scales struct {
	line  *Line
	ours  map[string]bool // repositories of the local registry that hold something of ours
	slots chan struct{}

	mu    sync.Mutex
	here  map[mirror.Digest]*sync.Once
	has   map[mirror.Digest]bool
	tired map[string]bool // hosts that could not answer: not asked again
}

// weight is the content of one copy.
type weight struct {
	blobs  map[mirror.Digest]int64 // sizes
	layers map[mirror.Digest]bool
}

// weigh puts the size of every copy into the plans and gives the bytes of all together. A size that cannot be
// learnt is said in the action and is no error: the plan is right without it.
func (l *Line) weigh(ctx context.Context, f *fleet, plans []mirror.Plan) plan.Sizes {
	s := &scales{line: l, ours: map[string]bool{}, slots: make(chan struct{}, weighAtOnce),
		here: map[mirror.Digest]*sync.Once{}, has: map[mirror.Digest]bool{}, tired: map[string]bool{}}
	for _, p := range plans {
		set, _ := f.desired.Set(p.Set)
		s.know(set, p)
	}
	var all []*mirror.Action
	for _, p := range plans {
		for i, a := range p.Actions {
			if a.Kind == mirror.Copy {
				all = append(all, &p.Actions[i])
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
	from, one := a.From, weight{blobs: map[mirror.Digest]int64{}, layers: map[mirror.Digest]bool{}}
	if from.IsZero() {
		from = a.Image
	}
	if err := s.read(ctx, from, a.New, 0, &one); err != nil {
		a.Size = mirror.Size{Unknown: err.Error()}
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

var errTired = errors.New("its registry did not answer before")

// read takes in a manifest and all below it.
func (s *scales) read(ctx context.Context, from mirror.Reference, d mirror.Digest, depth int, one *weight) error {
	if s.gaveUp(from.Host) {
		return errTired
	}
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
	m, err := s.line.registry.Manifest(ctx, from, d)
	var temporary interface{ Temporary() bool }
	if errors.As(err, &temporary) && temporary.Temporary() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.tired[from.Host] = true
	}
	return m, err
}

func (s *scales) gaveUp(host string) bool {
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
		if s.gaveUp(to.Host) {
			return
		}
		s.slots <- struct{}{}
		defer func() { <-s.slots }()
		if has, err := s.line.registry.HasBlob(ctx, to, d); err == nil && has {
			s.mark(d)
		}
	})
}
