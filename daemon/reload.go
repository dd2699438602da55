package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/mirror"
)

// candidate is a changed configuration that passed every check that can be made beside a running line, with
// what was taken for it already.
type candidate struct {
	config config.Config
	server *server // listens on its address; nil: the one that runs stays
	socket *socket // the same for the commands
	held   hold    // the lock of its state directory; the zero one: the one that is held stays
}

// changes waits until the configuration changes to another one that can come into force. One that cannot is
// refused: nothing of the running line is touched.
func (s *service) changes(ctx context.Context, line *Line) (*candidate, error) {
	look := time.NewTicker(watchEvery)
	defer look.Stop()
	for {
		asked := false
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-s.Reload:
			asked = true
		case <-look.C:
			if err := s.present(); err != nil {
				s.tell(s.config, "the daemon ends", err)
				return nil, err
			}
		}
		if !asked && !s.watch.changed() {
			continue
		}
		s.notify.reloading()
		next, of, err := s.prepare(ctx)
		switch {
		case ctx.Err() != nil:
			return nil, errors.Join(ctx.Err(), next.drop(ctx))
		case err != nil:
			s.refuse(line, of, err)
		case next != nil:
			return next, nil // ready is told when it is in force
		default:
			s.accept()
			s.Log.Info("the configuration is what is in force already")
			line.wakes.add(Wake{Why: "reload"}) // what it names outside of itself, such as the floor, is read again
		}
		s.notify.ready()
	}
}

// prepare reads the configuration and does all that can fail before the running line is touched: it reads
// the secrets and what TLS needs, opens Git and the transport beside, listens where the address is another one,
// and takes the lock of another state directory. nil means that what is in force is asked for. An error is about the
// configuration that is given with it: the one that was read, or the one in force when nothing could be read.
func (s *service) prepare(ctx context.Context) (*candidate, config.Config, error) {
	s.watch.attempt()
	c, err := s.Load()
	if err != nil {
		return nil, s.config, err
	}
	s.watch.refers(c)
	if c.Same(s.config) && s.watch.seen.others == s.watch.inForce {
		return nil, c, nil
	}
	next, err := s.candidate(ctx, c)
	return next, c, err
}

// candidate tries out a configuration and takes what it needs besides what is held.
func (s *service) candidate(ctx context.Context, c config.Config) (_ *candidate, err error) {
	for _, warning := range c.Warnings {
		s.Log.Warn(warning)
	}
	if err := rehearse(ctx, c, s.Options); err != nil {
		return nil, err
	}
	next := &candidate{config: c}
	defer func() {
		if err != nil {
			err = errors.Join(err, next.drop(ctx))
		}
	}()
	if c.StateDir != s.config.StateDir {
		if next.held, err = s.take(c); err != nil {
			return nil, err
		}
	}
	// The embedded registry that runs is closed before the next one listens: its own port is free then.
	at, now := c.Registries[config.LocalRegistry].Embedded.Listen, s.config.Registries[config.LocalRegistry].Embedded.Listen
	if at != "" && !samePort(at, now) {
		if err := canListen(at); err != nil {
			return nil, &listenError{embeddedListen, err}
		}
	}
	if at := c.Webhooks.Listen; at != "" && !samePort(at, s.config.Webhooks.Listen) {
		if err := canListen(at); err != nil {
			return nil, &listenError{hooksListen, err}
		}
	}
	if err := checkOutlet(c, s.config); err != nil {
		return nil, err
	}
	if c.Listen != s.config.Listen {
		next.server, err = s.face.listen(c.Listen)
		if errors.Is(err, syscall.EADDRINUSE) && samePort(c.Listen, s.server.address()) {
			return nil, mirror.Problems{{Code: "CFG029", Path: "listen", Where: c.PlaceOf("listen"),
				What: fmt.Sprintf("listen: %s cannot be taken while the daemon listens on %s, which has the same port", c.Listen, s.server.address()),
				Fix:  "restart the daemon, or choose another port"}}
		}
		if err != nil {
			return nil, err
		}
	}
	if c.SocketPath() != s.config.SocketPath() {
		if next.socket, err = s.face.listenSocket(c); err != nil {
			return nil, err
		}
	}
	return next, nil
}

func samePort(a, b string) bool {
	_, one, err := net.SplitHostPort(a)
	_, other, bad := net.SplitHostPort(b)
	return err == nil && bad == nil && one == other && one != "0"
}

func canListen(addr string) error {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	return listener.Close()
}

// rehearse opens what a line opens, in a folder of its own and without the state, and closes it again.
func rehearse(ctx context.Context, c config.Config, o Options) (err error) {
	if err := errors.Join(c.CheckSecrets().Err(), checkFloor(c), checkSite(c), CheckSigners(c).Err(), checkTelling(c).Err(), checkSealing(c).Err(), checkPackageKey(c).Err()); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "poundlock-reload-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	l := &Line{config: c, log: o.Log, now: o.Now, metrics: newMetrics(o.Version)}
	return errors.Join(l.openClients(ctx, dir), l.Close(context.WithoutCancel(ctx)))
}

// change puts a candidate in force. Where that fails after all, the configuration before is opened again.
//
// The lock: the service holds the state, not the line, so no other process can get at a state directory while
// the lines change. A changed stateDir is locked before the old one is let go. The embedded registry does stop
// for a moment: it belongs to the line.
func (s *service) change(ctx context.Context, next *candidate) (*Line, error) {
	before, held := s.config, s.held
	if next.held.state != nil {
		s.held = next.held
	}
	line, err := s.open(ctx, next.config)
	if err != nil {
		s.held = held
		line, failed := s.open(ctx, before)
		if failed != nil {
			return nil, errors.Join(err, next.drop(ctx), fmt.Errorf("the configuration before: %w", failed))
		}
		s.refuse(line, next.config, errors.Join(err, next.drop(ctx)))
		return line, nil
	}
	s.config = next.config
	if next.held.state != nil {
		s.face.line.Store(nil) // the one before shows what stands there
		err = errors.Join(err, held.unlock(ctx))
	}
	if next.server != nil {
		err = errors.Join(err, s.closeServer(ctx, s.server))
		s.server = next.server
		s.face.shows(s.server.address())
		s.Log.Info("listening", keyAddress, s.server.address())
	}
	if next.socket != nil {
		err = errors.Join(err, s.socket.close())
		s.socket = next.socket
	}
	if err != nil {
		s.Log.Warn("what the configuration before held was not let go in order", keyError, err)
	}
	s.accept()
	line.emit(Event{Type: EventReloaded, Reason: next.config.File()})
	line.keep()
	return line, nil
}

// drop lets go what was taken for a candidate that does not come into force.
func (c *candidate) drop(ctx context.Context) error {
	if c == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.config.Limits.Stop)
	defer cancel()
	var errs []error
	if c.server != nil {
		errs = append(errs, c.server.close(ctx))
	}
	errs = append(errs, c.socket.close())
	if c.held.state != nil {
		errs = append(errs, c.held.unlock(ctx))
	}
	return errors.Join(errs...)
}

// accept says that what the files ask for is in force.
func (s *service) accept() {
	s.watch.accept()
	s.face.refused.Store(nil)
	at := s.Now()
	s.face.accepted.Store(&at)
	s.shared.metrics.reloaded(s.Now())
}

// refuse tells everyone that a changed configuration, which err is about, did not come into force.
func (s *service) refuse(line *Line, c config.Config, err error) {
	problems := s.tell(c, "configuration refused, the old one stays", err)
	s.face.refused.Store(&refusal{at: s.Now(), problems: problems})
	s.shared.metrics.reloadOK.Set(0)
	words := make([]string, len(problems))
	for i, p := range problems {
		words[i] = strings.TrimPrefix(fmt.Sprintf("%s %s: %s", p.Where, p.Code, p.What), " ")
	}
	line.emit(Event{Type: EventReloadFailed, Reason: strings.Join(words, "; ")})
	line.keep()
}

// reloaded says that what the files ask for came into force, or is.
func (m *metrics) reloaded(at time.Time) {
	m.reloadOK.Set(1)
	m.reloadAt.Set(float64(at.Unix()))
}
