package daemon

import (
	"sync"
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

// What arrived while the bytes of a package were compared is not forgotten when the comparison ends, and what is written last
// is what is known last.
func TestKnownPackages_TwoWhoChangeOneAtATimeLoseNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{"desired/policy.yaml": pinnedPolicy})
	s.open()
	k := s.line.packages.known
	key := keyOfPackage(mirror.Reference{Host: "epr.elastic.co", Repository: "nginx", Tag: "1.20.0"}, mirror.PackageAt{Zip: "https://e/nginx.zip"})
	same := mirror.DigestOf([]byte("same"))
	if err := k.set(map[string]knownPackage{key: {Manifest: same, At: s.now}}); err != nil {
		t.Fatal(err)
	}
	var both sync.WaitGroup
	change := func(c knownChange) {
		both.Go(func() {
			if err := k.update(map[string]knownChange{key: c}); err != nil {
				t.Error(err)
			}
		})
	}
	for range 20 {
		change(func(one *knownPackage) bool { one.Stored = "registry/mirror/nginx"; return true })
		change(func(one *knownPackage) bool { one.Zip.Size++; return true })
		change(func(one *knownPackage) bool { one.Manifest = mirror.Digest{}; return false })
	}
	both.Wait()
	for where, from := range map[string]*knownPackages{"memory": k, "state": must(readPackages(s.line.state))(t)} {
		if one, _ := from.get(key); one.Stored == "" || one.Zip.Size != 20 || one.Manifest != same {
			t.Errorf("%s: %+v", where, one)
		}
	}
}

// A package that no set names any more leaves nothing behind but what is known of its bytes.
func TestPackages_WhatIsNamedNoMoreIsForgotten(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{"desired/policy.yaml": pinnedPolicy})
	s.open()
	p := s.line.packages
	image := mirror.Reference{Host: "epr.elastic.co", Repository: "nginx", Tag: "1.20.0"}
	at := mirror.PackageAt{Package: mirror.Package{Name: "nginx", Version: "1.20.0"}, Zip: "https://e/nginx.zip"}
	key := keyOfPackage(image, at)
	named := func(set string) mirror.Set {
		return mirror.Set{Name: set, Stages: mirror.Stages{"snapshot"}, Packages: true, Entries: []mirror.Entry{{Name: "nginx-1.20.0", Image: image, Package: at}}}
	}
	for _, set := range []string{"one", "two", "three"} {
		p.of(named(set), mirror.Record{}, nil, s.now)
	}
	p.mu.Lock()
	p.failed[key], p.again[key] = packageFailure{tries: 1}, fetchedAgain{times: 1}
	p.mu.Unlock()
	left := func() int { return len(p.failed) + len(p.again) + len(p.stands) }
	empty := func(set string) mirror.Set {
		return mirror.Set{Name: set, Stages: mirror.Stages{"snapshot"}, Packages: true}
	}
	p.of(empty("one"), mirror.Record{}, nil, s.now)
	p.leave("two")
	if left() != 2 {
		t.Errorf("a set still names it, and %d of 2 are left", left())
	}
	if p.of(empty("three"), mirror.Record{}, nil, s.now); left() != 0 {
		t.Errorf("%d are left of what nobody names", left())
	}
}
