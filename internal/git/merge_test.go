package git

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestMergedFiles_IsWhatAMergeWouldDo(t *testing.T) {
	lines := func(texts ...string) string { return strings.Join(texts, "\n") + "\n" }
	tests := []struct {
		name               string
		before, main, side string // "" for no file
		want               string
		conflict           bool
	}{
		{"only the proposal", "a\n", "a\n", "b\n", "b\n", false},
		{"only main", "a\n", "b\n", "a\n", "b\n", false},
		{"both the same", "a\n", "b\n", "b\n", "b\n", false},
		{"both differently", "a\n", "b\n", "c\n", "b\n", true},
		{"new in the proposal", "", "", "n\n", "n\n", false},
		{"deleted by the proposal", "a\n", "a\n", "", "", false},
		{"deleted by main, changed by the proposal", "a\n", "", "b\n", "", true},
		{"deleted by the proposal, changed by main", "a\n", "b\n", "", "b\n", true},
		{"two entries of one file", lines("1", "2", "3", "4"), lines("x", "2", "3", "4"), lines("1", "2", "3", "y"), lines("x", "2", "3", "y"), false},
		{"neighbours", lines("1", "2", "3"), lines("x", "2", "3"), lines("1", "y", "3"), lines("x", "2", "3"), true},
		{"an insertion each at one place", lines("1", "2"), lines("1", "a", "2"), lines("1", "b", "2"), lines("1", "a", "2"), true},
	}
	g := fleet(t)
	p := newPerson(t, g)
	base := map[string]string{"stages/keep.yaml": "k"}
	for i, test := range tests {
		base[fmt.Sprintf("stages/%d.yaml", i)] = test.before
	}
	maps.DeleteFunc(base, func(_, text string) bool { return text == "" })
	parted := p.commit("", "parted", base)
	edit := func(of func(int) string) {
		for i := range tests {
			name := filepath.Join(p.dir, fmt.Sprintf("stages/%d.yaml", i))
			if text := of(i); text == "" {
				_ = os.Remove(name)
			} else if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	edit(func(i int) string { return tests[i].side })
	p.git("checkout", "-q", "-b", "side")
	side := p.commit("", "side", nil)
	p.git("checkout", "-q", "main")
	edit(func(i int) string { return tests[i].main })
	main := p.commit("", "main", nil)
	p.push()
	p.git("push", "-q", "origin", "side:refs/pull/1/head")
	r := open(t, options(t, g))
	fetch(t, r)
	if err := r.Bring(t.Context(), "refs/pull/1/head", side); err != nil {
		t.Fatal(err)
	}
	if at, err := r.MergeBase(t.Context(), main, side); err != nil || at != parted {
		t.Errorf("they parted at %s, %v, want %s", at, err, parted)
	}
	files, conflicts, err := r.MergedFiles(t.Context(), main, side, "stages")
	if err != nil {
		t.Fatal(err)
	}
	if string(files["stages/keep.yaml"]) != "k" {
		t.Errorf("what nobody touched is %q", files["stages/keep.yaml"])
	}
	for i, test := range tests {
		name := fmt.Sprintf("stages/%d.yaml", i)
		if _, there := files[name]; string(files[name]) != test.want || there != (test.want != "") || slices.Contains(conflicts, name) != test.conflict {
			t.Errorf("%s: %q, conflict %v, want %q, %v", test.name, files[name], slices.Contains(conflicts, name), test.want, test.conflict)
		}
	}
}

func TestMergedFiles_OfHistoriesWithNothingInCommon(t *testing.T) {
	g := fleet(t)
	p := newPerson(t, g)
	main := p.commit("", "main", map[string]string{"stages/a.yaml": "a", "stages/same.yaml": "s"})
	p.push()
	p.git("checkout", "-q", "--orphan", "other")
	other := p.commit("", "other", map[string]string{"stages/a.yaml": "b", "stages/new.yaml": "n", "stages/same.yaml": "s"})
	p.git("push", "-q", "origin", "HEAD:refs/pull/1/head")
	r := open(t, options(t, g))
	fetch(t, r)
	if err := r.Bring(t.Context(), "refs/pull/1/head", other); err != nil {
		t.Fatal(err)
	}
	if base, err := r.MergeBase(t.Context(), main, other); err != nil || base != "" {
		t.Errorf("they have %q in common, %v", base, err)
	}
	files, conflicts, err := r.MergedFiles(t.Context(), main, other, "stages")
	if err != nil || !slices.Equal(conflicts, []string{"stages/a.yaml"}) || string(files["stages/a.yaml"]) != "a" || string(files["stages/new.yaml"]) != "n" {
		t.Errorf("files %q, conflicts %q, %v", files, conflicts, err)
	}
}

// Wherever the lines are merged here, git merges them to the same bytes.
func TestMergeText_AgreesWithGit(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("there is no git binary")
	}
	dir, merged := t.TempDir(), 0
	rapid.Check(t, func(rt *rapid.T) {
		var before []string
		for i := range rapid.IntRange(0, 12).Draw(rt, "lines") {
			before = append(before, fmt.Sprintf("entry-%d: a\n", i))
		}
		side := func(who string) []string {
			var out []string
			for i, line := range before {
				switch rapid.IntRange(0, 9).Draw(rt, fmt.Sprint(who, i)) {
				case 0: // gone
				case 1:
					out = append(out, fmt.Sprintf("entry-%d: %s\n", i, who))
				case 2:
					out = append(out, line, fmt.Sprintf("entry-%d-%s: n\n", i, who))
				case 3:
					out = append(out, fmt.Sprintf("entry-%d: both\n", i))
				default:
					out = append(out, line)
				}
			}
			return out
		}
		text := map[string]string{"before": strings.Join(before, ""), "ours": strings.Join(side("ours"), ""), "theirs": strings.Join(side("theirs"), "")}
		got, ok := mergeText([]byte(text["before"]), []byte(text["ours"]), []byte(text["theirs"]))
		if !ok {
			return
		}
		merged++
		var args []string
		for _, name := range []string{"ours", "before", "theirs"} {
			file := filepath.Join(dir, name)
			if err := os.WriteFile(file, []byte(text[name]), 0o600); err != nil {
				rt.Fatal(err)
			}
			args = append(args, file)
		}
		out, err := exec.Command("git", append([]string{"merge-file", "-p"}, args...)...).Output()
		if err != nil || string(out) != string(got) {
			rt.Fatalf("git says %v\n%s\nhere\n%s\nof %q", err, out, got, text)
		}
	})
	if merged == 0 {
		t.Error("nothing was ever merged")
	}
}
