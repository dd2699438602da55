package testenv

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

func TestOIDC_TokensAreVerifiedByTheKeysItServes(t *testing.T) {
	o, err := NewOIDC()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.Close)
	var discovery struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	read := func(url string, into any) {
		t.Helper()
		_, _, body, err := get(t, request(t, http.MethodGet, url, nil))
		if err == nil {
			err = json.Unmarshal(body, into)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	read(o.URL()+"/.well-known/openid-configuration", &discovery)
	var keys jose.JSONWebKeySet
	read(discovery.Keys, &keys)
	token, err := o.Token("person@corp.example")
	if err != nil {
		t.Fatal(err)
	}
	signed, err := jose.ParseSigned(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	body, err := signed.Verify(keys.Keys[0])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(body, &claims); err != nil || claims["iss"] != o.URL() || discovery.Issuer != o.URL() || claims["email"] != "person@corp.example" {
		t.Errorf("got %s, %v", body, err)
	}
}
