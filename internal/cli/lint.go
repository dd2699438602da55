package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/render"
)

// lintDocument is what lint found, for programs.
type lintDocument struct {
	Type     string          `json:"type"`
	Version  int             `json:"version"`
	Files    []lintedFile    `json:"files"`
	Problems mirror.Problems `json:"problems"`
	More     int             `json:"more,omitempty"` // problems that are not listed
}

// lintedFile is a file that was read, and what it was taken for.
type lintedFile struct {
	File  string   `json:"file"`
	Kinds []string `json:"kinds"`
}

// maxLinted bounds how many files of folders are looked at.
const maxLinted = 20000

func (a *app) lintCommand() *cobra.Command {
	var kind string
	cmd := &cobra.Command{
		Use: "lint FILE...", Short: "Find what the consumer of an override file would refuse, misread or silently ignore", Args: cobra.MinimumNArgs(1),
		Long: `Reads files that make consumers use a registry, such as hosts.toml of containerd, registries.yaml of k3s or the map of
image-swap, as their consumer would, and tells what it would refuse, misread or silently ignore, with the line. The files may be
written by hand. Of which kind a file is its name and content say, or --kind. Of a folder all files below it are looked at, but for those that are of
no kind.

No configuration is needed and nothing is asked of any network. Exit code 6 says that there is a mistake.`,
		Example: "  poundlock lint /etc/containerd/certs.d\n  poundlock lint --kind k3s registries.yaml\n  poundlock lint rendered -o github",
	}
	cmd.Flags().StringVar(&kind, "kind", "", "kind of the files, where their names and content do not say")
	_ = cmd.RegisterFlagCompletionFunc("kind", cobra.FixedCompletions(render.Linted(), cobra.ShellCompDirectiveNoFileComp)) // fails only for a flag that is not there
	mind(cmd, func() error {
		if kind != "" && !slices.Contains(render.Linted(), kind) {
			near := mirror.Nearest(kind, render.Linted())
			return misused(cmd, near, "--kind %s: want one of %s", mirror.Clean(kind), strings.Join(render.Linted(), ", "))
		}
		return nil
	})
	output := a.outputFlag(cmd, asText, asJSON, asYAML, asGitHub)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		d := lintDocument{Type: "lint", Version: 1, Files: []lintedFile{}, Problems: mirror.Problems{}}
		for _, name := range args {
			d.add(name, kind)
		}
		return a.printLint(d, *output)
	}
	return cmd
}

// add looks at a file, or at all that lie below a folder.
func (d *lintDocument) add(name, kind string) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		d.Problems = append(d.Problems, mirror.Unreadable(name, err))
	case info.IsDir():
		d.addBelow(name, kind)
	default:
		d.lint(name, kind, true)
	}
}

// addBelow looks at the files below a folder. Links are not followed.
func (d *lintDocument) addBelow(dir, kind string) {
	seen := 0
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			d.Problems = append(d.Problems, mirror.Unreadable(name, err))
			return nil
		case !e.Type().IsRegular():
			return nil
		case seen >= maxLinted:
			d.Problems.Add("RND103", mirror.Position{File: dir}, "name a smaller folder", "more than %d files lie below", maxLinted)
			return fs.SkipAll
		}
		seen++
		d.lint(name, kind, false)
		return nil
	})
	if err != nil {
		d.Problems = append(d.Problems, mirror.Unreadable(dir, err))
	}
}

// lint looks at one file. One that is of no kind is a mistake where it was named.
func (d *lintDocument) lint(name, kind string, named bool) {
	data, err := readBounded(name)
	if err != nil {
		d.Problems = append(d.Problems, mirror.Unreadable(name, err))
		return
	}
	kinds := []string{kind}
	if kind == "" {
		kinds = render.KindOf(filepath.ToSlash(name), data)
	}
	if len(kinds) == 0 && !named {
		return
	}
	file := lintedFile{File: name, Kinds: []string{}}
	if len(kinds) == 0 {
		d.Problems.Add("RND102", mirror.Position{File: name}, "say which with --kind: "+strings.Join(render.Linted(), ", "), "neither name nor content of this file say what kind of override it is")
	}
	var told mirror.Problems
	for _, one := range kinds {
		file.Kinds = append(file.Kinds, one)
		ps := append(render.Lint(one, filepath.ToSlash(name), data), lintBeside(one, name, data)...)
		for i := range ps {
			if ps[i].Where.File == "" {
				ps[i].Where.File = name
			}
		}
		if told = told.Plus(ps); !render.Reads(one, filepath.ToSlash(name), data) {
			render.WithoutWords(told, one, data) // --kind says so, and there is no other
			d.Problems, d.Files = append(d.Problems, told...), append(d.Files, file)
			return
		}
	}
	told.QuotePublic(mirror.Files{filepath.ToSlash(name): data})
	d.Problems, d.Files = append(d.Problems, told...), append(d.Files, file)
}

// lintBeside tells of certificates that a file names relative to its own folder and that do not lie there.
func lintBeside(kind, name string, data []byte) (ps mirror.Problems) {
	for _, file := range render.FilesBeside(kind, filepath.ToSlash(name), data) {
		if _, err := os.Stat(filepath.Join(filepath.Dir(name), filepath.FromSlash(file.Path))); errors.Is(err, fs.ErrNotExist) {
			ps.Add("RND058", file.Where, "put it beside the file, or write its absolute path", "ca: there is no file %s in the folder of this file", mirror.OneLine(file.Path))
			ps[len(ps)-1].Why = "containerd looks for it there, and every pull of this host fails"
		}
	}
	return ps
}

// readBounded reads a file as far as one too large for any kind is told from one that is not.
func readBounded(name string) (data []byte, err error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return io.ReadAll(io.LimitReader(file, mirror.MaxDocument+1))
}

func (a *app) printLint(d lintDocument, f format) error {
	_ = d.Problems.Err() // in the order of the files
	told, more := d.Problems.Told()
	switch {
	case f == asJSON || f == asYAML:
		shown := d
		shown.Problems, shown.More = told, more
		if err := document(a.out, f, shown); err != nil {
			return err
		}
	case f == asGitHub:
		for _, p := range told {
			fmt.Fprintln(a.out, p.Annotation())
		}
		if more > 0 {
			fmt.Fprintf(a.out, "::error::and %d more\n", more)
		}
	case len(d.Problems) > 0:
		if err := a.print(a.typed(d.Problems.Error()) + "\n"); err != nil {
			return err
		}
	default:
		if err := a.print(d.summary()); err != nil {
			return err
		}
	}
	if len(d.Problems) > 0 {
		return exitError{code: exitConfig, problems: d.Problems}
	}
	return nil
}

// summary says of which kinds the files are that have no mistake.
func (d lintDocument) summary() string {
	var b strings.Builder
	for _, file := range d.Files {
		fmt.Fprintf(&b, "%s: %s, no mistakes\n", clean(file.File), strings.Join(file.Kinds, ", "))
	}
	if len(d.Files) == 0 {
		b.WriteString("no file of a kind that can be looked at\n")
	}
	return b.String()
}
