package testenv

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// people is a forge, of whichever make.
type people interface {
	URL() string
	Repository() string
	Token(user string) string
}

// fleetAt gives where the fleet repository lies, the password of the daemon there, and the forge over it.
func (w *World) fleetAt() (url, password string, forge people) {
	if w.Gitea != nil {
		return w.Gitea.CloneURL(), w.Gitea.Token(worldUser), w.Gitea
	}
	return w.Git.URL(), worldPassword, w.Forge
}

// writeSecrets writes the files that the configuration refers to, and the token of a person.
func (w *World) writeSecrets() error {
	_, password, forge := w.fleetAt()
	for file, secret := range map[string]string{w.passwordFile(): password, w.tokenFile(): forge.Token(worldUser), personFile(w.dir): forge.Token(WorldPerson)} {
		if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (w *World) passwordFile() string { return filepath.Join(w.dir, "git-password") }

func (w *World) tokenFile() string { return filepath.Join(w.dir, "forge-token") }

func personFile(dir string) string { return filepath.Join(dir, WorldPerson+"-token") }

// PersonAt gives the token of WorldPerson in the World that lies in dir, which may be one of another process.
func PersonAt(dir string) (token string, err error) {
	data, err := os.ReadFile(personFile(dir))
	if err != nil {
		return "", fmt.Errorf("testenv: no world lies in %s: %w", dir, err)
	}
	return strings.TrimSpace(string(data)), nil
}

// ConfigYAML gives the daemon's configuration for this world.
func (w *World) ConfigYAML() string {
	var b strings.Builder
	url, _, forge := w.fleetAt()
	fmt.Fprintf(&b, `version: 1
site: %s
stateDir: %q
git:
  url: %s
  branch: main
  poll: 2s
  insecure: true
  auth: {username: %s, password: {file: %q}}
  author: {name: Poundlock, email: poundlock@demo.example}
forge: {kind: gitea, url: %q, repository: %s, insecure: true, token: {file: %q}, poll: 5s}
schedule: "@every 15m"
listen: 127.0.0.1:0
registries:
  local: {host: %q, insecure: true}
`, WorldSite, filepath.Join(w.dir, "state"), url, worldUser, w.passwordFile(), forge.URL(),
		forge.Repository(), w.tokenFile(), w.Local.Host())
	for _, u := range worldHosts {
		fmt.Fprintf(&b, "  %s: {host: %s, endpoint: %q, prefix: %s, insecure: true}\n", u.name, u.host, w.Upstream.URL(), u.host)
	}
	b.WriteString(w.packagesConfig())
	return b.String()
}

// worldHosts are the registries that the upstream of a World stands for.
var worldHosts = []struct{ name, host string }{
	{"dockerhub", "docker.io"},
	{"ems", "gitlab-registry.matrix.org"},
	{"github", "ghcr.io"},
	{"quay", "quay.io"},
}
