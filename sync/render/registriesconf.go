package render

import (
	"bytes"
	"fmt"
	"path"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

func init() {
	register("registries-conf", kind{reach: forBoth, check: checkRegistriesConf, files: registriesConfFiles, proof: proveRegistriesConf,
		reads: readsRegistriesConf, lint: lintRegistriesConf, options: registriesConfOptions{},
		login: "put the credential into the auth file of each node (containers-auth.json(5); with CRI-O global_auth_file), or let pods name the local registry by rewriting their images",
		about: "registries.conf.d/poundlock.conf for CRI-O, Podman, Buildah and Skopeo, which makes them ask the local registry and nobody else; for layout path."})
}

// registriesConfFile is a drop-in: what it says of a prefix counts instead of what registries.conf says.
const registriesConfFile = "registries.conf.d/poundlock.conf"

// registriesConfOptions are the options of kind registries-conf.
type registriesConfOptions struct {
	Fallback bool `yaml:"fallback" jsonschema_description:"Lets a node ask the upstream when the local registry does not answer; otherwise the upstream is blocked."`
}

func checkRegistriesConf(r request) mirror.Problems {
	var o registriesConfOptions
	return append(r.options.DecodeAs("render.registries-conf", &o), r.resolvesTags("registries-conf")...)
}

// registriesConfFiles blocks the upstream and names the local registry as its mirror: a mirror of a blocked registry is
// asked all the same. One mistake in any of these files breaks every pull of a node, so nothing is written that an older
// release does not know.
func registriesConfFiles(s scene, options mirror.Node) overrides {
	var o registriesConfOptions
	_ = options.DecodeAs("", &o) // checked before
	var b bytes.Buffer
	for i, h := range s.mirrored() {
		if i > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "[[registry]]\nprefix = %q\nlocation = %q\n", h.name, h.name)
		if !o.Fallback {
			b.WriteString("blocked = true\n")
		}
		for _, p := range h.paths {
			fmt.Fprintf(&b, "\n[[registry.mirror]]\nlocation = %q\n", path.Join(s.local.Host, p))
			if s.local.Insecure {
				b.WriteString("insecure = true\n")
			}
		}
	}
	all := overrides{notes: s.nodeNotes(o.Fallback)}
	if b.Len() > 0 {
		all.files = mirror.Files{registriesConfFile: b.Bytes()}
	}
	return all
}

func readsRegistriesConf(name string, data []byte) bool {
	return path.Base(name) == "registries.conf" || path.Base(path.Dir(name)) == "registries.conf.d" ||
		path.Ext(name) == ".conf" && bytes.Contains(data, []byte("[[registry]]"))
}

func lintRegistriesConf(name string, data []byte) mirror.Problems {
	_, ps := readRegistriesConf(name, data)
	return ps
}

// proveRegistriesConf reads the file as CRI-O and Podman do.
func proveRegistriesConf(s scene, options mirror.Node, files mirror.Files) mirror.Problems {
	var o registriesConfOptions
	_ = options.DecodeAs("", &o) // checked before
	conf, _ := readRegistriesConf(registriesConfFile, files[registriesConfFile])
	return proveNodes(s, registriesConfFile, o.Fallback, func(image mirror.Reference, byDigest bool) (all []pull) {
		asked := image.Name() + ":" + image.Tag
		if byDigest {
			asked = image.AtDigest(image.Digest).String()
		}
		sources, known := conf.sources(asked)
		if !known {
			return []pull{{"https", image.Host, image.Repository}}
		}
		for _, source := range sources {
			if source.blocked {
				continue
			}
			host, repository, _ := strings.Cut(strings.TrimSuffix(source.ref, strings.TrimPrefix(asked, image.Name())), "/")
			scheme := "https"
			if source.insecure { // plain http, or https that nobody checks
				scheme = "http"
			}
			all = append(all, pull{scheme, host, repository})
		}
		return all
	})
}
