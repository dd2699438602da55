package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/internal/mirror"
)

func (a *app) verifyCommand() *cobra.Command {
	var stage string
	var output *format
	cmd := &cobra.Command{
		Use: "verify REFERENCE", Short: "Say what policy says of an image", Args: cobra.ExactArgs(1),
		Long: `Say what policy says of an image: it is looked up once and judged by its digest, as a sync would.

Exit codes: 0 admitted; 3 there is no such image; 5 refused; 9 it could not be asked now.`,
		Example: "  poundlock -c config.yaml verify docker.io/library/haproxy:2.8-alpine --stage production",
		RunE: func(cmd *cobra.Command, args []string) error {
			ref, err := mirror.ParseReference(args[0])
			if err != nil {
				return err
			}
			line, err := a.open(cmd.Context(), daemon.Options{Temporary: true})
			if err != nil {
				return err
			}
			image, verdict, err := line.Verify(cmd.Context(), ref, mirror.Stage(stage))
			err = closing(line, err)
			switch {
			case errors.Is(err, mirror.ErrNotFound) && codeOf(err) == exitFailure:
				problems := daemon.Advise(a.loaded, err)
				for _, p := range problems {
					a.sayf("%s\n", a.typed(p.Error()))
				}
				return exitError{code: exitPartial, problems: problems}
			case verdict.Outcome == "":
				return err
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
				return exitCode(exitRefused)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&stage, "stage", "", "stage whose rules apply (default: the first)")
	output = a.outputFlag(cmd, asText, asJSON, asYAML)
	return cmd
}

func verdictText(image mirror.Reference, v mirror.Verdict) string {
	text := fmt.Sprintf("%s\n  %s: %s\n", clean(image.String()), v.Outcome, clean(v.Reason.String()))
	if v.VouchedBy != "" {
		text += fmt.Sprintf("  named in desired/ at commit %s\n", v.VouchedBy)
	}
	return text
}

// verdictDocument is what policy says of an image, for programs.
type verdictDocument struct {
	Type    string           `json:"type"`
	Version int              `json:"version"`
	Image   mirror.Reference `json:"image"` // with its digest
	Verdict mirror.Verdict   `json:"verdict"`
}
