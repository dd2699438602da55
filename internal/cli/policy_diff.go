package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/internal/mirror"
)

// policyDiffDocument is what another policy would change, for programs.
type policyDiffDocument struct {
	Type    string `json:"type"`
	Version int    `json:"version"`
	daemon.PolicyDiff
}

func (a *app) policyDiffCommand() *cobra.Command {
	var commit string
	var only []string
	var detailed bool
	cmd := &cobra.Command{
		Use: "diff [DIR]", Short: "Say what a changed policy would refuse, admit, or admit on another basis, among what stands and what is refused now", Args: cobra.MaximumNArgs(1),
		Long: `Compare the policy in force with that of DIR, a checkout of the fleet repository (the current folder where it is one), or with that of a commit
of its history. Told is, of everything that stands at any stage and of all that is wanted and not there, what the other policy would refuse (-), admit
(+), or admit on another basis (~), and what could not be judged (?). Signatures are read once for both. Nothing is changed.

Exit codes: 0 compared; with --detailed-exitcode 2 where something would change; 9 where something could not be judged.`,
		Example:           "  poundlock policy diff .                     a checkout, such as that of a pull request\n  poundlock policy diff . --only ess --detailed-exitcode\n  poundlock policy diff --commit $(git rev-parse HEAD~1)",
		ValidArgsFunction: folders,
	}
	cmd.Flags().StringVar(&commit, "commit", "", "compare with the policy of this commit, by its whole id")
	cmd.Flags().StringArrayVar(&only, "only", nil, "set, or set/entry with globs, to look at; may be repeated")
	cmd.Flags().BoolVar(&detailed, "detailed-exitcode", false, "exit with 2 where something would change")
	mind(cmd, func() error {
		if commit != "" && cmd.Flags().NArg() > 0 {
			return misused(cmd, "", "a folder and --commit do not go together")
		}
		return nil
	})
	output := a.outputFlag(cmd, asText, asJSON, asYAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		dir := ""
		if commit == "" {
			var err error
			if dir, err = a.checkoutOf(strings.Join(slices.Concat(args, []string{"."})[:1], "")); err != nil {
				return err
			}
		}
		line, err := a.open(cmd.Context(), daemon.Options{Temporary: true})
		if err != nil {
			return err
		}
		if err := line.Only(only...); err != nil {
			return closing(line, err)
		}
		diff, err := line.DiffPolicy(cmd.Context(), dir, commit)
		if err = closing(line, err); err != nil {
			return err
		}
		if *output != asText {
			err = document(a.out, *output, policyDiffDocument{"policy_diff", 1, diff})
		} else {
			err = a.print(policyDiffText(diff))
		}
		switch {
		case err != nil:
			return err
		case diff.Count(daemon.CannotBeSaid) > 0:
			return exitCode(exitRetry)
		case detailed && len(diff.Changes) > 0:
			return exitCode(exitChanges)
		}
		return nil
	}
	return cmd
}

// changeWords are how each kind of change is told: its symbol and its word.
var changeWords = []struct {
	kind         daemon.ChangeKind
	symbol, word string
}{
	{daemon.WouldRefuse, "-", "refused"},
	{daemon.WouldAdmit, "+", "admitted"},
	{daemon.OtherBasis, "~", "admitted on another basis"},
	{daemon.CannotBeSaid, "?", "not judged"},
}

func policyDiffText(d daemon.PolicyDiff) string {
	var b strings.Builder
	for _, kind := range changeWords {
		for _, c := range d.Changes {
			if c.Change != kind.kind {
				continue
			}
			place := "wanted"
			if c.Stands {
				place = "stands"
			}
			fmt.Fprintf(&b, "%s %s/%s at %s (%s): %s  %s\n", kind.symbol, clean(c.Set), clean(c.Entry), clean(string(c.Stage)), place, kind.word, clean(c.Image.String()))
			fact(&b, 1, "now", verdictPhrase(c.Before))
			fact(&b, 1, "then", verdictPhrase(c.After))
		}
	}
	if len(d.Changes) == 0 {
		same := "No changes"
		if d.Policy == d.Other {
			same = "No changes: the policies are the same"
		}
		fmt.Fprintf(&b, "%s. %d as before.\n", same, d.Unchanged)
		return b.String()
	}
	var parts []string
	for _, kind := range changeWords {
		if n := d.Count(kind.kind); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, kind.word))
		}
	}
	fmt.Fprintf(&b, "Policy of %s: %s, %d as before.\n", clean(d.From), strings.Join(parts, ", "), d.Unchanged)
	return b.String()
}

// verdictPhrase gives a verdict in one line.
func verdictPhrase(v mirror.Verdict) string {
	return outcomeText(v) + ": " + v.Reason.String()
}
