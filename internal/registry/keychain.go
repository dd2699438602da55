package registry

import (
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
)

// Keychain gives a function that asks the Docker configuration and its credential helpers for the
// credential of host, each time it is called; three empty strings mean anonymous. token is sent as it is
// (Authorization: Bearer). A refresh token comes as the password of the user "<token>", as Docker's
// credential helpers write it.
func Keychain(host string) func(context.Context) (user, password, token string, err error) {
	return func(ctx context.Context) (user, password, token string, err error) {
		r, err := name.NewRegistry(host)
		if err != nil {
			return "", "", "", fmt.Errorf("credential of %s: %w", host, err)
		}
		a, err := authn.Resolve(ctx, authn.DefaultKeychain, r)
		if err != nil {
			return "", "", "", fmt.Errorf("credential of %s: %w", host, err)
		}
		c, err := authn.Authorization(ctx, a)
		if err != nil {
			return "", "", "", fmt.Errorf("credential of %s: %w", host, err)
		}
		if c.IdentityToken != "" {
			return "<token>", c.IdentityToken, "", nil
		}
		return c.Username, c.Password, c.RegistryToken, nil
	}
}
