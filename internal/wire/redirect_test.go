package wire

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

func TestWire_NamedRedirectIsFollowedWithoutCredential(t *testing.T) {
	var referer string
	cdn := serve(t, func(w http.ResponseWriter, r *http.Request) { referer = r.Referer(); hello(w, r) })
	mine := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if _, _, ok := r.BasicAuth(); !ok {
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		http.Redirect(w, r, cdn.URL+"/signed?key=1", http.StatusFound)
	})
	w := newWire(t, Settings{Hosts: map[string]Host{mine.host: {Insecure: true, Credential: password("me", "pw"), Redirects: []string{cdn.host}}}})
	mustGet(t, w, mine.URL+"/v2/a/blobs/x?_state=secret")
	if cdn.credentials() != 0 || referer != "" {
		t.Errorf("the other host saw %v and referer %q", cdn.requests(), referer)
	}
	// A library that sets the header itself must not carry it along either: net/http would, to another
	// port of the same name.
	req, _ := http.NewRequestWithContext(t.Context(), "GET", mine.URL+"/x", nil)
	req.SetBasicAuth("me", "pw")
	resp, err := w.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if cdn.credentials() != 0 {
		t.Errorf("the caller's credential went along: %v", cdn.requests())
	}
}

func TestWire_RedirectRulesHoldForEveryClient(t *testing.T) {
	other := serve(t, hello)
	mine := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	})
	w := newWire(t, Settings{Hosts: map[string]Host{mine.host: {Insecure: true}, other.host: {Insecure: true}}})
	plain := &http.Client{Transport: w} // as go-git makes one
	_, err := plain.Get(mine.URL)
	refused(t, err, "redirects", other.host)
	_, err = plain.Post(mine.URL, "text/plain", strings.NewReader("body"))
	refused(t, err, "POST")
	if n := len(other.requests()); n != 0 {
		t.Errorf("%d requests followed", n)
	}
}

func TestClient_DoesNotRedirectWrites(t *testing.T) {
	var mine *site
	mine = serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, mine.URL+"/else", http.StatusTemporaryRedirect)
	})
	w := newWire(t, Settings{Hosts: map[string]Host{mine.host: {Insecure: true}}})
	req, _ := http.NewRequestWithContext(t.Context(), "PUT", mine.URL, strings.NewReader("x"))
	resp, err := w.Client().Do(req)
	if err != nil || resp.StatusCode != http.StatusTemporaryRedirect {
		t.Fatalf("got %v, %v, want the redirect itself", resp, err)
	}
	resp.Body.Close()
	_, _, err = get(t, w, mine.URL) // redirects to itself for ever
	refused(t, err, "too many redirects")
}

func TestNames(t *testing.T) {
	for _, tc := range []struct {
		pattern, url string
		match, exact bool
	}{
		{"auth.example", "https://auth.example/token", true, true},
		{"auth.example", "https://AUTH.example:443/", true, true},
		{"auth.example", "https://auth.example:8443/", false, false},
		{"auth.example:8443", "https://auth.example:8443/", true, true},
		{"auth.example", "http://auth.example/", false, false},
		{"*.example", "https://a.b.example/", true, false},
		{"*.example", "https://example/", false, false},
		{"*.example", "https://a.example.evil.org/", false, false},
		{"cdn*.quay.io", "https://cdn03.quay.io/", true, false},
	} {
		u, _ := url.Parse(tc.url)
		match, exact := names([]string{tc.pattern}, u, false)
		if match != tc.match || exact != tc.exact {
			t.Errorf("%s for %s: got %v %v, want %v %v", tc.pattern, tc.url, match, exact, tc.match, tc.exact)
		}
	}
}

func TestVendors_NameTheirCompanionsOnly(t *testing.T) {
	w := newWire(t, Settings{Public: true})
	hub, _ := url.Parse("https://registry-1.docker.io/v2/")
	h, err := w.find(hub)
	if err != nil {
		t.Fatal(err)
	}
	for target, want := range map[string]bool{
		"https://auth.docker.io/token":                      true,
		"https://auth.docker.io.evil.example/token":         false,
		"https://auth.docker.io:8443/token":                 false,
		"https://production.cloudflare.docker.com/registry": false,
	} {
		u, _ := url.Parse(target)
		if _, err := h.auth.realm(u); (err == nil) != want {
			t.Errorf("realm %s: %v, want allowed %v", target, err, want)
		}
	}
}

// S2: nothing is dialled at an address inside, however it is named.
func TestWire_UnlistedHostsAreReachedAtPublicAddressesOnly(t *testing.T) {
	inside := []string{"127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "198.18.0.1",
		"::1", "::", "fe80::1", "fc00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "fec0::1", "2001:db8::1"}
	for _, ip := range inside {
		t.Run(ip, func(t *testing.T) {
			events := 0
			w := newWire(t, Settings{Public: true, Observe: func(e Event) { events++ }})
			w.lookup = func(context.Context, string) ([]netip.Addr, error) {
				return []netip.Addr{netip.MustParseAddr("93.184.215.14"), netip.MustParseAddr(ip)}, nil
			}
			_, _, err := get(t, w, "https://rebinding.example/")
			refused(t, err, "not a public address", "registries")
			host := ip
			if strings.Contains(ip, ":") {
				host = "[" + ip + "]"
			}
			_, _, err = get(t, w, "https://"+host+"/")
			refused(t, err, "not a public address")
			if events != 2 {
				t.Errorf("%d tries, want one of each: the answer will not change", events)
			}
		})
	}
	for _, ip := range []string{"93.184.215.14", "8.8.8.8", "2606:4700::1111"} {
		if !isPublic(netip.MustParseAddr(ip)) {
			t.Errorf("%s is public", ip)
		}
	}
}

func TestVendors_AreFollowedToPublicAddressesOnly(t *testing.T) {
	w := newWire(t, Settings{Hosts: map[string]Host{"registry-1.docker.io": {}}})
	w.lookup = func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}
	hub, err := w.find(&url.URL{Scheme: "https", Host: "registry-1.docker.io"})
	if err != nil {
		t.Fatal(err)
	}
	realm, _ := url.Parse("https://auth.docker.io/token")
	h, err := hub.auth.realm(realm)
	if err != nil {
		t.Fatal(err)
	}
	req, _ := http.NewRequestWithContext(t.Context(), "GET", realm.String(), nil)
	_, err = w.send(h, req)
	refused(t, err, "127.0.0.1")
}
