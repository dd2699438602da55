package testenv

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

// Server serves a handler on a loopback address, behind a Proxy.
type Server struct {
	proxy  *Proxy
	listen net.Listener
	server *http.Server
	ended  chan struct{}
	busy   sync.WaitGroup // handlers that run
}

// NewServer serves next on a free port of 127.0.0.1.
func NewServer(next http.Handler) (*Server, error) { return NewServerAt("127.0.0.1:0", next) }

// NewServerAt serves next on the given host:port; port 0 takes a free one.
func NewServerAt(addr string, next http.Handler) (*Server, error) {
	return serve(addr, NewProxy(next))
}

func serve(addr string, proxy *Proxy) (*Server, error) {
	listen, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("testenv: %w", err)
	}
	s := &Server{proxy: proxy, listen: listen, ended: make(chan struct{})}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.busy.Add(1)
		defer s.busy.Done()
		proxy.ServeHTTP(w, r)
	})
	s.server = &http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0)}
	go func() {
		defer close(s.ended)
		_ = s.server.Serve(listen) // ends with ErrServerClosed
	}()
	return s, nil
}

// Host gives host:port as references name it.
func (s *Server) Host() string { return s.listen.Addr().String() }

// URL gives the address with its scheme.
func (s *Server) URL() string { return "http://" + s.Host() }

// Proxy gives the wrapper that counts and breaks.
func (s *Server) Proxy() *Proxy { return s.proxy }

// Close cuts all connections and frees the port. Requests that run see their end and are waited for, so that nothing is
// written any more to a folder that goes next; one that a test holds back is not waited for.
func (s *Server) Close() {
	_ = s.server.Close() // only says that the listener was closed before
	<-s.ended
	idle := make(chan struct{})
	go func() {
		defer close(idle)
		s.busy.Wait()
	}()
	select {
	case <-idle:
	case <-time.After(heldBack):
	}
}

// heldBack is how long Close waits for a request that runs; one that takes longer is held back by a test.
const heldBack = 2 * time.Second
