package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Referrers lists what refers to d in r's repository: by the referrers API where the registry has it,
// otherwise from the fallback tag of the OCI distribution specification. More than mirror.MaxListed are
// an error, never a part of the list.
func (c *Client) Referrers(ctx context.Context, r mirror.Reference, d mirror.Digest) ([]mirror.Descriptor, error) {
	u, err := c.address(r, "referrers/"+d.String())
	if err != nil {
		return nil, fmt.Errorf("list referrers: %w", err)
	}
	q := request{op: "list referrers of", ref: r.AtDigest(d), method: http.MethodGet, url: u,
		header: http.Header{"Accept": {string(types.OCIImageIndex)}}, success: []int{http.StatusOK}}
	var found referrers
	err = c.pages(ctx, q, func(_ http.Header, body []byte) error { return found.add(body) })
	if errors.Is(err, errNoIndex) || unsupported(statusOf(err)) {
		return c.fallback(ctx, r, d)
	}
	return found.list, err
}

// FallbackTag is the tag under which a registry without the referrers API keeps the index of d's referrers.
func FallbackTag(d mirror.Digest) string { return d.Algorithm + "-" + d.Hex }

func (c *Client) fallback(ctx context.Context, r mirror.Reference, d mirror.Digest) ([]mirror.Descriptor, error) {
	m, err := c.get(ctx, mirror.Reference{Host: r.Host, Repository: r.Repository, Tag: FallbackTag(d)})
	if errors.Is(err, mirror.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var found referrers
	if err := found.add(m.Body); err != nil {
		return nil, fmt.Errorf("list referrers of %s: %w", r.AtDigest(d), err)
	}
	return found.list, nil
}

// unsupported says whether a status means that the registry has no referrers API. 404 is what the
// specification asks for; others are what older registries and the proxies before them answer. A refused
// credential or a fault is not an absent API: taking it for one would hide signatures.
func unsupported(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusRequestTimeout, http.StatusTooManyRequests:
		return false
	case http.StatusNotImplemented:
		return true
	}
	return status >= 400 && status < 500
}

// errNoIndex is an answer that is no index at all, such as the web page of a proxy.
var errNoIndex = errors.New("not an index")

// referrers collects descriptors over pages, each digest once.
type referrers struct{ list []mirror.Descriptor }

func (f *referrers) add(body []byte) error {
	var index struct {
		Manifests []json.RawMessage `json:"manifests"`
	}
	if err := mirror.CheckValues(body); err != nil {
		return fmt.Errorf("too many referrers: %w", err)
	}
	if err := json.Unmarshal(body, &index); err != nil || index.Manifests == nil {
		return errNoIndex
	}
	for _, raw := range index.Manifests {
		var d mirror.Descriptor
		// One malformed descriptor must not hide its neighbours: it is left out.
		if json.Unmarshal(raw, &d) != nil || !valid(d) || f.has(d.Digest) {
			continue
		}
		if f.list = append(f.list, d); len(f.list) > mirror.MaxListed {
			return fmt.Errorf("too many referrers, more than %d: %w", mirror.MaxListed, mirror.ErrTooLarge)
		}
	}
	return nil
}

func (f *referrers) has(d mirror.Digest) bool {
	for _, have := range f.list {
		if have.Digest == d {
			return true
		}
	}
	return false
}

func valid(d mirror.Descriptor) bool {
	_, err := mirror.ParseDigest(d.Digest.String())
	return err == nil && d.Size >= 0 && d.MediaType != ""
}
