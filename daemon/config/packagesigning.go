package config

// packageSigning checks the key for own packages. Whether it can sign is seen when it is opened.
func (k *checker) packageSigning(s PackageSigning) {
	at := keyPath{"packages", "signing"}
	k.secret(s.Key, at.to("key"))
	k.secret(s.Passphrase, at.to("passphrase"))
	if s.Key.IsZero() && !s.Passphrase.IsZero() {
		k.add(at.to("passphrase"), "CFG130", "add packages.signing.key, or delete the passphrase", "%s.passphrase is there, and %s.key is not", at, at)
	}
}
