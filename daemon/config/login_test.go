package config

import (
	"strings"
	"testing"
)

func TestRegistry_WantsLogin(t *testing.T) {
	tests := []struct {
		name, registry string
		want           bool
		wrong          string
	}{
		{name: "nobody logs in", registry: "prefix: mirror"},
		{name: "a login", registry: "auth: {username: u, password: {env: X}}", want: true},
		{name: "a token", registry: "auth: {token: {env: X}}", want: true},
		{name: "the keychain", registry: "auth: {keychain: true}", want: true},
		{name: "only we log in", registry: "anonymousPull: true, auth: {username: u, password: {env: X}}"},
		{name: "of an upstream", registry: "prefix: mirror}\n  other: {host: other.example, anonymousPull: true", wrong: "error[CFG016]: registries.other.anonymousPull"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := loaded(t, strings.Replace(minimal, "prefix: mirror", tt.registry, 1), []string{"X=secret"}, nil)
			if tt.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wrong) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := c.Registries[LocalRegistry].WantsLogin(); got != tt.want {
				t.Errorf("got %v", got)
			}
		})
	}
}
