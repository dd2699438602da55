package git

import (
	"container/heap"
	"context"
	"errors"

	"github.com/go-git/go-git/v5/plumbing"
)

// history is the part of the commits that one judgement reads, each once.
type history struct {
	repo  *Repo
	trust Trust
	head  plumbing.Hash // that is judged
	nodes map[plumbing.Hash]*node
	above map[plumbing.Hash]bool // Since and what was built upon it; nil while nobody asked
}

// node is one commit. A malformed one has no parents here: it is refused, and what is behind it does not matter.
type node struct {
	id        plumbing.Hash
	raw       rawCommit
	malformed error
	inputs    inputTrees // nil while nobody asked
}

func (w *history) node(id plumbing.Hash) (*node, error) {
	if n := w.nodes[id]; n != nil {
		return n, nil
	}
	n := &node{id: id}
	var err error
	if n.raw, err = w.repo.raw(id); errors.Is(err, errCommit) {
		n.malformed, n.raw.parents = err, nil
	} else if err != nil {
		return nil, err
	}
	w.nodes[id] = n
	return n, nil
}

// accepted gives the commits that are accepted with their history and that the clone holds.
func (w *history) accepted() []plumbing.Hash {
	w.repo.mu.Lock()
	defer w.repo.mu.Unlock()
	var held []plumbing.Hash
	for _, commit := range w.trust.Accepted {
		if w.repo.holdsCommit(commit) {
			held = append(held, plumbing.NewHash(commit))
		}
	}
	return held
}

// The colours of a walk: on which side a commit was found.
const (
	isNew = 1 << iota // above is what is judged
	isOld             // it is accepted, or below what is
)

// news gives the commits up to a head that are not below what is accepted, the newest first as far as their dates
// tell. Where dates lie it may give some that are; it never leaves one out that is not.
func (w *history) news(ctx context.Context, head plumbing.Hash) ([]*node, error) {
	p := &painting{history: w, colours: map[plumbing.Hash]int{}}
	if err := p.add(head, isNew); err != nil {
		return nil, err
	}
	for _, id := range w.accepted() {
		if err := p.add(id, isOld); err != nil {
			return nil, err
		}
	}
	var order []*node
	passed := map[plumbing.Hash]bool{}
	for p.waiting(func(c int) bool { return c&isOld == 0 }) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n := p.next()
		colour := p.colours[n.id]
		if colour&isOld == 0 && w.trust.OwnCounts {
			own, err := w.own(ctx, n)
			if err != nil {
				return nil, err
			}
			if own {
				colour |= isOld
				p.colours[n.id] = colour
			}
		}
		if !passed[n.id] {
			passed[n.id] = true
			order = append(order, n)
		}
		if colour&isOld != 0 {
			colour = isOld
		}
		for _, parent := range n.raw.parents {
			if err := p.add(parent, colour); err != nil {
				return nil, err
			}
		}
	}
	var news []*node
	for _, n := range order {
		if p.colours[n.id]&isOld == 0 {
			news = append(news, n)
		}
	}
	return news, nil
}

// below gives everything that is accepted, whatever its dates say.
func (w *history) below(ctx context.Context) (map[plumbing.Hash]bool, error) {
	seen := map[plumbing.Hash]bool{}
	queue := w.accepted()
	for id := range w.nodes {
		if !w.trust.OwnCounts {
			break
		}
		own, err := w.own(ctx, w.nodes[id])
		if err != nil {
			return nil, err
		}
		if own {
			queue = append(queue, id)
		}
	}
	for len(queue) > 0 {
		id := queue[len(queue)-1]
		if queue = queue[:len(queue)-1]; seen[id] {
			continue
		}
		seen[id] = true
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n, err := w.node(id)
		if err != nil {
			return nil, err
		}
		queue = append(queue, n.raw.parents...)
	}
	return seen, nil
}

// aboveSince says whether a commit up to the head is Since or was built upon it; all of them are where it is empty.
func (w *history) aboveSince(ctx context.Context, n *node) (bool, error) {
	if w.trust.Since == "" {
		return true, nil
	}
	since := plumbing.NewHash(w.trust.Since)
	if w.above != nil {
		return w.above[n.id], nil
	}
	children := map[plumbing.Hash][]plumbing.Hash{}
	seen := map[plumbing.Hash]bool{w.head: true}
	for queue := []plumbing.Hash{w.head}; len(queue) > 0; {
		id := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		if err := ctx.Err(); err != nil {
			return false, err
		}
		one, err := w.node(id)
		if err != nil {
			return false, err
		}
		for _, p := range one.raw.parents {
			if children[p] = append(children[p], id); !seen[p] && id != since {
				seen[p] = true
				queue = append(queue, p)
			}
		}
	}
	w.above = map[plumbing.Hash]bool{}
	queue := []plumbing.Hash{}
	if seen[since] {
		queue = append(queue, since)
	}
	for len(queue) > 0 {
		id := queue[len(queue)-1]
		if queue = queue[:len(queue)-1]; !w.above[id] {
			w.above[id] = true
			queue = append(queue, children[id]...)
		}
	}
	return w.above[n.id], nil
}

// forks gives the newest commits that all of some commits were built upon; none where they have no history in
// common. Where dates lie it may give older ones besides.
func (w *history) forks(ctx context.Context, of []plumbing.Hash) ([]plumbing.Hash, error) {
	p := &painting{history: w, colours: map[plumbing.Hash]int{}}
	stale, all := 1<<len(of), 1<<len(of)-1
	for i, id := range of {
		if err := p.add(id, 1<<i); err != nil {
			return nil, err
		}
	}
	var found []plumbing.Hash
	for p.waiting(func(c int) bool { return c&stale == 0 }) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n := p.next()
		colour := p.colours[n.id]
		if colour&all == all {
			if colour&stale == 0 {
				found = append(found, n.id)
			}
			colour |= stale // what is below is a common one too, and older
		}
		for _, parent := range n.raw.parents {
			if err := p.add(parent, colour); err != nil {
				return nil, err
			}
		}
	}
	var forks []plumbing.Hash
	for _, id := range found {
		if p.colours[id]&stale == 0 {
			forks = append(forks, id)
		}
	}
	return forks, nil
}

// painting walks down from some commits, the newest first, and gives each the colours of those above it. A commit
// that gets another colour later is walked again, so that no order of dates hides one.
type painting struct {
	*history
	colours map[plumbing.Hash]int
	queue   byDate
	queued  map[plumbing.Hash]bool
}

func (p *painting) add(id plumbing.Hash, colour int) error {
	if p.colours[id]|colour == p.colours[id] {
		return nil
	}
	n, err := p.node(id)
	if err != nil {
		return err
	}
	p.colours[id] |= colour
	if p.queued == nil {
		p.queued = map[plumbing.Hash]bool{}
	}
	if !p.queued[id] {
		p.queued[id] = true
		heap.Push(&p.queue, n)
	}
	return nil
}

func (p *painting) next() *node {
	n := heap.Pop(&p.queue).(*node)
	delete(p.queued, n.id)
	return n
}

// waiting says whether a commit of such a colour is still to be walked.
func (p *painting) waiting(of func(colour int) bool) bool {
	for _, n := range p.queue {
		if of(p.colours[n.id]) {
			return true
		}
	}
	return false
}

// byDate is a heap of commits, the newest on top.
type byDate []*node

func (h byDate) Len() int           { return len(h) }
func (h byDate) Less(i, j int) bool { return h[i].raw.at.After(h[j].raw.at) }
func (h byDate) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *byDate) Push(x any)        { *h = append(*h, x.(*node)) }
func (h *byDate) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
