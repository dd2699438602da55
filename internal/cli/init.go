package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/mirror"
)

func (a *app) initialiseCommand() *cobra.Command {
	var o scaffolding
	var from []string
	var dir string
	var force bool
	cmd := &cobra.Command{
		Use: "init --from [set=]kind:file --target host[/prefix] --git url", Short: "Write a fleet repository and a configuration to begin with", Args: cobra.NoArgs,
		Long: `Writes config.yaml, and beside it the fleet repository: desired/ with a set for each --from and a policy, stages/, CODEOWNERS.
The source files are read first: nothing is written when one has a mistake, and no file that is there is overwritten without --force.

The policy admits what desired/ names by digest, since most vendors sign nothing; ask for signers where there are some.`,
		Example: `  poundlock init --from ess:./images_digests.yml --target harbor.example.org/ess --git git@git.example.org:ops/platform.git
  poundlock init --from ess:./images_digests.yml --from tools=list:./images.txt --dir fleet`,
		RunE: func(*cobra.Command, []string) error {
			for _, arg := range from {
				source, err := parseFrom(arg)
				if err != nil {
					return err
				}
				o.Sources = append(o.Sources, source)
			}
			return a.initialise(o, dir, force)
		},
	}
	cmd.Flags().StringArrayVar(&from, "from", nil, "a source file, as ess:./images_digests.yml or tools=list:./images.txt")
	cmd.Flags().StringVar(&o.Target, "target", "", "the registry to fill, as host[:port][/prefix]")
	cmd.Flags().StringVar(&o.Git, "git", "", "address of the fleet repository")
	cmd.Flags().StringVar(&o.Site, "site", "site-1", "name of this site, the folder below rendered/")
	cmd.Flags().StringVar(&dir, "dir", ".", "folder to write to")
	cmd.Flags().BoolVar(&force, "force", false, "overwrite files that are there")
	if err := cmd.MarkFlagRequired("from"); err != nil {
		panic(err) // no such flag
	}
	return cmd
}

// parseFrom reads [set=]kind:file. The set is called as the kind where no name is given.
func parseFrom(arg string) (source, error) {
	name, rest, named := strings.Cut(arg, "=")
	if !named {
		name, rest = "", arg
	}
	kind, file, ok := strings.Cut(rest, ":")
	if !ok || kind == "" || file == "" {
		return source{}, fmt.Errorf("--from %q: want [set=]kind:file, as in ess:./images_digests.yml", arg)
	}
	if name == "" {
		name = kind
	}
	if _, err := mirror.ParseStage(name); err != nil {
		return source{}, mirror.Problems{{Code: "FLT002", What: mirror.Clean(fmt.Sprintf("--from: a set cannot be called %q", name)),
			Why: "its name is part of repository paths and tags", Fix: "use lower-case letters and digits, joined by single dashes, as in tools=" + kind + ":FILE"}}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return source{}, fmt.Errorf("--from: %w", err)
	}
	return source{Name: name, Kind: kind, File: name + "/" + filepath.Base(file), data: data}, nil
}

// initialise writes what the scaffolding gives, all or, while anything is in the way, nothing.
func (a *app) initialise(o scaffolding, dir string, force bool) error {
	files, notes, err := o.files()
	if err != nil {
		return err
	}
	names := slices.Sorted(maps.Keys(files))
	var taken mirror.Problems
	for _, name := range names {
		if !filepath.IsLocal(name) {
			return fmt.Errorf("%w: init: %q lies outside of --dir", config.ErrConfiguration, name)
		}
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil && !force {
			taken.Add("INI001", mirror.Position{File: filepath.Join(dir, name)}, "choose another --dir, or --force to overwrite it", "the file is there already")
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("init: %w", err)
		}
	}
	if err := taken.Err(); err != nil {
		return err
	}
	for _, name := range names {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return fmt.Errorf("init: %w", err)
		}
		if err := os.WriteFile(file, files[name], 0o644); err != nil {
			return fmt.Errorf("init: %w", err)
		}
	}
	marked := strings.Count(string(files["config.yaml"]), "# TODO")
	fmt.Fprintf(a.out, "wrote %s (%d lines to review, marked TODO)\n", filepath.Join(dir, "config.yaml"), marked)
	for _, name := range slices.DeleteFunc(names, func(n string) bool { return n == "config.yaml" }) {
		fmt.Fprintf(a.out, "wrote %s\n", filepath.Join(dir, name))
	}
	for _, note := range notes {
		fmt.Fprintln(a.talk, "note:", note)
	}
	secrets := filepath.Join(dir, "secrets")
	if err := os.MkdirAll(secrets, 0o700); err != nil {
		return fmt.Errorf("init: %w", err)
	}
	a.sayf("\nGo through the TODOs, put the secrets into %s, and commit all but what .gitignore names:\n", secrets)
	for _, line := range gitLines(dir, o.Git) {
		a.sayf("  %s\n", line)
	}
	a.sayf("Next: %s\n", a.againWith(filepath.Join(dir, "config.yaml"), "doctor"))
	return nil
}

// gitLines gives the commands that commit what lies in dir and push it to an address; in a checkout that is there
// already they use that one.
func gitLines(dir, address string) []string {
	git := "git "
	if filepath.Clean(dir) != "." {
		git += "-C " + quoted(dir) + " "
	}
	commit := []string{git + "add .", git + `commit -m "Begin the fleet repository"`}
	if inCheckout(dir) {
		return append(commit, git+"push")
	}
	remote := "ADDRESS" // not known yet
	if address != "" {
		remote = quoted(address)
	}
	return slices.Concat([]string{git + "init -b main"}, commit, []string{git + "remote add origin " + remote, git + "push -u origin main"})
}

// inCheckout says whether a folder is, or lies in, a checkout of Git.
func inCheckout(dir string) bool {
	for at, err := filepath.Abs(dir); err == nil; at = filepath.Dir(at) {
		if _, missing := os.Lstat(filepath.Join(at, ".git")); missing == nil {
			return true
		}
		if filepath.Dir(at) == at {
			break
		}
	}
	return false
}

// gitHost gives the host of a Git address, which may be in scp's form.
func gitHost(address string) (host string, ssh bool) {
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		return u.Hostname(), u.Scheme == "ssh"
	}
	if _, host, _, scp := mirror.SplitSCP(address); scp {
		return host, true
	}
	return "localhost", false
}
