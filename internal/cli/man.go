package cli

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func (a *app) manCommand() *cobra.Command {
	return &cobra.Command{
		Use: "man [DIR]", Short: "Write the manual pages into DIR, or the main page to standard output", Args: cobra.MaximumNArgs(1),
		Long: `Write the manual pages, one for each command, into DIR, or the main page to standard output.
The same binary gives the same bytes: the date is that of its commit, or SOURCE_DATE_EPOCH.`,
		Example: "  poundlock man | man -l -\n  poundlock man /usr/local/share/man/man1",
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			root.DisableAutoGenTag = true
			root.PersistentFlags().Lookup("config").DefValue = "" // the reader's environment is no default of ours
			header, err := manHeader()
			if err != nil {
				return err
			}
			page, err := mainPage(root, header)
			if err != nil {
				return err
			}
			if len(args) == 0 {
				_, err := a.out.Write(page)
				return err
			}
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return err
			}
			return writePages(root, header, args[0], page)
		},
	}
}

// manHeader names the pages and dates them, so that two builds of one commit are the same.
func manHeader() (doc.GenManHeader, error) {
	date, err := time.Unix(0, 0).UTC(), error(nil)
	if epoch := os.Getenv("SOURCE_DATE_EPOCH"); epoch != "" {
		seconds, err := strconv.ParseInt(epoch, 10, 64)
		if err != nil {
			return doc.GenManHeader{}, fmt.Errorf("SOURCE_DATE_EPOCH %q: want seconds since 1970", epoch)
		}
		date = time.Unix(seconds, 0).UTC()
	} else if made := thisBuild().Date; made != "" {
		if date, err = time.Parse(time.RFC3339, made); err != nil {
			return doc.GenManHeader{}, fmt.Errorf("date of the build: %w", err)
		}
	}
	return doc.GenManHeader{Section: "1", Date: &date, Source: "poundlock " + version(), Manual: "Poundlock"}, nil
}

// writePages writes the page of every command, each with where the exit codes are told.
func writePages(cmd *cobra.Command, header doc.GenManHeader, dir string, page []byte) error {
	if cmd.HasParent() {
		var b bytes.Buffer
		own := header // which gets a title
		if err := doc.GenMan(cmd, &own, &b); err != nil {
			return err
		}
		const status = ".SH EXIT STATUS\nSee EXIT STATUS in \\fBpoundlock(1)\\fP.\n\n"
		page = bytes.Replace(b.Bytes(), []byte(".SH SEE ALSO"), []byte(status+".SH SEE ALSO"), 1)
	}
	name := strings.ReplaceAll(cmd.CommandPath(), " ", "-") + ".1"
	if err := os.WriteFile(filepath.Join(dir, name), page, 0o644); err != nil {
		return err
	}
	for _, sub := range cmd.Commands() {
		if !sub.IsAvailableCommand() || sub.IsAdditionalHelpTopicCommand() {
			continue
		}
		if err := writePages(sub, header, dir, nil); err != nil {
			return err
		}
	}
	return nil
}

// mainPage is the page of the whole, with what belongs to every command.
func mainPage(root *cobra.Command, header doc.GenManHeader) ([]byte, error) {
	var b bytes.Buffer
	if err := doc.GenMan(root, &header, &b); err != nil {
		return nil, err
	}
	before, after, found := bytes.Cut(b.Bytes(), []byte(".SH SEE ALSO"))
	if !found {
		return nil, fmt.Errorf("the manual page has no SEE ALSO")
	}
	var page bytes.Buffer
	page.Write(before)
	for _, s := range manSections {
		fmt.Fprintf(&page, ".SH %s\n%s", s.title, roff(s.intro))
		for _, item := range s.items {
			fmt.Fprintf(&page, ".TP\n\\fB%s\\fP\n%s", escape(item[0]), roff(item[1]))
		}
	}
	page.WriteString(".SH SEE ALSO")
	page.Write(after)
	return page.Bytes(), nil
}

// roff gives a paragraph of text in the language of manual pages.
func roff(text string) string {
	if text == "" {
		return ""
	}
	return escape(text) + "\n"
}

// escape keeps text from being taken for requests and its dashes from being folded.
func escape(text string) string {
	text = strings.ReplaceAll(strings.ReplaceAll(text, `\`, `\e`), "-", `\-`)
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		text = `\&` + text
	}
	return text
}

// exitStatus is what every command ends with.
func exitStatus() (items [][2]string) {
	for _, one := range exitCodes {
		items = append(items, [2]string{strconv.Itoa(one.code), one.meaning})
	}
	return items
}

var manSections = []struct {
	title, intro string
	items        [][2]string
}{
	{"EXIT STATUS", "Unknown codes must be treated as failure.", exitStatus()},
	{"ENVIRONMENT", "", [][2]string{
		{"POUNDLOCK_CONFIG", "The configuration file, where --config is not given."},
		{"POUNDLOCK_<KEY>", "Overrides a key of the configuration file; two underscores stand for a dot, as in POUNDLOCK_GIT__POLL=1m. A variable that sets nothing is warned of."},
		{"HTTPS_PROXY, HTTP_PROXY, NO_PROXY", "The proxy for registries and Git over HTTPS."},
		{"CREDENTIALS_DIRECTORY", "Where systemd puts the credentials that a secret names."},
		{"DOCKER_CONFIG", "The folder of the Docker configuration, for registries with auth.keychain."},
		{"NO_COLOR, TERM, COLUMNS", "No colour where NO_COLOR is set or TERM is dumb. COLUMNS is the width where there is no terminal that knows it."},
		{"SOURCE_DATE_EPOCH", "The date of manual pages, in seconds since 1970."},
	}},
	{"FILES", "", [][2]string{
		{"config.yaml", "How the daemon reaches Git and registries; `poundlock explain` and `poundlock help configuration` name every key."},
		{"<stateDir>/state.db", "What the daemon remembers. It may be deleted between two runs: that costs requests, never correctness."},
		{"<stateDir>/poundlock.sock", "The socket over which commands talk to a running daemon, mode 0600; the key socket moves it."},
		{"desired/, stages/", "In the fleet repository: what people ask for."},
		{"rendered/<site>/", "In the fleet repository: what stands, and the overrides. Only the daemon writes here."},
	}},
}
