package config

import "time"

// Trust is what this site adds to the policy of the fleet repository: a floor, its own keys, and who may write to the
// fleet repository.
type Trust struct {
	Floor     string      `yaml:"floor" jsonschema:"example=/etc/poundlock/floor.yaml" jsonschema_description:"Policy file on this machine, in the form of desired/policy.yaml, that must admit too; the fleet repository can only be stricter. Files that it names are relative to its folder."`
	Site      Site        `yaml:"site" jsonschema_description:"This site's own keys: one signs its verdicts and promotions, another one what is promoted."`
	Fleet     FleetTrust  `yaml:"fleet" jsonschema_description:"Who must have signed the commits of the fleet repository; not asked when it is left out."`
	Limits    TrustLimits `yaml:"limits" jsonschema_description:"How much is read to judge one image."`
	Rejudging int         `yaml:"rejudging" jsonschema:"minimum=1,example=500" jsonschema_description:"How many standing images one step of a set judges again after the policy changed; the next steps go on."`
}

// Site is what this site signs itself: statements with one key, and what is promoted with another.
type Site struct {
	Key      Secret   `yaml:"key" jsonschema_description:"Private key that signs statements, which are verdicts and promotions: as cosign generate-key-pair makes it, or PEM (PKCS #8, EC)."`
	Password Secret   `yaml:"password" jsonschema_description:"Password of that key; left out for a key without one."`
	Verifier string   `yaml:"verifier" jsonschema:"format=uri,example=https://poundlock.example.org/berlin" jsonschema_description:"How statements name this site as their maker."`
	Sign     SiteSign `yaml:"sign" jsonschema_description:"Signature of what is promoted, so that clusters need to trust its key alone."`
}

// SiteSign is what clusters verify: the signature of what is promoted.
type SiteSign struct {
	Stages    []string `yaml:"stages" jsonschema:"example=production" jsonschema_description:"Stages at which what is promoted is signed."`
	Key       Secret   `yaml:"key" jsonschema_description:"Private key of the signatures, another one than that of statements: cosign counts every statement under a key as a signature by it."`
	Password  Secret   `yaml:"password" jsonschema_description:"Password of that key; left out for a key without one."`
	Platforms string   `yaml:"platforms" jsonschema:"default=index,enum=index,enum=each" jsonschema_description:"What is signed of a multi-platform image: its index, or each of its manifests besides, which podman and CRI-O look at."`
}

// FleetTrust is who must have signed the commits that change desired/ or stages/.
type FleetTrust struct {
	AllowedSigners string `yaml:"allowedSigners" jsonschema:"example=/etc/poundlock/allowed_signers" jsonschema_description:"File in the form of OpenSSH's allowed_signers: whose SSH signatures count."`
	Keyring        string `yaml:"keyring" jsonschema:"example=/etc/poundlock/keyring.asc" jsonschema_description:"Armoured file of OpenPGP public keys whose signatures count."`
	Forge          Forge  `yaml:"forge" jsonschema_description:"Keys with which the forge signs the merges that it makes; such commits do not count when it is left out."`
	Since          string `yaml:"since" jsonschema:"pattern=^[0-9a-f]{40}$" jsonschema_description:"Commit up to which the history is accepted as it is; when left out, all of it must be signed."`
}

// Forge is whom merges count of that the forge itself made and signed.
type Forge struct {
	AllowedSigners string `yaml:"allowedSigners" jsonschema:"example=/etc/poundlock/forge_signers" jsonschema_description:"File in the form of OpenSSH's allowed_signers."`
	Keyring        string `yaml:"keyring" jsonschema:"example=/etc/poundlock/forge.asc" jsonschema_description:"Armoured file of OpenPGP public keys."`
}

// TrustLimits bound what is read to judge one image; what is left out is as by default.
type TrustLimits struct {
	Payload     int           `yaml:"payload" jsonschema:"default=65536,minimum=1" jsonschema_description:"Bytes of a simple-signing payload."`
	Bundle      int           `yaml:"bundle" jsonschema:"default=1048576,minimum=1" jsonschema_description:"Bytes of a sigstore bundle that is a signature."`
	Attestation int           `yaml:"attestation" jsonschema:"default=16777216,minimum=1" jsonschema_description:"Bytes of an attestation."`
	Signatures  int           `yaml:"signatures" jsonschema:"default=50,minimum=1" jsonschema_description:"Signatures and attestations of one image that are looked at."`
	Referrers   int           `yaml:"referrers" jsonschema:"default=50,minimum=1,maximum=1000" jsonschema_description:"Referrers of one image; with more of them it is refused."`
	Time        time.Duration `yaml:"time" jsonschema:"default=30s" jsonschema_description:"Time to judge one image, all requests included."`
}

// IsZero says whether commits need no signature.
func (t FleetTrust) IsZero() bool { return t == FleetTrust{} }

// trust checks what this site adds to the policy, but for what the files hold that it names.
func (k *checker) trust(t Trust) {
	at := keyPath{"trust"}
	if inClear(t.Floor) {
		k.add(at.to("floor"), "CFG022", "put the policy into a file and write the file's name here", "trust.floor holds text itself, want the name of a file")
	}
	if t.Rejudging < 1 {
		k.add(at.to("rejudging"), "CFG052", "write a number above zero, or delete the key for the default", "trust.rejudging must be above zero, have %d", t.Rejudging)
	}
	k.site(t.Site, at.to("site"))
	k.fleetTrust(t.Fleet, at.to("fleet"))
	limits := map[string]int{"payload": t.Limits.Payload, "bundle": t.Limits.Bundle, "attestation": t.Limits.Attestation,
		"signatures": t.Limits.Signatures, "referrers": t.Limits.Referrers}
	for _, key := range sortedKeys(limits) {
		if limits[key] < 0 {
			k.add(at.to("limits", key), "CFG052", "write a number above zero, or delete the key for the default", "trust.limits.%s must be above zero, have %d", key, limits[key])
		}
	}
	if t.Limits.Referrers > maxReferrers {
		k.add(at.to("limits", "referrers"), "CFG052", "write at most 1000", "trust.limits.referrers must be at most %d, have %d", maxReferrers, t.Limits.Referrers)
	}
	if t.Limits.Time < 0 {
		k.add(at.to("limits", "time"), "CFG052", "write a duration such as 30s", "trust.limits.time must be above zero, have %s", t.Limits.Time)
	}
}

// maxReferrers bounds the largest number of referrers that a site may ask for: each costs requests.
const maxReferrers = 1000
