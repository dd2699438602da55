package git

import (
	"context"
	"errors"

	"github.com/go-git/go-git/v5/plumbing/transport"
)

// CanPush asks the server to begin a push, with the credential, and ends before anything is sent. nil means
// that it lets us push at all; whether it protects the branch shows only at a push. A branch that is not
// there is ErrNoBranch.
func (r *Repo) CanPush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	s, _, err := r.remote.receive(ctx)
	if err != nil {
		return r.remoteError(ctx, "begin a push to", err)
	}
	defer s.Close()
	adv, err := s.AdvertisedReferencesContext(ctx)
	switch {
	case errors.Is(err, transport.ErrEmptyRemoteRepository):
		return r.remoteError(ctx, "begin a push to", ErrNoBranch)
	case err != nil:
		return r.remoteError(ctx, "begin a push to", err)
	}
	_, err = r.headIn(adv.References)
	return r.remoteError(ctx, "begin a push to", err)
}
