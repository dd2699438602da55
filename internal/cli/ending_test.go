package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/internal/git"
	"github.com/poundlock/poundlock/internal/mirror"
)

func TestCodeOf_TheMostSevereOfJoinedErrorsWins(t *testing.T) {
	retry, odd := fmt.Errorf("set a: %w", context.DeadlineExceeded), errors.New("odd")
	auth, refused := fmt.Errorf("git: %w", git.ErrUnauthorized), fmt.Errorf("x: %w", mirror.ErrRefused)
	config := mirror.Problems{{Code: "CFG001"}}
	for _, tt := range []struct {
		err  error
		want int
	}{
		{nil, exitOK}, {odd, exitFailure}, {retry, exitRetry}, {auth, exitAuth}, {refused, exitRefused}, {config, exitConfig}, {daemon.ErrLocked, exitLocked},
		{errors.Join(retry, odd), exitFailure}, {errors.Join(odd, auth, retry), exitAuth}, {fmt.Errorf("sync: %w", errors.Join(retry, errors.Join(refused, config))), exitConfig},
		{errors.Join(refused, auth), exitAuth}, {errors.Join(config, context.Canceled), exitInterrupted},
		{exitCode(exitChanges), exitChanges}, {exitCode(exitWaiting), exitWaiting}, {usageError{text: "x"}, exitFailure},
		{mirror.Problem{Code: "AUTH001"}, exitAuth}, {mirror.Problem{Code: "NET001"}, exitRetry}, {mirror.Problem{Code: "TLS002"}, exitConfig}, {mirror.Problem{Code: "DISK003"}, exitRetry},
	} {
		if got := codeOf(tt.err); got != tt.want {
			t.Errorf("%v: %d, want %d", tt.err, got, tt.want)
		}
	}
}

// Whatever is typed wrong is told with what was meant, where that can be guessed, and where to read on.
func TestUsage_SaysWhatWasMeant(t *testing.T) {
	for _, tt := range []struct {
		args []string
		says []string
	}{
		{[]string{"snyc"}, []string{`unknown command "snyc"`, "did you mean `poundlock sync`?", "poundlock --help"}},
		{[]string{"frobnicate"}, []string{"unknown command", "see `poundlock --help`"}},
		{[]string{"config", "veiw"}, []string{`unknown command "veiw"`, "`poundlock config view`", "poundlock config --help"}},
		{[]string{"doctor", "--per"}, []string{"unknown flag: --per", "did you mean --pre?", "poundlock doctor --help"}},
		{[]string{"doctor", "-x"}, []string{"unknown shorthand flag", "poundlock doctor --help"}},
		{[]string{"doctor", "-o", "xml"}, []string{"want one of: text, json", "poundlock doctor --help"}},
		{[]string{"doctor", "now"}, []string{"takes no arguments", `"now"`}},
		{[]string{"--set", "nonsense", "-c", "x", "doctor"}, []string{"want key=value"}},
	} {
		code, out, talk := command(t, t.Context(), tt.args...)
		if code != exitFailure || out != "" || strings.Count(talk, "\n") != 1 {
			t.Errorf("%v: exit %d, want %d and one line: %s%s", tt.args, code, exitFailure, out, talk)
		}
		for _, want := range tt.says {
			if !strings.Contains(talk, want) {
				t.Errorf("%v: %q is not said: %s", tt.args, want, talk)
			}
		}
	}
}

// With -o json the last line of the talk is an object, whatever the failure.
func TestEnding_IsAnObjectForPrograms(t *testing.T) {
	w, config := inWorld(t)
	w.Git.Close()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		name string
		ctx  context.Context
		args []string
		code int
		has  string
	}{
		{"no configuration", t.Context(), []string{"-c", "", "plan", "-o", "json"}, exitConfig, "CFG100"},
		{"wrong configuration", t.Context(), []string{"-c", configure(t, "version: 1\nsiet: x\n"), "plan", "-o", "json"}, exitConfig, ""},
		{"Git is down", t.Context(), []string{"-c", config, "plan", "-o", "json"}, exitRetry, "NET002"},
		{"checks failed", t.Context(), []string{"-c", config, "doctor", "-o", "json"}, exitRetry, "NET002"},
		{"interrupted", ended, []string{"-c", config, "plan", "-o", "json"}, exitInterrupted, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, _, talk := command(t, tt.ctx, tt.args...)
			lines := strings.Split(strings.TrimSpace(talk), "\n")
			var doc ending
			if err := json.Unmarshal([]byte(lines[len(lines)-1]), &doc); err != nil {
				t.Fatalf("%v: %s", err, talk)
			}
			if code != tt.code || doc.Type != "exit_error" || doc.Version != 1 || doc.Code != code {
				t.Errorf("exit %d, want %d: %+v", code, tt.code, doc)
			}
			if tt.has != "" && (len(doc.Problems) == 0 || doc.Problems[0].Code != tt.has || doc.Problems[0].Fix == "") {
				t.Errorf("want %s first, with a fix: %+v", tt.has, doc.Problems)
			}
		})
	}
}
