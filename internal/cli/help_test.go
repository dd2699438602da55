package cli

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/poundlock/poundlock/docs"
)

// walk visits a command and all below it.
func walk(cmd *cobra.Command, visit func(*cobra.Command)) {
	visit(cmd)
	for _, c := range cmd.Commands() {
		walk(c, visit)
	}
}

func TestCommands_EachIsExplained(t *testing.T) {
	root := (&app{}).root()
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	walk(root, func(cmd *cobra.Command) {
		name := cmd.CommandPath()
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: the short text is %q; want one without a full stop", name, cmd.Short)
		}
		if generated := strings.HasPrefix(name, "poundlock completion"); !generated && !strings.Contains(cmd.Example, "poundlock") {
			t.Errorf("%s has no example", name)
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" || strings.HasSuffix(f.Usage, ".") {
				t.Errorf("%s --%s: the usage is %q; want one without a full stop", name, f.Name, f.Usage)
			}
		})
		for line := range strings.Lines(cmd.Example) {
			command, _, _ := strings.Cut(strings.TrimSpace(line), " ")
			if !strings.HasPrefix(line, "  ") || strings.HasSuffix(command, ".") {
				t.Errorf("%s: the example %q is not indented by two", name, line)
			}
		}
	})
	if n := strings.Count(root.Example, "\n") + 1; n != 3 {
		t.Errorf("the root opens with %d examples, want 3", n)
	}
}

// TestCommands_ExamplesAreCommands holds every example against the commands that there are, so that none
// names a command or flag that is gone.
func TestCommands_ExamplesAreCommands(t *testing.T) {
	walk((&app{}).root(), func(cmd *cobra.Command) {
		for line := range strings.Lines(cmd.Example) {
			typed, _, _ := strings.Cut(strings.TrimSpace(line), "   ") // what follows explains it
			for part := range strings.SplitSeq(typed, "|") {
				words := strings.Fields(part)
				for len(words) > 0 && words[0] != "poundlock" {
					words = words[1:] // kubectl exec pod -- poundlock ...
				}
				if len(words) == 0 {
					continue
				}
				root := (&app{}).root()
				root.InitDefaultHelpCmd()
				root.InitDefaultCompletionCmd()
				words = flagsFirst(words[1:])
				named, _, err := root.Find(words)
				if err != nil || named == root && len(words) > 0 {
					t.Errorf("%s: the example %q names no command: %v", cmd.CommandPath(), line, err)
					continue
				}
				for _, w := range words {
					flag, _, _ := strings.Cut(strings.TrimPrefix(w, "--"), "=")
					if strings.HasPrefix(w, "--") && flag != "" && named.Flag(flag) == nil {
						t.Errorf("%s: the example %q has the flag --%s, which %s does not know", cmd.CommandPath(), line, flag, named.CommandPath())
					}
				}
			}
		}
	})
}

// flagsFirst takes -c FILE off, which may stand before the command.
func flagsFirst(words []string) []string {
	if len(words) > 1 && words[0] == "-c" {
		return words[2:]
	}
	return words
}

func TestHelp_OpensWithThreeExamplesAndListsTopics(t *testing.T) {
	code, out, talk := command(t, t.Context(), "help")
	if code != exitOK || talk != "" {
		t.Fatalf("exit %d: %s", code, talk)
	}
	for _, topic := range docs.Topics() {
		if !strings.Contains(out, "  "+topic.Name+" ") || topic.Title == "" {
			t.Errorf("the topic %s (%q) is not listed", topic.Name, topic.Title)
		}
		code, page, talk := command(t, t.Context(), "help", topic.Name)
		if code != exitOK || !strings.Contains(page, topic.Title) {
			t.Errorf("help %s: exit %d, %s", topic.Name, code, talk)
		}
	}
	if first := strings.Index(out, "poundlock demo --once"); first < 0 || first > strings.Index(out, "Usage:") || strings.Count(out, "demo --once") != 1 {
		t.Errorf("the examples do not come first:\n%s", out)
	}
}

func TestHelp_FindsWhatIsMeant(t *testing.T) {
	for _, tt := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"help", "get", "entries"}, exitOK, "get entries synapse -o wide"},
		{[]string{"help", "CFG001"}, exitOK, "a key that is needed is missing"},
		{[]string{"help", "cfg001"}, exitOK, "fix: "},
		{[]string{"help", "CFG999"}, exitFailure, "nothing is written of the code CFG999"},
		{[]string{"help", "polcy"}, exitFailure, `did you mean "policy"?`},
		{[]string{"help", "no-such-thing-at-all"}, exitFailure, "`poundlock help` lists them"},
		{[]string{"help", "../docs"}, exitFailure, "no topic"},
	} {
		code, out, talk := command(t, t.Context(), tt.args...)
		if code != tt.code || !strings.Contains(out+talk, tt.says) {
			t.Errorf("%v: exit %d, want %d; want %q in\n%s%s", tt.args, code, tt.code, tt.says, out, talk)
		}
	}
}
