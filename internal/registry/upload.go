package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Mount links the blob d of another repository of the same registry into to's repository, without bytes.
// When the registry will not (202), session is the upload session it opened instead: the mount attempt
// costs no request that an upload would not need.
func (c *Client) Mount(ctx context.Context, to, from mirror.Reference, d mirror.Digest) (done bool, session string, err error) {
	if to.Host != from.Host {
		return false, "", fmt.Errorf("mount %s: %s is another registry", to.Name(), from.Host)
	}
	source, err := c.repository(from)
	if err != nil {
		return false, "", fmt.Errorf("mount: %w", err)
	}
	return c.open(ctx, "mount blob into", to.AtDigest(d), url.Values{"mount": {d.String()}, "from": {source}})
}

// Begin opens an upload session in to's repository. It is an absolute URL, valid also after a restart of
// this process; one that is not finished should be cancelled.
func (c *Client) Begin(ctx context.Context, to mirror.Reference) (session string, err error) {
	done, session, err := c.open(ctx, "begin upload to", mirror.Reference{Host: to.Host, Repository: to.Repository}, nil)
	if err == nil && done {
		return "", fmt.Errorf("begin upload to %s: the registry answers 201 to an upload without content", to.Name())
	}
	return session, err
}

func (c *Client) open(ctx context.Context, op string, to mirror.Reference, query url.Values) (done bool, session string, err error) {
	defer func() { err = c.discreet(err) }()
	u, err := c.address(to, "blobs/uploads/")
	if err != nil {
		return false, "", fmt.Errorf("%s: %w", op, err)
	}
	u.RawQuery = query.Encode()
	q := request{op: op, ref: to, method: http.MethodPost, url: u, success: []int{http.StatusCreated, http.StatusAccepted}}
	h, status, err := c.send(ctx, q)
	if err != nil || status == http.StatusCreated {
		return err == nil, "", err
	}
	next, err := q.location(h)
	if err != nil {
		return false, "", err
	}
	return false, next.String(), nil
}

// Upload completes the blob d in an upload session. body gives its bytes from offset on, which must be
// where the session stands; a new session stands at 0 and takes one PUT. The registry checks the digest;
// nil means that it has the whole blob. body is not closed, and not read after Upload has returned; an
// error of body itself is in the chain of the error.
func (c *Client) Upload(ctx context.Context, session string, d mirror.Descriptor, offset int64, body io.Reader) (err error) {
	defer func() { err = c.discreet(err) }()
	u, err := parseSession(session)
	if err != nil {
		return err
	}
	if offset < 0 || offset > d.Size {
		return fmt.Errorf("upload blob %s: offset %d of %d", d.Digest, offset, d.Size)
	}
	l := &loan{body: body}
	if offset == 0 {
		err = c.finish(ctx, u, d, l, d.Size)
	} else {
		err = c.resume(ctx, u, d, offset, l)
	}
	if broken := l.end(); broken != nil {
		return fmt.Errorf("upload blob %s: read it: %w", d.Digest, broken)
	}
	return err
}

// resume sends what is missing from offset on by a PATCH, then finishes.
func (c *Client) resume(ctx context.Context, u *url.URL, d mirror.Descriptor, offset int64, body io.Reader) error {
	// The state in a journaled session is that of its beginning: the current one is asked for.
	u, at, err := c.status(ctx, u)
	if err != nil {
		return err
	}
	if at != offset {
		return fmt.Errorf("upload blob %s: the session stands at byte %d, not at %d", d.Digest, at, offset)
	}
	if offset == d.Size {
		return c.finish(ctx, u, d, nil, 0)
	}
	q := request{op: "upload blob to", method: http.MethodPatch, url: u, body: body, length: d.Size - offset, success: []int{http.StatusAccepted, http.StatusNoContent},
		header: http.Header{"Content-Type": {"application/octet-stream"}, "Content-Range": {fmt.Sprintf("%d-%d", offset, d.Size-1)}}}
	h, _, err := c.send(ctx, q)
	if err != nil {
		return err
	}
	if u, err = q.location(h); err != nil {
		return err
	}
	return c.finish(ctx, u, d, nil, 0)
}

// loan lends a body to a request. net/http may go on reading a body after it gave the answer; after end
// the caller may use it again. It keeps the body's own error apart from the network's.
type loan struct {
	mu    sync.Mutex
	body  io.Reader
	err   error
	ended bool
}

func (l *loan) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return 0, errors.New("upload has ended")
	}
	n, err := l.body.Read(p)
	if err != nil && err != io.EOF {
		l.err = err
	}
	return n, err
}

func (l *loan) end() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	return l.err
}

// finish is the PUT that makes a session's content a blob, with the bytes that are still missing.
func (c *Client) finish(ctx context.Context, u *url.URL, d mirror.Descriptor, body io.Reader, length int64) error {
	last := *u
	if last.RawQuery != "" {
		last.RawQuery += "&" // appended, not encoded anew: some registries sign their query
	}
	last.RawQuery += "digest=" + url.QueryEscape(d.Digest.String())
	if length == 0 {
		body = http.NoBody // a body of unknown length would be sent in chunks
	}
	q := request{op: "upload blob to", method: http.MethodPut, url: &last, body: body, length: length, success: []int{http.StatusCreated, http.StatusNoContent},
		header: http.Header{"Content-Type": {"application/octet-stream"}}}
	h, _, err := c.send(ctx, q)
	if err != nil {
		return err
	}
	if text := h.Get("Docker-Content-Digest"); text != "" && text != d.Digest.String() {
		return fmt.Errorf("upload blob %s: %w: the registry stored %s", d.Digest, mirror.ErrDigestMismatch, printable(text))
	}
	return nil
}

// Offset asks how many bytes of an upload session have arrived. A session that the registry no longer
// knows is mirror.ErrNotFound.
func (c *Client) Offset(ctx context.Context, session string) (int64, error) {
	u, err := parseSession(session)
	if err != nil {
		return 0, err
	}
	_, at, err := c.status(ctx, u)
	return at, err
}

// Cancel gives up an upload session; one that is gone already is no error.
func (c *Client) Cancel(ctx context.Context, session string) error {
	u, err := parseSession(session)
	if err != nil {
		return err
	}
	// Distribution deletes only by the session's current state, which the journal does not have.
	u, _, err = c.status(ctx, u)
	if err == nil {
		_, _, err = c.send(ctx, request{op: "cancel upload to", method: http.MethodDelete, url: u, success: []int{http.StatusNoContent, http.StatusOK, http.StatusAccepted}})
	}
	if errors.Is(err, mirror.ErrNotFound) {
		return nil
	}
	return err
}

// status asks where a session stands and under which URL it goes on.
func (c *Client) status(ctx context.Context, u *url.URL) (next *url.URL, at int64, err error) {
	defer func() { err = c.discreet(err) }()
	q := request{op: "ask upload at", method: http.MethodGet, url: u, success: []int{http.StatusNoContent, http.StatusOK, http.StatusAccepted}}
	h, _, err := c.send(ctx, q)
	if err != nil {
		return nil, 0, err
	}
	if at, err = received(h.Get("Range")); err != nil {
		return nil, 0, q.fail(err)
	}
	if next = u; h.Get("Location") != "" {
		next, err = q.location(h)
	}
	return next, at, err
}

// received reads the Range header of a session: the first and last byte that have arrived. Registries
// write 0-0 for an empty session, so that a single byte cannot be told from none; it counts as none.
func received(header string) (int64, error) {
	first, last, ok := strings.Cut(strings.TrimPrefix(header, "bytes="), "-")
	n, err := strconv.ParseInt(last, 10, 64)
	if header == "" || header == "0--1" || ok && err == nil && n == 0 {
		return 0, nil
	}
	if !ok || err != nil || first != "0" || n < 0 {
		return 0, fmt.Errorf("malformed range %q of an upload", printable(header))
	}
	return n + 1, nil
}

// location is where the answer to q says that an upload goes on: always on the host that was asked.
func (q request) location(h http.Header) (*url.URL, error) {
	if h.Get("Location") == "" {
		return nil, q.fail(errors.New("answer without a location"))
	}
	u, err := sameHost(q.url, h.Get("Location"))
	if err != nil {
		return nil, q.fail(err)
	}
	return u, nil
}

func parseSession(session string) (*url.URL, error) {
	u, err := url.Parse(session)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return nil, errors.New("malformed upload session") // its query is a credential: it is not shown
	}
	return u, nil
}
