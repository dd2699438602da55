package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"log"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/epr"
)

// listenAt is an address that an outlet listens on.
type listenAt struct {
	address string
	secure  bool
}

// outletServer answers at one address: for every channel, or for one at the root.
type outletServer struct {
	http     *http.Server
	listener net.Listener
	channel  atomic.Pointer[epr.Name] // nil: every channel
	done     chan error
}

// addressesOf gives what a configuration listens on for channels, by the key that names it; the channel is the zero one for
// all of them.
func addressesOf(c config.EPR) (keys []string, addresses map[string]string, channels map[string]epr.Name) {
	addresses, channels = map[string]string{}, map[string]epr.Name{}
	if c.Listen != "" {
		addresses["epr.listen"] = c.Listen
	}
	for name, address := range c.Ports {
		if n, err := epr.ParseName(name); err == nil { // told by the checks of the configuration
			addresses["epr.ports."+name], channels["epr.ports."+name] = address, n
		}
	}
	return sortedKeys(addresses), addresses, channels
}

// change puts a configuration in force: addresses that stay keep their connections, others are opened before anything is
// closed. Where that fails, everything stays as it is.
func (o *outlet) change(c config.Config, stop time.Duration) error {
	s, err := supplyOf(c, o.metrics.observe)
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	keys, addresses, channels := addressesOf(c.EPR)
	kept, opened := map[listenAt]*outletServer{}, map[listenAt]*outletServer{}
	for _, key := range keys {
		at := listenAt{addresses[key], s.certificate != nil}
		if server := o.servers[at]; server != nil {
			kept[at] = server
			continue
		}
		server, err := o.open(at)
		if err != nil {
			closeAll(opened, 0)
			s.out.Close()
			return &listenError{key, err}
		}
		opened[at] = server
	}
	before := o.inForce.Load()
	o.inForce.Store(s)
	gone := map[listenAt]*outletServer{}
	for at, server := range o.servers {
		if kept[at] == nil {
			gone[at] = server
		}
	}
	o.servers = kept
	for at, server := range opened {
		o.servers[at] = server
		go func() { server.done <- server.serve(at.secure) }()
	}
	for _, key := range keys {
		at := listenAt{addresses[key], s.certificate != nil}
		var only *epr.Name
		if n, ok := channels[key]; ok {
			only = &n
		}
		o.servers[at].channel.Store(only)
		if opened[at] != nil {
			channel := "every"
			if only != nil {
				channel = only.String()
			}
			o.log.Info("channels are served", keyAddress, opened[at].listener.Addr().String(), keyChannel, channel)
		}
	}
	err = closeAll(gone, stop)
	if before != nil {
		before.out.Close()
	}
	return err
}

// open listens at an address. Nothing is answered before serve.
func (o *outlet) open(at listenAt) (*outletServer, error) {
	listener, err := net.Listen("tcp", at.address)
	if err != nil {
		return nil, err
	}
	s := &outletServer{listener: listener, done: make(chan error, 1)}
	all := o.routes()
	s.http = &http.Server{ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: log.New(quiet{o}, "", 0),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			only := s.channel.Load()
			if only == nil {
				all.ServeHTTP(w, r)
			} else if offer := (*o.offers.Load())[*only]; offer != nil {
				o.serve(w, r, offer, "")
			} else {
				http.Error(w, "there is no channel "+only.String(), http.StatusNotFound)
			}
		})}
	if at.secure {
		s.http.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if c := o.inForce.Load().certificate; c != nil {
				return c.get(o.log)
			}
			return nil, errors.New("no certificate is configured")
		}}
	}
	return s, nil
}

func (s *outletServer) serve(secure bool) error {
	if secure {
		return s.http.ServeTLS(s.listener, "", "")
	}
	return s.http.Serve(s.listener)
}

// addresses gives where the outlet listens, by what the configuration says.
func (o *outlet) addresses() map[string]string {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := map[string]string{}
	for at, s := range o.servers {
		all[at.address] = s.listener.Addr().String()
	}
	return all
}

// close ends all listeners; answers under way may end within a time.
func (o *outlet) close(within time.Duration) error {
	if o == nil {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	err := closeAll(o.servers, within)
	o.servers = map[listenAt]*outletServer{}
	if s := o.inForce.Load(); s != nil {
		s.out.Close()
	}
	return err
}

// closeAll closes servers side by side. One that was only opened was never served.
func closeAll(all map[listenAt]*outletServer, within time.Duration) error {
	ended := make(chan error, len(all))
	for _, s := range all {
		go func() {
			if within == 0 {
				ended <- s.listener.Close()
				return
			}
			ctx, cancel := context.WithTimeout(context.Background(), within)
			defer cancel()
			err := s.http.Shutdown(ctx)
			if ctx.Err() != nil {
				err = s.http.Close() // whoever reads that slowly shall not make an orderly stop a failed one
			}
			if served := <-s.done; err == nil && !errors.Is(served, http.ErrServerClosed) {
				err = served
			}
			ended <- err
		}()
	}
	var errs []error
	for range all {
		errs = append(errs, <-ended)
	}
	return errors.Join(errs...)
}

// quiet takes what the HTTP server says of clients, such as one that speaks no TLS: anybody can make it say that.
type quiet struct{ o *outlet }

// Write tells it to those who ask for everything.
func (q quiet) Write(b []byte) (int, error) {
	q.o.log.Debug("a client of the channels", keyError, strings.TrimSpace(clean(string(b))))
	return len(b), nil
}
