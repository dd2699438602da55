package sources

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// ownPackage is an item of own: packages of the site itself, in one of four places.
type ownPackage struct {
	Path      string `yaml:"path" jsonschema:"oneof_required=path,example=packages/acme,example=packages/acme-1.0.0.zip" jsonschema_description:"A folder or a zip, relative to desired/; its signature is the file of the same name with .sig behind it."`
	Address   string `yaml:"address" jsonschema:"oneof_required=address,format=uri,example=https://files.example.org/acme-1.0.0.zip" jsonschema_description:"Address of a zip on a web server."`
	Signature string `yaml:"signature" jsonschema:"format=uri,example=https://files.example.org/acme-1.0.0.zip.sig" jsonschema_description:"Address of its signature; that of the zip with .sig behind it when it is left out."`
	Drop      string `yaml:"drop" jsonschema:"oneof_required=drop,example=team" jsonschema_description:"Every package in a folder of the machine, by the name that config.yaml gives it under packages.drop."`
	OCI       string `yaml:"oci" jsonschema:"oneof_required=oci,example=registry.example.org/packages/acme:1.0.0" jsonschema_description:"An artifact of a registry with the zip as a layer and, where there is one, its signature as another."`
	Package   string `yaml:"package" jsonschema:"example=acme-1.0.0" jsonschema_description:"Name and version of the package of address or oci, where its file or its tag does not say that."`
	Where     mirror.Position

	node mirror.Node
	is   mirror.Package
	ref  mirror.Reference // of OCI
}

// ownRead are own packages as they are read.
type ownRead struct {
	entries []mirror.Entry
	made    []mirror.Artifact
	origin  mirror.Digest // of those that lie in the fleet repository
	asked   []ownPackage  // the others
}

var dropName = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

// readOwn reads the site's own packages: those of the fleet repository, and where to ask for the others.
func (s *eprSource) readOwn(files mirror.Files, told mirror.Problems) (own ownRead, ps mirror.Problems) {
	if told.Touch("source.own") || told.Touch("source.packagesAt") {
		return own, nil
	}
	node := s.node.Key("packagesAt")
	if at, err := mirror.ParseReference(s.options.PackagesAt + "/x"); err != nil || at.Name() != s.options.PackagesAt+"/x" {
		ps.AddAt("source.packagesAt", "SRC117", node.Where(), "write a host and, where it is wanted, a path, as in packages.example.org/team", "source.packagesAt: %q is no place for packages", s.options.PackagesAt)
		return own, ps
	} else if s.base != nil && strings.HasPrefix(s.at+"/", at.Host+"/") {
		ps.AddAt("source.packagesAt", "SRC117", node.Where(), "name a host of your own, or leave it out", "source.packagesAt: upstream's packages are known by the same host")
		return own, ps
	}
	places := map[string]mirror.Position{}
	for i, item := range s.options.Own {
		item.node = s.node.Find("own", strconv.Itoa(i))
		problems := item.read()
		if before, dup := places[item.place()]; dup && len(problems) == 0 {
			problems.Add("SRC117", item.Where, "keep one of them", "source.own: listed twice, first in %s", before)
		}
		places[item.place()] = item.Where
		if ps = append(ps, problems...); len(problems) > 0 {
			continue
		}
		if item.Path == "" {
			own.asked = append(own.asked, item)
			continue
		}
		e, made, problems := packOwn(files, item.Path, item.node.Key("path").Where(), s.options.PackagesAt)
		if ps = append(ps, problems...); len(problems) > 0 {
			continue
		}
		if slices.ContainsFunc(own.entries, func(o mirror.Entry) bool { return o.Name == e.Name }) {
			ps.Add("SRC117", item.Where, "keep one of them", "source.own: %s is there twice", e.Name)
			continue
		}
		own.entries, own.made = append(own.entries, e), append(own.made, made)
	}
	var all strings.Builder
	for _, e := range own.entries {
		all.WriteString(e.Image.String() + "\n")
	}
	own.origin = mirror.DigestOf([]byte(all.String()))
	return own, ps
}

// place identifies what an item names.
func (o ownPackage) place() string { return o.Path + " " + o.Address + " " + o.Drop + " " + o.OCI }

// read checks one item.
func (o *ownPackage) read() (ps mirror.Problems) {
	given := 0
	for _, text := range []string{o.Path, o.Address, o.Drop, o.OCI} {
		if text != "" {
			given++
		}
	}
	switch {
	case given != 1:
		ps.Add("SRC117", o.Where, "write one of path, address, drop and oci", "source.own: %d places are named, want one", given)
		return ps
	case o.Signature != "" && o.Address == "":
		ps.Add("SRC117", o.node.Key("signature").Where(), "delete it; the signature lies beside the package", "source.own: signature is of address only")
	case o.Package != "" && o.Address == "" && o.OCI == "":
		ps.Add("SRC117", o.node.Key("package").Where(), "delete it; the package says what it is", "source.own: package is of address and oci only")
	case o.Address != "":
		return o.readAddress()
	case o.OCI != "":
		return o.readOCI()
	case o.Drop != "" && !dropName.MatchString(o.Drop):
		ps.Add("SRC117", o.node.Key("drop").Where(), "write the name that the folder has in config.yaml under packages.drop", "source.own.drop: %q is no name", o.Drop)
	}
	return ps
}

func (o *ownPackage) readAddress() (ps mirror.Problems) {
	for key, text := range map[string]string{"address": o.Address, "signature": o.Signature} {
		at, err := url.Parse(text)
		if text != "" && (err != nil || !isWeb(text) || at.Host == "" || at.User != nil || at.RawQuery != "" || at.Fragment != "") {
			ps.Add("SRC117", o.node.Key(key).Where(), "write https://host/path; a credential belongs into config.yaml", "source.own.%s is no address of a file", key)
		}
	}
	if len(ps) > 0 {
		return ps
	}
	if o.Signature == "" {
		o.Signature = o.Address + ".sig"
	}
	at, _ := url.Parse(o.Address)
	name, _ := strings.CutSuffix(path.Base(at.Path), ".zip")
	return o.name(name)
}

func (o *ownPackage) readOCI() (ps mirror.Problems) {
	ref, err := mirror.ParseReference(strings.TrimPrefix(o.OCI, "oci://"))
	if err != nil || ref.Tag == "" && !ref.HasDigest() {
		ps.Add("SRC117", o.node.Key("oci").Where(), "write registry/repository:tag, or registry/repository@sha256:<64 hex>", "source.own.oci: %q names no artifact of a registry", o.OCI)
		return ps
	}
	o.ref = ref
	return o.name(path.Base(ref.Repository) + "-" + strings.ReplaceAll(ref.Tag, "_", "+"))
}

// name takes what the package is called from the item, or from where it lies.
func (o *ownPackage) name(said string) (ps mirror.Problems) {
	text, node := o.Package, o.node.Key("package")
	if text == "" {
		text, node = said, o.node
	}
	var err error
	if o.is, err = mirror.ParsePackage(text); err != nil {
		ps.Add("SRC117", node.Where(), "write its name and version as package: acme-1.0.0", "source.own: %v", err)
		return ps
	}
	if _, err = packageImage("packages.invalid", o.is); err != nil {
		ps.Add("SRC117", node.Where(), "begin and end the name with a letter or a digit, and write one _ at a time", "source.own: package %s: no repository of a registry can have its name", o.is.Name)
	}
	return ps
}

// askOwn asks for own packages that do not lie in the fleet repository. One that cannot be taken is told; what would take
// the place of upstream's is taken instead of that.
func (q eprQuestion) askOwn(ctx context.Context, up Upstream, l *listing) error {
	var own []mirror.Entry
	for _, o := range q.own {
		var err error
		switch {
		case o.Drop != "":
			own, err = q.askDrop(ctx, up, o, own, l)
		case o.OCI != "":
			own, err = q.askArtifact(ctx, up, o, own, l)
		default:
			own, err = q.askAddress(ctx, up, o, own, l)
		}
		if err != nil {
			return err
		}
	}
	mine := map[string]int{}
	for _, e := range own {
		mine[e.Name]++
	}
	for _, name := range q.ownNames {
		mine[name]++
	}
	for name, n := range mine {
		if n > 1 {
			l.left = append(l.left, Left{Entry: name, Why: "the site has it in several places: keep one", Own: true})
		}
	}
	l.entries = slices.DeleteFunc(l.entries, func(e mirror.Entry) bool { return mine[e.Name] > 0 })
	for _, e := range own {
		if mine[e.Name] == 1 {
			l.entries = append(l.entries, e)
		}
	}
	return nil
}

// ownEntry is the entry of an own package whose bytes lie elsewhere.
func (q eprQuestion) ownEntry(p mirror.Package, zip, signature string, print mirror.Digest) (mirror.Entry, error) {
	image, err := packageImage(q.options.PackagesAt, p)
	return mirror.Entry{Name: p.String(), Image: image, Package: mirror.PackageAt{Package: p, Zip: zip, Signature: signature, Print: print}}, err
}

// askAddress asks a web server for the versions of zip and signature. Whether the bytes are there is seen when they are
// fetched.
func (q eprQuestion) askAddress(ctx context.Context, up Upstream, o ownPackage, own []mirror.Entry, l *listing) ([]mirror.Entry, error) {
	var said strings.Builder
	signature := o.Signature
	for i, address := range []string{o.Address, o.Signature} {
		v, err := up.Head(ctx, address)
		switch {
		case errors.Is(err, mirror.ErrNotFound) && i == 1:
			signature = ""
		case errors.Is(err, mirror.ErrNotFound):
			l.left = append(l.left, Left{Entry: o.is.String(), Why: "there is no such file at its address", Own: true, Gone: true})
			return own, nil
		case err != nil:
			return nil, fmt.Errorf("own package %s: %w", o.is, err)
		}
		fmt.Fprintf(&said, "%s %q %q %d\n", address, v.ETag, v.Modified, v.Size)
	}
	e, err := q.ownEntry(o.is, o.Address, signature, mirror.DigestOf([]byte(said.String())))
	return append(own, e), err
}

// askArtifact asks a registry what a reference names.
func (q eprQuestion) askArtifact(ctx context.Context, up Upstream, o ownPackage, own []mirror.Entry, l *listing) ([]mirror.Entry, error) {
	d := o.ref.Digest
	if !o.ref.HasDigest() {
		named, err := up.Resolve(ctx, o.ref)
		if errors.Is(err, mirror.ErrNotFound) {
			l.left = append(l.left, Left{Entry: o.is.String(), Why: "the registry has no " + o.ref.String(), Own: true, Gone: true})
			return own, nil
		}
		if err != nil {
			return nil, fmt.Errorf("own package %s: resolve %s: %w", o.is, o.ref, err)
		}
		d = named.Digest
	}
	at := "oci:" + o.ref.WithDigest(d).String()
	e, err := q.ownEntry(o.is, at, at, d)
	return append(own, e), err
}

// askDrop asks what lies in a folder of the machine.
func (q eprQuestion) askDrop(ctx context.Context, up Upstream, o ownPackage, own []mirror.Entry, l *listing) ([]mirror.Entry, error) {
	drop, err := up.Dropped(ctx, o.Drop)
	if errors.Is(err, mirror.ErrNotFound) {
		return nil, mirror.Problem{Code: "SRC118", Where: o.node.Key("drop").Where(), What: fmt.Sprintf("config.yaml of this site has no drop folder %q", o.Drop),
			Fix: "name it there under packages.drop, or mend the name"}
	}
	if err != nil {
		return nil, fmt.Errorf("drop folder %s: %w", o.Drop, err)
	}
	for _, left := range drop.Left {
		left.Own = true
		l.left = append(l.left, left)
	}
	l.again = sooner(l.again, drop.Again)
	for _, d := range drop.Packages {
		signature := d.Signature
		if signature != "" {
			signature = "drop:" + o.Drop + "/" + signature
		}
		e, err := q.ownEntry(d.Package, "drop:"+o.Drop+"/"+d.File, signature, d.Print)
		if err != nil {
			l.left = append(l.left, Left{Entry: d.Package.String(), Why: "its name cannot be that of a repository", Own: true})
			continue
		}
		own = append(own, e)
	}
	return own, nil
}

// sooner gives the earlier of two times, of which zero is never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// ownEntries gives the packages that the fleet repository itself holds, of a set that is asked for others. Of any other kind
// of source there are none: what is made there is made from an answer.
func ownEntries(set mirror.Set) (own []mirror.Entry) {
	if !set.Packages {
		return nil
	}
	for _, a := range set.Made {
		name := path.Base(a.Image.Repository) + "-" + strings.ReplaceAll(a.Image.Tag, "_", "+")
		own = append(own, mirror.Entry{Name: name, Image: a.Image, Where: set.At("source", "own")})
	}
	return own
}
