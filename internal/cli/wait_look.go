package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/poundlock/poundlock/daemon"
)

// everyAsk is how long wait leaves between two looks at what Git does not tell: what the last run found in the way of a
// promotion, and what the forge says of one that is not merged.
const everyAsk = 15 * time.Second

// errDeclined means that the proposal that is waited for was closed and not merged.
var errDeclined = errors.New("the proposal was closed without a merge")

// waited is the line that wait looks at. It is opened anew from time to time, since one that only looks knows what runs
// found as it was when it was opened.
type waited struct {
	*daemon.Line
	open         func() (*daemon.Line, error)
	id           string
	began, taken time.Time
	proposal     *daemon.ProposalLook // as the forge said last; nil where it was not asked or does not answer
}

// Heads is another text also when it is time to ask what Git does not tell.
func (w *waited) Heads(ctx context.Context) (string, error) {
	heads, err := w.Line.Heads(ctx)
	return fmt.Sprintf("%s %d", heads, time.Since(w.began)/everyAsk), err
}

// Promotions gives errDeclined once what is waited for can come no more.
func (w *waited) Promotions(ctx context.Context, n int) ([]daemon.Promotion, error) {
	if time.Since(w.taken) >= everyAsk {
		if line, err := w.open(); err == nil { // else the next time
			if err := w.Close(context.WithoutCancel(ctx)); err != nil {
				return nil, closing(line, err)
			}
			w.Line, w.taken = line, time.Now()
		}
	}
	all, err := w.Line.Promotions(ctx, n)
	if err != nil || slices.ContainsFunc(all, func(p daemon.Promotion) bool { return isPromotion(p, w.id) }) {
		return all, err
	}
	number, err := strconv.Atoi(w.id)
	if err != nil {
		return all, nil // a commit, which the forge is not asked about
	}
	if p, err := w.Proposal(ctx, number); err == nil {
		if w.proposal = &p; p.Declined() {
			return all, errDeclined
		}
	}
	return all, nil
}

// unmergedText says what became of a proposal that Git knows nothing of.
func unmergedText(d waitDocument, id string, timeout time.Duration) string {
	p := d.Proposal
	switch {
	case p == nil:
		return fmt.Sprintf("promotion %s was not merged within %s; it waits for its approval", id, timeout)
	case p.Declined():
		return fmt.Sprintf("promotion %s was declined: %s was closed and not merged", id, p.URL)
	case p.Open():
		return fmt.Sprintf("promotion %s waits for its merge: %s is still open after %s", id, p.URL, timeout)
	}
	return fmt.Sprintf("promotion %s was merged (%s), and the fleet repository shows nothing of it after %s; did it change a stage file?", id, p.URL, timeout)
}
