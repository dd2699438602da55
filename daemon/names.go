package daemon

import (
	"context"
	"log/slog"
	"slices"
	"time"
)

// Names are the words of a fleet that commands take as arguments.
type Names struct {
	Sets    []string
	Entries []string // as set/entry
	Stages  []string // each once, lowest first
}

// LastNames gives the names of the fleet repository as it was fetched last. It uses no network and writes to
// no log.
func LastNames(ctx context.Context, c Config) (n Names, err error) {
	l, err := Open(ctx, c, Options{Temporary: true, Offline: true, Log: slog.New(slog.DiscardHandler), Now: time.Now})
	if err != nil {
		return n, err
	}
	defer func() {
		if closeErr := l.Close(context.WithoutCancel(ctx)); err == nil {
			err = closeErr
		}
	}()
	f, err := l.refresh(ctx)
	if f == nil {
		return n, err
	}
	for _, set := range f.desired.Sets {
		n.Sets = append(n.Sets, set.Name)
		for _, e := range set.Entries {
			n.Entries = append(n.Entries, set.Name+"/"+e.Name)
		}
		for _, stage := range set.Stages {
			if !slices.Contains(n.Stages, string(stage)) {
				n.Stages = append(n.Stages, string(stage))
			}
		}
	}
	return n, nil
}
