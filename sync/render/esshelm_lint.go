package render

import (
	"regexp"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

var esshelmKeys = regexp.MustCompile(`(?m)^(matrixTools|matrixRTC|matrixAuthenticationService|elementWeb|elementAdmin|wellKnownDelegation|deploymentMarkers|initSecrets):`)

// readsESSHelm knows values of the chart by the components that only it has.
func readsESSHelm(name string, data []byte) bool { return isDocument(name) && esshelmKeys.Match(data) }

// lintESSHelm reads values over those of the chart: what a block leaves out, the chart has.
func lintESSHelm(name string, data []byte) mirror.Problems {
	root, ps := mirror.ParseDocument(name, data)
	if ps.Stop() {
		return ps
	}
	if !root.Key("imagePullSecrets").IsZero() {
		ps.Add("RND037", root.KeyWhere("imagePullSecrets"), "move the list to image.pullSecrets", "imagePullSecrets is no value of the chart")
		ps[len(ps)-1].Why = "since 25.10 its schema refuses it"
	}
	walk(root, "", func(at string, n mirror.Node) {
		if at != "image" && !strings.HasSuffix(at, ".image") || strings.Contains(at, "[]") {
			return
		}
		ps = append(ps, lintBlock(at, n)...)
	})
	return ps
}

var blockKeys = []string{"registry", "repository", "tag", "digest", "pullPolicy", "pullSecrets"}

func lintBlock(at string, n mirror.Node) (ps mirror.Problems) {
	if !n.IsMapping() && !n.IsNull() {
		ps.Add("RND036", n.Where(), "write registry, repository, tag and digest below it", "%s: want a mapping", at)
		return ps
	}
	known := blockKeys
	if at == "image" {
		known = blockKeys[4:] // defaults for all images
	}
	if registry := text(n.Key("registry")); registry != "" && strings.HasPrefix(text(n.Key("repository")), registry+"/") {
		ps.Add("RND034", n.Key("repository").Where(), "write the host under registry alone", "%s.repository: %q begins with the registry, too", at, text(n.Key("repository")))
	}
	for _, key := range n.Keys() {
		value := n.Key(key)
		switch {
		case !slices.Contains(known, key):
			ps.Add("RND036", n.KeyWhere(key), mirror.Suggest(key, known), "%s.%s is no value of the chart", at, key)
		case key == "pullSecrets":
			for _, one := range value.Items() {
				if text(one.Key("name")) == "" {
					ps.Add("RND037", one.Where(), "write - name: <secret>", "%s.pullSecrets: want names of Secrets", at)
				}
			}
		case text(value) != "" && !value.IsString():
			ps.Add("RND035", value.Where(), "put it in quotes", "%s.%s: %s without quotes is no text", at, key, text(value))
			ps[len(ps)-1].Why = "Helm reads a number: 1.10 becomes 1.1"
		default:
			ps = append(ps, lintBlockValue(at, key, text(value), value.Where())...)
		}
	}
	return ps
}

func lintBlockValue(at, key, value string, where mirror.Position) (ps mirror.Problems) {
	switch key {
	case "registry":
		if value == "" {
			ps.Add("RND034", where, "write the host, docker.io for Docker Hub", "%s.registry is empty", at)
			ps[len(ps)-1].Why = "the chart makes /repository:tag of it, which is no image"
		} else if what := notAHost(value); what != "" {
			ps.Add("RND034", where, "write host[:port] alone; a path belongs to repository", "%s.registry: %q %s", at, value, what)
		}
	case "repository":
		r, err := mirror.ParseReference("registry.example/" + value)
		if err != nil || r.Tag != "" || r.HasDigest() {
			ps.Add("RND034", where, "write the path of the repository, without tag and digest", "%s.repository: %q is no repository", at, value)
		}
	case "tag":
		if r, err := mirror.ParseReference("registry.example/a:" + value); value != "" && (err != nil || r.Tag != value) {
			ps.Add("RND035", where, "write the tag alone; a digest has a key of its own", "%s.tag: %q is no tag", at, value)
		}
	case "digest":
		if _, err := mirror.ParseDigest(value); value != "" && err != nil {
			ps.Add("RND035", where, "write sha256: and 64 hexadecimal digits", "%s.digest: %v", at, err)
		}
	}
	return ps
}
