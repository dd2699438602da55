package mirror

import (
	"fmt"
	"regexp"
	"strings"
	"text/template"
)

// LayoutKind says what tells the stages apart in the local registry: the tag or the path.
type LayoutKind string

// The two layouts of a set.
const (
	LayoutTag  LayoutKind = "tag"  // one repository, a moving tag per stage
	LayoutPath LayoutKind = "path" // a repository per stage, in which the vendor's own tag moves
)

// UnmarshalText accepts tag and path.
func (k *LayoutKind) UnmarshalText(b []byte) error {
	switch LayoutKind(b) {
	case LayoutTag, LayoutPath:
		*k = LayoutKind(b)
		return nil
	}
	return UnknownWord{"layout", string(b), []string{string(LayoutTag), string(LayoutPath)}}
}

// VendorTags says what happens to the vendor's own tag under LayoutTag.
type VendorTags string

// What a set may do with the vendor's tag.
const (
	VendorOnce   VendorTags = "once"   // written when it is not there, never moved
	VendorFollow VendorTags = "follow" // moves with the first stage
	VendorNone   VendorTags = "none"   // not written
)

// UnmarshalText accepts once, follow and none.
func (v *VendorTags) UnmarshalText(b []byte) error {
	switch VendorTags(b) {
	case VendorOnce, VendorFollow, VendorNone:
		*v = VendorTags(b)
		return nil
	}
	return UnknownWord{"vendorTags", string(b), []string{string(VendorOnce), string(VendorFollow), string(VendorNone)}}
}

// TagTemplate is the text/template of stage tags, over .Set, .Entry and .Stage; the zero value is
// {{.Set}}-{{.Entry}}-{{.Stage}}.
type TagTemplate struct{ tmpl *template.Template }

var defaultTag = template.Must(template.New("tag").Parse("{{.Set}}-{{.Entry}}-{{.Stage}}"))

// Form shows how the template is written.
func (TagTemplate) Form() string { return `write it as in "{{.Set}}-{{.Entry}}-{{.Stage}}"` }

// UnmarshalText compiles the template and tries it once.
func (t *TagTemplate) UnmarshalText(b []byte) error {
	tmpl, err := template.New("tag").Option("missingkey=error").Parse(string(b))
	var tried [2]strings.Builder
	for i, stage := range []Stage{"one", "two"} {
		if err == nil {
			err = tmpl.Execute(&tried[i], tagData{"set", "entry", stage})
		}
	}
	if err != nil {
		return fmt.Errorf("malformed template %q: want text with {{.Set}}, {{.Entry}} and {{.Stage}}", b)
	}
	if tried[0].String() == tried[1].String() {
		return fmt.Errorf("template %q gives every stage the same tag: use {{.Stage}}", b)
	}
	t.tmpl = tmpl
	return nil
}

type tagData struct {
	Set, Entry string
	Stage      Stage
}

var notInTag = regexp.MustCompile(`[^A-Za-z0-9_.-]`)

// maxTag is the longest tag that the OCI distribution specification allows.
const maxTag = 128

func (t TagTemplate) tag(key Key, stage Stage) string {
	tmpl := t.tmpl
	if tmpl == nil {
		tmpl = defaultTag
	}
	var b strings.Builder
	if err := tmpl.Execute(&b, tagData{key.Set, notInTag.ReplaceAllString(key.Entry, "."), stage}); err != nil {
		return "" // tried when it was compiled; an empty tag makes no valid reference
	}
	tag := strings.TrimLeft(notInTag.ReplaceAllString(b.String(), "."), ".-")
	if len(tag) > maxTag {
		tag = tag[:maxTag-13] + "-" + DigestOf([]byte(tag)).Hex[:12]
	}
	return tag
}

// Local is the local registry as overrides and references name it.
type Local struct {
	Host     string // host[:port], as daemon and consumers write it
	Prefix   string // path before everything of ours; may be empty
	Insecure bool   // plain HTTP
	Login    bool   // wants a credential of who pulls
	Site     string // names the folder below rendered/
}

// Repository gives where the content of an upstream reference lies for a stage, without tag and digest:
// <prefix>[/<stage>]/<path of the host>/<repository>.
func (l Local) Repository(s Set, stage Stage, upstream Reference) Reference {
	return Reference{Host: l.Host, Repository: joinPath(l.HostPath(s, stage, upstream.Host), upstream.Repository)}
}

// HostPath gives the repository prefix that stands for an upstream host at a stage.
func (l Local) HostPath(s Set, stage Stage, host string) string {
	p, named := s.Paths[host]
	if !named {
		// The colon of a port is no path character; an underscore is no host character, so this stays reversible.
		p = strings.ReplaceAll(strings.ToLower(host), ":", "_")
	}
	if s.Layout == LayoutPath {
		return joinPath(l.Prefix, string(stage), p)
	}
	return joinPath(l.Prefix, p)
}

// Pointer gives the local tag that says what stands at a stage for an entry. Under LayoutPath that is the
// vendor's tag; an upstream reference without one falls back to the stage tag.
func (l Local) Pointer(s Set, stage Stage, entry string, upstream Reference) Reference {
	r := l.Repository(s, stage, upstream)
	if s.Layout == LayoutPath && upstream.Tag != "" {
		return r.WithTag(upstream.Tag)
	}
	return r.WithTag(s.Tag.tag(Key{s.Name, entry}, stage))
}

func joinPath(parts ...string) string {
	var kept []string
	for _, p := range parts {
		if p = strings.Trim(p, "/"); p != "" {
			kept = append(kept, p)
		}
	}
	return strings.Join(kept, "/")
}
