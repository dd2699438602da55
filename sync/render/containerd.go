package render

import (
	"bytes"
	"fmt"
	"path"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

func init() {
	register("containerd", kind{reach: forBoth, check: checkContainerd, files: containerdFiles, options: containerdOptions{},
		about: "certs.d/<host>/hosts.toml for every upstream host, which makes containerd ask the local registry; for layout path."})
}

// containerdOptions are the options of kind containerd.
type containerdOptions struct {
	Fallback bool `yaml:"fallback" jsonschema_description:"Lets a node ask the upstream when the local registry does not answer; otherwise it never does."`
}

func checkContainerd(r request) mirror.Problems {
	var o containerdOptions
	return append(r.options.DecodeAs("render.containerd", &o), r.resolvesTags("containerd")...)
}

// containerdFiles writes certs.d/<host>/hosts.toml for every upstream host that something stands for. A file
// that containerd cannot read is ignored in silence and the upstream is asked, so only what every release
// of it understands is written: root keys first, then one plain table.
func containerdFiles(s scene, options mirror.Node) overrides {
	var o containerdOptions
	_ = options.DecodeAs("", &o) // checked before
	files := mirror.Files{}
	for _, h := range s.hosts() {
		files[path.Join("certs.d", hostFolder(h.name), "hosts.toml")] = hostsTOML(s, h, o.Fallback)
	}
	return overrides{files: files}
}

func hostsTOML(s scene, h host, fallback bool) []byte {
	const access = "capabilities = [\"pull\", \"resolve\"]\noverride_path = true\n"
	var b bytes.Buffer
	if !fallback {
		// The mirror as server is what keeps containerd from appending the upstream.
		fmt.Fprintf(&b, "server = %q\n%s\n", s.url("v2", h.paths[0]), access)
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
