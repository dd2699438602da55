package mirror

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func imageOf(name, tag, content string) Reference {
	return Reference{Host: "docker.io", Repository: "library/" + name, Tag: tag, Digest: DigestOf([]byte(content))}
}

func TestStageFile_LeavesWhatPeopleWroteAroundALine(t *testing.T) {
	a1, a2, b1, c1 := imageOf("a", "1", "a1"), imageOf("a", "2", "a2"), imageOf("b", "1", "b1"), imageOf("c", "1", "c1")
	old := "# ours\nversion: 1\n# the images\nentries:\n  a: " + a1.String() + "  # ticket 1\n\n  # keep\n  c: \"" + c1.String() + "\"\n"
	for _, tt := range []struct {
		name string
		file StageFile
		want string
	}{
		{"one moves", StageFile{Lines: map[string]Reference{"a": a2, "c": c1}}, strings.Replace(old, a1.String(), a2.String(), 1)},
		{"one comes", StageFile{Lines: map[string]Reference{"a": a1, "b": b1, "c": c1}}, strings.Replace(old, "# ticket 1\n", "# ticket 1\n  b: "+b1.String()+"\n", 1)},
		{"one goes", StageFile{Lines: map[string]Reference{"c": c1}}, strings.Replace(old, "  a: "+a1.String()+"  # ticket 1\n", "", 1)},
		{"a mark", StageFile{Lines: map[string]Reference{"a": a1, "c": c1}, Source: DigestOf([]byte("s"))},
			strings.Replace(old, "version: 1\n", "source: "+DigestOf([]byte("s")).String()+"\nversion: 1\n", 1)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			written, gone := tt.file.Write(Files{"stages/s/p.yaml": []byte(old)}, "stages/s/p")
			if got := string(written["stages/s/p.yaml"]); got != tt.want || len(gone) > 0 || len(written) != 1 {
				t.Errorf("got\n%s\nwant\n%s (gone %v)", got, tt.want, gone)
			}
		})
	}
}

func TestStageFile_AMarkOfARollbackComesAndGoes(t *testing.T) {
	lines := map[string]Reference{"a": imageOf("a", "1", "a1")}
	name := "stages/s/p"
	marked, _ := StageFile{Lines: lines, Rollback: "login \"broken\""}.Write(Files{}, name)
	again, _ := StageFile{Lines: map[string]Reference{"a": imageOf("a", "2", "a2")}}.Write(marked, name)
	var before, after StageDocument
	if ps := append(Decode("x", marked[name+".yaml"], &before), Decode("x", again[name+".yaml"], &after)...); len(ps) > 0 {
		t.Fatal(ps)
	}
	if !strings.Contains(string(marked[name+".yaml"]), `rollback: "login \"broken\""`) || strings.Contains(string(again[name+".yaml"]), "rollback") {
		t.Errorf("marked:\n%s\nafter it:\n%s", marked[name+".yaml"], again[name+".yaml"])
	}
}

func TestStageFile_BecomesShardsAndOneFileAgain(t *testing.T) {
	many := map[string]Reference{}
	for i := range 900 {
		many[fmt.Sprintf("entry-%d", i)] = imageOf(fmt.Sprintf("i%d", i), "1", fmt.Sprint(i))
	}
	name := "stages/s/p"
	one, _ := StageFile{Lines: map[string]Reference{"entry-1": many["entry-1"]}}.Write(Files{}, name)
	shards, gone := StageFile{Lines: many}.Write(one, name)
	if len(shards) < 2 || len(gone) != 1 || gone[0] != name+".yaml" || !Lists(shards, name, many) {
		t.Fatalf("%d files, gone %v", len(shards), gone)
	}
	back, gone := StageFile{Lines: map[string]Reference{"entry-1": many["entry-1"]}}.Write(shards, name)
	if len(back) != 1 || len(gone) != len(shards) {
		t.Errorf("%d files, gone %v", len(back), gone)
	}
}

// Whatever a stage file held and whatever it is to list: what is written lists just that.
func TestStageFile_ListsWhatItIsTo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entry := rapid.SampledFrom([]string{"a", "b/c", "quay.io/x/y:1.0", "true", "10", "z.z", "#x", "e: f", "ü"})
		lines := rapid.MapOf(entry, rapid.Custom(func(t *rapid.T) Reference {
			return imageOf(rapid.SampledFrom([]string{"a", "b"}).Draw(t, "name"), rapid.SampledFrom([]string{"1", "2"}).Draw(t, "tag"), rapid.SampledFrom([]string{"x", "y"}).Draw(t, "content"))
		}))
		name := "stages/s/p"
		files := Files{}
		for range 3 {
			want := lines.Draw(t, "lines")
			written, gone := StageFile{Lines: want}.Write(files, name)
			maps.Copy(files, written)
			for _, g := range gone {
				delete(files, g)
			}
			if !Lists(files, name, want) {
				t.Fatalf("want %v, have\n%s", want, files[name+".yaml"])
			}
			if rapid.Bool().Draw(t, "remark") {
				files[name+".yaml"] = append([]byte("# somebody\n"), files[name+".yaml"]...)
			}
		}
	})
}
