package mirror

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// The media types of an Elastic package as it lies in a registry: one manifest with the package's facts as config and the
// bytes of zip and signature as layers, untouched.
const (
	PackageArtifact  = "application/vnd.poundlock.elastic.package.v1"
	PackageFacts     = "application/vnd.poundlock.elastic.package.facts.v1+json"
	PackageZip       = "application/zip"
	PackageSignature = "application/pgp-signature"
)

// Package names one version of an Elastic package. Two versions that differ only in what follows + are two packages.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

var packageName = regexp.MustCompile(`^[a-z0-9_]+$`)

// ParsePackage reads name-version, such as nginx-1.20.0 or foo-1.0.0-beta1: a name has no hyphen, so it ends at the
// first one. The version is strict semantic versioning; v1.0.0 and 1.0 are none.
func ParsePackage(text string) (Package, error) {
	name, version, ok := strings.Cut(text, "-")
	if !ok {
		return Package{}, fmt.Errorf("%q names no package: want name-version, such as nginx-1.20.0", text)
	}
	return NewPackage(name, version)
}

// NewPackage checks name and version.
func NewPackage(name, version string) (Package, error) {
	if len(name) > 128 || !packageName.MatchString(name) {
		return Package{}, fmt.Errorf("%q is no name of a package: want a-z, 0-9 and _", name)
	}
	if _, err := semver.StrictNewVersion(version); err != nil || len(version) > 120 {
		return Package{}, fmt.Errorf("%q is no version of a package: want MAJOR.MINOR.PATCH, and what semantic versioning allows behind it", version)
	}
	return Package{name, version}, nil
}

// String gives name-version: the name of the entry, and of the file without its ending.
func (p Package) String() string { return p.Name + "-" + p.Version }

// Tag gives the version as a tag, which may hold no plus sign; _ stands for it, as with Helm charts.
func (p Package) Tag() string { return strings.ReplaceAll(p.Version, "+", "_") }

// Compare orders packages by name, then by version as semantic versioning does; of two that differ only behind + the lesser
// text comes first.
func (p Package) Compare(q Package) int {
	if c := strings.Compare(p.Name, q.Name); c != 0 {
		return c
	}
	one, err1 := semver.StrictNewVersion(p.Version)
	two, err2 := semver.StrictNewVersion(q.Version)
	if err1 == nil && err2 == nil {
		if c := one.Compare(two); c != 0 {
			return c
		}
	}
	return strings.Compare(p.Version, q.Version)
}

// PackageAt is where an upstream has the bytes of a package. The zero value is of an entry that is no package, or of one
// whose artifact lies in a registry already.
type PackageAt struct {
	Package
	Zip       string `json:"zip"`                 // address of the zip: https://..., or drop:<name>/<file> for a folder of config.yaml
	Signature string `json:"signature,omitempty"` // address of the detached signature; "" where there is none
	// Print identifies what upstream says of the package. Another one says nothing of the bytes, but they are compared again.
	Print Digest `json:"print,omitzero"`
}

// IsZero says whether nothing is to be fetched.
func (p PackageAt) IsZero() bool { return p == PackageAt{} }
