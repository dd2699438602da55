package sources

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/poundlock/poundlock/internal/mirror"
)

var update = flag.Bool("update", false, "write the golden files")

// Every kind brings archives in testdata/<kind>: a fleet repository with one set, and what is read from it
// (entries) or what a person is shown (problems).
func TestKinds_ReadTheirFixtures(t *testing.T) {
	for _, kind := range Kinds() {
		archives, err := filepath.Glob(filepath.Join("testdata", kind, "*.txtar"))
		if err != nil || len(archives) == 0 {
			t.Errorf("kind %s has no fixtures in testdata/%s: %v", kind, kind, err)
		}
		good, bad := 0, 0
		for _, name := range archives {
			t.Run(kind+"/"+strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
				if fixture(t, name) {
					good++
				} else {
					bad++
				}
			})
		}
		if good == 0 || bad == 0 {
			t.Errorf("kind %s: want fixtures that are read and fixtures that are refused, have %d and %d", kind, good, bad)
		}
	}
}

func fixture(t *testing.T, name string) (read bool) {
	t.Helper()
	archive, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	files, want := mirror.Files{}, ""
	var kept []txtar.File
	for _, f := range archive.Files {
		if f.Name == "entries" || f.Name == "problems" {
			want = f.Name + "\n" + string(f.Data)
			continue
		}
		files[f.Name] = f.Data
		kept = append(kept, f)
	}
	section, got := "entries", ""
	desired, problems := mirror.ParseDesired("", mirror.Files(files))
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	set := desired.Sets[0]
	if problems := Read(&set, files); len(problems) > 0 {
		problems.QuotePublic(files)
		section, got = "problems", problems.Err().Error()+"\n"
	} else {
		got = show(set)
	}
	if *update {
		archive.Files = append(kept, txtar.File{Name: section, Data: []byte(got)})
		if err := os.WriteFile(name, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if section+"\n"+got != want {
		t.Errorf("got %s\n%s\nwant %s", section, got, want)
	}
	return section == "entries"
}

func show(set mirror.Set) string {
	var b strings.Builder
	fmt.Fprintf(&b, "atomic %v, follow %v, origin %v\n", set.Atomic, set.Follow, set.Origin != mirror.Digest{})
	if set.Asked {
		fmt.Fprintln(&b, "asked upstream")
	}
	for _, e := range set.Entries {
		fmt.Fprintf(&b, "%s: %s (%s)\n", e.Name, e.Image, e.Where)
		if e.Replaced {
			fmt.Fprintf(&b, "  instead of %s, made for %s\n", e.Vendor, mirror.Short(e.BasedOn))
		}
	}
	return b.String()
}

func TestRead_NamesTheKindThatWasMeant(t *testing.T) {
	files := mirror.Files{"desired/web.yaml": []byte("version: 1\nsource: {kind: lst, file: web.txt}\n")}
	desired, _ := mirror.ParseDesired("", files)
	ps := Read(&desired.Sets[0], files)
	if len(ps) != 1 || ps[0].Code != "SRC001" || !strings.Contains(ps[0].Fix, `"list"`) || ps[0].Where.String() != "desired/web.yaml:2:16" {
		t.Errorf("got %v", ps)
	}
}

func TestRead_SaysWhichKindReadsAKustomization(t *testing.T) {
	for _, kind := range []string{"kustomization", "kustomize"} {
		desired, _ := mirror.ParseDesired("", mirror.Files{"desired/app.yaml": []byte("version: 1\nsource: {kind: " + kind + ", file: app}\n")})
		if ps := Read(&desired.Sets[0], nil); len(ps) != 1 || ps[0].Code != "SRC001" || !strings.Contains(ps[0].Fix, "kind: manifests") || !strings.Contains(ps[0].Fix, "kustomization:") {
			t.Errorf("%s: got %v", kind, ps)
		}
	}
}

func TestRead_TheVersionOfTheSourceIsItsBytes(t *testing.T) {
	origin := func(list string) mirror.Digest {
		files := mirror.Files{"desired/web.yaml": []byte("version: 1\nsource: {kind: list, file: web.txt}\n"), "desired/web.txt": []byte(list)}
		desired, _ := mirror.ParseDesired("", files)
		if err := Read(&desired.Sets[0], files).Err(); err != nil {
			t.Fatal(err)
		}
		return desired.Sets[0].Origin
	}
	first, again := origin("nginx:1\n"), origin("nginx:1\n")
	if first != again || first == origin("nginx:1\n\n") {
		t.Error("the origin does not follow the bytes of the file")
	}
}

func TestRead_RefusesAListThatIsTooLarge(t *testing.T) {
	files := mirror.Files{"desired/web.yaml": []byte("version: 1\nsource: {kind: list, file: web.txt}\n"), "desired/web.txt": make([]byte, mirror.MaxDocument+1)}
	desired, _ := mirror.ParseDesired("", files)
	if ps := Read(&desired.Sets[0], files); len(ps) != 1 || ps[0].Code != "DOC007" {
		t.Errorf("got %v, want DOC007", ps)
	}
}

// The files that the vendor shipped over the years are read as they are.
func TestRead_VendorFilesAsShipped(t *testing.T) {
	dir := filepath.Join("..", "..", "shared", "realdata", "element")
	names, err := filepath.Glob(filepath.Join(dir, "*images_digests*.yml"))
	if err != nil || len(names) == 0 {
		t.Skip("no vendor files beside the repository: the made-up fixtures have to do")
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			files := mirror.Files{"desired/ess.yaml": []byte("version: 1\nsource: {kind: ess, file: ess/v.yml}\n"), "desired/ess/v.yml": data}
			desired, _ := mirror.ParseDesired("", files)
			set := desired.Sets[0]
			if err := Read(&set, files).Err(); err != nil {
				t.Fatal(err)
			}
			if want := strings.Count(string(data), "image_repository_server:"); len(set.Entries) != want {
				t.Errorf("got %d entries, want %d", len(set.Entries), want)
			}
			if got, want := strings.Count(show(set), "@sha256:"), strings.Count(string(data), "image_digest:"); got != want {
				t.Errorf("got %d digests, want %d", got, want)
			}
		})
	}
}
