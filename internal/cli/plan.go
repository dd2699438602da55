package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/sync/plan"
)

// planOptions are the flags of plan.
type planOptions struct {
	daemon.PreviewOptions
	only                       []string
	out                        string
	offline, verbose, detailed bool
	maxBytes                   int
}

func (a *app) planCommand() *cobra.Command {
	o := planOptions{PreviewOptions: daemon.PreviewOptions{Sizes: true}}
	cmd := &cobra.Command{
		Use: "plan [set | set/entry]...", Short: "Show what a sync would do, and why; changes nothing",
		Long: `Compares what Git asks for with what stands, and prints what a sync would do and why. Nothing is changed.

  +  copy an image        !  refused, with what mends it       ?  upstream has no such thing, or not known
  ~  move a tag, or       x  could not be looked at now
     change a file        -  no longer asked for: it leaves the record, what was mirrored stays
                             what is as desired is counted, not listed

A plan stands on what the last run found out, also that of a daemon that is running: a set of which nothing changed costs no
request to any registry. Upstream tags that move are asked again when their last answer is older than --max-age;
--refresh asks them, and every tag of the local registry, at once, as a sync does; --out does so too. The last line says
how old the oldest answer is. With --offline nobody is asked anything: what is not
known shows as "unknown, offline".

--out saves the plan in a file. It holds the commit of the fleet repository, the digest of every image, what the
local tags named and the policy. "sync --plan FILE" asks all of these again, refuses to begin when anything moved
(code PLN001, exit 6) and otherwise does what the plan says and nothing else. The file grants nothing: what policy
does not admit at that moment is not done. A file that was edited is refused (PLN003).

Exit codes: 0, also when something is refused; 8 when a rewritten history of the fleet repository waits to be
acknowledged (GIT031); 2 with --detailed-exitcode when a sync would change something; 9 when
something could not be looked at now, 4 when that is because registries do not let us in.`,
		Example: `  poundlock plan
  poundlock plan ess -v                          one set, and what is refused as before
  poundlock plan --out change.plan               then: poundlock sync --plan change.plan
  poundlock plan -o markdown --max-bytes 60000   for a merge request
  poundlock plan --offline -o json`,
		ValidArgsFunction: a.names(setsAndEntries, true),
	}
	format := a.outputFlag(cmd, asTable, asWide, asJSON, asYAML, asMarkdown, asGitHub, asName)
	flags := cmd.Flags()
	flags.StringArrayVar(&o.only, "only", nil, "set, or set/entry with globs, to look at (the same as an argument); may be repeated")
	flags.StringVar(&o.out, "out", "", "save the plan in this file, for sync --plan")
	flags.BoolVar(&o.Refresh, "refresh", false, "ask every upstream tag and every local tag now")
	flags.BoolVar(&o.Audit, "audit", false, "ask every local tag now: somebody may have moved one")
	flags.DurationVar(&o.MaxAge, "max-age", 15*time.Minute, "ask upstream tags again whose last answer is older")
	flags.BoolVar(&o.offline, "offline", false, "ask nobody: Git as fetched last, known verdicts only")
	flags.BoolVar(&o.Sizes, "sizes", o.Sizes, "learn how much the copies bring, from their manifests")
	flags.BoolVarP(&o.verbose, "verbose", "v", false, "list also what is refused or missing as it was at the last run")
	flags.BoolVar(&o.detailed, "detailed-exitcode", false, "exit 2 when a sync would change something")
	flags.IntVar(&o.maxBytes, "max-bytes", 0, fmt.Sprintf("of markdown: leave out rows so that it fits (at least %d; 0: no limit)", plan.MinMarkdown))
	cmd.MarkFlagsMutuallyExclusive("offline", "refresh")
	cmd.MarkFlagsMutuallyExclusive("offline", "out")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o.only = append(o.only, args...)
		switch {
		case cmd.Flags().Changed("out") && o.out == "":
			return misused(cmd, "", "--out: want the name of a file")
		case o.maxBytes < 0 || o.maxBytes > 0 && o.maxBytes < plan.MinMarkdown:
			return misused(cmd, "", "--max-bytes %d: want at least %d, or 0 for no limit", o.maxBytes, plan.MinMarkdown)
		}
		o.Refresh = o.Refresh || o.out != "" // what is saved is what sync --plan compares with
		return a.plan(cmd, o, *format)
	}
	return cmd
}

func (a *app) plan(cmd *cobra.Command, o planOptions, f format) error {
	if o.MaxAge < 0 {
		return misused(cmd, "", "--max-age %s: want a duration that is not negative", o.MaxAge)
	}
	line, err := a.open(cmd.Context(), daemon.Options{Temporary: true, Offline: o.offline})
	if err != nil {
		return err
	}
	if err := line.Only(o.only...); err != nil {
		return closing(line, err)
	}
	doc, err := line.Preview(cmd.Context(), o.PreviewOptions)
	if err == nil && o.out != "" {
		var saved daemon.SavedPlan
		if saved, err = line.Saved(doc); err == nil {
			err = saved.Write(o.out)
		}
	}
	rewritten := line.Rewritten()
	if err = closing(line, err); err != nil {
		return err
	}
	if err := a.printPlan(doc, o, f); err != nil {
		return err
	}
	switch {
	case doc.Totals.Failed > 0:
		return a.waiting(rewritten, codeOfFailed(failedRows(doc)))
	case rewritten != nil:
		return a.waiting(rewritten, exitWaiting)
	case o.detailed && doc.Totals.Changes():
		return exitCode(exitChanges)
	}
	return nil
}

func (a *app) printPlan(doc plan.Document, o planOptions, f format) error {
	switch f {
	case asJSON, asYAML:
		return document(a.out, f, doc)
	case asMarkdown:
		return plan.Markdown(a.out, doc, o.maxBytes)
	case asGitHub:
		return plan.Annotations(a.out, doc)
	case asName:
		return plan.Names(a.out, doc)
	}
	t := a.terminal()
	return plan.Text(a.out, doc, plan.Style{Width: t.width, Color: t.colour, All: o.verbose, Wide: f == asWide, Next: a.syncOf(o), List: a.again(append([]string{"plan", "-v"}, o.only...)...)})
}

// syncOf gives the command that does what a plan shows.
func (a *app) syncOf(o planOptions) string {
	args := []string{"sync"}
	if o.out != "" {
		return a.again(append(args, "--plan", o.out)...)
	}
	for _, only := range o.only {
		args = append(args, "--only", only)
	}
	return a.again(args...)
}
