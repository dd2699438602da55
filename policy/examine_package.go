package policy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/poundlock/poundlock/policy/trust"
)

// packageTime is how long the bytes of one package may take to be read, which a signature inside of it is over. It is
// apart from the time for requests, since a package may have a GiB.
const packageTime = 15 * time.Minute

// readingPackages bounds how many packages are read at once, in the whole process: each keeps a connection or a file open
// and a processor busy.
var readingPackages = make(chan struct{}, 4)

// reading gives a context for reading the bytes of a package, and what ends it.
func (x *examination) reading() (ctx context.Context, done func(), err error) {
	select {
	case readingPackages <- struct{}{}:
	case <-x.whole.Done():
		return nil, nil, context.Cause(x.whole)
	}
	ctx, cancel := context.WithTimeoutCause(x.whole, packageTime, fmt.Errorf("the package was not read within %s", packageTime))
	return ctx, func() { cancel(); <-readingPackages }, nil
}

// unread says whether an error is of bytes that could not be read now, so that it says nothing of a signature.
func unread(err error) bool {
	return errors.Is(err, trust.ErrUnread) && !unusable(err)
}

// wanted says where some rules look for signatures: beside the content, and inside of it, as those of packages are.
func (q question) wanted(rules []rule) (beside, inside bool) {
	for _, r := range rules {
		if r.Count == 0 {
			continue
		}
		for _, x := range q.asked {
			for _, name := range r.Signers {
				if s, ok := x.signers[name]; ok {
					beside, inside = beside || !s.TakesPackages(), inside || s.TakesPackages()
				}
			}
		}
	}
	return beside, inside
}

// packaged says whether what a rule asks for may be the signature of a package, which says itself which package it is of.
func (q question) packaged(r rule) bool {
	_, inside := q.wanted([]rule{r})
	return inside
}
