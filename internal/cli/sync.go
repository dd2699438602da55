package cli

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/plan"
)

func (a *app) syncCommand() *cobra.Command {
	var only []string
	var saved string
	var layers bool
	cmd := &cobra.Command{
		Use: "sync", Short: "Run the line once, until every set is at rest", Args: cobra.NoArgs,
		Long: `Copies what Git asks for and policy admits, moves the tags, renders and commits, until nothing is left to do.
It can be interrupted at any time; the next run goes on from there.

--only limits it to sets, or to entries of them by set/entry, where the entry may be a glob as in include. The entries of
a set that moves together (such as ess) do so above the first stage: an entry of it alone is copied to the first
stage, and refused above it.

--plan does what a plan says that "plan --out" saved, and nothing else. First the fleet repository, every upstream
tag, every local tag and every verdict are compared with the plan; when anything moved nothing is done, and each
difference is listed with code PLN001. What of the plan is done already is left as it is, so that an interrupted
sync can be run again.

Exit codes: 0 done; 3 done but for what is refused or missing; 5 all is refused; 6 configuration, fleet repository or
saved plan not acceptable; 8 a set is suspended; 9 something failed and a retry may help.`,
		Example: "  poundlock sync\n  poundlock sync --only ess --only 'tools/ghcr.io/**'\n  poundlock sync --plan change.plan -o json",
	}
	format := a.outputFlag(cmd, asTable, asJSON, asYAML)
	cmd.Flags().StringSliceVar(&only, "only", nil, "sets, or set/entry with globs, to look at")
	cmd.Flags().StringVar(&saved, "plan", "", "do what this saved plan says, and nothing else")
	cmd.Flags().BoolVarP(&layers, "verbose", "v", false, "on a terminal, show the layers on their way too")
	cmd.MarkFlagsMutuallyExclusive("only", "plan")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return a.sync(cmd.Context(), only, saved, layers, *format) }
	return cmd
}

func (a *app) sync(ctx context.Context, only []string, file string, layers bool, f format) error {
	var saved daemon.SavedPlan
	var err error
	if file != "" {
		if saved, err = daemon.ReadSavedPlan(file); err != nil {
			return err
		}
	}
	end := synced{Type: "sync", Version: 1, Sets: []syncedSet{}}
	line, err := a.open(ctx, daemon.Options{Command: "sync", Arrived: func(d mirror.Done) { end.arrived(d); a.arrived(d) }})
	if err != nil {
		return err
	}
	if err := line.Only(only...); err != nil {
		return closing(line, err)
	}
	stop := a.watch(line, layers)
	var reports []daemon.Report
	if file != "" {
		reports, err = line.SyncPlan(ctx, saved)
	} else {
		reports, err = line.Sync(ctx, daemon.Wake{Why: "sync", Only: line.Selected(), Resolve: true, Audit: true})
	}
	stop()
	end.take(line, reports)
	if err = closing(line, err); err == nil || len(reports) > 0 {
		if printErr := a.printSynced(end, f); err == nil {
			err = printErr
		}
	}
	if err != nil {
		return err
	}
	return exitCode(end.Code)
}

// synced is what a sync did, and what it left.
type synced struct {
	Type     string      `json:"type"`     // always "sync"
	Version  int         `json:"version"`  // of this form
	Outcome  string      `json:"outcome"`  // done, partial, refused, waiting or failed
	Code     int         `json:"code"`     // the exit code
	Copied   int         `json:"copied"`   // images
	Bytes    int64       `json:"bytes"`    // that crossed for them
	Moved    int         `json:"moved"`    // tags that name something else now
	Recorded int         `json:"recorded"` // tags that stood and were recorded
	Sets     []syncedSet `json:"sets"`
	Left     plan.Totals `json:"left"`  // how it stands now
	Plans    []plan.Set  `json:"plans"` // how each entry stands now
}

// syncedSet is what was done for one set.
type syncedSet struct {
	Set       string `json:"set"`
	Commit    string `json:"commit,omitempty"`  // that recorded it
	Subject   string `json:"subject,omitempty"` // of the commit
	Moved     int    `json:"moved"`
	Recorded  int    `json:"recorded"`
	Suspended string `json:"suspended,omitempty"` // why the set was left as it is
}

func (s *synced) arrived(d mirror.Done) {
	if s.Bytes += d.Bytes; d.Err == nil {
		s.Copied++
	}
}

// take takes in where each set came to rest.
func (s *synced) take(line *daemon.Line, reports []daemon.Report) {
	var plans []mirror.Plan
	for _, r := range reports {
		plans = append(plans, r.Plan)
		one := syncedSet{Set: r.Set, Commit: r.Commit, Subject: line.Subject(r.Commit)}
		for _, d := range r.Moved {
			if d.Action.Old == d.Action.New {
				one.Recorded++
			} else {
				one.Moved++
			}
		}
		s.Moved, s.Recorded = s.Moved+one.Moved, s.Recorded+one.Recorded
		s.Sets = append(s.Sets, one)
	}
	suspended := line.SuspendedSets()
	for _, set := range slices.Sorted(maps.Keys(suspended)) {
		s.Sets = append(s.Sets, syncedSet{Set: set, Suspended: suspended[set].String()})
	}
	rest := plan.NewDocument(plan.Sizes{}, plans...)
	s.Left, s.Plans = rest.Totals, rest.Plans
	s.Code = codeOfReports(reports)
	if len(suspended) > 0 && s.Code == exitOK {
		s.Code = exitWaiting
	}
	s.Outcome = map[int]string{exitOK: "done", exitPartial: "partial", exitRefused: "refused", exitWaiting: "waiting"}[s.Code]
	s.Outcome = cmp.Or(s.Outcome, "failed")
}

func (a *app) printSynced(s synced, f format) error {
	if f != asTable {
		return document(a.out, f, s)
	}
	t := a.terminal()
	if err := plan.Rows(a.out, plan.Document{Plans: s.Plans, Totals: s.Left}, plan.Style{Width: t.width, Color: t.colour, All: true}); err != nil {
		return err
	}
	for _, line := range append(s.did(), s.ending(a.again)) {
		if _, err := fmt.Fprintln(a.out, line); err != nil {
			return err
		}
	}
	return nil
}

// did says what was done.
func (s synced) did() (lines []string) {
	if s.Copied > 0 {
		lines = append(lines, fmt.Sprintf("✔ copied %s, %s", many(s.Copied, "image"), plan.Bytes(s.Bytes)))
	}
	if s.Moved+s.Recorded > 0 {
		lines = append(lines, fmt.Sprintf("✔ moved %s, recorded %d as they were", many(s.Moved, "tag"), s.Recorded))
	}
	for _, set := range s.Sets {
		if set.Commit != "" {
			lines = append(lines, fmt.Sprintf("✔ commit %s %q", set.Commit[:min(7, len(set.Commit))], clean(set.Subject)))
		}
		if set.Suspended != "" {
			lines = append(lines, fmt.Sprintf("- set %s left as it is: %s", clean(set.Set), clean(set.Suspended)))
		}
	}
	return append(lines, "now: "+s.Left.Counts())
}

// ending says how it ended, and where to go on.
func (s synced) ending(again func(...string) string) string {
	var parts []string
	for _, one := range []struct {
		n    int
		what string
	}{{s.Left.Refused, "refused by policy"}, {s.Left.Missing, "missing upstream"}, {s.Left.Failed + s.Left.Copy, "failed"}} {
		if one.n > 0 {
			parts = append(parts, many(one.n, "image")+" "+one.what)
		}
	}
	suspended := s.suspended()
	if suspended != "" {
		parts = append(parts, "set "+clean(suspended)+" suspended")
	}
	if s.Code == exitOK {
		return strings.Join(append([]string{"done"}, parts...), ": ")
	}
	next := again("doctor")
	if at := s.trouble(); at != "" {
		next = again("trace", at)
	} else if suspended != "" {
		next = again("resume", suspended)
	}
	return fmt.Sprintf("%s: %s (exit %d)   Next: %s", s.Outcome, strings.Join(parts, ", "), s.Code, next)
}

func (s synced) suspended() string {
	for _, set := range s.Sets {
		if set.Suspended != "" {
			return set.Set
		}
	}
	return ""
}

// trouble gives the first entry that did not come about.
func (s synced) trouble() string {
	for _, p := range s.Plans {
		for _, row := range p.Actions {
			if row.Fix != "" && row.Key.Entry != "" {
				return row.Key.String()
			}
		}
	}
	return ""
}

func many(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// arrived is a line for each copy that ended; what went well is drawn on a terminal.
func (a *app) arrived(d mirror.Done) {
	if d.Err == nil && a.draws() {
		return
	}
	if d.Err != nil {
		fmt.Fprintf(a.talk, "  %-10s %s  failed: %v\n", d.Action.Stage, d.Action.Image, d.Err)
		return
	}
	size := "all here already"
	if d.Bytes > 0 {
		size = plan.Bytes(d.Bytes)
	}
	fmt.Fprintf(a.talk, "  %-10s %s  %s, %s\n", d.Action.Stage, d.Action.Image, size, d.Verdict.Basis())
}

// printReports shows where each set came to rest.
func (a *app) printReports(reports []daemon.Report) error {
	plans := make([]mirror.Plan, len(reports))
	for i, r := range reports {
		plans[i] = r.Plan
		moved := 0
		for _, d := range r.Moved {
			if d.Action.Old != d.Action.New {
				moved++
			}
		}
		if len(r.Moved) > 0 {
			fmt.Fprintf(a.talk, "set %s: %d tags moved, %d recorded as they were, %s copied\n", r.Set, moved, len(r.Moved)-moved, plan.Bytes(r.Bytes))
		}
		if r.Commit != "" {
			fmt.Fprintf(a.talk, "set %s: commit %s\n", r.Set, r.Commit)
		}
	}
	if len(plans) == 0 {
		return nil
	}
	return plan.Table(a.out, plans...)
}
