package render

import (
	"bytes"
	"fmt"
	"maps"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

func init() {
	register("k3s", kind{reach: forBoth, check: checkK3s, files: k3sFiles, proof: proveK3s, reads: readsK3s, lint: lintK3s, options: k3sOptions{},
		login: "put configs.<local registry>.auth into registries.yaml on each node, or let pods name the local registry by rewriting their images",
		about: "registries.yaml of k3s and RKE2, and a config.yaml.d file that keeps them from asking the upstream; for layout path."})
}

// The two files, as they lie below /etc/rancher/k3s or /etc/rancher/rke2.
const (
	k3sFile       = "registries.yaml"
	k3sConfigFile = "config.yaml.d/poundlock.yaml"
	k3sNoFallback = "disable-default-registry-endpoint"
)

// k3sOptions are the options of kind k3s.
type k3sOptions struct {
	Fallback bool   `yaml:"fallback" jsonschema_description:"Lets a node ask the upstream when the local registry does not answer; otherwise the file in config.yaml.d forbids it for the hosts that are listed."`
	CA       string `yaml:"ca" jsonschema:"example=/etc/ssl/certs/corp.pem" jsonschema_description:"Absolute path on the nodes of the PEM file that the local registry's certificate is checked with; what the system trusts when it is left out."`
}

func checkK3s(r request) mirror.Problems {
	var o k3sOptions
	ps := append(r.options.DecodeAs("render.k3s", &o), r.resolvesTags("k3s")...)
	return append(ps, checkCA(o.CA, "render.k3s.ca", r.options.Key("ca").Where())...)
}

// k3sFiles writes one rewrite for the path of a host in the local registry. An address with the path in it serves
// containerd as well, but RKE2 pulls its own images by another library, which first looks whether the address answers:
// no registry does below its /v2/, and the upstream is asked then. Several places of a host need such addresses, since
// all endpoints share their rewrites, which are tried in no certain order.
func k3sFiles(s scene, options mirror.Node) overrides {
	var o k3sOptions
	_ = options.DecodeAs("", &o) // checked before
	hosts := s.mirrored()
	all := overrides{files: mirror.Files{}, notes: s.nodeNotes(o.Fallback)}
	if len(hosts) == 0 {
		return all
	}
	var b bytes.Buffer
	b.WriteString("mirrors:\n")
	var several []string
	for _, h := range hosts {
		fmt.Fprintf(&b, "  %q:\n    endpoint:\n", h.name)
		if len(h.paths) == 1 {
			fmt.Fprintf(&b, "      - %q\n    rewrite:\n      \"^(.*)$\": %q\n", s.url(), h.paths[0]+"/$1")
			continue
		}
		several = append(several, h.name)
		for _, endpoint := range s.endpoints(h) {
			fmt.Fprintf(&b, "      - %s\n", endpoint)
		}
	}
	if o.CA != "" {
		fmt.Fprintf(&b, "configs:\n  %q:\n    tls:\n      ca_file: %q\n", s.local.Host, o.CA)
	}
	all.files[k3sFile] = b.Bytes()
	if len(several) > 0 {
		all.notes = append(all.notes, "images of "+strings.Join(several, ", ")+" lie at several places: pods get them, but what RKE2 pulls for itself before containerd runs does not come from there; put its image archives on the nodes")
	}
	if !o.Fallback {
		all.files[k3sConfigFile] = []byte(k3sNoFallback + ": true\n")
	}
	return all
}

// k3sRegistries is registries.yaml (github.com/rancher/wharfie, pkg/registries).
type k3sRegistries struct {
	Mirrors map[string]mirror.Node `yaml:"mirrors"`
	Configs map[string]mirror.Node `yaml:"configs"`
	Auths   mirror.Node            `yaml:"auths"`
}

type k3sMirror struct {
	Endpoint []string          `yaml:"endpoint"`
	Rewrite  map[string]string `yaml:"rewrite"`
}

// k3sConfig is how a node meets one registry. Its texts are never looked at, they may be secrets.
type k3sConfig struct {
	Auth struct {
		Username mirror.Node `yaml:"username"`
		Password mirror.Node `yaml:"password"`
		Auth     mirror.Node `yaml:"auth"`
		Token    mirror.Node `yaml:"identity_token"`
	} `yaml:"auth"`
	TLS struct {
		CA       mirror.Node `yaml:"ca_file"`
		Cert     mirror.Node `yaml:"cert_file"`
		Key      mirror.Node `yaml:"key_file"`
		Insecure mirror.Node `yaml:"insecure_skip_verify"`
	} `yaml:"tls"`
}

var k3sMirrors = regexp.MustCompile(`(?m)^mirrors:\s*$[^#]*^\s+endpoint:`)

func readsK3s(name string, data []byte) bool {
	return path.Base(name) == k3sFile || strings.HasPrefix(path.Base(name), "registries") && isDocument(name) && k3sMirrors.Match(data)
}

func lintK3s(name string, data []byte) mirror.Problems {
	if path.Base(path.Dir(name)) == path.Dir(k3sConfigFile) {
		return nil // options of the program, not registries
	}
	_, ps := readK3s(name, data)
	return ps
}

// readK3s gives the mirrors by host, and what k3s would refuse or pass over.
func readK3s(name string, data []byte) (all map[string]k3sMirror, ps mirror.Problems) {
	doc, ps := mirror.ParseDocument(name, data)
	if ps.Stop() {
		return nil, ps
	}
	var file k3sRegistries
	ps = append(ps, doc.Decode(&file)...)
	all = map[string]k3sMirror{}
	for _, host := range slices.Sorted(maps.Keys(file.Mirrors)) {
		var m k3sMirror
		ps = append(ps, file.Mirrors[host].DecodeAs("mirrors."+host, &m)...)
		ps = append(ps, checkMirrorName(host, doc.Key("mirrors").KeyWhere(host))...)
		for i, text := range m.Endpoint {
			where := file.Mirrors[host].Find("endpoint", fmt.Sprint(i)).Where()
			ps = append(ps, checkEndpoint(text, where)...)
			if u, err := url.Parse(withScheme(text)); err == nil && u.Host == host {
				ps.Add("RND025", where, "delete it: the upstream is asked last in any case", "an endpoint of %s that is the upstream itself", host)
				ps[len(ps)-1].Why = "it is passed over"
			}
		}
		all[host] = m
		ps = append(ps, checkRewrites(m.Rewrite, file.Mirrors[host].Key("rewrite"))...)
	}
	for _, host := range slices.Sorted(maps.Keys(file.Configs)) {
		var c k3sConfig
		ps = append(ps, file.Configs[host].DecodeAs("configs."+host, &c)...)
		where := doc.Key("configs").KeyWhere(host)
		if host != "*" && !mirror.IsHost(host) && host != "registry-1.docker.io" {
			ps.Add("RND025", where, "write host or host:port of an endpoint, without scheme and path", "configs: %q is no host", mirror.OneLine(host))
			ps[len(ps)-1].Why = "it is never looked for: neither its login nor its certificates count"
		}
		if c.TLS.Cert.IsZero() != c.TLS.Key.IsZero() {
			ps.Add("RND055", where, "name both files", "configs: one of cert_file and key_file is missing")
			ps[len(ps)-1].Why = "none of the TLS settings of this host counts then"
		}
	}
	return all, ps
}

// checkRewrites tells of patterns that are passed over, and of a pattern for everything beside others: which of them is
// applied changes from pull to pull.
func checkRewrites(rewrites map[string]string, node mirror.Node) (ps mirror.Problems) {
	const anything = "some.repository/of_nobody/at-all"
	for _, pattern := range slices.Sorted(maps.Keys(rewrites)) {
		exp, err := regexp.Compile(pattern)
		switch {
		case err != nil:
			ps.Add("RND055", node.KeyWhere(pattern), "mend the regular expression", "rewrite: %q is no regular expression", mirror.OneLine(pattern))
			ps[len(ps)-1].Why = "the rewrite is passed over, and the repository is asked for under its own name"
		case len(rewrites) > 1 && exp.MatchString(anything):
			ps.Add("RND055", node.KeyWhere(pattern), "keep one rewrite, or patterns of which no two match one repository", "rewrite: %q matches everything, and there are others", mirror.OneLine(pattern))
			ps[len(ps)-1].Why = "rewrites are tried in no certain order, and the first that changes something counts"
		}
	}
	return ps
}

// pulls gives what a node asks for an image at the mirrors of its host.
func (m k3sMirror) pulls(image mirror.Reference) []pull {
	for _, pattern := range slices.Sorted(maps.Keys(m.Rewrite)) {
		exp, err := regexp.Compile(pattern)
		if err != nil {
			continue
		}
		if other := exp.ReplaceAllString(image.Repository, m.Rewrite[pattern]); other != image.Repository {
			image.Repository = other
			break
		}
	}
	return pullsOf(m.Endpoint, image)
}

// proveK3s reads the files as k3s does.
func proveK3s(s scene, options mirror.Node, files mirror.Files) mirror.Problems {
	var o k3sOptions
	_ = options.DecodeAs("", &o) // checked before
	mirrors, _ := readK3s(k3sFile, files[k3sFile])
	closed := strings.TrimSpace(string(files[k3sConfigFile])) == k3sNoFallback+": true"
	return proveNodes(s, k3sFile, o.Fallback, func(image mirror.Reference, _ bool) []pull {
		m, named := mirrors[image.Host]
		all := m.pulls(image)
		if !closed || !named {
			all = append(all, pull{"https", image.Host, image.Repository})
		}
		return all
	})
}
