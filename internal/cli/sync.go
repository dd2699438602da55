package cli

import (
	"cmp"
	"context"
	"errors"
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
saved plan not acceptable; 8 a set is suspended, or a rewritten history waits to be acknowledged; 9 something failed and a retry may help.`,
		Example: "  poundlock sync\n  poundlock sync --only ess --only 'tools/ghcr.io/**'\n  poundlock sync --plan change.plan -o json",
	}
	format := a.outputFlag(cmd, asTable, asJSON, asYAML)
	cmd.Flags().StringArrayVar(&only, "only", nil, "set, or set/entry with globs, to look at; may be repeated")
	cmd.Flags().StringVar(&saved, "plan", "", "do what this saved plan says, and nothing else")
	cmd.Flags().BoolVarP(&layers, "verbose", "v", false, "on a terminal, show the layers on their way too")
	cmd.MarkFlagsMutuallyExclusive("only", "plan")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if cmd.Flags().Changed("plan") && saved == "" {
			return misused(cmd, "", "--plan: want the name of a file")
		}
		return a.sync(cmd.Context(), only, saved, layers, *format)
	}
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
	end := synced{Type: "sync", Version: 1, Sets: []syncedSet{}, same: syncArgs(only, file)}
	line, err := a.open(ctx, daemon.Options{Command: "sync", Arrived: func(d mirror.Done) { end.arrived(d); a.arrived(d) }})
	if err != nil {
		return err
	}
	if err := line.Only(only...); err != nil {
		return closing(line, err)
	}
	stop := a.watch(line, layers)
	hush := context.AfterFunc(ctx, func() {
		fmt.Fprintf(a.talk, "stopping: copies in flight may land (up to %s)\n", a.loaded.Limits.Stop)
	})
	var reports []daemon.Report
	if file != "" {
		reports, err = line.SyncPlan(ctx, saved)
	} else {
		reports, err = line.Sync(ctx, daemon.Wake{Why: "sync", Only: line.Selected(), Resolve: true, Audit: true})
	}
	hush()
	stop()
	end.take(line, reports)
	rewritten := line.Rewritten()
	if err = closing(line, err); err != nil {
		end.Code = codeOf(err)
	}
	if rewritten != nil && (end.Code == exitOK || end.Code == exitPartial) {
		end.Code = exitWaiting
	}
	end.Outcome = cmp.Or(outcomes[end.Code], "failed")
	if err == nil || len(reports) > 0 {
		if printErr := a.printSynced(end, f); err == nil {
			err = printErr
		}
	}
	if err != nil && (len(reports) > 0 || end.Copied > 0) {
		return begunError{err}
	}
	if err != nil {
		return err
	}
	return a.waiting(rewritten, end.Code)
}

// waiting ends a command with a code, and tells of a rewritten history, for which somebody is awaited; nil for none.
func (a *app) waiting(rewritten *mirror.Problem, code int) error {
	if rewritten == nil {
		return exitCode(code)
	}
	a.sayf("%s\n", a.typed(rewritten.Error()))
	return exitError{code: code, problems: mirror.Problems{*rewritten}}
}

// begunError is the error of a command that did something before.
type begunError struct{ error }

// Unwrap gives that error itself.
func (e begunError) Unwrap() error { return e.error }

// syncArgs gives the arguments of a sync, to run it again.
func syncArgs(only []string, file string) []string {
	args := []string{"sync"}
	if file != "" {
		args = append(args, "--plan", file)
	}
	for _, one := range only {
		args = append(args, "--only", one)
	}
	return args
}

// outcomes names the exit codes of a sync; the others are failed.
var outcomes = map[int]string{exitOK: "done", exitPartial: "partial", exitRefused: "refused", exitWaiting: "waiting", exitInterrupted: "interrupted"}

// synced is what a sync did, and what it left.
type synced struct {
	Type     string      `json:"type"`     // always "sync"
	Version  int         `json:"version"`  // of this form
	Outcome  string      `json:"outcome"`  // done, partial, refused, waiting, failed or interrupted
	Code     int         `json:"code"`     // the exit code
	Copied   int         `json:"copied"`   // images
	Bytes    int64       `json:"bytes"`    // that crossed for them
	Moved    int         `json:"moved"`    // tags that name something else now
	Recorded int         `json:"recorded"` // tags that stood and were recorded
	Sets     []syncedSet `json:"sets"`
	Left     plan.Totals `json:"left"`  // how it stands now
	Plans    []plan.Set  `json:"plans"` // how each entry stands now

	Unreached []string `json:"unreached,omitempty"` // sets of which nobody knows how they stand: it ended before

	same []string // arguments that go on with it
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
		one.Moved, one.Recorded = moves(r)
		s.Moved, s.Recorded = s.Moved+one.Moved, s.Recorded+one.Recorded
		s.Sets = append(s.Sets, one)
	}
	suspended := line.SuspendedSets()
	for _, set := range line.AskedSets() {
		_, paused := suspended[set]
		if !paused && !slices.ContainsFunc(reports, func(r daemon.Report) bool { return r.Set == set }) {
			s.Unreached = append(s.Unreached, set)
		}
	}
	for _, set := range slices.Sorted(maps.Keys(suspended)) {
		s.Sets = append(s.Sets, syncedSet{Set: set, Suspended: suspended[set].String()})
	}
	rest := plan.NewDocument(plan.Sizes{}, plans...)
	s.Left, s.Plans = rest.Totals, rest.Plans
	s.Code = codeOfReports(reports)
	if len(suspended) > 0 && s.Code == exitOK {
		s.Code = exitWaiting
	}
}

// moves counts the tags that a run moved, and those that stood already and were recorded.
func moves(r daemon.Report) (moved, recorded int) {
	for _, d := range r.Moved {
		if d.Action.Old == d.Action.New {
			recorded++
		} else {
			moved++
		}
	}
	return moved, recorded
}

func (a *app) printSynced(s synced, f format) error {
	if f != asTable {
		return document(a.out, f, s)
	}
	t := a.terminal()
	if err := plan.Rows(a.out, plan.Document{Plans: s.Plans, Totals: s.Left}, plan.Style{Width: t.width, Color: t.colour, All: true}); err != nil {
		return err
	}
	return a.print(strings.Join(append(s.did(), s.ending(a.again)), "\n") + "\n")
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
	failed, broken := s.Left.Failed+s.Left.Copy, 0 // a copy at rest is one that did not come about
	if s.Code == exitInterrupted {
		failed, broken = s.Left.Failed, s.Left.Copy
	}
	for _, one := range []struct {
		n    int
		what string
	}{{s.Left.Refused, "refused by policy"}, {s.Left.Waiting, "waiting"}, {s.Left.Held, "held"}, {s.Left.Missing, "missing upstream"}, {failed, "failed"}, {broken, "not here yet"}} {
		if one.n > 0 {
			parts = append(parts, many(one.n, "image")+" "+one.what)
		}
	}
	suspended := s.suspended()
	if suspended != "" {
		parts = append(parts, "set "+clean(suspended)+" suspended")
	}
	if len(s.Unreached) > 0 {
		parts = append(parts, "not reached: "+clean(strings.Join(s.Unreached, ", ")))
	}
	if s.Code == exitOK {
		return strings.Join(append([]string{"done"}, parts...), ": ")
	}
	next := again("doctor")
	if s.Code == exitInterrupted {
		next = again(s.same...)
	} else if at := s.trouble(); at != "" {
		next = again("trace", at)
	} else if suspended != "" {
		next = again("resume", suspended)
	}
	how := s.Outcome
	if len(parts) > 0 {
		how += ": " + strings.Join(parts, ", ")
	}
	return fmt.Sprintf("%s (exit %d)   Next: %s", how, s.Code, next)
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
	switch {
	case errors.Is(d.Err, context.Canceled):
		fmt.Fprintf(a.talk, "  %-10s %s  broken off\n", d.Action.Stage, d.Action.Image)
		return
	case d.Err != nil:
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
		if moved, recorded := moves(r); len(r.Moved) > 0 {
			fmt.Fprintf(a.talk, "set %s: %d tags moved, %d recorded as they were, %s copied\n", r.Set, moved, recorded, plan.Bytes(r.Bytes))
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
