package epr

import (
	"fmt"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"

	"github.com/poundlock/poundlock/internal/elastic"
	"github.com/poundlock/poundlock/internal/mirror"
)

// How long others may keep an answer, as Elastic's registry says it with the configuration of its image.
const (
	indexAge = 10 * time.Second
	otherAge = 10 * time.Minute
)

// face answers requests of Kibana.
type face struct {
	now     func() *Channel
	content mirror.Content
	failed  func(*http.Request, error)
	*Cache
}

// Cache keeps what was read of packages. It is bounded, and for many handlers of the same content: channels have most packages
// in common.
type Cache struct {
	documents *cache[documentKey, []byte]
	artifacts *cache[artifactKey, elastic.Layers]
	zips      *cache[directoryKey, *directory]
}

// NewCache gives an empty cache.
func NewCache() *Cache {
	return &Cache{newCache[documentKey, []byte](maxDocuments), newCache[artifactKey, elastic.Layers](maxArtifacts), newCache[directoryKey, *directory](maxDirectories)}
}

// Sharing lets a handler keep what it read in a cache that others use too.
func Sharing(c *Cache) Option { return func(f *face) { f.Cache = c } }

// Option changes a handler.
type Option func(*face)

// OnFailure is called with the cause of every answer that had to be 500 or was broken off because content could not be read.
func OnFailure(told func(*http.Request, error)) Option { return func(f *face) { f.failed = told } }

// Handler answers for a channel at the root of a server as a package registry of Elastic does. now gives the channel, which
// may be another one at each request, or nil as long as there is none; content is where packages lie. Behind
// http.StripPrefix it answers below a prefix.
func Handler(now func() *Channel, content mirror.Content, options ...Option) http.Handler {
	f := &face{now: now, content: content, failed: func(*http.Request, error) {}, Cache: NewCache()}
	for _, o := range options {
		o(f)
	}
	return f
}

// route is a path that is answered. Parts are the groups of its pattern.
type route struct {
	pattern *regexp.Regexp
	slash   bool // the path ends with a slash; the other form is sent there
	serve   func(f *face, w http.ResponseWriter, r *http.Request, parts []string)
}

// routes are asked in this order. The name before the file of /epr/ is anything: the file says which package is meant.
var routes = []route{
	{regexp.MustCompile(`^/?$`), true, (*face).index},
	{regexp.MustCompile(`^/index\.json/?$`), false, (*face).index},
	{regexp.MustCompile(`^/search/?$`), false, (*face).search},
	{regexp.MustCompile(`^/categories/?$`), false, (*face).categories},
	{regexp.MustCompile(`^/health/?$`), false, (*face).health},
	{regexp.MustCompile(`^/epr/[^/]+/([a-z0-9_]+)-([^/]+)\.zip/?$`), false, (*face).zip},
	{regexp.MustCompile(`^/epr/[^/]+/([a-z0-9_]+)-([^/]+)\.zip\.sig/?$`), false, (*face).signature},
	{regexp.MustCompile(`^/package/([a-z0-9_]+)/([^/]+)/?$`), true, (*face).packageIndex},
	{regexp.MustCompile(`^/package/([^/]+)/([^/]+)/(.*)$`), false, (*face).file},
}

// ServeHTTP answers any method: Elastic's registry rejects none.
func (f *face) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if clean := cleanPath(r.URL.Path); clean != r.URL.Path {
		w.Header().Set("Location", moved(r, clean))
		w.WriteHeader(http.StatusMovedPermanently)
		return
	}
	for _, one := range routes {
		parts := one.pattern.FindStringSubmatch(r.URL.Path)
		if parts == nil {
			continue
		}
		w.Header().Set("Access-Control-Allow-Origin", "*")
		switch ends := strings.HasSuffix(r.URL.Path, "/"); {
		case ends && !one.slash:
			http.Redirect(w, r, moved(r, strings.TrimSuffix(r.URL.Path, "/")), http.StatusMovedPermanently)
		case !ends && one.slash:
			http.Redirect(w, r, moved(r, r.URL.Path+"/"), http.StatusMovedPermanently)
		default:
			one.serve(f, w, r, parts[1:])
		}
		return
	}
	refuse(w, http.StatusNotFound, "404 page not found")
}

func cleanPath(p string) string {
	clean := path.Clean("/" + p)
	if strings.HasSuffix(p, "/") && clean != "/" {
		clean += "/"
	}
	return clean
}

// moved gives where a path of this handler is for the client, who may know it below a prefix that was stripped.
func moved(r *http.Request, to string) string {
	u := url.URL{Path: to, RawQuery: r.URL.RawQuery}
	if asked, err := url.ParseRequestURI(r.RequestURI); err == nil {
		if prefix, below := strings.CutSuffix(asked.Path, r.URL.Path); below {
			u.Path = prefix + to
		}
	}
	return u.String()
}

// refuse answers with a line of text that nobody keeps.
func refuse(w http.ResponseWriter, status int, why string) {
	w.Header().Add("Cache-Control", "max-age=0")
	w.Header().Add("Cache-Control", "private, no-store")
	http.Error(w, why, status)
}

// fail answers that content could not be read.
func (f *face) fail(w http.ResponseWriter, r *http.Request, err error) {
	f.failed(r, err)
	for _, set := range []string{"Cache-Control", "Content-Length", "Content-Range", "Accept-Ranges", "Etag", "Last-Modified"} {
		w.Header().Del(set)
	}
	refuse(w, http.StatusInternalServerError, "internal server error")
}

func keep(w http.ResponseWriter, age time.Duration) {
	w.Header().Add("Cache-Control", fmt.Sprintf("max-age=%.0f", age.Seconds()))
	w.Header().Add("Cache-Control", "public")
}

func headJSON(w http.ResponseWriter, age time.Duration) {
	keep(w, age)
	w.Header().Set("Content-Type", "application/json")
}

func sendJSON(w http.ResponseWriter, age time.Duration, body []byte) {
	headJSON(w, age)
	_, _ = w.Write(body) // a client that went away
}

// channel gives the channel of a request; without one it has answered.
func (f *face) channel(w http.ResponseWriter) *Channel {
	c := f.now()
	if c == nil {
		refuse(w, http.StatusServiceUnavailable, "the channel is not loaded yet")
	}
	return c
}

// find gives the version that a path names; without one it has answered, with the given text.
func (f *face) find(w http.ResponseWriter, parts []string, missing string) *version {
	if _, err := semver.StrictNewVersion(parts[1]); err != nil {
		refuse(w, http.StatusBadRequest, "invalid package version")
		return nil
	}
	c := f.channel(w)
	if c == nil {
		return nil
	}
	v := c.byID[mirror.Package{Name: parts[0], Version: parts[1]}]
	if v == nil {
		refuse(w, http.StatusNotFound, missing)
	}
	return v
}
