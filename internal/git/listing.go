package git

import "context"

// Listing is what the remote's refs name at one moment, by one request.
type Listing struct {
	Head string            // of our branch; "" where it is not there
	Refs map[string]string // commits by full name of the ref: branches, and heads of proposals such as refs/pull/7/head
}

// Listing asks for all refs, by one request. It is what Remote asks, with everything that it says.
func (r *Repo) Listing(ctx context.Context) (Listing, error) { return Listing{}, errStub }
