package policy

import (
	"path"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

// fits says whether a name inside the proof satisfies the rule. A bundle without a name counts where the
// repository is asked for (cosign writes none), not where the exact tag is. A legacy payload always has its
// one name, and an empty one fits nothing. What is signed inside of a package is its own name and version, so both must
// fit: the signature of an older version is not one of this.
func (r rule) fits(p proof, image mirror.Reference) bool {
	if p.OfPackage() {
		return r.Reference == nameAny || slices.Contains(p.Names, packageOf(image))
	}
	if r.Reference == nameAny || r.Reference != nameExact && len(p.Names) == 0 {
		return true
	}
	want := image.Name()
	if r.Reference == nameRemap {
		want = r.Remap.name(want)
	}
	return slices.ContainsFunc(p.Names, func(name string) bool {
		claimed, err := mirror.ParseReference(name)
		if err != nil || claimed.Name() != want || (claimed.HasDigest() && claimed.Digest != image.Digest) {
			return false
		}
		return r.Reference != nameExact || claimed.Tag == image.Tag
	})
}

// packageOf gives the name-version of the package that lies under a reference. A tag has _ for +, which no version has.
func packageOf(image mirror.Reference) string {
	return path.Base(image.Repository) + "-" + strings.ReplaceAll(image.Tag, "_", "+")
}

// name gives the repository under whose name an image is signed. A name that does not begin with From is its own;
// one begins with it only up to the end of a path element.
func (m remap) name(image string) string {
	from, to := strings.TrimSuffix(m.From, "/"), strings.TrimSuffix(m.To, "/")
	rest, ok := strings.CutPrefix(image, from)
	if !ok || rest != "" && rest[0] != '/' {
		return image
	}
	return to + rest
}
