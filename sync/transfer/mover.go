package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Job is one image to bring: what was verified, and where its bytes are read.
type Job struct {
	Verified mirror.Verified
	From     mirror.Content
}

// ErrClosed is what Next gives once a closed Mover has handed out everything.
var ErrClosed = errors.New("mover is closed")

// Mover copies what all sets want, side by side, with one flight per image. One process has one.
type Mover struct {
	target  Target
	journal Journal
	limits  Limits
	sink    func(Event)

	uploads, large, requests slots
	blobs                    *blobs
	subjects                 keyed // one writer per tag that is read, joined and written
	left                     leftovers

	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu      sync.Mutex
	sets    map[string]*work
	order   []string // of the sets; the first one is next to start an image
	flights map[string]*flight
	changed chan struct{} // closed and made anew when something was done or the Mover closes
	closing bool
}

// work is what one set wants.
type work struct {
	since   uint64             // when it last had nothing to do, on the clock of the blobs
	wanted  map[string]*flight // not finished
	waiting []*flight          // of those, not started, first is next
	running int                // images in flight that this set started
	done    []end              // not handed out
}

// end is how a flight ended for one job of a set.
type end struct {
	key  string // "" for a job that was never started
	done mirror.Done
}

// flight is one image on its way, for every set that wants it.
type flight struct {
	key     string
	job     Job
	sets    map[string][]mirror.Verified
	late    bool   // came while its set was at work
	owner   string // the set that started it; "" while it waits
	running bool
	cancel  context.CancelFunc
}

// New makes a Mover that copies to target. The journal remembers upload sessions. The sink may be nil; it is
// called from many goroutines at once and must not block.
func New(target Target, journal Journal, limits Limits, sink func(Event)) *Mover {
	limits = limits.withDefaults()
	if sink == nil {
		sink = func(Event) {}
	}
	ctx, stop := context.WithCancel(context.Background())
	return &Mover{target: target, journal: journal, limits: limits, sink: sink,
		uploads: make(slots, limits.Blobs), large: make(slots, max(1, limits.Blobs*3/4)), requests: make(slots, limits.Requests),
		blobs: newBlobs(), subjects: keyed{held: map[string]*hold{}}, left: leftovers{all: map[place][]string{}},
		ctx: ctx, stop: stop,
		sets: map[string]*work{}, flights: map[string]*flight{}, changed: make(chan struct{})}
}

// Want replaces what a set wants and returns at once. Images in flight that are still wanted go on; those
// that no set wants any more are broken off. What is new goes before what waits already, so that a hotfix
// does not stand behind a large copy. A job that is not verified or names no place is done at once, with
// its error.
func (m *Mover) Want(set string, jobs []Job) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closing {
		return
	}
	w := m.sets[set]
	if w == nil {
		w = &work{wanted: map[string]*flight{}}
		m.sets[set] = w
		m.order = append(m.order, set)
	}
	late := len(w.wanted) > 0
	if !late {
		m.forget()
		w.since = m.blobs.tick()
	}
	arrived := map[string]bool{} // while the caller was planning; Next is about to say so
	for _, e := range w.done {
		arrived[e.key] = arrived[e.key] || e.done.Err == nil
	}
	asked := map[string][]Job{}
	var keys []string
	for _, job := range jobs {
		if err := check(job); err != nil {
			w.done = append(w.done, end{"", mirror.Done{Action: job.Verified.Action(), Verdict: job.Verified.Verdict(), Err: err}})
			m.announce()
			continue
		}
		key := keyOf(job.Verified)
		if arrived[key] {
			continue
		}
		if asked[key] == nil {
			keys = append(keys, key)
		}
		asked[key] = append(asked[key], job)
	}
	for key, f := range w.wanted {
		if asked[key] == nil {
			delete(w.wanted, key)
			m.drop(f, set)
		}
	}
	var fresh []*flight
	for _, key := range keys {
		f := m.flights[key]
		if f == nil {
			f = &flight{key: key, job: asked[key][0], sets: map[string][]mirror.Verified{}, late: late}
			m.flights[key] = f
			m.tell(ImageWanted, f)
		}
		if w.wanted[key] == nil {
			w.wanted[key] = f
			fresh = append(fresh, f)
		}
		f.sets[set] = nil
		for _, job := range asked[key] {
			f.sets[set] = append(f.sets[set], job.Verified)
		}
	}
	w.waiting = append(fresh, slices.DeleteFunc(w.waiting, func(f *flight) bool { return w.wanted[f.key] != f })...)
	m.start()
}

// Next waits until a set has finished jobs and hands them out. A job's error is in its Done; the error here
// is the context's or ErrClosed.
func (m *Mover) Next(ctx context.Context) (set string, done []mirror.Done, err error) {
	for {
		m.mu.Lock()
		for _, name := range m.order {
			if w := m.sets[name]; len(w.done) > 0 {
				for _, e := range w.done {
					done = append(done, e.done)
				}
				w.done = nil
				m.mu.Unlock()
				return name, done, nil
			}
		}
		changed := m.changed
		m.mu.Unlock()
		if m.ctx.Err() != nil {
			return "", nil, ErrClosed
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return "", nil, ctx.Err()
		}
	}
}

// Idle says whether a set has no unfinished job and none whose end Next has still to hand out.
func (m *Mover) Idle(set string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	w := m.sets[set]
	return w == nil || len(w.wanted) == 0 && len(w.done) == 0
}

// Close starts nothing more, lets what is in flight end within ctx and then breaks it off. Sessions that are
// broken off stay in the journal, so that the next start goes on where they stand.
func (m *Mover) Close(ctx context.Context) {
	m.mu.Lock()
	m.closing = true
	m.mu.Unlock()
	landed := make(chan struct{})
	go func() { m.wg.Wait(); close(landed) }()
	select {
	case <-landed:
	case <-ctx.Done():
	}
	m.stop()
	<-landed
	m.mu.Lock()
	m.announce()
	m.mu.Unlock()
}

// check refuses what cannot be started at all.
func check(job Job) error {
	a := job.Verified.Action()
	switch {
	case !job.Verified.Admits():
		return &Error{Code: mirror.NotVerified, Image: a.Image, err: ErrNotVerified}
	case job.From == nil:
		return upstream(a.Image, errors.New("nothing to read it from"))
	case a.To.Host == "" || a.To.Repository == "":
		return local(a.To, fmt.Errorf("copy %s: no place to bring it to", a.Image))
	}
	return nil
}

// keyOf names a flight: the same content from the same place to the same place, on the same evidence. Two
// flights that differ only in their evidence share every blob.
func keyOf(v mirror.Verified) string {
	a := v.Action()
	evidence := []string{source(a).Name(), a.To.AtDigest(a.New).String()}
	for _, d := range v.Verdict().Evidence {
		evidence = append(evidence, d.Digest.String())
	}
	slices.Sort(evidence[2:])
	return strings.Join(evidence, " ")
}

// source is the repository that an action's bytes are read from.
func source(a mirror.Action) mirror.Reference {
	if a.From.IsZero() {
		return a.Image.AtDigest(mirror.Digest{})
	}
	return a.From.AtDigest(mirror.Digest{})
}
