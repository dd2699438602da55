package sources

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

const ownManifest = "format_version: 3.0.0\nname: acme\ntitle: Acme\nversion: 1.2.0+site\ndescription: What acme logs.\ntype: integration\nowner: {github: acme/team, type: community}\n"

// ownSource is a source with a folder of its own beside what upstream has.
func ownSource(t *testing.T, more string) (mirror.Set, mirror.Files) {
	t.Helper()
	return askingEPR(t, more+"own: [{path: packages/acme}]", "packages/acme/manifest.yml", ownManifest, "packages/acme/docs/README.md", "# Acme\n")
}

func TestEPR_OwnPackagesNeedNoUpstream(t *testing.T) {
	alone, _ := ownSource(t, "")
	if alone.Asked || len(alone.Entries) != 1 || !alone.Entries[0].Pinned() || len(alone.Made) != 1 {
		t.Fatalf("got asked %v, %+v", alone.Asked, alone.Entries)
	}
	set, files := ownSource(t, eprAt+", versions: all, ")
	if !set.Asked || len(set.Entries) != 1 || set.Entries[0].Image != alone.Entries[0].Image || len(set.Made) != 1 {
		t.Fatalf("before upstream is asked: %+v", set.Entries)
	}
	l, err := Ask(t.Context(), set, files, &packageHub{body: itemsOf("nginx-1.0.0", "acme-9.0.0", "acme-1.2.0+site")}, &remembers{now: noon}, noon)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // taken again and again
		if err := Take(&set, l).Err(); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range set.Entries {
			got = append(got, fmt.Sprint(e.Name, " ", e.Image.Host, " ", e.Pinned()))
		}
		if want := "acme-1.2.0+site packages.invalid true,acme-9.0.0 epr.example.org false,nginx-1.0.0 epr.example.org false"; strings.Join(got, ",") != want || len(set.Made) != 1 {
			t.Errorf("got %v, want %s", got, want)
		}
	}
	Forget(&set)
	Stay(&set, mirror.Record{Stages: map[mirror.Stage]mirror.Standing{"snapshot": {"nginx-1.0.0": {Image: ref(t, "epr.example.org/registry/nginx:1.0.0@"+oldDigest.String())}}}})
	if len(set.Entries) != 2 || !set.Entries[0].Pinned() || set.Entries[1].Pinned() || set.Entries[1].Image.Digest != oldDigest || set.Answer != (mirror.Digest{}) {
		t.Errorf("while nobody answers: %+v", set.Entries)
	}
}

func TestEPR_AsksForOwnPackages(t *testing.T) {
	set, files := askingEPR(t, `own: [{address: "https://files.example.org/acme-1.0.0.zip"}, {address: "https://files.example.org/latest", signature: "https://files.example.org/latest.asc", package: tool-2.0.0},`+
		`{drop: team}, {oci: "ghcr.io/own/acme:1.1.0_site"}, {oci: "ghcr.io/own/x@`+oldDigest.String()+`", package: x-1.0.0}, {address: "https://files.example.org/gone-1.0.0.zip"}, {oci: "ghcr.io/own/gone:1.1.0"}]`)
	files1 := "https://files.example.org/"
	h := &packageHub{heads: map[string]Version{files1 + "acme-1.0.0.zip": {ETag: `"a"`}, files1 + "latest": {Size: 7}, files1 + "latest.asc": {Size: 3}},
		hub: hub{gone: []string{"1.1.0"}}, drop: map[string]Drop{"team": {Again: noon.Add(time.Minute), Left: []Left{{Entry: "half.zip", Why: "it is no zip"}},
			Packages: []Dropped{{Package: mirror.Package{Name: "acme", Version: "3.0.0"}, File: "a.zip", Print: newDigest}, {Package: mirror.Package{Name: "tool", Version: "3.0.0"}, File: "b.zip", Signature: "b.zip.sig", Print: oldDigest}}}}}
	l, err := Ask(t.Context(), set, files, h, &remembers{now: noon}, noon)
	if err != nil || len(h.since) > 0 || !l.Again.Equal(noon.Add(time.Minute)) {
		t.Fatalf("got %+v, %v: %v", l, h.since, err)
	}
	at := h.content("1.1.0_site").Descriptor.Digest.String()
	want := map[string]string{
		"acme-1.0.0":      files1 + "acme-1.0.0.zip ",
		"acme-1.1.0+site": "oci:ghcr.io/own/acme:1.1.0_site@" + at + " oci:ghcr.io/own/acme:1.1.0_site@" + at,
		"acme-3.0.0":      "drop:team/a.zip ",
		"tool-2.0.0":      files1 + "latest " + files1 + "latest.asc",
		"tool-3.0.0":      "drop:team/b.zip drop:team/b.zip.sig",
		"x-1.0.0":         "oci:ghcr.io/own/x@" + oldDigest.String() + " oci:ghcr.io/own/x@" + oldDigest.String(),
	}
	got := map[string]string{}
	for _, e := range l.Entries {
		got[e.Name] = e.Package.Zip + " " + e.Package.Signature
		if e.Image.Host != "packages.invalid" || e.Package.Print == (mirror.Digest{}) {
			t.Errorf("got %+v", e)
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	if left := leftOf(l); left != "gone-1.0.0: there is no such file at its address\ngone-1.1.0: the registry has no ghcr.io/own/gone:1.1.0\nhalf.zip: it is no zip" {
		t.Errorf("left %s", left)
	}
	before := l.Entries[0].Package.Print
	h.heads[files1+"acme-1.0.0.zip"] = Version{ETag: `"b"`}
	if l, err = Ask(t.Context(), set, files, h, &remembers{now: noon}, noon); err != nil || l.Entries[0].Package.Print == before {
		t.Errorf("other bytes at the same address are not seen: %v", err)
	}
	h.err = errors.New("no route")
	if _, err = Ask(t.Context(), set, files, h, &remembers{now: noon}, noon); err == nil {
		t.Error("what cannot be asked for is taken to be as it was")
	}
}

func TestEPR_OwnPackagesInSeveralPlaces(t *testing.T) {
	set, files := askingEPR(t, eprAt+", versions: all, own: [{drop: team}, {oci: 'ghcr.io/own/acme:1.0.0'}]")
	h := &packageHub{body: itemsOf("acme-1.0.0", "acme-1.1.0", "nginx-1.0.0"), drop: map[string]Drop{"team": {Packages: []Dropped{
		{Package: mirror.Package{Name: "acme", Version: "1.0.0"}, File: "a.zip", Print: newDigest}, {Package: mirror.Package{Name: "nginx", Version: "1.0.0"}, File: "n.zip", Print: newDigest}}}}}
	l, err := Ask(t.Context(), set, files, h, &remembers{now: noon}, noon)
	if err != nil || idsOf(l) != "acme-1.1.0 nginx-1.0.0" || l.Entries[1].Image.Host != "packages.invalid" || leftOf(l) != "acme-1.0.0: the site has it in several places: keep one" {
		t.Errorf("got %s, left %s: %v", idsOf(l), leftOf(l), err)
	}
	set, files = askingEPR(t, "own: [{drop: nowhere}]")
	if _, err := Ask(t.Context(), set, files, h, &remembers{now: noon}, noon); true {
		if p := (mirror.Problem{}); !errors.As(err, &p) || p.Code != "SRC118" || p.Where.String() != "desired/elastic.yaml:2:34" {
			t.Errorf("got %v", err)
		}
	}
}

// An answer that names all others is probed as for images: by the files that it names.
func TestReplaces_Packages(t *testing.T) {
	set, _ := askingEPR(t, eprAt)
	answer := func(name string) (l Listing) {
		l.Question = set.Question
		for i := range 5 {
			id := fmt.Sprintf("%s-1.%d.0", name, i)
			p, _ := mirror.ParsePackage(id)
			l.Entries = append(l.Entries, Listed{id, ref(t, "epr.example.org/"+name+":"+p.Version), mirror.PackageAt{Package: p, Zip: "https://epr.example.org/" + id + ".zip"}})
		}
		return l
	}
	h := &packageHub{hub: hub{err: errors.New("a package is no image")}, heads: map[string]Version{}}
	h.hub.err = nil
	if err := Replaces(t.Context(), set, answer("a"), answer("b"), h); err == nil {
		t.Error("what upstream does not hold took the place of what stood")
	}
	for i := range 5 {
		h.heads[fmt.Sprintf("https://epr.example.org/b-1.%d.0.zip", i)] = Version{}
	}
	if err := Replaces(t.Context(), set, answer("a"), answer("b"), h); err != nil {
		t.Error(err)
	}
}
