package daemon

import (
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/publish"
)

// Config is config.yaml: how this daemon reaches Git and registries, where it keeps its state and when it
// looks. What is wanted is not here but in the fleet repository.
type Config struct {
	Version    int                 `yaml:"version"`
	Site       string              `yaml:"site"`     // names the folder below rendered/
	StateDir   string              `yaml:"stateDir"` // a cache: may be deleted between two cycles
	Git        GitConfig           `yaml:"git"`
	Registries map[string]Registry `yaml:"registries"` // by a name of ours; "local" is the one that is filled
	Schedule   string              `yaml:"schedule"`   // cron line: when moving upstream tags are asked again
	TimeZone   string              `yaml:"timeZone"`   // IANA name for the schedule
	Audit      time.Duration       `yaml:"audit"`      // how often what stands is compared with the local registry
	Listen     string              `yaml:"listen"`     // host:port of health and metrics
	TLS        TLS                 `yaml:"tls"`        // trust for every host
	Limits     Limits              `yaml:"limits"`

	// Warnings are what Load noticed that is no mistake for certain.
	Warnings []string `yaml:"-"`
	file     string
}

// GitConfig says where the fleet repository is and who commits to it.
type GitConfig struct {
	URL     string          `yaml:"url"`
	Branch  string          `yaml:"branch"`
	Path    string          `yaml:"path"` // subfolder in which desired/, stages/ and rendered/ lie
	Poll    time.Duration   `yaml:"poll"`
	Auth    GitAuth         `yaml:"auth"`
	Author  Author          `yaml:"author"`
	Message publish.Message `yaml:"message"` // text/template over publish.Facts
	Signing Signing         `yaml:"signing"`
	TLS     TLS             `yaml:"tls"`
	// Insecure allows plain http to the Git server.
	Insecure bool `yaml:"insecure"`
}

// GitAuth is how Git lets us in: username and password, or a token, or an SSH key.
type GitAuth struct {
	Username   string `yaml:"username"`
	Password   Secret `yaml:"password"`
	Token      Secret `yaml:"token"`
	SSHKey     Secret `yaml:"sshKey"`
	KnownHosts string `yaml:"knownHosts"` // file in the form of OpenSSH; required for ssh
}

// Author is who our commits are by.
type Author struct {
	Name  string `yaml:"name"`
	Email string `yaml:"email"`
}

// Signing signs our commits when Format is ssh or openpgp.
type Signing struct {
	Format string `yaml:"format"`
	Key    Secret `yaml:"key"`
}

// Registry is one registry, by the name that references carry in Host.
type Registry struct {
	Host     string       `yaml:"host"`     // host[:port] as references name it
	Endpoint string       `yaml:"endpoint"` // URL that is really asked, when it is another: a pull-through cache
	Prefix   string       `yaml:"prefix"`   // put before every repository
	Insecure bool         `yaml:"insecure"` // plain HTTP
	Auth     RegistryAuth `yaml:"auth"`
	TLS      TLS          `yaml:"tls"`
	Limits   HostLimits   `yaml:"limits"`
	Embedded Embedded     `yaml:"embedded"` // of local only: serve it from this process
}

// RegistryAuth is how a registry lets us in, and which other hosts may take part in that.
type RegistryAuth struct {
	Username  string   `yaml:"username"`
	Password  Secret   `yaml:"password"`
	Token     Secret   `yaml:"token"`
	Keychain  bool     `yaml:"keychain"`  // ask the Docker configuration and its credential helpers
	Realms    []string `yaml:"realms"`    // other hosts that may receive the credential as token servers
	Redirects []string `yaml:"redirects"` // other hosts that blobs may be fetched from, without a credential
}

// TLS is trust and identity for connections.
type TLS struct {
	CAFiles  []string `yaml:"caFiles"`
	CertFile string   `yaml:"certFile"`
	KeyFile  string   `yaml:"keyFile"`
}

// HostLimits bound what one host is asked at once; zero means the default.
type HostLimits struct {
	Concurrent        int `yaml:"concurrent"`
	RequestsPerSecond int `yaml:"requestsPerSecond"`
}

// Embedded serves a persistent registry from this process.
type Embedded struct {
	Dir    string `yaml:"dir"`
	Listen string `yaml:"listen"`
}

// Limits bound one cycle.
type Limits struct {
	Cycle time.Duration `yaml:"cycle"` // longest a cycle may take
	Stop  time.Duration `yaml:"stop"`  // longest a graceful stop may take
}

// LocalRegistry is the key of the registry that is filled.
const LocalRegistry = "local"

// Default gives the configuration that a file is laid over.
func Default() Config {
	return Config{
		StateDir: "state",
		Git: GitConfig{Branch: "main", Poll: 30 * time.Second,
			Author: Author{Name: "Poundlock", Email: "poundlock@localhost"}},
		Schedule: "@every 15m",
		Audit:    6 * time.Hour,
		Listen:   "127.0.0.1:8686",
		Limits:   Limits{Cycle: 2 * time.Hour, Stop: 20 * time.Second},
	}
}

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

// endpoint gives the URL that is asked: what the configuration says, else the host's own.
func (r Registry) endpoint() string {
	switch {
	case r.Endpoint != "":
		return r.Endpoint
	case r.Embedded.Listen != "":
		return "http://" + r.Embedded.Listen
	case r.Insecure:
		return "http://" + r.Host
	case r.Host == "docker.io":
		return "https://registry-1.docker.io"
	}
	return "https://" + r.Host
}

// schedule compiles the cron line in its time zone.
func (c Config) schedule() (cron.Schedule, error) {
	if c.Schedule == "" {
		return nil, fmt.Errorf("empty")
	}
	line := c.Schedule
	if c.TimeZone != "" && !strings.Contains(line, "TZ=") {
		line = "CRON_TZ=" + c.TimeZone + " " + line
	}
	return cron.ParseStandard(line)
}
