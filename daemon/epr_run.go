package daemon

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/mirror"
)

// Outlet serves channels of packages as a process of its own, so that an upgrade of the daemon never takes Fleet down. It keeps
// nothing: any number of them may run.
type Outlet struct {
	Options
	// Load reads the configuration (config.LoadOutlet), at the start and whenever it may have changed.
	Load func() (config.Config, error)
	// Reload asks for that at once, as SIGHUP does; nil: only the files are watched.
	Reload <-chan struct{}
	// Began is told where it listens, by what the configuration says; nil: nobody is.
	Began func(addresses map[string]string)
}

// Run serves until ctx ends; then the error is nil. It does not wait for the registry: what is there is served as soon as it
// was read. A configuration that is wrong at the start is an error; one that becomes wrong later is refused.
func (o Outlet) Run(ctx context.Context) (err error) {
	c, err := o.Load()
	if err != nil {
		return err
	}
	var files watch
	files.file = c.File()
	files.attempt()
	files.refers(c)
	if len(c.EPR.Listen)+len(c.EPR.Ports) == 0 {
		return mirror.Problems{{Code: "CFG138", Path: "epr.listen", Where: mirror.Position{File: c.File()}, What: "epr.listen is missing: there is nowhere to serve channels",
			Fix: "add epr: {listen: 0.0.0.0:8080}"}}
	}
	for _, warning := range c.Warnings {
		o.Log.Warn(warning)
	}
	served := newOutlet(o.Log, o.Now, newMetricsAlone(o.Version), true)
	if err := served.change(c, c.Limits.Stop); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, served.close(c.Limits.Stop)) }()
	if o.Began != nil {
		o.Began(served.addresses())
	}
	tell := &notifier{log: o.Log}
	tell.ready()
	following, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- served.follow(following) }()
	look := time.NewTicker(watchEvery)
	defer look.Stop()
	for {
		asked := false
		select {
		case <-ctx.Done():
			tell.stopping(c.Limits.Stop)
			<-ended
			return nil
		case <-o.Reload:
			asked = true
		case <-look.C:
		}
		if !asked && !files.changed() {
			continue
		}
		tell.reloading()
		files.attempt()
		if next, err := o.reload(served, &files); err != nil {
			for _, p := range Advise(next, err) {
				o.Log.Error("configuration refused, the old one stays", adviceOf(p)...)
			}
		} else {
			c = next
			served.look()
			o.Log.Info("configuration in force", keyConfig, c.File())
		}
		tell.ready()
	}
}

// reload puts a changed configuration in force.
func (o Outlet) reload(served *outlet, files *watch) (config.Config, error) {
	next, err := o.Load()
	if err != nil {
		return next, err
	}
	files.refers(next)
	return next, served.change(next, next.Limits.Stop)
}

// openOutlet serves channels beside the line where the configuration says so. It outlives the line: while one line ends and
// the next begins, whoever asks for a package is answered. What it gives looks at the registry until the line ends.
func (l *Line) openOutlet() (follow func(context.Context) error, err error) {
	s := l.shared
	if len(l.config.EPR.Listen)+len(l.config.EPR.Ports) == 0 {
		err := s.outlet.close(l.config.Limits.Stop)
		s.outlet = nil
		return func(context.Context) error { return nil }, err
	}
	fresh := s.outlet == nil
	if fresh {
		s.outlet = newOutlet(l.log, l.now, l.metrics, false)
	}
	if err := s.outlet.change(l.config, l.config.Limits.Stop); err != nil {
		if fresh {
			s.outlet = nil
		}
		return nil, err
	}
	l.channels.told = s.outlet.look
	return s.outlet.follow, nil
}

// closeOutlet ends what is served at the end of the process.
func (s *shared) closeOutlet(within time.Duration) error {
	err := s.outlet.close(within)
	s.outlet = nil
	return err
}

// checkOutlet tries what an outlet of a changed configuration needs, beside the one that runs. What is not told here would end
// the daemon when the configuration is put in force.
func checkOutlet(c, now config.Config) error {
	if _, err := certificateOf(c); err != nil {
		return err
	}
	_, listens, _ := addressesOf(now.EPR)
	keys, addresses, _ := addressesOf(c.EPR)
	asBefore := (c.EPR.TLS.CertFile == "") == (now.EPR.TLS.CertFile == "")
	for _, key := range keys {
		address, stays, held := addresses[key], false, ""
		for _, before := range listens {
			stays = stays || before == address && asBefore
			if samePort(before, address) {
				held = before
			}
		}
		if stays {
			continue
		}
		err := canListen(address)
		if held != "" && errors.Is(err, syscall.EADDRINUSE) {
			return mirror.Problems{{Code: "CFG029", Path: key, Where: c.PlaceOf(key),
				What: fmt.Sprintf("%s: %s cannot be taken while channels are served at %s, which has the same port", key, address, held),
				Fix:  "restart the daemon, or choose another port"}}
		}
		if err != nil {
			return &listenError{key, err}
		}
	}
	return nil
}
