package daemon

import (
	"cmp"
	"context"
	"reflect"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy"
)

// PolicyDiff is what another policy would say of what stands and of what is refused.
type PolicyDiff struct {
	Commit    string         `json:"commit"`  // of the policy in force
	From      string         `json:"from"`    // the folder or commit of the other one
	Policy    mirror.Digest  `json:"policy"`  // hash of the policy in force
	Other     mirror.Digest  `json:"other"`   // hash of the other one
	Changes   []PolicyChange `json:"changes"` // by set, entry and stage
	Unchanged int            `json:"unchanged"`
}

// PolicyChange is one image at one stage of which the two policies say something else.
type PolicyChange struct {
	Change ChangeKind       `json:"change"`
	Set    string           `json:"set"`
	Entry  string           `json:"entry"`
	Stage  mirror.Stage     `json:"stage"`
	Image  mirror.Reference `json:"image"`
	Stands bool             `json:"stands"` // it stands at the stage now; else it is wanted there
	Before mirror.Verdict   `json:"before"`
	After  mirror.Verdict   `json:"after"`
}

// ChangeKind says in one word what becomes of an image by another policy.
type ChangeKind string

// The kinds of change. One that could not be judged may be any of the others.
const (
	WouldRefuse  ChangeKind = "refuse"
	WouldAdmit   ChangeKind = "admit"
	OtherBasis   ChangeKind = "basis"
	CannotBeSaid ChangeKind = "unknown"
)

// Count gives how many changes are of a kind.
func (d PolicyDiff) Count(k ChangeKind) (n int) {
	for _, c := range d.Changes {
		if c.Change == k {
			n++
		}
	}
	return n
}

// DiffPolicy compares the policy in force with that of a checkout in a folder or that of a commit: by what stands at
// any stage, and by what is wanted and not there yet, also because it is refused now. What an upstream tag names is
// what the last run found; signatures are read once for both policies. Nothing is changed.
func (l *Line) DiffPolicy(ctx context.Context, dir, commit string) (PolicyDiff, error) {
	f, err := l.refresh(ctx)
	if f == nil {
		return PolicyDiff{}, err
	}
	if err != nil {
		l.log.Warn("the newest commit has mistakes; the last good one is in force", keyError, err)
	}
	other, err := l.other(dir, commit)
	if err != nil {
		return PolicyDiff{}, err
	}
	d := PolicyDiff{Commit: f.desired.Commit, From: other.from, Policy: f.policy.Hash(), Other: other.policy.Hash(), Changes: []PolicyChange{}}
	at := l.now()
	actions, err := l.atIssue(ctx, f, at)
	if err != nil {
		return d, err
	}
	if d.Policy == d.Other {
		d.Unchanged = len(actions)
		return d, nil
	}
	changes := make([]PolicyChange, len(actions))
	options := l.judging(f, at) // of both: a pin counts by the commits that there are
	now, then := f.policy.Verifier(options), other.policy.Verifier(options)
	var group errgroup.Group
	group.SetLimit(verifyAtOnce)
	for i, a := range actions {
		group.Go(func() error {
			c := readOnce(l.content())
			before, _, _ := l.consult(ctx, f, now, a, c)
			after, _, _ := l.consult(ctx, f, then, a, c)
			changes[i] = changeOf(a, before, after)
			return ctx.Err()
		})
	}
	if err := group.Wait(); err != nil {
		return d, err
	}
	for _, c := range changes {
		if c.Change == "" {
			d.Unchanged++
			continue
		}
		d.Changes = append(d.Changes, c)
	}
	slices.SortStableFunc(d.Changes, func(a, b PolicyChange) int { return cmp.Or(cmp.Compare(a.Set, b.Set), cmp.Compare(a.Entry, b.Entry)) })
	return d, nil
}

// other reads the policy to compare with: that of a commit where one is named, else that of a checkout.
func (l *Line) other(dir, commit string) (proposal, error) {
	if commit != "" {
		return l.committed(commit)
	}
	return l.propose(dir)
}

// changeOf compares two verdicts; its Change is empty where they say the same.
func changeOf(a mirror.Action, before, after mirror.Verdict) PolicyChange {
	c := PolicyChange{Set: a.Key.Set, Entry: a.Key.Entry, Stage: a.Stage, Image: a.Image, Stands: a.Kind == mirror.Unchanged, Before: before, After: after}
	was, will := before.Outcome.Admits(), after.Outcome.Admits()
	switch {
	case before.Outcome == mirror.OutcomeUnknown || after.Outcome == mirror.OutcomeUnknown:
		c.Change = CannotBeSaid
	case was && !will:
		c.Change = WouldRefuse
	case !was && will:
		c.Change = WouldAdmit
	case was && will && !sameBasis(before, after):
		c.Change = OtherBasis
	}
	return c
}

// sameBasis says whether two admissions stand on the same: outcome, signers, a pin and an exception.
func sameBasis(a, b mirror.Verdict) bool {
	return a.Outcome == b.Outcome && slices.Equal(a.Signers, b.Signers) && (a.VouchedBy == "") == (b.VouchedBy == "") && reflect.DeepEqual(a.Exception, b.Exception)
}

// atIssue gives the actions about what stands at any stage and about what is wanted and does not stand yet, of all
// that is asked for.
func (l *Line) atIssue(ctx context.Context, f *fleet, at time.Time) ([]mirror.Action, error) {
	if err := l.limit.check(f.desired); err != nil {
		return nil, err
	}
	wake := Wake{Why: "policy diff", Only: l.limit.sets()}
	var all []mirror.Action
	for _, set := range f.desired.Sets {
		if !wake.allows(set.Name) {
			continue
		}
		l.recall(f, set, at, -1)
		v, err := l.viewOf(ctx, f, set, wake, at)
		if err != nil {
			return nil, err
		}
		for _, stage := range set.Stages {
			for _, entry := range sortedKeys(v.record.At(stage)) {
				all = append(all, l.standing(f, set, v.record, stage, entry))
			}
		}
		for _, a := range v.plan.Actions {
			if v.record.At(a.Stage)[a.Key.Entry].Image != a.Image && wanting(a) {
				all = append(all, a)
			}
		}
	}
	return slices.DeleteFunc(all, func(a mirror.Action) bool { return !l.limit.selects(a.Key) }), nil
}

// wanting says whether an action is about content that is wanted, whatever policy says of it now.
func wanting(a mirror.Action) bool {
	switch a.Kind {
	case mirror.Copy, mirror.Tag:
		return true
	case mirror.Refuse:
		return a.Reason.Code == mirror.Held || slices.Contains(policy.Refusals, a.Reason.Code)
	}
	return false
}
