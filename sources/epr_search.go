package sources

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Limits of one answer to /search, in bytes.
const (
	maxSearch     = 96 << 20 // as a whole; the largest public one, of all versions, has less than half of it
	maxSearchItem = 4 << 20  // one package

	maxItems      = maxPackages // of one answer, taken or not
	maxCategories = 100         // of one package; the largest public one has a dozen
	maxWords      = 1000        // bytes of a category, a type or a constraint
)

// eprItem is what is kept of one version of a package as /search lists it.
type eprItem struct {
	mirror.Package
	semver       *semver.Version
	kind         string   // its type
	categories   []string // its own and those of its policy templates
	kibana       string   // constraint; "" works with all
	experimental bool     // it calls itself so
	at           mirror.PackageAt
	image        mirror.Reference
}

// searchItem is what is read of an item of /search. Unknown fields appear with each release of the package registry.
// Source: elastic/package-registry : packages/package.go, BasePackage.
type searchItem struct {
	Name       string `json:"name"`
	Version    string `json:"version"`
	Type       string `json:"type"`
	Release    string `json:"release"`
	Download   string `json:"download"`
	Signature  string `json:"signature_path"`
	Conditions struct {
		Kibana struct {
			Version string `json:"version"`
		} `json:"kibana"`
		KibanaVersion string `json:"kibana.version"`
	} `json:"conditions"`
	Categories []string `json:"categories"`
	Policies   []struct {
		Categories []string `json:"categories"`
	} `json:"policy_templates"`
}

// printed are the fields of an item that a Print is made of: what the package says of itself and where it lies. Others are
// left out, so that neither a package registry that learnt a new field nor a notice that a newer version is there makes
// every package look changed.
var printed = []string{"name", "version", "title", "description", "type", "release", "source", "download", "path", "icons",
	"policy_templates", "conditions", "owner", "categories", "signature_path", "data_streams"}

var errSearch = errors.New("this is no answer of a package registry")

// budget reads as long as one item may be.
type budget struct {
	io.Reader
	left int64
}

func (b *budget) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("a package of it: %w of %d bytes", mirror.ErrTooLarge, maxSearchItem)
	}
	n, err := b.Reader.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// readSearch reads an answer to /search item by item, so that only what is kept of them stays in memory. bad tells of items
// that cannot be taken; an answer that is none, or that ends before its end, is an error.
func readSearch(body io.Reader, each func(eprItem), bad func(entry, why string), base *url.URL, at string) error {
	limited := &budget{body, maxSearchItem}
	d := json.NewDecoder(limited)
	if first, err := d.Token(); err != nil || first != json.Delim('[') {
		return unread(err, errSearch)
	}
	for n := 1; d.More(); n++ {
		if n > maxItems {
			return fmt.Errorf("it names more than %d packages: %w", maxItems, mirror.ErrTooLarge)
		}
		limited.left = maxSearchItem
		var text json.RawMessage
		if err := d.Decode(&text); err != nil {
			return unread(err, errSearch)
		}
		item, err := readItem(text, base, at)
		if err != nil {
			bad(item.String(), err.Error())
			continue
		}
		each(item)
	}
	if _, err := d.Token(); err != nil {
		return unread(err, errSearch)
	}
	return nil
}

// unread keeps apart what could not be read from what is no answer.
func unread(err, otherwise error) error {
	var syntax *json.SyntaxError
	if err == nil || errors.As(err, &syntax) {
		return otherwise
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends before its end", otherwise)
	}
	return err
}

// readItem reads one item. With an error only its name is given, as far as there is one.
func readItem(text []byte, base *url.URL, at string) (eprItem, error) {
	var raw searchItem
	if err := json.Unmarshal(text, &raw); err != nil {
		return eprItem{Package: shown(raw)}, errors.New("a field of it has another form than it should")
	}
	p, err := mirror.NewPackage(raw.Name, raw.Version)
	if err != nil {
		return eprItem{Package: shown(raw)}, err
	}
	item := eprItem{Package: p, kind: raw.Type, categories: raw.Categories, kibana: raw.Conditions.Kibana.Version, experimental: raw.Release == "experimental"}
	if item.kibana == "" {
		item.kibana = raw.Conditions.KibanaVersion
	}
	if item.kind == "" {
		item.kind = "integration" // packages of old say none
	}
	for _, policy := range raw.Policies {
		item.categories = append(item.categories, policy.Categories...)
	}
	if err := item.bounded(); err != nil {
		return item, err
	}
	if item.semver, err = semver.StrictNewVersion(p.Version); err != nil {
		return item, err
	}
	if item.image, err = packageImage(at, p); err != nil {
		return item, fmt.Errorf("its name cannot be that of a repository: %w", err)
	}
	item.at.Package, item.at.Print = p, printOf(text)
	if item.at.Zip, err = below(base, raw.Download, conventional(p)); err != nil {
		return item, fmt.Errorf("download %w", err)
	}
	if raw.Signature != "" {
		if item.at.Signature, err = below(base, raw.Signature, ""); err != nil {
			return item, fmt.Errorf("signature_path %w", err)
		}
	}
	return item, nil
}

// bounded says what of an item is more than any package has: sixty thousand of them stay in memory.
func (i eprItem) bounded() error {
	if len(i.categories) > maxCategories {
		return fmt.Errorf("it has %d categories, more than %d", len(i.categories), maxCategories)
	}
	for _, text := range append([]string{i.kind, i.kibana}, i.categories...) {
		if len(text) > maxWords {
			return fmt.Errorf("a type, a constraint or a category of it has %d bytes, more than %d", len(text), maxWords)
		}
	}
	return nil
}

// shown gives name and version of something that is no package, to be told of it.
func shown(raw searchItem) mirror.Package {
	return mirror.Package{Name: mirror.Shorten(mirror.Clean(raw.Name), 80), Version: mirror.Shorten(mirror.Clean(raw.Version), 40)}
}

// conventional is where every package registry has the zip of a package.
func conventional(p mirror.Package) string { return "/epr/" + p.Name + "/" + p.String() + ".zip" }

// pathText is what a path in an answer may be made of.
var pathText = regexp.MustCompile(`^/[A-Za-z0-9._~+@%/-]+$`)

// below gives the address of a path that an answer names. It starts at the root of the package registry, which may itself
// lie below a path, and never leads to another host or out of that path.
func below(base *url.URL, named, otherwise string) (string, error) {
	if named == "" {
		named = otherwise
	}
	unescaped, err := url.PathUnescape(named)
	if err != nil || !pathText.MatchString(named) || path.Clean(unescaped) != unescaped {
		return "", fmt.Errorf("names %q, which is no path below the package registry", mirror.Shorten(mirror.Clean(named), 80))
	}
	return base.Scheme + "://" + base.Host + base.EscapedPath() + named, nil
}

// printOf identifies what a package registry says of a package.
func printOf(text []byte) mirror.Digest {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return mirror.Digest{} // it was read before
	}
	var b bytes.Buffer
	for _, key := range printed {
		if value, has := fields[key]; has {
			b.WriteString(key + " ")
			if json.Compact(&b, value) != nil {
				return mirror.Digest{}
			}
			b.WriteByte('\n')
		}
	}
	return mirror.DigestOf(b.Bytes())
}

// answers are the packages that a question brought, each once.
type eprAnswer struct {
	items map[mirror.Package]eprItem
	names map[string][]mirror.Package
	left  map[string]string // why, by entry
	bad   int
}

func newEPRAnswer() *eprAnswer {
	return &eprAnswer{items: map[mirror.Package]eprItem{}, names: map[string][]mirror.Package{}, left: map[string]string{}}
}

// add takes an item. One that is listed twice and says two things is not taken at all: nobody knows which one is meant.
func (a *eprAnswer) add(item eprItem) {
	before, twice := a.items[item.Package]
	switch {
	case !twice:
		a.items[item.Package] = item
		a.names[item.Name] = append(a.names[item.Name], item.Package)
	case before.at != item.at:
		a.leave(item.String(), "it is listed twice, and not the same")
	}
}

// maxLeft is how many items of an answer are told of that cannot be taken.
const maxLeft = 100

func (a *eprAnswer) leave(entry, why string) {
	a.bad++
	if entry == "" || entry == "-" {
		entry = "an item without a name"
	}
	if len(a.left) < maxLeft {
		a.left[entry] = mirror.Shorten(mirror.Clean(why), 200)
	}
}

// sorted gives the versions of a name, newest first. Versions that differ only in what follows + compare equal.
func (a *eprAnswer) sorted(name string) []eprItem {
	var items []eprItem
	for _, p := range a.names[name] {
		if _, left := a.left[p.String()]; !left {
			items = append(items, a.items[p])
		}
	}
	slices.SortFunc(items, func(x, y eprItem) int {
		if c := y.semver.Compare(x.semver); c != 0 {
			return c
		}
		return strings.Compare(y.Version, x.Version)
	})
	return items
}
