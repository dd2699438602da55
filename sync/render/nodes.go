package render

import (
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

// mirrored gives the upstream hosts that a node can be told a mirror for: all but the local registry itself. A mirror
// for that one would also catch what already names it, such as the images of an override.
func (s scene) mirrored() []host {
	return slices.DeleteFunc(s.hosts(), func(h host) bool { return s.isOwn(h.name) })
}

func (s scene) isOwn(host string) bool {
	own, err := mirror.ParseReference(s.local.Host + "/x")
	return host == s.local.Host || err == nil && host == own.Host
}

// loginNote says why pulls through a mirror fail where the local registry wants a login, and what works instead.
func loginNote(instead string) string {
	return "the local registry wants a login, and kubelet sends the pull secrets of pods to the original host only, never to a mirror: " + instead +
		"; or set registries.local.anonymousPull in config.yaml where who pulls needs no login"
}

// nodeNotes says what people should know of files of nodes.
func (s scene) nodeNotes(fallback bool) (notes []string) {
	if fallback {
		notes = append(notes, "fallback is allowed: a node that the local registry does not answer asks the upstream")
	}
	if s.namesOwn() {
		notes = append(notes, s.ownNote())
	}
	return notes
}

// namesOwn says whether something stands whose upstream is the local registry itself.
func (s scene) namesOwn() bool {
	return slices.ContainsFunc(s.hosts(), func(h host) bool { return s.isOwn(h.name) })
}

func (s scene) ownNote() string {
	return fmt.Sprintf("images of %s are pulled from there as they are named: nodes get no mirror for the local registry itself", s.local.Host)
}

// pull is one attempt of a consumer to get an image: where it asks.
type pull struct {
	scheme, host string
	repository   string
}

// proveNodes asks for every image as a node does, by tag and by digest, and tells what does not end at the local
// registry with the content that stands. pulls gives the attempts for an upstream reference in their order. With
// fallback the last attempt may be the upstream.
func proveNodes(s scene, where string, fallback bool, pulls func(image mirror.Reference, byDigest bool) []pull) (ps mirror.Problems) {
	stands, at := map[string]mirror.Digest{}, mirror.Position{File: where}
	scheme, _, _ := strings.Cut(s.url(), "://")
	for _, i := range s.images() {
		stands[i.local.Name()+":"+i.upstream.Tag] = i.upstream.Digest
	}
	for _, i := range s.images() {
		if s.isOwn(i.upstream.Host) {
			continue
		}
		for _, byDigest := range []bool{false, true} {
			if !byDigest && i.upstream.Tag == "" {
				continue
			}
			found := false
			for n, p := range pulls(i.upstream, byDigest) {
				name := p.host + "/" + p.repository
				switch last, holds := n > 0, stands[name+":"+i.upstream.Tag]; {
				case p.host != s.local.Host && (!fallback || !last):
					ps.Add("RND050", at, "report this: a file must not lead a node there", "%s is asked for at %s", i.upstream.Name(), p.host)
				case p.host == s.local.Host && p.scheme != scheme:
					ps.Add("RND050", at, "report this: a file must name the scheme that the registry speaks", "%s is asked for by %s, and the local registry speaks %s", i.upstream.Name(), p.scheme, scheme)
				case p.host != s.local.Host || found:
				case name == i.local.Name():
					found = true
				case !byDigest && holds != (mirror.Digest{}) && holds != i.upstream.Digest:
					ps.Add("RND029", at, "let one of the two sets run there only, or put them at the same release", "%s:%s is named by two sets with two digests, and a node would take the one of %s",
						i.upstream.Name(), i.upstream.Tag, name)
					found = true
				}
			}
			if !found {
				ps.Add("RND050", at, "report this: a file must lead a node to every image", "%s is not found where it lies, %s", i.upstream.Name(), i.local.Name())
			}
		}
	}
	return ps
}

// checkAddress finds what is wrong with the address of a registry: no scheme, user and password in it, or a query.
// The value itself is not repeated, it may hold a password.
func checkAddress(text string, where mirror.Position) (u *url.URL, ps mirror.Problems) {
	u, err := url.Parse(text)
	switch {
	case !strings.Contains(text, "://"):
		ps.Add("RND024", where, "write https:// before it", "an address without a scheme")
	case err != nil || u.Host == "":
		ps.Add("RND024", where, "write https://host[:port]/path", "this is no address of a registry")
	case u.Scheme != "https" && u.Scheme != "http":
		ps.Add("RND024", where, "write https://host[:port]/path", "%q is no scheme of a registry", mirror.OneLine(u.Scheme))
	case u.User != nil:
		ps.Add("RND024", where, "take user and password out, and change the password if others could read it", "an address with user and password")
	case u.RawQuery != "" || u.Fragment != "":
		ps.Add("RND024", where, "cut the address before ? or #", "an address with a query")
	}
	if len(ps) > 0 {
		return nil, ps
	}
	return u, nil
}

// apiPath says where a registry serves a repository of an address that is used as it is: below /v2. false means that no
// registry serves it there.
func apiPath(address string) (prefix string, served bool) {
	rest, ok := strings.CutPrefix(path.Clean("/"+address), "/v2")
	if !ok || rest != "" && rest[0] != '/' {
		return "", false
	}
	return strings.Trim(rest, "/"), true
}

// isGateway knows the paths of products that serve a whole registry below a path: Artifactory and Nexus.
func isGateway(path string) bool {
	return strings.Contains(path, "/artifactory/") || strings.Contains(path, "/api/docker/") || strings.HasPrefix(path, "/repository/")
}

// checkCA finds what is wrong with the path of a file of certificates on the node.
func checkCA(file, key string, where mirror.Position) (ps mirror.Problems) {
	if file != "" && (!path.IsAbs(file) || path.Clean(file) != file || strings.ContainsAny(file, "\n\r\"\\")) {
		ps.Add("RND058", where, "write the absolute path of a PEM file on the node", "%s: this is no absolute path of a file", key)
	}
	return ps
}
