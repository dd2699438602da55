package wire

import (
	"fmt"
	"net/http"
	"testing"
)

// A page that stands in for a registry during maintenance may answer anything. When the registry is back, it counts no more.
func TestWire_AWrongChallengeCountsOnce(t *testing.T) {
	asked := 0
	elsewhere := serve(t, func(http.ResponseWriter, *http.Request) { asked++ })
	wrong := 0 // answers of the page that are still to come
	var s *site
	registry, token := bearerOnly(func() string { return s.URL + "/token" }), issuer("me", "pw")
	s = serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/token":
			token(w, r)
		case wrong > 0:
			wrong--
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s/token",service="page"`, elsewhere.URL))
			w.WriteHeader(http.StatusUnauthorized)
		default:
			registry(w, r)
		}
	})
	w := newWire(t, Settings{Hosts: map[string]Host{s.host: {Insecure: true, Credential: password("me", "pw")}}})
	for range 2 { // before anything else is known, and after
		wrong = 1
		if status, _, err := get(t, w, s.URL+"/v2/team/new/manifests/v1"); err == nil && status == http.StatusOK && wrong == 0 {
			t.Error("an answer that names another host lets us in")
		}
		mustGet(t, w, s.URL+"/v2/team/a/manifests/v1")
	}
	if asked > 0 || elsewhere.credentials() > 0 {
		t.Errorf("the other host was asked %d times", asked)
	}
}
