package daemon

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/epr"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

func TestChannelsOf_ALowerStageHoldsTheHigherOnesToo(t *testing.T) {
	image := func(name, seed string) mirror.Reference {
		return mirror.Reference{Host: "epr.elastic.co", Repository: name, Tag: "1.0.0", Digest: mirror.DigestOf([]byte(seed))}
	}
	line := func(name, seed string) mirror.Line { return mirror.Line{Image: image(name, seed), Proven: true} }
	claim := line("claimed", "claimed")
	claim.Proven = false
	set := mirror.Set{Name: "elastic", Packages: true, Stages: mirror.DefaultStages, Layout: mirror.LayoutTag, Frozen: []mirror.FrozenChannel{{Name: "9.3.0", From: "production", Lines: []mirror.Wanted{
		{Entry: "high-1.0.0", Image: image("high", "high")}, {Entry: "mid-1.0.0", Image: image("mid", "before")}, {Entry: "low-1.0.0", Image: image("low", "never")}}}}}
	mid := line("mid", "of staging")
	mid.Was = []mirror.Reference{image("mid", "before")}
	record := mirror.Record{Stages: map[mirror.Stage]mirror.Standing{
		"snapshot":   {"low-1.0.0": line("low", "low"), "mid-1.0.0": line("mid", "of snapshot"), "claimed-1.0.0": claim, "library/nginx": line("library/nginx", "image")},
		"staging":    {"mid-1.0.0": mid},
		"production": {"high-1.0.0": line("high", "high")},
	}}
	got := map[string]string{}
	for _, c := range channelsOf(mirror.Local{Host: localName, Prefix: "mirror"}, set, record) {
		var words []string
		for _, s := range c.all {
			words = append(words, s.Package.Name+"@"+s.Stage)
			if s.Package.Name == "mid" && s.Stage == "staging" && s.Local.Digest != mid.Image.Digest {
				t.Errorf("%s: mid is %s, want the bytes of staging", c.Name, s.Local)
			}
		}
		for _, s := range c.unproven {
			words = append(words, s.Package.Name+"?")
		}
		slices.Sort(words)
		got[c.Channel] = strings.Join(words, " ")
	}
	for channel, want := range map[string]string{"production": "high@production", "staging": "high@production mid@staging",
		"snapshot": "claimed? high@production low@snapshot mid@staging", "9.3.0": "high@production low? mid@production"} {
		if got[channel] != want {
			t.Errorf("%s: %q, want %q", channel, got[channel], want)
		}
	}
}

// kept is a shop whose record a test writes, with a set of packages.
type kept struct {
	*shop
	set  mirror.Set
	made map[string]mirror.Reference // upstream references by entry
}

func newKept(t *testing.T) *kept {
	t.Helper()
	k := &kept{shop: newShop(t), made: map[string]mirror.Reference{},
		set: mirror.Set{Name: "elastic", Packages: true, Stages: mirror.DefaultStages, Layout: mirror.LayoutTag}}
	k.sync()
	f := *k.line.fleet.Load()
	f.desired.Sets = append(slices.Clone(f.desired.Sets), k.set)
	k.line.fleet.Store(&f)
	return k
}

// records makes packages stand at a stage, judged by us, and nothing else at any.
func (k *kept) records(stages map[mirror.Stage][]testenv.EPRPackage) {
	k.t.Helper()
	r := mirror.Record{Stages: map[mirror.Stage]mirror.Standing{}}
	for stage, all := range stages {
		r.Stages[stage] = mirror.Standing{}
		for _, p := range all {
			s := k.store(p)
			image := mirror.Reference{Host: "epr.elastic.co", Repository: p.Name, Tag: p.Version, Digest: s.Local.Digest}
			r.Stages[stage][p.ID()] = mirror.Line{Image: image, Since: k.now, Proven: true}
		}
	}
	if err := k.line.state.SetLines("elastic", r); err != nil {
		k.t.Fatal(err)
	}
}

func (k *kept) write(audit bool) error {
	return k.line.writeChannels(k.t.Context(), map[string]bool{"elastic": audit})
}

func (k *kept) mustWrite(audit bool) {
	k.t.Helper()
	if err := k.write(audit); err != nil {
		k.t.Fatal(err)
	}
}

// holds gives what a fresh server finds in a channel.
func (k *kept) holds(channel string) string {
	k.t.Helper()
	o := k.newOutlet()
	o.refresh(k.t.Context())
	return searched(k.t, o, "/epr/elastic/"+channel+"/search?all=true")
}

func TestChannels_AreWrittenOfTheRecord(t *testing.T) {
	k := newKept(t)
	nginx, newer, system := testenv.EPRPackage{Name: "nginx", Version: "1.20.0"}, testenv.EPRPackage{Name: "nginx", Version: "1.21.0"}, testenv.EPRPackage{Name: "system", Version: "2.0.0"}
	k.records(map[mirror.Stage][]testenv.EPRPackage{"snapshot": {newer, system}, "production": {nginx}})
	k.mustWrite(false)
	for channel, want := range map[string]string{"snapshot": "nginx-1.20.0 nginx-1.21.0 system-2.0.0", "staging": "nginx-1.20.0", "production": "nginx-1.20.0"} {
		if got := k.holds(channel); got != want {
			t.Errorf("%s: %s, want %s", channel, got, want)
		}
	}
	k.local.Proxy().Reset()
	k.mustWrite(false)
	if c := k.local.Proxy().Counts(); len(c.Requests) > 0 {
		t.Errorf("nothing changed and %v was asked", c.Requests)
	}
	k.records(map[mirror.Stage][]testenv.EPRPackage{"snapshot": {newer, system}, "production": {nginx, newer}})
	k.mustWrite(false)
	if got := k.holds("production"); got != "nginx-1.20.0 nginx-1.21.0" {
		t.Errorf("after a promotion: %s", got)
	}
	k.whole()
}

func TestChannels_AreRestored(t *testing.T) {
	at := inProduction.In(localName, "mirror")
	for _, tt := range []struct {
		name  string
		harm  func(k *kept)
		audit bool
	}{
		{"the process began anew", func(k *kept) { k.line.channels = newKeeper() }, false},
		{"the state was lost", func(k *kept) {
			k.line.channels = newKeeper()
			if err := k.line.state.put(bucketChannels, map[string]string{inProduction.String(): ""}); err != nil {
				t.Fatal(err)
			}
		}, false},
		{"somebody moved the tag", func(k *kept) {
			other := must(epr.WriteIndex(t.Context(), k.line.registry, at, inProduction, nil, nil, k.line.itemOf))(t)
			k.shop.mustWrite(t, other.Artifact, at)
		}, true},
		{"somebody deleted the index", func(k *kept) {
			tagged := must(k.line.registry.Resolve(t.Context(), at))(t)
			if err := k.line.registry.Delete(t.Context(), at.AtDigest(tagged.Digest)); err != nil {
				t.Fatal(err)
			}
		}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := newKept(t)
			k.records(map[mirror.Stage][]testenv.EPRPackage{"production": {{Name: "nginx", Version: "1.20.0"}, {Name: "system", Version: "2.0.0"}}})
			k.mustWrite(false)
			before := must(k.line.registry.Resolve(t.Context(), at))(t)
			tt.harm(k)
			k.mustWrite(tt.audit)
			if after := must(k.line.registry.Resolve(t.Context(), at))(t); after.Digest != before.Digest {
				t.Errorf("the index is %s, was %s", after.Digest, before.Digest)
			}
			if got := k.holds("production"); got != "nginx-1.20.0 system-2.0.0" {
				t.Errorf("got %s", got)
			}
		})
	}
}

func TestChannels_ACrashAnywhereIsMadeGood(t *testing.T) {
	k := newKept(t)
	k.records(map[mirror.Stage][]testenv.EPRPackage{"production": {{Name: "nginx", Version: "1.20.0"}}})
	k.mustWrite(false)
	k.records(map[mirror.Stage][]testenv.EPRPackage{"production": {{Name: "nginx", Version: "1.20.0"}, {Name: "nginx", Version: "1.21.0"}}})
	for n := 1; ; n++ {
		// The registry goes away for good before the n-th change, as if the process had died there.
		seen := 0
		k.local.Proxy().Break(func(r *http.Request) *testenv.Fault {
			if r.Method == http.MethodGet || r.Method == http.MethodHead {
				return nil
			}
			if seen++; seen >= n {
				return &testenv.Fault{Status: http.StatusForbidden}
			}
			return nil
		})
		err := k.write(false)
		k.local.Proxy().Break(nil)
		want := "nginx-1.20.0"
		if err == nil {
			want = "nginx-1.20.0 nginx-1.21.0"
		}
		for _, channel := range []string{"snapshot", "production"} {
			if got := k.holds(channel); err == nil && got != want || got != "nginx-1.20.0" && got != "nginx-1.20.0 nginx-1.21.0" {
				t.Fatalf("broken off before change %d: %s holds %s", n, channel, got)
			}
		}
		if err == nil {
			return
		}
		if n > 100 {
			t.Fatal("it never ends", err)
		}
	}
}

func TestChannels_ALostPackageStopsNothing(t *testing.T) {
	k := newKept(t)
	k.records(map[mirror.Stage][]testenv.EPRPackage{"production": {{Name: "nginx", Version: "1.20.0"}, {Name: "system", Version: "2.0.0"}}})
	record := must(k.line.state.Record("elastic"))(t)
	lost := record.Stages["production"]["system-2.0.0"].Image
	if err := k.line.registry.Delete(t.Context(), k.line.local.Repository(k.set, "production", lost).AtDigest(lost.Digest)); err != nil {
		t.Fatal(err)
	}
	k.mustWrite(false)
	if got := k.holds("production"); got != "nginx-1.20.0" {
		t.Errorf("got %s", got)
	}
	k.store(testenv.EPRPackage{Name: "system", Version: "2.0.0"}) // the line copies it again
	k.mustWrite(false)
	if got := k.holds("production"); got != "nginx-1.20.0 system-2.0.0" {
		t.Errorf("after it came back: %s", got)
	}
}

func TestChannels_WaitForARegistryThatIsAway(t *testing.T) {
	k := newKept(t)
	k.records(map[mirror.Stage][]testenv.EPRPackage{"production": {{Name: "nginx", Version: "1.20.0"}}})
	k.local.Proxy().Break(testenv.Always(testenv.OfKind(testenv.BlobGet), testenv.Fault{Status: http.StatusForbidden}))
	if err := k.write(false); err == nil {
		t.Error("no error")
	}
	k.local.Proxy().Break(nil)
	if _, err := k.line.registry.Resolve(t.Context(), inProduction.In(localName, "mirror")); !errors.Is(err, mirror.ErrNotFound) {
		t.Errorf("half a channel was written: %v", err)
	}
	k.mustWrite(false)
	if got := k.holds("production"); got != "nginx-1.20.0" {
		t.Errorf("got %s", got)
	}
}

// Of two daemons the one that heard nothing of what people wrote must not take channels away, or bring them back.
func TestChannels_AnOldFleetLeavesTheCatalogAlone(t *testing.T) {
	k := newKept(t)
	k.records(map[mirror.Stage][]testenv.EPRPackage{"production": {{Name: "nginx", Version: "1.20.0"}}})
	k.mustWrite(false)
	at, old := epr.CatalogIn(localName, "mirror"), k.line.fleet.Load()
	had := must(k.line.registry.Resolve(t.Context(), at))(t)
	k.commit("the set of packages goes", map[string]string{"desired/policy.yaml": pinnedPolicy + "# newer\n"})
	k.sync()
	k.line.channels.wants("elastic", true)
	if err := k.line.settleChannels(t.Context()); err != nil {
		t.Fatal(err)
	}
	newer := must(k.line.registry.Resolve(t.Context(), at))(t)
	if newer.Digest == had.Digest {
		t.Fatal("the newer fleet has the same channels")
	}
	k.line.fleet.Store(old)
	if err := k.write(true); err != nil {
		t.Error(err)
	}
	if after := must(k.line.registry.Resolve(t.Context(), at))(t); after.Digest != newer.Digest {
		t.Errorf("the catalog is %s again, want %s", after.Digest, newer.Digest)
	}
}
