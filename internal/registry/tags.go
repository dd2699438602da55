package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

const (
	// maxTags is the most tags of one repository that are listed; more are refused.
	maxTags = 100_000
	// maxPages bounds how often a server may say that there is more.
	maxPages = 1000
)

// Tags lists the tags of r's repository in the registry's order. A repository that is not there is
// mirror.ErrNotFound.
func (c *Client) Tags(ctx context.Context, r mirror.Reference) ([]string, error) {
	u, err := c.address(r, "tags/list")
	if err != nil {
		return nil, fmt.Errorf("list tags: %w", err)
	}
	var tags []string
	q := request{op: "list tags of", ref: mirror.Reference{Host: r.Host, Repository: r.Repository}, method: http.MethodGet, url: u, success: []int{http.StatusOK}}
	err = c.pages(ctx, q, func(_ http.Header, body []byte) error {
		var page struct {
			Tags []string `json:"tags"`
		}
		if err := json.Unmarshal(body, &page); err != nil {
			return err
		}
		if tags = append(tags, page.Tags...); len(tags) > maxTags {
			return fmt.Errorf("more than %d tags: %w", maxTags, mirror.ErrTooLarge)
		}
		return nil
	})
	return tags, err
}

// pages reads q.url and the pages that its Link headers name, one after the other, each at most
// mirror.MaxManifest bytes.
func (c *Client) pages(ctx context.Context, q request, page func(http.Header, []byte) error) (err error) {
	defer func() { err = c.discreet(err) }()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	asked := map[string]bool{}
	for range maxPages {
		asked[q.url.String()] = true
		resp, err := c.do(ctx, q)
		if err != nil {
			return err
		}
		body, err := readAll(resp.Body, mirror.MaxManifest)
		resp.Body.Close()
		if err != nil {
			return q.fail(err)
		}
		if err := page(resp.Header, body); err != nil {
			return fmt.Errorf("%s %s: %w", q.op, q.ref, err)
		}
		next := nextLink(resp.Header)
		if next == "" {
			return nil
		}
		if q.url, err = sameHost(q.url, next); err != nil {
			return fmt.Errorf("%s %s: next page: %w", q.op, q.ref, err)
		}
		if asked[q.url.String()] {
			return fmt.Errorf("%s %s: %w", q.op, q.ref, errLoop)
		}
	}
	return fmt.Errorf("%s %s: more than %d pages: %w", q.op, q.ref, maxPages, mirror.ErrTooLarge)
}

// errLoop is an answer that would be asked for without end.
var errLoop = errors.New("the registry names a page as the next one that it gave already")

// nextLink gives the target of a Link header with rel=next, "" without one.
func nextLink(h http.Header) string {
	for _, v := range h.Values("Link") {
		for link := range strings.SplitSeq(v, ",") {
			target, params, ok := strings.Cut(strings.TrimSpace(link), ">")
			if ok && strings.HasPrefix(target, "<") && strings.Contains(strings.ReplaceAll(params, `"`, ""), "rel=next") {
				return target[1:]
			}
		}
	}
	return ""
}

// sameHost resolves a URL that a server answered with against the one it was asked by, and refuses any
// other scheme, host or port: the answer must not choose where the next request and its credential go.
func sameHost(asked *url.URL, answer string) (*url.URL, error) {
	u, err := asked.Parse(answer)
	if err != nil {
		return nil, fmt.Errorf("%s answered with a malformed URL", asked.Host)
	}
	if u.Scheme != asked.Scheme || u.Host != asked.Host || u.User != nil {
		return nil, &foreignError{from: asked.Host, to: u.Host}
	}
	return u, nil
}

// foreignError is an answer that points to another host.
type foreignError struct{ from, to string }

func (e *foreignError) Error() string {
	return fmt.Sprintf("%s points to another host, %s, which is not asked", e.from, printable(e.to))
}

// Refused says that another try would be refused as well.
func (e *foreignError) Refused() bool { return true }
