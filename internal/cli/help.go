package cli

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/docs"
	"github.com/poundlock/poundlock/internal/mirror"
)

// helpCommand explains commands, the pages of the documentation and the codes of problems, all from inside the
// binary.
func (a *app) helpCommand() *cobra.Command {
	return &cobra.Command{
		Use: "help [command | topic | code]", Short: "Explain a command, a topic or the code of a problem, offline",
		Example: "  poundlock help plan\n  poundlock help policy\n  poundlock help CFG011",
		ValidArgsFunction: func(cmd *cobra.Command, args []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return helpWords(cmd.Root(), args, prefix), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				if err := cmd.Root().Help(); err != nil {
					return err
				}
				return a.listTopics()
			}
			return a.explainWord(cmd.Root(), args)
		},
	}
}

func (a *app) listTopics() error {
	var b strings.Builder
	b.WriteString("\nTopics, with `poundlock help <topic>`, and codes of problems, as in `poundlock help CFG011`:\n")
	for _, t := range docs.Topics() {
		fmt.Fprintf(&b, "  %-18s %s\n", t.Name, t.Title)
	}
	return a.print(b.String())
}

func (a *app) explainWord(root *cobra.Command, args []string) error {
	word := strings.Join(args, " ")
	if cmd, rest, err := root.Find(args); err == nil && cmd != root && len(rest) == 0 {
		if text, ok := docs.Page(word); ok && !strings.Contains(word, "/") { // a topic that has commands of its own
			return a.print(text + "\nIts commands: `" + cmd.CommandPath() + " --help`\n")
		}
		cmd.InitDefaultHelpFlag()
		return cmd.Help()
	}
	if docs.IsCode(word) {
		text, ok := docs.Code(word)
		if !ok {
			return misused(root, "", "nothing is written of the code %s; `%s help troubleshooting` lists those that there are", strings.ToUpper(word), quoted(program()))
		}
		return a.print(text)
	}
	if text, ok := docs.Page(strings.ToLower(word)); ok {
		return a.print(text)
	}
	if near := mirror.Nearest(word, helpWords(root, nil, "")); near != "" {
		return misused(root, fmt.Sprintf("%q", near), "there is no command and no topic %q", word)
	}
	return misused(root, "", "there is no command and no topic %q; `%s help` lists them", word, quoted(program()))
}

// helpWords gives the names that help knows below the commands that are named already.
func helpWords(root *cobra.Command, args []string, prefix string) []string {
	cmd, rest, err := root.Find(args)
	if err != nil || len(rest) > 0 {
		return nil
	}
	var words []string
	add := func(word string) {
		if strings.HasPrefix(word, prefix) && !slices.Contains(words, word) { // policy is a command and a topic
			words = append(words, word)
		}
	}
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			add(c.Name())
		}
	}
	if len(args) == 0 {
		for _, t := range docs.Topics() {
			add(t.Name)
		}
		if prefix != "" && prefix == strings.ToUpper(prefix) {
			for _, code := range docs.Codes() {
				add(code)
			}
		}
	}
	return words
}

// fitHelp has every help fit the terminal.
func (a *app) fitHelp(root *cobra.Command) {
	help := root.HelpFunc()
	root.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		var b bytes.Buffer
		cmd.SetOut(&b)
		help(cmd, args)
		cmd.SetOut(a.out)
		_ = a.print(b.String()) // a reader that is gone has enough
	})
}

// examplesFirst has every help open with what one can type.
func examplesFirst(root *cobra.Command) {
	const examples = "{{if .HasExample}}\n\nExamples:\n{{.Example}}{{end}}"
	usage := strings.Replace(root.UsageTemplate(), examples, "", 1)
	root.SetUsageTemplate("{{if .HasExample}}Examples:\n{{.Example}}\n\n{{end}}" + usage)
}
