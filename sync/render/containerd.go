package render

import (
	"bytes"
	"fmt"
	"path"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

func init() {
	register("containerd", kind{reach: forBoth, check: checkContainerd, files: containerdFiles, proof: proveContainerd,
		reads: readsHosts, lint: lintHosts, options: containerdOptions{},
		login: "put a header with the credential into hosts.toml on each node, or let pods name the local registry by rewriting their images",
		about: "certs.d/<host>/hosts.toml for every upstream host, which makes containerd ask the local registry; for layout path."})
}

// containerdOptions are the options of kind containerd.
type containerdOptions struct {
	Fallback bool   `yaml:"fallback" jsonschema_description:"Lets a node ask the upstream when the local registry does not answer; otherwise it never does."`
	CA       string `yaml:"ca" jsonschema:"example=/etc/ssl/certs/corp.pem" jsonschema_description:"Absolute path on the nodes of the PEM file that the local registry's certificate is checked with; what the system trusts when it is left out."`
}

func checkContainerd(r request) mirror.Problems {
	var o containerdOptions
	ps := append(r.options.DecodeAs("render.containerd", &o), r.resolvesTags("containerd")...)
	return append(ps, checkCA(o.CA, "render.containerd.ca", r.options.Key("ca").Where())...)
}

// containerdFiles writes certs.d/<host>/hosts.toml for every upstream host that something stands for. A file
// that containerd cannot read is ignored in silence and the upstream is asked, so only what every release
// of it understands is written: root keys first, then one plain table.
func containerdFiles(s scene, options mirror.Node) overrides {
	var o containerdOptions
	_ = options.DecodeAs("", &o) // checked before
	files := mirror.Files{}
	for _, h := range s.mirrored() {
		files[path.Join("certs.d", hostFolder(h.name), "hosts.toml")] = hostsTOML(s, h, o)
	}
	return overrides{files: files, notes: s.nodeNotes(o.Fallback)}
}

func hostsTOML(s scene, h host, o containerdOptions) []byte {
	access := "capabilities = [\"pull\", \"resolve\"]\noverride_path = true\n"
	if o.CA != "" && !s.local.Insecure { // with a CA, plain HTTP is tried after HTTPS only
		access += fmt.Sprintf("ca = %q\n", o.CA)
	}
	var b bytes.Buffer
	if o.Fallback {
		b.WriteString(fallbackWord + ": what no host here answers is asked for at the upstream\n")
	} else {
		// The mirror as server is what keeps containerd from appending the upstream.
		fmt.Fprintf(&b, "server = %q\n%s\n", s.url("v2", h.paths[len(h.paths)-1]), access)
	}
	for _, p := range h.paths {
		fmt.Fprintf(&b, "[host.%q]\n%s", s.url("v2", p), indent(access))
	}
	return b.Bytes()
}

func indent(lines string) string {
	return "  " + strings.ReplaceAll(strings.TrimSuffix(lines, "\n"), "\n", "\n  ") + "\n"
}

// hostFolder gives the folder name of a host as containerd looks for it first: h:5000 is h_5000_. A colon is
// no character for a path in Git.
func hostFolder(host string) string {
	if i := strings.LastIndexByte(host, ':'); i > 0 {
		return host[:i] + "_" + host[i+1:] + "_"
	}
	return host
}

// proveContainerd reads the files as containerd does.
func proveContainerd(s scene, options mirror.Node, files mirror.Files) mirror.Problems {
	var o containerdOptions
	_ = options.DecodeAs("", &o) // checked before
	return proveNodes(s, "certs.d", o.Fallback, func(image mirror.Reference, byDigest bool) (all []pull) {
		file := path.Join("certs.d", hostFolder(image.Host), "hosts.toml")
		endpoints, _ := readHosts(file, files[file])
		for _, e := range endpoints {
			if e.pull && (byDigest || e.resolve) {
				prefix, _ := apiPath(e.path)
				all = append(all, pull{e.scheme, e.host, path.Join(prefix, image.Repository)})
			}
		}
		return all
	})
}
