package registry

import (
	"net/http"

	"github.com/poundlock/poundlock/internal/mirror"
)

// maskOf gives what takes secrets out of a text; the text as it is where the transport knows of none.
func maskOf(client *http.Client) func(string) string {
	if m, ok := client.Transport.(interface{ Mask(string) string }); ok {
		return m.Mask
	}
	return func(s string) string { return s }
}

// discreet gives an error without secrets in its text.
func (c *Client) discreet(err error) error { return mirror.Discreet(c.mask, err) }
