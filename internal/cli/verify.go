package cli

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/plan"
)

func (a *app) verifyCommand() *cobra.Command {
	var stage string
	var output *format
	cmd := &cobra.Command{
		Use: "verify REFERENCE|PACKAGE", Short: "Say what policy says of an image or a package", Args: cobra.ExactArgs(1),
		Long: `Say what policy says of an image: it is looked up once and judged by its digest, as a sync would. Rules, signers with
who they are, times with who says so, exception and warnings follow; explain-verdict tells what is missing, rule by rule.
A package is named as nginx-1.20.0, or by its reference, and is judged by the bytes that lie here.

Exit codes: 0 admitted; 3 there is no such image; 5 refused; 9 it could not be asked now.`,
		Example: "  poundlock -c config.yaml verify docker.io/library/haproxy:2.8-alpine --stage production",
		RunE: func(cmd *cobra.Command, args []string) error {
			ref, err := mirror.ParseReference(args[0])
			_, isNot := mirror.ParsePackage(path.Base(args[0])) // nginx-1.20.0 has no tag, and needs none
			named := isNot == nil && !strings.ContainsAny(args[0], ":@")
			if err != nil && !named {
				return misused(cmd, "", "%v", err)
			}
			if ref.Tag == "" && !ref.HasDigest() && !named {
				return misused(cmd, "", "%s has neither tag nor digest: add a tag or digest, such as %s:1.0", mirror.Clean(ref.Name()), mirror.Clean(ref.Name()))
			}
			line, err := a.open(cmd.Context(), daemon.Options{Temporary: true})
			if err != nil {
				return err
			}
			verify := func() (mirror.Reference, mirror.Verdict, error) {
				return line.Verify(cmd.Context(), ref, mirror.Stage(stage))
			}
			if named {
				verify = func() (mirror.Reference, mirror.Verdict, error) {
					return line.VerifyPackage(cmd.Context(), args[0], mirror.Stage(stage))
				}
			}
			image, verdict, err := verify()
			err = closing(line, err)
			switch {
			case verdict.Outcome == "", isMissing(err):
				return a.missing(err)
			case *output != asText:
				if err := document(a.out, *output, verdictDocument{"verdict", 1, image, verdict}); err != nil {
					return err
				}
			default:
				if err := a.print(verdictText(image, verdict)); err != nil {
					return err
				}
			}
			if verdict.Outcome == mirror.OutcomeRejected {
				return answeredNo(exitRefused, image, verdict, a.typed(plan.Mend(mirror.Action{Image: image, Reason: verdict.Reason})))
			}
			if err == nil && !verdict.Outcome.Admits() {
				return answeredNo(exitRetry, image, verdict, a.typed(plan.Mend(mirror.Action{Image: image, Reason: verdict.Reason})))
			}
			return err
		},
	}
	cmd.Flags().StringVar(&stage, "stage", "", "stage whose rules apply (default: the first)")
	output = a.outputFlag(cmd, asText, asJSON, asYAML)
	return cmd
}

// isMissing says whether an error means that there is no such image, and nothing worse.
func isMissing(err error) bool {
	return errors.Is(err, mirror.ErrNotFound) && codeOf(err) == exitFailure
}

// missing tells what to do where there is no such image; any other error is told by whoever ends the command.
func (a *app) missing(err error) error {
	if !isMissing(err) {
		return err
	}
	problems := daemon.Advise(a.loaded, err)
	for i, p := range problems {
		if p.Code == "REG002" { // it was typed, and no line of desired/ names it
			p.Fix = "correct the name or the tag that was typed: the registry's page shows which there are"
			problems[i] = p
		}
		a.sayf("%s\n", a.typed(p.Error()))
	}
	return exitError{code: exitPartial, problems: problems}
}

// answeredNo ends a command that told a verdict which does not admit; programs find why in the object that ends the
// talk, too.
func answeredNo(code int, image mirror.Reference, v mirror.Verdict, fix string) error {
	p := mirror.Problem{Code: "POL100", What: mirror.Clean(fmt.Sprintf("%s is %s: %s", image, outcomeText(v), v.Reason)), Fix: mirror.Clean(fix)}
	return exitError{code: code, problems: mirror.Problems{p}}
}

// verdictText writes all of a verdict: what it is, on which rules, and what is proven by whom.
func verdictText(image mirror.Reference, v mirror.Verdict) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n  %s %s: %s\n", clean(image.String()), outcomeSymbols[v.Outcome], v.Outcome, clean(v.Reason.String()))
	if v.VouchedBy != "" {
		fmt.Fprintf(&b, "  named in desired/ at commit %s\n", clean(v.VouchedBy))
	}
	many := func(word string, texts []string) {
		for i, text := range texts {
			fact(&b, 1, heading(i, word), text)
		}
	}
	many("rules", v.Rules)
	var proofs []string
	for _, p := range v.Proofs {
		proofs = append(proofs, proofText(p))
	}
	many("signed by", proofs)
	if x := v.Exception; x != nil {
		fact(&b, 1, "exception", exceptionText(*x))
	}
	if !v.Seen.IsZero() {
		fact(&b, 1, "first seen", stamp(v.Seen))
	}
	if !v.Until.IsZero() {
		fact(&b, 1, "until", stamp(v.Until)+": then it is judged again")
	}
	many("warning", v.Warnings)
	many("found", v.Findings)
	if v.Attested {
		fact(&b, 1, "judged", stamp(v.At)+", as this site attested it")
	}
	return b.String()
}

// outcomeSymbols are there since words alone are easily passed over, and colour is not for everybody.
var outcomeSymbols = map[mirror.Outcome]string{mirror.OutcomeSigned: "+", mirror.OutcomePinned: "+", mirror.OutcomeException: "*", mirror.OutcomeWarn: "*",
	mirror.OutcomeRejected: "!", mirror.OutcomeUnknown: "?"}

// verdictDocument is what policy says of an image, for programs.
type verdictDocument struct {
	Type    string           `json:"type"`
	Version int              `json:"version"`
	Image   mirror.Reference `json:"image"` // with its digest
	Verdict mirror.Verdict   `json:"verdict"`
}
