package wire

import (
	"context"
	"net/http"
)

// impatient marks the context of requests that do not wait for a host that is busy.
type impatient struct{}

// Impatient carries requests like Wire, for callers who know what to do while a host is busy: an answer that asks to
// come later (429, or 503) is given back at once, and keeps nobody else from asking that host.
func (w *Wire) Impatient() http.RoundTripper { return impatientWire{w} }

type impatientWire struct{ wire *Wire }

func (i impatientWire) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := i.wire.RoundTrip(req.WithContext(context.WithValue(req.Context(), impatient{}, true)))
	if err != nil {
		return nil, err
	}
	resp.Request = req
	return resp, nil
}

// gives says whether an answer goes back to the caller, who would rather know than wait.
func gives(ctx context.Context, resp *http.Response, err error) bool {
	return err == nil && ctx.Value(impatient{}) != nil &&
		(resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable)
}
