package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/internal/registry"
	"github.com/poundlock/poundlock/internal/wire"
	"github.com/poundlock/poundlock/sources"
)

// upstreamOf is what sources read from: registries, and files on web servers.
type upstreamOf struct {
	*registry.Client
	web *http.Client
}

var _ sources.Upstream = upstreamOf{}

func (l *Line) upstream() upstreamOf { return upstreamOf{l.registry, l.web} }

// webWithin is how long a file of a web server may take as a whole.
const webWithin = 2 * time.Minute

// Get reads a file, at most limit bytes. Whether its host may be asked, and with which credential, is what the
// configuration says under registries, as for a registry of that host; others are asked at public addresses only.
func (u upstreamOf) Get(ctx context.Context, address string, limit int64) ([]byte, error) {
	at, err := url.Parse(address)
	if err != nil || at.Host == "" || at.User != nil || at.Scheme != "https" && at.Scheme != "http" {
		return nil, errors.New("want https://host/path, without a user and a password") // which is not shown: it may hold them
	}
	shown := at.Scheme + "://" + at.Host + at.EscapedPath() // a query may hold a key
	ctx, cancel := context.WithTimeout(ctx, webWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("get %s: malformed address", shown)
	}
	resp, err := u.web.Do(req)
	if err != nil {
		if told := new(url.Error); errors.As(err, &told) {
			err = told.Err // which does not repeat the whole address
		}
		return nil, mirror.Discreet(wire.Mask, fmt.Errorf("get %s: %w", shown, err))
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound, http.StatusGone:
		return nil, fmt.Errorf("get %s: %w", shown, mirror.ErrNotFound)
	default:
		return nil, fmt.Errorf("get %s: the server answers %d %s", shown, resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case err != nil:
		return nil, mirror.Discreet(wire.Mask, fmt.Errorf("get %s: %w", shown, err))
	case int64(len(body)) > limit:
		return nil, fmt.Errorf("get %s: %w of %d bytes", shown, mirror.ErrTooLarge, limit)
	}
	return body, nil
}
