package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// face is what the daemon shows over HTTP: health, metrics and a page. It is read-only, and it outlives the
// lines that it shows.
type face struct {
	line     atomic.Pointer[Line]   // nil before the first one runs
	ending   atomic.Pointer[ending] // nil: it goes on
	refused  atomic.Pointer[refusal]
	accepted atomic.Pointer[time.Time] // when the configuration in force was read
	at       atomic.Pointer[string]    // the address of the page; nil: there is none
	metrics  *metrics
	now      func() time.Time
	ordering sync.Mutex // held where an order begins, and where a line begins to end
}

// refusal is a changed configuration that did not come into force.
type refusal struct {
	at       time.Time
	problems mirror.Problems
}

func newFace(m *metrics, now func() time.Time) *face { return &face{metrics: m, now: now} }

// routes gives what is answered.
func (f *face) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := f.ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	mux.Handle("GET /metrics", f.metrics.handler())
	mux.HandleFunc("GET /{$}", f.page)
	mux.HandleFunc("POST /hooks/{name}", f.hooks)
	return mux
}

func (f *face) ready() error {
	l := f.line.Load()
	if l == nil {
		return f.absent()
	}
	return errors.Join(f.trouble(), l.ready())
}

// server is a face on one address.
type server struct {
	http     *http.Server
	listener net.Listener
	done     chan error
}

// listenError is an address of the configuration that cannot be listened on.
type listenError struct {
	key string // that names it
	err error
}

func (e *listenError) Error() string { return e.key + ": " + e.err.Error() }

func (e *listenError) Unwrap() error { return e.err }

// listen listens at once, so that an address in use is an error at start and not a line in the log.
func (f *face) listen(addr string) (*server, error) { return serve("listen", addr, f.routes()) }

// serve answers at an address, which a key of the configuration names.
func serve(key, addr string, routes http.Handler) (*server, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, &listenError{key, err}
	}
	s := &server{listener: listener, done: make(chan error, 1),
		http: &http.Server{Handler: routes, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10}}
	go func() { s.done <- s.http.Serve(listener) }()
	return s, nil
}

// address gives where the server listens, with the port that it really has.
func (s *server) address() string { return s.listener.Addr().String() }

// close stops the server and waits for answers under way, within the context; then it breaks them off, which is
// no error: whoever reads that slowly shall not make an orderly stop a failed one.
func (s *server) close(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if ctx.Err() != nil {
		err = s.http.Close()
	}
	if served := <-s.done; err == nil && !errors.Is(served, http.ErrServerClosed) {
		err = served
	}
	return err
}
