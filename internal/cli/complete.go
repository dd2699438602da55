package cli

import (
	"context"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/daemon"
)

// completeWithin is how long a shell waits for names at most.
const completeWithin = time.Second

// wordsOf gives the names of one kind that are live in the fleet repository.
type wordsOf func(daemon.Names) []string

func setNames(n daemon.Names) []string   { return n.Sets }
func entryNames(n daemon.Names) []string { return n.Entries }
func stageNames(n daemon.Names) []string { return n.Stages }

func setsAndConsumers(n daemon.Names) []string { return slices.Concat(n.Sets, n.Consumers) }

func setsAndEntries(n daemon.Names) []string { return slices.Concat(n.Sets, n.Entries) }

func freezeWords(n daemon.Names) []string { return slices.Concat(n.Sets, n.Stages, []string{"as"}) }

// complete gives the arguments and flags of commands the names of this fleet to complete with.
func (a *app) complete(root *cobra.Command) {
	for _, c := range []struct {
		command string
		words   wordsOf
		several bool
	}{
		{"get sets", setNames, true}, {"get entries", entryNames, true}, {"get stages", stageNames, true}, {"get packages", entryNames, true}, {"freeze", freezeWords, true},
		{"render", setsAndConsumers, false}, {"trace", entryNames, false}, {"explain-verdict", entryNames, false}, {"trigger", setNames, false}, {"suspend", setNames, false}, {"resume", setNames, false},
		{"promote", setsAndEntries, true}, {"rollback", setsAndEntries, true}, {"hold", setsAndEntries, true}, {"release", setsAndEntries, true},
	} {
		if cmd, rest, err := root.Find(strings.Fields(c.command)); err == nil && len(rest) == 0 && cmd.ValidArgsFunction == nil {
			cmd.ValidArgsFunction = a.names(c.words, c.several)
		}
	}
	flags := map[string]wordsOf{"get entries --only": setNames, "get stages --only": setNames, "get packages --only": setNames, "get packages --stage": stageNames, "get runs --only": setNames, "get entries --stage": stageNames,
		"render --stage": stageNames, "verify --stage": stageNames, "promote --to": stageNames, "rollback --stage": stageNames, "hold --stage": stageNames, "release --stage": stageNames, "explain-verdict --stage": stageNames, "policy diff --only": setsAndEntries, "sync --only": setsAndEntries, "plan --only": setsAndEntries, "events --only": setNames}
	for where, words := range flags {
		command, flag, _ := strings.Cut(where, " --")
		cmd, rest, err := root.Find(strings.Fields(command))
		if err != nil || len(rest) > 0 || cmd.Flags().Lookup(flag) == nil {
			continue
		}
		if _, has := cmd.GetFlagCompletionFunc(flag); !has {
			_ = cmd.RegisterFlagCompletionFunc(flag, a.names(words, true)) // fails only for a flag that is not there
		}
	}
}

// names completes with live names. It uses no network, and where anything is wrong it says nothing: a prompt
// is no place for errors.
func (a *app) names(words wordsOf, several bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 && !several {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completeWithin)
		defer cancel()
		known, err := a.liveNames(ctx)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var found []string
		for _, word := range words(known) {
			// Half a name is enough: the last part of an entry, or the entry without its set.
			if strings.HasPrefix(word, prefix) || strings.HasPrefix(path.Base(word), prefix) {
				found = append(found, clean(word))
			}
		}
		return found, cobra.ShellCompDirectiveNoFileComp
	}
}

func (a *app) liveNames(ctx context.Context) (daemon.Names, error) {
	a.talk = &talker{to: io.Discard}
	config, err := a.load()
	if err != nil {
		return daemon.Names{}, err
	}
	return daemon.LastNames(ctx, config)
}
