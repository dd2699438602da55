package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Suspension says that somebody paused a set. It stands in the fleet repository, in the file that
// suspensionFile names, so that it outlives the state directory and people can edit it.
//
// A set that is suspended is stepped by no wake. What stands of it stays, copies on their way are broken off
// (their upload sessions are taken up again later), and of a step under way only the tags of the batch that is
// just being written still move; what moved is recorded.
type Suspension = mirror.Suspension

var errSuspended = errors.New("the set is suspended")

func (l *Line) suspensionFile() string { return l.renderedDir() + "/suspended.yaml" }

// suspensions reads which sets are paused at a commit. The error is mirror.Problems when the file is there and
// cannot be read.
func (l *Line) suspensions(commit string) (map[string]Suspension, mirror.Problems, error) {
	file := l.suspensionFile()
	if commit == "" {
		return nil, nil, nil
	}
	data, err := l.git.File(commit, file)
	if err != nil || data == nil {
		return nil, nil, err
	}
	paused, warnings, problems := mirror.ParseSuspensions(file, data)
	for _, ps := range []mirror.Problems{warnings, problems} {
		for i := range ps {
			ps[i].Where.Commit = commit
		}
	}
	return paused, warnings, problems.Err()
}

// pausing gives the fleet with the suspensions of its head. A file that cannot be read holds every set: nobody
// knows which one was meant.
func (l *Line) pausing(f *fleet) (*fleet, error) {
	paused, warnings, err := l.suspensions(l.renderedAt(f))
	next := *f
	next.suspended, next.held = paused, nil
	if problems := (mirror.Problems)(nil); f.stateWrong != nil {
		next.held = f.stateWrong
	} else if errors.As(err, &problems) {
		next.held = mirror.Problems{{Code: "FLT030", What: "which sets are suspended cannot be read, so every set is held", Where: problems[0].Where,
			Why: problems[0].What, Fix: "mend " + l.suspensionFile() + ", or delete it to let every set go on"}}
	} else if err != nil {
		return nil, fmt.Errorf("suspensions: %w", err)
	}
	if last := l.fleet.Load(); last == nil || last.head != f.head || last.state != f.state {
		for _, w := range warnings {
			l.log.Warn("a line of the suspended sets has mistakes; its set is suspended all the same", keyWhere, w.Where.String(), keyError, w.What)
		}
		for _, name := range sortedKeys(paused) {
			if _, ok := f.desired.Set(name); !ok {
				l.log.Warn("no set has the name that is suspended", keySet, name, keyWhere, l.suspensionFile())
			}
		}
	}
	return &next, nil
}

// Suspended says whether a set is paused, and why.
func (l *Line) Suspended(set string) (Suspension, bool) { return l.fleet.Load().paused(set) }

func (f *fleet) paused(set string) (Suspension, bool) {
	if f == nil {
		return Suspension{}, false
	}
	if f.held != nil {
		return Suspension{Reason: f.held[0].What + ": " + f.held[0].Why}, true
	}
	s, ok := f.suspended[set]
	return s, ok
}

// put brings a fleet into force: it ends what goes on for sets that are suspended by it, and lets those begin
// anew that are not any more. by is who asked for that, where it was not an edit of the file. The caller
// holds publishing.
func (l *Line) put(next *fleet, by string) {
	last := l.fleet.Load()
	l.fleet.Store(next)
	l.accept(last, next)
	l.acceptState(next)
	var broken []Run
	l.goneSets(last, next)
	if last == nil && l.auditing.Load() != nil {
		l.missed(next, l.now())
	}
	for _, set := range next.desired.Sets {
		s, is := next.paused(set.Name)
		_, was := last.paused(set.Name)
		if is {
			l.metrics.suspended.WithLabelValues(set.Name).Set(1)
		} else {
			l.metrics.suspended.WithLabelValues(set.Name).Set(0)
		}
		switch {
		case is && !was:
			l.wanting.Lock()
			l.mover.Want(set.Name, nil)
			l.packages.want(set.Name, nil)
			l.wanting.Unlock()
			l.forget(set.Name)
			broken = append(broken, l.breakOff(set.Name)...)
			if last != nil { // else it was before us
				l.emit(Event{Type: EventSuspended, Set: set.Name, Reason: s.Reason, By: s.By})
			}
		case was && !is:
			l.forget(set.Name)
			l.progress(set.Name).owe(Wake{Resolve: true, Audit: true})
			l.emit(Event{Type: EventResumed, Set: set.Name, By: by})
		}
	}
	l.keep(broken...)
}

// goneSets takes sets that are no more out of the metrics of suspensions. At its first fleet a line does not know
// which ones the line before it had.
func (l *Line) goneSets(last, next *fleet) {
	if last == nil {
		l.metrics.suspended.Reset()
		return
	}
	for _, set := range last.desired.Sets {
		if _, ok := next.desired.Set(set.Name); !ok {
			l.metrics.suspended.DeleteLabelValues(set.Name)
		}
	}
}

// forget drops what the process knows of a set, so that all of it is found out anew.
func (l *Line) forget(set string) {
	last, _ := l.progress(set).lastRun()
	l.mu.Lock()
	defer l.mu.Unlock()
	p := newProgress()
	p.last = last
	l.sets[set] = p
}

// Suspend pauses a set: a commit that names it in the file of suspensions. by says who asked for it.
func (l *Line) Suspend(ctx context.Context, set, reason, by string) (Suspension, error) {
	s := Suspension{Reason: mirror.OneLine(reason), By: mirror.OneLine(by), Since: l.now().UTC()}
	if s.Reason == "" {
		return s, mirror.Problems{{Code: "FLT031", What: "a suspension needs a reason", Fix: "say why, for those who find the set suspended: --reason \"...\""}}
	}
	return s, l.suspend(ctx, set, "suspend "+set, s.By, func(paused map[string]Suspension) error {
		paused[set] = s
		return nil
	})
}

// Resume lets a set go on that is suspended, and wakes it. ok is false for one that was not.
func (l *Line) Resume(ctx context.Context, set, by string) (was Suspension, ok bool, err error) {
	err = l.suspend(ctx, set, "resume "+set, mirror.OneLine(by), func(paused map[string]Suspension) error {
		was, ok = paused[set]
		delete(paused, set)
		return nil
	})
	if err == nil && ok {
		l.wakes.add(Wake{Why: "resumed", Sets: []string{set}})
	}
	return was, ok, err
}

// Trigger makes a set look at everything anew, as the schedule and an audit would. by says who asked for it.
func (l *Line) Trigger(ctx context.Context, set, by string) (Triggered, error) {
	if l.auditing.Load() == nil {
		return Triggered{}, fmt.Errorf("%w: %w", mirror.Problem{Code: "CTL001", What: "the process that holds " + l.config.StateDir + " is no daemon: it looks at every set once and ends",
			Fix: "wait until it is done: `poundlock status -w`"}, ErrLocked)
	}
	f := l.fleet.Load()
	if f == nil || f.known(set) != nil {
		var err error // it may have come with a commit that nobody has read yet
		if f, err = l.refresh(ctx); f == nil {
			return Triggered{}, err
		}
	}
	if err := f.known(set); err != nil {
		return Triggered{}, err
	}
	if f.held != nil || f.refused != nil {
		return Triggered{}, slices.Concat(f.refused, f.held).Err() // no resume would help
	}
	t := Triggered{After: l.newID(), At: l.now().UTC()}
	if s, ok := l.Suspended(set); ok {
		t.Suspended = &s
		return t, nil
	}
	l.emit(Event{Type: EventTriggered, Set: set, By: mirror.OneLine(by)})
	l.progress(set).owe(Wake{Resolve: true, Audit: true})
	l.wakes.add(Wake{Why: "trigger", Sets: []string{set}})
	return t, nil
}

// suspend changes the file of suspensions by one commit on the newest head.
func (l *Line) suspend(ctx context.Context, set, subject, by string, change func(map[string]Suspension) error) error {
	return l.editRendered(ctx, l.suspensionFile(), subject, by, func(f *fleet, at string) (mirror.Files, string, error) {
		paused, _, err := l.suspensions(at)
		if err != nil {
			return nil, "", err
		}
		if paused = maps.Clone(paused); paused == nil {
			paused = map[string]Suspension{}
		}
		if _, stray := paused[set]; !stray {
			if err := f.known(set); err != nil {
				return nil, "", err
			}
		}
		before := len(paused)
		if err := change(paused); err != nil || before == 0 && len(paused) == 0 {
			return nil, "", err
		}
		return mirror.Files{l.suspensionFile(): mirror.SuspensionFile(paused)}, suspensionMessage(subject, paused[set].Reason, by, l.newID()), nil
	})
}

// editRendered changes a file of rendered/ that people may edit too, by one commit on the newest head. change is
// given the commit that it builds on, "" for none, and gives what is to be written and the message; nothing where it is
// so already.
func (l *Line) editRendered(ctx context.Context, file, subject, by string, change func(f *fleet, at string) (mirror.Files, string, error)) error {
	l.publishing.Lock()
	defer l.publishing.Unlock()
	f, err := l.atHead(ctx)
	if f == nil {
		return err
	}
	if f.refused != nil {
		return slices.Clone(f.refused).Err() // nothing moves, and nothing is built on that head
	}
	if !l.config.Trust.Fleet.IsZero() && l.git.Own().IsZero() {
		return mirror.Problems{{Code: "FLT033", What: subject + ": our own commit would not count, since it is not signed", Why: "trust.fleet asks for signatures, and git.signing is not set",
			Fix: "set git.signing, or change " + file + " by hand in a signed commit"}}
	}
	if f.stateWrong != nil {
		return slices.Clone(f.stateWrong).Err()
	}
	commit, err := l.changeRendered(ctx, f, func(at string) (mirror.Files, string, error) { return change(f, at) })
	if errors.As(err, new(mirror.Problems)) {
		return err
	}
	if err != nil {
		return fmt.Errorf("%s: %w", subject, gitError(err))
	}
	return l.advance(l.fleet.Load(), commit, by)
}

func suspensionMessage(subject, reason, by, run string) string {
	text := subject + "\n\n"
	if reason != "" {
		text += reason + "\n\n"
	}
	if by != "" {
		text += "Requested-By: " + by + "\n"
	}
	return text + mirror.Trailer + ": " + run + "\n"
}

// advance brings the fleet into force as it is on a later head, such as that of our own commit. Where the
// inputs differ there the next cycle reads them; what is suspended counts at once. The caller holds publishing.
func (l *Line) advance(f *fleet, head, by string) error {
	next, err := l.pausing(l.withRendered(f, head))
	if err != nil {
		return err
	}
	if inputs, err := l.git.Inputs(next.head); err != nil || inputs != f.inputs {
		next.head = f.head
	}
	l.put(next, by)
	return nil
}

// known refuses a set that desired/ does not have, with the name that was probably meant.
func (f *fleet) known(set string) error {
	if _, ok := f.desired.Set(set); ok {
		return nil
	}
	var names []string
	for _, s := range f.desired.Sets {
		names = append(names, s.Name)
	}
	return mirror.Problems{Unknown("set", set, names)}
}
