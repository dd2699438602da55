package testenv

import (
	"cmp"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// Fault is what goes wrong with one request. The fields are read in their order here; the zero value does
// nothing.
type Fault struct {
	// Until holds the request back until the channel is closed or the client gives up.
	Until <-chan struct{}
	// Status is answered in place of the registry's answer; the registry never sees the request.
	Status int
	// RetryAfter goes with Status, in whole seconds.
	RetryAfter time.Duration
	// Header and Body go with Status too; an empty Body is what a registry would say.
	Header map[string]string
	Body   string
	// Reset cuts the connection before the registry sees the request.
	Reset bool
	// Lose lets the registry act and cuts the connection in place of its answer.
	Lose bool
	// Truncate ends the body after After bytes and cuts the connection: the request's body where it has
	// one, else the answer's.
	Truncate bool
	// Corrupt flips one bit of the byte at After, in the same body as Truncate.
	Corrupt bool
	After   int64
}

// Once gives a function for Break that lets f happen to the n-th matching request alone, counted from 1.
func Once(n int, match func(*http.Request) bool, f Fault) func(*http.Request) *Fault {
	var seen atomic.Int64
	return func(r *http.Request) *Fault {
		if !match(r) || seen.Add(1) != int64(n) {
			return nil
		}
		return &f
	}
}

// Always gives a function for Break that lets f happen to every matching request.
func Always(match func(*http.Request) bool, f Fault) func(*http.Request) *Fault {
	return func(r *http.Request) *Fault {
		if !match(r) {
			return nil
		}
		return &f
	}
}

// OfKind matches requests of some kinds.
func OfKind(kinds ...RequestKind) func(*http.Request) bool {
	return func(r *http.Request) bool {
		for _, k := range kinds {
			if KindOf(r) == k {
				return true
			}
		}
		return false
	}
}

func (f *Fault) serve(next http.Handler, w *countedAnswer, r *http.Request) {
	if f.Until != nil {
		select {
		case <-f.Until:
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
	}
	switch hasBody := r.ContentLength != 0; {
	case f.Status != 0:
		if f.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(f.RetryAfter.Seconds())))
		}
		w.Header().Set("Content-Type", "application/json")
		for name, value := range f.Header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(f.Status)
		_, _ = io.WriteString(w, cmp.Or(f.Body, `{"errors":[{"code":"TESTENV","message":"told to break"}]}`))
	case f.Reset:
		reset(w)
	case f.Lose:
		next.ServeHTTP(&lostAnswer{header: http.Header{}}, r)
		panic(http.ErrAbortHandler)
	case f.Truncate && hasBody:
		r.Body = &shortBody{ReadCloser: r.Body, left: f.After}
		next.ServeHTTP(&lostAnswer{header: http.Header{}}, r)
		panic(http.ErrAbortHandler)
	case f.Truncate:
		next.ServeHTTP(&shortAnswer{countedAnswer: w, left: f.After}, r)
		w.Flush() // the client is to see what was let through, and then the end of the connection
		panic(http.ErrAbortHandler)
	case f.Corrupt && hasBody:
		r.Body = &corruptBody{ReadCloser: r.Body, at: f.After}
		next.ServeHTTP(w, r)
	case f.Corrupt:
		next.ServeHTTP(&corruptAnswer{countedAnswer: w, at: f.After}, r)
	default:
		next.ServeHTTP(w, r)
	}
}

// reset ends the connection before any answer, so that the client sees a reset and not a mere end.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // makes the close below a reset
	}
	_ = conn.Close()
}
