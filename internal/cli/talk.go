package cli

import (
	"io"
	"os"
	"sync"
)

// talker is standard error. While progress is drawn there, what else is written appears above it.
type talker struct {
	to io.Writer

	mu    sync.Mutex
	drawn *drawing
}

// Write writes to whoever listens.
func (t *talker) Write(b []byte) (int, error) {
	t.mu.Lock()
	drawn := t.drawn
	t.mu.Unlock()
	if drawn != nil {
		if n, err := drawn.Write(b); err == nil {
			return n, nil // else the drawing ended meanwhile
		}
	}
	return t.to.Write(b)
}

// draws says what is drawn from now on; nil: nothing.
func (t *talker) draws(d *drawing) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.drawn = d
}

// fileOf gives the file that a stream of ours writes to, if it is one.
func fileOf(w io.Writer) (*os.File, bool) {
	switch s := w.(type) {
	case *pipe:
		w = s.to
	case *talker:
		w = s.to
	}
	f, ok := w.(*os.File)
	return f, ok
}
