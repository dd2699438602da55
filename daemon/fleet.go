package daemon

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/forge"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy"
	"github.com/poundlock/poundlock/sources"
)

// fleet is the fleet repository as it was read at one commit.
type fleet struct {
	head    string // the commit that our commits build on
	inputs  string // identity of desired/ and stages/ at head
	version string // identity of those that are in force, and of the floor that is: the newest, unless one has mistakes
	floor   string // identity of the floor of this machine, as it was looked at last
	desired mirror.Desired
	policy  policy.Policy // of rules and least
	named   map[pin]bool  // what desired names by digest
	mistake error         // of head and of the floor: mirror.Problems; of what has them the last good one is in force

	parsed string          // identity of the files that desired and rules are from
	rules  policy.Policy   // of those files alone
	dated  time.Time       // when they were committed
	wrong  mirror.Problems // in the files at head
	below  string          // identity of the floor that least is from
	least  policy.Policy   // of the floor alone

	suspended map[string]Suspension // sets that somebody paused
	held      mirror.Problems       // why nobody knows which sets are suspended: then all of them are

	refused     mirror.Problems // why the newest head does not count by its signatures: this is the last one that did
	refusedHead string          // that newest head
	rewritten   *mirror.Problem // the head is of another history than before, which nobody acknowledged yet

	state      string          // the commit at which rendered/ stands, where that is in a branch of its own; "" while there is none
	stateWrong mirror.Problems // why that commit does not count by its signatures

	filled   bool                      // the sets whose source is asked have their entries
	unlisted map[string]listingTrouble // by set: why its entries are not what its source names

	proposed *forge.Proposal // only looked at: what it would make of the fleet if it were merged; nil of one in force
}

// pin is an entry with the content that a reviewed file names for it.
type pin struct {
	key   mirror.Key
	image mirror.Reference
}

func pinsOf(d mirror.Desired) map[pin]bool {
	pins := map[pin]bool{}
	for _, set := range d.Sets {
		for _, e := range set.Entries {
			if e.Pinned() {
				pins[pin{mirror.Key{Set: set.Name, Entry: e.Name}, e.Image}] = true
			}
		}
		for name, r := range set.Replace { // whatever the source of a set that is asked names
			if set.Asked && r.Image.HasDigest() {
				pins[pin{mirror.Key{Set: set.Name, Entry: name}, r.Image}] = true
			}
		}
	}
	return pins
}

// stage gives the stage that is asked for, the lowest where none is; one that no set has is refused, since the
// rules of a misspelt stage are those of none.
func (f fleet) stage(asked mirror.Stage) (mirror.Stage, error) {
	if asked == "" {
		return mirror.DefaultStages.First(), nil
	}
	known := stagesOf(f.desired)
	if !slices.Contains(known, asked) {
		var names []string
		for _, s := range known {
			names = append(names, string(s))
		}
		slices.Sort(names)
		return "", mirror.Problems{Unknown("stage", string(asked), slices.Compact(names))}
	}
	return asked, nil
}

// stagesOf gives every stage that there is in a fleet, and the default ones.
func stagesOf(desired mirror.Desired) []mirror.Stage {
	known := slices.Clone(mirror.DefaultStages)
	for _, set := range desired.Sets {
		known = append(known, set.Stages...)
	}
	return known
}

// at gives the same fleet on a later head whose inputs are the same, such as after our own commit.
func (f fleet) at(head string) *fleet { f.head = head; return &f }

// refresh looks whether the fleet repository moved, by one ref listing, and reads it when its inputs did. The
// error may be mirror.Problems of a commit with mistakes: the last good one then stays in force and is given
// back with it, nil when there is none.
func (l *Line) refresh(ctx context.Context) (*fleet, error) {
	l.publishing.Lock()
	defer l.publishing.Unlock()
	return l.atHead(ctx)
}

// atHead is refresh for a caller that holds publishing.
func (l *Line) atHead(ctx context.Context) (*fleet, error) {
	f, err := l.newest(ctx)
	if f == nil {
		l.sawGit(err)
		return nil, err
	}
	l.sawGit(nil)
	if f, err = l.atState(ctx, f); err != nil {
		return nil, err
	}
	if f != l.fleet.Load() {
		next, err := l.pausing(f)
		if err != nil {
			return nil, err
		}
		if last := l.fleet.Load(); len(next.wrong) == 0 && (last == nil || last.parsed != next.parsed) {
			l.warnOrphans(next)
		}
		last := l.fleet.Load()
		next = l.filled(ctx, next)
		l.put(next, "")
		l.notesMove(ctx, last, next)
		l.leave(next)
		f = next
	}
	return f, f.trouble()
}

// newest gives the fleet that is in force by the newest commit: the same as before where nothing moved.
func (l *Line) newest(ctx context.Context) (*fleet, error) {
	if l.offline {
		return l.asFetched(ctx)
	}
	remote, state, err := l.tips(ctx)
	if err != nil {
		return nil, gitError(err)
	}
	last, below := l.fleet.Load(), readFloor(l.config)
	if last != nil && last.refused == nil && last.head == remote && last.state == state && last.floor == below.print {
		if _, err := l.git.Inputs(remote); err == nil {
			return last, nil
		} // the clone was damaged or deleted: fetch it anew
	}
	defer l.shared.heart.silent(fetchWithin)()
	head, err := l.git.Fetch(ctx)
	if err != nil {
		return nil, gitError(err)
	}
	trust, err := l.accepts(ctx, head)
	if err != nil {
		return nil, gitError(err)
	}
	l.metrics.head(trust)
	if trust.refused != nil {
		return l.lastGood(last, trust, below)
	}
	inputs, err := l.git.Inputs(head)
	if err != nil {
		return nil, gitError(err)
	}
	if last != nil && last.inputs == inputs && last.floor == below.print {
		return trust.of(last.at(head)), nil
	}
	next, err := l.read(last, head, inputs, below)
	if err != nil {
		return nil, err
	}
	return trust.of(next), nil
}

// fetchWithin is how long a clone over a slow line may take, of which the daemon sees nothing before it is whole.
const fetchWithin = 31 * time.Minute

// leave ends the copies of sets that are no more, and forgets what is known of them.
func (l *Line) leave(f *fleet) {
	for _, name := range l.left(f) {
		if err := l.state.setWaits(name, nil); err != nil {
			l.log.Warn("what waited of a set that is no more is not forgotten", keySet, name, keyError, err)
		}
		if err := l.state.setRemarks(name, nil); err != nil {
			l.log.Warn("what was remarked of a set that is no more is not forgotten", keySet, name, keyError, err)
		}
	}
	if err := l.state.forgetAsked(f.desired); err != nil {
		l.log.Warn("what is known of sets that are no more is not forgotten", keyError, err)
	}
}

// left ends the copies of sets that are no more, and names them. Nothing is written to disk: a lock is held.
func (l *Line) left(f *fleet) (names []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name := range l.sets {
		if _, ok := f.desired.Set(name); ok {
			continue
		}
		names = append(names, name)
		l.mover.Want(name, nil)
		l.packages.leave(name)
		delete(l.sets, name)
		l.metrics.remarks(name, nil, 0)
		l.metrics.statements.DeleteLabelValues(name)
		l.metrics.listed.DeleteLabelValues(name)
		l.metrics.noLooks(name)
	}
	return names
}

// Heads identifies what the branches that are followed hold: it is another text once one of them moved. It takes one
// listing of the refs.
func (l *Line) Heads(ctx context.Context) (string, error) {
	head, state, err := l.tips(ctx)
	if err != nil {
		return "", gitError(err)
	}
	return head + " " + state, nil
}

// tips asks where the branches are that are followed, by one listing of the refs, and calls the desk for proposals that
// moved since the listing before. state is "" where rendered/ is in no branch of its own, or nobody made that yet.
func (l *Line) tips(ctx context.Context) (head, state string, err error) {
	now, err := l.git.Listing(ctx)
	if err != nil {
		return "", "", err
	}
	if before := l.listed.Swap(&now); before != nil {
		if moved := now.Moved(*before); len(moved) > 0 {
			l.callDesk(moved...)
		}
	}
	if l.apart() {
		state = now.Branch(l.config.Git.State())
	}
	return now.Head, state, nil
}

// gitError says of what an error is, and whether a change of the configuration mends it.
func gitError(err error) error {
	if errors.Is(err, mirror.ErrNotFound) {
		return fmt.Errorf("%w: fleet repository: %w", config.ErrConfiguration, err)
	}
	return fmt.Errorf("fleet repository: %w", err)
}

// read parses everything that people wrote at a commit, and the floor of this machine, and reports all mistakes of
// both in one pass. Of the two, what has mistakes stays as it is in last, so that a mistake in the one keeps nothing of
// the other from acting; without a last one the mistakes are the error.
func (l *Line) read(last *fleet, head, inputs string, below floor) (*fleet, error) {
	files, wrong, err := l.written(head)
	if err != nil {
		return nil, err
	}
	next := fleet{}
	if files != nil { // else it is not read at all: what is missing then is no mistake of its own
		next.desired, next.rules, wrong = CheckFleet(head, files)
		wrong = append(wrong, l.signOwn(&next.desired)...)
		next.named, next.parsed = pinsOf(next.desired), inputs
		if next.dated, err = l.git.When(head); err != nil {
			return nil, fmt.Errorf("fleet repository at %s: %w", head, err)
		}
	}
	if len(wrong) > 0 && last != nil {
		next = *last
	}
	next.head, next.inputs, next.wrong = head, inputs, wrong
	return l.under(last, next, below)
}

// under puts a fleet under the floor of this machine as it is now, or under the one of last where that has mistakes.
func (l *Line) under(last *fleet, f fleet, below floor) (*fleet, error) {
	least, wrong := below.policy(l.config)
	f.mistake = slices.Concat(f.wrong, wrong).Err()
	switch {
	case f.mistake != nil && last == nil:
		return nil, f.mistake
	case len(wrong) > 0:
		f.least, f.below = last.least, last.below
	default:
		f.least, f.below = least, below.print
	}
	l.warnStages(f.desired, f.least)
	l.warnSchedules(f.desired)
	l.warnSignStages(f.desired)
	f.floor, f.version, f.policy = below.print, f.parsed+f.below, f.rules.WithFloor(f.least)
	return &f, nil
}

// written gives the files that people wrote at a commit; none where a name or kind of file among them is a problem.
func (l *Line) written(commit string) (mirror.Files, mirror.Problems, error) {
	files, err := l.git.Files(commit, "desired", "stages")
	var problems mirror.Problems
	if errors.As(err, &problems) {
		return nil, problems, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("fleet repository at %s: %w", commit, err)
	}
	return files, nil, nil
}

func (l *Line) parse(commit string) (mirror.Desired, mirror.Problems, error) {
	files, problems, err := l.written(commit)
	if err != nil || files == nil {
		return mirror.Desired{}, problems, err
	}
	desired, problems := mirror.ParseDesired(commit, files)
	for i := range desired.Sets {
		if desired.Sets[i].Source.Kind != "" {
			problems = append(problems, sources.Read(&desired.Sets[i], files)...)
		}
	}
	return desired, append(problems, l.signOwn(&desired)...), nil
}

// past gives what desired/ of an earlier commit of our history pins; nil when the commit is not one of it or
// has mistakes: then it vouches for nothing. Whether it is one is asked of the head that is, since a branch can
// be reset.
func (l *Line) past(ctx context.Context, head, commit string) (map[pin]bool, error) {
	if !commitID.MatchString(commit) {
		return nil, nil // an edited record can say anything
	}
	l.reading.Lock()
	defer l.reading.Unlock()
	if l.pastOf != head || len(l.history) >= keptHistory {
		// What belonged to the history of a head belongs to that of its descendants, such as our own commits.
		grown := false
		if l.pastOf != "" && len(l.history) < keptHistory {
			grown, _ = l.git.Ancestor(ctx, l.pastOf, head) // not known: read anew
		}
		if l.pastOf = head; !grown {
			l.history = map[string]map[pin]bool{}
		}
	}
	old, known := l.history[commit]
	if known {
		return old, nil
	}
	ancestor, err := l.git.Ancestor(ctx, commit, head)
	if err != nil {
		return nil, fmt.Errorf("history of %s: %w", commit, err)
	}
	if ancestor {
		desired, problems, err := l.parse(commit)
		if err != nil {
			return nil, err
		}
		if len(problems) == 0 {
			old = pinsOf(desired)
		}
	}
	if old != nil {
		l.history[commit] = old
	}
	return old, nil
}

var commitID = regexp.MustCompile("^[0-9a-f]{40}$")

// keptHistory bounds how many earlier commits are kept parsed.
const keptHistory = 256
