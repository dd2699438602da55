package daemon

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/mirror"
)

// Service is the daemon as a process sees it: one Line after another, each for the configuration that is in
// force, behind one listener and one lock. What it tells systemd goes through NOTIFY_SOCKET.
type Service struct {
	Options
	// Load reads the configuration, at the start and whenever it may have changed.
	Load func() (config.Config, error)
	// Reload asks for that at once, as SIGHUP does; nil: only the files are watched.
	Reload <-chan struct{}
	// Began is told of every line when it starts to run, with the address of the page; nil: nobody is.
	Began func(l *Line, address string)
	// Looked is told once, when the first cycle has ended; nil: nobody is.
	Looked func(l *Line, address string)
}

// shared is what outlives a line: the next one takes it over.
type shared struct {
	metrics *metrics // counters go on over a reload
	heart   *heart
	clock   atomic.Pointer[clock]
	looked  func(*Line) // called after each cycle
	state   *State      // nil: the line opens its own and lets it go again
	events  *history
	orphans sync.Map // names of sets that nobody asks for any more, as the log told
	strays  sync.Map // names of stages of the floor that no set has, as the log told
	notes   sync.Map // what is to be known of rendered folders, by path, as the log told
	outlet  *outlet  // of channels of packages; nil: none are served
	command string   // what the process was called for, its version and since when it runs
	version string
	since   time.Time
}

func (o Options) share() *shared {
	if o.shared != nil {
		return o.shared
	}
	return &shared{metrics: newMetrics(o.Version), heart: newHeart(o.Now), looked: func(*Line) {},
		events: &history{}, command: o.Command, version: o.Version, since: o.Now()}
}

// openState gives the line its state: the one that the service holds, else its own.
func (l *Line) openState(dir string, o Options) (err error) {
	if l.state = l.shared.state; l.state != nil {
		return nil
	}
	if o.Temporary {
		l.state, err = OpenState(dir) // a folder that nobody else knows
		l.onClose(func(context.Context) error { return l.state.Close() })
		return err
	}
	var unlock func(context.Context) error
	if l.state, unlock, err = lock(l.config, o); err != nil {
		return err
	}
	l.onClose(unlock)
	return nil
}

// service is a Service that runs.
type service struct {
	Service
	config config.Config
	held   hold
	server *server
	socket *socket
	face   *face
	notify *notifier
	watch  watch

	unheard string // why the socket cannot be made again, as the log told
}

// errTakingOver ends a line for a changed configuration.
var errTakingOver = errors.New("a changed configuration is taking over")

// hold is a state directory whose lock we have.
type hold struct {
	dir    string
	state  *State
	unlock func(context.Context) error
}

// take locks the state directory of a configuration.
func (o Service) take(c config.Config) (hold, error) {
	state, unlock, err := lock(c, o.Options)
	return hold{c.StateDir, state, unlock}, err
}

// Run runs the daemon until ctx ends; then the error is nil. A configuration that is wrong at the start is an
// error; one that becomes wrong later is refused, and the one before stays in force.
func (o Service) Run(ctx context.Context) (err error) {
	s := &service{Service: o, notify: &notifier{log: o.Log}}
	if s.config, err = o.Load(); err != nil {
		return err
	}
	s.watch.file = s.config.File()
	s.watch.attempt()
	s.watch.refers(s.config)
	for _, warning := range s.config.Warnings {
		o.Log.Warn(warning)
	}
	if s.held, err = o.take(s.config); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.held.unlock(context.WithoutCancel(ctx))) }()
	o.Log.Info("starting", keyVersion, o.Version, keyConfig, s.config.File(), keyState, s.config.StateDir)
	s.shared = o.share()
	s.shared.looked = s.firstLook()
	s.face = newFace(s.shared.metrics, o.Now)
	s.accept()
	line, err := s.open(ctx, s.config)
	if err != nil {
		return err
	}
	if s.server, err = s.face.listen(s.config.Listen); err != nil {
		return errors.Join(err, line.Close(context.WithoutCancel(ctx)))
	}
	o.Log.Info("listening", keyAddress, s.server.address())
	defer func() { err = errors.Join(err, s.closeServer(ctx, s.server)) }()
	s.face.shows(s.server.address())
	if s.socket, err = s.face.listenSocket(s.config); err != nil {
		return errors.Join(err, line.Close(context.WithoutCancel(ctx)))
	}
	defer func() { err = errors.Join(err, s.socket.close()) }()
	defer func() { err = errors.Join(err, s.shared.closeOutlet(s.config.Limits.Stop)) }()
	defer s.report(ctx)()
	s.notify.ready()
	return s.lines(ctx, line)
}

// lines runs one line after another until ctx ends.
func (s *service) lines(ctx context.Context, line *Line) error {
	for {
		next, err := s.run(ctx, line)
		s.face.end(line, s.endingOf(next, err))
		if next == nil {
			s.Log.Info("stopping", keyWithin, s.config.Limits.Stop.String())
			s.notify.stopping(s.config.Limits.Stop)
		}
		s.busy(s.config.Limits.Stop)
		closed := line.Close(context.WithoutCancel(ctx))
		if next == nil || err != nil || ctx.Err() != nil {
			return errors.Join(err, closed, next.drop(ctx))
		}
		if closed != nil { // what it held besides the state, which is the service's
			s.Log.Warn("the line did not end in order", keyError, closed)
		}
		if line, err = s.change(ctx, next); err != nil {
			return err
		}
		s.notify.ready()
	}
}

// run lets a line run until ctx ends, it fails, or a changed configuration that may follow it is found.
func (s *service) run(ctx context.Context, line *Line) (next *candidate, err error) {
	line.arrive = nil // a daemon tells its story by the log
	s.face.line.Store(line)
	s.face.ending.Store(nil)
	if s.Began != nil {
		s.Began(line, s.server.address())
	}
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() error { return line.follow(gctx) })
	group.Go(func() error {
		if next, err = s.changes(gctx, line); err != nil {
			return err
		}
		return errTakingOver // ends the line
	})
	if err := group.Wait(); errors.Is(err, errTakingOver) || errors.Is(err, context.Canceled) {
		return next, nil
	} else {
		return next, err
	}
}

// open makes a line for a configuration, on the state that is held.
func (s *service) open(ctx context.Context, c config.Config) (*Line, error) {
	s.busy(c.Limits.Stop)
	s.shared.state = s.held.state
	return Open(ctx, c, s.Options)
}

// busy keeps the watchdog fed while something takes its time that is no cycle.
func (s *service) busy(within time.Duration) {
	s.shared.heart.work(within + overtime)
}

// report begins to tell the service manager how the daemon is; what it gives ends that.
func (s *service) report(ctx context.Context) (end func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // a stop takes its time, too
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.notify.follow(ctx, s.shared.heart, s.status)
	}()
	return func() { cancel(); <-done }
}

// status is the line for `systemctl status`.
func (s *service) status() string {
	line, refused := s.face.line.Load(), s.face.refused.Load()
	status := errOpening.Error()
	if err := s.face.takesOrders(); err != nil {
		status = err.Error()
	} else if line != nil {
		status = line.statusLine()
	}
	if refused != nil {
		status = fmt.Sprintf("changed configuration refused at %s, the old one is in force; %s", refused.at.Format("15:04"), status)
	}
	return status
}

// firstLook gives what is called after each cycle, and tells of the first one.
func (s *service) firstLook() func(*Line) {
	var once sync.Once
	return func(l *Line) {
		once.Do(func() {
			s.Log.Info("first look done", keySets, len(l.Sets()), keyNext, l.NextLook())
			if s.Looked != nil {
				s.Looked(l, s.server.address())
			}
		})
	}
}

// tell tells of an error of the service as the problems that it is, by the configuration that it is about.
func (s *service) tell(c config.Config, message string, err error) mirror.Problems {
	problems := Advise(c, err)
	for _, p := range problems {
		s.Log.Error(message, adviceOf(p)...)
	}
	return problems
}

func (s *service) closeServer(ctx context.Context, server *server) error {
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.config.Limits.Stop)
	defer cancel()
	return server.close(stop)
}
