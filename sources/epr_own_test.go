package sources

import (
	"slices"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/elastic"
	"github.com/poundlock/poundlock/internal/mirror"
)

const ownSet = "version: 1\nsource:\n  kind: epr\n  own:\n    - path: "

// acmeFolder is a package as it lies unpacked in a fleet repository.
func acmeFolder(more mirror.Files) mirror.Files {
	files := mirror.Files{
		"desired/packages/acme/manifest.yml":   []byte("format_version: 3.0.0\nname: acme\nversion: 1.0.0+site.1\n"),
		"desired/packages/acme/docs/README.md": []byte("# Acme\n"),
	}
	for name, body := range more {
		files[name] = body
	}
	return files
}

func readOwnSet(files mirror.Files, item string) (mirror.Set, mirror.Problems) {
	files["desired/elastic.yaml"] = []byte(ownSet + item + "\n")
	desired, ps := mirror.ParseDesired("", files)
	if len(ps) > 0 {
		return mirror.Set{}, ps
	}
	set := desired.Sets[0]
	return set, Read(&set, files)
}

// A folder and the zip that is built of it are one package, of the same digest.
func TestOwnPackages_AFolderAndItsZipAreTheSame(t *testing.T) {
	zip, p, ps := elastic.Build(acmeFolder(nil), "desired/packages/acme")
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	signature := []byte("-----BEGIN PGP SIGNATURE-----\n")
	var digests []mirror.Digest
	for item, files := range map[string]mirror.Files{
		"packages/acme":     acmeFolder(mirror.Files{"desired/packages/acme.sig": signature}),
		"packages/acme.zip": {"desired/packages/acme.zip": zip, "desired/packages/acme.zip.sig": signature},
	} {
		set, ps := readOwnSet(files, item)
		if len(ps) > 0 {
			t.Fatal(ps)
		}
		if !set.Packages || len(set.Entries) != 1 || len(set.Made) != 1 {
			t.Fatalf("%s: %d entries, %d made", item, len(set.Entries), len(set.Made))
		}
		e, made := set.Entries[0], set.Made[0]
		if e.Name != p.String() || e.Image != made.Image || !e.Pinned() || e.Where.Line != 5 {
			t.Errorf("%s: entry %+v", item, e)
		}
		if want := "packages.invalid/acme:1.0.0_site.1@"; !strings.HasPrefix(e.Image.String(), want) {
			t.Errorf("%s: image %s", item, e.Image)
		}
		layers, err := elastic.Open(made.Manifest)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range []mirror.Descriptor{layers.Facts, layers.Zip, layers.Signature} {
			if mirror.DigestOf(made.Blobs[d.Digest]) != d.Digest || int64(len(made.Blobs[d.Digest])) != d.Size {
				t.Errorf("%s: blob %s is not among what was made", item, d.Digest)
			}
		}
		digests = append(digests, e.Image.Digest)
	}
	if digests[0] != digests[1] {
		t.Error("the folder gives another digest than its zip")
	}
	bare, ps := readOwnSet(acmeFolder(nil), "packages/acme")
	if len(ps) > 0 || bare.Entries[0].Image.Digest == digests[0] {
		t.Errorf("without a signature: %v", ps)
	}
}

func TestOwnPackages_TellWhatIsWrong(t *testing.T) {
	signature := func(n int) mirror.Files {
		return acmeFolder(mirror.Files{"desired/packages/acme.sig": make([]byte, n)})
	}
	for _, test := range []struct {
		name  string
		item  string
		files mirror.Files
		want  []string // code and place
	}{
		{"outside", "../acme", acmeFolder(nil), []string{"SRC005 desired/elastic.yaml:5:13"}},
		{"not there", "packages/akme", acmeFolder(nil), []string{"SRC005 desired/elastic.yaml:5:13"}},
		{"no zip", "packages/a.zip", mirror.Files{"desired/packages/a.zip": []byte("<html>")}, []string{"PKG001 desired/packages/a.zip"}},
		{"two mistakes", "packages/acme", mirror.Files{"desired/packages/acme/manifest.yml": []byte("name: acme\n")},
			[]string{"PKG007 desired/packages/acme/manifest.yml", "PKG009 desired/packages/acme/docs/README.md"}},
		{"an empty signature", "packages/acme", signature(0), []string{"PKG012 desired/packages/acme.sig"}},
		{"a large signature", "packages/acme", signature(elastic.MaxSignature + 1), []string{"PKG012 desired/packages/acme.sig"}},
		{"a name that is none of a repository", "packages/acme", acmeFolder(mirror.Files{"desired/packages/acme/manifest.yml": []byte("name: acme_\nversion: 1.0.0\n")}),
			[]string{"PKG013 desired/elastic.yaml:5:13"}},
	} {
		_, ps := readOwnSet(test.files, test.item)
		var have []string
		for _, p := range ps {
			have = append(have, p.Code+" "+p.Where.String())
		}
		slices.Sort(have)
		if !slices.Equal(have, test.want) {
			t.Errorf("%s: have %q, want %q", test.name, have, test.want)
		}
	}
}

// A name below which own packages are known is nobody else's.
func TestMadeApart_HoldsForPackagesToo(t *testing.T) {
	files := acmeFolder(mirror.Files{
		"desired/elastic.yaml": []byte("version: 1\nsource: {kind: epr, own: [{path: packages/acme}], packagesAt: files.example.org/p}\n"),
		"desired/tools.yaml":   []byte("version: 1\nsource: {kind: list, images: ['files.example.org/p/tool:1']}\n"),
	})
	desired, ps := mirror.ParseDesired("", files)
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	for i := range desired.Sets {
		if ps := Read(&desired.Sets[i], files); len(ps) > 0 {
			t.Fatal(ps)
		}
	}
	ps = MadeApart(desired.Sets)
	if len(ps) != 1 || ps[0].Code != "SRC073" || !strings.Contains(ps[0].What, "set tools") || !strings.Contains(ps[0].Fix, "packages.invalid") {
		t.Errorf("have %v", ps)
	}
	if ps := MadeApart(desired.Sets[:1]); len(ps) > 0 {
		t.Errorf("its own packages: %v", ps)
	}
}

// Packages of two package registries never have the same name, and own ones none of a package registry.
func TestMadeApart_OfPackageRegistries(t *testing.T) {
	tests := []struct{ name, one, other, code, says string }{
		{"the same address twice", "url: https://epr.example.org/a", "url: https://epr.example.org/a/", "", ""},
		{"other hosts", "url: https://epr.example.org", "url: https://epr2.example.org", "", ""},
		{"other paths", "url: https://epr.example.org/a", "url: https://epr.example.org/b", "", ""},
		{"http and https", "url: https://epr.example.org", "url: http://epr.example.org", "SRC119", "http://epr.example.org are known as epr.example.org/…"},
		{"paths that become one", "url: https://epr.example.org/a_b", "url: https://epr.example.org/a-b", "SRC119", "set elastic"},
		{"letters that become one", "url: https://epr.example.org/A", "url: https://epr.example.org/a", "SRC119", "set elastic"},
		{"own packages at another set's upstream", "own: [{path: packages/acme}], packagesAt: epr.example.org/team", "url: https://epr.example.org", "SRC073", "set other takes packages"},
		{"and below its path", "own: [{path: packages/acme}], packagesAt: epr.example.org/a", "url: https://epr.example.org/a", "SRC073", "set other takes packages"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			files := acmeFolder(mirror.Files{
				"desired/elastic.yaml": []byte("version: 1\nsource: {kind: epr, " + tt.one + "}\n"),
				"desired/other.yaml":   []byte("version: 1\nsource: {kind: epr, " + tt.other + "}\n"),
			})
			desired, ps := mirror.ParseDesired("", files)
			for i := range desired.Sets {
				ps = append(ps, Read(&desired.Sets[i], files)...)
			}
			if len(ps) > 0 {
				t.Fatal(ps)
			}
			ps = MadeApart(desired.Sets)
			if tt.code == "" && len(ps) > 0 || tt.code != "" && (len(ps) != 1 || ps[0].Code != tt.code || ps[0].Where.Line != 2 || !strings.Contains(ps[0].What, tt.says)) {
				t.Errorf("got %v", ps)
			}
		})
	}
}
