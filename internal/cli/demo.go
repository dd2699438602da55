package cli

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/plan"
	"github.com/poundlock/poundlock/testenv"
)

func (a *app) demoCommand() *cobra.Command {
	var o demoOptions
	cmd := &cobra.Command{
		Use: "demo", Short: "Show the whole line on this machine: offline, no root, nothing left behind", Args: cobra.NoArgs,
		Long: `Starts an upstream registry, a package registry, a local registry and a Git server with a fleet repository and a small
forge on free ports, runs the line on them, promotes the ESS release and some Elastic packages to staging by proposals that
a person merges, and goes on as the daemon, which answers for the channels of packages. Some images and one package of the
demo are bad on purpose: they are refused, and the exit code is 3.

With --hands-on only the world is started: look, plan and sync are yours, in another terminal, and so are promote and
demo merge.`,
		Example: "  poundlock demo\n  poundlock demo --once\n  poundlock demo --hands-on --dir demo",
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.demo(cmd.Context(), o) },
	}
	cmd.Flags().BoolVar(&o.once, "once", false, "end after the promotion instead of running on as the daemon")
	cmd.Flags().BoolVar(&o.handsOn, "hands-on", false, "start only the registries and the Git server, and wait")
	cmd.Flags().StringVar(&o.dir, "dir", "", "new folder for the world, removed at the end (default: a temporary one)")
	cmd.MarkFlagsMutuallyExclusive("once", "hands-on")
	cmd.AddCommand(a.demoMergeCommand())
	return cmd
}

type demoOptions struct {
	once, handsOn bool
	dir           string
}

// demoSet and demoStage are what the demo promotes, beside packages.
const (
	demoSet   = "ess"
	demoStage = "staging"
)

func (a *app) demo(ctx context.Context, o demoOptions) (err error) {
	if o.dir != "" {
		if err := os.Mkdir(o.dir, 0o700); err != nil {
			return fmt.Errorf("demo: %w", err) // what is there already is not ours to remove
		}
		defer os.RemoveAll(o.dir)
	}
	dir := o.dir
	if dir != "" {
		// The configuration names files of the world: it must not matter who reads it from where.
		if dir, err = filepath.Abs(dir); err != nil {
			return fmt.Errorf("demo: %w", err)
		}
	}
	world, err := testenv.NewWorld(ctx, dir, testenv.WorldOptions{Packages: true})
	if err != nil {
		return err
	}
	defer world.Close()
	file := filepath.Join(cmp.Or(o.dir, world.Dir()), "config.yaml")
	if err := os.WriteFile(file, []byte(world.ConfigYAML()), 0o600); err != nil {
		return err
	}
	fmt.Fprintf(a.talk, "upstream registries   %s (stands for docker.io, ghcr.io, quay.io, gitlab-registry.matrix.org)\n", world.Upstream.URL())
	fmt.Fprintf(a.talk, "package registry      %s (stands for epr.elastic.co)\n", world.EPR.URL())
	fmt.Fprintf(a.talk, "your registry         %s (empty)\n", world.Local.URL())
	fmt.Fprintf(a.talk, "fleet repository      %s\nforge                 %s\nconfiguration         %s\n", world.Git.URL(), world.Forge.URL(), file)
	if o.handsOn {
		fmt.Fprintf(a.talk, "Next: %s\n", a.againWith(file, "doctor"))
		<-ctx.Done()
		return nil
	}
	overrides, err := a.overrides()
	if err != nil {
		return err
	}
	c, err := config.Load(file, nil, overrides)
	if err != nil {
		return err
	}
	line, err := a.openConfig(ctx, c, daemon.Options{Command: "demo", Arrived: a.arrived})
	if err != nil {
		return err
	}
	reports, err := a.demoLine(ctx, line, world)
	if err != nil || o.once {
		if err = closing(line, err); err != nil {
			return err
		}
		return exitCode(codeOfReports(reports))
	}
	a.verbose(slog.LevelInfo)
	fmt.Fprintf(a.talk, "\nthe daemon runs on, Ctrl-C ends it. Try in another terminal:\n  git clone %s fleet\n  %s\n\n", quoted(world.CloneURL()), a.againWith(file, "plan"))
	return closing(line, line.Run(ctx))
}

// demoLine tells the story of the demo: plan, sync, the commit and what it rendered, a promotion.
func (a *app) demoLine(ctx context.Context, line *daemon.Line, world *testenv.World) ([]daemon.Report, error) {
	all := daemon.Wake{Why: "demo", Resolve: true, Audit: true}
	fmt.Fprintln(a.out, "\n== plan: what Git asks for, compared with the empty registry")
	plans, err := line.Plan(ctx, all)
	if err != nil {
		return nil, err
	}
	if err := plan.Table(a.out, plans...); err != nil {
		return nil, err
	}
	fmt.Fprintln(a.out, "\n== sync: copy what policy admits, tag it, commit what stands")
	reports, err := line.Sync(ctx, all)
	if err != nil {
		return reports, err
	}
	if err := a.printReports(reports); err != nil {
		return reports, err
	}
	if reports, err = a.demoPromotion(ctx, line, world, demoSet, nil); err != nil {
		return reports, err
	}
	if reports, err = a.demoPromotion(ctx, line, world, testenv.WorldPackages, demoPackages); err != nil {
		return reports, err
	}
	if err := a.demoResult(world); err != nil {
		return reports, err
	}
	return reports, a.demoChannels(ctx, line, world)
}

// demoPromotion takes entries of a set from the proposal to their tags; all of it where none is named.
func (a *app) demoPromotion(ctx context.Context, line *daemon.Line, world *testenv.World, set string, entries []string) ([]daemon.Report, error) {
	proposal, err := a.demoProposal(ctx, line, world, set, entries)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(a.out, "\n== merge: %s merges proposal %d, and the line moves the tags\n", testenv.WorldPerson, proposal)
	merged, err := world.Forge.Merge(proposal, testenv.WorldPerson, "merge")
	if err != nil {
		return nil, err
	}
	reports, err := line.Sync(ctx, daemon.Wake{Why: "demo", Resolve: true, Audit: true})
	if err != nil {
		return reports, err
	}
	if err := a.printReports(reports); err != nil {
		return reports, err
	}
	a.demoStatuses(world, merged)
	return reports, nil
}

// demoProposal promotes by a proposal and shows what the forge has of it.
func (a *app) demoProposal(ctx context.Context, line *daemon.Line, world *testenv.World, set string, entries []string) (number int, err error) {
	fmt.Fprintf(a.out, "\n== promote %s to %s: a proposal copies lines of snapshot into stages/%s/%s.yaml\n", strings.Join(append([]string{set}, entries...), " "), demoStage, set, demoStage)
	p, err := line.Promote(ctx, daemon.PromoteOrder{Set: set, Entries: entries, Stage: demoStage, Way: daemon.ByProposal, By: "demo"})
	if err != nil {
		return 0, err
	}
	if err := a.print(a.promotionText(p, false)); err != nil {
		return 0, err
	}
	if _, err := line.Sync(ctx, daemon.Wake{Why: "demo"}); err != nil { // at its end it looks at what is proposed
		return 0, err
	}
	for _, c := range world.Forge.Comments(p.Proposal) {
		fmt.Fprintf(a.out, "\n== what %s reads at %s\n", testenv.WorldPerson, p.URL)
		for line := range strings.Lines(head(c.Body+"\n", 24)) {
			fmt.Fprintln(a.out, clean(strings.TrimSuffix(line, "\n")))
		}
	}
	fmt.Fprintln(a.out)
	a.demoStatuses(world, p.Commit)
	return p.Proposal, nil
}

// demoStatuses shows the checks of a commit at the forge.
func (a *app) demoStatuses(world *testenv.World, commit string) {
	statuses := world.Forge.Statuses(commit)
	for _, name := range slices.Sorted(maps.Keys(statuses)) {
		fmt.Fprintf(a.out, "  %s %s: %s %s\n", short(commit, asTable), name, statuses[name].State, clean(statuses[name].Text))
	}
}

// demoResult shows what the fleet repository holds now, and the override files of the cluster and of its nodes.
func (a *app) demoResult(world *testenv.World) error {
	log, err := world.Git.Log()
	if err != nil {
		return err
	}
	fmt.Fprintln(a.out, "\n== the fleet repository")
	for _, c := range log {
		subject, _, _ := strings.Cut(c.Message, "\n")
		fmt.Fprintf(a.out, "  %s %s\n", c.ID[:10], subject)
	}
	files, err := world.Git.Files("main")
	if err != nil {
		return err
	}
	all := mirror.Files(bytesOf(files))
	for _, name := range all.Under("rendered/" + testenv.WorldSite + "/" + demoSet + "/" + demoStage) {
		if filepath.Ext(name) == ".yaml" && strings.Contains(files[name], "kind: ConfigMap") {
			fmt.Fprintf(a.out, "\n== %s\n%s", name, head(files[name], 24))
		}
	}
	nodes := all.Under("rendered/" + testenv.WorldSite + "/consumers")
	fmt.Fprintln(a.out, "\n== the nodes of desired/consumers/: containerd, k3s and CRI-O pull from your registry alone")
	for _, name := range nodes {
		fmt.Fprintf(a.out, "  %s\n", name)
	}
	for _, name := range nodes {
		if strings.HasSuffix(name, "/docker.io/hosts.toml") {
			fmt.Fprintf(a.out, "\n== %s\n%s", name, files[name])
		}
	}
	return nil
}

func bytesOf(files map[string]string) mirror.Files {
	m := mirror.Files{}
	for name, body := range files {
		m[name] = []byte(body)
	}
	return m
}

// head gives the first lines of a text and says how many follow.
func head(text string, lines int) string {
	all := strings.SplitAfter(text, "\n")
	if len(all) <= lines {
		return text
	}
	return strings.Join(all[:lines], "") + fmt.Sprintf("  ... %d more lines\n", len(all)-lines)
}
