package daemon

import (
	"context"
	"fmt"
)

// notesMove warns where the branch was moved to a commit that was not built upon the one before, until it moves forward
// again. Where trust.fleet is set the stages above the first wait for that; else it is obeyed and must not go unseen.
func (l *Line) notesMove(ctx context.Context, last, next *fleet) {
	if l.offline || last == nil || last.head == next.head || !l.config.Trust.Fleet.IsZero() {
		return
	}
	forward, err := l.git.Ancestor(ctx, last.head, next.head)
	if err != nil {
		l.log.Debug("the history of the branch cannot be read", keyError, err)
		return
	}
	if forward {
		l.replaced.Store(nil)
		return
	}
	p := adviser{l.config}.problem("GIT036", "git.branch", "the history of branch %s was rewritten: it was at %s and is at %s, which was not built upon that",
		l.config.Git.Branch, last.head, next.head)
	p.Why = "somebody pushed with force; what stands there now is obeyed, since trust.fleet is not set"
	p.Fix = fmt.Sprintf("compare both: `git diff %s %s`; forbid such pushes at the forge, or set trust.fleet", brief(last.head), brief(next.head))
	l.replaced.Store(&p)
	l.emit(Event{Type: EventRewritten, Commit: next.head, Reason: p.What, Fix: p.Fix})
}
