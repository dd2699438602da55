// Package daemon is time and wiring: the cycle, the schedule, health and metrics.
//
// cycle.go is the line itself and the first file to read; view.go is its half that changes nothing, run.go
// decides when it runs. What config.yaml says is read and judged in daemon/config; clients.go makes clients of it,
// and advice.go names the key that governs an error. Everything that is to be known about formats, registries, Git
// and policy lies in the packages that it calls; they keep no state and read no clock.
package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/forge"
	"github.com/poundlock/poundlock/internal/git"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/internal/registry"
	"github.com/poundlock/poundlock/sync/transfer"
)

// Line is the whole machine for one configuration: what run, sync, plan and verify call.
type Line struct {
	config     config.Config
	local      mirror.Local
	git        *git.Repo
	forge      forge.Forge // nil: none is configured, people open the proposals
	registry   *registry.Client
	web        *http.Client   // for files that sources read
	evidence   mirror.Content // the same, with a memory for signatures and attestations that were read
	mover      *transfer.Mover
	state      *State
	log        *slog.Logger
	metrics    *metrics
	now        func() time.Time
	wakes      *wakes
	silent     silence
	desk       *desk      // nil: of a line that is only tried out
	consulted  *consulted // of a line that looks at what is only proposed; else nil
	copying    *copying
	settled    *settling
	packages   *packages // fetched beside the cycle
	drops      drops     // folders into which somebody puts packages
	offline    bool
	limit      limit // what a command line asks for
	shared     *shared
	channels   *keeper
	besides    *derived
	attester   *attester  // of this site's statements; nil without a site key
	packageKey packageKey // that signs own packages; nil: none does
	hooks      *webhooks
	teller     *teller // nil: of a line that is not open yet
	arrive     func(mirror.Done)
	fleet      atomic.Pointer[fleet] // the last one that was read without mistakes
	closers    []func(context.Context) error

	orders     sync.WaitGroup            // orders that it was given and carries out
	publishing sync.Mutex                // one commit at a time, and one look at what others committed
	proposing  *proposer                 // proposals of ours
	wanting    sync.Mutex                // held while the mover is told what a set wants
	auditing   atomic.Pointer[time.Time] // since when audits are made; nil: the line does not run
	temporary  bool

	records mirror.RecordReader

	reading sync.Mutex              // guards the two that follow
	pastOf  string                  // the head that history belongs to
	history map[string]map[pin]bool // what earlier commits pin, by id

	listed    atomic.Pointer[git.Listing]    // what the refs of the fleet repository named when it was looked at last
	accepting accepting                      // what was said last of a head by the signatures of its commits
	oddHolds  atomic.Pointer[string]         // what was warned of in the file of holds
	replaced  atomic.Pointer[mirror.Problem] // that the branch was moved to another history

	mu       sync.Mutex
	sets     map[string]*progress
	notReady error
	gitSeen  gitSeen
}

// Options are what a Line takes from the process around it.
type Options struct {
	Log     *slog.Logger
	Now     func() time.Time
	Version string
	// Arrived is told of every copy that ended, for whoever shows that; nil leaves it to the log.
	Arrived func(mirror.Done)
	// Offline asks nothing of any network: Git is read as it was fetched last, verdicts are those that are known.
	Offline bool
	// Temporary keeps the state in a folder of its own that Close removes: for commands that only look, also
	// while a daemon holds the real one.
	Temporary bool
	// Command is what holds the state directory, for those who find it locked: run, sync, ...
	Command string

	shared *shared // what outlives this line; nil makes it anew
}

var errStarting = errors.New("the first cycle has not ended yet")

// Open wires the line together and takes the lock of the state directory; ErrLocked when another process
// has it. Nothing is asked of any network yet.
func Open(ctx context.Context, c config.Config, o Options) (_ *Line, err error) {
	l := &Line{config: c, log: o.Log, now: o.Now, shared: o.share(), wakes: newWakes(), desk: newDesk(), copying: newCopying(), settled: newSettling(), channels: newKeeper(), besides: newDerived(), offline: o.Offline, temporary: o.Temporary,
		sets: map[string]*progress{}, notReady: errStarting, proposing: newProposer()}
	l.metrics = l.shared.metrics
	l.arrive = o.Arrived
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close(context.WithoutCancel(ctx)))
		}
	}()
	if err := c.CheckSecrets().Err(); err != nil {
		return nil, err
	}
	if !o.Temporary { // a command that only looks tells it where it needs the policy
		if err := errors.Join(checkFloor(c), checkSite(c), CheckSigners(c).Err(), checkTelling(c).Err(), checkSealing(c).Err(), checkPackageKey(c).Err()); err != nil {
			return nil, err
		}
	}
	l.attester, l.packageKey = newAttester(c), packageKeyOf(c)
	local := c.Registries[config.LocalRegistry]
	l.local = localOf(c)
	dir := c.StateDir
	if o.Temporary {
		if dir, err = l.temporaryDir(); err != nil {
			return nil, err
		}
		if err := l.takeState(ctx, dir); err != nil {
			return nil, err
		}
		l.takeClone(dir)
	}
	if err := l.openState(dir, o); err != nil {
		return nil, err
	}
	if err := l.openPackages(); err != nil {
		return nil, err
	}
	if !o.Offline {
		if err := l.openEmbedded(local, o.Temporary); err != nil {
			return nil, err
		}
	}
	if err := l.openClients(ctx, dir); err != nil {
		return nil, err
	}
	l.mover = transfer.New(l.registry, journal{l.state}, transfer.Limits{Referrers: l.config.Trust.Limits.Referrers}, l.progressed)
	l.onClose(func(ctx context.Context) error { l.mover.Close(ctx); return nil })
	l.onClose(func(context.Context) error { l.packages.close(); return nil })
	l.hooks = newWebhooks(l)
	l.onClose(l.hooks.close)
	return l, l.mover.Recover()
}

// onClose puts a named end onto the stack that Close unwinds, last opened first.
func (l *Line) onClose(end func(context.Context) error) { l.closers = append(l.closers, end) }

// Close ends everything that Open began, within limits.stop.
func (l *Line) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, l.config.Limits.Stop)
	defer cancel()
	l.keep()
	var errs []error
	for _, end := range slices.Backward(l.closers) {
		errs = append(errs, end(ctx))
	}
	l.closers = nil
	return errors.Join(errs...)
}

// progress gives what the process knows of a set.
func (l *Line) progress(set string) *progress {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.sets[set]
	if p == nil {
		p = newProgress()
		l.sets[set] = p
	}
	return p
}

// setReady remembers how the last cycle ended, for /readyz.
func (l *Line) setReady(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.notReady = err
}

// ready gives why the daemon is not as it should be: the last look at Git failed, or the last step of a set.
func (l *Line) ready() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	trouble := []error{l.notReady}
	for _, name := range sortedKeys(l.sets) {
		trouble = append(trouble, l.sets[name].trouble())
	}
	// What was broken off because this line ends, as in a reload, is no trouble of its own.
	return errors.Join(slices.DeleteFunc(trouble, func(err error) bool { return errors.Is(err, context.Canceled) })...)
}

func (l *Line) renderedDir() string { return "rendered/" + l.config.Site }
