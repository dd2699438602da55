// Package config is config.yaml: its keys, the layers that are laid over each other, where each value was set, the
// secrets that it refers to, and what is wrong with it.
//
// It promises that mistakes of all layers are told in one pass, each at its place, and that no secret is ever shown.
// It opens no connection and keeps nothing: what is made of a configuration, and when it is read again, is left to
// the daemon; what is wanted stands in the fleet repository.
package config

import (
	"cmp"
	"path/filepath"
	"time"

	"github.com/poundlock/poundlock/sync/publish"
)

// Config is config.yaml: how this daemon reaches Git and registries, where it keeps its state and when it
// looks. What is wanted is not here but in the fleet repository.
type Config struct {
	Version    int                 `yaml:"version" jsonschema:"required,enum=1" jsonschema_description:"Version of this document; 1 is the only one there is."`
	Site       string              `yaml:"site" jsonschema:"required,example=berlin" jsonschema_description:"Name of this site: the folder below rendered/ that this daemon writes."`
	StateDir   string              `yaml:"stateDir" jsonschema:"example=/var/lib/poundlock" jsonschema_description:"Folder of what the daemon remembers; a cache, which may be deleted between two cycles, and one process holds it at a time."`
	Git        GitConfig           `yaml:"git" jsonschema:"required" jsonschema_description:"Where the fleet repository is and who commits to it."`
	Registries map[string]Registry `yaml:"registries" jsonschema:"required" jsonschema_description:"The registries that are known, by a name of yours; local is the one that is filled."`
	Schedule   string              `yaml:"schedule" jsonschema:"example=*/15 * * * *" jsonschema_description:"When moving upstream tags are asked again: a cron line of five fields, or @every with a duration."`
	Schedules  map[string]string   `yaml:"schedules" jsonschema:"example=0 3 * * *" jsonschema_description:"Schedules of single sets, by the name of the set, in the form of schedule and instead of it."`
	TimeZone   string              `yaml:"timeZone" jsonschema:"example=Europe/Berlin" jsonschema_description:"IANA time zone of the schedule; the zone of the process when it is left out."`
	Audit      time.Duration       `yaml:"audit" jsonschema:"example=1h" jsonschema_description:"How often what stands is compared with the local registry."`
	AuditAt    string              `yaml:"auditAt" jsonschema:"example=0 2 * * 0" jsonschema_description:"When what stands is compared with the local registry, in the form of schedule and instead of audit."`
	Jitter     time.Duration       `yaml:"jitter" jsonschema:"example=2m" jsonschema_description:"Longest random delay of a scheduled look, so that many sites do not ask at once; none when it is left out."`
	Listen     string              `yaml:"listen" jsonschema_description:"Address (host:port) of health and metrics."`
	Socket     string              `yaml:"socket" jsonschema:"example=/run/poundlock/poundlock.sock" jsonschema_description:"Unix socket on which the daemon answers the commands; poundlock.sock in stateDir when it is left out."`
	TLS        TLS                 `yaml:"tls" jsonschema_description:"Trust and identity for every host."`
	Forge      ForgeConfig         `yaml:"forge" jsonschema_description:"The forge that holds the fleet repository."`
	Webhooks   Webhooks            `yaml:"webhooks" jsonschema_description:"What may tell the daemon to look now, over HTTP."`
	Notify     map[string]Notifier `yaml:"notify" jsonschema_description:"Whom to tell what happened, by a name of yours."`
	Calls      map[string]Call     `yaml:"calls" jsonschema_description:"Who outside is asked whether a promotion may happen, by the name that gates use."`
	Sealing    Sealing             `yaml:"secrets" jsonschema_description:"What consumers get as a secret, and for whom it is encrypted."`
	Packages   Packages            `yaml:"packages" jsonschema_description:"How Elastic packages are fetched, signed and handed out."`
	EPR        EPR                 `yaml:"epr" jsonschema_description:"Where package channels are served to Kibana."`
	Trust      Trust               `yaml:"trust" jsonschema_description:"What this site adds to the policy of the fleet repository."`
	Limits     Limits              `yaml:"limits" jsonschema_description:"How long one cycle and a stop may take."`

	// Warnings are what Load noticed that is no mistake for certain.
	Warnings []string `yaml:"-"`
	file     string
	settings *settings
}

// GitConfig says where the fleet repository is and who commits to it.
type GitConfig struct {
	URL         string          `yaml:"url" jsonschema:"required,example=https://git.example.org/platform/fleet.git,example=ssh://git@git.example.org/platform/fleet.git" jsonschema_description:"Address of the fleet repository: https, ssh, or a local path; without a password in it."`
	Branch      string          `yaml:"branch" jsonschema_description:"Branch that is read and committed to."`
	StateBranch string          `yaml:"stateBranch" jsonschema:"example=poundlock-state" jsonschema_description:"Branch that takes rendered/ where the branch itself is protected; that branch when it is left out."`
	Path        string          `yaml:"path" jsonschema:"example=sites/berlin" jsonschema_description:"Subfolder of the repository that holds desired/, stages/ and rendered/; its top when it is left out."`
	Poll        time.Duration   `yaml:"poll" jsonschema:"example=1m" jsonschema_description:"How often Git is asked for a new commit; one listing of its refs each time."`
	Auth        GitAuth         `yaml:"auth" jsonschema_description:"How Git lets us in: username and password, or a token, or an SSH key."`
	Author      Author          `yaml:"author" jsonschema_description:"Who our commits are by."`
	Message     publish.Message `yaml:"message" jsonschema:"example={{.Subject}}" jsonschema_description:"Template of commit messages (Go text/template) over .Set, .Site, .Cycle, .Moves and .Subject; our own when it is left out."`
	Signing     Signing         `yaml:"signing" jsonschema_description:"Signs our commits; they are not signed when it is left out."`
	TLS         TLS             `yaml:"tls" jsonschema_description:"Trust and identity for the Git server, besides what holds for every host."`
	Insecure    bool            `yaml:"insecure" jsonschema_description:"Allows plain http to the Git server."`
}

// State gives the branch that takes rendered/ where it is another one than Branch, else "".
func (g GitConfig) State() string {
	if g.StateBranch == g.Branch {
		return ""
	}
	return g.StateBranch
}

// GitAuth is how Git lets us in: username and password, or a token, or an SSH key.
type GitAuth struct {
	Username   string `yaml:"username" jsonschema:"example=poundlock" jsonschema_description:"Account at the Git server, for https."`
	Password   Secret `yaml:"password" jsonschema_description:"Password of that account."`
	Token      Secret `yaml:"token" jsonschema_description:"Access token, instead of username and password."`
	SSHKey     Secret `yaml:"sshKey" jsonschema_description:"Private key in the form of OpenSSH, for ssh."`
	KnownHosts string `yaml:"knownHosts" jsonschema:"example=/etc/poundlock/known_hosts" jsonschema_description:"File with the server's host keys in the form of OpenSSH; required for ssh."`
}

// Author is who our commits are by.
type Author struct {
	Name  string `yaml:"name" jsonschema_description:"Name in our commits."`
	Email string `yaml:"email" jsonschema:"example=poundlock@example.org" jsonschema_description:"Mail address in our commits."`
}

// Signing signs our commits when Format is ssh or openpgp.
type Signing struct {
	Format string `yaml:"format" jsonschema:"enum=ssh,enum=openpgp" jsonschema_description:"Form of the signature."`
	Key    Secret `yaml:"key" jsonschema_description:"Private key that signs, without a passphrase."`
}

// Registry is one registry, by the name that references carry in Host.
type Registry struct {
	Host          string       `yaml:"host" jsonschema:"anyof_required=host,example=docker.io,example=registry.example.org:5000" jsonschema_description:"Host, with :port where it needs one, as image references name it."`
	Endpoint      string       `yaml:"endpoint" jsonschema:"format=uri,example=https://pull-through.example.org" jsonschema_description:"URL that is really asked when it is another than the host's own, such as a pull-through cache."`
	Prefix        string       `yaml:"prefix" jsonschema:"example=mirror" jsonschema_description:"Path that is put before every repository."`
	Insecure      bool         `yaml:"insecure" jsonschema_description:"Allows plain http to this registry."`
	Auth          RegistryAuth `yaml:"auth" jsonschema_description:"How this registry lets us in; anonymous when it is left out."`
	AnonymousPull bool         `yaml:"anonymousPull" jsonschema_description:"Of registries.local, with a login of ours: who pulls needs none. Node files cannot carry a login, and are then rendered without a word on it."`
	TLS           TLS          `yaml:"tls" jsonschema_description:"Trust and identity for this registry, besides what holds for every host."`
	Limits        HostLimits   `yaml:"limits" jsonschema_description:"How much this registry is asked at once."`
	Embedded      Embedded     `yaml:"embedded" jsonschema:"anyof_required=embedded" jsonschema_description:"Serves the registry from this process; of registries.local only."`
}

// RegistryAuth is how a registry lets us in, and which other hosts may take part in that.
type RegistryAuth struct {
	Username  string   `yaml:"username" jsonschema:"example=poundlock" jsonschema_description:"Account at the registry."`
	Password  Secret   `yaml:"password" jsonschema_description:"Password of that account."`
	Token     Secret   `yaml:"token" jsonschema_description:"Bearer token that is sent as it is, instead of username and password."`
	Keychain  bool     `yaml:"keychain" jsonschema_description:"Asks the Docker configuration and its credential helpers for the credential."`
	Realms    []string `yaml:"realms" jsonschema:"example=auth.example.org" jsonschema_description:"Other hosts that may receive the credential, as token servers of this registry."`
	Redirects []string `yaml:"redirects" jsonschema:"example=*.cdn.example.org" jsonschema_description:"Other hosts that blobs may be fetched from, without the credential."`
}

// TLS is trust and identity for connections.
type TLS struct {
	CAFiles  []string `yaml:"caFiles" jsonschema:"example=/etc/poundlock/corp-ca.pem" jsonschema_description:"PEM files with certificate authorities that are trusted besides those of the system."`
	CertFile string   `yaml:"certFile" jsonschema:"example=/etc/poundlock/client.pem" jsonschema_description:"PEM file with the client certificate that we show."`
	KeyFile  string   `yaml:"keyFile" jsonschema:"example=/etc/poundlock/client-key.pem" jsonschema_description:"PEM file with the key of that certificate."`
}

// HostLimits bound what one host is asked at once; zero means the default.
type HostLimits struct {
	Concurrent        int `yaml:"concurrent" jsonschema:"minimum=0,default=32,example=8" jsonschema_description:"Requests that may wait for an answer of this host at the same time."`
	RequestsPerSecond int `yaml:"requestsPerSecond" jsonschema:"minimum=0,example=20" jsonschema_description:"Requests per second to this host; not bounded when it is left out or 0."`
}

// Embedded serves a persistent registry from this process.
type Embedded struct {
	Dir    string `yaml:"dir" jsonschema:"required,example=/var/lib/poundlock/registry" jsonschema_description:"Folder that holds the content."`
	Listen string `yaml:"listen" jsonschema:"required,example=127.0.0.1:5000" jsonschema_description:"Address (host:port) to serve on: plain http without authentication, so only where those connect who may write."`
}

// Limits bound one cycle.
type Limits struct {
	Cycle time.Duration `yaml:"cycle" jsonschema:"example=1h" jsonschema_description:"Longest that one cycle may take."`
	Stop  time.Duration `yaml:"stop" jsonschema:"example=30s" jsonschema_description:"Longest that a graceful stop may take; copies that go on then are taken up by the next start."`
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
		Forge:    ForgeConfig{Poll: 5 * time.Minute},
		Trust:    Trust{Rejudging: 500},
		Packages: Packages{SpoolLimit: 4096, AtOnce: 4},
		EPR:      EPR{Refresh: 10 * time.Second},
		Limits:   Limits{Cycle: 2 * time.Hour, Stop: 20 * time.Second},
	}
}

// URL gives the URL that is asked: what the configuration says, else the host's own.
func (r Registry) URL() string {
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

// WantsLogin says whether those who pull from the registry need a credential: as far as the configuration tells, where
// we need one ourselves and nothing else is said.
func (r Registry) WantsLogin() bool {
	return !r.AnonymousPull && (r.Auth.Username != "" || r.Auth.Keychain || !r.Auth.Token.IsZero())
}

// SocketPath gives where the daemon answers the commands.
func (c Config) SocketPath() string {
	return cmp.Or(c.Socket, filepath.Join(c.StateDir, "poundlock.sock"))
}
