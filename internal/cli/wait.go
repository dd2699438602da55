package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/mirror"
)

// waitDocument is how a promotion ended that was waited for, for programs.
type waitDocument struct {
	Type       string             `json:"type"`
	Version    int                `json:"version"`
	Promotions []daemon.Promotion `json:"promotions"` // one for each set and stage that the proposal is about

	Proposal *daemon.ProposalLook `json:"proposal,omitempty"` // what the forge said of one that Git does not know
}

// everyWait is how long wait leaves between two looks at Git.
const everyWait = 2 * time.Second

func (a *app) waitCommand() *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: "wait promotion/ID", Short: "Wait until a promotion is merged, moved and recorded", Args: cobra.ExactArgs(1),
		Long: `Wait until everything that a promotion asks for stands and is recorded in the fleet repository. ID is the number of its
proposal, or its commit. It looks at Git, so it works wherever the fleet repository can be read. Where a daemon ran on this
machine it knows why a promotion is refused, and where a forge is configured, whether its proposal was declined.

Exit codes: 0 it stands; 5 a later promotion took its place, a gate or policy refuses it until somebody changes something,
or its proposal was declined; 8 it was not merged, or still waits, when the time was over.`,
		Example: "  poundlock wait promotion/7\n  poundlock wait promotion/7 --timeout 2h\n  poundlock wait promotion/8c0d1f2a -o json",
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 10*time.Minute, "longest wait")
	output := a.outputFlag(cmd, asText, asJSON, asYAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, ok := strings.CutPrefix(args[0], "promotion/")
		if !ok || id == "" {
			return misused(cmd, "", "want promotion/ID, such as promotion/7; have %q", args[0])
		}
		if timeout <= 0 {
			return misused(cmd, "", "--timeout wants more than nothing, such as 10m")
		}
		open := func() (*daemon.Line, error) { return a.open(cmd.Context(), daemon.Options{Temporary: true}) }
		line, err := open()
		if err != nil {
			return err
		}
		w := &waited{Line: line, open: open, id: id, began: time.Now(), taken: time.Now()}
		ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
		defer cancel()
		found, err := awaitPromotion(ctx, w, id)
		if err = closing(w.Line, err); err != nil {
			return err
		}
		d := waitDocument{"wait", 1, found, nil}
		if len(found) == 0 {
			d.Proposal = w.proposal
		}
		if err := a.printWait(d, id, timeout, *output); err != nil {
			return err
		}
		return exitCode(d.code())
	}
	return cmd
}

// promoting is what awaitPromotion looks at: a line.
type promoting interface {
	Heads(ctx context.Context) (string, error)
	Promotions(ctx context.Context, n int) ([]daemon.Promotion, error)
}

// awaitPromotion looks at Git until nothing of a promotion waits any more or the time of ctx is over, and gives what it
// found last. Its history is read only where a branch moved. Git may be away for a while: the error is that of the last
// look, where that one failed, unless only another configuration mends it.
func awaitPromotion(ctx context.Context, line promoting, id string) (found []daemon.Promotion, err error) {
	again := time.NewTicker(everyWait)
	defer again.Stop()
	found = []daemon.Promotion{}
	for seen := ""; ; {
		heads, all, failed := lookAgain(ctx, line, seen)
		if ctx.Err() == nil { // else the look was cut off, and says nothing
			err = failed
		}
		if errors.Is(failed, errDeclined) {
			return []daemon.Promotion{}, nil
		}
		if errors.Is(failed, config.ErrConfiguration) {
			return found, failed // no waiting mends it
		}
		if failed == nil && heads != seen {
			seen = heads
			found = slices.DeleteFunc(all, func(p daemon.Promotion) bool { return !isPromotion(p, id) })
			if len(found) > 0 && codeOfWait(found) != exitWaiting {
				return found, nil
			}
		}
		select {
		case <-ctx.Done():
			if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
				err = ctx.Err()
			}
			return found, err
		case <-again.C:
		}
	}
}

// lookAgain reads the promotions where the branches are elsewhere than they were seen last.
func lookAgain(ctx context.Context, line promoting, seen string) (heads string, all []daemon.Promotion, err error) {
	if heads, err = line.Heads(ctx); err != nil || heads == seen {
		return heads, nil, err
	}
	all, err = line.Promotions(ctx, 0)
	return heads, all, err
}

func (d waitDocument) code() int {
	if d.Proposal != nil && d.Proposal.Declined() {
		return exitRefused
	}
	return codeOfWait(d.Promotions)
}

// codeOfWait gives the exit code of what became of a promotion.
func codeOfWait(found []daemon.Promotion) int {
	is := map[daemon.PromotionState]bool{}
	for _, p := range found {
		is[p.State] = true
	}
	switch {
	case is[daemon.PromotionRefused]: // what else waits does not mend it
		return exitRefused
	case is[daemon.PromotionWaiting], len(found) == 0:
		return exitWaiting
	case is[daemon.PromotionSuperseded]:
		return exitRefused
	}
	return exitOK
}

func (a *app) printWait(d waitDocument, id string, timeout time.Duration, f format) error {
	if f != asText {
		return document(a.out, f, d)
	}
	if len(d.Promotions) == 0 {
		return a.print(clean(unmergedText(d, id, timeout)) + "\n")
	}
	var b strings.Builder
	for _, p := range d.Promotions {
		fmt.Fprintf(&b, "%s\n", clean(waitText(p, a.again("plan", "--only", p.Set))))
	}
	return a.print(b.String())
}

func waitText(p daemon.Promotion, next string) string {
	what := fmt.Sprintf("%s to %s, %s, asked for by %s", p.Set, p.Stage, promotedEntries(p), mirror.Printable(p.Commit[:min(7, len(p.Commit))]))
	switch p.State {
	case daemon.PromotionApplied:
		text := "stands: " + what
		if p.Applied != "" {
			text += fmt.Sprintf(", recorded by %s after %s", p.Applied[:min(7, len(p.Applied))], p.Took.Round(time.Second))
		}
		return text
	case daemon.PromotionSuperseded:
		return "superseded by a later promotion: " + what
	}
	text := "waits: " + what
	if p.State == daemon.PromotionRefused {
		text = "refused: " + what
	}
	if p.Why != "" {
		text += ": " + p.Why
	}
	return text + "; see `" + next + "`"
}
