package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/internal/wire"
	"github.com/poundlock/poundlock/sources"
)

// fileRequest is a request for a file of a web server, and what may be shown of its address: a query may hold a key.
type fileRequest struct {
	*http.Request
	shown string
}

func newFileRequest(ctx context.Context, method, address string) (fileRequest, error) {
	at, err := url.Parse(address)
	if err != nil || at.Host == "" || at.User != nil || at.Scheme != "https" && at.Scheme != "http" {
		return fileRequest{}, errors.New("want https://host/path, without a user and a password") // which is not shown: it may hold them
	}
	shown := at.Scheme + "://" + at.Host + at.EscapedPath()
	req, err := http.NewRequestWithContext(ctx, method, at.String(), nil)
	if err != nil {
		return fileRequest{}, fmt.Errorf("get %s: malformed address", shown)
	}
	return fileRequest{req, shown}, nil
}

// failed says what went wrong, without what the address may hold.
func (a fileRequest) failed(err error) error {
	if told := new(url.Error); errors.As(err, &told) {
		err = told.Err // which does not repeat the whole address
	}
	return mirror.Discreet(wire.Mask, fmt.Errorf("get %s: %w", a.shown, err))
}

// do asks, and gives the answer where it is 200, or 304 to a question that allows it.
func (u upstreamOf) do(a fileRequest) (*http.Response, error) {
	resp, err := u.web.Do(a.Request)
	if err != nil {
		return nil, a.failed(err)
	}
	switch {
	case resp.StatusCode == http.StatusOK:
		return resp, nil
	case resp.StatusCode == http.StatusNotModified && (a.Header.Get("If-None-Match") != "" || a.Header.Get("If-Modified-Since") != ""):
		return resp, nil
	}
	resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusGone {
		return nil, fmt.Errorf("get %s: %w", a.shown, mirror.ErrNotFound)
	}
	return nil, fmt.Errorf("get %s: the server answers %d %s", a.shown, resp.StatusCode, http.StatusText(resp.StatusCode))
}

// Since reads a file as it comes, at most limit bytes, unless it is still of the version before. What holds for Get holds
// for hosts and credentials.
func (u upstreamOf) Since(ctx context.Context, address string, limit int64, before sources.Version) (io.ReadCloser, sources.Version, error) {
	a, err := newFileRequest(ctx, http.MethodGet, address)
	if err != nil {
		return nil, sources.Version{}, err
	}
	if before.ETag != "" {
		a.Header.Set("If-None-Match", before.ETag)
	} else if before.Modified != "" { // beside an ETag a server passes it over
		a.Header.Set("If-Modified-Since", before.Modified)
	}
	resp, err := u.do(a)
	switch {
	case err != nil:
		return nil, sources.Version{}, err
	case resp.StatusCode == http.StatusNotModified:
		resp.Body.Close()
		return nil, before, sources.ErrUnchanged
	case resp.ContentLength > limit:
		resp.Body.Close()
		return nil, sources.Version{}, fmt.Errorf("get %s: %w of %d bytes", a.shown, mirror.ErrTooLarge, limit)
	}
	return &boundedBody{body: resp.Body, asked: a, left: limit, limit: limit}, versionOf(resp), nil
}

// Head asks for the version of a file.
func (u upstreamOf) Head(ctx context.Context, address string) (sources.Version, error) {
	ctx, cancel := context.WithTimeout(ctx, webWithin)
	defer cancel()
	a, err := newFileRequest(ctx, http.MethodHead, address)
	if err != nil {
		return sources.Version{}, err
	}
	resp, err := u.do(a)
	if err != nil {
		return sources.Version{}, err
	}
	resp.Body.Close()
	return versionOf(resp), nil
}

// maxValidator bounds what is kept of one.
const maxValidator = 256

// versionOf reads the validators of an answer. One that is too long is as good as none.
func versionOf(resp *http.Response) sources.Version {
	v := sources.Version{ETag: resp.Header.Get("ETag"), Modified: resp.Header.Get("Last-Modified"), Size: max(0, resp.ContentLength)}
	if len(v.ETag) > maxValidator {
		v.ETag = ""
	}
	if len(v.Modified) > maxValidator {
		v.Modified = ""
	}
	return v
}

// boundedBody is the body of an answer, of which at most limit bytes are read.
type boundedBody struct {
	body        io.ReadCloser
	asked       fileRequest
	left, limit int64
}

// Read reads, and fails with mirror.ErrTooLarge where more comes than may.
func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, fmt.Errorf("get %s: %w of %d bytes", b.asked.shown, mirror.ErrTooLarge, b.limit)
	}
	n, err := b.body.Read(p[:min(int64(len(p)), b.left+1)])
	if b.left -= int64(n); b.left < 0 {
		return n - 1, fmt.Errorf("get %s: %w of %d bytes", b.asked.shown, mirror.ErrTooLarge, b.limit)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = b.asked.failed(err)
	}
	return n, err
}

// Close ends the answer.
func (b *boundedBody) Close() error { return b.body.Close() }
