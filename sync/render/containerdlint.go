package render

import (
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// hostsEndpoint is a host that containerd asks, as its hosts.toml says (docs/hosts.md of containerd and
// core/remotes/docker/config).
type hostsEndpoint struct {
	scheme, host, path  string
	pull, resolve, push bool
	ca                  []string
}

// asksUpstream is what containerd makes of a file that it cannot read.
const asksUpstream = "containerd ignores the whole file without a word to the one who pulls, and asks the upstream"

func isOneOrMore(v any) bool { return isText(v) || isTexts(v) }

// hostForms are the keys of a [host."..."] table, which may stand at the root, too.
var hostForms = forms{
	"capabilities": isTexts, "ca": isOneOrMore, "client": isClient, "skip_verify": isBool, "override_path": isBool, "dial_timeout": isText,
	"header": func(v any) bool {
		headers, ok := v.(map[string]any)
		for _, value := range headers {
			ok = ok && isOneOrMore(value)
		}
		return ok
	},
}

// isClient accepts a file, files, and pairs of files.
func isClient(v any) bool {
	list, ok := v.([]any)
	for _, item := range list {
		ok = ok && (isText(item) || isTexts(item) && len(texts(item)) == 2)
	}
	return ok || isText(v)
}

// readsHosts knows a hosts.toml by its name.
func readsHosts(name string, _ []byte) bool { return path.Base(name) == "hosts.toml" }

// hostOfFolder gives the upstream host that a hosts.toml is for, as its folder says; "" where it does not.
func hostOfFolder(name string) string {
	folder := path.Base(path.Dir(name))
	switch rest, ported := strings.CutSuffix(folder, "_"); {
	case folder == "." || folder == "/" || folder == "_default":
		return ""
	case ported && strings.Contains(rest, "_"):
		at := strings.LastIndexByte(rest, '_')
		return rest[:at] + ":" + rest[at+1:]
	}
	return folder
}

// readHosts gives the hosts that containerd asks for a file, in its order, and what it would ignore or misread. A file
// that it ignores gives none.
func readHosts(name string, data []byte) ([]hostsEndpoint, mirror.Problems) {
	all, ps := readHostTables(name, data)
	if slices.ContainsFunc(ps, func(p mirror.Problem) bool { return p.Why == asksUpstream }) {
		return nil, ps
	}
	return all, ps
}

func readHostTables(name string, data []byte) (all []hostsEndpoint, ps mirror.Problems) {
	upstream := hostOfFolder(name)
	if folder := upstream; folder == "registry-1.docker.io" || folder == "index.docker.io" {
		ps.Add("RND025", mirror.Position{File: name}, "name the folder docker.io", "the folder of Docker Hub is named docker.io")
		ps[len(ps)-1].Why = "containerd looks for the host that images name"
	}
	t, wrong := readTOML(name, data, asksUpstream)
	if len(wrong) > 0 {
		return nil, append(ps, wrong...)
	}
	root := maps.Clone(hostForms)
	root["server"], root["host"] = isText, isTable
	ps = append(ps, t.check(t.root, root, asksUpstream)...)
	hosts, _ := t.root["host"].(map[string]any)
	server, _ := t.root["server"].(string)
	if len(hosts) == 0 && server == "" {
		ps.Add("RND028", mirror.Position{File: name}, `add a table [host."https://..."]`, "no host is named in the file")
		ps[len(ps)-1].Why = "containerd asks the upstream"
	}
	order, problems := t.hostTables(hosts)
	ps = append(ps, problems...)
	for _, address := range order {
		table, _ := hosts[address].(map[string]any)
		ps = append(ps, t.check(table, hostForms, asksUpstream, "host", address)...)
		endpoint, problems := t.endpoint(address, table, "host", address)
		all, ps = append(all, endpoint), append(ps, problems...)
		ps = append(ps, endpoint.checkAsked(t.where("host", address, "capabilities"))...)
	}
	if server == "" {
		for _, key := range []string{"capabilities", "override_path"} {
			if t.root[key] != nil {
				ps.Add("RND022", t.where(key), "write server = beside it, or move it into the table of a host", "%s at the top without server", key)
				ps[len(ps)-1].Why = "it is passed over in silence"
			}
		}
		last := upstreamEndpoint(upstream)
		ps = append(ps, new(hostsEndpoint).allow(t, t.root, []string{"capabilities"})...) // they void the file all the same
		return append(all, last), append(ps, t.checkTimeout(t.root, []string{"dial_timeout"})...)
	}
	if u, err := url.Parse(server); err == nil && (u.Host == "docker.io" || u.Path == "docker.io") {
		ps.Add("RND026", t.where("server"), "write https://registry-1.docker.io", "server: docker.io serves no registry")
		ps[len(ps)-1].Why = "the registry of Docker Hub is registry-1.docker.io"
	}
	last, problems := t.endpoint(server, t.root, "server")
	if last.host == "" {
		last = upstreamEndpoint(upstream)
	}
	return append(all, last), append(ps, problems...)
}

// upstreamEndpoint is what containerd asks last where no server is named.
func upstreamEndpoint(host string) hostsEndpoint {
	if host == "docker.io" {
		host = "registry-1.docker.io"
	}
	return hostsEndpoint{scheme: "https", host: host, path: "/v2", pull: true, resolve: true, push: true}
}

// hostTables gives the hosts in the order in which containerd asks them, and those that it passes over: it takes the
// order from the headers of tables alone, and counts a header that follows another host's as one more host.
func (t tomlFile) hostTables(hosts map[string]any) (order []string, ps mirror.Problems) {
	last := ""
	for _, header := range t.tables {
		if len(header) < 2 || header[0] != "host" || header[1] == last {
			continue
		}
		last = header[1]
		if slices.Contains(order, last) {
			ps.Add("RND025", t.where(header...), "put the tables of one host one after the other", "a table of a host stands apart from the host's own")
			ps[len(ps)-1].Why = "containerd asks the host twice"
		}
		order = append(order, last)
	}
	for _, address := range slices.Sorted(maps.Keys(hosts)) {
		if !slices.Contains(order, address) {
			ps.Add("RND025", t.where("host", address), `write a table of its own: [host."https://..."]`, "a host that is not written as a table")
			ps[len(ps)-1].Why = "containerd knows hosts by the headers of their tables only: this one is never asked"
		}
	}
	return order, ps
}

// endpoint reads one host as containerd does: it appends /v2 unless override_path says that the path is complete.
func (t tomlFile) endpoint(address string, table map[string]any, at ...string) (e hostsEndpoint, ps mirror.Problems) {
	text := address
	if !strings.HasPrefix(text, "http") {
		text = "https://" + text
	}
	if _, problems := checkAddress(address, t.where(at...)); len(problems) > 0 {
		ps = problems
		if strings.HasPrefix(address, "http") && !strings.Contains(address, "://") {
			ps[0].Why = "a host whose name begins with http gets no scheme at all"
		}
	}
	u, err := url.Parse(text)
	if err != nil {
		if len(ps) > 0 {
			ps[0].Why = asksUpstream
		}
		return e, ps
	}
	e = hostsEndpoint{scheme: u.Scheme, host: u.Host, path: u.Path, ca: texts(table["ca"])}
	override, _ := table["override_path"].(bool)
	if problems := e.complete(override, t.where(at...)); len(ps) == 0 {
		ps = problems
	}
	if e.scheme == "http" && (table["ca"] != nil || table["client"] != nil || table["skip_verify"] != nil) {
		ps.Add("RND027", t.where(at...), "write https://, or take ca, client and skip_verify away", "plain http with settings for TLS")
		ps[len(ps)-1].Why = "containerd tries https first"
	}
	ps = append(ps, t.checkTimeout(table, t.under(at, "dial_timeout"))...)
	return e, append(ps, e.allow(t, table, t.under(at, "capabilities"))...)
}

func (t tomlFile) checkTimeout(table map[string]any, at []string) (ps mirror.Problems) {
	span, _ := table["dial_timeout"].(string)
	if _, err := time.ParseDuration(span); span != "" && err != nil {
		ps.Add("RND023", t.where(at...), "write a number with its unit, such as 30s", "dial_timeout: this is no duration")
		ps[0].Why = asksUpstream
	}
	return ps
}

// complete makes the path the one that is asked.
func (e *hostsEndpoint) complete(override bool, where mirror.Position) (ps mirror.Problems) {
	written := e.path
	if written != "" {
		e.path = path.Clean(written)
	}
	switch {
	case !override && written == "/":
		e.path = "//v2"
		ps.Add("RND024", where, "take the slash at the end away", "an address that ends in a slash")
		ps[0].Why = "containerd asks for //v2/..., which registries do not serve"
	case !override && !strings.HasSuffix(e.path, "/v2"):
		if e.path += "/v2"; written != "" && !isGateway(written) {
			ps.Add("RND024", where, "write https://host/v2/path and override_path = true", "an address with a path and without override_path")
			ps[0].Why = "containerd asks for " + mirror.OneLine(e.path) + "/..., which registries do not serve"
		}
	case override && !slices.Contains(strings.Split(e.path, "/"), "v2"):
		ps.Add("RND024", where, "write https://host/v2/path", "override_path with a path without /v2")
		ps[0].Why = "with override_path the path is used as it is, and registries serve /v2/... only"
	}
	return ps
}

// under gives the path of a key of a host, or of the root where the server is meant.
func (t tomlFile) under(at []string, key string) []string {
	if at[0] == "server" {
		return []string{key}
	}
	return append(slices.Clone(at), key)
}

// allow reads the capabilities; none are all of them.
func (e *hostsEndpoint) allow(t tomlFile, table map[string]any, at []string) (ps mirror.Problems) {
	words := texts(table["capabilities"])
	if len(words) == 0 {
		e.pull, e.resolve, e.push = true, true, true
		if table["capabilities"] != nil && isTexts(table["capabilities"]) {
			ps.Add("RND023", t.where(at...), "name them: pull, resolve", "an empty list of capabilities")
			ps[0].Why = "containerd takes it for all of them, push included"
		}
		return ps
	}
	for _, word := range words {
		switch strings.ToLower(word) {
		case "pull":
			e.pull = true
		case "resolve":
			e.resolve = true
		case "push":
			e.push = true
		case "referrers":
			ps.Add("RND023", t.where(at...), "leave it out while a node runs containerd before 2.2", "capability referrers")
			ps[len(ps)-1].Why = "up to containerd 2.1 it is unknown, and " + asksUpstream
		default:
			ps.Add("RND023", t.where(at...), mirror.Suggest(word, []string{"pull", "push", "resolve"}), "unknown capability %q", mirror.OneLine(word))
			ps[len(ps)-1].Why = asksUpstream
		}
	}
	return ps
}
