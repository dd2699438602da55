package daemon

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/poundlock/poundlock/internal/epr"
	"github.com/poundlock/poundlock/internal/mirror"
)

// channelsApart lies between two writes of channels, however often their records change.
const channelsApart = 2 * time.Second

// keeper writes the channels of sets to the local registry beside the cycle. It is told that a set was stepped and finds out
// itself what is to be done: what it missed, or could not do, the next call does.
type keeper struct {
	signal chan struct{} // something is due
	told   func()        // that the catalog or a channel was written

	mu       sync.Mutex
	due      map[string]bool         // sets, true: look at the registry too
	attempts int                     // that failed in a row
	done     map[epr.Name]string     // what each channel was asked to hold when it was last seen to
	said     map[aboutChannel]string // what is not as it should be, as the log told
	writing  sync.Mutex              // one at a time
}

// aboutChannel is what the log told of: a channel, and the code of what is the matter with it.
type aboutChannel struct {
	epr.Name
	code string
}

func newKeeper() *keeper {
	return &keeper{signal: make(chan struct{}, 1), told: func() {}, due: map[string]bool{}, done: map[epr.Name]string{}, said: map[aboutChannel]string{}}
}

// wants makes the channels of a set due; an audit compares what the registry holds.
func (k *keeper) wants(set string, audit bool) {
	k.mu.Lock()
	k.due[set] = k.due[set] || audit
	k.mu.Unlock()
	select {
	case k.signal <- struct{}{}:
	default:
	}
}

func (k *keeper) take() map[string]bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	due := k.due
	k.due = map[string]bool{}
	return due
}

// ended takes note of how a write ended and says how long to wait for the next one.
func (k *keeper) ended(due map[string]bool, err error) time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err == nil {
		k.attempts = 0
		return channelsApart
	}
	for set, audit := range due {
		k.due[set] = k.due[set] || audit
	}
	k.attempts++
	return min(firstRetry<<min(k.attempts-1, 20), lastRetry)
}

// channelsDue tells that a set was stepped, so that its channels may have changed. Where no set has channels any more, the
// catalog that an earlier fleet had is still to be emptied.
func (l *Line) channelsDue(set mirror.Set, audit bool) {
	if catalog, _ := l.state.Channel(epr.Name{}); set.Packages || catalog != (mirror.Digest{}) {
		l.channels.wants(set.Name, audit)
	}
}

// keepChannels writes channels whenever they are due, until ctx ends.
func (l *Line) keepChannels(ctx context.Context) error {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-l.channels.signal:
		}
		select { // what comes meanwhile is written with it
		case <-ctx.Done():
			return ctx.Err()
		case <-pause.C:
		}
		began := l.now() // after the pause: one that counts itself is four times as long each time
		wait := l.writeDue(ctx)
		pause.Reset(max(wait, 4*l.now().Sub(began))) // writing takes a part of the time, never all of it
	}
}

// writeDue writes what is due, and says how long to leave it alone then. What failed is due again.
func (l *Line) writeDue(ctx context.Context) time.Duration {
	due := l.channels.take()
	err := l.writeChannels(ctx, due)
	if ctx.Err() != nil {
		return 0
	}
	wait := l.channels.ended(due, err)
	if err != nil {
		l.logTrouble("channels were not written", err, func(mirror.Problem) bool { return true })
		select {
		case l.channels.signal <- struct{}{}:
		default:
		}
	}
	return wait
}

// settleChannels writes what is due once, for a command that ends then.
func (l *Line) settleChannels(ctx context.Context) error {
	due := l.channels.take()
	if len(due) == 0 || ctx.Err() != nil {
		return nil
	}
	return l.writeChannels(ctx, due)
}

// does notes what a channel was asked to hold when it was last seen to be so, since this process began.
func (k *keeper) does(n epr.Name, asked string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.done[n] = asked
}

func (k *keeper) did(n epr.Name, asked string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.done[n] == asked
}

// tells says whether something about a channel is still to be told: the log has it once, until it changes.
func (k *keeper) tells(n epr.Name, code, what string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	about := aboutChannel{n, code}
	told := k.said[about] == what
	k.said[about] = what
	return !told && what != ""
}

// only forgets the channels that are no more, and gives them.
func (k *keeper) only(names []epr.Name) (gone []epr.Name) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for n := range k.done {
		if n != (epr.Name{}) && !slices.Contains(names, n) {
			gone = append(gone, n)
		}
	}
	for _, n := range gone {
		delete(k.done, n)
		maps.DeleteFunc(k.said, func(about aboutChannel, _ string) bool { return about.Name == n })
	}
	return gone
}
