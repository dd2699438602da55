package git

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"

	"github.com/poundlock/poundlock/internal/mirror"
)

// dialer opens sessions with one remote. Secrets are those a session sent, to keep them out of errors.
type dialer interface {
	upload(ctx context.Context) (transport.UploadPackSession, error)
	receive(ctx context.Context) (s transport.ReceivePackSession, secrets []string, err error)
}

// newDialer reads the URL. Its errors never repeat it: what is wrong with it may be a password in it.
func newDialer(o Options) (dialer, error) {
	scheme, err := mirror.RemoteScheme(o.URL)
	if err != nil {
		return nil, permanentError("the Git URL " + err.Error() + ": want https://host/path, ssh://user@host/path, user@host:path or an absolute path, and secrets in git.auth")
	}
	if !strings.Contains(o.URL, "://") {
		if scheme == "file" {
			return localDialer{path: filepath.Clean(o.URL)}, nil
		}
		user, host, path, _ := mirror.SplitSCP(o.URL)
		return newSSHDialer(o.Auth, user, host, "22", path)
	}
	u, err := url.Parse(o.URL)
	if err != nil {
		return nil, permanentError("the Git URL cannot be parsed") // the parser's error would repeat it
	}
	switch scheme {
	case "file":
		return localDialer{path: filepath.Clean(u.Path)}, nil
	case "ssh":
		port := u.Port()
		if port == "" {
			port = "22"
		}
		return newSSHDialer(o.Auth, u.User.Username(), u.Hostname(), port, u.Path)
	}
	return newHTTPDialer(o, u)
}

// httpDialer speaks smart HTTP through go-git's transport, over the round tripper it was given. Sessions
// are made directly: go-git's registry of protocols is one unlocked global for the whole process.
type httpDialer struct {
	transport transport.Transport
	url       *url.URL
	auth      Auth
}

func newHTTPDialer(o Options, u *url.URL) (dialer, error) {
	if o.HTTP == nil {
		return nil, permanentError("no HTTP transport was given")
	}
	client := &http.Client{Transport: guard{o.HTTP}, CheckRedirect: sameHostOnly}
	return httpDialer{url: u, auth: o.Auth, transport: githttp.NewClientWithOptions(client,
		&githttp.ClientOptions{RedirectPolicy: githttp.FollowInitialRedirects})}, nil
}

func (d httpDialer) upload(ctx context.Context) (transport.UploadPackSession, error) {
	auth, _, err := d.credential(ctx)
	if err != nil {
		return nil, err
	}
	return d.transport.NewUploadPackSession(d.endpoint(), auth)
}

func (d httpDialer) receive(ctx context.Context) (transport.ReceivePackSession, []string, error) {
	auth, secrets, err := d.credential(ctx)
	if err != nil {
		return nil, nil, err
	}
	s, err := d.transport.NewReceivePackSession(d.endpoint(), auth)
	return s, secrets, err
}

// endpoint is made anew for each session, which rewrites it when it is redirected.
func (d httpDialer) endpoint() *transport.Endpoint {
	host := d.url.Hostname()
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	port, _ := strconv.Atoi(d.url.Port())
	// The path stays as it was spelt: go-git pastes the parts together again.
	return &transport.Endpoint{Protocol: d.url.Scheme, Host: host, Port: port, Path: strings.TrimSuffix(d.url.EscapedPath(), "/")}
}

func (d httpDialer) credential(ctx context.Context) (transport.AuthMethod, []string, error) {
	ask, user := d.auth.Password, d.auth.Username
	if d.auth.Token != nil {
		ask = d.auth.Token
		if user == "" {
			user = "x-access-token" // the name that forges take for "the password is a token"
		}
	}
	if ask == nil {
		return nil, nil, nil
	}
	secret, err := ask(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("read the credential: %w", err)
	}
	auth := &githttp.BasicAuth{Username: user, Password: secret}
	return auth, []string{secret}, nil
}

// sameHostOnly lets a forge correct a path (repo to repo.git) and nothing else.
func sameHostOnly(req *http.Request, via []*http.Request) error {
	from := via[0].URL
	if req.URL.Host != from.Host || req.URL.Scheme != from.Scheme {
		return permanentError(fmt.Sprintf("redirect to %s://%s is not followed: put the new address in git.url", req.URL.Scheme, req.URL.Host))
	}
	if len(via) > 3 {
		return permanentError("too many redirects")
	}
	return nil
}

// Limits on what a server may send.
const (
	maxListing = 32 << 20  // bytes of one ref listing: about 500,000 refs
	maxReport  = 1 << 20   // bytes of the answer to a push
	maxPack    = 512 << 20 // bytes of one pack
)

// guard turns error answers into errors without reading their bodies, and caps the others: go-git reads
// both without a limit.
type guard struct{ next http.RoundTripper }

func (g guard) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := g.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode >= 400 || res.StatusCode < 200 {
		res.Body.Close()
		return nil, statusOf(res)
	}
	limit := int64(maxPack)
	switch {
	case strings.HasSuffix(req.URL.Path, "/info/refs"):
		limit = maxListing
	case strings.HasSuffix(req.URL.Path, "/"+transport.ReceivePackServiceName):
		limit = maxReport
	}
	res.Body = &cappedBody{ReadCloser: res.Body, left: limit}
	return res, nil
}

// cappedBody fails, rather than ends, when there is more than it may read.
type cappedBody struct {
	io.ReadCloser
	left int64
}

func (c *cappedBody) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, permanentError("the server sends more than is allowed")
	}
	if int64(len(p)) > c.left {
		p = p[:c.left]
	}
	n, err := c.ReadCloser.Read(p)
	c.left -= int64(n)
	return n, err
}
