package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/wire"
)

// again gives a command line of ours as it can be typed where this one was: with the same binary, the same
// configuration and the same keys set.
func (a *app) again(args ...string) string { return a.againWith(a.config, args...) }

// againWith is again with another configuration.
func (a *app) againWith(file string, args ...string) string {
	words := []string{program()}
	if file != "" && file != os.Getenv(config.EnvPrefix+"CONFIG") {
		words = append(words, "-c", file)
	}
	for _, set := range a.set {
		if key, _, _ := strings.Cut(set, "="); a.loaded.StateDir == "" {
			set = key + "=..." // nobody accepted the value yet: it may be a secret in the wrong place
		}
		words = append(words, "--set", set)
	}
	words = append(words, args...)
	for i, word := range words {
		words[i] = quoted(word)
	}
	return wire.Mask(strings.Join(words, " "))
}

// program gives the word that this program was called by.
func program() string {
	if filepath.Base(os.Args[0]) == "poundlock" {
		return os.Args[0]
	}
	return "poundlock"
}

// placeless are commands that read no configuration.
var placeless = []string{"completion", "demo", "explain", "help", "init", "man", "schema", "version"}

var ourCommand = regexp.MustCompile("`poundlock ([a-z-]+)")

// typed makes each command of ours that a text names one that works as it is printed here.
func (a *app) typed(text string) string {
	return ourCommand.ReplaceAllStringFunc(text, func(found string) string {
		command := strings.TrimPrefix(found, "`poundlock ")
		if slices.Contains(placeless, command) {
			return "`" + quoted(program()) + " " + command
		}
		return "`" + a.again(command)
	})
}

// quoted writes a word so that a shell reads it as it is.
func quoted(word string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:@%+=,"
	if word != "" && strings.Trim(word, plain) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(clean(word), "'", `'\''`) + "'"
}
