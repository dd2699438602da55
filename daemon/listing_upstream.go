package daemon

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/internal/registry"
	"github.com/poundlock/poundlock/sources"
)

// upstreamOf is what sources read from: registries, and files on web servers.
type upstreamOf struct {
	*registry.Client
	web  *http.Client
	line *Line // which knows the drop folders
}

var _ sources.Upstream = upstreamOf{}

func (l *Line) upstream() upstreamOf { return upstreamOf{l.registry, l.web, l} }

// webWithin is how long a file of a web server may take as a whole.
const webWithin = 2 * time.Minute

// Get reads a file, at most limit bytes. Whether its host may be asked, and with which credential, is what the
// configuration says under registries, as for a registry of that host; others are asked at public addresses only.
func (u upstreamOf) Get(ctx context.Context, address string, limit int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, webWithin)
	defer cancel()
	a, err := newFileRequest(ctx, http.MethodGet, address)
	if err != nil {
		return nil, err
	}
	resp, err := u.do(a)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case err != nil:
		return nil, a.failed(err)
	case int64(len(body)) > limit:
		return nil, fmt.Errorf("get %s: %w of %d bytes", a.shown, mirror.ErrTooLarge, limit)
	}
	return body, nil
}
