package config

import (
	"cmp"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// NoForge says that people open the proposals of branches that are pushed.
const NoForge = "none"

// forgeKinds are the forges that are spoken to.
var forgeKinds = []string{"github", "gitlab", "gitea", NoForge}

// leastForgePoll is the shortest time between two questions for open proposals; forges count them.
const leastForgePoll = time.Second

// HasForge says whether proposals are opened at a forge.
func (c Config) HasForge() bool { return c.Forge.Kind != "" && c.Forge.Kind != NoForge }

// ForgePlace gives the address of the forge and its name for the fleet repository. What the configuration leaves out is
// taken from git.url: its host by https (or plain http, where Git is asked so), and its path, of which the last two
// parts are owner and name; with GitLab the whole of it counts. Either is "" where git.url does not tell it.
func (c Config) ForgePlace() (address, repository string) {
	base, whole := c.gitPlace()
	address, repository = strings.TrimRight(c.Forge.URL, "/"), strings.Trim(c.Forge.Repository, "/")
	if address != "" {
		if u, err := url.Parse(address); err == nil && u.Path != "" {
			whole = strings.TrimPrefix(whole, strings.Trim(u.Path, "/")+"/")
		}
	}
	parts := strings.Split(whole, "/")
	prefix, own := "", whole
	if n := len(parts); c.Forge.Kind != "gitlab" && n > 2 {
		prefix, own = "/"+path.Join(parts[:n-2]...), path.Join(parts[n-2:]...)
	}
	if address == "" && base != "" {
		address = base + prefix
	}
	return address, cmp.Or(repository, own)
}

// gitPlace gives https://host and the path of git.url, without .git; "" for both where it is a folder.
func (c Config) gitPlace() (base, repository string) {
	trim := func(p string) string { return strings.TrimSuffix(strings.Trim(p, "/"), ".git") }
	scheme, err := mirror.RemoteScheme(c.Git.URL)
	if err != nil || scheme == "file" {
		return "", ""
	}
	if _, host, p, ok := mirror.SplitSCP(c.Git.URL); ok && !strings.Contains(c.Git.URL, "://") {
		return "https://" + host, trim(p)
	}
	u, err := url.Parse(c.Git.URL)
	if err != nil || u.Host == "" {
		return "", ""
	}
	host := u.Host
	if scheme == "ssh" {
		scheme, host = "https", u.Hostname() // its port is that of ssh
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
	}
	return scheme + "://" + host, trim(u.Path)
}

// repositoryPath is owner/name, or the path of a project of GitLab.
var repositoryPath = regexp.MustCompile(`^[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)+$`)

// forge checks how the forge is reached and who we are there.
func (k *checker) forge(c Config) {
	f, at := c.Forge, keyPath{"forge"}
	if !c.HasForge() {
		k.noForge(f, at)
		return
	}
	if !slices.Contains(forgeKinds, f.Kind) {
		k.add(at.to("kind"), "CFG070", mirror.Suggest(f.Kind, forgeKinds), "forge.kind %q is no forge that is spoken to", f.Kind)
		return
	}
	k.forgePlace(c, at)
	k.forgeCredential(f, at)
	switch {
	case f.Poll <= 0:
		k.add(at.to("poll"), "CFG006", "write a duration such as 5m", "forge.poll must be above zero, have %s", f.Poll)
	case f.Poll < leastForgePoll:
		k.add(at.to("poll"), "CFG006", "write a duration such as 5m", "forge.poll must be at least %s, have %s", leastForgePoll, f.Poll)
	}
	k.tls(f.TLS, at.to("tls"))
}

// noForge finds what has no meaning where no forge is spoken to: whoever wrote it expects one.
func (k *checker) noForge(f ForgeConfig, at keyPath) {
	for _, idle := range []struct {
		key string
		set bool
	}{{"url", f.URL != ""}, {"repository", f.Repository != ""}, {"token", !f.Token.IsZero()}, {"app", f.App != ForgeApp{}}} {
		if idle.set {
			k.add(at.to(idle.key), "CFG074", "add kind: github, gitlab or gitea, or delete "+at.to(idle.key).String(), "%s has no effect: forge.kind names no forge", at.to(idle.key))
		}
	}
}

func (k *checker) forgePlace(c Config, at keyPath) {
	address, repository := c.ForgePlace()
	u, err := url.Parse(address)
	switch {
	case address == "":
		k.add(at.to("url"), "CFG071", "add url: https://host, the address of its pages", "forge.url is missing, and git.url names no host that could be the forge")
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || !slices.Contains([]string{"http", "https"}, u.Scheme):
		k.add(at.to("url"), "CFG071", "write https://host, without user, password and query", "forge.url is not the address of a forge")
	case u.Scheme == "http" && !c.Forge.Insecure && (c.Forge.URL != "" || !c.Git.Insecure):
		k.add(at.to("url"), "CFG009", "use https, or set forge.insecure: true", "%s: the address of the forge is plain http", at.to("url"))
	}
	switch parts := strings.Count(repository, "/"); {
	case repository == "" && address == "":
		return // the same address would tell it
	case repository == "":
		k.add(at.to("repository"), "CFG072", "add repository: owner/name", "forge.repository is missing, and git.url does not tell it")
	case !repositoryPath.MatchString(repository) || strings.Contains("/"+repository+"/", "/../") || strings.Contains("/"+repository+"/", "/./"),
		parts != 1 && c.Forge.Kind != "gitlab":
		k.add(at.to("repository"), "CFG072", "write owner/name as the address of its page has it", "forge.repository is no repository of a forge")
	}
}

func (k *checker) forgeCredential(f ForgeConfig, at keyPath) {
	k.secret(f.Token, at.to("token"))
	k.secret(f.App.Key, at.to("app", "key"))
	app := f.App != ForgeApp{}
	switch {
	case app && f.Kind != "github":
		k.add(at.to("app"), "CFG073", "delete it and add token: and one of "+Secret{}.SecretForm(), "forge.app: only GitHub has apps of that kind")
	case app && !f.Token.IsZero():
		k.add(at.to("token"), "CFG073", "keep one of them", "forge.token and forge.app are both given")
	case app && f.App.ID <= 0:
		k.add(at.to("app", "id"), "CFG075", "write the number that the settings of the app show as App ID", "forge.app.id is not the number of an app")
	case app && f.App.Installation < 0:
		k.add(at.to("app", "installation"), "CFG075", "write the number at the end of the address of the installation, or delete the key", "forge.app.installation is not the number of an installation")
	case app && f.App.Key.IsZero():
		k.missing(at.to("app", "key"), "add key: and one of "+Secret{}.SecretForm())
	case !app && f.Token.IsZero():
		k.missing(at.to("token"), "add token: and one of "+Secret{}.SecretForm())
	}
}
