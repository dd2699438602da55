package daemon

import (
	"errors"

	"github.com/poundlock/poundlock/internal/mirror"
)

// present looks whether others still find the daemon by what it holds. Without its state directory it ends, so that
// a service manager starts it anew: the lock went with it. A socket that is gone is made again.
func (s *service) present() error {
	if s.held.state.gone() {
		return stateGone(s.config)
	}
	if !s.socket.lost() {
		s.unheard = ""
		return nil
	}
	again, err := s.face.listenSocket(s.config)
	if err != nil {
		if s.unheard != err.Error() { // told once, and tried at each look
			s.unheard = err.Error()
			s.tell(s.config, "the socket is gone and cannot be made again", err)
		}
		return nil
	}
	s.Log.Warn("the socket was gone; it is made again", keyAddress, s.config.SocketPath())
	if err := s.socket.close(); err != nil {
		s.Log.Warn("the socket was not closed in order", keyError, err)
	}
	s.socket, s.unheard = again, ""
	return nil
}

// ending is why a line takes no orders any more. What it knows is shown until another line is there.
type ending struct {
	problem   mirror.Problem
	takenOver bool // by another line; else the daemon ends
}

// endingOf says why the line ends after run.
func (s *service) endingOf(next *candidate, err error) *ending {
	within := s.config.Limits.Stop
	switch {
	case err != nil:
		return &ending{problem: Advise(s.config, err)[0]}
	case next == nil:
		return &ending{problem: mirror.Problem{Code: "CTL007", What: "stopping: copies in flight may land for up to " + within.String(), Path: "limits.stop",
			Fix: "ask again when it runs again; `poundlock status` answers until it has ended"}}
	}
	return &ending{takenOver: true, problem: mirror.Problem{Code: "CTL003", What: "a changed configuration is taking over; copies in flight may land for up to " + within.String(), Path: "limits.stop",
		Fix: "try again then; `poundlock status` and `poundlock events` answer meanwhile"}}
}

// away is why nobody takes orders just now.
type away struct{ problem mirror.Problem }

func (e away) Error() string { return e.problem.What }

func (e away) Unwrap() error { return e.problem }

// Temporary says that a later order may be taken.
func (away) Temporary() bool { return true }

var errOpening = away{mirror.Problem{Code: "CTL003", What: "starting", Fix: "try again in a moment"}}

// takesOrders gives the error for an order that comes while the line ends.
func (f *face) takesOrders() error {
	if e := f.ending.Load(); e != nil {
		return away{e.problem}
	}
	return nil
}

// absent gives why there is no line.
func (f *face) absent() error {
	if err := f.takesOrders(); err != nil {
		return err
	}
	return errOpening
}

// trouble gives why the daemon ends, for /readyz.
func (f *face) trouble() error {
	if e := f.ending.Load(); e != nil && !e.takenOver {
		return errors.New(e.problem.What)
	}
	return nil
}
