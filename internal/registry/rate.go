package registry

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Rate is what a registry tells of its rate limit, as Docker Hub does on every answer to a manifest request.
type Rate struct {
	Known     bool
	Limit     int
	Remaining int
	Window    time.Duration // over which Limit counts; 0 where it is not told
}

// rateOf reads RateLimit-Limit and RateLimit-Remaining, whose values look like 100;w=21600 (seconds).
func rateOf(h http.Header) Rate {
	left, _, ok := rateValue(h.Get("RateLimit-Remaining"))
	limit, window, has := rateValue(h.Get("RateLimit-Limit"))
	if !ok || !has {
		return Rate{}
	}
	return Rate{Known: true, Limit: limit, Remaining: left, Window: window}
}

func rateValue(s string) (n int, window time.Duration, ok bool) {
	count, rest, _ := strings.Cut(s, ";")
	n, err := strconv.Atoi(strings.TrimSpace(count))
	if err != nil || n < 0 {
		return 0, 0, false
	}
	if seconds, found := strings.CutPrefix(strings.TrimSpace(rest), "w="); found {
		if w, err := strconv.ParseUint(seconds, 10, 31); err == nil {
			window = time.Duration(w) * time.Second
		}
	}
	return n, window, true
}

// Probe asks by one HEAD for the manifest that r names. It needs the right to pull and costs no pull: Docker
// Hub does not count it.
func (c *Client) Probe(ctx context.Context, r mirror.Reference) (Rate, error) {
	q, err := c.manifestRequest("head", http.MethodHead, r)
	if err != nil {
		return Rate{}, err
	}
	h, _, err := c.send(ctx, q)
	return rateOf(h), err
}
