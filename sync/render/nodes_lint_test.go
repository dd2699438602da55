package render

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/containers/image/v5/pkg/sysregistriesv2"
	"github.com/containers/image/v5/types"

	"github.com/poundlock/poundlock/internal/mirror"
)

// What lint tells of hand-written files of nodes: the code and the line of every problem. Each text is a trap that
// people fell into.
func TestLint_TrapsOfNodeFiles(t *testing.T) {
	for _, tt := range nodeTraps {
		t.Run(tt.kind+"/"+tt.trap, func(t *testing.T) {
			ps := Lint(tt.kind, tt.file, []byte(tt.text))
			if got := codes(ps); got != tt.want {
				t.Errorf("got %q, want %q: %v", got, tt.want, ps)
			}
			for _, p := range ps {
				if p.Fix == "" || p.Where.File != tt.file {
					t.Errorf("no fix or no place: %+v", p)
				}
			}
		})
	}
}

const (
	hostsFile = "certs.d/docker.io/hosts.toml"
	confFile  = "registries.conf"
)

// nodeTraps are files of nodes with what lint tells of them.
var nodeTraps = []struct{ kind, trap, file, text, want string }{
	{"containerd", "good", hostsFile, "server = \"https://r.example/v2/m\"\noverride_path = true\n[host.\"https://r.example/v2/m\"]\n  capabilities = [\"pull\", \"resolve\"]\n  override_path = true\n", ""},
	{"containerd", "good, with all keys", hostsFile, "[host.\"https://r.example\"]\n  ca = [\"/a\", \"/b\"]\n  client = [[\"/c\", \"/k\"]]\n  skip_verify = false\n  dial_timeout = \"5s\"\n[host.\"https://r.example\".header]\n  x = [\"y\"]\n# fallback\n", ""},
	{"containerd", "syntax", hostsFile, "server = \"https://r.example\"\n[host.\"https://r.example\"\n", "RND021:2"},
	{"containerd", "the same table twice", hostsFile, "[host.\"https://r.example\"]\n[host.\"https://r.example\"]\n", "RND021:2"},
	{"containerd", "capability", hostsFile, "[host.\"https://r.example\"]\n  capabilities = [\"pull\", \"resolv\"]\n", "RND023:2"},
	{"containerd", "referrers is new", hostsFile, "[host.\"https://r.example\"]\n  capabilities = [\"pull\", \"referrers\"]\n# fallback\n", "RND023:2"},
	{"containerd", "no capabilities are all", hostsFile, "[host.\"https://r.example\"]\n  capabilities = []\n# fallback\n", "RND023:2"},
	{"containerd", "type", hostsFile, "[host.\"https://r.example\"]\n  capabilities = \"pull\"\n  skip_verify = \"no\"\n", "RND023:2 RND023:3"},
	{"containerd", "ca of a wrong type", hostsFile, "[host.\"https://r.example\"]\n  ca = true\n", "RND023:2"},
	{"containerd", "duration", hostsFile, "[host.\"https://r.example\"]\n  dial_timeout = \"5\"\n", "RND023:2"},
	{"containerd", "unknown key", hostsFile, "[host.\"https://r.example\"]\n  skip-verify = true\n# fallback\n", "RND022:2"},
	{"containerd", "server below a table", hostsFile, "[host.\"https://r.example\"]\n  capabilities = [\"pull\"]\nserver = \"https://r.example\"\n# fallback\n", "RND022:3"},
	{"containerd", "slash at the end", hostsFile, "[host.\"https://r.example/\"]\n# fallback\n", "RND024:1"},
	{"containerd", "no scheme", hostsFile, "[host.\"httpmirror.example\"]\n# fallback\n", "RND024:1"},
	{"containerd", "path without override_path", hostsFile, "[host.\"https://r.example/v2/proj\"]\n# fallback\n", "RND024:1"},
	{"containerd", "override_path without /v2", hostsFile, "[host.\"https://r.example/proj\"]\n  override_path = true\n# fallback\n", "RND024:1"},
	{"containerd", "a gateway has a path of its own", hostsFile, "[host.\"https://r.example/artifactory/api/docker/hub\"]\n# fallback\n", ""},
	{"containerd", "inline table", hostsFile, "host = {\"https://r.example\" = {capabilities = [\"pull\"]}}\n", "RND025:1"},
	{"containerd", "dotted keys", hostsFile, "host.\"https://r.example\".capabilities = [\"pull\"]\n", "RND025:1"},
	{"containerd", "header apart from its host", hostsFile, "[host.\"https://a.example\"]\n[host.\"https://b.example\"]\n[host.\"https://a.example\".header]\n  x = \"y\"\n# fallback\n", "RND025:3"},
	{"containerd", "Docker Hub by its site", hostsFile, "server = \"https://docker.io\"\n", "RND026:1"},
	{"containerd", "Docker Hub by its registry", "certs.d/registry-1.docker.io/hosts.toml", "server = \"https://r.example\"\n", "RND025:0"},
	{"containerd", "capabilities of no server", hostsFile, "capabilities = [\"pull\"]\n[host.\"https://r.example\"]\n# fallback\n", "RND022:1"},
	{"containerd", "a server without a host", hostsFile, "server = \"httpsdocker.example\"\n", "RND024:1"},
	{"containerd", "http with TLS settings", hostsFile, "[host.\"http://r.example\"]\n  skip_verify = true\n# fallback\n", "RND027:1"},
	{"containerd", "nothing in it", hostsFile, "# todo\n", "RND028:0"},
	{"containerd", "empty", hostsFile, "", "RND028:0"},
	{"containerd", "byte order mark", hostsFile, "\ufeffserver = \"https://r.example\"\n", "RND021:1"},
	{"containerd", "never asked", hostsFile, "server = \"https://r.example\"\n[host.\"https://r.example\"]\n  capabilities = [\"push\"]\n", "RND025:3"},
	{"containerd", "nobody said server", hostsFile, "# no fallback wanted\n[host.\"https://r.example\"]\n  capabilities = [\"pull\", \"resolve\"]\n", "RND028:2"},
	{"containerd", "the upstream as server", hostsFile, "server = \"https://registry-1.docker.io\"\n[host.\"https://r.example\"]\n  capabilities = [\"pull\", \"resolve\"]\n", ""},

	{"containerd-config", "good", "config.toml", "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"*\"]\n  endpoint = [\"r.example/v2/m\", \"https://r.example\"]\n", ""},
	{"containerd-config", "mirrors and config_path", "config.toml", "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\n  config_path = \"/etc/containerd/certs.d\"\n[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"docker.io\"]\n  endpoint = [\"https://r.example\"]\n", "RND057:4"},
	{"containerd-config", "path without /v2", "config.toml", "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"docker.io\"]\n  endpoint = [\"harbor.example.org/airgap-images/docker.io\"]\n", "RND024:3"},
	{"containerd-config", "no version", "config.toml", "[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"docker.io\"]\n  endpoint = [\"https://r.example\"]\n", "RND022:1"},
	{"containerd-config", "the plugin of another version", "config.toml", "version = 3\n[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"docker.io\"]\n  endpoint = [\"https://r.example\"]\n", "RND022:2"},
	{"containerd-config", "unknown keys", "config.toml", "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry.mirror.\"docker.io\"]\n  endpoint = [\"https://r.example\"]\n", "RND022:2"},
	{"containerd-config", "no host", "config.toml", "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"https://docker.io\"]\n  endpoint = \"https://r.example\"\n", "RND025:2 RND023:3"},

	{"k3s", "good", "registries.yaml", "mirrors:\n  docker.io:\n    endpoint: [\"https://r.example/v2/m\"]\n  \"*\":\nconfigs:\n  r.example:\n    auth: {username: u, password: p}\n    tls: {insecure_skip_verify: true}\n", ""},
	{"k3s", "wildcard without quotes", "registries.yaml", "mirrors:\n  *:\n    endpoint: [\"https://r.example\"]\n", "DOC001:2"},
	{"k3s", "path without /v2", "registries.yaml", "mirrors:\n  docker.io:\n    endpoint:\n      - https://r.example/m\n", "RND024:4"},
	{"k3s", "one endpoint that is no list", "registries.yaml", "mirrors:\n  docker.io:\n    endpoint: https://r.example\n", "DOC004:3"},
	{"k3s", "unknown key", "registries.yaml", "mirrors:\n  docker.io:\n    endpoints: [\"https://r.example\"]\n", "DOC002:3"},
	{"k3s", "the upstream itself", "registries.yaml", "mirrors:\n  ghcr.io:\n    endpoint: [\"https://ghcr.io\"]\n", "RND025:3"},
	{"k3s", "Docker Hub by another name", "registries.yaml", "mirrors:\n  registry-1.docker.io:\n    endpoint: [\"https://r.example\"]\n", "RND025:2"},
	{"k3s", "broken rewrite", "registries.yaml", "mirrors:\n  ghcr.io:\n    endpoint: [\"https://r.example\"]\n    rewrite:\n      \"(.*\": m/$1\n", "RND055:5"},
	{"k3s", "rewrites in no order", "registries.yaml", "mirrors:\n  ghcr.io:\n    endpoint: [\"https://r.example\"]\n    rewrite:\n      \"^own/(.*)\": m/$1\n      \"(.*)\": n/$1\n", "RND055:6"},
	{"k3s", "rewrites that do not meet", "registries.yaml", "mirrors:\n  ghcr.io:\n    endpoint: [\"https://r.example\"]\n    rewrite:\n      \"^own/(.*)\": m/$1\n      \"^their/(.*)\": n/$1\n", ""},
	{"k3s", "configs by address", "registries.yaml", "configs:\n  \"https://r.example\":\n    tls: {ca_file: /ca.pem}\n", "RND025:2"},
	{"k3s", "half a key pair", "registries.yaml", "configs:\n  r.example:\n    tls: {cert_file: /c.pem}\n", "RND055:2"},

	{"registries-conf", "good", confFile, "[[registry]]\nprefix = \"*.example.org\"\n[[registry.mirror]]\nlocation = \"r.example/m\"\npull-from-mirror = \"digest-only\"\n", ""},
	{"registries-conf", "scheme", confFile, "[[registry]]\nlocation = \"docker.io\"\n[[registry.mirror]]\nlocation = \"https://r.example\"\n", "RND024:4"},
	{"registries-conf", "prefix alone", confFile, "[[registry]]\nprefix = \"docker.io\"\n", "RND054:2"},
	{"registries-conf", "nothing", confFile, "[[registry]]\nblocked = true\n", "RND054:1"},
	{"registries-conf", "mirror without location", confFile, "[[registry]]\nlocation = \"docker.io\"\n[[registry.mirror]]\ninsecure = true\n", "RND054:3"},
	{"registries-conf", "both restrictions", confFile, "[[registry]]\nlocation = \"docker.io\"\nmirror-by-digest-only = true\n[[registry.mirror]]\nlocation = \"r.example\"\npull-from-mirror = \"all\"\n", "RND054:6"},
	{"registries-conf", "restriction of the registry itself", confFile, "[[registry]]\nlocation = \"docker.io\"\npull-from-mirror = \"all\"\n", "RND054:3"},
	{"registries-conf", "contradiction", confFile, "[[registry]]\nprefix = \"a.example\"\nlocation = \"r.example\"\n[[registry]]\nprefix = \"b.example\"\nlocation = \"r.example\"\nblocked = true\n", "RND054:4"},
	{"registries-conf", "twice", confFile, "[[registry]]\nlocation = \"docker.io\"\n[[registry]]\nlocation = \"docker.io\"\n", "RND059:3"},
	{"registries-conf", "duplicate key", confFile, "[[registry]]\nlocation = \"docker.io\"\nlocation = \"docker.io\"\n", "RND021:3"},
	{"registries-conf", "unknown key", confFile, "[[registry]]\nlocation = \"docker.io\"\nmirrors = \"r.example\"\n", "RND022:3"},
	{"registries-conf", "another name of Docker Hub", confFile, "[[registry]]\nprefix = \"index.docker.io\"\nlocation = \"r.example\"\n", "RND025:2"},
	{"registries-conf", "wildcard with a path", confFile, "[[registry]]\nprefix = \"*.example.org/x\"\n", "RND054:2"},
	{"registries-conf", "first version", confFile, "[registries.search]\nregistries = [\"docker.io\"]\n", "RND054:1"},
	{"registries-conf", "both versions", confFile, "[registries.search]\nregistries = [\"docker.io\"]\n[[registry]]\nlocation = \"https://r.example\"\nblocked = \"yes\"\n", "RND054:1 RND023:5 RND024:4"},
	{"registries-conf", "search", confFile, "unqualified-search-registries = [\"docker.io/x\"]\nshort-name-mode = \"enforce\"\n", "RND054:1 RND054:2"},

	{"docker", "good", "daemon.json", "{\n  \"registry-mirrors\": [\"https://hub.example\"],\n  \"insecure-registries\": [\"10.0.0.0/8\", \"r.example:5000\"],\n  \"log-driver\": \"json-file\"\n}\n", ""},
	{"docker", "comma at the end", "daemon.json", "{\n  \"registry-mirrors\": [\"https://hub.example\"],\n}\n", "RND021:3"},
	{"docker", "path", "daemon.json", "{\n  \"registry-mirrors\": [\"https://r.example/v2/m\"]\n}\n", "RND024:2"},
	{"docker", "one that is no list", "daemon.json", "{\n  \"registry-mirrors\": \"https://r.example\"\n}\n", "DOC004:2"},
	{"docker", "misspelt", "daemon.json", "{\n  \"registry-mirror\": [\"https://r.example\"]\n}\n", "RND022:2"},
	{"docker", "insecure by address", "daemon.json", "{\n  \"insecure-registries\": [\"http://r.example\"]\n}\n", "RND024:2"},
	{"docker", "twice", "daemon.json", "{\n  \"registry-mirrors\": [],\n  \"registry-mirrors\": []\n}\n", "DOC003:3"},

	{"talos", "good", "x.yaml", "# nodes\n---\napiVersion: v1alpha1\nkind: RegistryMirrorConfig\nname: \"*\"\nendpoints:\n  - url: https://r.example/v2/m\n    overridePath: true\n---\napiVersion: v1alpha1\nkind: HostnameConfig\nhostname: x\n", ""},
	{"talos", "path without overridePath", "x.yaml", "apiVersion: v1alpha1\nkind: RegistryMirrorConfig\nname: docker.io\nendpoints:\n  - url: https://r.example/v2/m\n", "RND024:5"},
	{"talos", "overridePath without /v2", "x.yaml", "machine:\n  registries:\n    mirrors:\n      docker.io:\n        endpoints:\n          - https://r.example/m\n        overridePath: true\n", "RND024:6"},
	{"talos", "twice", "x.yaml", "apiVersion: v1alpha1\nkind: RegistryMirrorConfig\nname: docker.io\n---\napiVersion: v1alpha1\nkind: RegistryMirrorConfig\nname: docker.io\n", "RND059:7"},
	{"talos", "version", "x.yaml", "apiVersion: v1\nkind: RegistryMirrorConfig\nname: docker.io\n", "RND056:1"},
	{"talos", "unknown key", "x.yaml", "apiVersion: v1alpha1\nkind: RegistryMirrorConfig\nname: docker.io\nskipfallback: true\n", "DOC002:4"},
	{"talos", "no host", "x.yaml", "machine:\n  registries:\n    mirrors:\n      https://docker.io:\n        endpoints: [\"https://r.example\"]\n", "RND025:4"},
}

// containerd's own reader and ours take every trap for the same hosts: what lint says is true.
func TestHosts_TrapsAsContainerdReadsThem(t *testing.T) {
	for _, tt := range nodeTraps {
		if tt.kind != "containerd" || tt.file != hostsFile {
			continue
		}
		t.Run(tt.trap, func(t *testing.T) {
			root := write(t, mirror.Files{tt.file: []byte(tt.text)})
			found, err := config.ConfigureHosts(t.Context(), config.HostOptions{HostDir: config.HostDirFromRoot(filepath.Join(root, "certs.d"))})("docker.io")
			if err != nil && strings.Contains(err.Error(), "unable to read CA cert") {
				return // the file is understood, what it names is not there
			} else if err != nil {
				t.Fatal(err)
			}
			endpoints, _ := readHosts(tt.file, []byte(tt.text))
			if endpoints == nil {
				if strings.Contains(tt.text, "referrers") {
					return // understood from containerd 2.2 on
				}
				endpoints = []hostsEndpoint{upstreamEndpoint("docker.io")}
			}
			var got, want []string
			for _, e := range endpoints {
				got = append(got, fmt.Sprint(e.host, e.path, e.pull, e.resolve, e.push))
			}
			for _, h := range found {
				want = append(want, fmt.Sprint(h.Host, h.Path, h.Capabilities.Has(docker.HostCapabilityPull), h.Capabilities.Has(docker.HostCapabilityResolve), h.Capabilities.Has(docker.HostCapabilityPush)))
			}
			if !slices.Equal(got, want) {
				t.Errorf("we read %v, containerd %v", got, want)
			}
		})
	}
}

// The real library refuses the traps of registries.conf that lint says break every pull, and takes the others.
func TestRegistriesConf_TrapsAsTheRealLibraryReadsThem(t *testing.T) {
	for _, tt := range nodeTraps {
		if tt.kind != "registries-conf" {
			continue
		}
		t.Run(tt.trap, func(t *testing.T) {
			root := write(t, mirror.Files{tt.file: []byte(tt.text)})
			_, err := sysregistriesv2.TryUpdatingCache(&types.SystemContext{SystemRegistriesConfPath: filepath.Join(root, tt.file), SystemRegistriesConfDirPath: filepath.Join(root, "none")})
			breaks := false
			for _, p := range Lint(tt.kind, tt.file, []byte(tt.text)) {
				breaks = breaks || p.Why == breaksPulls
			}
			if (err != nil) != breaks {
				t.Errorf("the library says %v, lint that it breaks pulls: %v", err, breaks)
			}
		})
	}
}

// A password in an address is never shown, whatever else is wrong with it.
func TestLint_NodeFilesNeverShowAPassword(t *testing.T) {
	const secret = "hunter2"
	files := map[string]string{
		"containerd":        "[host.\"https://u:" + secret + "@r.example\"]\n",
		"containerd-config": "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"docker.io\"]\n  endpoint = [\"https://u:" + secret + "@r.example/x\"]\n",
		"k3s":               "mirrors:\n  docker.io:\n    endpoint: [\"https://u:" + secret + "@r.example/x\"]\nconfigs:\n  r.example:\n    auth: {username: u, password: " + secret + ", pasword: " + secret + "}\n",
		"registries-conf":   "[[registry]]\nlocation = \"https://u:" + secret + "@r.example\"\n",
		"docker":            "{\"registry-mirrors\": [\"https://u:" + secret + "@r.example\"]}\n",
		"talos":             "apiVersion: v1alpha1\nkind: RegistryMirrorConfig\nname: docker.io\nendpoints:\n  - url: https://u:" + secret + "@r.example/x\n",
	}
	for kind, text := range files {
		ps := Lint(kind, "file", []byte(text))
		ps.QuotePublic(mirror.Files{"file": []byte(text)})
		if len(ps) == 0 || strings.Contains(ps.Error(), secret) {
			t.Errorf("%s: %v", kind, ps)
		}
	}
}

func TestKindOf_KnowsNodeFiles(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"etc/containerd/certs.d/docker.io/hosts.toml", "", "containerd"},
		{"config.toml", "[plugins.\"io.containerd.cri.v1.images\".registry]\n", "containerd-config"},
		{"/etc/rancher/rke2/registries.yaml", "", "k3s"},
		{"registries-edge.yml", "mirrors:\n  docker.io:\n    endpoint: [x]\n", "k3s"},
		{"/etc/containers/registries.conf.d/x.conf", "", "registries-conf"},
		{"/etc/docker/daemon.json", "{}", "docker"},
		{"patch.yaml", "kind: RegistryMirrorConfig\n", "talos"},
	}
	for _, tt := range tests {
		if got := KindOf(tt.name, []byte(tt.text)); len(got) != 1 || got[0] != tt.want {
			t.Errorf("%s is taken for %v, want %s", tt.name, got, tt.want)
		}
	}
}
