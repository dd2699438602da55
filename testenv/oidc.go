package testenv

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// OIDC is an issuer of identity tokens that says of everyone what it is told to. It serves what a verifier of tokens
// asks for: its configuration and its public key.
type OIDC struct {
	server *Server
	key    *rsa.PrivateKey
}

// NewOIDC makes an issuer with a new key and serves it on a free port.
func NewOIDC() (o *OIDC, err error) {
	o = &OIDC{}
	if o.key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		return nil, err
	}
	o.server, err = NewServer(o)
	return o, err
}

// URL is the issuer's name.
func (o *OIDC) URL() string { return o.server.URL() }

// Close stops the server.
func (o *OIDC) Close() { o.server.Close() }

// ServeHTTP answers discovery (OpenID Connect Discovery 1.0, section 4) and the key set.
func (o *OIDC) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var answer any
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		answer = map[string]any{"issuer": o.URL(), "jwks_uri": o.URL() + "/keys", "authorization_endpoint": o.URL() + "/auth", "token_endpoint": o.URL() + "/token",
			"response_types_supported": []string{"id_token"}, "subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"RS256"}}
	case "/keys":
		answer = jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: o.key.Public(), KeyID: "1", Algorithm: string(jose.RS256), Use: "sig"}}}
	default:
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // who went away needs no answer
}

// Token says for ten minutes that the bearer owns an e-mail address. Its audience is sigstore, as Fulcio wants it.
func (o *OIDC) Token(email string) (string, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: o.key, KeyID: "1"}}, nil)
	if err != nil {
		return "", fmt.Errorf("testenv: token: %w", err)
	}
	now := time.Now()
	claims, err := json.Marshal(map[string]any{"iss": o.URL(), "aud": "sigstore", "sub": email, "email": email, "email_verified": true,
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(10 * time.Minute).Unix()})
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		return "", fmt.Errorf("testenv: token: %w", err)
	}
	return signed.CompactSerialize()
}
