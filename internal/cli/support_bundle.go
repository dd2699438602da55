package cli

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/plan"
)

// bundleName is the file that a bundle goes to and, without its ending, the folder inside.
const bundleName = "poundlock-support.tar.gz"

func (a *app) supportBundleCommand() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use: "support-bundle", Short: "Gather what helps to find a fault into one file, without secrets", Args: cobra.NoArgs,
		Long: `Gather what helps to find a fault into one file: the configuration with its secrets as references, what
stands, runs and events, the fleet repository's desired state, metrics of a running daemon, and what this
machine is. It works without a network and without a daemon, and with a configuration that cannot be read.`,
		Example: "  poundlock support-bundle\n  poundlock support-bundle --out /tmp/fault.tar.gz\n  kubectl exec poundlock-0 -- poundlock support-bundle --out - > fault.tar.gz",
		RunE: func(cmd *cobra.Command, _ []string) error {
			files := a.supportFiles(cmd)
			packed, err := pack(files, time.Now())
			if err != nil {
				return err
			}
			if err := a.writeBundle(out, packed); err != nil {
				return err
			}
			for _, name := range names(files) {
				fmt.Fprintf(a.talk, "%8d  %s\n", len(files[name]), clean(name))
			}
			fmt.Fprintf(a.talk, "wrote %s: %d files, %s; read it before you send it: tar -xzf %s\n", out, len(files), plan.Bytes(int64(len(packed))), out)
			return nil
		},
	}
	cmd.Flags().StringVar(&out, "out", bundleName, "write to this file, which must not exist yet; - for standard output")
	return cmd
}

func names(files mirror.Files) []string {
	var all []string
	for name := range files {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// supportFiles gathers what there is, however little of it can be read.
func (a *app) supportFiles(cmd *cobra.Command) mirror.Files {
	files, err := mirror.Files(nil), error(nil)
	config, err := a.load()
	if err != nil {
		files = daemon.SupportWithout(err)
	} else {
		files = daemon.Support(cmd.Context(), config, daemon.Options{Now: time.Now, Version: version()})
	}
	if b, err := json.MarshalIndent(thisBuild(), "", "  "); err == nil {
		files["version.json"] = append(b, '\n')
	}
	return files
}

// pack makes the archive: every file below one folder, for its owner alone.
func pack(files mirror.Files, at time.Time) ([]byte, error) {
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	archive := tar.NewWriter(zip)
	for _, name := range names(files) {
		header := &tar.Header{Name: strings.TrimSuffix(bundleName, ".tar.gz") + "/" + name, Mode: 0o600, Size: int64(len(files[name])), ModTime: at.Truncate(time.Second), Format: tar.FormatPAX}
		if err := archive.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("pack %s: %w", name, err)
		}
		if _, err := archive.Write(files[name]); err != nil {
			return nil, fmt.Errorf("pack %s: %w", name, err)
		}
	}
	err := errors.Join(archive.Close(), zip.Close())
	return b.Bytes(), err
}

// writeBundle writes a new file for its owner alone. One that is there is left as it is: it may be a link that
// somebody else laid.
func (a *app) writeBundle(out string, packed []byte) error {
	if out == "-" {
		if a.terminal().is {
			return errors.New("support-bundle: standard output is a terminal; send it into a file with --out - > FILE")
		}
		_, err := a.out.Write(packed)
		return err
	}
	f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return mirror.Problem{Code: "INI001", Where: mirror.Position{File: out}, What: "the file is there already", Fix: "remove it, or name another one with --out"}
	}
	if err != nil {
		return fmt.Errorf("support-bundle: %w", err)
	}
	_, err = f.Write(packed)
	return errors.Join(err, f.Close())
}
