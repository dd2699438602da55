package daemon

import (
	"context"
	"errors"
	"os"
	"slices"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Status is how everything is at one moment, as `poundlock status` shows it.
type Status struct {
	Type     string          `json:"type"`    // status
	Version  int             `json:"version"` // 1
	At       time.Time       `json:"at"`
	StateDir string          `json:"stateDir"`
	Daemon   *DaemonStatus   `json:"daemon,omitempty"` // absent: no daemon runs, the rest is what it left behind
	Git      GitStatus       `json:"git"`
	Forge    *ForgeStatus    `json:"forge,omitempty"` // absent: none is configured
	Next     NextStatus      `json:"next"`
	Reload   *Reload         `json:"reload,omitempty"`
	Copying  *Copying        `json:"copying,omitempty"` // absent while nothing is copied
	Sets     []SetStatus     `json:"sets"`
	Problems mirror.Problems `json:"problems"` // of the whole; those of a set stand there
}

// DaemonStatus is which process it is.
type DaemonStatus struct {
	Command string    `json:"command"` // run or sync
	PID     int       `json:"pid"`
	Version string    `json:"version"`
	Since   time.Time `json:"since"`
	Address string    `json:"address,omitempty"` // host:port of page, health and metrics
}

// GitStatus is how far the fleet repository is followed.
type GitStatus struct {
	URL      string          `json:"url"`
	Branch   string          `json:"branch"`
	Head     string          `json:"head,omitempty"`    // the commit that was read last, or is in force while a newer one is refused
	Refused  string          `json:"refused,omitempty"` // the newest commit, where it does not count by its signatures
	ReadAt   time.Time       `json:"readAt,omitzero"`
	LookedAt time.Time       `json:"lookedAt,omitzero"` // when a look last ended, well or not
	Problem  *mirror.Problem `json:"problem,omitempty"` // why nothing can be done now: it cannot be read
}

// NextStatus is when the daemon looks again by itself; zero times where none runs.
type NextStatus struct {
	Schedule time.Time `json:"schedule,omitzero"` // moving upstream tags
	Audit    time.Time `json:"audit,omitzero"`    // the local registry
}

// Reload is what came of the last configuration that was different.
type Reload struct {
	OK       bool            `json:"ok"` // the files hold what is in force
	At       time.Time       `json:"at"`
	Problems mirror.Problems `json:"problems,omitempty"` // why a changed one was refused
}

// SetState is how a set is, in one stable word.
type SetState string

// The states of a set.
const (
	SetWaiting   SetState = "waiting"   // nobody looked at it yet, or its copies wait for a daemon
	SetLooking   SetState = "looking"   // it is being looked at, for the first time or for a while
	SetCopying   SetState = "copying"   // content is on its way
	SetAtRest    SetState = "at-rest"   // as desired
	SetPartial   SetState = "partial"   // as desired but for what is refused or missing
	SetFailing   SetState = "failing"   // something failed and is tried again
	SetSuspended SetState = "suspended" // somebody paused it
)

// SetStatus is how one set is.
type SetStatus struct {
	Set        string          `json:"set"`
	State      SetState        `json:"state"`
	Copying    *Copies         `json:"copying,omitempty"`
	Retry      time.Time       `json:"retry,omitzero"`   // when what failed is tried again
	Next       time.Time       `json:"next,omitzero"`    // when its schedule asks moving upstream tags again
	Reached    time.Time       `json:"reached,omitzero"` // when it last was as desired, as far as policy admits that
	Suspended  *Suspension     `json:"suspended,omitempty"`
	Stages     []StageCount    `json:"stages"`
	Held       []mirror.Stage  `json:"held,omitempty"`    // stages at which nothing moves until a rewritten history is acknowledged
	Waiting    []WaitStatus    `json:"waiting,omitempty"` // what was merged and waits at a gate
	Holds      []HoldStatus    `json:"holds,omitempty"`   // what automation leaves as it is
	LastRun    *Run            `json:"lastRun,omitempty"`
	Commit     string          `json:"commit,omitempty"` // the last one that was made for the set
	Policy     PolicyStatus    `json:"policy,omitzero"`
	Unattached int             `json:"statementsMissing,omitempty"` // statements and signatures of this site that are still to be attached
	Problem    *mirror.Problem `json:"problem,omitempty"`
}

// PolicyStatus counts the entries of a set that policy has more to say of than yes or no, at all its stages.
type PolicyStatus struct {
	Exceptions int       `json:"exceptions,omitempty"` // an exception admits them
	Warned     int       `json:"warned,omitempty"`     // admitted with a warning: a rule is not enforced, or an exception ends soon
	NoLonger   int       `json:"noLonger,omitempty"`   // they stand, and are admitted no longer
	Unjudged   int       `json:"unjudged,omitempty"`   // they stand, and are still to be judged by a changed policy
	Warnings   []string  `json:"warnings,omitempty"`   // each text once, the first of them
	Changes    time.Time `json:"changes,omitzero"`     // when time alone may change what is admitted

	Remarks []PolicyRemark `json:"remarks,omitempty"` // which of them are warned of or admitted no longer, the first of them
}

// PolicyRemark is an image that stands and is admitted no longer, or that policy warns of; the same words about
// several images at one stage are told once.
type PolicyRemark struct {
	Stage  mirror.Stage     `json:"stage"`
	Entry  string           `json:"entry"`
	Image  mirror.Reference `json:"image"`
	Stands bool             `json:"stands,omitempty"` // admitted no longer
	Text   string           `json:"text"`
	More   int              `json:"more,omitempty"` // other images of which the same is said
}

// tell adds what is to be known of an image.
func (s *PolicyStatus) tell(r Remark, text string) {
	i := slices.IndexFunc(s.Remarks, func(o PolicyRemark) bool { return o.Stage == r.Stage && o.Stands == r.Stands && o.Text == text })
	switch {
	case i >= 0:
		s.Remarks[i].More++
	case len(s.Remarks) < shownWarnings:
		s.Remarks = append(s.Remarks, PolicyRemark{Stage: r.Stage, Entry: r.Entry, Image: r.Image, Stands: r.Stands, Text: text})
	}
}

// shownWarnings bounds how many different warnings a status lists.
const shownWarnings = 20

// policyStatus counts what the last step remarked.
func policyStatus(all []Remark, unjudged int, now time.Time) PolicyStatus {
	s := PolicyStatus{Unjudged: unjudged}
	for _, r := range all {
		if r.Outcome == mirror.OutcomeException {
			s.Exceptions++
		}
		if len(r.Warnings) > 0 {
			s.Warned++
		}
		for _, text := range r.Warnings {
			if len(s.Warnings) < shownWarnings && !slices.Contains(s.Warnings, text) {
				s.Warnings = append(s.Warnings, text)
			}
			s.tell(r, text)
		}
		if r.Stands {
			s.NoLonger++
			s.tell(r, r.Reason)
		}
		if r.Until.After(now) {
			s.Changes = earliest(s.Changes, r.Until)
		}
	}
	return s
}

// Copies are how far the copies of one set are, counted since it last was at rest.
type Copies struct {
	Done   int   `json:"done"`   // images that ended
	Failed int   `json:"failed"` // of those, the ones that ended in an error
	Images int   `json:"images"` // all of them
	Bytes  int64 `json:"bytes"`  // blob bytes that crossed for those that ended
}

// Status tells how everything is, from what this process knows. One that was opened to look only tells what the
// last daemon left behind.
func (l *Line) Status(ctx context.Context) (Status, error) {
	s := Status{Type: "status", Version: 1, At: l.now().UTC(), StateDir: l.config.StateDir, Sets: []SetStatus{}, Problems: mirror.Problems{}}
	s.Git = GitStatus{URL: l.config.Git.URL, Branch: l.config.Git.Branch}
	s.Forge = l.forgeStatus()
	f := l.fleet.Load()
	if f == nil && l.offline {
		var err error
		f, err = l.refresh(ctx)
		switch {
		case f != nil: // what is wrong in it follows
		case errors.As(err, new(mirror.Problems)):
			s.Git.Problem = l.problem(err)
		default:
			l.log.Debug("status without a fleet", keyError, err)
			p := notRead()
			s.Git.Problem = &p
		}
	}
	l.mu.Lock()
	seen, troubled := l.gitSeen, l.notReady
	l.mu.Unlock()
	s.Git.ReadAt, s.Git.LookedAt = seen.at, seen.looked
	if seen.err != nil {
		s.Git.Problem = l.problem(seen.err)
	} else if troubled != nil && !errors.Is(troubled, errStarting) && f != nil && f.trouble() == nil && f.held == nil {
		s.Problems = append(s.Problems, l.others(troubled)...)
	}
	if f == nil {
		return s, nil
	}
	s.Git.Head, s.Git.Refused = f.head, f.refusedHead
	if f.held != nil {
		s.Git.Problem = &f.held[0]
	}
	if err := f.trouble(); err != nil { // the last good commit stays in force
		s.Problems = append(s.Problems, Advise(l.config, err)...)
	}
	if f.rewritten != nil {
		s.Problems = append(s.Problems, *f.rewritten)
	}
	if p := l.replaced.Load(); p != nil {
		s.Problems = append(s.Problems, *p)
	}
	runs, err := l.state.Runs(0)
	if err != nil {
		return s, err
	}
	held, err := l.holds(f)
	if err != nil {
		s.Problems = append(s.Problems, Advise(l.config, err)...)
	}
	for _, set := range f.desired.Sets {
		one := l.statusOf(f, set.Name, runs)
		one.Holds = holdStatus(held, set.Name)
		s.Sets = append(s.Sets, one)
	}
	if c := l.Copying(); c.Images > c.Done+c.Failed {
		s.Copying = &c
	}
	s.Next = NextStatus{Schedule: l.NextLook(), Audit: l.nextAudit()}
	return s, nil
}

// others gives the problems of a cycle that belong to no single set.
func (l *Line) others(err error) mirror.Problems {
	var ps mirror.Problems
	for _, p := range Advise(l.config, err) {
		ofSet := false
		l.mu.Lock()
		for _, one := range l.sets {
			last, _ := one.lastRun()
			ofSet = ofSet || last.Problem != nil && last.Problem.What == p.What
		}
		l.mu.Unlock()
		if !ofSet {
			ps = append(ps, p)
		}
	}
	return ps
}

func (l *Line) statusOf(f *fleet, set string, runs []Run) SetStatus {
	s := SetStatus{Set: set, State: SetWaiting, Stages: []StageCount{}}
	if last, ok := l.lastRunOf(set, runs); ok {
		s.LastRun, s.Problem, s.Commit = &last, last.Problem, last.Commit
		if last.Stages != nil {
			s.Stages = last.Stages
		}
		s.State = states[last.Outcome]
	}
	for _, r := range runs {
		if r.Set == set && s.Commit == "" {
			s.Commit = r.Commit
		}
	}
	if one, ok := f.desired.Set(set); ok && f.rewritten != nil && len(one.Stages) > 1 {
		s.Held = one.Stages[1:]
	}
	s.Next, s.Reached = l.nextLookAt(set).UTC(), reached(runs, s.LastRun, set)
	s.Waiting = l.waitingOf(set)
	p := l.progress(set)
	remarks, err := l.state.Remarks(set)
	if err != nil {
		l.log.Debug("what is to be known of what stands cannot be read", keySet, set, keyError, err)
	}
	s.Policy = policyStatus(remarks, p.unjudged(), l.now())
	s.Unattached = p.unattached()
	if p.looksNow(l.now()) {
		s.State = SetLooking
	}
	if f.refused == nil { // else nothing is tried again before that is mended
		s.Retry = p.nextRetry().UTC()
	}
	if l.works(set) {
		c := p.copies()
		s.State, s.Copying = SetCopying, &c
	} else if s.State == SetCopying && l.temporary {
		s.State = SetWaiting // nobody copies
	}
	if why, ok := f.paused(set); ok {
		s.State, s.Suspended = SetSuspended, &why
	}
	return s
}

// reached gives when a run last left a set as it is wanted, as far as policy admits that.
func reached(runs []Run, last *Run, set string) time.Time {
	all := slices.DeleteFunc(slices.Clone(runs), func(r Run) bool { return r.Set != set })
	if last != nil {
		all = append([]Run{*last}, all...)
	}
	for _, r := range all { // newest first
		if r.Outcome == OutcomeDone || r.Outcome == OutcomePartial {
			return r.Began.UTC()
		}
	}
	return time.Time{}
}

var states = map[Outcome]SetState{OutcomeDone: SetAtRest, OutcomeCopying: SetCopying, OutcomePartial: SetPartial, OutcomeFailed: SetFailing,
	OutcomeSuspended: SetWaiting}

// gitSeen is how the last look at the fleet repository ended.
type gitSeen struct {
	at     time.Time // of the last one that went well
	looked time.Time // of the last one
	err    error
}

// sawGit remembers how a look at the fleet repository ended.
func (l *Line) sawGit(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.offline {
		return // nobody was asked
	}
	l.gitSeen.err, l.gitSeen.looked = err, l.now().UTC()
	if err == nil {
		l.gitSeen.at = l.gitSeen.looked
	}
}

// status is that of the face: with the process around the line.
func (f *face) status(ctx context.Context) (Status, error) {
	l := f.line.Load()
	if l == nil {
		return Status{}, f.absent()
	}
	s, err := l.Status(ctx)
	s.Daemon = &DaemonStatus{Command: l.shared.command, PID: os.Getpid(), Version: l.shared.version, Since: l.shared.since.UTC(), Address: f.address()}
	if refused := f.refused.Load(); refused != nil {
		s.Reload = &Reload{At: refused.at.UTC(), Problems: refused.problems}
	} else if at := f.accepted.Load(); at != nil {
		s.Reload = &Reload{OK: true, At: at.UTC()}
	}
	return s, err
}

// shows says where the page is.
func (f *face) shows(address string) { f.at.Store(&address) }

func (f *face) address() string {
	if at := f.at.Load(); at != nil {
		return *at
	}
	return ""
}
