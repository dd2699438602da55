package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sources"
)

// Some sources have to be asked what there is. What they answered is remembered, and the entries of the set are made of
// that wherever a fleet is looked at, so that nobody else has to know of it. An answer that failed, is empty or shrank
// takes nothing away: what was listed before stays, and so does what stands.

// askWithin is how long one source may take to say what there is.
const askWithin = 5 * time.Minute

// withListings gives a fleet in which every set that is asked has the entries that its upstream names, after those were asked of
// which that is due: by the wake, since nothing is known of them, or since what is known is older than maxAge. A maxAge
// below zero takes whatever is known.
func (l *Line) withListings(ctx context.Context, f *fleet, w Wake, at time.Time, maxAge time.Duration) *fleet {
	var due []mirror.Set
	for _, set := range f.desired.Sets {
		if _, suspended := f.paused(set.Name); set.Asked && !suspended && !l.offline && w.allows(set.Name) && l.asksNow(f, set, w, at, maxAge) {
			due = append(due, set)
		}
	}
	if len(due) > 0 {
		var group errgroup.Group
		group.SetLimit(setsAtOnce)
		for _, set := range due {
			group.Go(func() error { l.askSource(ctx, f, set, at); return nil })
		}
		_ = group.Wait() // each set remembers its own trouble
	}
	if len(due) == 0 && f.filled {
		return f
	}
	return l.relist(ctx, f)
}

// asksNow says whether the source of a set is to be asked what there is.
func (l *Line) asksNow(f *fleet, set mirror.Set, w Wake, at time.Time, maxAge time.Duration) bool {
	p := l.progress(set.Name)
	known := l.listing(set.Name)
	due := func(t time.Time) bool { return !t.IsZero() && !at.Before(t) }
	switch {
	case w.Resolve, p.owesAnswers(w, at):
		return true
	case p.asksLater(set.Question, at):
		return false // it failed just now
	case known.Question != set.Question, known.Failed != nil, due(known.Again):
		return true
	case maxAge >= 0 && at.Sub(known.At) > maxAge:
		return true
	}
	return l.dropsMoved(set) || l.overtaken(f, set)
}

// overtaken says whether another daemon of this site recorded something at the first stage that we did not: it may know
// of entries that we do not.
func (l *Line) overtaken(f *fleet, set mirror.Set) bool {
	if !l.state.Knows(set.Name) {
		return false
	}
	now, err := l.record(f, set)
	if err != nil {
		return false // the step tells
	}
	ours, err := l.state.Lines(set.Name)
	if err != nil {
		return false
	}
	first := set.Stages.First()
	for entry, line := range now.At(first) {
		if ours[first][entry].Image != line.Image {
			return true
		}
	}
	return false
}

// askSource asks the upstream of a set and remembers the answer, or why there is none that can be taken.
func (l *Line) askSource(ctx context.Context, f *fleet, set mirror.Set, at time.Time) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	known := l.listing(set.Name)
	answer, err := sources.Ask(ctx, set, f.desired.Files, l.upstream(), l.recollects(f, known, at), at)
	if err == nil {
		err = sources.Shrinks(set, known.Listing, answer)
	}
	if err == nil {
		err = sources.Replaces(ctx, set, known.Listing, answer, l.upstream())
	}
	if err == nil {
		trial := set
		err = sources.Take(&trial, answer).Err()
	}
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return // this ends, which is no trouble of the source
	}
	p := l.progress(set.Name)
	if err != nil {
		next := known
		next.Failed = l.unanswered(set, err, at)
		l.keepListing(set.Name, next)
		p.answered(set.Question, err, time.Time{}, at)
		if known.Failed == nil || known.Failed.Reason != next.Failed.Reason {
			l.emit(Event{Type: EventFailed, Set: set.Name, Stage: set.Stages.First(), Reason: next.Failed.Reason.String(), Code: next.Failed.Reason.Code,
				Where: next.Failed.Where, Fix: next.Failed.Fix})
		}
		return
	}
	p.answered(set.Question, nil, answer.Again, at)
	l.keepListing(set.Name, keptListing{answer, listingEnd{At: at.UTC()}})
	l.metrics.listed.WithLabelValues(set.Name).Set(float64(at.Unix()))
	if err := l.state.Flush(); err != nil { // what was seen for the first time
		l.log.Warn("what was seen upstream is not remembered", keySet, set.Name, keyError, err)
	}
}

// unanswered says why there is no answer, in the words that a plan shows.
func (l *Line) unanswered(set mirror.Set, err error, at time.Time) *listingTrouble {
	t := &listingTrouble{Question: set.Question, Where: set.At("source"), At: at.UTC()}
	var one mirror.Problem
	var many mirror.Problems
	switch {
	case errors.As(err, &many) && len(many) > 0:
		one = many[0]
		if more := len(many) - 1; more > 0 {
			one.What += fmt.Sprintf(", and %d more", more)
		}
	case !errors.As(err, &one):
		t.Reason = l.advised(mirror.Because(mirror.UpstreamFailed, "%s", mirror.OneLine(err.Error())), err)
		t.Fix = t.Reason.Fix
		return t
	}
	t.Reason = mirror.Because(mirror.UpstreamFailed, "%s", mirror.OneLine(one.What))
	if one.Why != "" {
		t.Reason.Detail += "; " + mirror.OneLine(one.Why)
	}
	t.Reason.Problem, t.Fix = one.Code, one.Fix
	if one.Where.File != "" {
		t.Where = one.Where
	}
	return t
}

// relist puts what is known of the sources that are asked into the fleet that is in force; where that is another one
// than f, into f alone.
func (l *Line) relist(ctx context.Context, f *fleet) *fleet {
	l.publishing.Lock()
	defer l.publishing.Unlock()
	now := l.fleet.Load()
	if now == nil || now.version != f.version || f.proposed != nil {
		return l.filled(ctx, f)
	}
	next := l.filled(ctx, now)
	l.fleet.Store(next)
	return next
}

// filled gives a fleet in which the sets that are asked have entries: those of the last answer. While there is none that
// can be taken, what stands at their first stage stays, too.
func (l *Line) filled(ctx context.Context, f *fleet) *fleet {
	next := *f
	next.filled = true
	if !slices.ContainsFunc(f.desired.Sets, func(s mirror.Set) bool { return s.Asked }) {
		return &next
	}
	next.desired.Sets, next.unlisted = slices.Clone(f.desired.Sets), map[string]listingTrouble{}
	for i := range next.desired.Sets {
		if set := &next.desired.Sets[i]; set.Asked {
			if trouble := l.fill(ctx, f, set); trouble != nil {
				next.unlisted[set.Name] = *trouble
			}
		}
	}
	next.named = pinsOf(next.desired)
	return &next
}

// fill gives a set that is asked its entries, and what is wrong with them.
func (l *Line) fill(ctx context.Context, f *fleet, set *mirror.Set) *listingTrouble {
	known := l.listing(set.Name)
	trouble := known.Failed
	sources.Forget(set)
	if known.Question == (mirror.Digest{}) {
		trouble = cmp.Or(trouble, l.neverAsked(*set))
	} else if ps := sources.Take(set, known.Listing); len(ps) > 0 {
		trouble = l.unanswered(*set, ps, l.now())
	}
	if trouble == nil && known.Question == set.Question {
		return nil
	}
	record, err := l.stays(ctx, f, *set)
	if err != nil {
		l.log.Warn("what stands of a set whose source does not answer cannot be read", keySet, set.Name, keyError, err)
	}
	if set.Answer == (mirror.Digest{}) {
		set.Origin = record.Origin // what stands is of that version of the source
	}
	sources.Stay(set, record)
	return trouble
}

// neverAsked says that nothing is known of a source.
func (l *Line) neverAsked(set mirror.Set) *listingTrouble {
	t := &listingTrouble{Where: set.At("source"), Reason: mirror.Because(mirror.UpstreamFailed, "the source was not asked yet what there is")}
	if l.offline {
		t.Reason = mirror.Because(mirror.Offline, "%v: the source was not asked yet what there is", mirror.ErrOffline)
	}
	return t
}

// stays gives the record of what must not leave while nobody knows what a source names: what we committed, and what a
// commit of this site holds. An edit by anybody else asks for nothing.
func (l *Line) stays(ctx context.Context, f *fleet, set mirror.Set) (mirror.Record, error) {
	there, err := l.record(f, set)
	if err != nil {
		return mirror.Record{}, err
	}
	ours, err := l.state.Record(set.Name)
	if err != nil {
		return mirror.Record{}, err
	}
	first := set.Stages.First()
	ours.Origin = there.Origin
	standing := mirror.Standing{}
	maps.Copy(standing, ours.At(first))
	ours.Stages[first] = standing
	strange := func(entry string) bool { return standing[entry].Image != there.At(first)[entry].Image }
	if !slices.ContainsFunc(sortedKeys(there.At(first)), strange) {
		return ours, nil
	}
	written, _, err := l.ourRecord(ctx, f, set)
	for entry, line := range written.At(first) {
		if _, known := standing[entry]; !known {
			standing[entry] = line
		}
	}
	return ours, err
}

// versionOf identifies what the steps of a set are computed from: the fleet, and what its source answered.
func (f *fleet) versionOf(set mirror.Set) string {
	if !set.Asked {
		return f.version
	}
	return f.version + " " + set.Answer.Hex
}

// unlistedAction stands in a plan for the entries that a source would name if it could be asked, or if what it answers
// could be taken.
func (f *fleet) unlistedAction(set mirror.Set) []mirror.Action {
	trouble, ok := f.unlisted[set.Name]
	if !ok {
		return nil
	}
	a := mirror.Action{Kind: mirror.Failed, Key: mirror.Key{Set: set.Name}, Stage: set.Stages.First(), Where: trouble.Where, Reason: trouble.Reason}
	a.Reason.Fix = trouble.Fix
	return []mirror.Action{a}
}

// dropLine gives the line that names the drop folder in which something was passed over.
func dropLine(set mirror.Set, left sources.Left) (mirror.Position, bool) {
	for _, item := range set.Source.Node.Key("own").Items() {
		if name, ok := item.Key("drop").Text(); ok && strings.HasPrefix(left.Why, inDrop(name)) {
			return item.Key("drop").Where(), true
		}
	}
	return mirror.Position{}, false
}

// inDrop begins what is said of a file in a drop folder.
func inDrop(folder string) string { return "in drop folder " + folder + ": " }

// leftActions stand in a plan for what a source names and what was passed over, each with its reason.
func (l *Line) leftActions(set mirror.Set) (actions []mirror.Action) {
	known := l.listing(set.Name)
	if !set.Asked || known.Question != set.Question {
		return nil
	}
	for _, left := range known.Left {
		a := mirror.Action{Kind: mirror.Refuse, Key: mirror.Key{Set: set.Name, Entry: left.Entry}, Stage: set.Stages.First(), Where: set.At("source"),
			Reason: mirror.Because(mirror.BadContent, "%s", left.Why)}
		switch {
		case left.Gone:
			a.Kind, a.Reason.Code = mirror.Missing, mirror.UpstreamMissing
			if set.Packages && set.Source.Node.Key("packages").Where().Line > 0 {
				a.Where, a.Reason.Fix = set.At("source", "packages"), "correct the name in packages, or see whether the other rules let it through"
			}
		case left.Own:
			if where, ok := dropLine(set, left); ok {
				a.Where, a.Reason.Fix = where, "replace the file"
			}
		}
		actions = append(actions, a)
	}
	return actions
}
