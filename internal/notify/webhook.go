package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
)

// Webhook posts messages as JSON.
type Webhook struct {
	Client  *http.Client
	URL     Source
	Secret  Source            // key of the HMAC; nil: messages are not signed
	Headers map[string]Source // further ones
}

// SignatureHeader carries the HMAC of a body as sha256=<hex>.
const SignatureHeader = "X-Signature"

// Send posts the message. With a secret its header X-Signature is sha256= and the HMAC-SHA256 of the body in hex.
func (w Webhook) Send(ctx context.Context, m Message) error {
	body, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("message: %w", err)
	}
	req, err := newRequest(ctx, http.MethodPost, w.URL, body)
	if err != nil {
		return err
	}
	for name, source := range w.Headers {
		value, err := source.read(ctx)
		if err != nil {
			return err
		}
		req.Header.Set(name, value)
	}
	secret, err := w.Secret.read(ctx)
	if err != nil {
		return err
	}
	if w.Secret != nil {
		req.Header.Set(SignatureHeader, Sign(secret, body))
	}
	return post(w.Client, req)
}

// Sign gives the value of SignatureHeader for a body.
func Sign(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// newRequest makes a request with a body of JSON to an address that is a secret.
func newRequest(ctx context.Context, method string, to Source, body []byte) (*http.Request, error) {
	address, err := to.read(ctx)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return nil, &Failure{Final: true, what: "its address is malformed"}
	}
	req.Header.Set("Content-Type", "application/json")
	return req, nil
}
