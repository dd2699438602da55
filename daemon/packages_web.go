package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/poundlock/poundlock/internal/elastic"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/internal/wire"
)

// packageWeb is a package on a web server, such as a registry of packages. Which hosts may be asked, and with which
// credential, is what the configuration says under registries.
type packageWeb struct {
	web *http.Client
	at  mirror.PackageAt
}

// signature reads the signature. A registry of Elastic answers 500 for a package that it has and that has none, and names no
// signature of such a package: where it names one, 500 is trouble like any other, or one bad moment would turn what is signed
// into what is not. A package that nothing was told of has no Print.
func (p packageWeb) signature(ctx context.Context) ([]byte, error) {
	if p.at.Signature == "" {
		return nil, nil
	}
	resp, err := p.ask(ctx, http.MethodGet, p.at.Signature, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	switch told := p.at.Print != (mirror.Digest{}); {
	case resp.StatusCode == http.StatusOK:
	case resp.StatusCode == http.StatusNotFound, resp.StatusCode == http.StatusGone, resp.StatusCode == http.StatusInternalServerError && !told:
		return nil, nil
	default:
		return nil, p.answered(p.at.Signature, resp)
	}
	return readSignature(resp.Body, p.at)
}

// readSignature reads a signature, bounded. One without a byte is none.
func readSignature(body io.Reader, at mirror.PackageAt) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(body, elastic.MaxSignature+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > elastic.MaxSignature:
		return nil, fmt.Errorf("the signature of %s has more than %d bytes: %w", at.Package, elastic.MaxSignature, errAnswer)
	case len(text) == 0:
		return nil, nil
	}
	return text, nil
}

// stat asks what the server says of the zip. One that takes no HEAD says nothing.
func (p packageWeb) stat(ctx context.Context) (zipMark, error) {
	resp, err := p.ask(ctx, http.MethodHead, p.at.Zip, nil)
	if err != nil {
		return zipMark{}, err
	}
	resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
		return markOfAnswer(resp), nil
	case http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return zipMark{}, nil
	}
	return zipMark{}, p.answered(p.at.Zip, resp)
}

// open streams the zip. It goes on with what is there only where the server can say that the file is still the same.
func (p packageWeb) open(ctx context.Context, from int64, mark partMark) (io.ReadCloser, int64, zipMark, error) {
	if from > 0 && from == mark.Size && mark.Address == p.at.Zip && mark.condition() != "" { // all of it came: what followed broke off
		if now, err := p.stat(ctx); err == nil && now == mark.zipMark {
			return http.NoBody, from, now, nil
		}
	}
	header := http.Header{}
	if condition := mark.condition(); from > 0 && condition != "" && mark.Address == p.at.Zip && from < mark.Size {
		header.Set("Range", fmt.Sprintf("bytes=%d-", from))
		header.Set("If-Range", condition)
	}
	resp, err := p.ask(ctx, http.MethodGet, p.at.Zip, header)
	if err != nil {
		return nil, 0, zipMark{}, err
	}
	switch {
	case resp.StatusCode == http.StatusOK:
		return resp.Body, 0, markOfAnswer(resp), nil
	case resp.StatusCode == http.StatusPartialContent && header.Get("Range") != "" && mark.continues(resp, from):
		return resp.Body, from, mark.zipMark, nil
	}
	resp.Body.Close()
	if header.Get("Range") != "" && (resp.StatusCode == http.StatusPartialContent || resp.StatusCode == http.StatusRequestedRangeNotSatisfiable) {
		return p.open(ctx, 0, partMark{}) // another part than was asked for, or the file is another one
	}
	return nil, 0, zipMark{}, p.answered(p.at.Zip, resp)
}

// condition gives what a server compares before it sends a part: a strong validator.
func (m zipMark) condition() string {
	if m.ETag != "" && !strings.HasPrefix(m.ETag, "W/") {
		return m.ETag
	}
	return m.Modified
}

// continues says whether an answer is the rest of the same file from a byte on. A server may send a part without having looked
// at the condition; what it says of the file tells.
func (m zipMark) continues(resp *http.Response, from int64) bool {
	span, total, ok := strings.Cut(resp.Header.Get("Content-Range"), "/")
	size, err := strconv.ParseInt(total, 10, 64)
	now := markOfAnswer(resp)
	same := (now.ETag == "" || now.ETag == m.ETag) && (now.Modified == "" || now.Modified == m.Modified)
	return ok && err == nil && same && size == m.Size && strings.HasPrefix(span, fmt.Sprintf("bytes %d-", from))
}

func markOfAnswer(resp *http.Response) zipMark {
	return zipMark{Size: max(0, resp.ContentLength), ETag: cutMark(resp.Header.Get("ETag")), Modified: cutMark(resp.Header.Get("Last-Modified"))}
}

// cutMark bounds a validator: one that is too long is as good as none.
func cutMark(text string) string {
	if len(text) > 200 || mirror.OneLine(text) != text {
		return ""
	}
	return text
}

// ask sends a request; what went wrong never repeats a query, which may hold a key.
func (p packageWeb) ask(ctx context.Context, method, address string, header http.Header) (*http.Response, error) {
	at, err := url.Parse(address)
	if err != nil || at.Host == "" || at.User != nil || at.Scheme != "https" && at.Scheme != "http" {
		return nil, fmt.Errorf("want https://host/path, without a user and a password: %w", errAnswer)
	}
	req, err := http.NewRequestWithContext(ctx, method, at.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("%s: malformed address: %w", shownAddress(address), errAnswer)
	}
	for key, values := range header {
		req.Header[key] = values
	}
	resp, err := p.web.Do(req)
	if err != nil {
		if told := new(url.Error); errors.As(err, &told) {
			err = told.Err // which does not repeat the whole address
		}
		return nil, mirror.Discreet(wire.Mask, fmt.Errorf("%s: %w", shownAddress(address), err))
	}
	return resp, nil
}

func (p packageWeb) answered(address string, resp *http.Response) error {
	switch {
	case resp.StatusCode == http.StatusNotFound, resp.StatusCode == http.StatusGone:
		return fmt.Errorf("%s: %w", shownAddress(address), mirror.ErrNotFound)
	case resp.StatusCode >= http.StatusInternalServerError, resp.StatusCode == http.StatusTooManyRequests:
		return fmt.Errorf("%s: the server answers %d %s", shownAddress(address), resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	return fmt.Errorf("%s: the server answers %d %s: %w", shownAddress(address), resp.StatusCode, http.StatusText(resp.StatusCode), errAnswer)
}

// shownAddress gives an address as it may be shown.
func shownAddress(address string) string {
	at, err := url.Parse(address)
	if err != nil {
		return "an address"
	}
	return at.Scheme + "://" + at.Host + at.EscapedPath()
}
