package plan

import (
	"errors"

	"github.com/poundlock/poundlock/internal/mirror"
)

// unfetched says of a package why it has no digest, where its bytes are what is in the way: nobody saw them yet, or they
// are no package and are fetched again only when upstream changes them. What else failed stays as it is.
func unfetched(a mirror.Action, err error) mirror.Action {
	var bad mirror.Problem
	switch {
	case errors.Is(err, mirror.ErrNotFetched):
		a.Kind, a.Reason = mirror.Fetch, mirror.Because(mirror.NotFetched, "%v; they are fetched, and judged then", mirror.ErrNotFetched)
	case errors.Is(err, mirror.ErrRefused) && errors.As(err, &bad):
		a.Kind, a.Reason = mirror.Refuse, mirror.Because(mirror.BadContent, "%s", mirror.OneLine(bad.What))
		if bad.Why != "" {
			a.Reason.Detail += "; " + mirror.OneLine(bad.Why)
		}
		a.Reason.Problem, a.Reason.Fix = bad.Code, bad.Fix
	}
	return a
}
