package render

import (
	"bytes"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

func init() {
	register("containerd", kind{check: checkContainerd, files: containerdFiles, options: containerdOptions{},
		about: "certs.d/<host>/hosts.toml for every upstream host, which makes containerd ask the local registry; for layout path."})
}

// containerdOptions are the options of kind containerd.
type containerdOptions struct {
	Fallback bool `yaml:"fallback" jsonschema_description:"Lets a node ask the upstream when the local registry does not answer; otherwise it never does."`
}

func checkContainerd(set mirror.Set, options mirror.Node) mirror.Problems {
	var o containerdOptions
	ps := options.DecodeAs("render.containerd", &o)
	if set.Layout != mirror.LayoutPath {
		ps.AddAt("layout", "RND020", set.KeyAt("render", "containerd"), "write layout: path in the set",
			"render.containerd: nodes resolve the vendor's tags, and under layout %s those are not bound to a stage", set.Layout)
		ps[len(ps)-1].Why = "a node would see content that was never promoted"
	}
	return ps
}

// containerdFiles writes certs.d/<host>/hosts.toml for every upstream host that something stands for. A file
// that containerd cannot read is ignored in silence and the upstream is asked, so only what every release
// of it understands is written: root keys first, then one plain table.
func containerdFiles(s stage, options mirror.Node) overrides {
	var o containerdOptions
	_ = options.DecodeAs("", &o) // checked before
	files := mirror.Files{}
	hosts := map[string]bool{}
	for _, line := range s.standing {
		hosts[line.Image.Host] = true
	}
	for _, host := range slices.Sorted(maps.Keys(hosts)) {
		files[path.Join("certs.d", hostFolder(host), "hosts.toml")] = hostsTOML(s, host, o.Fallback)
	}
	return overrides{files: files}
}

func hostsTOML(s stage, host string, fallback bool) []byte {
	scheme := "https"
	if s.local.Insecure {
		scheme = "http"
	}
	mirrorURL := fmt.Sprintf("%s://%s/%s", scheme, s.local.Host, path.Join("v2", s.local.HostPath(s.set, s.name, host)))
	const access = "capabilities = [\"pull\", \"resolve\"]\noverride_path = true\n"
	var b bytes.Buffer
	if !fallback {
		// The mirror as server is what keeps containerd from appending the upstream.
		fmt.Fprintf(&b, "server = %q\n%s\n", mirrorURL, access)
	}
	fmt.Fprintf(&b, "[host.%q]\n%s", mirrorURL, indent(access))
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
