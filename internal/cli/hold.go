package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/internal/mirror"
)

// holdDocument is what hold and release did, for programs.
type holdDocument struct {
	Type    string         `json:"type"`
	Version int            `json:"version"`
	Set     string         `json:"set"`
	Stage   mirror.Stage   `json:"stage"`
	Held    bool           `json:"held"`   // now
	Places  []mirror.Place `json:"places"` // set/stage or set/stage/entry that it is about
	Hold    *mirror.Hold   `json:"hold,omitempty"`
}

func (a *app) holdCommand() *cobra.Command {
	var stage, reason string
	cmd := &cobra.Command{
		Use: "hold SET [ENTRY...] --stage STAGE --reason TEXT", Short: "Make automation leave a stage as it is", Args: cobra.MinimumNArgs(1),
		Long: `Make automation leave a stage of a set, or entries of it, as they are: nothing is proposed or committed for them, and
promote refuses them. What people merge is obeyed all the same. A rollback holds by itself what it moved.

The hold is a commit to rendered/<site>/holds.yaml in the fleet repository. That file may be edited by hand, too. The
command works with and without a daemon.`,
		Example: "  poundlock hold ess --stage production --reason \"ticket 4711\"\n  poundlock hold ess element_web/element_web --stage staging --reason \"login broken\"\n  poundlock release ess --stage production",
	}
	a.bindStage(cmd, &stage)
	cmd.Flags().StringVar(&reason, "reason", "", "why, for those who find it held")
	output := a.outputFlag(cmd, asText, asJSON, asYAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if strings.TrimSpace(reason) == "" {
			return misused(cmd, "", "a hold needs a reason: --reason \"...\"")
		}
		set, entries := args[0], entriesOf(args)
		var h mirror.Hold
		err := a.control(cmd.Context(), "hold", func(c *daemon.Client) (err error) {
			h, err = c.Hold(cmd.Context(), set, mirror.Stage(stage), entries, reason, caller())
			return err
		}, func(l *daemon.Line) (err error) {
			h, err = l.Hold(cmd.Context(), set, mirror.Stage(stage), entries, reason, caller())
			return err
		})
		if err != nil {
			return err
		}
		places := []mirror.Place{{Set: set, Stage: mirror.Stage(stage)}}
		if len(entries) > 0 {
			places = nil
			for _, entry := range entries {
				places = append(places, mirror.Place{Set: set, Stage: mirror.Stage(stage), Entry: entry})
			}
		}
		if *output != asText {
			return document(a.out, *output, holdDocument{"hold", 1, set, mirror.Stage(stage), true, places, &h})
		}
		return a.print(clean(fmt.Sprintf("%s: automation leaves it alone. Next: %s", placesText(places), a.again("release", set, "--stage", stage))) + "\n")
	}
	return cmd
}

func (a *app) releaseCommand() *cobra.Command {
	var stage string
	cmd := &cobra.Command{
		Use: "release SET [ENTRY...] --stage STAGE", Short: "Let automation go on with what is held", Args: cobra.MinimumNArgs(1),
		Long: `Let automation go on with what is held at a stage: with the entries that are named, else with all of it, also what
rollbacks held. What is not held is left as it is.`,
		Example: "  poundlock release ess --stage production\n  poundlock release ess element_web/element_web --stage production\n  poundlock release tools --stage staging -o json",
	}
	a.bindStage(cmd, &stage)
	output := a.outputFlag(cmd, asText, asJSON, asYAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		set, places := args[0], []mirror.Place(nil)
		err := a.control(cmd.Context(), "release", func(c *daemon.Client) (err error) {
			places, err = c.Release(cmd.Context(), set, mirror.Stage(stage), entriesOf(args), caller())
			return err
		}, func(l *daemon.Line) (err error) {
			places, err = l.Release(cmd.Context(), set, mirror.Stage(stage), entriesOf(args), caller())
			return err
		})
		if err != nil {
			return err
		}
		if *output != asText {
			return document(a.out, *output, holdDocument{Type: "hold", Version: 1, Set: set, Stage: mirror.Stage(stage), Places: append([]mirror.Place{}, places...)})
		}
		if len(places) == 0 {
			return a.print(clean(fmt.Sprintf("nothing of %s was held at %s", set, stage)) + "\n")
		}
		return a.print(clean(placesText(places)+" is held no more") + "\n")
	}
	return cmd
}

func (a *app) bindStage(cmd *cobra.Command, stage *string) {
	cmd.Flags().StringVar(stage, "stage", "", "the stage that it is about")
	_ = cmd.MarkFlagRequired("stage") // fails only for a flag that is not there
}

// entriesOf gives the entries of SET ENTRY..., with or without their set.
func entriesOf(args []string) (entries []string) {
	for _, entry := range args[1:] {
		entries = append(entries, strings.TrimPrefix(entry, args[0]+"/"))
	}
	return entries
}

func placesText(places []mirror.Place) string {
	const shown = 5
	var names []string
	for _, p := range places[:min(len(places), shown)] {
		names = append(names, p.String())
	}
	text := strings.Join(names, ", ")
	if more := len(places) - shown; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
