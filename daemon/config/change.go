package config

import (
	"reflect"
	"slices"

	"github.com/poundlock/poundlock/sync/publish"
)

// DropIns gives the files that are laid over a configuration file.
func DropIns(file string) []string {
	files, _, _ := dropIns(file) // what cannot be listed is told by Load
	return files
}

// Watched gives the files, besides those of the configuration itself, whose change asks for a new start with it: what
// is read once, when a line opens, and secrets that are not there yet, since the configuration will be refused for
// them. Other secrets are read at each use.
func (c Config) Watched() []string {
	signing, _ := c.Git.Signing.Key.path()
	packages, _ := c.Packages.Signing.Key.path()
	passphrase, _ := c.Packages.Signing.Passphrase.path()
	files := []string{c.Git.Auth.KnownHosts, signing, packages, passphrase}
	all := []TLS{c.TLS, c.Git.TLS, c.Forge.TLS}
	for _, name := range sortedKeys(c.Registries) {
		all = append(all, c.Registries[name].TLS)
	}
	for _, t := range all {
		files = append(append(files, t.CAFiles...), t.CertFile, t.KeyFile)
	}
	files = slices.DeleteFunc(files, func(f string) bool { return f == "" })
	for _, key := range sortedKeys(c.Secrets()) {
		secret := c.Secrets()[key]
		file, _ := secret.path()
		if _, err := secret.Read(); err != nil && file != "" {
			files = append(files, file)
		}
	}
	return files
}

// Same says whether two configurations ask for the same: where a value was set does not matter.
func (c Config) Same(o Config) bool {
	// Templates that were compiled twice are never equal; their texts are.
	const message = "git.message"
	before, _ := c.text(message)
	if after, _ := o.text(message); before != after {
		return false
	}
	c.Git.Message, o.Git.Message = publish.Message{}, publish.Message{}
	a, b := reflect.ValueOf(c), reflect.ValueOf(o)
	for i := range a.NumField() {
		if f := a.Type().Field(i); !f.IsExported() || f.Tag.Get("yaml") == "-" {
			continue
		}
		if !reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
			return false
		}
	}
	return true
}
