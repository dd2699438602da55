// Package registry speaks to OCI registries as Poundlock uses them: manifests, blobs as streams, upload
// sessions that can be resumed, mounts, referrers.
//
// Every answer is checked against the digest that was asked for, and what is read into memory is capped. A
// Location or Link that names another host than the one that was asked is refused. It never retries a
// write and holds no credential: retries of reads, authentication and the choice of hosts belong to the
// *http.Client it is given. Names, media types and error codes are go-containerregistry's; the blob path
// is ours, because a resumable upload needs its session.
package registry

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Endpoint is where a registry is really asked. URL is scheme://host[:port] with an optional path that
// stands before /v2/; Prefix is put before every repository name, as pull-through caches want it.
type Endpoint struct {
	URL    string
	Prefix string
}

// DefaultEndpoint is where the registry that references name host is asked when nothing is configured:
// https on that host, and for docker.io the host that serves its API.
func DefaultEndpoint(host string) Endpoint {
	if host == "docker.io" || host == name.DefaultRegistry {
		host = "registry-1.docker.io"
	}
	return Endpoint{URL: "https://" + host}
}

// Client reads from and writes to registries. It implements mirror.Content and is safe for concurrent use.
type Client struct {
	http      *http.Client
	endpoints map[string]Endpoint
	mask      func(string) string // takes secrets out of a registry's words
}

var _ mirror.Content = (*Client)(nil)

// New gives a client that asks the registry named host at endpoints[host], any other at its
// DefaultEndpoint. A transport with a method Mask(string) string is asked to take secrets out of what
// registries say: only who sends them knows them.
func New(client *http.Client, endpoints map[string]Endpoint) *Client {
	return &Client{http: client, endpoints: endpoints, mask: maskOf(client)}
}

// base is the root of a registry's API, and what stands before the repository in it.
func (c *Client) base(host string) (root *url.URL, prefix string, err error) {
	e, ok := c.endpoints[host]
	if !ok {
		e = DefaultEndpoint(host)
	}
	u, err := url.Parse(e.URL)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return nil, "", fmt.Errorf("endpoint of %s is not scheme://host[:port][/path]", host)
	}
	return u, strings.Trim(e.Prefix, "/"), nil
}

// repository gives the name of r's repository at its endpoint.
func (c *Client) repository(r mirror.Reference) (string, error) {
	_, prefix, err := c.base(r.Host)
	if err != nil {
		return "", err
	}
	if !isPath(r.Repository) || prefix != "" && !isPath(prefix) {
		return "", fmt.Errorf("malformed repository %q", r.Name())
	}
	if prefix != "" {
		return prefix + "/" + r.Repository, nil
	}
	return r.Repository, nil
}

// address gives the URL of a part of r's repository, such as manifests/v1.
func (c *Client) address(r mirror.Reference, part string) (*url.URL, error) {
	repository, err := c.repository(r)
	if err != nil {
		return nil, err
	}
	root, _, err := c.base(r.Host)
	if err != nil {
		return nil, err
	}
	return root.JoinPath("v2", repository, part), nil
}

// isPath says whether s can stand in a URL as a repository name without changing its meaning. References
// are parsed elsewhere; this is the last guard for one that was put together by hand.
func isPath(s string) bool {
	for _, part := range strings.Split(s, "/") {
		if part == "" || part == "." || part == ".." || strings.Trim(part, "abcdefghijklmnopqrstuvwxyz0123456789._-") != "" {
			return false
		}
	}
	return true
}

// request is one call of the API: what it is for, and what success looks like.
type request struct {
	op      string // word for errors
	ref     mirror.Reference
	method  string
	url     *url.URL
	header  http.Header
	body    io.Reader
	length  int64 // of body; 0 with a nil body
	success []int // status codes
	mask    func(string) string
}

// do sends the request. A status other than success is an *Error and the body is closed; otherwise the
// caller closes it.
func (c *Client) do(ctx context.Context, q request) (*http.Response, error) {
	q.mask = c.mask
	req, err := http.NewRequestWithContext(ctx, q.method, q.url.String(), q.body)
	if err != nil {
		return nil, q.fail(err)
	}
	if q.header != nil {
		req.Header = q.header
	}
	if q.body != nil {
		req.ContentLength = q.length
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, q.fail(err)
	}
	if err := q.check(resp); err != nil {
		resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

// send is do for answers whose body does not matter.
func (c *Client) send(ctx context.Context, q request) (http.Header, int, error) {
	resp, err := c.do(ctx, q)
	if err != nil {
		return nil, 0, err
	}
	drain(resp.Body)
	return resp.Header, resp.StatusCode, nil
}

// maxDrain bounds what is read of a body that nobody wants, so that its connection can be used again.
const maxDrain = 64 << 10

func drain(body io.ReadCloser) {
	// What cannot be drained costs a connection, nothing else.
	io.CopyN(io.Discard, body, maxDrain)
	body.Close()
}

// patience is how long an answer that is read into memory may take as a whole: a server that sends a byte
// now and then must not hold a cycle until its end.
const patience = 2 * time.Minute

// readAll reads a body of at most limit bytes; a larger one is mirror.ErrTooLarge.
func readAll(body io.Reader, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%w of %d bytes", mirror.ErrTooLarge, limit)
	}
	return b, nil
}
