package git

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

func must(t *testing.T) func(string, error) string {
	return func(id string, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
}

// point makes a commit of the given root tree the head.
func point(t *testing.T, g *testenv.Git, tree string) string {
	t.Helper()
	id := must(t)(g.PutCommit("evil", tree))
	if err := g.Point("main", id); err != nil {
		t.Fatal(err)
	}
	return id
}

func TestFiles_RefuseWhatIsNotAPlainFile(t *testing.T) {
	g := fleet(t)
	ok := must(t)
	blob := ok(g.PutBlob("x"))
	passwd := ok(g.PutBlob("/etc/passwd"))
	big := ok(g.PutBlob(strings.Repeat("x", 2000)))
	huge := ok(g.PutBlob(strings.Repeat("y", 900)))
	lfs := ok(g.PutBlob("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"))
	file := testenv.GitEntry{Mode: "100644", Name: "a.yaml", ID: blob}
	dir := func(entries ...testenv.GitEntry) string { return ok(g.PutTree(entries...)) }
	named := func(name string) string { return dir(testenv.GitEntry{Mode: "100644", Name: name, ID: blob}) }
	deep := dir(file)
	for range maxDepth + 2 {
		deep = dir(testenv.GitEntry{Mode: "40000", Name: "d", ID: deep})
	}
	var entries []testenv.GitEntry
	for i := range 40 {
		entries = append(entries, testenv.GitEntry{Mode: "100644", Name: fmt.Sprintf("f%02d", i), ID: blob})
	}
	many := dir(entries...)
	bomb := dir() // doubles at each of 30 levels and holds no file at all
	for range 30 {
		bomb = dir(testenv.GitEntry{Mode: "40000", Name: "a", ID: bomb}, testenv.GitEntry{Mode: "40000", Name: "b", ID: bomb})
	}
	fat := dir(testenv.GitEntry{Mode: "100644", Name: "a", ID: huge}, testenv.GitEntry{Mode: "100644", Name: "b", ID: huge},
		testenv.GitEntry{Mode: "100644", Name: "c", ID: huge}, testenv.GitEntry{Mode: "100644", Name: "d", ID: huge})

	desired := func(tree string) string { return dir(testenv.GitEntry{Mode: "40000", Name: "desired", ID: tree}) }
	cases := []struct {
		name, root  string
		code, where string
	}{
		{"symlink", desired(dir(testenv.GitEntry{Mode: "120000", Name: "images.yaml", ID: passwd})), "GIT001", "desired/images.yaml"},
		{"desired is a symlink", dir(testenv.GitEntry{Mode: "120000", Name: "desired", ID: passwd}), "GIT001", "desired"},
		{"submodule", desired(dir(testenv.GitEntry{Mode: "160000", Name: "mod", ID: blob})), "GIT002", "desired/mod"},
		{"desired is a submodule", dir(testenv.GitEntry{Mode: "160000", Name: "desired", ID: blob}), "GIT002", "desired"},
		{"desired is a file", dir(testenv.GitEntry{Mode: "100644", Name: "desired", ID: blob}), "GIT004", "desired"},
		{"odd mode", desired(dir(testenv.GitEntry{Mode: "100000", Name: "a", ID: blob})), "GIT004", "desired/a"},
		{"parent", desired(named("..")), "GIT003", "desired/.."},
		{"dot", desired(named(".")), "GIT003", "desired/."},
		{"slash", desired(named("../../etc/passwd")), "GIT003", "desired/../../etc/passwd"},
		{"absolute", desired(named("/etc/passwd")), "GIT003", "desired//etc/passwd"},
		{"backslash", desired(named(`..\x`)), "GIT003", `desired/"..\\x"`},
		{".git", desired(named(".git")), "GIT003", "desired/.git"},
		{".GIT as a directory", desired(dir(testenv.GitEntry{Mode: "40000", Name: ".GiT", ID: dir(file)})), "GIT003", "desired/.GiT"},
		{"short name of .git", desired(named("GIT~1")), "GIT003", "desired/GIT~1"},
		{".git with trailing dot", desired(named(".git. ")), "GIT003", "desired/.git. "},
		{".git as a stream", desired(named(".git::$INDEX_ALLOCATION")), "GIT003", "desired/.git::$INDEX_ALLOCATION"},
		{".git with an invisible letter", desired(named(".g\u200cit")), "GIT003", `desired/".g\u200cit"`},
		{"line break", desired(named("a\nb")), "GIT003", `desired/"a\nb"`},
		{"not UTF-8", desired(named("a\xff")), "GIT003", `desired/"a\xff"`},
		{"long name", desired(named(strings.Repeat("n", 300))), "GIT003", "desired/" + strings.Repeat("n", 255)},
		{"two entries of one name", desired(dir(file, file)), "GIT004", "desired"},
		{"file and directory of one name", desired(dir(file, testenv.GitEntry{Mode: "40000", Name: "a.yaml", ID: dir(file)})), "GIT004", "desired"},
		{"out of order", desired(dir(testenv.GitEntry{Mode: "100644", Name: "b", ID: blob}, file)), "GIT004", "desired"},
		{"large file", desired(dir(testenv.GitEntry{Mode: "100644", Name: "big", ID: big})), "GIT005", "desired/big"},
		{"deep", desired(deep), "GIT005", ""},
		{"many files", desired(many), "GIT006", "desired"},
		{"exponential directories", desired(bomb), "GIT006", ""},
		{"large in all", desired(fat), "GIT006", "desired/d"},
		{"LFS pointer", desired(dir(testenv.GitEntry{Mode: "100644", Name: "a", ID: lfs})), "GIT007", "desired/a"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			head := point(t, g, c.root)
			o := options(t, g)
			o.Limits = Limits{File: 1000, Total: 3000, Files: 39}
			r := open(t, o)
			fetch(t, r)
			files, err := r.Files(head, "desired", "stages")
			var ps mirror.Problems
			if !errors.As(err, &ps) || len(files) != 0 {
				t.Fatalf("Files = %d files, %v, want problems", len(files), err)
			}
			if p := ps[0]; p.Code != c.code || p.Where.Commit != head || c.where != "" && p.Where.File != c.where {
				t.Errorf("problem %s at %q of %.7s, want %s at %q", p.Code, p.Where.File, p.Where.Commit, c.code, c.where)
			}
			if strings.ContainsAny(err.Error(), "\x00\u200c") || strings.Contains(err.Error(), "\xff") {
				t.Errorf("the error passes on odd bytes: %q", err)
			}
			if _, err := r.Commit(t.Context(), head, Change{Owned: []string{"rendered"}, Files: mirror.Files{"rendered/x": []byte("x")}, Message: "m", At: at}); err != nil {
				t.Errorf("a commit beside it: %v", err)
			}
		})
	}
}

func TestFiles_DoNotFollowALinkOnTheWay(t *testing.T) {
	g := fleet(t)
	ok := must(t)
	target := ok(g.PutBlob("real"))
	head := point(t, g, ok(g.PutTree(testenv.GitEntry{Mode: "120000", Name: "fleet", ID: target})))
	o := options(t, g)
	o.Path = "fleet"
	r := open(t, o)
	fetch(t, r)
	var ps mirror.Problems
	if _, err := r.Files(head, "desired"); !errors.As(err, &ps) || ps[0].Code != "GIT001" {
		t.Errorf("Files: %v", err)
	}
	if _, err := r.Inputs(head); !errors.As(err, &ps) {
		t.Errorf("Inputs: %v", err)
	}
	_, err := r.Commit(t.Context(), head, Change{Owned: []string{"rendered"}, Files: mirror.Files{"rendered/x": []byte("x")}, Message: "m", At: at})
	if !errors.As(err, &ps) || g.Head() != head {
		t.Errorf("Commit: %v", err)
	}
}

func TestFiles_ReadWhatIsPlain(t *testing.T) {
	g := fleet(t)
	write(t, g, map[string]string{"desired/a b.yaml": "1", "desired/ess/.gitkeep": " ", "desired/ü.yaml": "2", "other/link": "3"})
	r := open(t, options(t, g))
	head := fetch(t, r)
	files, err := r.Files(head, "desired/", "stages")
	if err != nil || len(files) != 3 || !bytes.Equal(files["desired/ü.yaml"], []byte("2")) {
		t.Errorf("Files = %q, %v", files, err)
	}
	if _, err := r.Files(strings.Repeat("ab", 20), "desired"); !errors.Is(err, ErrUnknownCommit) {
		t.Errorf("a foreign commit: %v", err)
	}
	if _, err := r.Files("main", "desired"); err == nil {
		t.Error("a branch name was taken for a commit")
	}
}
