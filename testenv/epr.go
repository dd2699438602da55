package testenv

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/Masterminds/semver/v3"
)

// EPROptions vary an EPR; the zero value is a server at its root with a key of its own.
type EPROptions struct {
	Prefix string  // path below which it answers, such as /registry
	Key    *PGPKey // signs the packages; a new one when it is nil
	ETags  bool    // /search and zips have validators; Elastic's server has none for /search
}

// EPR is an upstream package registry: it answers as Elastic's does, from packages that it makes itself with nothing of
// ours, so that a mistake of ours is not on both sides.
type EPR struct {
	Key *PGPKey // signs packages

	opts   EPROptions
	server *Server
	mu     sync.Mutex
	held   map[string]eprHeld // by name-version
	say    func(items []json.RawMessage) []byte
	moved  int
}

type eprHeld struct {
	EPRPackage
	zip, signature []byte
	since          time.Time
}

// NewEPR serves packages on a free port of 127.0.0.1.
func NewEPR(o EPROptions, packages ...EPRPackage) (e *EPR, err error) {
	e = &EPR{Key: o.Key, opts: o, held: map[string]eprHeld{}}
	if e.Key == nil {
		if e.Key, err = NewPGPKey("Package Maker", PGPOptions{}); err != nil {
			return nil, err
		}
	}
	if err := e.Put(packages...); err != nil {
		return nil, err
	}
	e.server, err = NewServer(http.StripPrefix(strings.TrimSuffix(o.Prefix, "/"), e.mux()))
	return e, err
}

// URL gives the base address, with its prefix and without a slash at its end.
func (e *EPR) URL() string { return e.server.URL() + strings.TrimSuffix(e.opts.Prefix, "/") }

// Host gives host:port.
func (e *EPR) Host() string { return e.server.Host() }

// Proxy gives the wrapper that counts and breaks; see OfSearch, OfZip and OfSignature.
func (e *EPR) Proxy() *Proxy { return e.server.Proxy() }

// Close ends the server.
func (e *EPR) Close() { e.server.Close() }

// Put adds packages, or replaces those of the same name and version.
func (e *EPR) Put(packages ...EPRPackage) error {
	for _, p := range packages {
		h := eprHeld{EPRPackage: p}
		var err error
		if h.zip, err = p.build(); err == nil {
			h.signature, err = p.sign(e.Key, h.zip)
		}
		if err != nil {
			return fmt.Errorf("testenv: make package %s: %w", p.ID(), err)
		}
		e.mu.Lock()
		e.moved++
		h.since = eprTime.Add(time.Duration(e.moved) * time.Minute)
		e.held[p.ID()] = h
		e.mu.Unlock()
	}
	return nil
}

func (p EPRPackage) sign(key *PGPKey, zip []byte) ([]byte, error) {
	switch {
	case p.Unsigned:
		return nil, nil
	case p.Signature != "":
		return []byte(p.Signature), nil
	case p.SignsOther:
		zip = append(slices.Clone(zip), 'x')
	}
	if p.Signer != nil {
		key = p.Signer
	}
	return key.Sign(zip, p.ID())
}

// Remove takes packages away, by name-version.
func (e *EPR) Remove(ids ...string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range ids {
		delete(e.held, id)
	}
}

// Zip gives the bytes of a package by name-version; nil where there is none.
func (e *EPR) Zip(id string) []byte { h, _ := e.find(id); return h.zip }

// Signature gives the signature that lies beside it; nil where there is none.
func (e *EPR) Signature(id string) []byte { h, _ := e.find(id); return h.signature }

func (e *EPR) find(id string) (eprHeld, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	h, ok := e.held[id]
	return h, ok
}

// Say has every answer of /search made by change from the items that it would have; nil ends that. It is for answers that
// no server of Elastic gives: items that are none, a body without end.
func (e *EPR) Say(change func(items []json.RawMessage) []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.say = change
}

// OfSearch matches requests for /search.
func OfSearch(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/search") }

// OfZip matches requests for the zip of a package, by name-version; of any when it is empty.
func OfZip(id string) func(*http.Request) bool {
	return func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, id+".zip") }
}

// OfSignature matches requests for the signature of a package, by name-version; of any when it is empty.
func OfSignature(id string) func(*http.Request) bool {
	return func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, id+".zip.sig") }
}

// Asked counts the requests since Proxy().Reset that match, such as OfZip("").
func (e *EPR) Asked(match func(*http.Request) bool) (n int) {
	for _, line := range e.Proxy().Counts().Paths {
		method, uri, _ := strings.Cut(line, " ")
		if r, err := http.NewRequest(method, uri, nil); err == nil && match(r) {
			n++
		}
	}
	return n
}

func (e *EPR) mux() http.Handler {
	mux := http.NewServeMux()
	index := func(w http.ResponseWriter, _ *http.Request) {
		eprJSON(w, []byte("{\n  \"service.name\": \"package-registry\",\n  \"service.version\": \"1.39.0\"\n}\n"))
	}
	mux.HandleFunc("GET /{$}", index)
	mux.HandleFunc("GET /index.json", index)
	mux.HandleFunc("GET /health", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /search", e.serveSearch)
	mux.HandleFunc("GET /epr/{name}/{file}", e.serveFile)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { eprError(w, http.StatusNotFound, "404 page not found") })
	return mux
}

func (e *EPR) serveSearch(w http.ResponseWriter, r *http.Request) {
	q, err := parseEPRQuery(r.URL.Query())
	if err != nil {
		eprError(w, http.StatusBadRequest, err.Error())
		return
	}
	e.mu.Lock()
	all, say := make([]EPRPackage, 0, len(e.held)), e.say
	for _, h := range e.held {
		all = append(all, h.EPRPackage)
	}
	e.mu.Unlock()
	items := []json.RawMessage{}
	for _, p := range q.choose(all) {
		items = append(items, must(json.Marshal(p.item())))
	}
	body := must(json.MarshalIndent(items, "", "  "))
	if say != nil {
		body = say(items)
	}
	if e.opts.ETags {
		sum := sha256.Sum256(body)
		tag := `"` + hex.EncodeToString(sum[:8]) + `"`
		w.Header().Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	eprJSON(w, body)
}

func (e *EPR) serveFile(w http.ResponseWriter, r *http.Request) {
	file := r.PathValue("file")
	id, isSignature := strings.CutSuffix(file, ".zip.sig")
	if !isSignature {
		var ok bool
		if id, ok = strings.CutSuffix(file, ".zip"); !ok {
			eprError(w, http.StatusNotFound, "404 page not found")
			return
		}
	}
	_, version, _ := strings.Cut(id, "-")
	if _, err := semver.StrictNewVersion(version); err != nil {
		eprError(w, http.StatusBadRequest, "invalid package version")
		return
	}
	h, ok := e.find(id)
	switch {
	case !ok && isSignature:
		eprError(w, http.StatusNotFound, "signature file not found")
	case !ok:
		eprError(w, http.StatusNotFound, "artifact not found")
	case isSignature && h.signature == nil:
		http.Error(w, "internal server error", cmp.Or(h.SignStatus, http.StatusInternalServerError))
	case isSignature:
		e.serve(w, r, h, "application/pgp-signature", h.signature)
	case h.Streamed:
		w.Header().Set("Content-Type", "application/zip")
		_ = http.NewResponseController(w).Flush() // so that no length is told
		_, _ = w.Write(h.zip)
	default:
		e.serve(w, r, h, "application/zip", h.zip)
	}
}

// serve sends bytes with the time of their last change, in ranges where they are asked for.
func (e *EPR) serve(w http.ResponseWriter, r *http.Request, h eprHeld, kind string, body []byte) {
	w.Header().Set("Content-Type", kind)
	w.Header().Add("Cache-Control", "max-age=600")
	w.Header().Add("Cache-Control", "public")
	if e.opts.ETags {
		sum := sha256.Sum256(body)
		w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:8])+`"`)
	}
	http.ServeContent(w, r, "", h.since, bytes.NewReader(body))
}

func eprJSON(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Add("Cache-Control", "max-age=60")
	w.Header().Add("Cache-Control", "public")
	_, _ = w.Write(body)
}

func eprError(w http.ResponseWriter, status int, text string) {
	w.Header().Add("Cache-Control", "max-age=0")
	w.Header().Add("Cache-Control", "private, no-store")
	http.Error(w, text, status)
}
