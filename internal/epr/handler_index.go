package epr

import (
	"context"
	"fmt"
	"net/http"

	"github.com/poundlock/poundlock/internal/elastic"
	"github.com/poundlock/poundlock/internal/mirror"
)

// maxDocuments bounds the documents of packages that are kept, in bytes.
const maxDocuments = 32 << 20

type documentKey struct {
	artifact mirror.Digest
	said     *deprecated
}

func (f *face) index(w http.ResponseWriter, _ *http.Request, _ []string) {
	body, _ := encode(struct {
		Name    string `json:"service.name"`
		Version string `json:"service.version"`
	}{"package-registry", apiVersion}, false)
	sendJSON(w, indexAge, body)
}

// health says that the server is there, and with ?ready=true whether it has a channel to answer for.
func (f *face) health(w http.ResponseWriter, r *http.Request, _ []string) {
	if r.URL.Query().Get("ready") == "true" {
		f.channel(w)
	}
}

func (f *face) search(w http.ResponseWriter, r *http.Request, _ []string) {
	q, err := parse(r.URL.Query(), searchParameters)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	if c := f.channel(w); c != nil {
		headJSON(w, otherAge)
		c.search(w, q)
	}
}

func (f *face) categories(w http.ResponseWriter, r *http.Request, _ []string) {
	q, err := parse(r.URL.Query(), categoriesParameters)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	c := f.channel(w)
	if c == nil {
		return
	}
	body, err := c.countCategories(q)
	if err != nil {
		f.fail(w, r, err)
		return
	}
	sendJSON(w, otherAge, body)
}

func (f *face) packageIndex(w http.ResponseWriter, r *http.Request, parts []string) {
	v := f.find(w, parts, "package revision not found")
	if v == nil {
		return
	}
	body, err := f.document(r.Context(), v)
	if err != nil {
		f.fail(w, r, err)
		return
	}
	sendJSON(w, indexAge, body)
}

// document gives what is told of one version, made of its facts in the registry.
func (f *face) document(ctx context.Context, v *version) ([]byte, error) {
	key := documentKey{v.Local.Digest, v.said}
	if body, ok := f.documents.get(key); ok {
		return body, nil
	}
	facts, layers, err := elastic.Read(ctx, f.content, v.Local)
	if err != nil {
		return nil, err
	}
	if facts.Package != v.Package {
		return nil, fmt.Errorf("%w: the channel names the artifact %s for %s, which it is not of", ErrMalformed, v.Local.Digest, v.Package)
	}
	d, err := newDocument(facts, layers.Signature.Digest != mirror.Digest{})
	if err != nil {
		return nil, err
	}
	if v.said != nil {
		d.Deprecated = v.said
	}
	body, err := encode(d, false)
	if err == nil {
		f.documents.add(key, body, len(body))
	}
	return body, err
}
