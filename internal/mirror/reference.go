package mirror

import (
	"fmt"
	"strings"

	"github.com/distribution/reference"
)

// Reference names a repository of a registry and, where known, a tag and a digest in it. Host is the
// name users write (docker.io, not registry-1.docker.io), Repository always carries library/ for Docker
// Hub's official images. The zero value names nothing.
type Reference struct {
	Host       string
	Repository string
	Tag        string
	Digest     Digest
}

// IsHost says whether a text is a registry as ParseReference gives it in Host, with or without a port.
func IsHost(text string) bool {
	r, err := ParseReference(text + "/x/y")
	return err == nil && r.Host == text && r.Repository == "x/y"
}

// ParseReference reads [host/]repository[:tag][@digest] and normalises Docker Hub's spellings once:
// nginx, docker.io/nginx and index.docker.io/library/nginx are docker.io/library/nginx. Every host has one
// spelling, so that no rule and no table is passed by: lower case, without the port of https.
func ParseReference(s string) (Reference, error) {
	named, err := reference.ParseNormalizedNamed(s)
	if err != nil {
		return Reference{}, fmt.Errorf("malformed reference %q: %w", s, err)
	}
	r := Reference{Host: canonicalHost(reference.Domain(named)), Repository: reference.Path(named)}
	if r.Host == "" { // a_b.example/x: what looks like a host is none, and was taken for a part of the repository
		host, _, _ := strings.Cut(s, "/")
		return Reference{}, fmt.Errorf("malformed reference %q: %q is no host", s, host)
	}
	if r.Host == dockerHub && !strings.Contains(r.Repository, "/") {
		r.Repository = "library/" + r.Repository
	}
	if t, ok := named.(reference.Tagged); ok {
		r.Tag = t.Tag()
	}
	if d, ok := named.(reference.Digested); ok {
		if r.Digest, err = ParseDigest(d.Digest().String()); err != nil {
			return Reference{}, err
		}
	}
	return r, nil
}

const dockerHub = "docker.io"

func canonicalHost(host string) string {
	host = strings.ToLower(host)
	if name, port, ok := strings.Cut(host, ":"); ok && !strings.Contains(port, ":") {
		if port = strings.TrimLeft(port, "0"); port == "443" {
			host = name
		} else {
			host = name + ":" + port
		}
	}
	switch host {
	case "index.docker.io", "registry-1.docker.io":
		return dockerHub
	}
	return host
}

// Name gives host/repository, without tag and digest.
func (r Reference) Name() string { return r.Host + "/" + r.Repository }

// String gives the canonical spelling, which ParseReference reads back.
func (r Reference) String() string {
	var b strings.Builder
	b.WriteString(r.Name())
	if r.Tag != "" {
		b.WriteString(":" + r.Tag)
	}
	if r.HasDigest() {
		b.WriteString("@" + r.Digest.String())
	}
	return b.String()
}

// HasDigest says whether the reference is pinned to content.
func (r Reference) HasDigest() bool { return r.Digest != (Digest{}) }

// WithDigest gives the same reference pinned to d.
func (r Reference) WithDigest(d Digest) Reference { r.Digest = d; return r }

// WithTag gives the same reference with another tag.
func (r Reference) WithTag(t string) Reference { r.Tag = t; return r }

// AtDigest names content d in the same repository, without a tag: the form to read and verify by.
func (r Reference) AtDigest(d Digest) Reference {
	return Reference{Host: r.Host, Repository: r.Repository, Digest: d}
}

// IsZero says whether the reference names nothing.
func (r Reference) IsZero() bool { return r == Reference{} }

// MarshalText writes String; it makes a Reference a plain string in JSON and YAML.
func (r Reference) MarshalText() ([]byte, error) {
	if r.IsZero() {
		return nil, nil
	}
	return []byte(r.String()), nil
}

// Form says how a reference is written.
func (Reference) Form() string {
	return "write registry/repository:tag, or registry/repository:tag@sha256:<64 hex> to name the content itself"
}

// UnmarshalText reads what MarshalText wrote.
func (r *Reference) UnmarshalText(b []byte) (err error) {
	if len(b) == 0 {
		*r = Reference{}
		return nil
	}
	*r, err = ParseReference(string(b))
	return err
}
