package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// buildInfo says what this binary is and is made of.
type buildInfo struct {
	Type      string            `json:"type"`
	Version   int               `json:"version"`   // of this document
	Poundlock string            `json:"poundlock"` // the program's own
	Commit    string            `json:"commit,omitempty"`
	Date      string            `json:"date,omitempty"` // of the commit
	Dirty     bool              `json:"dirty"`          // built from a tree with changes that were not committed
	Go        string            `json:"go"`
	Platform  string            `json:"platform"`
	Libraries map[string]string `json:"libraries"` // those that judge, fetch and copy, by import path
}

// libraries are those whose version a report of a fault should name.
var libraries = []string{"github.com/sigstore/cosign/v2", "github.com/sigstore/sigstore-go", "github.com/google/go-containerregistry", "github.com/go-git/go-git/v5", "go.etcd.io/bbolt"}

func thisBuild() buildInfo {
	b := buildInfo{Type: "version", Version: 1, Poundlock: version(), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Libraries: map[string]string{}}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.Date = s.Value
		case "vcs.modified":
			b.Dirty = s.Value == "true"
		}
	}
	versions := map[string]string{}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		versions[m.Path] = m.Version
	}
	for _, path := range libraries {
		if v := versions[path]; v != "" {
			b.Libraries[path] = v
		}
	}
	return b
}

// text gives the same for people, one fact a line.
func (b buildInfo) text() string {
	var s strings.Builder
	fmt.Fprintf(&s, "poundlock %s %s %s\n", b.Poundlock, b.Go, b.Platform)
	if b.Commit != "" {
		dirty := ""
		if b.Dirty {
			dirty = ", with changes"
		}
		fmt.Fprintf(&s, "commit %s%s\n", b.Commit, dirty)
	}
	for _, path := range libraries {
		if v, ok := b.Libraries[path]; ok {
			fmt.Fprintf(&s, "%s %s\n", path, v)
		}
	}
	return s.String()
}

func (a *app) versionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "version", Short: "Print the version, the commit it was built from and its main libraries", Args: cobra.NoArgs,
		Example: "  poundlock version\n  poundlock version -o json     for a report of a fault, or an inventory",
	}
	output := a.outputFlag(cmd, asText, asJSON, asYAML)
	cmd.RunE = func(*cobra.Command, []string) error {
		if *output != asText {
			return document(a.out, *output, thisBuild())
		}
		_, err := fmt.Fprint(a.out, thisBuild().text())
		return err
	}
	return cmd
}
