package config

import (
	"github.com/poundlock/poundlock/internal/sops"
)

// Sealing is what consumers get as a secret, and for whom it is encrypted before it is committed. Who may change the
// fleet repository can ask for a login by its name, never for whom it is encrypted.
type Sealing struct {
	Credentials map[string]Login `yaml:"credentials" jsonschema_description:"Logins that consumers pull with, by a name of yours, which the option credential of a pull secret gives; never the one of registries.local."`
	Age         Age              `yaml:"age" jsonschema_description:"Keys of age that rendered Secrets are encrypted for, in the form of SOPS."`
}

// Login is a login at the local registry that consumers get.
type Login struct {
	Username string `yaml:"username" jsonschema:"required,example=reader" jsonschema_description:"Account at the local registry that may pull and nothing else."`
	Password Secret `yaml:"password" jsonschema:"required" jsonschema_description:"Password of that account."`
}

// Age are the keys of age for rendered Secrets.
type Age struct {
	Recipients []string `yaml:"recipients" jsonschema:"example=age1n3q4hh7xw40ss3xpvwcxvy849qfjvcu6jnhsrk0svhlqmygslpsq3vyhrf" jsonschema_description:"Public keys of those who open the Secrets: of each cluster, and of people."`
	Identity   Secret   `yaml:"identity" jsonschema_description:"Our own private key, as age-keygen writes it: Secrets are encrypted for it, too, so that they are written anew only when they changed."`
}

// IsZero says whether no Secret is ever encrypted.
func (s Sealing) IsZero() bool {
	return len(s.Credentials) == 0 && len(s.Age.Recipients) == 0 && s.Age.Identity.IsZero()
}

// sealing checks the logins of consumers and the public keys. No value is told: it may be a password in the wrong
// place.
func (k *checker) sealing(s Sealing, local Registry) {
	if s.IsZero() {
		return
	}
	at := keyPath{"secrets"}
	for _, name := range sortedKeys(s.Credentials) {
		k.login(s.Credentials[name], local.Auth, at.to("credentials", name))
	}
	age := at.to("age")
	for i, text := range s.Age.Recipients {
		if _, err := sops.ParseRecipient(text); err != nil {
			k.add(age.to("recipients"), "CFG122", "write the line after `# public key:` in the file of age-keygen; never the private key, and if it stands here, make another",
				"%s.recipients[%d] is no public key of age, as in age1...", age, i)
		}
	}
	switch {
	case len(s.Age.Recipients) == 0:
		k.add(age.to("recipients"), "CFG123", "add the public key of the cluster's own key", "%s.recipients names nobody who could open the Secrets", age)
	case s.Age.Identity.IsZero():
		k.add(age.to("identity"), "CFG123", "make one with `age-keygen` and refer to its file",
			"%s.identity is missing: without a key of our own it cannot be told whether a Secret changed, and every cycle would commit it", age)
	}
}

func (k *checker) login(l Login, own RegistryAuth, at keyPath) {
	k.need(l.Username, "write the account that pulls", at.to("username")...)
	if l.Password.IsZero() {
		k.missing(at.to("password"), "refer to its password: "+Secret{}.SecretForm())
	}
	const fix = "make an account of its own that may pull and nothing else"
	switch {
	case l.Username != "" && l.Username == own.Username:
		k.add(at.to("username"), "CFG121", fix, "%s is the account with which Poundlock writes to registries.local: every cluster could change what the others run", at)
	case !l.Password.IsZero() && (l.Password == own.Password || l.Password == own.Token):
		k.add(at.to("password"), "CFG121", fix, "%s has the password with which Poundlock writes to registries.local: every cluster could change what the others run", at)
	}
}
