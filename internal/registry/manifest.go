package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/poundlock/poundlock/internal/mirror"
)

// accepted lists the media types of manifests that we read, as an Accept header.
var accepted = strings.Join([]string{
	string(types.OCIImageIndex), string(types.OCIManifestSchema1),
	string(types.DockerManifestList), string(types.DockerManifestSchema2),
}, ", ")

// Resolve asks by one HEAD what r's tag points to or, without a tag, whether its digest is there. Only a
// registry that does not tell digest and size in its answer is asked again, with a GET.
func (c *Client) Resolve(ctx context.Context, r mirror.Reference) (_ mirror.Descriptor, err error) {
	defer func() { err = c.discreet(err) }()
	q, err := c.manifestRequest("head", http.MethodHead, r)
	if err != nil {
		return mirror.Descriptor{}, err
	}
	resp, err := c.do(ctx, q)
	if err != nil {
		return mirror.Descriptor{}, err
	}
	resp.Body.Close()
	text := resp.Header.Get("Docker-Content-Digest")
	if text == "" || resp.ContentLength < 0 {
		m, err := c.get(ctx, r)
		return m.Descriptor, err
	}
	d, err := mirror.ParseDigest(text)
	if err != nil {
		return mirror.Descriptor{}, fmt.Errorf("head %s: %w", r, err)
	}
	if r.Tag == "" && d != r.Digest {
		return mirror.Descriptor{}, fmt.Errorf("head %s: registry answers with %s: %w", r, d, mirror.ErrDigestMismatch)
	}
	return mirror.Descriptor{MediaType: mirror.NewMediaType(contentType(resp.Header)), Digest: d, Size: resp.ContentLength}, nil
}

// Manifest reads the manifest d of r's repository, at most mirror.MaxManifest bytes.
func (c *Client) Manifest(ctx context.Context, r mirror.Reference, d mirror.Digest) (mirror.Manifest, error) {
	return c.get(ctx, r.AtDigest(d))
}

// Tagged reads the manifest that r's tag names, at most mirror.MaxManifest bytes.
func (c *Client) Tagged(ctx context.Context, r mirror.Reference) (mirror.Manifest, error) {
	return c.get(ctx, r)
}

// get reads the manifest that r names by tag or, without a tag, by digest.
func (c *Client) get(ctx context.Context, r mirror.Reference) (_ mirror.Manifest, err error) {
	defer func() { err = c.discreet(err) }()
	q, err := c.manifestRequest("get", http.MethodGet, r)
	if err != nil {
		return mirror.Manifest{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	resp, err := c.do(ctx, q)
	if err != nil {
		return mirror.Manifest{}, err
	}
	defer resp.Body.Close()
	body, err := readAll(resp.Body, mirror.MaxManifest)
	if err != nil {
		return mirror.Manifest{}, q.fail(err)
	}
	m := mirror.NewManifest("", body)
	if want := r.Digest; r.Tag == "" && m.Descriptor.Digest != want {
		return mirror.Manifest{}, fmt.Errorf("get %s: %w: it is %s", r, mirror.ErrDigestMismatch, m.Descriptor.Digest)
	}
	if text := resp.Header.Get("Docker-Content-Digest"); text != "" && text != m.Descriptor.Digest.String() {
		return mirror.Manifest{}, fmt.Errorf("get %s: %w: the registry says %s, the bytes are %s", r, mirror.ErrDigestMismatch, printable(text), m.Descriptor.Digest)
	}
	m.Descriptor.MediaType, err = manifestType(contentType(resp.Header), body)
	if err != nil {
		return mirror.Manifest{}, fmt.Errorf("get %s: %w", r, err)
	}
	return m, nil
}

// Put stores a manifest under the tag of to or, without a tag, under its digest. subjectAccepted says that
// the registry lists it as a referrer of its subject; otherwise the fallback tag has to be written.
func (c *Client) Put(ctx context.Context, to mirror.Reference, m mirror.Manifest) (subjectAccepted bool, err error) {
	defer func() { err = c.discreet(err) }()
	if to.HasDigest() && to.Digest != m.Descriptor.Digest {
		return false, fmt.Errorf("put %s: %w: it is %s", to, mirror.ErrDigestMismatch, m.Descriptor.Digest)
	}
	q, err := c.manifestRequest("put", http.MethodPut, to)
	if err != nil {
		return false, err
	}
	q.header = http.Header{"Content-Type": {string(m.Descriptor.MediaType)}}
	q.body, q.length = bytes.NewReader(m.Body), int64(len(m.Body))
	q.success = []int{http.StatusCreated, http.StatusOK, http.StatusAccepted}
	h, _, err := c.send(ctx, q)
	if err != nil {
		return false, err
	}
	if text := h.Get("Docker-Content-Digest"); text != "" && text != m.Descriptor.Digest.String() {
		return false, fmt.Errorf("put %s: %w: the registry stored %s", to, mirror.ErrDigestMismatch, printable(text))
	}
	return h.Get("OCI-Subject") != "", nil
}

func (c *Client) manifestRequest(op, method string, r mirror.Reference) (request, error) {
	name := r.Tag
	if name == "" && r.HasDigest() {
		name = r.Digest.String()
	}
	if name == "" || strings.ContainsAny(name, "/?#%") || strings.Trim(name, ".") == "" {
		return request{}, fmt.Errorf("%s %s: neither tag nor digest", op, r)
	}
	u, err := c.address(r, "manifests/"+name)
	if err != nil {
		return request{}, fmt.Errorf("%s: %w", op, err)
	}
	return request{op: op, ref: r, method: method, url: u, success: []int{http.StatusOK},
		header: http.Header{"Accept": {accepted}}}, nil
}

// contentType gives the media type of an answer without its parameters.
func contentType(h http.Header) string {
	t, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return t
}

// manifestType says what kind of manifest body is. The body's own mediaType is covered by the digest and
// counts; a header that names another kind is refused, and so is a body that could be read as image and as
// index, because two clients would see two things in it.
func manifestType(header string, body []byte) (types.MediaType, error) {
	var raw struct {
		MediaType string          `json:"mediaType"`
		Manifests json.RawMessage `json:"manifests"`
		Layers    json.RawMessage `json:"layers"`
		Config    json.RawMessage `json:"config"`
	}
	if err := json.Unmarshal(body, &raw); err != nil {
		return "", fmt.Errorf("not a manifest: %w", err)
	}
	if raw.Manifests != nil && (raw.Layers != nil || raw.Config != nil) {
		return "", fmt.Errorf("ambiguous manifest: it has manifests and also config or layers")
	}
	h := types.MediaType(header)
	known := h.IsIndex() || h.IsImage()
	switch {
	case raw.MediaType != "" && known && header != raw.MediaType:
		return "", fmt.Errorf("media type is %s in the header and %s in the body", header, printable(raw.MediaType))
	case raw.MediaType != "":
		h = types.MediaType(raw.MediaType)
	case !known && raw.Manifests != nil:
		h = types.OCIImageIndex
	case !known:
		h = types.OCIManifestSchema1
	}
	if h.IsIndex() && raw.Manifests == nil || h.IsImage() && raw.Manifests != nil {
		return "", fmt.Errorf("media type is %s, the content is not", printable(string(h)))
	}
	if !h.IsIndex() && !h.IsImage() {
		return "", fmt.Errorf("media type %q is not a manifest that can be mirrored", printable(string(h)))
	}
	return h, nil
}
