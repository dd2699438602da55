package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/internal/mirror"
)

func (a *app) policyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "policy", Short: "Try a policy before it is in force: test what is expected of it, and see what it would change",
		Example: "  poundlock policy test .\n  poundlock policy diff .\n  poundlock explain policy",
	}
	cmd.AddCommand(a.policyTestCommand(), a.policyDiffCommand())
	return cmd
}

// folders completes with the names of folders.
func folders(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

// checkoutOf finds the folder in which desired/ lies, in what an argument names.
func (a *app) checkoutOf(dir string) (string, error) {
	c, err := a.load()
	if err != nil {
		return "", err
	}
	root, found := daemon.Checkout(dir, c.Git.Path)
	if !found {
		return "", mirror.Problems{noCheckout(dir, c.Git.Path)}
	}
	return root, nil
}

// testedDocument is what came of the tests of a policy, for programs.
type testedDocument struct {
	Type    string `json:"type"`
	Version int    `json:"version"`
	daemon.Tested
}

func (a *app) policyTestCommand() *cobra.Command {
	var verbose bool
	cmd := &cobra.Command{
		Use: "test [DIR]", Short: "Judge the images of desired/policy/tests.yaml and say which verdicts are not as expected", Args: cobra.MaximumNArgs(1),
		Long: `Judge the images of desired/policy/tests.yaml by the policy beside it and say which verdicts are not as expected. DIR is a checkout of the
fleet repository, such as that of a pull request; without it the newest commit of the fleet repository is tested. Signatures are read from the
registries as configured; nothing is copied.

Above the first stage that includes what lies beside the local image, as for a sync; what is remembered does not count.

Exit codes: 0 every verdict is as expected; 5 one is not; 6 a file has a mistake; 9 one could not be asked now (?) and none failed.`,
		Example:           "  poundlock policy test           the fleet repository\n  poundlock policy test . -v      a checkout, with what is as expected\n  poundlock policy test . -o json",
		ValidArgsFunction: folders,
	}
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "list what is as expected too")
	output := a.outputFlag(cmd, asText, asJSON, asYAML, asGitHub)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		dir := strings.Join(args, "")
		if len(args) > 0 {
			var err error
			if dir, err = a.checkoutOf(dir); err != nil {
				return err
			}
		}
		line, err := a.open(cmd.Context(), daemon.Options{Temporary: true})
		if err != nil {
			return err
		}
		tested, err := line.TestPolicy(cmd.Context(), dir)
		if err = closing(line, err); err != nil {
			return err
		}
		switch *output {
		case asJSON, asYAML:
			err = document(a.out, *output, testedDocument{"policy_test", 1, tested})
		case asGitHub:
			err = a.print(testedAnnotations(tested))
		default:
			err = a.print(testedText(tested, verbose))
		}
		switch {
		case err != nil:
			return err
		case tested.Failed > 0:
			return exitCode(exitRefused)
		case tested.Unsure > 0:
			return exitCode(exitRetry)
		}
		return nil
	}
	return cmd
}

// testedText is as `go test` tells it: what failed with what was wanted and got, and a last line.
func testedText(t daemon.Tested, verbose bool) string {
	var b strings.Builder
	for _, one := range t.Tests {
		switch {
		case !one.Passed:
			mark := "FAIL"
			if one.Unsure {
				mark = "?   "
			}
			fmt.Fprintf(&b, "%s  %s  (%s)\n", mark, clean(one.Name), clean(one.Where.String()))
			fact(&b, 3, "image", one.Image.String()+" at "+string(one.Stage))
			fact(&b, 3, "", one.Lacks)
			for i, f := range one.Verdict.Findings {
				fact(&b, 3, heading(i, "found"), f)
			}
		case verbose:
			fmt.Fprintf(&b, "ok    %s  %s\n", clean(one.Name), clean(outcomeText(one.Verdict)))
		}
	}
	switch {
	case len(t.Tests) == 0:
		fmt.Fprintf(&b, "ok    %s: no tests\n", clean(t.From))
	case t.Failed > 0:
		fmt.Fprintf(&b, "FAIL  %s: %d of %d failed%s\n", clean(t.From), t.Failed, len(t.Tests), unsureText(t.Unsure))
	case t.Unsure > 0:
		fmt.Fprintf(&b, "?     %s: %d passed%s\n", clean(t.From), len(t.Tests)-t.Unsure, unsureText(t.Unsure))
	default:
		fmt.Fprintf(&b, "ok    %s: %d passed\n", clean(t.From), len(t.Tests))
	}
	return b.String()
}

func unsureText(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(", %d could not be asked now", n)
}

func testedAnnotations(t daemon.Tested) string {
	var b strings.Builder
	for _, one := range t.Tests {
		if !one.Passed {
			p := mirror.Problem{Code: "policy test", What: one.Name + ": " + one.Lacks, Where: one.Where}
			b.WriteString(p.Annotation() + "\n")
		}
	}
	return b.String()
}
