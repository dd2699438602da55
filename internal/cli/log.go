package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/lmittmann/tint"
	"golang.org/x/term"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/internal/wire"
)

// logFormats are what --log-format takes. auto is text on a terminal and in the journal, JSON elsewhere.
var logFormats = []string{"auto", "text", "json"}

// logger writes for people on a terminal, for the journal without what it adds itself, and JSON elsewhere. No
// secret that this process has read passes it.
func (a *app) logger() (*slog.Logger, error) {
	if a.logLevel != "" {
		if err := a.level.UnmarshalText([]byte(a.logLevel)); err != nil {
			return nil, usageError{fmt.Sprintf("--log-level %q: want debug, info, warn or error", a.logLevel), "see `poundlock --help`"}
		}
	}
	plain := &slog.HandlerOptions{Level: &a.level}
	f, isFile := fileOf(a.talk)
	terminal := isFile && term.IsTerminal(int(f.Fd()))
	var h slog.Handler
	switch {
	case a.logFormat == "json":
		h = slog.NewJSONHandler(a.talk, plain)
	case a.logFormat != "" && a.logFormat != "auto" && a.logFormat != "text":
		return nil, usageError{fmt.Sprintf("--log-format %q: want %s", a.logFormat, strings.Join(logFormats, ", ")), "see `poundlock --help`"}
	case isFile && isJournal(f):
		h = slog.NewTextHandler(journal{a.talk}, &slog.HandlerOptions{Level: &a.level, ReplaceAttr: withoutTime})
	case terminal || a.logFormat == "text":
		dull := !terminal || a.noColor || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb"
		h = tint.NewTextHandler(a.talk, &tint.Options{Level: &a.level, TimeFormat: time.TimeOnly, NoColor: dull})
	default:
		h = slog.NewJSONHandler(a.talk, plain)
	}
	return slog.New(redacting{h}), nil
}

// isJournal says whether a file is the stream that systemd connected to its journal. The variable alone is no
// proof: children of a service inherit it with other streams.
func isJournal(f *os.File) bool {
	info, err := f.Stat()
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && os.Getenv("JOURNAL_STREAM") == fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
}

// withoutTime leaves the time out: the journal has its own.
func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

// journal puts the level of a line in the form that the journal reads in the place of the handler's, which
// writes each line by one call and the level first.
type journal struct{ to io.Writer }

var journalLevels = []struct{ from, to string }{
	{"level=ERROR ", "<3>"}, {"level=WARN ", "<4>"}, {"level=INFO ", "<6>"}, {"level=DEBUG ", "<7>"},
}

func (j journal) Write(line []byte) (int, error) {
	out := line
	for _, l := range journalLevels {
		if rest, ok := bytes.CutPrefix(line, []byte(l.from)); ok {
			out = append([]byte(l.to), rest...)
		}
	}
	if _, err := j.to.Write(out); err != nil {
		return 0, err
	}
	return len(line), nil
}

// redacting takes out of every record what nobody should read: secrets, users and queries of URLs, and
// characters that steer a terminal.
type redacting struct{ next slog.Handler }

func (r redacting) Enabled(ctx context.Context, l slog.Level) bool { return r.next.Enabled(ctx, l) }

func (r redacting) Handle(ctx context.Context, in slog.Record) error {
	out := slog.NewRecord(in.Time, in.Level, discreet(in.Message), in.PC)
	in.Attrs(func(a slog.Attr) bool {
		out.AddAttrs(discreetAttr(a))
		return true
	})
	return r.next.Handle(ctx, out)
}

func (r redacting) WithAttrs(attrs []slog.Attr) slog.Handler {
	clean := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		clean[i] = discreetAttr(a)
	}
	return redacting{r.next.WithAttrs(clean)}
}

func (r redacting) WithGroup(name string) slog.Handler { return redacting{r.next.WithGroup(name)} }

func discreetAttr(a slog.Attr) slog.Attr {
	v := a.Value.Resolve()
	switch v.Kind() {
	case slog.KindString:
		v = slog.StringValue(discreet(v.String()))
	case slog.KindGroup:
		var inside []slog.Attr
		for _, one := range v.Group() {
			inside = append(inside, discreetAttr(one))
		}
		v = slog.GroupValue(inside...)
	case slog.KindAny: // errors, lists, structs: what they hold is not known, what they print is
		v = slog.StringValue(discreet(fmt.Sprint(v.Any())))
	}
	return slog.Attr{Key: a.Key, Value: v}
}

// query finds the query of an address, which may hold a secret. A quote may stand in it; one that is followed by
// the end of a word or by punctuation ends it.
var query = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://[^\s?#]*)\?(?:[^\s"'#]|["'][^\s:,;.)\]}])*`)

func discreet(text string) string {
	text = query.ReplaceAllString(mirror.Redact(wire.Mask(text)), "$1")
	lines := strings.Split(text, "\n") // line ends stay, since the handlers quote them
	for i, line := range lines {
		lines[i] = mirror.Printable(line)
	}
	return strings.Join(lines, "\n")
}
