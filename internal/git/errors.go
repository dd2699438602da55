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
	"strings"

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
	// ErrUnknownCommit means that the clone does not hold the commit.
	ErrUnknownCommit = errors.New("commit is not in the local clone")
)

// Error is a failed exchange with the remote. It never holds a credential or an answer's body.
type Error struct {
	Op        string // what was done, such as "push to"
	Remote    string // the URL
	temporary bool
	err       error
}

// Error says what was done, where and why it failed.
func (e *Error) Error() string { return fmt.Sprintf("%s %s: %v", e.Op, e.Remote, e.err) }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.err }

// Temporary says whether the same call may succeed later, without anyone changing anything.
func (e *Error) Temporary() bool { return e.temporary }

// statusError is an HTTP answer that is neither success nor redirect.
type statusError int

func (s statusError) Error() string {
	return strings.TrimSpace(fmt.Sprintf("server answered %d %s", int(s), http.StatusText(int(s))))
}

// permanentError is refused by ourselves: no retry helps.
type permanentError string

func (p permanentError) Error() string { return string(p) }

// remoteError wraps what a session gave into an Error, and says whether a retry helps.
func (r *Repo) remoteError(ctx context.Context, op string, err error) error {
	var known *Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	cause, temporary := classify(err)
	if ctx.Err() != nil && !errors.Is(cause, ctx.Err()) {
		cause, temporary = ctx.Err(), true // what broke is only how the deadline showed
	}
	return &Error{Op: op, Remote: r.opts.URL, temporary: temporary, err: cause}
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
	var outer *url.Error
	if errors.As(err, &outer) {
		return outer.Err, !isCertificate(outer.Err) && !saysPermanent(outer.Err)
	}
	return err, isNetwork(err)
}

func fromStatus(s statusError) (error, bool) {
	switch int(s) {
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("%w (%w)", ErrUnauthorized, s), false
	case http.StatusNotFound, http.StatusGone:
		return fmt.Errorf("repository: %w", mirror.ErrNotFound), false
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
		return s, true
	}
	return s, s >= 500
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

// maxReason is how much of a server's own words an error carries.
const maxReason = 200

// reason makes a server's words fit for an error: one short printable line without any of the secrets.
func reason(text string, secrets []string) string {
	for _, s := range secrets {
		if s != "" {
			text = strings.ReplaceAll(text, s, "***")
		}
	}
	text = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f || c == '\uFFFD' {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(text, " "))
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "") + "..."
	}
	return text
}
