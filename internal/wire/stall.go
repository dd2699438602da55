package wire

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// stall is how long a body may stand still, in either direction, before the request is given up. A slow
// body is no error, one that has ended silently is.
const stall = time.Minute

var errStalled = errors.New("connection stands still")

// watch gives up one request when its body stands still.
type watch struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
}

// guard gives the request under a watch.
func guard(req *http.Request) (*http.Request, *watch) {
	ctx, cancel := context.WithCancelCause(req.Context())
	w := &watch{ctx, cancel}
	out := req.WithContext(ctx)
	if hasBody(req) {
		// The peer stands still when nobody asks the body for more: the time between two reads counts.
		out.Body = &sending{body: req.Body, timer: w.timer()}
	}
	return out, w
}

// timer is one that is not running and gives up the request when it fires.
func (w *watch) timer() *time.Timer {
	t := time.AfterFunc(stall, func() { w.cancel(errStalled) })
	t.Stop()
	return t
}

// fail ends the watch and gives the reason of an error where it was ours.
func (w *watch) fail(err error) error {
	if context.Cause(w.ctx) == errStalled {
		err = errStalled
	}
	w.cancel(nil)
	return err
}

// reading watches the body of an answer until it is closed.
func (w *watch) reading(body io.ReadCloser) io.ReadCloser {
	return &receiving{body: body, watch: w, timer: w.timer()}
}

type receiving struct {
	body  io.ReadCloser
	watch *watch
	timer *time.Timer
}

func (r *receiving) Read(p []byte) (int, error) {
	r.timer.Reset(stall)
	n, err := r.body.Read(p)
	r.timer.Stop()
	if err != nil && err != io.EOF && context.Cause(r.watch.ctx) == errStalled {
		err = errStalled
	}
	return n, err
}

func (r *receiving) Close() error {
	r.timer.Stop()
	err := r.body.Close()
	r.watch.cancel(nil)
	return err
}

type sending struct {
	body  io.ReadCloser
	timer *time.Timer
}

func (s *sending) Read(p []byte) (int, error) {
	s.timer.Stop()
	n, err := s.body.Read(p)
	if err == nil {
		s.timer.Reset(stall)
	}
	return n, err
}

func (s *sending) Close() error {
	s.timer.Stop()
	return s.body.Close()
}
