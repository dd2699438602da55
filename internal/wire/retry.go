package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// attempts is how often a read is sent before its failure is given back.
	attempts = 4
	// firstPause is the mean pause before the second try; it doubles with each further one.
	firstPause = 100 * time.Millisecond
	// maxRetryAfter is the longest pause that a host may ask for; after a longer one the caller decides.
	maxRetryAfter = time.Minute
	// maxDrain bounds what is read of an answer that nobody wants, so that its connection can be used again.
	maxDrain = 64 << 10
)

// send sends a request that is complete. GET and HEAD, and bodies marked as repeatable, are sent again on
// resets, 429 and faults of the server; a write never is, because nobody knows how far it came.
func (w *Wire) send(h *host, req *http.Request) (*http.Response, error) {
	repeat := req.Method == http.MethodHead || req.Method == http.MethodGet
	return w.try(h, req, repeat && !hasBody(req))
}

// try is send with the choice of the caller whether the request may be repeated.
func (w *Wire) try(h *host, req *http.Request, repeat bool) (*http.Response, error) {
	for n := 1; ; n++ {
		resp, err := w.once(h, req)
		pause, again := retry(resp, err, n)
		if !repeat || !again || req.Context().Err() != nil || gives(req.Context(), resp, err) {
			return resp, err
		}
		busy := err == nil && resp.StatusCode == http.StatusTooManyRequests
		if err == nil {
			drain(resp.Body)
		}
		if err := h.pause(w, req.Context(), pause, busy); err != nil {
			return nil, err
		}
		if req, err = rewind(req); err != nil {
			return nil, err
		}
	}
}

// once sends the request one time, within the limits of the host.
func (w *Wire) once(h *host, req *http.Request) (*http.Response, error) {
	// A slot is held until the answer begins, and never by an upload: a blob that is read from this host may be
	// the body of an upload to it, and one of the two would wait for ever for a slot that the other holds.
	if req.Body == nil || req.Body == http.NoBody {
		if err := h.enter(req.Context()); err != nil {
			closeBody(req)
			return nil, err
		}
		defer func() { <-h.slots }()
	} else if err := h.wait(req.Context()); err != nil {
		closeBody(req)
		return nil, err
	}
	req, watch := guard(req)
	t := h.meta
	if strings.Contains(req.URL.Path, "/blobs/") || origin(req) != nil { // what is redirected is a blob
		t = h.bulk
	}
	resp, err := t.RoundTrip(req)
	event := Event{Host: h.name, Method: req.Method}
	if err != nil {
		err = w.explain(h, req, watch.fail(err))
	} else {
		event.Status, event.Date = resp.StatusCode, dateOf(resp.Header)
		resp.Body = watch.reading(resp.Body)
	}
	w.settings.Observe(event)
	return resp, err
}

// enter waits until the host may be asked and takes a slot.
func (h *host) enter(ctx context.Context) error {
	if err := h.wait(ctx); err != nil {
		return err
	}
	select {
	case h.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// wait returns when the host is not held back and its rate allows a request.
func (h *host) wait(ctx context.Context) error {
	h.mu.Lock()
	hold := h.hold
	h.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if h.rate != nil {
		return h.rate.Wait(ctx)
	}
	return nil
}

// pause waits before the next try. A host that is busy is left alone by all others too until then.
func (h *host) pause(w *Wire, ctx context.Context, d time.Duration, busy bool) error {
	if !busy {
		return w.sleep(ctx, d)
	}
	h.mu.Lock()
	mine := h.hold == nil
	if mine {
		h.hold = make(chan struct{})
	}
	hold := h.hold
	h.mu.Unlock()
	if mine {
		defer func() {
			h.mu.Lock()
			h.hold = nil
			h.mu.Unlock()
			close(hold)
		}()
	}
	return w.sleep(ctx, d)
}

// retry says whether another try makes sense after the n-th, and after which pause.
func retry(resp *http.Response, err error, n int) (time.Duration, bool) {
	if n >= attempts {
		return 0, false
	}
	mean := firstPause << (n - 1)
	pause := mean/2 + rand.N(mean)
	if err != nil {
		return pause, !final(err)
	}
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		asked := retryAfter(resp.Header)
		return max(pause, asked), asked <= maxRetryAfter
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusGatewayTimeout:
		return pause, true
	}
	return 0, false
}

// final says whether an error would be the same again.
func final(err error) bool {
	var cert *tls.CertificateVerificationError
	var dns *net.DNSError
	return errors.Is(err, ErrRefused) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) ||
		errors.As(err, &cert) || errors.As(err, &dns) && dns.IsNotFound
}

// retryAfter reads the header of that name in both of its forms. A date is compared with the answer's own
// Date, so that the two clocks need not agree.
func retryAfter(h http.Header) time.Duration {
	v := h.Get("Retry-After")
	if s, err := strconv.ParseUint(v, 10, 31); err == nil {
		return time.Duration(s) * time.Second
	}
	until, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return 0
	}
	return max(0, until.Sub(now))
}

// dateOf gives the time by the clock of who answers; zero when it does not tell, or when the answer is one that
// a cache kept.
func dateOf(h http.Header) time.Time {
	t, err := http.ParseTime(h.Get("Date"))
	if err != nil || h.Get("Age") != "" {
		return time.Time{}
	}
	return t
}

func hasBody(req *http.Request) bool { return req.Body != nil && req.Body != http.NoBody }

// rewind gives the request with its body from the start.
func rewind(req *http.Request) (*http.Request, error) {
	if !hasBody(req) {
		return req, nil
	}
	body, err := req.GetBody()
	if err != nil {
		return nil, err
	}
	again := req.Clone(req.Context())
	again.Body = body
	return again, nil
}

func drain(body io.ReadCloser) {
	// What cannot be drained costs a connection, nothing else.
	io.CopyN(io.Discard, body, maxDrain)
	body.Close()
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
