package cli

import (
	"context"
	"fmt"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/internal/mirror"
)

// promotionDocument is what came of promote and rollback, for programs.
type promotionDocument struct {
	Type    string `json:"type"`
	Version int    `json:"version"`
	daemon.Promoted
}

// promoteFlags are what promote and rollback have in common.
type promoteFlags struct {
	stage      string
	pr, direct bool
	as         string
}

func (p *promoteFlags) bind(cmd *cobra.Command, stage, words string) {
	cmd.Flags().StringVar(&p.stage, stage, "", words)
	p.ways(cmd)
	_ = cmd.MarkFlagRequired(stage) // fails only for a flag that is not there
}

// ways binds the flags that say how a document of stages/ is changed, and for whom.
func (p *promoteFlags) ways(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&p.pr, "pr", false, "by a proposal that people merge; the default where a forge is configured")
	cmd.Flags().BoolVar(&p.direct, "direct", false, "by a commit on the branch; the default where no forge is configured")
	cmd.Flags().StringVar(&p.as, "as", "", "your login at the forge, which cannot approve what you ask for; the name of this account when it is left out")
	cmd.MarkFlagsMutuallyExclusive("pr", "direct")
}

// order gives what is common of an order.
func (p *promoteFlags) order(set string) daemon.PromoteOrder {
	o := daemon.PromoteOrder{Set: set, Stage: mirror.Stage(p.stage), By: p.as}
	switch {
	case p.pr:
		o.Way = daemon.ByProposal
	case p.direct:
		o.Way = daemon.ByCommit
	}
	if u, err := user.Current(); o.By == "" && err == nil {
		o.By = u.Username
	}
	return o
}

func (a *app) promoteCommand() *cobra.Command {
	var flags promoteFlags
	var newest bool
	cmd := &cobra.Command{
		Use: "promote SET [ENTRY...] --to STAGE", Short: "Ask for what stands in one stage to stand in the next", Args: cobra.MinimumNArgs(1),
		Long: `Ask for what stands in the stage below to stand in a stage: its stage file lists it, by a proposal that people merge
(--pr) or by a commit (--direct). With entries only those are promoted, else the whole set. An open proposal for the
same set, stage and entries is adopted: it gets the new content while nobody reviewed it, and is superseded by another
one after that. One that people changed is left to them.

In a set of packages an entry is a version (nginx-1.20.0), a name (nginx: its newest version in the stage below) or a glob
("apache*"); with --newest-only each package goes up with its newest version alone. What stands in a stage stays there.

Nothing moves by this command: the daemon, or a sync, applies what was merged once every gate is open. The gates are
shown as they stand now. Exit codes: 0 proposed, committed or nothing to do; 5 refused, the reasons say why.`,
		Example: "  poundlock promote ess --to staging\n  poundlock promote ess element_web/element_web --to production --pr --as alice\n  poundlock promote tools --to staging --direct -o json\n  poundlock promote elastic nginx-1.20.0 --to production\n  poundlock promote elastic --newest-only --to staging",
	}
	flags.bind(cmd, "to", "the stage that is to change")
	cmd.Flags().BoolVar(&newest, "newest-only", false, "of each package only its newest version; for sets of packages")
	output := a.outputFlag(cmd, asText, asJSON, asYAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o := flags.order(args[0])
		o.Entries, o.Newest = entriesOf(args), newest
		return a.promote(cmd.Context(), o, "promote", *output)
	}
	return cmd
}

// promote gives an order to the daemon, or carries it out, and shows what came of it.
func (a *app) promote(ctx context.Context, o daemon.PromoteOrder, command string, f format) error {
	var p daemon.Promoted
	runs := false
	err := a.control(ctx, command, func(c *daemon.Client) (err error) {
		runs = true
		p, err = c.Promote(ctx, o)
		return err
	}, func(l *daemon.Line) (err error) {
		p, err = l.Promote(ctx, o)
		return err
	})
	if err != nil {
		return err
	}
	if f != asText {
		err = document(a.out, f, promotionDocument{"promotion", 1, p})
	} else {
		err = a.print(a.promotionText(p, runs))
	}
	if err == nil && p.Outcome == daemon.PromotedRefused {
		return exitCode(exitRefused)
	}
	return err
}

// promotionText tells what came of a promotion: what changes, the gates as they stand, and what comes next.
func (a *app) promotionText(p daemon.Promoted, runs bool) string {
	way := fmt.Sprintf("%s → %s", p.From, p.Stage)
	if p.Frozen != "" {
		way = fmt.Sprintf("%s, frozen as %s", p.Stage, p.Frozen)
	}
	if p.Rollback {
		way = fmt.Sprintf("%s ← before", p.Stage)
	}
	head := fmt.Sprintf("%s: %s", p.Set, way)
	if len(p.Gates) > 0 {
		head += "   gates: " + strings.Join(gateWords(p.Gates), "  ")
	}
	var b strings.Builder
	b.WriteString(clean(head) + "\n")
	const shown = 20
	var rows [][]string
	for i, m := range p.Moves {
		if i == shown {
			break
		}
		rows = append(rows, []string{"  " + moveSymbol(m), clean(m.Entry), clean(versionWords(m.From)), "→", clean(versionWords(m.To))})
	}
	b.WriteString(a.tableText([]string{"", "entry", "before", "", "after"}, rows))
	if more := len(p.Moves) - shown; more > 0 {
		fmt.Fprintf(&b, "  and %d more\n", more)
	}
	for _, g := range p.Gates {
		if !g.Open {
			b.WriteString(clean(fmt.Sprintf("  ✗ %s: %s%s", g.Name, g.Why, untilWords(g))) + "\n")
		} else if g.Warning != "" {
			b.WriteString(clean(fmt.Sprintf("  ! %s: %s; %s", g.Name, g.Why, g.Warning)) + "\n")
		}
	}
	b.WriteString(clean(a.outcomeText(p, runs)) + "\n")
	return b.String()
}

func moveSymbol(m daemon.PromotedLine) string {
	switch {
	case m.From.IsZero():
		return "+"
	case m.To.IsZero():
		return "-"
	}
	return "~"
}

func versionWords(r mirror.Reference) string {
	if r.IsZero() {
		return "—"
	}
	return strings.TrimSpace(r.Tag + " " + mirror.Short(r.Digest))
}

// gateWords gives each gate with its sign; one that is open because it is a rollback says so.
func gateWords(gates []mirror.Gate) (words []string) {
	for _, g := range gates {
		switch {
		case g.Exempt:
			words = append(words, g.Name+" ✔ (rollback)")
		case g.Open:
			words = append(words, g.Name+" ✔")
		default:
			words = append(words, g.Name+" ✗")
		}
	}
	return words
}

// untilWords gives the moment at which time opens a gate, where its reason does not name it.
func untilWords(g mirror.Gate) string {
	until := g.Until.UTC().Format(time.RFC3339)
	if g.Until.IsZero() || strings.Contains(g.Why, until) {
		return ""
	}
	return ", until " + until
}

// outcomeText says in one line what was done, and what comes next.
func (a *app) outcomeText(p daemon.Promoted, runs bool) string {
	why := strings.Join(p.Why, "; ")
	text := ""
	switch p.Outcome {
	case daemon.PromotedNothing:
		text = fmt.Sprintf("nothing to do: the stage file of %s says so already", p.Stage)
		if p.Frozen != "" {
			text = fmt.Sprintf("nothing to do: %s is frozen so already", p.Frozen)
		}
		if why == "" {
			return text
		}
		return text + "; " + why + ". Next: " + a.again("plan", "--only", p.Set, "-v")
	case daemon.PromotedRefused:
		return "refused: " + a.typed(why)
	case daemon.PromotedCommitted:
		next := a.again("sync", "--only", p.Set)
		if runs {
			next = a.again("trigger", p.Set, "--wait")
		}
		return fmt.Sprintf("committed %s. Next: %s", short(p.Commit, asTable), next)
	case daemon.PromotedPushed:
		return fmt.Sprintf("pushed branch %s at %s: open a proposal for it, or merge it", p.Branch, short(p.Commit, asTable))
	case daemon.PromotedOpened:
		text = "opened " + p.URL
	case daemon.PromotedRenewed:
		text = "renewed " + p.URL
	default:
		if text = "adopted " + p.URL; p.Proposal == 0 {
			text = "branch " + p.Branch + " is there already"
		}
	}
	if why != "" {
		text += ": " + why
	}
	if len(p.Superseded) > 0 {
		var numbers []string
		for _, n := range slices.Sorted(slices.Values(p.Superseded)) {
			numbers = append(numbers, "#"+strconv.Itoa(n))
		}
		text += "; it takes the place of " + strings.Join(numbers, ", ")
	}
	return text
}
