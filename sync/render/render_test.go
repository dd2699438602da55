package render

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/poundlock/poundlock/internal/mirror"
)

var update = flag.Bool("update", false, "write the golden files")

// scene is one archive of testdata/<kind>: a fleet repository, what stands, and what is rendered from it or
// what a person is shown.
type fixtureScene struct {
	local  mirror.Local
	sets   []mirror.Set
	record mirror.Record
}

func readScene(t *testing.T, archive *txtar.Archive) (s fixtureScene, input []txtar.File, want map[string]string) {
	t.Helper()
	s.record.Stages = map[mirror.Stage]mirror.Standing{}
	files := mirror.Files{}
	want = map[string]string{}
	var entries []mirror.Entry
	made := map[mirror.Stage]mirror.Reference{}
	for _, f := range archive.Files {
		dir, name, _ := strings.Cut(f.Name, "/")
		switch dir {
		case "desired", "stages":
			files[f.Name] = f.Data
		case "local":
			words := strings.Fields(string(f.Data))
			s.local = mirror.Local{Host: words[0], Site: "site"}
			if len(words) > 1 && words[1] != "-" {
				s.local.Prefix = words[1]
			}
			s.local.Insecure = slices.Contains(words, "insecure")
		case "distribution":
			image, err := mirror.ParseReference(strings.TrimSpace(string(f.Data)))
			if err != nil {
				t.Fatal(err)
			}
			made[mirror.Stage(name)] = image
		case "standing":
			standing := mirror.Standing{}
			for line := range strings.Lines(string(f.Data)) {
				entry, text, _ := strings.Cut(strings.TrimSpace(line), " ")
				image, err := mirror.ParseReference(text)
				if err != nil {
					t.Fatal(err)
				}
				standing.Put(entry, mirror.Line{Image: image, Proven: true})
				if name == "snapshot" {
					entries = append(entries, mirror.Entry{Name: entry, Image: image, Where: mirror.Position{File: "desired/e.yml", Line: 1}})
				}
			}
			s.record.Stages[mirror.Stage(name)] = standing
		default:
			want[f.Name] = string(f.Data)
			continue
		}
		input = append(input, f)
	}
	desired, problems := mirror.ParseDesired("", files)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	for _, set := range desired.Sets {
		set.Entries, set.Atomic, set.Packages = entries, set.Source.Kind == "ess", set.Source.Kind == "epr"
		set.Distributions = made
		s.sets = append(s.sets, set)
	}
	return s, input, want
}

func TestKinds_RenderTheirFixtures(t *testing.T) {
	for _, kind := range Kinds() {
		archives, err := filepath.Glob(filepath.Join("testdata", kind, "*.txtar"))
		if err != nil || len(archives) == 0 {
			t.Errorf("kind %s has no fixtures in testdata/%s: %v", kind, kind, err)
		}
		for _, name := range archives {
			t.Run(kind+"/"+strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) { fixture(t, name) })
		}
	}
}

func inputFiles(input []txtar.File) mirror.Files {
	files := mirror.Files{}
	for _, f := range input {
		files[f.Name] = f.Data
	}
	return files
}

func fixture(t *testing.T, name string) {
	archive, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	s, input, want := readScene(t, archive)
	got := map[string]string{}
	for _, set := range s.sets {
		if problems := Check(set, inputFiles(input)); len(problems) > 0 {
			problems.QuotePublic(inputFiles(input))
			got["problems"] += problems.Err().Error() + "\n"
			continue
		}
		r := Files(s.local, set, s.record, mirror.Plan{}, inputFiles(input))
		files, kept := r.Files, r.Kept
		if len(kept) > 0 {
			t.Errorf("kept: %+v", kept)
		}
		for file, body := range files {
			got[file] = string(body)
		}
		again := Files(s.local, set, s.record.Clone(), mirror.Plan{}, inputFiles(input)).Files
		for file, body := range again {
			if string(body) != string(files[file]) {
				t.Errorf("%s is rendered otherwise the second time", file)
			}
		}
	}
	if *update {
		archive.Files = input
		var names []string
		for file := range got {
			names = append(names, file)
		}
		slices.Sort(names)
		for _, file := range names {
			archive.Files = append(archive.Files, txtar.File{Name: file, Data: []byte(got[file])})
		}
		if err := os.WriteFile(name, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	for file, body := range got {
		if body != want[file] {
			t.Errorf("%s: got\n%s\nwant\n%s", file, body, want[file])
		}
	}
	for file := range want {
		if _, rendered := got[file]; !rendered {
			t.Errorf("%s is not rendered", file)
		}
	}
}

func ref(t *testing.T, name, version string) mirror.Reference {
	t.Helper()
	r, err := mirror.ParseReference("docker.io/library/" + name + ":1@" + mirror.DigestOf([]byte(name+version)).String())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// release is an atomic set of two entries that stands at the first stage with the given version.
func release(t *testing.T, version string) (mirror.Set, mirror.Record) {
	t.Helper()
	files := mirror.Files{"desired/ess.yaml": []byte("version: 1\nsource: {kind: ess}\nlayout: path\nrender: {element: {}, containerd: {}}\n")}
	desired, ps := mirror.ParseDesired("", files)
	if err := ps.Err(); err != nil {
		t.Fatal(err)
	}
	set, rec := desired.Sets[0], mirror.Record{Stages: map[mirror.Stage]mirror.Standing{"snapshot": {}, "staging": {}, "production": {}}}
	set.Atomic = true
	for _, name := range []string{"x", "y"} {
		set.Entries = append(set.Entries, mirror.Entry{Name: name + "/" + name, Image: ref(t, name, version)})
		rec.Stages["snapshot"].Put(name+"/"+name, mirror.Line{Image: ref(t, name, version), Proven: true})
	}
	return set, rec
}

func filesAndKept(set mirror.Set, rec mirror.Record, p mirror.Plan) (mirror.Files, []mirror.Action) {
	r := Files(local, set, rec, p, nil)
	return r.Files, r.Kept
}

var local = mirror.Local{Host: "r.example", Prefix: "mirror", Site: "site"}

func TestFiles_AHalfReleaseIsNotRendered(t *testing.T) {
	const staging = "rendered/site/ess/staging"
	lines := func(versions ...string) []mirror.Wanted {
		var w []mirror.Wanted
		for i, v := range versions {
			name := []string{"x", "y"}[i]
			w = append(w, mirror.Wanted{Entry: name + "/" + name, Image: ref(t, name, v)})
		}
		return w
	}
	refused := mirror.Plan{Actions: []mirror.Action{{Kind: mirror.Refuse, Stage: "staging"}}}
	tests := []struct {
		name   string
		wanted []mirror.Wanted // nil: no stage file
		stands []mirror.Wanted
		plan   mirror.Plan
		files  int
		kept   mirror.Kind // "": nothing is said
	}{
		{name: "never promoted"},
		{name: "whole", wanted: lines("v1", "v1"), stands: lines("v1", "v1"), files: 4},
		{name: "nothing moved yet", wanted: lines("v2", "v2"), stands: lines("v1", "v1"), kept: mirror.Unchanged},
		{name: "half moved", wanted: lines("v2", "v2"), stands: lines("v2", "v1"), kept: mirror.Unchanged},
		{name: "refused", wanted: lines("v2", "v2"), stands: lines("v1", "v1"), plan: refused, kept: mirror.Refuse},
		{name: "an entry is to leave and stands", wanted: lines("v1"), stands: lines("v1", "v1"), kept: mirror.Unchanged},
		{name: "the stage file is gone", stands: lines("v1", "v1"), kept: mirror.Unchanged},
		{name: "first promotion under way", wanted: lines("v1", "v1"), stands: lines("v1"), kept: mirror.Unchanged},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			set, rec := release(t, "v1")
			set.Listed["staging"], set.Wanted["staging"] = tt.wanted != nil, tt.wanted
			for _, line := range tt.stands {
				rec.Stages["staging"].Put(line.Entry, mirror.Line{Image: line.Image, Proven: true})
			}
			files, kept := filesAndKept(set, rec, tt.plan)
			if got := len(files.Under(staging)); got != tt.files {
				t.Errorf("%d files, want %d: %v", got, tt.files, files.Under(staging))
			}
			switch {
			case tt.kept == "" && len(kept) > 0:
				t.Errorf("got %+v", kept)
			case tt.kept != "" && (len(kept) != 1 || kept[0].Kind != tt.kept || kept[0].Path != staging || kept[0].Stage != "staging"):
				t.Errorf("got %+v, want %s of %s", kept, tt.kept, staging)
			}
			if len(files.Under("rendered/site/ess/snapshot")) != 4 {
				t.Errorf("the first stage depends on the second: %v", files.Under("rendered"))
			}
		})
	}
}

func TestFiles_TheFirstStageCoversEveryEntry(t *testing.T) {
	set, rec := release(t, "v1")
	plan := mirror.Plan{Actions: []mirror.Action{{Kind: mirror.Unchanged, Stage: "snapshot", Key: mirror.Key{Set: "ess", Entry: "x/x"}, Image: ref(t, "x", "v1")},
		{Kind: mirror.Refuse, Stage: "snapshot", Key: mirror.Key{Set: "ess", Entry: "y/y"}, Image: ref(t, "y", "v2")}}}
	files, kept := filesAndKept(set, rec, plan)
	if len(files) != 0 || len(kept) != 1 || kept[0].Kind != mirror.Refuse || !strings.Contains(kept[0].Reason.Detail, "y/y") {
		t.Errorf("an entry that the plan wants otherwise was rendered: %v, %+v", files, kept)
	}
	delete(rec.Stages["snapshot"], "y/y")
	if files, kept := filesAndKept(set, rec, mirror.Plan{}); len(files) != 0 || len(kept) != 1 {
		t.Errorf("an override without every entry: %v, %+v", files, kept)
	}
	set.Atomic = false
	set.Render = map[string]mirror.Node{"containerd": set.Render["containerd"]}
	if files, kept := filesAndKept(set, rec, plan); len(files) != 1 || len(kept) != 0 {
		t.Errorf("entries that move one by one: %v, %+v", files, kept)
	}
	set.Render = nil
	if files, kept := filesAndKept(set, rec, plan); len(files) != 0 || len(kept) != 0 {
		t.Errorf("nothing is to be rendered: %v, %+v", files, kept)
	}
}
