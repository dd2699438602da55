package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/internal/elastic"
	"github.com/poundlock/poundlock/internal/mirror"
)

// zipsDocument is what package build and package check tell of zips, for programs.
type zipsDocument struct {
	Type     string          `json:"type"`
	Version  int             `json:"version"`
	Packages []zipOfPackage  `json:"packages"`
	Problems mirror.Problems `json:"problems"`
	More     int             `json:"more,omitempty"` // problems that are not listed
}

// zipOfPackage is a zip without mistakes.
type zipOfPackage struct {
	File      string         `json:"file"`
	Package   mirror.Package `json:"package"`
	Digest    mirror.Digest  `json:"digest"` // of the zip
	Size      int64          `json:"size"`   // bytes of the zip
	Files     int            `json:"files"`
	Signature string         `json:"signature,omitempty"` // the file beside it, where there is one
}

func (a *app) packageCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "package", Short: "Build and check zips of Elastic packages",
		Example: "  poundlock package build desired/packages/acme\n  poundlock package check acme-1.0.0.zip",
	}
	cmd.AddCommand(a.packageBuildCommand(), a.packageCheckCommand())
	return cmd
}

func (a *app) packageBuildCommand() *cobra.Command {
	var to string
	var dry bool
	cmd := &cobra.Command{
		Use: "build DIR", Short: "Build the zip of the package that lies unpacked in a folder", Args: cobra.ExactArgs(1),
		Long: `Builds the zip of the package that lies unpacked in DIR, as the daemon does for a folder of the fleet repository: the same files
give the same bytes on every machine, so that somebody can sign them here and commit the signature there, as DIR.sig beside the folder.
The zip is written to the current folder as name-version.zip, or to --to.

What elastic-package leaves out (_dev, build, .git) is left out. What it makes itself, such as fields that stand elsewhere, cannot be made
here and is a mistake: then run elastic-package build, and give its zip. Signatures are not made here; gpg makes them, or the daemon with
packages.signing.

No configuration is needed and nothing is asked of any network. Exit code 6 says that there is a mistake.`,
		Example:           "  poundlock package build desired/packages/acme\n  gpg --armor --detach-sign --output desired/packages/acme.sig acme-1.0.0.zip",
		ValidArgsFunction: folders,
	}
	cmd.Flags().StringVar(&to, "to", "", "file that is written (default name-version.zip in the current folder)")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "tell what would be built, and write nothing")
	output := a.outputFlag(cmd, asText, asJSON, asYAML, asGitHub)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		d := zipsDocument{Type: "zips", Version: 1, Packages: []zipOfPackage{}, Problems: mirror.Problems{}}
		dir, err := packageDir(args[0], to)
		if err != nil {
			return err
		}
		files, problems := daemon.ReadPackage(dir)
		if len(problems) > 0 {
			d.Problems = problems
			return a.printZips(d, *output)
		}
		zip, p, problems := elastic.Build(files, dir)
		if d.Problems = append(d.Problems, problems...); len(problems) > 0 {
			return a.printZips(d, *output)
		}
		file := to
		if file == "" {
			file = p.String() + ".zip"
		}
		if !dry {
			if err := os.WriteFile(file, zip, 0o644); err != nil {
				return fmt.Errorf("write %s: %w", clean(file), err)
			}
		}
		d.check(file, bytes.NewReader(zip), int64(len(zip)), mirror.DigestOf(zip))
		return a.printZips(d, *output)
	}
	return cmd
}

func (a *app) packageCheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "check ZIP...", Short: "Find what is wrong with zips of packages", Args: cobra.MinimumNArgs(1),
		Long: `Reads zips of Elastic packages as the daemon does before it stores one, without unpacking them to disk: their names and sizes, one
directory name-version with a manifest.yml that says the same, docs/README.md, and every byte against its checksum. Whose signature counts
is a matter of the policy: see poundlock verify.

No configuration is needed and nothing is asked of any network. Exit code 6 says that there is a mistake.`,
		Example: "  poundlock package check acme-1.0.0.zip\n  poundlock package check *.zip -o json",
	}
	output := a.outputFlag(cmd, asText, asJSON, asYAML, asGitHub)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		d := zipsDocument{Type: "zips", Version: 1, Packages: []zipOfPackage{}, Problems: mirror.Problems{}}
		for _, name := range args {
			d.checkFile(name)
		}
		return a.printZips(d, *output)
	}
	return cmd
}

// packageDir gives the folder of a package as problems name it. What is built may not lie in it: it would be packed the next time.
func packageDir(name, to string) (string, error) {
	whole, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	out, err := filepath.Abs(filepath.Dir(to)) // of no name it is the current folder
	if err != nil {
		return "", err
	}
	if out == whole || strings.HasPrefix(out, whole+string(filepath.Separator)) {
		return "", mirror.Problems{{Code: "PKG015", What: "the zip would lie in the folder that it is made of", Where: mirror.Position{File: name},
			Fix: "go to another folder, or name one with --to"}}
	}
	if name = filepath.Clean(name); name == "." || name == ".." {
		name = whole
	}
	return filepath.ToSlash(name), nil
}

// checkFile reads a zip on disk.
func (d *zipsDocument) checkFile(name string) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		d.Problems = append(d.Problems, mirror.Unreadable(name, err))
		return
	case !info.Mode().IsRegular(): // a pipe would be waited for
		d.Problems.Add("PKG001", mirror.Position{File: name}, "name the zip; `poundlock package build` makes one of a folder", "this is no file")
		return
	}
	file, err := os.Open(name)
	if err != nil {
		d.Problems = append(d.Problems, mirror.Unreadable(name, err))
		return
	}
	defer file.Close()
	digest, err := digestOf(file)
	if err != nil {
		d.Problems = append(d.Problems, mirror.Unreadable(name, err))
		return
	}
	d.check(name, file, info.Size(), digest)
}

// check reads a zip and takes it among those without mistakes, or tells what is wrong with it.
func (d *zipsDocument) check(name string, zip io.ReaderAt, size int64, digest mirror.Digest) {
	f, err := elastic.Check(zip, size, mirror.Package{})
	var wrong mirror.Problem
	switch {
	case errors.As(err, &wrong):
		wrong.Where = mirror.Position{File: name}
		d.Problems = append(d.Problems, wrong)
		return
	case err != nil:
		d.Problems = append(d.Problems, mirror.Unreadable(name, err))
		return
	}
	p := zipOfPackage{File: name, Package: f.Package, Digest: digest, Size: size, Files: len(f.Files)}
	if info, err := os.Stat(name + ".sig"); err == nil && info.Mode()&fs.ModeType == 0 {
		p.Signature = name + ".sig"
	}
	d.Packages = append(d.Packages, p)
}
