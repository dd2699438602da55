package sources

import (
	"bytes"
	"errors"
	"path"
	"strings"

	"github.com/poundlock/poundlock/internal/elastic"
	"github.com/poundlock/poundlock/internal/mirror"
)

// A site's own packages that lie in the fleet repository: an item of own: names a folder or a zip relative to desired/, such
// as packages/acme or packages/acme-1.0.0.zip. A signature may lie beside it, under the same name with .sig behind it. They
// are packed at once, here as in every other place that reads the commit, so that their digest is that of the commit.

// packOwn gives the entry of a package in the fleet repository, and its artifact below a place that is no upstream's. name
// is relative to desired/; where names it.
func packOwn(files mirror.Files, name string, where mirror.Position, below string) (mirror.Entry, mirror.Artifact, mirror.Problems) {
	var ps mirror.Problems
	file := path.Join("desired", name)
	if path.IsAbs(name) || strings.Contains(name, `\`) || !strings.HasPrefix(file, "desired/") {
		ps.Add("SRC005", where, "name a folder or a .zip below desired/, relative to it", "source.own: %q lies outside desired/", name)
		return mirror.Entry{}, mirror.Artifact{}, ps
	}
	zip, facts, ps := ownZip(files, file, name, where)
	if len(ps) > 0 {
		return mirror.Entry{}, mirror.Artifact{}, ps
	}
	signature, ps := ownSignature(files, file+".sig")
	if len(ps) > 0 {
		return mirror.Entry{}, mirror.Artifact{}, ps
	}
	at, err := packageImage(below, facts.Package)
	if err != nil {
		ps.Add("PKG013", where, "begin and end it with a letter or a digit, and write one _ at a time", "package %s: no repository of a registry can have its name", facts.Name)
		return mirror.Entry{}, mirror.Artifact{}, ps
	}
	made := elastic.PackHere(at, zip, signature, facts)
	return mirror.Entry{Name: facts.String(), Image: made.Image, Where: where}, made, nil
}

// ownZip gives the zip at a path, or that of the folder there, and its facts.
func ownZip(files mirror.Files, file, name string, where mirror.Position) (zip []byte, f elastic.Facts, ps mirror.Problems) {
	zip, packed := files[file]
	if !packed {
		if len(files.Under(file)) == 0 {
			_, _, ps := open(files, name, where) // tells what name is like it
			return nil, f, ps
		}
		if zip, _, ps = elastic.Build(files, file); len(ps) > 0 {
			return nil, f, ps
		}
	}
	f, err := elastic.Check(bytes.NewReader(zip), int64(len(zip)), mirror.Package{})
	if err != nil {
		var wrong mirror.Problem
		if !errors.As(err, &wrong) {
			wrong = mirror.Problem{Code: "PKG001", What: err.Error()}
		}
		wrong.Where = mirror.Position{File: file}
		return nil, f, append(ps, wrong)
	}
	return zip, f, nil
}

// ownSignature gives the signature at a path; nil where there is none. Whose it is, and of what, is policy's matter.
func ownSignature(files mirror.Files, file string) (signature []byte, ps mirror.Problems) {
	signature, there := files[file]
	switch {
	case !there:
		return nil, nil
	case len(signature) == 0 || len(signature) > elastic.MaxSignature:
		ps.Add("PKG012", mirror.Position{File: file}, "write it with gpg --armor --detach-sign", "a signature of %d bytes is none: it has between 1 and %d", len(signature), elastic.MaxSignature)
		return nil, ps
	}
	return signature, nil
}
