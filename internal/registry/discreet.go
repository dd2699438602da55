package registry

import "net/http"

// maskOf gives what takes secrets out of a text; the text as it is where the transport knows of none.
func maskOf(client *http.Client) func(string) string {
	if m, ok := client.Transport.(interface{ Mask(string) string }); ok {
		return m.Mask
	}
	return func(s string) string { return s }
}

// discreetError is an error whose text had a secret in it that a registry sent back.
type discreetError struct {
	text string
	err  error
}

func (e *discreetError) Error() string { return e.text }

// Unwrap gives the error as it was, for callers that choose by its type.
func (e *discreetError) Unwrap() error { return e.err }

// discreet gives an error without secrets in its text.
func (c *Client) discreet(err error) error { return discreet(c.mask, err) }

func discreet(mask func(string) string, err error) error {
	if err == nil || mask == nil {
		return err
	}
	if text := mask(err.Error()); text != err.Error() {
		return &discreetError{text, err}
	}
	return err
}
