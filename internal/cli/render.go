package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/render"
)

// renderingDocument is what render shows, for programs.
type renderingDocument struct {
	Type    string             `json:"type"`
	Version int                `json:"version"`
	Commit  string             `json:"commit"` // of the fleet repository
	Folders []daemon.Rendering `json:"folders"`
	Drift   int                `json:"drift"` // files that are not in Git as they would be rendered
}

func (a *app) renderCommand() *cobra.Command {
	var l looking
	var o daemon.RenderOptions
	var dir string
	var check bool
	cmd := &cobra.Command{
		Use: "render [SET | consumers/NAME]", Short: "Show the override files of a set or a consumer, or whether those in Git are as they should be", Args: cobra.MaximumNArgs(1),
		Long: `Show the override files of a set, or of a consumer of desired/consumers/; of all of them where none is named. They are
made from the record in Git: no registry is asked, and no network is used unless --refresh is given. A stage that is on its way from
one release to the next keeps its files, so nothing is shown of it. The values of Secrets are left out.

With --check the files are compared with those in Git, and those that differ, are missing there or are rendered by
nothing are named. Exit codes: 0 all are alike; 2 some are not: the next sync writes them anew.`,
		Example: "  poundlock render ess --stage production\n  poundlock render consumers/workers --kind containerd --dir /tmp/workers\n  poundlock render --check",
	}
	l.refreshFlag(cmd)
	cmd.Flags().StringVar((*string)(&o.Stage), "stage", "", "only this stage")
	cmd.Flags().StringVar(&o.Kind, "kind", "", "only this kind of override")
	cmd.Flags().StringVar(&dir, "dir", "", "write the files below this folder instead of showing them")
	cmd.Flags().BoolVar(&check, "check", false, "compare with the files in Git, and end with 2 where they are not alike")
	_ = cmd.RegisterFlagCompletionFunc("kind", cobra.FixedCompletions(render.Kinds(), cobra.ShellCompDirectiveNoFileComp)) // fails only for a flag that is not there
	_ = cmd.MarkFlagDirname("dir")
	cmd.MarkFlagsMutuallyExclusive("check", "dir")
	output := a.outputFlag(cmd, asText, asJSON, asYAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o.Of = strings.Join(args, "")
		return a.look(cmd.Context(), l, func(line *daemon.Line) error {
			folders, commit, err := line.Rendered(cmd.Context(), o)
			if err != nil {
				return err
			}
			d := renderingDocument{"rendering", 1, commit, folders, drift(folders)}
			if err := a.shownRendering(d, *output, check, dir); err != nil {
				return err
			}
			if check && d.Drift > 0 {
				return exitCode(exitChanges)
			}
			return nil
		})
	}
	return cmd
}

func drift(folders []daemon.Rendering) (n int) {
	for _, folder := range folders {
		for _, file := range folder.Files {
			if file.State != daemon.FileSame {
				n++
			}
		}
	}
	return n
}

func (a *app) shownRendering(d renderingDocument, output format, check bool, dir string) error {
	for _, folder := range d.Folders {
		if folder.Kept != "" {
			a.sayf("%s is kept as it is: %s\n", clean(folder.Folder), clean(folder.Kept))
		}
		for _, note := range folder.Notes {
			a.sayf("%s: %s\n", clean(folder.Folder), clean(note))
		}
	}
	var err error
	switch {
	case dir != "":
		err = writeRendering(dir, d.Folders)
	case output == asText && !check:
		return a.write(renderingText(d.Folders))
	}
	if err != nil {
		return err
	}
	if output != asText {
		return document(a.out, output, d)
	}
	if check {
		return a.print(driftText(d))
	}
	return nil
}

// write writes text from elsewhere: byte by byte where a program reads it, and for a terminal without what steers one.
func (a *app) write(text string) error {
	if a.terminal().width > 0 {
		lines := strings.Split(text, "\n")
		for i, line := range lines {
			lines[i] = clean(line)
		}
		text = strings.Join(lines, "\n")
	}
	_, err := io.WriteString(a.out, text)
	return err
}

// renderingText gives the files, each below a line that names it.
func renderingText(folders []daemon.Rendering) string {
	var b strings.Builder
	for _, folder := range folders {
		for _, file := range folder.Files {
			if file.State == daemon.FileStray {
				continue
			}
			fmt.Fprintf(&b, "--- %s\n%s", clean(file.Path), file.Text)
			if !strings.HasSuffix(file.Text, "\n") {
				b.WriteByte('\n')
			}
		}
	}
	return b.String()
}

// driftText names the files that are not in Git as they would be rendered.
func driftText(d renderingDocument) string {
	var b strings.Builder
	files := 0
	for _, folder := range d.Folders {
		for _, file := range folder.Files {
			files++
			if file.State != daemon.FileSame {
				fmt.Fprintf(&b, "%-8s %s\n", file.State, clean(file.Path))
			}
		}
	}
	if d.Drift == 0 {
		fmt.Fprintf(&b, "%d files in Git are as the record says\n", files)
	}
	return b.String()
}

// writeRendering writes the files below a folder, by their names in the fleet repository. Names lead nowhere else, and
// Secrets are left out: theirs would not be whole.
func writeRendering(dir string, folders []daemon.Rendering) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return mirror.Problems{mirror.Unreadable(dir, err)}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return mirror.Problems{mirror.Unreadable(dir, err)}
	}
	defer root.Close()
	for _, folder := range folders {
		for _, file := range folder.Files {
			if file.State == daemon.FileStray || file.Secret {
				continue
			}
			name := filepath.FromSlash(file.Path)
			if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				return fmt.Errorf("write %s: %w", file.Path, err)
			}
			if err := root.WriteFile(name, []byte(file.Text), 0o644); err != nil {
				return fmt.Errorf("write %s: %w", file.Path, err)
			}
		}
	}
	return nil
}
