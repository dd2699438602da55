package daemon

import (
	"fmt"
	"slices"
	"sync"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/elastic"
	"github.com/poundlock/poundlock/internal/mirror"
)

// The site's own packages that lie in the fleet repository without a signature get one of the site wherever its files are
// read, before anything is made of them: the artifact with its signature is what the commit names.

// packageKey opens the key of the site for its own packages, once: one with a passphrase takes a while.
type packageKey func() (elastic.Signer, error)

// packageKeyOf gives what opens the key of packages.signing; nil where there is none.
func packageKeyOf(c config.Config) packageKey {
	if c.Packages.Signing.Key.IsZero() {
		return nil
	}
	return sync.OnceValues(func() (elastic.Signer, error) {
		key, err := c.Packages.Signing.Key.Read()
		if err != nil {
			return elastic.Signer{}, err
		}
		passphrase, err := c.Packages.Signing.Passphrase.Read()
		if err != nil {
			return elastic.Signer{}, err
		}
		return elastic.NewSigner([]byte(key.Reveal()), []byte(passphrase.Reveal()))
	})
}

// checkPackageKey opens the key of packages.signing, where there is one, so that a wrong one is told at the start.
func checkPackageKey(c config.Config) (ps mirror.Problems) {
	open := packageKeyOf(c)
	if open == nil || len(c.CheckSecrets()) > 0 {
		return nil // what cannot be read is told as that
	}
	const at = "packages.signing.key"
	if _, err := open(); err != nil {
		ps.AddAt(at, "CFG131", c.PlaceOf(at), "name a key made by `gpg --quick-gen-key`, exported with `gpg --armor --export-secret-keys`, and its passphrase as packages.signing.passphrase",
			"%s: %v", at, err)
	}
	return ps
}

// signOwn signs the packages of a fleet that were made here and have no signature. Without a key they stay as they are, and
// policy decides.
func (l *Line) signOwn(d *mirror.Desired) (ps mirror.Problems) {
	if l.packageKey == nil {
		return nil
	}
	for i := range d.Sets {
		set := &d.Sets[i]
		if !set.Packages || len(set.Made) == 0 {
			continue
		}
		set.Made, set.Entries = slices.Clone(set.Made), slices.Clone(set.Entries)
		for j, bare := range set.Made {
			signed, err := l.signedPackage(bare)
			if err != nil {
				ps.Add("PKG014", set.At("source", "own"), "mend packages.signing in config.yaml, or commit a signature beside the package", "own package %s cannot be signed: %v", bare.Image.Repository, err)
				continue
			}
			set.Made[j] = signed
			for k := range set.Entries {
				e := &set.Entries[k]
				e.Image, e.Vendor = instead(e.Image, bare, signed), instead(e.Vendor, bare, signed)
			}
		}
	}
	return ps
}

// instead gives the reference of the signed package where the bare one stands.
func instead(image mirror.Reference, bare, signed mirror.Artifact) mirror.Reference {
	if image == bare.Image {
		return signed.Image
	}
	return image
}

func (l *Line) signedPackage(bare mirror.Artifact) (mirror.Artifact, error) {
	if layers, err := elastic.Open(bare.Manifest); err != nil || layers.Signature.Size > 0 {
		return bare, err
	}
	signer, err := l.packageKey()
	if err != nil {
		return bare, err
	}
	return signer.SignArtifact(bare)
}

// checkPackageKey tells of the key that signs own packages.
func (d *doctor) checkPackageKey() []Check {
	open := packageKeyOf(d.config)
	if open == nil {
		return nil
	}
	if problems := checkPackageKey(d.config); len(problems) > 0 {
		return []Check{d.failed("trust", "packages", problems)}
	}
	signer, err := open()
	if err != nil {
		return nil // told as a secret that cannot be read
	}
	text := "own packages are signed by " + signer.Fingerprint()
	switch until := signer.Expires(); {
	case until.IsZero():
		return []Check{ok("trust", "packages", "%s", text)}
	case until.Before(d.now().Add(soonOver)):
		return []Check{d.warned("trust", "packages", mirror.Problem{Code: "CFG132", What: fmt.Sprintf("%s, whose time ends %s", text, until.UTC().Format("2006-01-02")),
			Where: d.config.PlaceOf("packages.signing.key"), Why: "after that neither policy nor Kibana takes its signatures, also the old ones",
			Fix: "extend it with `gpg --quick-set-expire`, export it again, and commit its new public part to the policy's keys"})}
	default:
		return []Check{ok("trust", "packages", "%s until %s", text, until.UTC().Format("2006-01-02"))}
	}
}
