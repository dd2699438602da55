package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/daemon"
)

// promotionsDocument is what get promotions lists, for programs.
type promotionsDocument struct {
	Type       string             `json:"type"`
	Version    int                `json:"version"`
	Promotions []daemon.Promotion `json:"promotions"`
}

func (a *app) getPromotionsCommand() *cobra.Command {
	var l looking
	var limit int
	cmd := &cobra.Command{
		Use: "promotions [ID...]", Aliases: []string{"promotion"}, Short: "List the promotions: who asked for what, by which proposal, and what came of it",
		Long: `List the promotions, newest first, from the history of stages/ and what was recorded: another machine knows the same.
A promotion is named by the number of its proposal, else by its commit. Open proposals are at the forge.`,
		Example: "  poundlock get promotions\n  poundlock get promotions 7 -o wide\n  poundlock get promotions --only ess --stage production -o json",
	}
	output := a.listed(cmd, &l)
	l.onlyFlag(cmd)
	l.stageFlag(cmd)
	limitFlag(cmd, &limit, 20)
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		return a.look(cmd.Context(), l, func(line *daemon.Line) error {
			n := limit
			if len(names) > 0 || l.stage != "" {
				n = 0
			}
			all, err := line.Promotions(cmd.Context(), n)
			if err != nil {
				return err
			}
			if all, err = l.atStage(all, limit); err != nil {
				return err
			}
			if all, err = pick("promotion", all, names, isPromotion, nil); err != nil {
				return err
			}
			header := []string{"ID", "SET", "STAGE", "STATE", "ENTRIES", "ASKED", "BY", "TOOK"}
			if *output == asWide {
				header = append(header, "COMMIT", "RECORDED", "WHY")
			}
			return list(a, *output, "promotions", promotionsDocument{"promotions", 1, all}, all, nameOfPromotion, header,
				func(p daemon.Promotion) [][]string { return promotionRow(p, *output) })
		})
	}
	return cmd
}

// atStage keeps the promotions of one stage, at most limit of them; all for limit 0.
func (l *looking) atStage(all []daemon.Promotion, limit int) ([]daemon.Promotion, error) {
	kept := []daemon.Promotion{}
	var stages []string
	for _, p := range all {
		stages = append(stages, string(p.Stage))
		if (l.stage == "" || string(p.Stage) == l.stage) && (limit == 0 || len(kept) < limit || l.stage == "") {
			kept = append(kept, p)
		}
	}
	if l.stage != "" && len(kept) == 0 && len(all) > 0 {
		return nil, unknown("stage", l.stage, stages)
	}
	return kept, nil
}

func nameOfPromotion(p daemon.Promotion) string { return "promotion/" + p.ID }

// isPromotion says whether a name is that of a promotion: its number, with or without "promotion/", or the first digits
// of a commit, seven at least.
func isPromotion(p daemon.Promotion, name string) bool {
	name = strings.TrimPrefix(name, "promotion/")
	return name == p.ID || len(name) >= 7 && (strings.HasPrefix(p.Commit, name) || strings.HasPrefix(p.Applied, name))
}

func promotionRow(p daemon.Promotion, output format) [][]string {
	asked, took := age(time.Now(), p.At)+" ago", ""
	if p.Applied != "" {
		took = p.Took.Round(time.Second).String()
	}
	by, _, _ := strings.Cut(p.By, " <")
	state := string(p.State)
	if p.Rollback {
		state += " (rollback)"
	}
	if output == asWide {
		asked, by = p.At.Format(time.RFC3339), p.By
	}
	row := []string{p.ID, p.Set, string(p.Stage), state, promotedEntries(p), asked, by, took}
	if output == asWide {
		row = append(row, p.Commit, p.Applied, p.Why)
	}
	return [][]string{row}
}

// promotedEntries names what a promotion is about, in short.
func promotedEntries(p daemon.Promotion) string {
	const shown = 2
	var names []string
	for _, e := range p.Entries {
		names = append(names, e.Entry)
	}
	if len(names) <= shown {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), len(names)-shown)
}
