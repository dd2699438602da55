package git

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/transport"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Errors that callers choose by. A missing repository or branch is mirror.ErrNotFound.
var (
	// ErrRejected means that the branch is no longer at the commit that was built upon. Fetch, look
	// whether the inputs changed, and commit anew.
	ErrRejected = errors.New("the branch has moved meanwhile")
	// ErrUnauthorized means that the server does not accept the credentials, or wants some.
	ErrUnauthorized = errors.New("credentials missing or not accepted")
	// ErrDamaged means that the local clone cannot be read. The next Fetch makes it anew.
	ErrDamaged = errors.New("the local clone is damaged")
	// ErrPushRefused means that the server does not take the push for a reason of its own, such as a protected
	// branch or a hook. The same push is refused again.
	ErrPushRefused = errors.New("the server refused the push")
	// ErrHostKey means that the ssh host is not the one that the known_hosts file names, or is not named there.
	ErrHostKey = errors.New("host key not accepted")
	// ErrNoBranch means that the repository is there and the branch is not; it is mirror.ErrNotFound too.
	ErrNoBranch = fmt.Errorf("the branch is missing: %w", mirror.ErrNotFound)
	// ErrUnknownCommit means that the clone does not hold the commit.
	ErrUnknownCommit = errors.New("commit is not in the local clone")
)

// Error is a failed exchange with the remote. It never holds a credential or an answer's body.
type Error struct {
	Op         string        // what was done, such as "push to"
	Remote     string        // the URL
	Branch     string        // that was to be pushed; "" where none was
	Status     int           // of an HTTP answer that ended it; 0 otherwise
	RetryAfter time.Duration // as a busy server asked for; 0 where it did not
	Until      time.Time     // when that ends, by the server's clock; zero where it tells no time
	temporary  bool
	err        error
}

// Error says what was done, where and why it failed.
func (e *Error) Error() string { return fmt.Sprintf("%s %s: %v", e.Op, e.Remote, e.err) }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.err }

// Temporary says whether the same call may succeed later, without anyone changing anything.
func (e *Error) Temporary() bool { return e.temporary }

// statusError is an HTTP answer that is neither success nor redirect.
type statusError struct {
	code  int
	wait  time.Duration
	until time.Time
}

// statusOf reads an answer's status and how long it asks to wait, in either form of Retry-After; the answer's
// own Date says when that ends, so that the two clocks need not agree.
func statusOf(res *http.Response) statusError {
	s, v := statusError{code: res.StatusCode}, res.Header.Get("Retry-After")
	now, err := http.ParseTime(res.Header.Get("Date"))
	if seconds, bad := strconv.ParseUint(v, 10, 31); bad == nil {
		s.wait = time.Duration(seconds) * time.Second
	} else if at, bad := http.ParseTime(v); bad == nil && err == nil {
		s.wait = max(0, at.Sub(now))
	}
	if err == nil && s.wait > 0 {
		s.until = now.Add(s.wait)
	}
	return s
}

func (s statusError) Error() string {
	return strings.TrimSpace(fmt.Sprintf("server answered %d %s", s.code, http.StatusText(s.code)))
}

// permanentError is refused by ourselves or by the server for good: no retry helps.
type permanentError string

func (p permanentError) Error() string { return string(p) }

// lastingError is one of the errors that callers choose by, with words of its own. No retry helps.
type lastingError struct {
	text string
	is   error
}

func (e *lastingError) Error() string { return e.text }

func (e *lastingError) Unwrap() error { return e.is }

// remoteError wraps what a session gave into an Error, and says whether a retry helps.
func (r *Repo) remoteError(ctx context.Context, op string, err error) error {
	var known *Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	var refused complaint
	if errors.As(err, &refused) {
		err = permanentError(refused.without(r.mask))
	}
	cause, temporary := classify(err)
	if ctx.Err() != nil && !errors.Is(cause, ctx.Err()) {
		cause, temporary = ctx.Err(), true // what broke is only how the deadline showed
	}
	out := &Error{Op: op, Remote: r.opts.URL, temporary: temporary, err: r.discreet(cause)}
	var status statusError
	if errors.As(cause, &status) {
		out.Status, out.RetryAfter, out.Until = status.code, status.wait, status.until
	}
	return out
}

// pushError is remoteError of a push to one ref.
func (r *Repo) pushError(ctx context.Context, op string, ref plumbing.ReferenceName, err error) error {
	err = r.remoteError(ctx, op, err)
	var e *Error
	if errors.As(err, &e) {
		e.Branch = ref.Short()
	}
	return err
}

// classify strips what go-git and net/http wrap around the cause. The body of an answer, which go-git puts
// into its errors, is dropped: it is the server's text and may repeat what was sent.
func classify(err error) (cause error, temporary bool) {
	var unexpected *plumbing.UnexpectedError
	if errors.As(err, &unexpected) { // it has no Unwrap of its own
		return classify(unexpected.Err)
	}
	var status statusError
	switch {
	case errors.As(err, &status):
		return fromStatus(status)
	case errors.Is(err, transport.ErrAuthenticationRequired), errors.Is(err, transport.ErrAuthorizationFailed):
		return ErrUnauthorized, false
	case errors.Is(err, transport.ErrRepositoryNotFound):
		return fmt.Errorf("repository: %w", mirror.ErrNotFound), false
	case errors.Is(err, transport.ErrEmptyRemoteRepository):
		return fmt.Errorf("the repository has no commit yet: %w", mirror.ErrNotFound), false
	}
	var refused permanentError
	if errors.As(err, &refused) {
		return refused, false
	}
	var lasting *lastingError
	if errors.As(err, &lasting) {
		return lasting, false
	}
	var outer *url.Error
	if errors.As(err, &outer) {
		return outer.Err, !isCertificate(outer.Err) && !saysPermanent(outer.Err)
	}
	return err, isNetwork(err)
}

func fromStatus(s statusError) (error, bool) {
	switch s.code {
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("%w (%w)", ErrUnauthorized, s), false
	case http.StatusNotFound, http.StatusGone:
		return fmt.Errorf("repository: %w", mirror.ErrNotFound), false
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
		return s, true
	}
	return s, s.code >= 500
}

func isCertificate(err error) bool {
	var verification *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	return errors.As(err, &verification) || errors.As(err, &authority) || errors.As(err, &name)
}

// saysPermanent asks the errors of the round tripper that we were given. Errors of package net are left
// out: their Temporary calls a refused connection permanent.
func saysPermanent(err error) bool {
	var refused interface{ Refused() bool }
	if errors.As(err, &refused) {
		return refused.Refused()
	}
	var t interface{ Temporary() bool }
	var n net.Error
	return errors.As(err, &t) && !errors.As(err, &n) && !t.Temporary()
}

func isNetwork(err error) bool {
	var n net.Error
	return errors.As(err, &n) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// maxReason is how much of a server's own words an error carries, in characters.
const maxReason = 200

// reason makes a server's words fit for an error: one short printable line. mask takes the secrets out, before
// anything is cut; nil where there are none.
func reason(text string, mask func(string) string) string {
	if mask != nil {
		text = mask(text)
	}
	text = mirror.Printable(strings.ToValidUTF8(text, " "))
	return mirror.Shorten(strings.Join(strings.Fields(text), " "), maxReason)
}

// without is mask for a session that sent secrets of its own.
func (r *Repo) without(secrets []string) func(string) string {
	return func(text string) string {
		for _, s := range secrets {
			if s != "" {
				text = strings.ReplaceAll(text, s, "***")
			}
		}
		return r.mask(text)
	}
}

// complaint is all that the other end wrote to its standard error before it hung up.
type complaint string

func (c complaint) Error() string { return c.without(nil) }

func (c complaint) without(mask func(string) string) string {
	return "the server refused: " + reason(string(c), mask)
}
