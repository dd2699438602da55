package testenv

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Retag stores the manifest that the tag or digest from names in ref (host[:port]/repository, on plain HTTP) under the
// tag to, byte for byte: also where no honest tool would, such as the signature of one image beside another.
func Retag(ctx context.Context, ref, from, to string) error {
	p := newPlain(ref)
	defer p.close()
	kind, body, err := p.do(ctx, http.MethodGet, "manifests/"+from, "", nil)
	if err == nil {
		_, _, err = p.do(ctx, http.MethodPut, "manifests/"+to, kind, body)
	}
	return err
}

const junkType = "application/vnd.junk"

// PutJunk stores n artifacts that refer to the image d at ref and that nobody asks for. A registry without referrers API
// gets the index under the fallback tag by one write, in place of any that was there: each push of PutReferrer would
// write the whole of it anew.
func PutJunk(ctx context.Context, ref string, d mirror.Digest, n int) error {
	var empty v1.Descriptor
	err := withRepository(ref, func(repo name.Repository, opts ...remote.Option) (err error) {
		empty, err = putBlob(repo, emptyType, []byte("{}"), append(opts, remote.WithContext(ctx)))
		return err
	})
	if err != nil {
		return err
	}
	p := newPlain(ref)
	defer p.close()
	kind, image, err := p.do(ctx, http.MethodGet, "manifests/"+d.String(), "", nil)
	if err != nil {
		return err
	}
	subject := &v1.Descriptor{MediaType: types.MediaType(kind), Digest: d, Size: int64(len(image))}
	index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex}
	for i := range n {
		junk := artifact{SchemaVersion: 2, Type: types.OCIManifestSchema1, ArtifactType: junkType, Config: empty, Layers: []v1.Descriptor{empty},
			Subject: subject, Annotations: map[string]string{"junk": fmt.Sprint(i)}}
		body, err := junk.RawManifest()
		if err != nil {
			return err
		}
		listed := v1.Descriptor{MediaType: types.OCIManifestSchema1, Digest: mirror.DigestOf(body), Size: int64(len(body)), ArtifactType: junkType}
		if _, _, err := p.do(ctx, http.MethodPut, "manifests/"+listed.Digest.String(), string(listed.MediaType), body); err != nil {
			return err
		}
		index.Manifests = append(index.Manifests, listed)
	}
	if _, _, err := p.do(ctx, http.MethodGet, "referrers/"+d.String(), "", nil); err == nil {
		return nil // the registry lists them itself
	}
	body, err := json.Marshal(index)
	if err == nil {
		_, _, err = p.do(ctx, http.MethodPut, "manifests/"+d.Algorithm+"-"+d.Hex, string(types.OCIImageIndex), body)
	}
	return err
}

// plain sends requests about one repository as they are.
type plain struct {
	base   string
	client *http.Client
}

func newPlain(ref string) plain {
	host, repository, _ := strings.Cut(ref, "/")
	return plain{"http://" + host + "/v2/" + repository + "/", &http.Client{Transport: &http.Transport{}}}
}

func (p plain) close() { p.client.CloseIdleConnections() }

// do gives the media type and the body of an answer; one of a status that is no success is an error.
func (p plain) do(ctx context.Context, method, path, kind string, body []byte) (string, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, p.base+path, bytes.NewReader(body))
	if err != nil {
		return "", nil, err
	}
	req.Header.Set("Accept", acceptAll)
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return "", nil, err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= http.StatusMultipleChoices {
		err = fmt.Errorf("testenv: %s %s: %s", method, path, resp.Status)
	}
	return resp.Header.Get("Content-Type"), got, err
}
