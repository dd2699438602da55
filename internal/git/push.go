package git

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
)

// update moves one ref of the remote from exactly one commit to exactly another; zero stands for no ref.
type update struct {
	ref      plumbing.ReferenceName
	old, new plumbing.Hash
	brings   *built        // what the remote may not have; nil for a deletion
	while    plumbing.Hash // where our branch must be when the push begins; zero for anywhere
}

// onto gives the push of a commit to a ref that is at old.
func (b *built) onto(ref plumbing.ReferenceName, old plumbing.Hash) update {
	return update{ref: ref, old: old, new: b.commit, brings: b}
}

// rewrites says whether the ref leaves commits behind that it named.
func (u update) rewrites() bool {
	return !u.old.IsZero() && u.brings != nil && u.brings.parent != u.old
}

// push moves the ref from exactly the old commit. go-git's own push reads the old value from the server itself, and
// so would undo a reset that a person made since we read.
func (r *Repo) push(ctx context.Context, u update) error {
	s, secrets, err := r.remote.receive(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	adv, err := s.AdvertisedReferencesContext(ctx)
	if err != nil {
		return err
	}
	if at := adv.References[u.ref.String()]; at != u.old {
		return moved(at)
	}
	if at := adv.References[r.branch.String()]; !u.while.IsZero() && at != u.while {
		return moved(at)
	}
	req := packp.NewReferenceUpdateRequestFromCapabilities(adv.Capabilities)
	req.Commands = []*packp.Command{{Name: u.ref, Old: u.old, New: u.new}}
	if u.brings != nil {
		pack, err := u.brings.pack()
		if err != nil {
			return fmt.Errorf("encode the pack: %w", err)
		}
		req.Packfile = io.NopCloser(bytes.NewReader(pack))
	}
	report, err := s.ReceivePack(ctx, req)
	if report != nil {
		return r.judge(ctx, u, report, secrets)
	}
	return r.settle(ctx, u, err)
}

var errGone = fmt.Errorf("%w: it is gone", ErrRejected)

// moved is a ref that is not where it was thought to be.
func moved(at plumbing.Hash) error {
	if at.IsZero() {
		return errGone
	}
	return fmt.Errorf("%w: it is at %s", ErrRejected, at)
}

// judge reads the server's report: the push went through, the branch had moved, or the server does not
// want it for a reason of its own, such as a protected branch.
func (r *Repo) judge(ctx context.Context, u update, report *packp.ReportStatus, secrets []string) error {
	refusal := "no word on the branch"
	if report.UnpackStatus != "ok" {
		refusal = "unpack: " + report.UnpackStatus
	}
	for _, c := range report.CommandStatuses {
		switch {
		case c.ReferenceName != u.ref: // none that we asked for
		case c.Status != "ok":
			refusal = c.Status
		case report.UnpackStatus == "ok":
			return nil
		}
	}
	refs, err := r.refs(ctx)
	at := refs[u.ref.String()]
	switch {
	case err == nil && at == u.new:
		return nil
	case err == nil && at != u.old:
		return moved(at)
	}
	for _, sign := range movedSigns { // someone else's push is not yet to be seen
		if u.rewrites() && sign == notForward {
			continue // so the server calls what we asked for
		}
		if strings.Contains(refusal, sign) {
			return fmt.Errorf("%w: %s", ErrRejected, reason(refusal, r.without(secrets)))
		}
	}
	return &lastingError{"the server refused the push: " + reason(refusal, r.without(secrets)), ErrPushRefused}
}

const notForward = "non-fast-forward"

// movedSigns are the words by which servers say that the old value did not match, or that another push
// holds the ref at this moment.
var movedSigns = []string{"fetch first", notForward, "stale info", "cannot lock ref", "failed to lock",
	"incorrect old value", "failed to update ref", "does not point to expected object", "remote ref updated"}

// settle finds out what became of a push whose answer is missing. The server may have taken it before the
// line broke.
func (r *Repo) settle(ctx context.Context, u update, cause error) error {
	refs, err := r.refs(ctx)
	at := refs[u.ref.String()]
	switch {
	case err == nil && at == u.new:
		return nil
	case err == nil && at != u.old:
		return moved(at)
	case cause != nil:
		return cause
	case err != nil:
		return err
	}
	return fmt.Errorf("the server gave no report: %w", io.ErrUnexpectedEOF)
}
