package daemon

import (
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

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
	Jitter     time.Duration       `yaml:"jitter"`     // longest random delay of a scheduled look, so that many sites do not ask at once
	Listen     string              `yaml:"listen"`     // host:port of health and metrics
	Socket     string              `yaml:"socket"`     // Unix socket for the commands; default: poundlock.sock in stateDir
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
