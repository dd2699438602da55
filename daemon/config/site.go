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

// SameKey is why one key is not enough for statements and signatures.
const SameKey = "cosign verify takes any statement that a key signed for a signature by it, so a verdict of an image at the first stage would pass for a signature of it"

// site checks what is said of this site's own keys, but for the keys themselves.
func (k *checker) site(s Site, at keyPath) {
	k.secret(s.Key, at.to("key"))
	k.secret(s.Password, at.to("password"))
	if s.Key.IsZero() {
		k.idle(at.to("key"), given{"password", !s.Password.IsZero()}, given{"verifier", s.Verifier != ""})
	}
	if u, err := url.Parse(s.Verifier); s.Verifier != "" && (err != nil || !u.IsAbs() || u.Host == "" && u.Opaque == "" || u.User != nil) {
		k.add(at.to("verifier"), "CFG061", "write a URI, such as https://poundlock.example.org/berlin", "%s is no absolute URI", at.to("verifier"))
	}
	k.siteSign(s.Sign, at.to("sign"))
	if !s.Key.IsZero() && s.Key == s.Sign.Key {
		SameKeys(&k.ps, k.where(at.to("sign", "key")...))
	}
}

// SameKeys tells that statements and signatures have one key.
func SameKeys(ps *mirror.Problems, where mirror.Position) {
	ps.AddAt("trust.site.sign.key", "CFG054", where, "make another one for trust.site.sign.key with `cosign generate-key-pair`, and give clusters its public half",
		"trust.site.sign.key is the key of trust.site.key")
	(*ps)[len(*ps)-1].Why = SameKey
}

func (k *checker) siteSign(s SiteSign, at keyPath) {
	k.secret(s.Key, at.to("key"))
	k.secret(s.Password, at.to("password"))
	if s.Key.IsZero() {
		k.idle(at.to("key"), given{"stages", len(s.Stages) > 0}, given{"password", !s.Password.IsZero()}, given{"platforms", s.Platforms != ""})
	} else if len(s.Stages) == 0 {
		k.add(at.to("key"), "CFG060", "add "+at.to("stages").String()+": [production], or delete the key", "%s signs nothing without %s", at.to("key"), at.to("stages"))
	}
	if s.Platforms != "" && s.Platforms != PlatformsIndex && s.Platforms != PlatformsEach {
		k.add(at.to("platforms"), "CFG053", "write index or each", "%s: %q is neither index nor each", at.to("platforms"), s.Platforms)
	}
	for i, stage := range s.Stages {
		where := at.to("stages", strconv.Itoa(i))
		switch _, err := mirror.ParseStage(stage); {
		case err != nil:
			k.add(where, "CFG062", "write the name of a stage, such as production", "%s: %q is no name of a stage", at.to("stages"), stage)
		case slices.Contains(s.Stages[:i], stage):
			k.add(where, "CFG063", "list each stage once", "%s: %q is listed twice", at.to("stages"), stage)
		}
	}
}

// given is a key beside that of a private key, and whether it has a value.
type given struct {
	key string
	is  bool
}

// idle finds what says nothing without a private key.
func (k *checker) idle(key keyPath, beside ...given) {
	for _, other := range beside {
		if other.is {
			at := key[:len(key)-1].to(other.key)
			k.add(at, "CFG060", "add "+key.String()+" and one of "+Secret{}.SecretForm()+", or delete "+at.String(), "%s is given and there is no %s", at, key)
		}
	}
}
