package daemon

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/poundlock/poundlock/daemon/config"
)

// elsewhere asks for files of web servers, such as packages of a package registry. A host of which the configuration says
// that it is really asked at an endpoint is asked there, as a registry is; prefix is of repositories alone.
type elsewhere struct {
	http.RoundTripper
	endpoints map[string]*url.URL // by the host that addresses name
}

// forFiles gives a client for files over the transport of another one.
func forFiles(client *http.Client, c config.Config) *http.Client {
	e := elsewhere{client.Transport, map[string]*url.URL{}}
	for _, r := range c.Registries {
		// Without an endpoint of its own nothing is put in the place of an address: its scheme is what somebody wrote.
		if at, err := url.Parse(r.Endpoint); err == nil && r.Endpoint != "" {
			if at.Path == "" {
				at.Path = "/" // else the path that is joined to it would lose its slash
			}
			e.endpoints[strings.ToLower(r.Host)] = at
		}
	}
	files := *client
	files.Transport = e
	return &files
}

// RoundTrip asks the endpoint of a host. What may be sent there is what the configuration says of the endpoint's own host.
func (e elsewhere) RoundTrip(r *http.Request) (*http.Response, error) {
	port := map[string]string{"http": ":80", "https": ":443"}[r.URL.Scheme] // goes without saying
	to, ok := e.endpoints[strings.TrimSuffix(strings.ToLower(r.URL.Host), port)]
	if !ok || to.Host == r.URL.Host {
		return e.RoundTripper.RoundTrip(r)
	}
	r = r.Clone(r.Context())
	at := to.JoinPath(r.URL.EscapedPath())
	at.RawQuery = r.URL.RawQuery
	r.URL, r.Host = at, ""
	return e.RoundTripper.RoundTrip(r)
}
