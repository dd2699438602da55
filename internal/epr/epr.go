// Package epr is the HTTP face of package channels, as Kibana speaks it.
//
// It answers as Elastic's package registry v1.39.0 does: paths, parameters, bodies, statuses and headers. What it tells of a
// package is made of the package's own documents; zips and files come from the registry where packages lie, in ranges, and
// nothing is kept on disk.
package epr

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/poundlock/poundlock/internal/elastic"
	"github.com/poundlock/poundlock/internal/mirror"
)

// apiVersion is the release of Elastic's package registry whose answers these are.
const apiVersion = "1.39.0"

// Item is one version of a package in a channel, with all that a search asks for. As JSON it can be kept: it is made anew
// where its format is not ours.
type Item struct {
	Package mirror.Package   `json:"package"`
	Stage   string           `json:"stage"` // the highest at which it stands
	Local   mirror.Reference `json:"local"` // its artifact in the local registry, with digest
	Layers  elastic.Layers   `json:"layers"`
	Search  json.RawMessage  `json:"search"` // as /search gives it
	Format  string           `json:"format"` // format_version of the manifest, which a search asks for and does not tell

	known *known // what searches ask for; copies of an item share it
}

// NewItem makes an item of what is known of a package. A package that Elastic's registry would not load is a mirror.Problem.
func NewItem(f elastic.Facts, local mirror.Reference, l elastic.Layers) (Item, error) {
	d, err := newDocument(f, l.Signature.Digest != (mirror.Digest{}))
	if err != nil {
		return Item{}, err
	}
	i := Item{Package: f.Package, Local: local, Layers: l, Format: string(d.FormatVersion)}
	whole, err := encode(d.base, false)
	if err != nil {
		return Item{}, fmt.Errorf("package %s: %w", f.Package, err)
	}
	var small bytes.Buffer
	if err := json.Compact(&small, whole); err != nil {
		return Item{}, fmt.Errorf("package %s: %w", f.Package, err)
	}
	i.Search = small.Bytes()
	return i, i.read()
}

// read makes of the search document what searches ask for. It is not changed: whoever reads an item from where it was kept
// calls this once, and copies share what was made.
func (i *Item) read() error {
	var a asked
	if err := json.Unmarshal(i.Search, &a); err != nil {
		return fmt.Errorf("package %s: what a search tells of it: %w", i.Package, err)
	}
	if said := (mirror.Package{Name: a.Name, Version: a.Version}); said != i.Package {
		return fmt.Errorf("package %s: what a search tells of it is not of it", i.Package)
	}
	k, err := newKnown(a, i.Format)
	if err != nil {
		return fmt.Errorf("package %s: %w", i.Package, err)
	}
	i.known = k
	return nil
}

// shown gives the search document as an element of the answer, made when it is first asked for: most old versions never are.
func (i *Item) shown() []byte {
	if made := i.known.shown.Load(); made != nil {
		return *made
	}
	made := i.showWith(nil)
	i.known.shown.Store(&made)
	return made
}

// showWith gives it changed, where change is not nil.
func (i *Item) showWith(change func(*base)) []byte {
	var b bytes.Buffer
	if change == nil && !bytes.Contains(i.Search, []byte(`\u00`)) && json.Indent(&b, i.Search, "  ", "  ") == nil {
		return b.Bytes()
	}
	var d base // whoever kept it may have escaped < and >
	if err := json.Unmarshal(i.Search, &d); err != nil {
		return i.Search // read has read it
	}
	if change != nil {
		change(&d)
	}
	data, err := encode(d, true)
	if err != nil {
		return i.Search
	}
	return data
}

// encode gives a value as Elastic's registry writes JSON: < and > as they are, two spaces for each level. An element of a
// list is one level deeper, and has no line end.
func encode(v any, element bool) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if element {
		e.SetIndent("  ", "  ")
	} else {
		e.SetIndent("", "  ")
	}
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	if element {
		return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
	}
	return b.Bytes(), nil
}
