package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"go.etcd.io/bbolt"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/mirror"
)

// Bounds of what the socket answers.
const (
	maxOrder    = 256 << 10        // bytes of one body: a promotion may name many entries
	writeWithin = 10 * time.Second // one document of a stream
	stateWithin = 2 * time.Minute  // a copy of the state
	everyStatus = time.Second      // between two looks for a status that changed
)

// The documents that orders are given in and answered with.
type (
	order struct {
		Set    string `json:"set"`
		Reason string `json:"reason,omitempty"`
		By     string `json:"by,omitempty"`
		Commit string `json:"commit,omitempty"`

		Stage   mirror.Stage `json:"stage,omitempty"`
		Entries []string     `json:"entries,omitempty"`
		Way     Way          `json:"way,omitempty"`
		Back    bool         `json:"back,omitempty"`
		Newest  bool         `json:"newest,omitempty"`
		Freeze  string       `json:"freeze,omitempty"`
	}
	// Triggered is what came of asking for a run.
	Triggered struct {
		After     string      `json:"after"` // runs with a greater id began later
		At        time.Time   `json:"at"`
		Suspended *Suspension `json:"suspended,omitempty"` // the set is paused: no run will come
	}
	resumed struct {
		Was *Suspension `json:"was,omitempty"`
	}
	released struct {
		Places []mirror.Place `json:"places"`
	}
	happened struct {
		Events []Event `json:"events"`
	}
	refusedOrder struct {
		Type     string          `json:"type"`
		Version  int             `json:"version"`
		Kind     string          `json:"kind,omitempty"`
		Problems mirror.Problems `json:"problems"`
	}
)

// orders gives what the socket answers.
func (f *face) orders() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", f.on(f.tellStatus))
	mux.HandleFunc("GET /v1/state", f.on(tellState))
	mux.HandleFunc("GET /v1/events", f.on(tellEvents))
	mux.HandleFunc("POST /v1/trigger", f.obey(func(ctx context.Context, l *Line, o order) (any, error) { return l.Trigger(ctx, o.Set, o.By) }))
	mux.HandleFunc("POST /v1/suspend", f.obey(func(ctx context.Context, l *Line, o order) (any, error) {
		return l.Suspend(ctx, o.Set, o.Reason, o.By)
	}))
	mux.HandleFunc("POST /v1/acknowledge", f.obey(func(ctx context.Context, l *Line, o order) (any, error) { return l.Acknowledge(ctx, o.Commit, o.By) }))
	mux.HandleFunc("POST /v1/promote", f.obey(func(ctx context.Context, l *Line, o order) (any, error) { return l.Promote(ctx, o.promotion()) }))
	mux.HandleFunc("POST /v1/hold", f.obey(func(ctx context.Context, l *Line, o order) (any, error) {
		return l.Hold(ctx, o.Set, o.Stage, o.Entries, o.Reason, o.By)
	}))
	mux.HandleFunc("POST /v1/release", f.obey(func(ctx context.Context, l *Line, o order) (any, error) {
		places, err := l.Release(ctx, o.Set, o.Stage, o.Entries, o.By)
		return released{places}, err
	}))
	mux.HandleFunc("POST /v1/resume", f.obey(func(ctx context.Context, l *Line, o order) (any, error) {
		was, ok, err := l.Resume(ctx, o.Set, o.By)
		if !ok {
			return resumed{}, err
		}
		return resumed{&was}, err
	}))
	return mux
}

type handler func(w http.ResponseWriter, r *http.Request, l *Line) error

// on answers with the line that is in force.
func (f *face) on(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		l := f.line.Load()
		if l == nil {
			err := f.absent()
			refuseOrder(w, Advise(config.Config{}, err), err)
			return
		}
		if err := h(w, r, l); err != nil {
			refuseOrder(w, Advise(l.config, err), err)
		}
	}
}

// obey reads an order and answers with what came of it.
func (f *face) obey(do func(context.Context, *Line, order) (any, error)) http.HandlerFunc {
	return f.on(func(w http.ResponseWriter, r *http.Request, l *Line) error {
		var o order
		read := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxOrder))
		read.DisallowUnknownFields()
		if err := read.Decode(&o); err != nil {
			return mirror.Problems{{Code: "CTL002", What: "the order cannot be read: " + err.Error(), Fix: "use a command of the daemon's own version"}}
		}
		if err := f.begin(l); err != nil {
			return err
		}
		defer l.orders.Done()
		answer, err := do(r.Context(), l, o)
		if err != nil {
			return err
		}
		return answerWith(w, answer)
	})
}

func answerWith(w http.ResponseWriter, v any) error {
	if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeWithin)); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // a client that went away is nobody's error
	return nil
}

func (f *face) tellStatus(w http.ResponseWriter, r *http.Request, _ *Line) error {
	s, err := f.status(r.Context())
	if err != nil {
		return err
	}
	if r.FormValue("follow") == "" {
		return answerWith(w, s)
	}
	tick := time.NewTicker(everyStatus)
	defer tick.Stop()
	var before string
	for {
		s.At = time.Time{}
		now, err := json.Marshal(s)
		if err != nil {
			return err
		}
		if string(now) != before {
			before, s.At = string(now), f.now().UTC()
			if send(w, s) != nil {
				return nil
			}
		}
		for again := true; again; again = err != nil {
			select {
			case <-r.Context().Done():
				return nil
			case <-tick.C:
			}
			s, err = f.status(r.Context())
		}
	}
}

// send writes one document of a stream as a line.
func send(w http.ResponseWriter, v any) error {
	stream := http.NewResponseController(w)
	if err := stream.SetWriteDeadline(time.Now().Add(writeWithin)); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/jsonl")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		return err
	}
	return stream.Flush()
}

// tellState sends a copy of the state. It is written to a file that has no name any more before it is sent: a
// transaction that waits for a slow client would hold up the line.
func tellState(w http.ResponseWriter, _ *http.Request, l *Line) error {
	l.keep()
	spool, err := os.CreateTemp(l.config.StateDir, "copy-")
	if err != nil {
		return err
	}
	defer spool.Close()
	if err := os.Remove(spool.Name()); err != nil {
		return err
	}
	if err := l.state.db.View(func(tx *bbolt.Tx) error { _, err := tx.WriteTo(spool); return err }); err != nil {
		return err
	}
	size, err := spool.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if _, err := spool.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(stateWithin)); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	_, _ = io.Copy(w, spool) // a client that went away is nobody's error
	return nil
}

func tellEvents(w http.ResponseWriter, r *http.Request, l *Line) error {
	filter := Filter{Set: r.FormValue("set"), Type: EventType(r.FormValue("type"))}
	var errs []error
	if since := r.FormValue("since"); since != "" {
		var err error
		filter.Since, err = time.Parse(time.RFC3339Nano, since)
		errs = append(errs, err)
	}
	if n := r.FormValue("n"); n != "" {
		var err error
		filter.N, err = strconv.Atoi(n)
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return mirror.Problems{{Code: "CTL002", What: "the order cannot be read: " + err.Error(), Fix: "use a command of the daemon's own version"}}
	}
	next, stop := l.shared.events.follow()
	defer stop()
	events, err := l.Events(filter)
	if err != nil {
		return err
	}
	if r.FormValue("follow") == "" {
		return answerWith(w, happened{events})
	}
	if err := http.NewResponseController(w).Flush(); err != nil {
		return err
	}
	told := map[string]bool{}
	for _, e := range events {
		if told[e.ID] = true; send(w, e) != nil {
			return nil
		}
	}
	for {
		select {
		case <-r.Context().Done():
			return nil
		case e, ok := <-next:
			if !ok {
				return nil // too far behind
			}
			if !told[e.ID] && filter.wants(e) && send(w, e) != nil {
				return nil
			}
		}
	}
}
