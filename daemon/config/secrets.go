package config

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"unicode"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Secrets gives every secret that the configuration refers to, by its key path.
func (c *Config) Secrets() map[string]Secret {
	all := map[string]Secret{"git.auth.password": c.Git.Auth.Password, "git.auth.token": c.Git.Auth.Token,
		"git.auth.sshKey": c.Git.Auth.SSHKey, "git.signing.key": c.Git.Signing.Key,
		"forge.token": c.Forge.Token, "forge.app.key": c.Forge.App.Key,
		"trust.site.key": c.Trust.Site.Key, "trust.site.password": c.Trust.Site.Password,
		"secrets.age.identity": c.Sealing.Age.Identity,
		"packages.signing.key": c.Packages.Signing.Key, "packages.signing.passphrase": c.Packages.Signing.Passphrase,
		"trust.site.sign.key": c.Trust.Site.Sign.Key, "trust.site.sign.password": c.Trust.Site.Sign.Password}
	for name, r := range c.Registries {
		all["registries."+name+".auth.password"], all["registries."+name+".auth.token"] = r.Auth.Password, r.Auth.Token
	}
	for name, login := range c.Sealing.Credentials {
		all["secrets.credentials."+name+".password"] = login.Password
	}
	for name, r := range c.Webhooks.Receivers {
		all["webhooks.receivers."+name+".secret"] = r.Secret
	}
	for name, one := range c.Calls {
		all["calls."+name+".url"], all["calls."+name+".secret"] = one.URL, one.Secret
	}
	for name, n := range c.Notify {
		at := "notify." + name + "."
		all[at+"url"], all[at+"secret"], all[at+"token"], all[at+"password"] = n.URL, n.Secret, n.Token, n.Password
		for header, s := range n.Headers {
			all[at+"headers."+header] = s
		}
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
		if s.File != "" {
			text = strings.ReplaceAll(text, s.File, c.nameOf(s.File, c.PlaceOf(at)))
		}
		ps.AddAt(key, "CFG017", c.PlaceOf(at), fix, "%s: %s", key, text)
	}
	if c.settings != nil {
		ps.Quote(c.settings.files, Config{})
	}
	return ps
}

// plainPath is a path of words, which no generator of passwords makes.
var plainPath = regexp.MustCompile(`^(?:/[a-z]+(?:[._-][a-z]+)*)+$`)

// nameOf gives the name of a secret's file as it may be shown. A bare word, or what does not look like a path, may
// be the secret itself, written in the wrong place; who looks at the place sees it.
func (c *Config) nameOf(file string, where mirror.Position) string {
	dir, err := filepath.Abs(filepath.Dir(where.File)) // what a relative name counts from
	if err != nil {
		return "***"
	}
	isBelow := strings.HasPrefix(file, strings.TrimSuffix(dir, "/")+"/")
	looksLikePath := strings.Count(file, "/") > 1 && !strings.ContainsFunc(file, unicode.IsSpace)
	switch folder := filepath.Dir(file); {
	case looksLikePath && (!isBelow || c.isWritten(file, where)): // it was absolute
		return file
	case looksLikePath && folder != dir && (isFolder(folder) || plainPath.MatchString(file[len(dir):])):
		return file
	case isBelow:
		return filepath.Join(dir, "***")
	}
	return "***"
}

// isWritten says whether a text stands as it is at a place of the configuration's files.
func (c *Config) isWritten(text string, where mirror.Position) bool {
	if c.settings == nil {
		return false
	}
	lines := strings.Split(string(c.settings.files[where.File]), "\n")
	if where.Line < 1 || where.Line > len(lines) {
		return false
	}
	line := []rune(lines[where.Line-1])
	return where.Column > 0 && where.Column <= len(line) && strings.HasPrefix(strings.TrimLeft(string(line[where.Column-1:]), `"'`), text)
}

func isFolder(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}
