package render

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

func init() {
	register("containerd-config", kind{reach: forBoth, check: checkContainerdConfig, files: containerdConfigFiles, proof: proveContainerdConfig,
		reads: readsContainerdConfig, lint: lintContainerdConfig, options: containerdConfigDefaults,
		login: "put the credential under registry.configs on each node, or let pods name the local registry by rewriting their images",
		about: "containerd-registry.toml, the deprecated mirrors of containerd's config.toml, for nodes whose tools cannot place certs.d; always with fallback, for layout path."})
}

// containerdConfigFile is a part of containerd's config.toml, to be merged or imported.
const containerdConfigFile = "containerd-registry.toml"

// containerdConfigOptions are the options of kind containerd-config.
type containerdConfigOptions struct {
	Fallback bool `yaml:"fallback" jsonschema_description:"Must be true: with mirrors in config.toml containerd always asks the upstream last. Kind containerd does without."`
	Version  int  `yaml:"version" jsonschema:"enum=2,enum=3" jsonschema_description:"Version of the nodes' config.toml: 2 for containerd 1.x, 2 or 3 for 2.x."`
}

var containerdConfigDefaults = containerdConfigOptions{Version: 2}

// criPlugins are the names of the plugin that holds registry settings, by version of config.toml.
var criPlugins = map[int]string{1: "cri", 2: "io.containerd.grpc.v1.cri", 3: "io.containerd.cri.v1.images"}

func checkContainerdConfig(r request) mirror.Problems {
	o := containerdConfigDefaults
	ps := append(r.options.DecodeAs("render.containerd-config", &o), r.resolvesTags("containerd-config")...)
	if !ps.Touch("render.containerd-config.fallback") && !o.Fallback {
		ps.Add("RND051", r.where, "use render.containerd, or write fallback: true", "render.containerd-config: with mirrors in config.toml containerd always asks the upstream last")
	}
	if o.Version != 2 && o.Version != 3 {
		ps.Add("RND053", r.options.Key("version").Where(), "write 2 or 3", "render.containerd-config.version: there is no version %d with mirrors", o.Version)
	}
	if _, both := r.beside["containerd"]; both {
		ps.Add("RND052", r.where, "keep containerd", "render.containerd-config and render.containerd exclude each other")
		ps[len(ps)-1].Why = "with mirrors and config_path together containerd's CRI plugin does not start"
	}
	return ps
}

func containerdConfigFiles(s scene, options mirror.Node) overrides {
	o := containerdConfigDefaults
	_ = options.DecodeAs("", &o) // checked before
	var b bytes.Buffer
	fmt.Fprintf(&b, "version = %d\n", o.Version)
	hosts := s.mirrored()
	for _, h := range hosts {
		fmt.Fprintf(&b, "\n[plugins.%q.registry.mirrors.%q]\n  endpoint = [%s]\n", criPlugins[o.Version], h.name, strings.Join(s.endpoints(h), ", "))
	}
	all := overrides{notes: s.nodeNotes(true)}
	if len(hosts) > 0 {
		all.files = mirror.Files{containerdConfigFile: b.Bytes()}
	}
	return all
}

// endpoints gives the quoted addresses at which the local registry serves the repositories of a host. The path begins
// with /v2: consumers take a path as it is.
func (s scene) endpoints(h host) []string {
	var all []string
	for _, p := range h.paths {
		all = append(all, fmt.Sprintf("%q", s.url("v2", p)))
	}
	return all
}

func readsContainerdConfig(name string, data []byte) bool {
	return path.Base(name) == containerdConfigFile || path.Ext(name) == ".toml" && (bytes.Contains(data, []byte(".cri\"")) || bytes.Contains(data, []byte("cri.v1.images")))
}

func lintContainerdConfig(name string, data []byte) mirror.Problems {
	_, ps := readMirrors(name, data)
	return ps
}

// readMirrors gives the endpoints of each host in a config.toml, and what containerd would refuse or pass over.
func readMirrors(name string, data []byte) (mirrors map[string][]string, ps mirror.Problems) {
	t, ps := readTOML(name, data, "containerd does not start")
	if len(ps) > 0 {
		return nil, ps
	}
	version := 1
	if v, ok := t.root["version"].(int64); ok {
		version = int(v)
	}
	plugins, _ := t.root["plugins"].(map[string]any)
	want := cmp.Or(criPlugins[version], criPlugins[3]) // later versions keep the name
	for _, plugin := range slices.Sorted(maps.Values(criPlugins)) {
		settings, _ := plugins[plugin].(map[string]any)
		registry, there := settings["registry"].(map[string]any)
		if there && plugin != want {
			ps.Add("RND022", t.where("plugins", plugin, "registry"), fmt.Sprintf("write plugins.%q, or the version that the section is for", want),
				"registry settings of plugin %s in a file of version %d", plugin, version)
			ps[len(ps)-1].Why = "they are passed over in silence"
		} else if there {
			found, problems := t.readRegistry(registry, "plugins", plugin, "registry")
			mirrors, ps = found, append(ps, problems...)
		}
	}
	return mirrors, ps
}

func (t tomlFile) readRegistry(registry map[string]any, at ...string) (map[string][]string, mirror.Problems) {
	const wrong = "containerd's CRI plugin does not start"
	ps := t.check(registry, forms{"config_path": isText, "mirrors": isTable, "configs": isTable, "auths": isTable, "headers": isTable}, wrong, at...)
	mirrors, _ := registry["mirrors"].(map[string]any)
	if folder, _ := registry["config_path"].(string); folder != "" && len(mirrors) > 0 {
		ps.Add("RND057", t.where(append(slices.Clone(at), "mirrors")...), "keep config_path, and put the mirrors into its hosts.toml files", "mirrors together with config_path")
		ps[len(ps)-1].Why = wrong
	}
	all := map[string][]string{}
	for _, host := range slices.Sorted(maps.Keys(mirrors)) {
		under := append(slices.Clone(at), "mirrors", host)
		ps = append(ps, checkMirrorName(host, t.where(under...))...)
		table, ok := mirrors[host].(map[string]any)
		if !ok {
			ps.Add("RND023", t.where(under...), `write a table with endpoint = ["https://..."]`, "mirrors of %s: this is no table", mirror.OneLine(host))
			continue
		}
		ps = append(ps, t.check(table, forms{"endpoint": isTexts}, wrong, under...)...)
		all[host] = texts(table["endpoint"])
		for _, text := range all[host] {
			ps = append(ps, checkEndpoint(text, t.where(append(under, "endpoint")...))...)
		}
	}
	return all, ps
}

// checkMirrorName tells of a name that no image has, under which mirrors are never found.
func checkMirrorName(host string, where mirror.Position) (ps mirror.Problems) {
	if host != "*" && !mirror.IsHost(host) {
		ps.Add("RND025", where, "write the host as images name it, such as docker.io or registry.example:5000", "%q is no host that images name", mirror.OneLine(host))
		ps[0].Why = "it is never looked for, and the upstream is asked"
	}
	return ps
}

// checkEndpoint finds what is wrong with an address whose path is used as it is; without a path /v2 is asked.
func checkEndpoint(text string, where mirror.Position) mirror.Problems {
	u, ps := checkAddress(withScheme(text), where)
	if u != nil && u.Path != "" && !slices.Contains(strings.Split(u.Path, "/"), "v2") {
		ps.Add("RND024", where, "write https://host/v2/path, or no path at all", "an endpoint with a path without /v2")
		ps[0].Why = "the path is used as it is, and registries serve /v2/... only"
	}
	return ps
}

// withScheme gives an address the scheme that containerd takes where none is written: http for this machine's own
// ports, https otherwise.
func withScheme(text string) string {
	if strings.Contains(text, "://") {
		return text
	}
	host, _, _ := strings.Cut(text, "/")
	if name, port, err := net.SplitHostPort(host); err == nil && port != "443" && (name == "localhost" || net.ParseIP(name).IsLoopback()) {
		return "http://" + text
	}
	return "https://" + text
}

// proveContainerdConfig reads the file as containerd does.
func proveContainerdConfig(s scene, _ mirror.Node, files mirror.Files) mirror.Problems {
	mirrors, _ := readMirrors(containerdConfigFile, files[containerdConfigFile])
	return proveNodes(s, containerdConfigFile, true, func(image mirror.Reference, _ bool) []pull {
		return append(pullsOf(mirrors[image.Host], image), pull{"https", image.Host, image.Repository})
	})
}

// pullsOf gives what is asked at endpoints whose path is used as it is.
func pullsOf(endpoints []string, image mirror.Reference) (all []pull) {
	for _, text := range endpoints {
		if u, err := url.Parse(withScheme(text)); err == nil {
			prefix, _ := apiPath(u.Path)
			all = append(all, pull{u.Scheme, u.Host, path.Join(prefix, image.Repository)})
		}
	}
	return all
}
