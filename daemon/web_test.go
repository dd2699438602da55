package daemon

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/poundlock/poundlock/testenv"
)

// A host that is really asked at an endpoint is asked there for files, too; any other where its address says.
func TestUpstream_GetsFilesAtTheEndpointOfTheirHost(t *testing.T) {
	t.Parallel()
	server := must(testenv.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Host+" "+r.URL.RequestURI())
	})))(t)
	t.Cleanup(server.Close)
	s := newSite(t, map[string]string{"desired/policy.yaml": vendorPolicy})
	s.config += fmt.Sprintf("  epr: {host: epr.elastic.co, endpoint: %q, insecure: true}\n", server.URL()+"/cache")
	s.config += fmt.Sprintf("  near: {host: %q, insecure: true}\n", server.Host())
	up := s.open().upstream()
	for address, want := range map[string]string{
		"https://epr.elastic.co/search?all=true":     server.Host() + " /cache/search?all=true",
		"https://epr.elastic.co:443/a%2Fb/":          server.Host() + " /cache/a%2Fb/",
		"http://EPR.elastic.co/":                     server.Host() + " /cache/",
		server.URL() + "/package/nginx/1.0.0?a=b%20": server.Host() + " /package/nginx/1.0.0?a=b%20",
	} {
		if got, err := up.Get(t.Context(), address, 1<<10); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v; want %q", address, got, err, want)
		}
	}
	if got, err := up.Get(t.Context(), "https://epr.elastic.co.invalid/search", 1<<10); err == nil {
		t.Errorf("another host was asked at the endpoint: %q", got)
	}
}
