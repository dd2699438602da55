package render

import (
	"bytes"
	"fmt"
	"path"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

func init() {
	register("talos", kind{reach: forBoth, check: checkTalos, files: talosFiles, proof: proveTalos, reads: readsTalos, lint: lintTalos, options: talosDefaults,
		login: "give the nodes the credential in a patch of their own (RegistryAuthConfig), or let pods name the local registry by rewriting their images",
		about: "talos-registries.yaml, a patch of Talos' machine configuration with a mirror for every upstream host; for layout path."})
}

// talosFile is a patch for talosctl.
const talosFile = "talos-registries.yaml"

// talosOptions are the options of kind talos.
type talosOptions struct {
	Fallback bool   `yaml:"fallback" jsonschema_description:"Lets a node ask the upstream when the local registry does not answer; otherwise it never does."`
	Form     string `yaml:"form" jsonschema:"enum=documents,enum=machine" jsonschema_description:"documents: RegistryMirrorConfig, from Talos 1.12 on; machine: machine.registries, up to 1.12."`
}

var talosDefaults = talosOptions{Form: "documents"}

func checkTalos(r request) mirror.Problems {
	o := talosDefaults
	ps := append(r.options.DecodeAs("render.talos", &o), r.resolvesTags("talos")...)
	if o.Form != "documents" && o.Form != "machine" {
		ps.Add("RND053", r.options.Key("form").Where(), mirror.Suggest(o.Form, []string{"documents", "machine"}), "render.talos.form: unknown form %q", mirror.OneLine(o.Form))
	}
	return ps
}

// talosFiles writes the path from /v2 on: Talos hands the address to containerd, which takes it as it is with
// overridePath.
func talosFiles(s scene, options mirror.Node) overrides {
	o := talosDefaults
	_ = options.DecodeAs("", &o) // checked before
	hosts := s.mirrored()
	all := overrides{notes: s.nodeNotes(o.Fallback)}
	if len(hosts) == 0 {
		return all
	}
	var b bytes.Buffer
	if o.Form == "machine" {
		b.WriteString("machine:\n  registries:\n    mirrors:\n")
	}
	for i, h := range hosts {
		if o.Form == "machine" {
			fmt.Fprintf(&b, "      %q:\n        endpoints:\n          - %s\n        overridePath: true\n", h.name, strings.Join(s.endpoints(h), "\n          - "))
			if !o.Fallback {
				b.WriteString("        skipFallback: true\n")
			}
			continue
		}
		if i > 0 {
			b.WriteString("---\n")
		}
		fmt.Fprintf(&b, "apiVersion: v1alpha1\nkind: RegistryMirrorConfig\nname: %q\nendpoints:\n", h.name)
		for _, endpoint := range s.endpoints(h) {
			fmt.Fprintf(&b, "  - url: %s\n    overridePath: true\n", endpoint)
		}
		if !o.Fallback {
			b.WriteString("skipFallback: true\n")
		}
	}
	all.files = mirror.Files{talosFile: b.Bytes()}
	return all
}

func readsTalos(name string, data []byte) bool {
	return path.Base(name) == talosFile || isDocument(name) && bytes.Contains(data, []byte("kind: RegistryMirrorConfig"))
}

func lintTalos(name string, data []byte) mirror.Problems {
	_, ps := readTalos(name, data)
	return ps
}

// proveTalos reads the file as Talos does.
func proveTalos(s scene, options mirror.Node, files mirror.Files) mirror.Problems {
	o := talosDefaults
	_ = options.DecodeAs("", &o) // checked before
	mirrors, _ := readTalos(talosFile, files[talosFile])
	return proveNodes(s, talosFile, o.Fallback, func(image mirror.Reference, _ bool) []pull {
		m := mirrors[image.Host]
		all := pullsOf(m.endpoints, image)
		if !m.skipFallback {
			all = append(all, pull{"https", image.Host, image.Repository})
		}
		return all
	})
}
