package daemon

import (
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

// The same bytes at two addresses stay known when one of these gets others.
func TestKnownPackages_OneOfTwoAddressesChanges(t *testing.T) {
	k := &knownPackages{all: map[string]knownPackage{}, by: map[contentKey]string{}}
	image := mirror.Reference{Host: "epr.elastic.co", Repository: "nginx", Tag: "1.20.0"}
	same, other := mirror.DigestOf([]byte("same")), mirror.DigestOf([]byte("other"))
	old, now := keyOfPackage(image, mirror.PackageAt{Zip: "https://old/nginx.zip"}), keyOfPackage(image, mirror.PackageAt{Zip: "https://new/nginx.zip"})
	k.remember(map[string]knownPackage{old: {Manifest: same}})
	k.remember(map[string]knownPackage{now: {Manifest: same}})
	k.remember(map[string]knownPackage{old: {Manifest: other}})
	if key, _, ok := k.content(image, same); !ok || key != now {
		t.Errorf("the bytes of %s are forgotten: %q", now, key)
	}
}
