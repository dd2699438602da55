package daemon

import (
	"context"
	"slices"

	"github.com/poundlock/poundlock/internal/forge"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/plan"
)

// sight is a set as its gates saw it: they can look again without anything being computed or asked anew but what they
// want to know.
type sight struct {
	set    mirror.Set
	plan   mirror.Plan // before its gates
	record mirror.Record
}

// lookAgain finds out what a merge of the proposal would do now. Where nothing that the last review was made from is
// another, only what the gates say may be: no registry is asked, and no state copied.
func (r *reviewer) lookAgain(ctx context.Context, p forge.Proposal, kept *review, same bool) (review, error) {
	if same && kept != nil {
		if look, ok, err := r.regate(ctx, p, *kept); ok || err != nil {
			return look, err
		}
	}
	return r.look(ctx, p)
}

// regate gives the review with what its gates say now. ok is false where one that no waiting opens says otherwise than
// before: then what would be done is another thing.
func (r *reviewer) regate(ctx context.Context, p forge.Proposal, look review) (_ review, ok bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, reviewWithin, errLongLook)
	defer cancel()
	l, f, at := r.line.beside(), *look.fleet, r.line.now()
	f.proposed, look.proposal = &p, p
	look.plan.Plans = slices.Clone(look.plan.Plans)
	for i, set := range look.plan.Plans {
		s := look.sights[set.Set]
		facts, err := l.facts(ctx, &f, s.set, s.plan, s.record, at)
		if err != nil {
			return look, false, err
		}
		if err := ctx.Err(); err != nil {
			return look, false, context.Cause(ctx)
		}
		now := map[string]mirror.Action{}
		for _, a := range f.policy.Gate(s.plan, s.set, facts, at).Actions {
			now[actionKey(a)] = a
		}
		rows := slices.Clone(set.Actions)
		for j, row := range rows {
			if len(row.Gates) == 0 {
				continue
			}
			a := now[actionKey(row.Action)]
			if len(a.Gates) == 0 || barred(a.Gates) != barred(row.Gates) {
				return look, false, nil
			}
			row.Gates, row.Asked, row.Proposal, row.Rollback, row.Until = a.Gates, a.Asked, a.Proposal, a.Rollback, a.Until
			rows[j] = row
		}
		look.plan.Plans[i].Actions = rows
	}
	return look, true, nil
}

// barred says whether a gate is closed that no waiting opens.
func barred(gates []mirror.Gate) bool {
	return slices.ContainsFunc(gates, func(g mirror.Gate) bool { return !g.Open && !(mirror.Reason{Code: g.Code}).Waits() })
}

// gated says whether anything in the review is up to gates.
func (v review) gated() bool {
	return slices.ContainsFunc(v.rows(), func(a plan.Row) bool { return len(a.Gates) > 0 })
}
