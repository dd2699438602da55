package cli

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/poundlock/poundlock/internal/wire"
)

func TestLog_ShowsNoSecretAndSteersNoTerminal(t *testing.T) {
	const secret = "log-canary-word"
	wire.Conceal(secret)
	for _, form := range []string{"json", "text"} {
		var talk bytes.Buffer
		a := &app{talk: &talker{to: &talk}, logFormat: form}
		log, err := a.logger()
		if err != nil {
			t.Fatal(err)
		}
		log.With("with", secret).WithGroup("group").Info("said "+secret,
			"error", fmt.Errorf("wrapped: %w", errors.New(secret)), "typed", wire.Secret("never-a-canary"), "list", []string{secret},
			slog.Group("inner", "x", secret), "url", "https://user:other-canary@host.example/path?token=third-canary#f", "esc", "a\x1b[2Jb", "lines", "one\ntwo")
		text := talk.String()
		if strings.Contains(text, "canary") || strings.ContainsAny(text, "\x1b") || !strings.Contains(text, `x1b[2Jb`) || !strings.Contains(text, `one\ntwo`) {
			t.Errorf("%s: %s", form, text)
		}
		for _, want := range []string{"***", "https://***@host.example/path", "wrapped: "} {
			if !strings.Contains(text, want) {
				t.Errorf("%s lacks %q: %s", form, want, text)
			}
		}
	}
}

func TestDiscreet_LeavesNoSecretOfAnAddress(t *testing.T) {
	for in, want := range map[string]string{
		"https://bob:p@canary1@h/x":                 "https://***@h/x",
		"HTTPS://bob:canary22@h":                    "HTTPS://***@h",
		"https://bob:pa/canary@h/x":                 "https://***@h/x",
		`Get "https://bob:pa"canary@h/x": refused`:  `Get "https://***@h/x": refused`,
		"https://bob:pa?canary@h/x?b":               "https://***@h/x",
		"https://h.example/x?token=canary#f":        "https://h.example/x#f",
		`https://h.example/x?token=a"canary`:        "https://h.example/x",
		`https://h.example/x?token=a'canary&b=c`:    "https://h.example/x",
		`Get "https://h.example/v2/?a=canary": EOF`: `Get "https://h.example/v2/": EOF`,
		"HTTPS://h.example?canary and b":            "HTTPS://h.example and b",
		"bob:canary@h":                              "***@h",
		"said glpat-canary-0123456789":              "said ***",
		"a\u202eb\u009bc\x1b[31m":                   `a\u202eb\u009bc\x1b[31m`,
		"one\ntwo":                                  "one\ntwo",
	} {
		if got := discreet(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// systemd connects a stream to the journal and tells which in the environment.
func TestLog_InTheJournalHasNoTimeAndItsLevels(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "journal"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	for stream, want := range map[string]string{fmt.Sprintf("%d:%d", stat.Dev, stat.Ino): "<3>msg=broken a=1\n<6>msg=fine\n", "1:1": `{"time"`} {
		t.Setenv("JOURNAL_STREAM", stream)
		if err := file.Truncate(0); err != nil {
			t.Fatal(err)
		}
		if _, err := file.Seek(0, 0); err != nil {
			t.Fatal(err)
		}
		a := &app{talk: &talker{to: file}, logFormat: "auto"}
		log, err := a.logger()
		if err != nil {
			t.Fatal(err)
		}
		log.Error("broken", "a", 1)
		log.Info("fine")
		log.Debug("not shown")
		got, err := os.ReadFile(file.Name())
		if err != nil || !strings.HasPrefix(string(got), want) {
			t.Errorf("JOURNAL_STREAM=%s: %q, want %q", stream, got, want)
		}
	}
}
