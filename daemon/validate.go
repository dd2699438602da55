package daemon

import (
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// validate reports every mistake that types alone do not catch. where gives the place of a key path.
func (c Config) validate(where func(path ...string) mirror.Position) mirror.Problems {
	var ps mirror.Problems
	need := func(value, fix string, path ...string) {
		if value == "" {
			ps.Add("CFG001", where(path...), fix, "%s is missing", strings.Join(path, "."))
		}
	}
	need(c.Site, "name this site, such as site: berlin", "site")
	if c.Site != "" {
		if _, err := mirror.ParseStage(c.Site); err != nil {
			ps.Add("CFG002", where("site"), "use lower-case letters, digits and single dashes", "site %q cannot be a folder name", c.Site)
		}
	}
	need(c.Git.URL, "the address of the fleet repository", "git", "url")
	need(c.StateDir, "a folder that the daemon may write", "stateDir")
	ps = append(ps, c.Git.validate(where)...)
	if _, ok := c.Registries[LocalRegistry]; !ok {
		ps.Add("CFG001", where("registries"), "add registries.local with its host", "registries.local is missing")
	}
	hosts := map[string]string{}
	for _, name := range sortedKeys(c.Registries) {
		r := c.Registries[name]
		ps = append(ps, r.validate(name, where)...)
		if other, dup := hosts[r.Host]; dup && r.Host != "" {
			ps.Add("CFG003", where("registries", name, "host"), "keep one of them", "registries.%s and registries.%s have the same host", other, name)
		}
		hosts[r.Host] = name
	}
	if _, err := time.LoadLocation(c.TimeZone); err != nil {
		ps.Add("CFG004", where("timeZone"), "use an IANA name such as Europe/Berlin", "unknown time zone %q", c.TimeZone)
	} else if _, err := c.schedule(); err != nil {
		ps.Add("CFG005", where("schedule"), `five fields as in "*/15 * * * *", or "@every 15m"`, "schedule: %v", err)
	}
	for path, d := range map[string]time.Duration{"git.poll": c.Git.Poll, "audit": c.Audit, "limits.cycle": c.Limits.Cycle, "limits.stop": c.Limits.Stop} {
		if d <= 0 {
			ps.Add("CFG006", where(strings.Split(path, ".")...), "write a duration such as 30s", "%s must be above zero", path)
		}
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		ps.Add("CFG007", where("listen"), "write host:port, such as 127.0.0.1:8686", "listen: %v", err)
	}
	return ps
}

func (g GitConfig) validate(where func(path ...string) mirror.Position) mirror.Problems {
	var ps mirror.Problems
	if u, err := url.Parse(g.URL); err == nil && u.User != nil {
		if _, has := u.User.Password(); has {
			ps.Add("CFG008", where("git", "url"), "use git.auth.username and git.auth.password with a reference", "git.url carries a password")
		}
	} else if err == nil && u.Scheme == "http" && !g.Insecure {
		ps.Add("CFG009", where("git", "url"), "use https, or set git.insecure: true", "git.url is plain http")
	}
	if !slices.Contains([]string{"", "ssh", "openpgp"}, g.Signing.Format) {
		ps.Add("CFG011", where("git", "signing", "format"), "ssh or openpgp", "git.signing.format %q is unknown", g.Signing.Format)
	} else if g.Signing.Format != "" && g.Signing.Key.IsZero() {
		ps.Add("CFG001", where("git", "signing"), "add git.signing.key with file: or env:", "git.signing.key is missing")
	}
	if filepath.IsAbs(g.Path) || slices.Contains(strings.Split(g.Path, "/"), "..") {
		ps.Add("CFG012", where("git", "path"), "a folder inside the repository", "git.path %q leaves the repository", g.Path)
	}
	return ps
}

func (r Registry) validate(name string, where func(path ...string) mirror.Position) mirror.Problems {
	var ps mirror.Problems
	if r.Host == "" {
		ps.Add("CFG001", where("registries", name), "the name that references carry, such as docker.io", "registries.%s.host is missing", name)
	} else if ref, err := mirror.ParseReference(r.Host + "/x/y"); err != nil || ref.Host != r.Host {
		ps.Add("CFG013", where("registries", name, "host"), "write host or host:port, without scheme and path", "registries.%s.host %q is not a registry host", name, r.Host)
	}
	if r.Prefix != "" {
		if _, err := mirror.ParseReference("x.example/" + r.Prefix); err != nil || strings.ContainsAny(r.Prefix, ":@") {
			ps.Add("CFG014", where("registries", name, "prefix"), "use lower-case path components", "registries.%s.prefix %q is not a repository path", name, r.Prefix)
		}
	}
	if u, err := url.Parse(r.endpoint()); err != nil || u.Host == "" || u.User != nil || !slices.Contains([]string{"http", "https"}, u.Scheme) {
		ps.Add("CFG015", where("registries", name, "endpoint"), "write https://host[:port]", "registries.%s.endpoint is not the address of a registry", name)
	} else if u.Scheme == "http" && !r.Insecure {
		ps.Add("CFG009", where("registries", name, "endpoint"), "use https, or set insecure: true", "registries.%s.endpoint is plain http", name)
	}
	if r.Auth.Username != "" && r.Auth.Password.IsZero() {
		ps.Add("CFG001", where("registries", name, "auth"), "add password: {file: ...} or {env: ...}", "registries.%s.auth.password is missing", name)
	}
	if r.Embedded != (Embedded{}) {
		if name != LocalRegistry {
			ps.Add("CFG016", where("registries", name, "embedded"), "only registries.local can be embedded", "registries.%s cannot be embedded", name)
		} else if r.Embedded.Dir == "" || r.Embedded.Listen == "" {
			ps.Add("CFG001", where("registries", name, "embedded"), "give dir and listen", "registries.local.embedded needs dir and listen")
		}
	}
	return ps
}
