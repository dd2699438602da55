package daemon

import (
	"crypto/sha256"
	"fmt"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/file"
	"github.com/poundlock/poundlock/internal/git"
	"github.com/poundlock/poundlock/internal/mirror"
)

// fleetSigners reads the files of keys that trust.fleet names, anew each time, so that a key that was taken out stops
// counting at once. print is the identity of all of it.
func fleetSigners(c config.Config) (trust git.Trust, print string, problems mirror.Problems) {
	h := sha256.New()
	fmt.Fprintf(h, "%q\n", c.Trust.Fleet.Since)
	read := func(key, name string, into *git.Signers, parse func(string, []byte) (git.Signers, mirror.Problems)) {
		if name == "" {
			return
		}
		data, err := file.Read(name, mirror.MaxDocument)
		if err != nil {
			p := adviser{c}.problem("CFG067", key, "%s: %s cannot be read: %v", key, name, reason(err))
			p.Fix = "put the keys there, readable for the user of poundlock"
			problems = append(problems, p)
			return
		}
		fmt.Fprintf(h, "%s %x\n", key, sha256.Sum256(data))
		keys, more := parse(name, data)
		problems = append(problems, more...)
		*into = into.Plus(keys)
	}
	t := c.Trust.Fleet
	read("trust.fleet.allowedSigners", t.AllowedSigners, &trust.Allowed, git.ParseAllowedSigners)
	read("trust.fleet.keyring", t.Keyring, &trust.Allowed, git.ParseKeyring)
	read("trust.fleet.forge.allowedSigners", t.Forge.AllowedSigners, &trust.Forge, git.ParseAllowedSigners)
	read("trust.fleet.forge.keyring", t.Forge.Keyring, &trust.Forge, git.ParseKeyring)
	return trust, fmt.Sprintf("%x", h.Sum(nil)), problems
}

// CheckSigners reads the files of keys that trust.fleet names and gives all mistakes in them.
func CheckSigners(c config.Config) mirror.Problems {
	_, _, problems := fleetSigners(c)
	return problems
}
