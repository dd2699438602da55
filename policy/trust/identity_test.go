package trust

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"net/url"
	"testing"
)

func TestGlobs_AreHeldAgainstTheWholeText(t *testing.T) {
	for _, c := range []struct {
		glob, text string
		want       bool
	}{
		{"https://a.example", "https://a.example", true},
		{"https://a.example", "https://a-example", false},
		{"https://a.example/*", "https://a.example/b", true},
		{"https://a.example/*", "https://a.example/b/c", false},
		{"https://a.example/**", "https://a.example/b/c", true},
		{"https://a.example/**/x@*", "https://a.example/b/c/x@v1", true},
		{"https://a.example/**/x@*", "https://a.example/b/c/x@v1/evil", false},
		{"https://a.example/*", "https://evil.example/https://a.example/b", false},
		{"*@corp.example", "a@corp.example", true},
		{"*@corp.example", "a@corp.example.evil", false},
		{"*@corp.example", "a@corp.example\n", false},
		{"**", "a\nb", true},
		{"a|b", "a", false},
		{"a|b", "a|b", true},
		{"[ab]?(c){2}+", "[ab]?(c){2}+", true},
		{"[ab]", "a", false},
	} {
		p, err := compile("subject", c.glob, "")
		if err != nil {
			t.Fatal(err)
		}
		if got := p.compiled.MatchString(c.text); got != c.want {
			t.Errorf("%q on %q: got %v", c.glob, c.text, got)
		}
	}
}

// One person must not count as two because a certificate has two names.
func TestWhoIs_WantsOneSubject(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		emails []string
		uris   []*url.URL
		fine   bool
	}{
		"one":            {[]string{"a@corp.example"}, nil, true},
		"two":            {[]string{"a@corp.example", "b@corp.example"}, nil, false},
		"two of a kind":  {[]string{"a@corp.example"}, []*url.URL{{Scheme: "https", Host: "a.example"}}, false},
		"none":           {nil, nil, false},
		"only a machine": {nil, []*url.URL{{Scheme: "https", Host: "a.example"}}, true},
	} {
		template := &x509.Certificate{SerialNumber: big.NewInt(1), EmailAddresses: c.emails, URIs: c.uris}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		who, err := whoIs(leaf)
		if (err == nil) != c.fine {
			t.Errorf("%s: got %v, %v", name, who, err)
		}
		if _, err := who.text(true); err == nil {
			t.Errorf("%s: a certificate without issuer passes as keyless", name)
		}
	}
}

func TestText_IsAnotherForAnotherPerson(t *testing.T) {
	seen := map[string]named{}
	for _, n := range []named{{issuer: "https://a", subject: "b"}, {issuer: "https://a", subject: "b c"}, {issuer: "https://a b", subject: "c"}, {subject: "https://a b"}} {
		text, err := n.text(true)
		if err != nil {
			continue
		}
		if other, ok := seen[text]; ok {
			t.Errorf("%v and %v are both %q", n, other, text)
		}
		seen[text] = n
	}
	if len(seen) != 2 {
		t.Errorf("got %d identities, want those of the two with an issuer", len(seen))
	}
}
