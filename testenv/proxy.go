package testenv

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// RequestKind is what a request to a registry asks for.
type RequestKind string

// The kinds of request, by the verbs of the OCI distribution specification.
const (
	Ping           RequestKind = "ping"
	Token          RequestKind = "token"
	Catalog        RequestKind = "catalog"
	TagList        RequestKind = "tag list"
	ReferrerList   RequestKind = "referrer list"
	ManifestHead   RequestKind = "manifest HEAD"
	ManifestGet    RequestKind = "manifest GET"
	ManifestPut    RequestKind = "manifest PUT"
	ManifestDelete RequestKind = "manifest DELETE"
	BlobHead       RequestKind = "blob HEAD"
	BlobGet        RequestKind = "blob GET"
	BlobDelete     RequestKind = "blob DELETE"
	BlobMount      RequestKind = "blob mount"
	UploadPost     RequestKind = "upload POST"
	UploadPatch    RequestKind = "upload PATCH"
	UploadPut      RequestKind = "upload PUT"
	UploadGet      RequestKind = "upload GET"
	UploadDelete   RequestKind = "upload DELETE"
	OtherRequest   RequestKind = "other"
)

var objectPath = regexp.MustCompile(`^/v2/.+/(manifests|blobs|blobs/uploads|referrers|tags)/[^/]*$`)

// KindOf tells what a request to a registry asks for.
func KindOf(r *http.Request) RequestKind {
	switch p := strings.TrimSuffix(r.URL.Path, "/"); {
	case p == "/v2":
		return Ping
	case p == "/token":
		return Token
	case p == "/v2/_catalog":
		return Catalog
	}
	m := objectPath.FindStringSubmatch(r.URL.Path)
	if m == nil {
		return OtherRequest
	}
	switch m[1] {
	case "tags":
		return TagList
	case "referrers":
		return ReferrerList
	case "manifests":
		return RequestKind("manifest " + r.Method)
	case "blobs":
		return RequestKind("blob " + r.Method)
	}
	if r.URL.Query().Has("mount") {
		return BlobMount
	}
	return RequestKind("upload " + r.Method)
}

// Counts is what crossed a Proxy since it was made or reset. Bytes are those of bodies.
type Counts struct {
	Requests     map[RequestKind]int
	Received     int64    // from the client, in all requests
	Sent         int64    // to the client, in all answers
	BlobReceived int64    // from the client, in uploads
	BlobSent     int64    // to the client, in answers to blob GET
	Paths        []string // "METHOD path?query" in the order of arrival
}

// Total gives the number of all requests.
func (c Counts) Total() int {
	n := 0
	for _, k := range c.Requests {
		n += k
	}
	return n
}

// Of gives the number of requests of some kinds together.
func (c Counts) Of(kinds ...RequestKind) int {
	n := 0
	for _, k := range kinds {
		n += c.Requests[k]
	}
	return n
}

// Writes gives the number of requests that change the registry or set out to.
func (c Counts) Writes() int {
	return c.Of(ManifestPut, ManifestDelete, BlobDelete, BlobMount, UploadPost, UploadPatch, UploadPut, UploadDelete)
}

// Proxy stands before a handler, counts what crosses and breaks what it is told to. A Proxy that was not
// told to break anything changes nothing.
type Proxy struct {
	next http.Handler

	mu     sync.Mutex
	counts Counts
	fault  func(*http.Request) *Fault
}

// NewProxy puts a Proxy before a handler.
func NewProxy(next http.Handler) *Proxy {
	return &Proxy{next: next, counts: Counts{Requests: map[RequestKind]int{}}}
}

// Break has every request from now on judged by fault; nil from it leaves the request alone. It is called
// for one request at a time. Break(nil) ends the breaking.
func (p *Proxy) Break(fault func(*http.Request) *Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = fault
}

// Counts gives what crossed so far.
func (p *Proxy) Counts() Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.counts
	c.Requests, c.Paths = maps.Clone(c.Requests), slices.Clone(c.Paths)
	return c
}

// Reset sets all counts to zero; faults stay.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts = Counts{Requests: map[RequestKind]int{}}
}

// ServeHTTP counts the request, breaks it where told, and hands it on.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	kind := KindOf(r)
	fault := p.arrive(kind, r)
	body := &countedBody{ReadCloser: r.Body, count: func(n int) { p.add(&p.counts.Received, kind, n) }}
	answer := &countedAnswer{ResponseWriter: w, count: func(n int) { p.add(&p.counts.Sent, kind, n) }}
	r = r.Clone(r.Context())
	r.Body = body
	if fault == nil {
		p.next.ServeHTTP(answer, r)
		return
	}
	fault.serve(p.next, answer, r)
}

func (p *Proxy) arrive(kind RequestKind, r *http.Request) *Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts.Requests[kind]++
	p.counts.Paths = append(p.counts.Paths, r.Method+" "+r.URL.RequestURI())
	if p.fault == nil {
		return nil
	}
	return p.fault(r)
}

func (p *Proxy) add(total *int64, kind RequestKind, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*total += int64(n)
	switch kind {
	case BlobGet:
		if total == &p.counts.Sent {
			p.counts.BlobSent += int64(n)
		}
	case UploadPatch, UploadPut, UploadPost:
		if total == &p.counts.Received {
			p.counts.BlobReceived += int64(n)
		}
	}
}
