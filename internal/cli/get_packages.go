package cli

import (
	"cmp"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/internal/mirror"
)

// packagesDocument is what channels hold, for programs.
type packagesDocument struct {
	Type     string        `json:"type"`
	Version  int           `json:"version"`
	Commit   string        `json:"commit"` // of the fleet repository
	Packages []packageLine `json:"packages"`
}

// packageLine is one version of a package in a channel.
type packageLine struct {
	Set     string           `json:"set"`
	Channel string           `json:"channel"`
	Name    string           `json:"name"`
	Version string           `json:"version"`
	Stage   string           `json:"stage"` // the highest at which it stands: where the channel has it from; of a frozen channel the one that was frozen
	Image   mirror.Reference `json:"image"` // of its artifact, with digest
	Basis   string           `json:"basis,omitempty"`
	Since   time.Time        `json:"since,omitzero"`
}

func (a *app) getPackagesCommand() *cobra.Command {
	var l looking
	var exclusive bool
	cmd := &cobra.Command{
		Use: "packages [PACKAGE...]", Aliases: []string{"package"}, Short: "List the packages that each channel holds",
		Long: `List the packages that each channel holds. The channel of a stage has what stands there and at every stage above it; a
version that stands at several is the one of the highest. A frozen channel has what it was frozen with. With --exclusive a channel lists only what no higher one has: what
is still to be promoted. A package is named as nginx-1.20.0, or as nginx for all its versions.`,
		Example: "  poundlock get packages --stage production\n  poundlock get packages nginx\n  poundlock get packages --stage snapshot --exclusive -o json",
	}
	output := a.listed(cmd, &l)
	l.onlyFlag(cmd)
	cmd.Flags().StringVar(&l.stage, "stage", "", "only the channel of this stage, or the frozen channel of this name")
	cmd.Flags().BoolVar(&exclusive, "exclusive", false, "only what no higher channel holds")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		stage := l.stage
		all := looking{refresh: l.refresh, only: l.only} // a channel has what stands above it, too
		return a.lookAt(cmd.Context(), all, func(commit string, sets []daemon.SetLook) error {
			if err := knownChannel(sets, stage); err != nil {
				return err
			}
			lines := []packageLine{}
			for _, s := range sets {
				if s.Packages {
					lines = append(lines, channelLines(s, stage, exclusive)...)
				}
			}
			is := func(p packageLine, name string) bool {
				return name == p.Name || name == p.Name+"-"+p.Version || name == p.Set+"/"+p.Name+"-"+p.Version
			}
			lines, err := pick("package", lines, names, is, func(p packageLine) string { return p.Name })
			if err != nil {
				return err
			}
			doc := packagesDocument{"packages", 1, commit, lines}
			header := []string{"SET", "CHANNEL", "PACKAGE", "VERSION", "STAGE", "DIGEST", "BASIS", "SINCE"}
			name := func(p packageLine) string { return p.Set + "/" + p.Name + "-" + p.Version }
			return list(a, *output, "packages", doc, lines, name, header, func(p packageLine) [][]string { return [][]string{packageRow(p, *output)} })
		})
	}
	return cmd
}

// channelLines gives what the channels of a set hold, or the one of a stage: by channel, name and version.
func channelLines(s daemon.SetLook, only string, exclusive bool) (lines []packageLine) {
	for i, channel := range s.Stages {
		if only != "" && only != string(channel.Stage) {
			continue
		}
		from := len(lines)
		for _, e := range s.Lines {
			p, err := mirror.ParsePackage(e.Entry)
			at, stands := highest(e, s.Stages[i:])
			if err != nil || !stands || exclusive && at.Stage != channel.Stage {
				continue
			}
			lines = append(lines, packageLine{s.Set, string(channel.Stage), p.Name, p.Version, string(at.Stage), at.Image, at.Basis, at.Since})
		}
		byPackage(lines[from:])
	}
	for _, f := range s.Frozen {
		if only != "" && only != f.Name {
			continue
		}
		from := len(lines)
		for _, w := range f.Lines {
			if p, err := mirror.ParsePackage(w.Entry); err == nil && !(exclusive && stillThere(s, w)) {
				lines = append(lines, packageLine{Set: s.Set, Channel: f.Name, Name: p.Name, Version: p.Version, Stage: string(f.From), Image: w.Image})
			}
		}
		byPackage(lines[from:])
	}
	return lines
}

// stillThere says whether what a frozen channel holds stands at a stage, too.
func stillThere(s daemon.SetLook, w mirror.Wanted) bool {
	return slices.ContainsFunc(s.Lines, func(e daemon.EntryLook) bool {
		return e.Entry == w.Entry && slices.ContainsFunc(e.Stages, func(at daemon.Stand) bool { return at.Image == w.Image })
	})
}

func byPackage(lines []packageLine) {
	slices.SortFunc(lines, func(a, b packageLine) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), mirror.Package{Name: a.Name, Version: a.Version}.Compare(mirror.Package{Name: b.Name, Version: b.Version}))
	})
}

// knownChannel refuses a name that is neither a stage of a set nor a frozen channel; "" is every one.
func knownChannel(sets []daemon.SetLook, name string) error {
	if name == "" {
		return nil
	}
	var known []string
	for _, s := range sets {
		for _, stage := range s.Stages {
			known = append(known, string(stage.Stage))
		}
		for _, f := range s.Frozen {
			known = append(known, f.Name)
		}
	}
	if !slices.Contains(known, name) {
		return unknown("stage", name, known)
	}
	return nil
}

// frozenIn says whether a set has a frozen channel of a name.
func frozenIn(s daemon.SetLook, name string) bool {
	return slices.ContainsFunc(s.Frozen, func(f daemon.FrozenLook) bool { return f.Name == name })
}

// highest gives where an entry stands at the highest of some stages, which are given lowest first.
func highest(e daemon.EntryLook, stages []daemon.StageLook) (at daemon.Stand, stands bool) {
	for _, stage := range slices.Backward(stages) {
		for _, s := range e.Stages {
			if s.Stage == stage.Stage && !s.Image.IsZero() {
				return s, true
			}
		}
	}
	return daemon.Stand{}, false
}

func packageRow(p packageLine, output format) []string {
	digest, when := mirror.Short(p.Image.Digest), age(time.Now(), p.Since)
	if output == asWide {
		digest = p.Image.Digest.String()
		if when = ""; !p.Since.IsZero() {
			when = p.Since.UTC().Format(time.RFC3339)
		}
	}
	return []string{p.Set, p.Channel, p.Name, p.Version, p.Stage, digest, p.Basis, when}
}
