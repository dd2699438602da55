package daemon

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/poundlock/poundlock/internal/forge"
	"github.com/poundlock/poundlock/internal/git"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/plan"
)

// reviewAgain is how long after one in which somebody could not be asked a proposal is looked at again.
const reviewAgain = 5 * time.Minute

// reviewLater is how long after one in which something was missing upstream, which may come, it is looked at again.
const reviewLater = time.Hour

// reviewWithin is how long a look at one proposal may take. Anybody may open one, and it may name a lot.
const reviewWithin = 5 * time.Minute

var errLongLook = fmt.Errorf("what a merge would do was not found out within %s", reviewWithin)

// reviewer looks at proposals in one turn of the desk, by one line aside that is made when it is needed.
type reviewer struct {
	line   *Line
	fleet  *fleet
	called []int // proposals that are looked at even where nothing seems to have changed
	side   *Line
}

// close ends the line aside.
func (r *reviewer) close(ctx context.Context) {
	if r.side == nil {
		return
	}
	if err := r.side.Close(ctx); err != nil {
		r.line.log.Warn("what was made to look at proposals is not removed", keyError, err)
	}
}

// reviewed is what was told of a proposal, and from what.
type reviewed struct {
	from    string    // what it was made from: nothing else changes it but time, people and checks
	updated time.Time // when the forge last saw something happen to it
	kept    *review   // of which only the gates are looked at while from stays as it is; nil where it has none
	until   time.Time // when time alone may change it; zero: never
	waits   bool      // for people or checks, of which the forge may tell nothing by itself
	comment string
	checks  [2]forge.Status
}

// review is what there is to be told of a proposal.
type review struct {
	proposal forge.Proposal
	site     string
	registry string          // host[:port] of the local one
	base     string          // the head of the branch that it would be merged into
	touched  []string        // files below desired/ and stages/ that it changes
	problems mirror.Problems // why it cannot be merged as it is
	warnings []string
	gone     []string // sets that it takes out of desired/
	foresight
}

// review tells on a proposal what a merge would do, where that is not told there already.
func (r *reviewer) review(ctx context.Context, p forge.Proposal) error {
	l, told := r.line, r.line.desk.reviewed[p.Number]
	from := strings.Join([]string{p.HeadCommit, r.fleet.head, r.fleet.state, r.fleet.version}, " ")
	due := !told.until.IsZero() && !l.now().Before(told.until)
	same, called := told.from == from && !due, slices.Contains(r.called, p.Number)
	if same && !called && (told.kept == nil || !told.waits && told.updated.Equal(p.Updated)) {
		return nil
	}
	look, err := r.lookAgain(ctx, p, told.kept, same)
	if errors.Is(err, git.ErrRejected) {
		return nil // pushed to meanwhile, of which the forge tells
	}
	if err != nil {
		return err
	}
	next := reviewed{from: from, updated: p.Updated, until: look.until(l.now()), waits: look.waits(), comment: told.comment, checks: told.checks}
	if look.gated() {
		next.kept = &look
	}
	if len(look.touched) > 0 || len(look.problems) > 0 || told.comment != "" {
		text := look.markdown(l.forge.MaxComment())
		if text != told.comment {
			if _, err := l.forge.Comment(ctx, p.Number, "poundlock:plan:"+l.config.Site, text); err != nil {
				return fmt.Errorf("comment: %w", err)
			}
			next.comment = text
		}
	}
	for i, s := range look.checks() {
		s.URL = p.URL
		if s == told.checks[i] && told.sameHead(from) {
			continue
		}
		if err := l.forge.SetStatus(ctx, p.HeadCommit, s); err != nil {
			return fmt.Errorf("status %s: %w", s.Context, err)
		}
		next.checks[i] = s
	}
	l.desk.reviewed[p.Number] = next
	return nil
}

// sameHead says whether what was told was told on the same commit.
func (t reviewed) sameHead(from string) bool {
	then, _, _ := strings.Cut(t.from, " ")
	now, _, _ := strings.Cut(from, " ")
	return then == now
}

// look finds out what a merge of the proposal would do now. An error is one of reaching somebody; what is wrong with
// the proposal itself stands in the review.
func (r *reviewer) look(ctx context.Context, p forge.Proposal) (review, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, reviewWithin, errLongLook)
	defer cancel()
	l := r.line
	look := review{proposal: p, site: l.config.Site, registry: l.local.Host, base: r.fleet.head}
	if err := l.git.Bring(ctx, l.forge.HeadRef(p.Number), p.HeadCommit); err != nil {
		return look, gitError(err)
	}
	parted, err := l.git.MergeBase(ctx, r.fleet.head, p.HeadCommit)
	if err != nil {
		return look, gitError(err)
	}
	if parted == "" {
		look.problems.Add("PRP002", mirror.Position{}, "make it anew from the branch", "it has no history in common with %s", l.config.Git.Branch)
		return look, nil
	}
	if look.touched, err = l.git.Differ(parted, p.HeadCommit, "desired", "stages"); err == nil {
		err = look.ofOurs(l.git, parted)
	}
	if err != nil {
		return look.refusedBy(err)
	}
	if len(look.touched) == 0 {
		return look, nil
	}
	files, conflicts, err := l.git.MergedFiles(ctx, r.fleet.head, p.HeadCommit, "desired", "stages")
	if err != nil {
		return look.refusedBy(err)
	}
	for _, file := range conflicts {
		look.problems.Add("PRP003", mirror.Position{File: file}, "bring the branch up to date with "+l.config.Git.Branch+" and decide there", "it changed on both sides, and does not merge")
	}
	next, problems := r.fleet.merged(p, files, l.signOwn)
	if look.problems = append(look.problems, problems...); len(look.problems) > 0 {
		return look, nil
	}
	return r.foreseen(ctx, look, next)
}

// ofOurs finds what the proposal changes below rendered/, which only daemons write, but for what people may write
// there too.
func (v *review) ofOurs(repo *git.Repo, parted string) error {
	files, err := repo.Differ(parted, v.proposal.HeadCommit, "rendered")
	for _, file := range files {
		if name := path.Base(file); strings.Count(file, "/") == 2 && (name == "holds.yaml" || name == "suspended.yaml") {
			v.warnings = append(v.warnings, "it changes "+file+", which says what daemons leave alone")
			continue
		}
		v.problems.Add("PRP001", mirror.Position{File: file}, "take the file out of the proposal; change desired/ or stages/ instead",
			"the daemon alone writes it, and would overwrite this")
	}
	return err
}

// refusedBy gives the review where an error says what is wrong with the files of the proposal.
func (v review) refusedBy(err error) (review, error) {
	var problems mirror.Problems
	if errors.As(err, &problems) {
		v.problems = append(v.problems, problems...)
		return v, nil
	}
	return v, gitError(err)
}

// foreseen adds what would be done for the sets that the proposal is about.
func (r *reviewer) foreseen(ctx context.Context, look review, next *fleet) (review, error) {
	var sets []string
	sets, look.gone = r.fleet.setsOf(next, look.touched)
	if r.side == nil {
		side, err := r.line.aside()
		if err != nil {
			return look, err
		}
		r.side = side
	}
	r.side.sets = map[string]*progress{} // nothing of one proposal is taken for another
	var err error
	if look.foresight, err = r.side.foresee(ctx, next, sets); err != nil && errors.Is(context.Cause(ctx), errLongLook) {
		look.problems.Add("PRP004", mirror.Position{}, "ask for less at once, or see whether a registry that it names answers slowly", "%v", errLongLook)
		return look, nil
	}
	return look, err
}

// rows gives what is to be told of single entries: all that would be done, and what cannot be done and was not so
// before.
func (v review) rows() (all []plan.Row) {
	for _, set := range v.plan.Plans {
		for _, a := range set.Actions {
			if a.Key.Entry != "" && a.Kind != mirror.Unchanged && a.Kind != mirror.Skip && !a.AsBefore {
				all = append(all, a)
			}
		}
	}
	return all
}

// until is when time alone may change what there is to be told.
func (v review) until(now time.Time) (next time.Time) {
	for _, a := range v.rows() {
		if a.Until.After(now) {
			next = earliest(next, a.Until)
		}
		switch {
		case a.Kind == mirror.Failed:
			next = earliest(next, now.Add(reviewAgain))
		case a.Kind == mirror.Missing, a.Reason.Code == mirror.NoSignature, a.Reason.Code == mirror.NoAttestation:
			next = earliest(next, now.Add(reviewLater))
		}
	}
	return next
}

// waits says whether a gate waits for people or for checks.
func (v review) waits() bool {
	return slices.ContainsFunc(v.rows(), func(a plan.Row) bool {
		return slices.ContainsFunc(a.Gates, func(g mirror.Gate) bool { return !g.Open && asksOthers(g.Code) })
	})
}
