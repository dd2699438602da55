package config

import (
	"net/url"
	"slices"
	"strconv"

	"github.com/poundlock/poundlock/internal/mirror"
)

// What this site signs of a multi-platform image; left out is PlatformsIndex.
const (
	PlatformsIndex = "index"
	PlatformsEach  = "each"
)

// site checks what is said of this site's own key, but for the key itself.
func (k *checker) site(s Site, at keyPath) {
	k.secret(s.Key, at.to("key"))
	k.secret(s.Password, at.to("password"))
	if s.Key.IsZero() {
		k.keyless(s, at)
	}
	if u, err := url.Parse(s.Verifier); s.Verifier != "" && (err != nil || !u.IsAbs() || u.Host == "" && u.Opaque == "" || u.User != nil) {
		k.add(at.to("verifier"), "CFG061", "write a URI, such as https://poundlock.example.org/berlin", "%s is no absolute URI", at.to("verifier"))
	}
	if s.Platforms != "" && s.Platforms != PlatformsIndex && s.Platforms != PlatformsEach {
		k.add(at.to("platforms"), "CFG053", "write index or each", "%s: %q is neither index nor each", at.to("platforms"), s.Platforms)
	}
	for i, stage := range s.Sign {
		where := at.to("sign", strconv.Itoa(i))
		switch _, err := mirror.ParseStage(stage); {
		case err != nil:
			k.add(where, "CFG062", "write the name of a stage, such as production", "%s: %q is no name of a stage", at.to("sign"), stage)
		case slices.Contains(s.Sign[:i], stage):
			k.add(where, "CFG063", "list each stage once", "%s: %q is listed twice", at.to("sign"), stage)
		}
	}
}

// keyless finds what says nothing without a key.
func (k *checker) keyless(s Site, at keyPath) {
	for _, other := range []struct {
		key   string
		given bool
	}{{"password", !s.Password.IsZero()}, {"sign", len(s.Sign) > 0}, {"platforms", s.Platforms != ""}, {"verifier", s.Verifier != ""}} {
		if other.given {
			k.add(at.to(other.key), "CFG060", "add trust.site.key and one of "+Secret{}.SecretForm()+", or delete "+at.to(other.key).String(),
				"%s is given and there is no trust.site.key", at.to(other.key))
		}
	}
}
