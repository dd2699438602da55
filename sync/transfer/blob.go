package transfer

import (
	"context"
	"fmt"

	"github.com/poundlock/poundlock/internal/mirror"
)

// blob sees to it that the repository holds d: asks, links it from where it is known to be, or uploads it.
// likely says that a manifest there names it already, so that asking comes before linking.
func (c *cargo) blob(ctx context.Context, d mirror.Descriptor, likely bool) error {
	m, repository, hint := c.m, c.to.Name(), ""
	if c.from.Host == c.to.Host && c.from.Repository != c.to.Repository {
		hint = c.from.Name() // a promotion inside the target
	}
	x := m.blobs.hold(d.Digest)
	defer m.blobs.release(d.Digest, x)
	know, session := claim{likely: likely}, ""
	defer func() {
		if session != "" {
			c.abandon(place{repository, d.Digest}, session)
		}
	}()
	for {
		s, from, changed := m.blobs.next(x, repository, hint, know)
		there, notAt := false, ""
		var err error
		switch s {
		case stepHave:
			c.tell(BlobFound, d, nil)
			return nil
		case stepWait:
			if session != "" { // someone uploads it: linking after that is cheaper than a second upload
				c.abandon(place{repository, d.Digest}, session)
				session, know.opened = "", false
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return ctx.Err()
			}
			continue
		case stepAsk:
			there, err = c.has(ctx, d)
			know.asked = true
		case stepMount:
			there, session, err = c.mount(ctx, d, from)
			know.opened = session != ""
			if err == nil && !there {
				notAt = from
			}
			if from == hint {
				hint = ""
			}
		case stepLead:
			if !know.asked {
				there, err = c.has(ctx, d)
				know.asked = true
			}
			if err == nil && !there {
				open := session
				session = ""
				err = c.upload(ctx, d, open)
				there = err == nil
			}
		}
		m.blobs.settle(x, repository, s, there, notAt)
		if err != nil || there {
			return err
		}
	}
}

func (c *cargo) has(ctx context.Context, d mirror.Descriptor) (there bool, err error) {
	err = c.m.request(ctx, func() (err error) { there, err = c.m.target.HasBlob(ctx, c.to, d.Digest); return err })
	if there {
		c.tell(BlobFound, d, nil)
	}
	return there, local(c.to, err)
}

func (c *cargo) mount(ctx context.Context, d mirror.Descriptor, name string) (done bool, session string, err error) {
	from, err := mirror.ParseReference(name)
	if err != nil {
		return false, "", local(c.to, err)
	}
	err = c.m.write(ctx, func() (err error) {
		done, session, err = c.m.target.Mount(ctx, c.to, from, d.Digest)
		return err
	})
	if err != nil {
		return false, "", local(c.to, fmt.Errorf("mount %s from %s: %w", d.Digest, name, err))
	}
	if done {
		c.tell(BlobMounted, d, nil)
		return true, "", nil
	}
	if session == "" {
		return false, "", local(c.to, fmt.Errorf("mount %s from %s: neither done nor an upload session", d.Digest, name))
	}
	if err := c.journal(session, d.Digest); err != nil {
		return false, "", err
	}
	return false, session, nil
}
