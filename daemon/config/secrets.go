package config

import (
	"errors"
	"path/filepath"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Secrets gives every secret that the configuration refers to, by its key path.
func (c *Config) Secrets() map[string]Secret {
	all := map[string]Secret{"git.auth.password": c.Git.Auth.Password, "git.auth.token": c.Git.Auth.Token,
		"git.auth.sshKey": c.Git.Auth.SSHKey, "git.signing.key": c.Git.Signing.Key}
	for name, r := range c.Registries {
		all["registries."+name+".auth.password"], all["registries."+name+".auth.token"] = r.Auth.Password, r.Auth.Token
	}
	return all
}

// CheckSecrets reads every secret once, so that a missing one is told at the start, at the line that refers to it.
func (c *Config) CheckSecrets() mirror.Problems {
	var ps mirror.Problems
	for _, key := range sortedKeys(c.Secrets()) {
		s := c.Secrets()[key]
		_, err := s.Read()
		if err == nil {
			continue
		}
		fix, at := "", key
		if e, ok := errors.AsType[*SecretError](err); ok {
			fix = e.Fix
		}
		for _, way := range sortedKeys(s.keys()) {
			at = key + "." + way
		}
		text := err.Error()
		if where := c.PlaceOf(at); s.File != "" && sameFolder(s.File, where.File) {
			// A bare word may be the secret itself. Who looks at the place sees it.
			text = strings.ReplaceAll(text, s.File, filepath.Join(filepath.Dir(s.File), "***"))
		}
		ps.AddAt(key, "CFG017", c.PlaceOf(at), fix, "%s: %s", key, text)
	}
	if c.settings != nil {
		ps.Quote(c.settings.files, Config{})
	}
	return ps
}

// sameFolder says whether a file lies in the folder of the configuration file that names it: then it may have been
// named by a bare word.
func sameFolder(file, config string) bool {
	dir, err := filepath.Abs(filepath.Dir(config))
	return err != nil || dir == filepath.Dir(file)
}
