package daemon

import (
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Run is one step of the line for one set: why it was made, and what came of it.
type Run struct {
	ID        string          `json:"id"` // ULID; the Poundlock-Cycle trailer of its commit
	Set       string          `json:"set"`
	Why       string          `json:"why"` // what woke it: start, poll, schedule, audit, retry, copied, a name
	Began     time.Time       `json:"began"`
	Ended     time.Time       `json:"ended"`
	Outcome   Outcome         `json:"outcome"`
	Inputs    string          `json:"inputs"` // the commit that was worked from
	Commit    string          `json:"commit,omitempty"`
	Moved     int             `json:"moved"`             // tags
	ToFetch   int             `json:"toFetch,omitempty"` // packages whose bytes are still to be seen
	ToCopy    int             `json:"toCopy"`            // entries still on their way
	Refused   int             `json:"refused"`           // entries, without those that wait
	Waiting   int             `json:"waiting,omitempty"` // entries that were promoted and wait at a gate
	Missing   int             `json:"missing"`           // entries
	Failed    int             `json:"failed"`            // entries
	Unchanged int             `json:"unchanged"`         // entries
	Bytes     int64           `json:"bytes"`             // blob bytes that crossed since the run before
	Problem   *mirror.Problem `json:"problem,omitempty"`
	Stages    []StageCount    `json:"stages"` // how much stood as desired at its end, lowest stage first

	replaces string // the id of the run before, when neither of the two found anything new
}

// StageCount is how many of the entries that are wanted at a stage stand there as desired.
type StageCount struct {
	Stage  mirror.Stage `json:"stage"`
	Stand  int          `json:"stand"`
	Wanted int          `json:"wanted"`
}

// quiet says whether nothing came of the run.
func (r Run) quiet() bool {
	return r.Commit == "" && r.Moved == 0 && r.Bytes == 0 && r.Problem == nil
}

// same says whether the run found things as another one did.
func (r Run) same(o Run) bool {
	return r.Outcome == o.Outcome && r.Inputs == o.Inputs && r.ToFetch == o.ToFetch && r.ToCopy == o.ToCopy && r.Refused == o.Refused && r.Waiting == o.Waiting && r.Missing == o.Missing &&
		r.Failed == o.Failed && r.Unchanged == o.Unchanged
}

// Outcome is how a run ended.
type Outcome string

// The outcomes of a run.
const (
	OutcomeDone    Outcome = "done"    // as desired, as far as it is admitted: nothing refused, nothing missing
	OutcomeCopying Outcome = "copying" // content is on its way; another run follows
	OutcomePartial Outcome = "partial" // the rest is done, something is refused or missing, or waits at a gate
	OutcomeFailed  Outcome = "failed"  // the step or some entries failed; it is tried again

	OutcomeSuspended Outcome = "suspended" // content was on its way when somebody suspended the set
)

// Runs gives the last n runs of a set, newest first; those of all sets without a name, all that are kept with
// n 0.
func (l *Line) Runs(set string, n int) ([]Run, error) {
	all, err := l.state.Runs(0)
	chosen := []Run{}
	for _, r := range all {
		if (set == "" || r.Set == set) && (n == 0 || len(chosen) < n) {
			chosen = append(chosen, r)
		}
	}
	return chosen, err
}

// ran makes a run of what a step did. The error is the step's.
func (l *Line) ran(f *fleet, run Run, report Report, err error) Run {
	run.Ended, run.Inputs, run.Commit, run.Bytes = l.now().UTC(), f.desired.Commit, report.Commit, report.Bytes
	run.Moved = len(report.Moved)
	n := map[mirror.Kind]int{}
	if set, ok := f.desired.Set(run.Set); ok && report.Plan.Set != "" {
		run.Stages = stageCounts(set, report.Plan)
	}
	for _, a := range report.Plan.Actions {
		switch {
		case waiting(a):
			run.Waiting++
		case a.Path == "": // else a file, which follows from the entries
			n[a.Kind]++
		}
	}
	run.ToFetch = n[mirror.Fetch]
	run.ToCopy, run.Refused, run.Missing, run.Failed, run.Unchanged = n[mirror.Copy], n[mirror.Refuse], n[mirror.Missing], n[mirror.Failed], n[mirror.Unchanged]
	switch {
	case err != nil:
		run.Outcome, run.Problem = OutcomeFailed, l.problem(err)
	case run.ToFetch+run.ToCopy > 0:
		run.Outcome = OutcomeCopying
	case run.Failed > 0:
		run.Outcome = OutcomeFailed
	case run.Refused+run.Missing+run.Waiting > 0:
		run.Outcome = OutcomePartial
	default:
		run.Outcome = OutcomeDone
	}
	return run
}

// lastRunOf gives the last run of a set: what this process knows, which may be more than it could write down, else
// what is written.
func (l *Line) lastRunOf(set string, written []Run) (Run, bool) {
	last, known := l.progress(set).lastRun()
	for _, r := range written {
		if r.Set == set && (!known || r.ID > last.ID) {
			return r, true
		}
	}
	return last, known
}

// breakOff says of the last run of a set that its copies do not go on; the caller keeps it.
func (l *Line) breakOff(set string) (broken []Run) {
	written, err := l.state.Runs(0)
	if err != nil {
		l.log.Debug("what a suspension broke off is not known", keySet, set, keyError, err)
	}
	last, ok := l.lastRunOf(set, written)
	if !ok || last.Outcome != OutcomeCopying {
		return nil
	}
	last.Outcome, last.replaces = OutcomeSuspended, ""
	p := l.progress(set)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = last
	return []Run{last}
}

func stageCounts(set mirror.Set, p mirror.Plan) []StageCount {
	counts := []StageCount{}
	for _, stage := range set.Stages {
		c := StageCount{Stage: stage}
		for _, a := range p.Actions {
			if a.Stage != stage || a.Key.Entry == "" {
				continue
			}
			if c.Wanted++; a.Kind == mirror.Unchanged {
				c.Stand++
			}
		}
		counts = append(counts, c)
	}
	return counts
}

// problem gives the first of the problems that an error is, with advice.
func (l *Line) problem(err error) *mirror.Problem {
	if problems := Advise(l.config, err); len(problems) > 0 {
		return &problems[0]
	}
	return nil
}
