package render

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

func init() {
	register("docker", kind{reach: forBoth, check: checkDocker, files: dockerFiles, reads: readsDocker, lint: lintDocker, options: dockerOptions{},
		login: "let the address in mirror answer without a login, since Docker sends none to a mirror",
		about: "daemon.json, a merge patch that makes the Docker engine ask a mirror for images of Docker Hub; always with fallback, for layout path."})
}

// dockerFile is a merge patch (RFC 7386) for /etc/docker/daemon.json, which may hold much else.
const dockerFile = "daemon.json"

const dockerHub = "docker.io"

// dockerOptions are the options of kind docker.
type dockerOptions struct {
	Fallback bool   `yaml:"fallback" jsonschema_description:"Must be true: the Docker engine always asks Docker Hub last."`
	Mirror   string `yaml:"mirror" jsonschema:"required,format=uri,example=https://hub.example.org" jsonschema_description:"Address that serves the local registry's images of Docker Hub under their own names: <mirror>/v2/library/nginx. Docker cannot ask for a path of a registry."`
}

func checkDocker(r request) mirror.Problems {
	var o dockerOptions
	ps := append(r.options.DecodeAs("render.docker", &o), r.resolvesTags("docker")...)
	if !ps.Touch("render.docker.fallback") && !o.Fallback {
		ps.Add("RND051", r.where, "write fallback: true, or use render.containerd in /etc/docker/certs.d where Docker uses the containerd image store", "render.docker: the Docker engine always asks Docker Hub last")
	}
	where := r.options.Key("mirror").Where()
	if o.Mirror == "" {
		ps.Add("RND053", r.where, "write mirror: https://..., the address of a proxy or of a registry's own port that serves the images of Docker Hub at its root", "render.docker.mirror is missing")
		ps[len(ps)-1].Why = "Docker asks a mirror for /v2/<repository>, never for a path of it, and images lie below one"
	} else {
		ps = append(ps, checkDockerMirror(o.Mirror, where)...)
	}
	if paths := dockerPaths(r.parts, mirror.Local{}); len(paths) > 1 {
		ps.Add("RND053", r.where, "let one of the sets run there, or use another kind", "render.docker: images of Docker Hub lie at several places (%s), and one mirror serves one of them", strings.Join(paths, ", "))
	}
	return ps
}

// dockerPaths gives where images of Docker Hub lie, each place once.
func dockerPaths(parts []part, local mirror.Local) (paths []string) {
	for _, p := range parts {
		if at := local.HostPath(p.set, p.name, dockerHub); !slices.Contains(paths, at) {
			paths = append(paths, at)
		}
	}
	return paths
}

func dockerFiles(s scene, options mirror.Node) overrides {
	var o dockerOptions
	_ = options.DecodeAs("", &o) // checked before
	all := overrides{notes: s.nodeNotes(true)}
	hosts := s.mirrored()
	hub := slices.IndexFunc(hosts, func(h host) bool { return h.name == dockerHub })
	if hub < 0 {
		all.notes = append(all.notes, "no image of Docker Hub stands, and Docker takes a mirror for no other registry: there is no daemon.json")
		return all
	}
	patch := struct {
		Mirrors  []string `json:"registry-mirrors"`
		Insecure []string `json:"insecure-registries,omitempty"`
	}{Mirrors: []string{o.Mirror}}
	if u, _ := checkAddress(o.Mirror, mirror.Position{}); u != nil && u.Scheme == "http" {
		patch.Insecure = []string{u.Host}
	}
	body, err := json.MarshalIndent(patch, "", "  ")
	if err != nil {
		return all // two lists of texts are always written
	}
	all.files = mirror.Files{dockerFile: append(body, '\n')}
	all.notes = append(all.notes, fmt.Sprintf("%s must serve what lies at %s", o.Mirror, s.url("v2", hosts[hub].paths[0])))
	if len(hosts) > 1 {
		all.notes = append(all.notes, fmt.Sprintf("Docker takes a mirror for Docker Hub only: images of %d other registries are pulled from there", len(hosts)-1))
	}
	return all
}

// checkDockerMirror follows the engine's own check. Docker puts a path before /v2, which only a few products serve.
func checkDockerMirror(text string, where mirror.Position) mirror.Problems {
	u, ps := checkAddress(text, where)
	if u != nil && strings.Trim(u.Path, "/") != "" && !isGateway(u.Path+"/") {
		ps.Add("RND024", where, "name an address that serves the images at its root", "a mirror with a path")
		ps[0].Why = "Docker asks for " + mirror.OneLine(path.Join(u.Path, "v2")) + "/..., which registries do not serve, and older engines do not start"
	}
	return ps
}

func readsDocker(name string, _ []byte) bool { return path.Base(name) == dockerFile }

// lintDocker reads the two keys of a daemon.json that are about registries.
func lintDocker(name string, data []byte) (ps mirror.Problems) {
	var file map[string]json.RawMessage
	if err := json.Unmarshal(data, &file); err != nil {
		where := mirror.Position{File: name}
		if broken := (*json.SyntaxError)(nil); errors.As(err, &broken) {
			before := data[:min(int(broken.Offset), len(data))]
			where.Line, where.Column = 1+bytes.Count(before, []byte("\n")), max(1, len(before)-1-bytes.LastIndexByte(before, '\n'))
		}
		ps.Add("RND021", where, "mend it; JSON knows no comments and no comma after the last item", "this is no object in JSON")
		ps[0].Why = "the Docker engine does not start"
		return ps
	}
	doc, ps := mirror.ParseDocument(name, data) // JSON is YAML, which has the places
	if ps.Stop() {
		return ps
	}
	known := []string{"registry-mirrors", "insecure-registries"}
	for _, key := range doc.Keys() {
		if near := mirror.Nearest(key, known); near != "" && near != key {
			ps.Add("RND022", doc.KeyWhere(key), fmt.Sprintf("did you mean %q?", near), "unknown key %q", mirror.OneLine(key))
			ps[len(ps)-1].Why = "the Docker engine does not start"
		}
	}
	for i, text := range dockerTexts(doc, "registry-mirrors", &ps) {
		ps = append(ps, checkDockerMirror(text, doc.Find("registry-mirrors", fmt.Sprint(i)).Where())...)
	}
	for i, text := range dockerTexts(doc, "insecure-registries", &ps) {
		if _, err := netip.ParsePrefix(text); err != nil && !mirror.IsHost(strings.ToLower(text)) {
			ps.Add("RND024", doc.Find("insecure-registries", fmt.Sprint(i)).Where(), "write host, host:port or a network such as 10.0.0.0/8", "insecure-registries: this is no host")
		}
	}
	return ps
}

func dockerTexts(doc mirror.Node, key string, ps *mirror.Problems) (all []string) {
	if node := doc.Key(key); !node.IsZero() {
		problems := node.DecodeAs(key, &all)
		*ps = append(*ps, problems...)
	}
	return all
}
