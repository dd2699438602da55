package transfer

import (
	"context"
	"errors"
	"fmt"

	"github.com/poundlock/poundlock/internal/mirror"
)

// ErrNotVerified is the end of a job whose Verified admits nothing. It counts as a refusal.
var ErrNotVerified = fmt.Errorf("transfer accepts only what was verified: %w", mirror.ErrRefused)

// Error is why an image did not arrive.
type Error struct {
	Code  mirror.ReasonCode // UpstreamFailed, UpstreamMissing, LocalFailed, BadContent or NotVerified
	Image mirror.Reference  // the side that failed
	err   error
}

// Error reads as one sentence that names the side.
func (e *Error) Error() string { return fmt.Sprintf("%s: %v", e.Image, e.err) }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.err }

// Temporary says whether the same job may do better later with nothing changed.
func (e *Error) Temporary() bool {
	return e.Code == mirror.UpstreamFailed || e.Code == mirror.LocalFailed
}

// ReasonOf gives the reason of an action that failed with err.
func ReasonOf(err error) mirror.Reason {
	var e *Error
	if errors.As(err, &e) {
		return mirror.Because(e.Code, "%v", err)
	}
	if errors.Is(err, mirror.ErrRefused) {
		return mirror.Because(mirror.NotVerified, "%v", err)
	}
	return mirror.Because(mirror.LocalFailed, "%v", err)
}

// upstream wraps what went wrong while reading r.
func upstream(r mirror.Reference, err error) error {
	code := mirror.UpstreamFailed
	switch {
	case errors.Is(err, mirror.ErrNotFound):
		code = mirror.UpstreamMissing
	case errors.Is(err, mirror.ErrDigestMismatch), errors.Is(err, mirror.ErrTooLarge):
		code = mirror.BadContent
	}
	return sided(code, r, err)
}

// local wraps what went wrong at the target.
func local(r mirror.Reference, err error) error { return sided(mirror.LocalFailed, r, err) }

// bad says that the content itself is not acceptable.
func bad(r mirror.Reference, format string, args ...any) error {
	return sided(mirror.BadContent, r, fmt.Errorf(format, args...))
}

// sided keeps the innermost side: the one that saw the failure first.
func sided(code mirror.ReasonCode, r mirror.Reference, err error) error {
	var e *Error
	if err == nil || errors.As(err, &e) {
		return err
	}
	return &Error{Code: code, Image: r, err: err}
}

// temporary says whether trying the same request again may help. Errors of registries know; of anything
// else only an ended context is known to be final.
func temporary(err error) bool {
	var e *Error
	if errors.As(err, &e) {
		err = e.err
	}
	var t interface{ Temporary() bool }
	if errors.As(err, &t) {
		return t.Temporary()
	}
	return !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) &&
		!errors.Is(err, mirror.ErrNotFound) && !errors.Is(err, mirror.ErrDigestMismatch) && !errors.Is(err, mirror.ErrTooLarge)
}
