package daemon

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// packages fetches Elastic packages beside the cycle. A registry of packages tells no digest: only their bytes do. So a
// package that was never seen is fetched into the spool, checked and packed as an artifact; its set is woken, and goes on
// with it as with any image: it judges the artifact, copies it out of the spool and tags it. Nothing is stored before.
//
// What it knows of a package is kept in the state, which may be deleted: what stands is believed then.
type packages struct {
	line  *Line
	known *knownPackages
	spool *spool
	room  chan struct{} // one token for each package that may be fetched at the same time

	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu      sync.Mutex
	jobs    map[string]*packageJob              // by keyOfPackage: wanted and not ended
	last    map[string]chan struct{}            // by key: closed when the job that was started last has let go of everything
	wanted  map[string]map[string]bool          // by set: the keys of its jobs
	failed  map[string]packageFailure           // by keyOfPackage: how the last job ended, where it failed
	again   map[string]fetchedAgain             // by key: known packages whose bytes were nowhere
	ended   map[string]bool                     // sets of which a job ended, not handed out
	news    func()                              // called when a job ended; nil: nobody waits
	named   map[string]map[string]bool          // by set: the keys of what it names now
	doubted map[string]map[string]bool          // by set: the keys of what stands otherwise than it is known
	stands  map[string]map[string]mirror.Digest // by key and set: what stands at the first stage
	names   map[string]bool                     // repositories that hold packages, as references call them
	moved   PackagesMoved
	closing bool
}

// PackagesMoved is how far fetching is, counted since nothing was to be fetched last.
type PackagesMoved struct {
	Packages int   `json:"packages"` // wanted
	Done     int   `json:"done"`     // ended, also those that failed
	Bytes    int64 `json:"bytes"`    // that came
	Spooled  int64 `json:"spooled"`  // bytes that lie in the spool
}

// packageJob is one package that is to be fetched, or compared with what was fetched before.
type packageJob struct {
	key     string
	image   mirror.Reference // without digest
	at      mirror.PackageAt
	compare bool // it is known: it is fetched only where something says that its bytes changed
	sets    map[string]bool
	cancel  context.CancelFunc // of one that runs
}

// packageFailure is why a package could not be fetched, and when it is tried again.
type packageFailure struct {
	err   error
	tries int
	again time.Time
}

// fetchedAgain counts how often the bytes of a package that is known were fetched, since they were nowhere.
type fetchedAgain struct {
	times int
	since time.Time
}

// Bytes that go as soon as they came must not be fetched for ever: a few times within a while.
const (
	maxFetchedAgain = 3
	fetchedAgainIn  = time.Hour
)

// openPackages gives what fetches the packages of a line. One that only looks reads the spool and fetches nothing.
func (l *Line) openPackages() error {
	known, err := readPackages(l.state)
	if err != nil {
		return fmt.Errorf("what is known of packages: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	p := &packages{line: l, known: known, ctx: ctx, stop: stop, room: make(chan struct{}, max(1, l.config.Packages.AtOnce)),
		jobs: map[string]*packageJob{}, last: map[string]chan struct{}{}, wanted: map[string]map[string]bool{}, failed: map[string]packageFailure{}, again: map[string]fetchedAgain{}, ended: map[string]bool{},
		named: map[string]map[string]bool{}, doubted: map[string]map[string]bool{}, stands: map[string]map[string]mirror.Digest{}, names: map[string]bool{}}
	p.spool = openSpool(spoolDir(l.config), l.config.Packages.SpoolLimit<<20, l.temporary || l.offline)
	for _, trouble := range p.spool.sweep(l.now()) {
		l.log.Warn("the spool of packages could not be put in order", keyError, trouble)
	}
	p.adopt()
	l.packages = p
	return nil
}

// close breaks off what is fetched; what came of it stays in the spool and is gone on with.
func (p *packages) close() {
	p.mu.Lock()
	p.closing = true
	p.mu.Unlock()
	p.stop()
	p.wg.Wait()
}

// keyOfPackage names a package of one upstream: the same name and version of another one may have other bytes.
func keyOfPackage(image mirror.Reference, at mirror.PackageAt) string {
	return image.WithDigest(mirror.Digest{}).String() + " " + at.Zip
}

// want replaces what a set wants fetched. What no set wants any more is broken off; what is new goes to the end.
func (p *packages) want(set string, jobs []packageJob) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closing {
		return
	}
	now := map[string]bool{}
	for _, one := range jobs {
		now[one.key] = true
		job := p.jobs[one.key]
		if job == nil {
			if len(p.jobs) == 0 {
				p.moved = PackagesMoved{}
			}
			p.moved.Packages++
			job = &one
			job.sets = map[string]bool{}
			p.jobs[one.key] = job
			p.start(job)
		}
		job.compare = job.compare && one.compare
		job.sets[set] = true
	}
	for key := range p.wanted[set] {
		job := p.jobs[key]
		if now[key] || job == nil {
			continue
		}
		if delete(job.sets, set); len(job.sets) == 0 {
			job.cancel()
			delete(p.jobs, key)
			p.moved.Packages--
		}
	}
	if p.wanted[set] = now; len(now) == 0 {
		delete(p.wanted, set)
	}
}

// start runs a job as soon as there is room, and one of the same package that was broken off has let go of its part; p.mu is
// held.
func (p *packages) start(job *packageJob) {
	ctx, cancel := context.WithCancel(p.ctx)
	job.cancel = cancel
	before, done := p.last[job.key], make(chan struct{})
	p.last[job.key] = done
	p.wg.Go(func() {
		defer cancel()
		defer p.letGo(job.key, done)
		if before != nil {
			<-before
		}
		select {
		case p.room <- struct{}{}:
			defer func() { <-p.room }()
		case <-ctx.Done():
			return
		}
		if ctx.Err() == nil {
			p.mu.Lock()
			one := *job // another set may want it otherwise meanwhile
			p.mu.Unlock()
			changed, err := p.fetch(ctx, &one)
			p.end(job, changed, err)
		}
	})
}

func (p *packages) letGo(key string, done chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if close(done); p.last[key] == done {
		delete(p.last, key)
	}
}

// end takes in how a job ended, and wakes its sets where that changed something. One that was broken off meanwhile ends in
// nothing.
func (p *packages) end(job *packageJob, changed bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.jobs[job.key] != job || p.ctx.Err() != nil {
		return
	}
	delete(p.jobs, job.key)
	p.moved.Done++
	for set := range job.sets {
		p.ended[set] = p.ended[set] || changed
		if delete(p.wanted[set], job.key); len(p.wanted[set]) == 0 {
			delete(p.wanted, set)
		}
	}
	if err == nil {
		delete(p.failed, job.key)
	} else {
		tries := p.failed[job.key].tries
		p.failed[job.key] = packageFailure{err, tries + 1, p.line.now().Add(min(firstRetry<<min(tries, 20), lastFetchRetry))}
		p.line.log.Warn("package not fetched", keyRef, job.image.String(), keyError, err)
	}
	if p.news != nil {
		p.news()
	}
}

// lastFetchRetry is the longest that a package which could not be fetched waits for the next try.
const lastFetchRetry = time.Hour

// idle says whether nothing is to be fetched for a set, and nothing that ended is still to be told.
func (p *packages) idle(set string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ended := p.ended[set]
	return len(p.wanted[set]) == 0 && !ended
}

// tell calls news when something ended that was not taken, at once or later, until stop is called.
func (p *packages) tell(news func()) (stop func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.news = news; len(p.ended) > 0 {
		news()
	}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.news = nil
	}
}

// take gives the sets that have a reason to look again, since something of theirs ended.
func (p *packages) take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var sets []string
	for _, set := range sortedKeys(p.ended) {
		if p.ended[set] {
			sets = append(sets, set)
		}
	}
	clear(p.ended)
	return sets
}

// Fetching says how far packages are fetched.
func (l *Line) Fetching() PackagesMoved {
	p := l.packages
	p.mu.Lock()
	defer p.mu.Unlock()
	moved := p.moved
	moved.Spooled = p.spool.size()
	return moved
}

// works says whether something of a set is fetched or copied, or ended and is still to be taken in.
func (l *Line) works(set string) bool { return !l.mover.Idle(set) || !l.packages.idle(set) }

// waitsForBytes says of a candidate without a digest that only its bytes can tell it: asking again does not help.
func waitsForBytes(err error) bool { return isNotFetched(err) || isRefused(err) }

// wantPackages has the packages fetched that the plan of a step lacks, and those compared of which upstream says
// something else than when they were fetched. What is there already goes on.
func (l *Line) wantPackages(v *view, w Wake, at time.Time) {
	if l.offline || l.temporary || !slices.ContainsFunc(v.set.Entries, func(e mirror.Entry) bool { return !e.Package.IsZero() }) {
		return
	}
	l.packages.standing(v)
	l.metrics.spooled.Set(float64(l.packages.spool.size()))
	jobs := l.packages.due(v, w, at)
	if l.limit.saved != nil {
		jobs = nil // what the saved plan did not know is not done
	}
	l.wanting.Lock() // a set that is suspended at this moment wants nothing afterwards
	defer l.wanting.Unlock()
	if _, suspended := l.Suspended(v.set.Name); !suspended {
		l.packages.want(v.set.Name, jobs)
	}
}
