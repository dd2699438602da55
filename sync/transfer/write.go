package transfer

import (
	"context"
	"fmt"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Write brings content that was made from what is admitted already, such as the index of a channel, to the repository of to
// under the digest of from, and lets the tag of to name it last, where it has one. What is there already is not brought
// again, so a call that a crash broke off is made good by the same call. Content that comes from elsewhere is never written
// so: Want takes it, with its verdict.
func (m *Mover) Write(ctx context.Context, content mirror.Content, from, to mirror.Reference) error {
	c := &cargo{m: m, content: content, from: from.AtDigest(mirror.Digest{}), to: to.AtDigest(mirror.Digest{}), root: from.Digest}
	p, err := c.whole(ctx, mirror.Descriptor{Digest: from.Digest}, 0)
	if err == nil && (!p.there || to.Tag != "") {
		// The tag comes after all that it names: a crash before this line leaves only parts.
		put := to.AtDigest(from.Digest)
		if to.Tag != "" {
			put = mirror.Reference{Host: to.Host, Repository: to.Repository, Tag: to.Tag}
		}
		_, err = c.put(ctx, put, p)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", to, err)
	}
	return nil
}
