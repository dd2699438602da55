package daemon

import (
	"fmt"
	"time"
)

// grace is how much later than its schedule, and its jitter, a look may begin before somebody is told: cycles take
// their time.
const grace = 10 * time.Minute

// missed tells, at a start, of looks that a schedule wanted while no daemon ran. The start makes up for them.
func (l *Line) missed(f *fleet, now time.Time) {
	runs, err := l.state.Runs(0)
	if err != nil {
		l.log.Debug("whether looks were missed is not known", keyError, err)
		return
	}
	for _, set := range f.desired.Sets {
		if _, suspended := f.paused(set.Name); suspended {
			continue
		}
		last, ok := l.lastRunOf(set.Name, runs)
		schedule, err := l.config.Compile(l.config.ScheduleOf(set.Name))
		if !ok || err != nil {
			continue
		}
		if due := schedule.Next(last.Began); !due.IsZero() && now.Sub(due) > l.config.Jitter+grace {
			l.emit(Event{Type: EventOverdue, Set: set.Name,
				Reason: fmt.Sprintf("the look of %s did not happen, since no daemon ran; this start makes up for it", due.UTC().Format(time.RFC3339))})
		}
	}
}

// lookout tells of sets whose scheduled look does not happen while the daemon runs, once for each look, and keeps the
// gauges by which others can tell.
func (l *Line) lookout(now time.Time) {
	l.metrics.heartbeat.Set(float64(now.Unix()))
	f := l.fleet.Load()
	if f == nil {
		return
	}
	for _, set := range f.desired.Sets {
		late, is := l.progress(set.Name).isLate(now, l.config.Jitter+grace)
		if _, suspended := l.Suspended(set.Name); suspended {
			late, is = time.Time{}, false
		}
		l.metrics.looks(set.Name, l.nextLookAt(set.Name), is)
		if !late.IsZero() {
			l.emit(Event{Type: EventOverdue, Set: set.Name, Reason: fmt.Sprintf("the look of %s has not happened yet", late.UTC().Format(time.RFC3339))})
		}
	}
}

// lookouts is what a set knows of its scheduled looks.
type lookouts struct {
	due  time.Time // of the one that has not happened yet, which is over once upstream was asked; zero: none waits
	told bool
}

// expects remembers that a look is due now; one that is still waited for counts from its own time.
func (p *progress) expects(at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lookouts.due.IsZero() {
		p.lookouts = lookouts{due: at}
	}
}

// isLate says whether a scheduled look is late, and since when where that was not told yet.
func (p *progress) isLate(now time.Time, after time.Duration) (since time.Time, is bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lookouts.due.IsZero() || now.Sub(p.lookouts.due) <= after {
		return time.Time{}, false
	}
	if !p.lookouts.told {
		p.lookouts.told, since = true, p.lookouts.due
	}
	return since, true
}
