package render

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/poundlock/poundlock/internal/mirror"
)

// helmForm says by which keys a chart takes an image.
type helmForm string

var helmForms = []string{"image", "repository+tag", "repository+tag+digest", "registry+repository+tag", "registry+repository+tag+digest"}

// UnmarshalText accepts the known forms.
func (f *helmForm) UnmarshalText(b []byte) error {
	if *f = helmForm(b); slices.Contains(helmForms, string(b)) {
		return nil
	}
	return mirror.UnknownWord{Kind: "form", Word: string(b), Known: helmForms}
}

// value gives what stands at the path for an image.
func (i helmImage) value(at mirror.Reference) any {
	if i.Form == "image" {
		return at.String()
	}
	parts := strings.Split(string(i.Form), "+")
	fields := map[string]string{"registry": at.Host, "repository": at.Repository, "tag": at.Tag, "digest": at.Digest.String()}
	if !slices.Contains(parts, "registry") {
		fields["repository"] = at.Name()
	}
	if !slices.Contains(parts, "digest") {
		fields["tag"] += "@" + fields["digest"]
	}
	block := values{}
	for _, part := range parts {
		key := part
		if own := i.Keys[part]; own != "" {
			key = own
		}
		block[key] = fields[part]
	}
	return block
}

var valueKey = regexp.MustCompile(`^(?:\.?([A-Za-z0-9_-]+)|\['([^']+)'\]|\["([^"]+)"\])`)

var listItem = regexp.MustCompile(`^\[\d+\]`)

// valuePath reads the path of a value: keys joined by dots, or in brackets and quotes; $ may stand for the top.
func valuePath(text string) (keys []string, err error) {
	rest := strings.TrimPrefix(text, "$")
	for rest != "" {
		m := valueKey.FindStringSubmatch(rest)
		switch {
		case m == nil && listItem.MatchString(rest):
			return nil, errors.New("one item of a list cannot be given: Helm replaces a list as a whole")
		case m == nil || keys == nil && rest == text && strings.HasPrefix(rest, "."):
			return nil, fmt.Errorf("no key begins at %q", mirror.OneLine(rest))
		}
		keys = append(keys, m[1]+m[2]+m[3])
		rest = rest[len(m[0]):]
	}
	if keys == nil {
		return nil, errors.New("it names no value")
	}
	return keys, nil
}

// match gives the entry that a name or a glob means; false when it is none or several.
func (i helmImage) match(names []string) (string, bool) {
	if slices.Contains(names, i.Entry) {
		return i.Entry, true
	}
	found := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !doublestar.MatchUnvalidated(i.Entry, name) })
	if len(found) != 1 {
		return "", false
	}
	return found[0], true
}
