package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/daemon/config"
)

func (a *app) statusCommand() *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use: "status", Short: "Show how every set is, what is copied, and when the daemon looks again", Args: cobra.NoArgs,
		Long: `Show how every set is: at rest, looking, copying, partial (something is refused or missing upstream), failing (with the time
of the next try), suspended or waiting. It asks the daemon; where none runs it shows what the last one left behind.

With -w the view follows the daemon until Ctrl-C, over its restarts, too. Off a terminal that is a line for each set
that changes, with -o json a document a line.`,
		Example: "  poundlock status\n  poundlock status -w\n  poundlock status -o json | jq '.sets[] | select(.state != \"at-rest\")'",
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "follow until Ctrl-C")
	output := a.outputFlag(cmd, asTable, asWide, asJSON, asYAML)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := a.load()
		if err != nil {
			return err
		}
		if watch {
			if *output == asYAML {
				return misused(cmd, "", "-w shows table, wide or json")
			}
			return a.watchStatus(cmd.Context(), c, *output)
		}
		s, err := a.status(cmd.Context(), c)
		if err != nil {
			return err
		}
		if *output == asJSON || *output == asYAML {
			return document(a.out, *output, s)
		}
		_, err = io.WriteString(a.out, a.statusText(s, *output, time.Now()))
		return err
	}
	return cmd
}

// status asks the daemon, or looks at what the last one left behind.
func (a *app) status(ctx context.Context, c config.Config) (daemon.Status, error) {
	var s daemon.Status
	err := a.ask(ctx, c, daemon.Options{Temporary: true, Offline: true},
		func(c *daemon.Client) (err error) { s, err = c.Status(ctx); return err },
		func(l *daemon.Line) (err error) { s, err = l.Status(ctx); return err })
	return s, err
}

// redial is how long a watcher waits before it looks for a daemon again.
const redial = 2 * time.Second

// watchStatus shows the status whenever it changes, until ctx ends, which is no failure.
func (a *app) watchStatus(ctx context.Context, c config.Config, f format) error {
	w := &watcher{app: a, format: f, screen: a.terminal().moves && f != asJSON, said: map[string]string{}}
	stop := every(time.Second, w.redraw) // times go by
	defer stop()
	for ctx.Err() == nil {
		client, err := daemon.Dial(c)
		if err == nil {
			err = client.Watch(ctx, w.show)
		} else if errors.Is(err, daemon.ErrNoDaemon) {
			var s daemon.Status
			if s, err = a.status(ctx, c); err == nil {
				err = w.show(s)
			}
		}
		gone := errors.Is(err, daemon.ErrDaemonEnded) || errors.Is(err, daemon.ErrNoDaemon) || temporary(err)
		if ctx.Err() == nil && err != nil && !gone {
			return err
		}
		pause(ctx, redial)
	}
	return nil
}

func temporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}

func pause(ctx context.Context, d time.Duration) {
	wait := time.NewTimer(d)
	defer wait.Stop()
	select {
	case <-ctx.Done():
	case <-wait.C:
	}
}

// watcher shows one status after another.
type watcher struct {
	app    *app
	format format
	screen bool // a terminal that is drawn anew; else lines

	mu    sync.Mutex
	last  *daemon.Status
	drawn string            // the screen, or the document, that was shown last
	said  map[string]string // by set, off a terminal
}

func (w *watcher) show(s daemon.Status) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = &s
	switch {
	case w.format == asJSON:
		return w.line(s)
	case w.screen:
		return w.draw()
	}
	for _, line := range changedLines(s, w.said) {
		if _, err := fmt.Fprintf(w.app.out, "%s  %s\n", s.At.Local().Format(time.TimeOnly), line); err != nil {
			return err
		}
	}
	return nil
}

// line writes a document, when anything in it is another than before.
func (w *watcher) line(s daemon.Status) error {
	at := s.At
	s.At = time.Time{}
	text, err := json.Marshal(s)
	if err != nil || string(text) == w.drawn {
		return err
	}
	s.At, w.drawn = at, string(text)
	return jsonLine(w.app.out, s)
}

// redraw draws the screen again where the passing of time changed it.
func (w *watcher) redraw() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.screen && w.last != nil {
		_ = w.draw() // the next change tells of a terminal that is gone
	}
}

func (w *watcher) draw() error {
	text := w.app.statusText(*w.last, w.format, time.Now())
	if text == w.drawn {
		return nil
	}
	clear := "\x1b[H"
	if w.drawn == "" {
		clear = "\x1b[H\x1b[2J"
	}
	w.drawn = text
	_, err := io.WriteString(w.app.out, clear+strings.ReplaceAll(text, "\n", "\x1b[K\n")+"\x1b[J")
	return err
}

// changedLines gives a line for the daemon and for each set that is in another state than was said before.
func changedLines(s daemon.Status, said map[string]string) []string {
	lines := []string{}
	say := func(key, text string) {
		if said[key] != text {
			said[key] = text
			lines = append(lines, text)
		}
	}
	who := noDaemon(s)
	if s.Daemon != nil {
		who = fmt.Sprintf("%s, pid %d", clean(s.Daemon.Command), s.Daemon.PID)
	}
	say("", who)
	for _, set := range s.Sets {
		say("set "+set.Set, clean(set.Set)+"  "+clean(stateOf(set, time.Time{})))
	}
	return lines
}

func noDaemon(s daemon.Status) string { return "no daemon runs on " + clean(s.StateDir) }
