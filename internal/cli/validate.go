package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/mirror"
)

func (a *app) validateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "validate [DIR]", Short: "Find every mistake in the configuration and in a checkout of the fleet repository", Args: cobra.MaximumNArgs(1),
		Long: `Checks the configuration (--config, where one is given) and the fleet repository: DIR is a checkout on disk, in which desired/ and
stages/ lie, directly or below git.path of the configuration. Without DIR and without configuration it is the current folder.

All mistakes are told in one pass. Nothing is fetched: no network, no Git; poundlock doctor looks at those. Of what is secret only
the keys of trust.site are read, where they are at hand, since a wrong one is a mistake of the configuration; floor and trust.fleet are read with it.
Exit code 6 says that there is a mistake.`,
		Example: `  poundlock -c config.yaml validate         the configuration
  poundlock -c config.yaml validate fleet   and a checkout of the fleet repository
  poundlock validate . -o github            in a pull request, as annotations`,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
	}
	output := a.outputFlag(cmd, asText, asJSON, asYAML, asGitHub)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		v, err := a.validation(strings.Join(args, ""), len(args) > 0)
		if err != nil {
			return err
		}
		return a.printValidation(v, *output)
	}
	return cmd
}

// validation is what validate found: the documents that were read, and their mistakes.
type validation struct {
	Type     string          `json:"type"` // validation
	Version  int             `json:"version"`
	Config   string          `json:"config,omitempty"` // the file, where one was read
	Fleet    string          `json:"fleet,omitempty"`  // the folder, where one was read
	Sets     int             `json:"sets"`             // found in the fleet repository
	Problems mirror.Problems `json:"problems"`
	More     int             `json:"more,omitempty"` // problems that are not listed
}

func (a *app) validation(dir string, given bool) (validation, error) {
	v := validation{Type: "validation", Version: 1, Problems: mirror.Problems{}}
	gitPath, configured := "", config.Config{}
	if a.config != "" {
		overrides, err := a.overrides()
		if err != nil {
			return v, err
		}
		c, err := config.Load(a.config, os.Environ(), overrides)
		var problems mirror.Problems
		if err != nil && !errors.As(err, &problems) {
			return v, err
		}
		for _, warning := range c.Warnings {
			fmt.Fprintln(a.talk, "warning:", mirror.Clean(warning))
		}
		v.Config, gitPath, configured = a.config, c.Git.Path, c
		v.Problems = append(v.Problems, problems...)
		if len(problems) == 0 {
			v.Problems = append(v.Problems, daemon.CheckTrust(c)...)
		}
	}
	if !given && a.config != "" {
		return v, nil
	}
	root, found := daemon.Checkout(filepath.Clean(dir), gitPath)
	switch {
	case !found && !given:
		return v, fmt.Errorf("%w: nothing to check: give --config or the folder of a checkout, or go where desired/ is", config.ErrConfiguration)
	case !found:
		v.Problems = append(v.Problems, noCheckout(dir, gitPath))
		return v, nil
	}
	desired, problems := daemon.ValidateFleet(root)
	v.Fleet, v.Sets = root, len(desired.Sets)
	v.Problems = append(v.Problems, problems...)
	v.Problems = append(v.Problems, wrongSuspensions(root)...)
	if len(problems) == 0 {
		v.Problems = append(v.Problems, daemon.StrangeSignStages(configured, desired)...)
		if a.config != "" {
			v.Problems = append(v.Problems, daemon.StrangeDrops(configured, desired)...)
		}
	}
	if a.config == "" && (isFile(filepath.Join(root, "config.yaml")) || isFile("config.yaml")) {
		a.sayf("no configuration was named: only the fleet repository was read\n")
	}
	return v, nil
}

func isFile(name string) bool {
	info, err := os.Lstat(name)
	return err == nil && info.Mode().IsRegular()
}

// wrongSuspensions looks at the one kind of file below rendered/ that people edit, of every site.
func wrongSuspensions(root string) (all mirror.Problems) {
	sites, err := os.ReadDir(filepath.Join(root, "rendered"))
	if err != nil {
		return nil // nothing was rendered yet
	}
	for _, site := range sites {
		file := filepath.Join(root, "rendered", site.Name(), "suspended.yaml")
		if !isFile(file) {
			continue
		}
		data, err := os.ReadFile(file)
		if err != nil {
			all = append(all, mirror.Unreadable(file, err))
			continue
		}
		_, warnings, problems := mirror.ParseSuspensions(file, data)
		all = append(append(all, warnings...), problems...)
	}
	return all
}

// noCheckout says why a folder is no checkout of a fleet repository.
func noCheckout(dir, gitPath string) mirror.Problem {
	p := mirror.Problem{Code: "FLT020", Where: mirror.Position{File: dir}, What: "the folder has no desired/ in it, so it is no checkout of a fleet repository",
		Fix: "name the folder in which desired/ lies"}
	if info, err := os.Stat(dir); err != nil {
		return mirror.Unreadable(dir, err)
	} else if !info.IsDir() {
		p.What = "this is a file, want the folder of a checkout"
	} else if gitPath != "" {
		p.What += fmt.Sprintf(", nor has %s below it (git.path)", gitPath)
	}
	return p
}

func (a *app) printValidation(v validation, f format) error {
	_ = v.Problems.Err() // in the order of the files
	switch {
	case f == asJSON || f == asYAML:
		told := v
		told.Problems, told.More = v.Problems.Told()
		if err := document(a.out, f, told); err != nil {
			return err
		}
	case f == asGitHub:
		told, more := v.Problems.Told()
		for _, p := range told {
			fmt.Fprintln(a.out, p.Annotation())
		}
		if more > 0 {
			fmt.Fprintf(a.out, "::error::and %d more\n", more)
		}
	case len(v.Problems) > 0:
		if err := a.print(a.typed(v.Problems.Error()) + "\n"); err != nil {
			return err
		}
	default:
		if err := a.print(v.summary() + "\n"); err != nil {
			return err
		}
	}
	if len(v.Problems) > 0 {
		return exitError{code: exitConfig, problems: v.Problems}
	}
	return nil
}

// summary says in one line what is without a mistake.
func (v validation) summary() string {
	var parts []string
	if v.Config != "" {
		parts = append(parts, clean(v.Config))
	}
	if v.Fleet != "" {
		sets := fmt.Sprintf("%d sets", v.Sets)
		if v.Sets == 1 {
			sets = "1 set"
		}
		parts = append(parts, sets)
	}
	verb := "is"
	if len(parts) > 1 || v.Fleet != "" && v.Sets != 1 {
		verb = "are"
	}
	return fmt.Sprintf("%s %s valid", strings.Join(parts, " and "), verb)
}
