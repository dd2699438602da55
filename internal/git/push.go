package git

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
)

// push moves the branch from exactly parent to exactly commit. go-git's own push reads the old value from
// the server itself, and so would undo a reset that a person made since we read.
func (r *Repo) push(ctx context.Context, b *built) error {
	pack, err := b.pack()
	if err != nil {
		return fmt.Errorf("encode the pack: %w", err)
	}
	s, secrets, err := r.remote.receive(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	adv, err := s.AdvertisedReferencesContext(ctx)
	if err != nil {
		return err
	}
	if at := adv.References[r.branch.String()]; at != b.parent {
		return fmt.Errorf("%w: it is at %s", ErrRejected, at)
	}
	req := packp.NewReferenceUpdateRequestFromCapabilities(adv.Capabilities)
	req.Commands = []*packp.Command{{Name: r.branch, Old: b.parent, New: b.commit}}
	req.Packfile = io.NopCloser(bytes.NewReader(pack))
	report, err := s.ReceivePack(ctx, req)
	if report != nil {
		return r.judge(ctx, b, report, secrets)
	}
	return r.settle(ctx, b, err)
}

// judge reads the server's report: the push went through, the branch had moved, or the server does not
// want it for a reason of its own, such as a protected branch.
func (r *Repo) judge(ctx context.Context, b *built, report *packp.ReportStatus, secrets []string) error {
	refusal := "no word on the branch"
	if report.UnpackStatus != "ok" {
		refusal = "unpack: " + report.UnpackStatus
	}
	for _, c := range report.CommandStatuses {
		switch {
		case c.ReferenceName != r.branch: // none that we asked for
		case c.Status != "ok":
			refusal = c.Status
		case report.UnpackStatus == "ok":
			return nil
		}
	}
	at, err := r.list(ctx)
	switch {
	case err == nil && at == b.commit:
		return nil
	case err == nil && at != b.parent:
		return fmt.Errorf("%w: it is at %s", ErrRejected, at)
	}
	for _, sign := range movedSigns { // someone else's push is not yet to be seen
		if strings.Contains(refusal, sign) {
			return fmt.Errorf("%w: %s", ErrRejected, reason(refusal, r.without(secrets)))
		}
	}
	return &lastingError{"the server refused the push: " + reason(refusal, r.without(secrets)), ErrPushRefused}
}

// movedSigns are the words by which servers say that the old value did not match, or that another push
// holds the ref at this moment.
var movedSigns = []string{"fetch first", "non-fast-forward", "stale info", "cannot lock ref", "failed to lock",
	"incorrect old value", "failed to update ref", "does not point to expected object", "remote ref updated"}

// settle finds out what became of a push whose answer is missing. The server may have taken it before the
// line broke.
func (r *Repo) settle(ctx context.Context, b *built, cause error) error {
	at, err := r.list(ctx)
	switch {
	case err == nil && at == b.commit:
		return nil
	case err == nil && at != b.parent:
		return fmt.Errorf("%w: it is at %s", ErrRejected, at)
	case cause != nil:
		return cause
	case err != nil:
		return err
	}
	return fmt.Errorf("the server gave no report: %w", io.ErrUnexpectedEOF)
}
