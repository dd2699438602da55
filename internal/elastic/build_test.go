package elastic

import (
	"archive/zip"
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

func folderOf(more mirror.Files) mirror.Files {
	files := mirror.Files{
		"desired/packages/acme/manifest.yml":                           []byte(goodManifest),
		"desired/packages/acme/docs/README.md":                         []byte("# Acme\n"),
		"desired/packages/acme/data_stream/log/manifest.yml":           []byte("title: Log\n"),
		"desired/packages/acme/data_stream/log/fields/base.yml":        []byte("- name: x\n  type: keyword\n"),
		"desired/packages/acme/_dev/build/docs/README.md":              []byte("{{ template }}"),
		"desired/packages/acme/data_stream/log/_dev/test/pipeline.log": []byte("x"),
		"desired/packages/acme2/manifest.yml":                          []byte("other"),
	}
	for name, body := range more {
		if files["desired/packages/acme/"+name] = body; body == nil {
			delete(files, "desired/packages/acme/"+name)
		}
	}
	return files
}

func TestBuild_PacksTheSameBytesForever(t *testing.T) {
	b, p, ps := Build(folderOf(nil), "desired/packages/acme/")
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	if p != acme {
		t.Errorf("package %s", p)
	}
	// People sign these bytes, and their signature lies in the fleet repository: a release never changes them. They tell the
	// first day that a zip can tell, since day and month 0 of the old field are no date for some readers.
	if have, want := mirror.DigestOf(b).Hex, "55442c10e98d3245fd62cb5f91e4a52b0486e1ab980e3b007660b51624a34e3b"; have != want {
		t.Errorf("sha256 %s, want %s", have, want)
	}
	r, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.File {
		if f.ModifiedDate != 1<<5|1 || f.ModifiedTime != 0 || !f.Modified.Equal(earliest) {
			t.Errorf("%s is of %s (%#x %#x)", f.Name, f.Modified, f.ModifiedDate, f.ModifiedTime)
		}
	}
	var names []string
	for _, f := range r.File {
		names = append(names, f.Name)
	}
	want := []string{"acme-1.0.0/", "acme-1.0.0/data_stream/", "acme-1.0.0/data_stream/log/", "acme-1.0.0/data_stream/log/fields/",
		"acme-1.0.0/data_stream/log/fields/base.yml", "acme-1.0.0/data_stream/log/manifest.yml", "acme-1.0.0/docs/", "acme-1.0.0/docs/README.md", "acme-1.0.0/manifest.yml"}
	if !slices.Equal(names, want) {
		t.Errorf("entries %q", names)
	}
	f, err := check(b, acme)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(f.Folders, []string{"data_stream", "data_stream/log", "data_stream/log/fields", "docs"}) {
		t.Errorf("folders %q", f.Folders)
	}
}

func TestBuild_TellsAllThatIsWrong(t *testing.T) {
	for _, test := range []struct {
		name string
		more mirror.Files
		want []string // code and file
	}{
		{"no manifest", mirror.Files{"manifest.yml": nil}, []string{"PKG006 desired/packages/acme"}},
		{"manifest without a version", mirror.Files{"manifest.yml": []byte("name: acme\n")}, []string{"PKG007 desired/packages/acme/manifest.yml"}},
		{"no readme", mirror.Files{"docs/README.md": nil}, []string{"PKG009 desired/packages/acme/docs/README.md"}},
		{"a folder with a hyphen", mirror.Files{"kibana/my-dash/a.json": []byte("{}")}, []string{"PKG011 desired/packages/acme/kibana/my-dash/a.json"}},
		{"a field that stands elsewhere", mirror.Files{"data_stream/log/fields/ecs.yml": []byte("- name: host.name\n  external: ecs\n")}, []string{"PKG011 desired/packages/acme/data_stream/log/fields/ecs.yml"}},
		{"a deep field that stands elsewhere", mirror.Files{"fields/a.yml": []byte("- name: a\n  fields:\n  - name: b\n    external: ecs\n")}, []string{"PKG011 desired/packages/acme/fields/a.yml"}},
		{"fields that are no YAML", mirror.Files{"fields/a.yml": []byte("- [")}, []string{"PKG011 desired/packages/acme/fields/a.yml"}},
		{"two names in one", mirror.Files{"img/A.svg": []byte("a"), "img/a.svg": []byte("b")}, []string{"PKG005 desired/packages/acme"}},
		{"several", mirror.Files{"manifest.yml": []byte("- x"), "docs/README.md": nil, "fields/a.yml": []byte("- external: ecs\n")},
			[]string{"PKG007 desired/packages/acme/manifest.yml", "PKG009 desired/packages/acme/docs/README.md", "PKG011 desired/packages/acme/fields/a.yml"}},
	} {
		zip, _, ps := Build(folderOf(test.more), "desired/packages/acme")
		var have []string
		for _, p := range ps {
			have = append(have, p.Code+" "+p.Where.File)
			if p.Fix == "" {
				t.Errorf("%s: no fix: %v", test.name, p)
			}
		}
		if !slices.Equal(have, test.want) || zip != nil {
			t.Errorf("%s: have %s, want %s", test.name, strings.Join(have, ", "), strings.Join(test.want, ", "))
		}
	}
}
