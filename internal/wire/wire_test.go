package wire

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// site is a server that writes down what it is asked.
type site struct {
	*httptest.Server
	host string

	mu    sync.Mutex
	asked []string // method, path and Authorization
}

func serve(t *testing.T, answer http.HandlerFunc) *site {
	t.Helper()
	s := &site{}
	s.Server = httptest.NewServer(s.recorded(answer))
	s.host = strings.TrimPrefix(s.URL, "http://")
	t.Cleanup(s.Close)
	return s
}

func (s *site) recorded(answer http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.asked = append(s.asked, strings.TrimSpace(r.Method+" "+r.URL.RequestURI()+" "+r.Header.Get("Authorization")))
		s.mu.Unlock()
		answer(w, r)
	}
}

func (s *site) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

// credentials counts the requests that carried one.
func (s *site) credentials() (n int) {
	for _, a := range s.requests() {
		if strings.Contains(a, "Basic ") || strings.Contains(a, "Bearer ") {
			n++
		}
	}
	return n
}

// named gives the server's URL with another name for its address.
func (s *site) named(name string) string { return strings.Replace(s.URL, "127.0.0.1", name, 1) }

func newWire(t *testing.T, s Settings) *Wire {
	t.Helper()
	if s.Proxy == nil {
		s.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil }
	}
	w, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	w.sleep = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	t.Cleanup(w.Close)
	return w
}

func get(t *testing.T, w *Wire, url string) (int, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := w.Client().Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

func mustGet(t *testing.T, w *Wire, url string) string {
	t.Helper()
	status, body, err := get(t, w, url)
	if err != nil || status != http.StatusOK {
		t.Fatalf("GET %s: got %d %q, %v", url, status, body, err)
	}
	return body
}

func password(user, pass string) func(context.Context) (Credential, error) {
	return func(context.Context) (Credential, error) {
		return Credential{Username: user, Password: Secret(pass)}, nil
	}
}

func hello(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }

// refused checks that a request was held back by a rule, with a hint that contains every word.
func refused(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("the request went out")
	}
	for _, word := range append(words, "refused") {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error %q does not say %q", err, word)
		}
	}
}

func TestWire_RefusesPlainHTTPUnlessInsecure(t *testing.T) {
	s := serve(t, hello)
	w := newWire(t, Settings{Hosts: map[string]Host{s.host: {}}})
	_, _, err := get(t, w, s.URL)
	refused(t, err, "plain http", "insecure: true")
	if n := len(s.requests()); n != 0 {
		t.Errorf("%d requests arrived", n)
	}
	mustGet(t, newWire(t, Settings{Hosts: map[string]Host{s.host: {Insecure: true}}}), s.URL)
}

func TestWire_RefusesHostsThatAreNotListed(t *testing.T) {
	s := serve(t, hello)
	_, _, err := get(t, newWire(t, Settings{}), s.URL)
	refused(t, err, s.host, "add it under registries")
}

func TestWire_RefusesUserInURL(t *testing.T) {
	s := serve(t, hello)
	w := newWire(t, Settings{Hosts: map[string]Host{s.host: {Insecure: true}}})
	_, _, err := get(t, w, strings.Replace(s.URL, "://", "://me:hunter2@", 1))
	refused(t, err)
	if strings.Contains(err.Error(), "hunter2") {
		t.Error("the error shows the password")
	}
}

func TestNew_NamesTheMistake(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "absent.pem")
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		settings Settings
		want     string
	}{
		"scheme in host":      {Settings{Hosts: map[string]Host{"https://a.example": {}}}, "host:port"},
		"path in host":        {Settings{Hosts: map[string]Host{"a.example/x": {}}}, "host:port"},
		"listed twice":        {Settings{Hosts: map[string]Host{"a.example": {}, "A.example:443": {}}}, "twice"},
		"absent CA":           {Settings{CAFiles: []string{missing}}, "absent.pem"},
		"CA without PEM":      {Settings{Hosts: map[string]Host{"a.example": {CAFiles: []string{empty}}}}, "empty.pem"},
		"key without cert":    {Settings{Hosts: map[string]Host{"a.example": {KeyFile: missing}}}, "client certificate"},
		"malformed realm":     {Settings{Hosts: map[string]Host{"a.example": {Realms: []string{"https://b"}}}}, "https://b"},
		"malformed redirects": {Settings{Hosts: map[string]Host{"a.example": {Redirects: []string{""}}}}, "host:port"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(tc.settings)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error with %q", err, tc.want)
			}
		})
	}
}

func TestWire_TrustsTheNamedAuthorityOnly(t *testing.T) {
	s := &site{}
	s.Server = httptest.NewUnstartedServer(s.recorded(hello))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	host := strings.TrimPrefix(s.URL, "https://")
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	events := 0
	w := newWire(t, Settings{Hosts: map[string]Host{host: {}}, Observe: func(Event) { events++ }})
	if _, _, err := get(t, w, s.URL); err == nil {
		t.Fatal("an unknown authority was trusted")
	}
	if events != 1 {
		t.Errorf("%d tries with a certificate that will not change, want 1", events)
	}
	mustGet(t, newWire(t, Settings{Hosts: map[string]Host{host: {CAFiles: []string{ca}}}}), s.URL)
	mustGet(t, newWire(t, Settings{Hosts: map[string]Host{host: {}}, CAFiles: []string{ca}}), s.URL+"/v2/a/blobs/x")
}

func TestWire_ShowsItsCertificateToTheHostItIsFor(t *testing.T) {
	certFile, keyFile := certificate(t)
	var seen int
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { seen = len(r.TLS.PeerCertificates); hello(w, r) }))
	s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	s.StartTLS()
	t.Cleanup(s.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	host := strings.TrimPrefix(s.URL, "https://")
	mustGet(t, newWire(t, Settings{CAFiles: []string{ca}, Hosts: map[string]Host{host: {CertFile: certFile, KeyFile: keyFile}}}), s.URL)
	if seen != 1 {
		t.Errorf("the host saw %d certificates, want ours", seen)
	}
}

// certificate makes a self-signed one with its key, in two files.
func certificate(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: cert}, keyFile: {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

func TestWire_CountsEveryTryAndNamesItself(t *testing.T) {
	var agent string
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { agent = r.UserAgent(); hello(w, r) })
	var mu sync.Mutex
	var events []Event
	w := newWire(t, Settings{Hosts: map[string]Host{s.host: {Insecure: true}}, UserAgent: "poundlock/test",
		Observe: func(e Event) { mu.Lock(); defer mu.Unlock(); events = append(events, e) }})
	mustGet(t, w, s.URL)
	if len(events) == 1 && events[0].Date.IsZero() {
		t.Error("an event without the date of the answer")
	}
	for i := range events {
		events[i].Date = time.Time{}
	}
	if want := []Event{{Host: s.host, Method: "GET", Status: 200}}; !slices.Equal(events, want) {
		t.Errorf("got events %v, want %v", events, want)
	}
	if agent != "poundlock/test" {
		t.Errorf("user agent is %q", agent)
	}
}

func TestWire_ProxyIsUsedForListedHostsOnly(t *testing.T) {
	proxy := serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "by proxy: "+r.Host) })
	u, _ := url.Parse(proxy.URL)
	w := newWire(t, Settings{Public: true, Hosts: map[string]Host{"registry.example:80": {Insecure: true}},
		Proxy: func(*http.Request) (*url.URL, error) { return u, nil }})
	if got := mustGet(t, w, "http://registry.example/"); got != "by proxy: registry.example" {
		t.Errorf("got %q", got)
	}
	_, _, err := get(t, w, "https://other.example/")
	refused(t, err, "proxy", "registries")
	if n := len(proxy.requests()); n != 1 {
		t.Errorf("the proxy saw %d requests, want 1", n)
	}
}

func TestSecret_NeverShows(t *testing.T) {
	c := Credential{Username: "me", Password: "hunter2", Token: "t0ken"}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%t"} {
		if got := fmt.Sprintf(verb, c); strings.Contains(got, "hunter2") || strings.Contains(got, "t0ken") || strings.Contains(got, "68756e74657232") {
			t.Errorf("%s shows %s", verb, got)
		}
	}
	if b, _ := Secret("hunter2").MarshalText(); string(b) != "***" {
		t.Errorf("marshals as %s", b)
	}
	if got := Secret("hunter2").LogValue().String(); got != "***" {
		t.Errorf("logs as %s", got)
	}
	if got := Secret("hunter2").Reveal(); got != "hunter2" {
		t.Errorf("reveals %s", got)
	}
}
