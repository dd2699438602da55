package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// server answers health and metrics. It is read-only.
type server struct {
	http     *http.Server
	listener net.Listener
	done     chan error
}

// serve listens at once, so that an address in use is an error at start and not a line in the log.
func (l *Line) serve(addr string) (*server, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := l.ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	mux.Handle("GET /metrics", l.metrics.handler())
	s := &server{listener: listener, done: make(chan error, 1),
		http: &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10}}
	go func() { s.done <- s.http.Serve(listener) }()
	return s, nil
}

// close stops the server and waits for it, within the context.
func (s *server) close(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if served := <-s.done; err == nil && !errors.Is(served, http.ErrServerClosed) {
		err = served
	}
	return err
}
