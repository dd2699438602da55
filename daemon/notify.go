package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
)

const (
	// overtime is how much longer than its limit something may take before it counts as hanging.
	overtime = time.Minute
	// patience is how long something may be under way without any sign of progress before it counts as hanging. The
	// transport gives up a host that is silent long before; the unit tells this figure beside WatchdogSec.
	patience = 5 * time.Minute
	// statusEvery is how often the status line is looked at; it is sent when it changed.
	statusEvery = 2 * time.Second
	// answerWithin is how long the loop has to answer when it is at rest.
	answerWithin = time.Second
)

// heart says whether the daemon makes progress: its loop is at rest and answers, or it is at something that may
// take a time that is known, and of which signs are seen: requests, bytes of copies, events.
type heart struct {
	beat chan struct{} // the loop sends when it is at rest and somebody asks
	now  func() time.Time

	mu    sync.Mutex
	until time.Time // when what goes on has to be done
	worry time.Time // when the next sign has to be seen
	quiet time.Time // until when none is expected
}

func newHeart(now func() time.Time) *heart { return &heart{beat: make(chan struct{}), now: now} }

// work says that for a time nobody need worry when the loop does not answer, as long as there are signs.
func (h *heart) work(within time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	h.until, h.worry = now.Add(within), now.Add(patience)
}

// rest says that the loop answers from now on.
func (h *heart) rest() { h.work(0) }

// stir is a sign of progress.
func (h *heart) stir() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.worry = h.now().Add(patience)
}

// silent says that something goes on which gives no sign for a time, until end.
func (h *heart) silent(within time.Duration) (end func()) {
	set := func(until time.Time) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.quiet = until
	}
	set(h.now().Add(within))
	return func() { set(time.Time{}); h.stir() }
}

// beats asks the heart once; the answer may take a moment.
func (h *heart) beats(ctx context.Context) bool {
	wait := time.NewTimer(answerWithin)
	defer wait.Stop()
	select {
	case <-h.beat:
		return true
	case <-ctx.Done():
		return false
	case <-wait.C:
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	return now.Before(h.until) && (now.Before(h.worry) || now.Before(h.quiet))
}

// notifier tells the service manager how the daemon is, where there is one: systemd, through the socket that
// NOTIFY_SOCKET names. Elsewhere it says nothing.
type notifier struct {
	log *slog.Logger

	mu     sync.Mutex
	silent bool // a message did not get through, and the log said so
	status string
}

// tell sends one message of assignments.
func (n *notifier) tell(assignments ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, err := systemd.SdNotify(false, strings.Join(assignments, "\n")); err != nil && !n.silent {
		n.silent = true
		n.log.Warn("the service manager cannot be told how the daemon is", keyError, err)
	}
}

// ready says that the daemon listens and holds its state directory, or that it came through a reload.
func (n *notifier) ready() { n.tell(systemd.SdNotifyReady) }

// reloading says that the configuration is being read anew; ready ends it.
func (n *notifier) reloading() {
	n.tell(systemd.SdNotifyReloading, strings.TrimSuffix(systemd.SdNotifyMonotonicUsec(), "\n"))
}

// stopping says that the daemon ends, and how long copies in flight may still take.
func (n *notifier) stopping(within time.Duration) {
	n.tell(systemd.SdNotifyStopping, "STATUS=stopping: copies in flight may land", fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", (within+overtime).Microseconds()))
}

// show sends a status line when it is another one than before.
func (n *notifier) show(status string) {
	n.mu.Lock()
	same := n.status == status
	n.status = status
	n.mu.Unlock()
	if !same {
		n.tell("STATUS=" + status)
	}
}

// follow feeds the watchdog while the heart beats and keeps the status line true, until ctx ends.
func (n *notifier) follow(ctx context.Context, h *heart, status func() string) {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return
	}
	var feed <-chan time.Time
	within, err := systemd.SdWatchdogEnabled(false)
	if err != nil {
		n.log.Warn("the watchdog is not fed", keyError, err)
	}
	if within > 0 {
		ticker := time.NewTicker(within / 2)
		defer ticker.Stop()
		feed = ticker.C
	}
	look := time.NewTicker(statusEvery)
	defer look.Stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		for {
			n.show(status())
			select {
			case <-ctx.Done():
				return
			case <-look.C:
			}
		}
	})
	hung := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-feed:
			beats := h.beats(ctx)
			if beats {
				n.tell(systemd.SdNotifyWatchdog)
			} else if ctx.Err() == nil && !hung {
				n.log.Error("the daemon makes no progress; the watchdog is not fed any more", "patience", patience.String())
			}
			hung = !beats
		}
	}
}

// statusLine is what `systemctl status` shows: what the line is at, and when it looks again.
func (l *Line) statusLine() string {
	var parts []string
	switch copying := l.atWork(); {
	case len(copying) > 0:
		parts = append(parts, "copying "+strings.Join(copying, ", "))
	case l.fleet.Load() == nil:
		parts = append(parts, "starting")
	case len(l.Looking()) > 0:
		parts = append(parts, "looking at "+strings.Join(l.Looking(), ", "))
	default:
		parts = append(parts, fmt.Sprintf("%d sets at rest", len(l.fleet.Load().desired.Sets)))
	}
	if l.ready() != nil && l.fleet.Load() != nil {
		parts = append(parts, "with trouble, see /readyz")
	}
	if next := l.NextLook(); !next.IsZero() {
		parts = append(parts, "next look at "+next.Format("15:04:05 MST"))
	}
	return strings.Join(parts, "; ")
}

// Looking gives the sets that are being looked at for the first time or for a while, in order.
func (l *Line) Looking() []string {
	f := l.fleet.Load()
	if f == nil {
		return nil
	}
	var names []string
	for _, set := range f.desired.Sets {
		if l.progress(set.Name).looksNow(l.now()) {
			names = append(names, set.Name)
		}
	}
	return names
}

// atWork gives the sets of which something is being copied.
func (l *Line) atWork() []string {
	f := l.fleet.Load()
	if f == nil {
		return nil
	}
	var names []string
	for _, set := range f.desired.Sets {
		if l.works(set.Name) {
			names = append(names, set.Name)
		}
	}
	return names
}
