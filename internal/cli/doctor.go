package cli

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/internal/mirror"
)

// doctorReport is what doctor says to programs.
type doctorReport struct {
	Type    string         `json:"type"` // doctor
	Version int            `json:"version"`
	Checks  []daemon.Check `json:"checks"`
}

func (a *app) doctorCommand() *cobra.Command {
	var before bool
	cmd := &cobra.Command{
		Use: "doctor", Short: "Look at all that a run depends on, and say how to mend what is not as it should be", Args: cobra.NoArgs,
		Long: `Looks at configuration, Git, fleet, sources, target, trust, proxy, authorities, clock, disk and daemon, all of
them in one pass. It works beside a running daemon, and changes nothing that stays: a tiny manifest
"poundlock-doctor" is pushed to the local registry and deleted again.

With --pre it asks nothing of any network and needs no rights elsewhere: for a machine on which nothing is
installed yet.

It ends with 0 when all is well or can be lived with, else by the worst problem: 6 configuration, 4
authentication, 9 network, 1 anything else.`,
		Example: "  poundlock -c config.yaml doctor\n  poundlock -c config.yaml doctor --pre\n  poundlock -c config.yaml doctor -o json",
	}
	output := a.outputFlag(cmd, asText, asJSON, asYAML)
	cmd.Flags().BoolVar(&before, "pre", false, "only what needs no network and no rights elsewhere")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		checks, err := a.examine(cmd, before)
		if err != nil {
			return err
		}
		if *output != asText {
			err = document(a.out, *output, doctorReport{"doctor", 1, checks})
		} else {
			err = a.printChecks(checks)
		}
		if err != nil {
			return err
		}
		return endOfChecks(checks)
	}
	return cmd
}

// examine runs the checks. A configuration that cannot be read is the only one then.
func (a *app) examine(cmd *cobra.Command, before bool) ([]daemon.Check, error) {
	config, err := a.read()
	var problems mirror.Problems
	switch {
	case errors.As(err, &problems):
		var checks []daemon.Check
		for i := range problems {
			checks = append(checks, daemon.Check{Group: "config", Name: problems[i].Path, State: daemon.CheckFailed, Detail: problems[i].What, Problem: &problems[i]})
		}
		return append(checks, daemon.NotLookedAt()...), nil
	case err != nil:
		return nil, err
	}
	return daemon.Doctor(cmd.Context(), config, before, time.Now)
}

// marks show a state where the terminal has the characters, and where it has not.
var marks = map[daemon.CheckState][2]string{
	daemon.CheckOK: {"✔", "ok"}, daemon.CheckWarning: {"!", "!"}, daemon.CheckFailed: {"✗", "x"}, daemon.CheckNone: {"-", "-"},
}

func (a *app) printChecks(checks []daemon.Check) error {
	form, width := 0, 1
	if !speaksUnicode() {
		form, width = 1, 2
	}
	var b strings.Builder
	for _, c := range checks {
		fmt.Fprintf(&b, "%-*s %-8s %s", width, marks[c.State][form], c.Group, a.typed(c.Detail))
		if c.Problem == nil {
			b.WriteByte('\n')
			continue
		}
		fmt.Fprintf(&b, " [%s]\n", c.Problem.Code)
		if c.Problem.Why != "" {
			fmt.Fprintf(&b, "%*s why: %s\n", width+9, "", mirror.Clean(c.Problem.Why))
		}
		place := ""
		if at := c.Problem.Where.String(); at != "" {
			place = "   (" + mirror.Clean(at) + ")"
		}
		fmt.Fprintf(&b, "%*s fix: %s%s\n", width+9, "", a.typed(orDocs(mirror.Clean(c.Problem.Fix), c.Problem.Code)), place)
	}
	return a.print(b.String())
}

// orDocs gives the fix, or where to read of the problem, so that no line ends without a way on.
func orDocs(fix, code string) string {
	if fix == "" {
		return "see `poundlock help " + code + "`"
	}
	return fix
}

// speaksUnicode says whether the locale has more than ASCII, and the terminal can be expected to show it.
func speaksUnicode() bool {
	if term := os.Getenv("TERM"); term == "dumb" || term == "linux" {
		return false
	}
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := strings.ToUpper(os.Getenv(name)); v != "" {
			return strings.Contains(v, "UTF-8") || strings.Contains(v, "UTF8")
		}
	}
	return false
}

// endOfChecks gives the exit code by the worst problem.
func endOfChecks(checks []daemon.Check) error {
	worst, problems := len(severity), mirror.Problems{}
	for _, c := range checks {
		if c.State != daemon.CheckFailed {
			continue
		}
		code := exitFailure
		if c.Problem != nil {
			problems = append(problems, *c.Problem)
			code = codeOfProblem(*c.Problem)
		}
		worst = min(worst, slices.Index(severity, code))
	}
	if worst == len(severity) {
		return nil
	}
	return exitError{code: severity[worst], problems: problems}
}
