package daemon

import (
	"fmt"
	runtimemetrics "runtime/metrics"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// What is too large or grows when it is read is refused by its size or shape before it is decoded, wherever
// YAML is read from.
func TestBadFleet_LargeAndBombsAreRefusedUnread(t *testing.T) {
	s, _ := standing(t) // not in parallel: what other tests allocate would count here
	bomb := "a: &a [x, x, x, x, x, x, x, x, x]\n"
	for c := 'b'; c < 'k'; c++ {
		bomb += fmt.Sprintf("%c: &%c [*%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c]\n", c, c, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1)
	}
	const ess = "version: 1\nsource: {kind: ess, file: ess/images_digests.yml}\n"
	configMap := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata:\n  images_digests: |\n    " + strings.ReplaceAll(strings.TrimSuffix(bomb, "\n"), "\n", "\n    ") + "\n"
	for _, tt := range []struct {
		name        string
		files       map[string]string
		code, place string
	}{
		{"50 MB set", map[string]string{"desired/big.yaml": "version: 1\nimages:\n" + strings.Repeat("  - docker.io/library/web:1\n", 50<<20/29)}, "GIT005", "desired/big.yaml"},
		{"50 MB source", map[string]string{"desired/ess.yaml": ess, "desired/ess/images_digests.yml": strings.Repeat("# nothing\n", 5<<20)}, "GIT005", "desired/ess/images_digests.yml"},
		{"50 MB stage file", map[string]string{"stages/web/production.yaml": strings.Repeat("# nothing\n", 5<<20)}, "GIT005", "stages/web/production.yaml"},
		{"bomb as a set", map[string]string{"desired/bomb.yaml": bomb}, "DOC006", "desired/bomb.yaml:1"},
		{"bomb as the policy", map[string]string{"desired/policy.yaml": bomb}, "DOC006", "desired/policy.yaml:1"},
		{"bomb as a stage file", map[string]string{"stages/web/production.yaml": bomb}, "DOC006", "stages/web/production.yaml:1"},
		{"bomb in the vendor's file", map[string]string{"desired/ess.yaml": ess, "desired/ess/images_digests.yml": bomb}, "DOC006", "desired/ess/images_digests.yml:1"},
		{"bomb in a ConfigMap", map[string]string{"desired/ess.yaml": ess, "desired/ess/images_digests.yml": configMap}, "DOC006", "desired/ess/images_digests.yml"},
		{"bomb of merge keys", map[string]string{"desired/bomb.yaml": "a: &a {x: 1}\nb: &b {<<: [*a, *a]}\nc: {<<: [*b, *b]}\n"}, "DOC006", "desired/bomb.yaml"},
		{"deeper than anyone writes", map[string]string{"desired/deep.yaml": "a: " + strings.Repeat("[", 200_000) + strings.Repeat("]", 200_000) + "\n"}, "", "desired/deep.yaml"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before, began := allocated(), time.Now()
			s.refusesFleet(t, tt.files, tt.code, tt.place)
			// The file itself passes through the Git server and the client, both in this process. A bomb of ten
			// levels would be 9^10 values.
			if more, most := allocated()-before, uint64(1<<30); more > most {
				t.Errorf("%d MiB were allocated, want at most %d", more>>20, most>>20)
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// allocated counts the bytes that this process ever allocated.
func allocated() uint64 {
	sample := []runtimemetrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	runtimemetrics.Read(sample)
	return sample[0].Value.Uint64()
}

// A tree that no honest git makes is refused by the path that is wrong in it; nothing outside the repository
// is read.
func TestBadFleet_LinksSubmodulesAndEscapesAreRefused(t *testing.T) {
	t.Parallel()
	s, web := standing(t)
	blob := func(text string) string { return must(s.git.PutBlob(text))(s.t) }
	tree := func(entries ...testenv.GitEntry) string { return must(s.git.PutTree(entries...))(s.t) }
	file := func(name, text string) testenv.GitEntry {
		return testenv.GitEntry{Mode: "100644", Name: name, ID: blob(text)}
	}
	dir := func(name string, entries ...testenv.GitEntry) testenv.GitEntry {
		return testenv.GitEntry{Mode: "40000", Name: name, ID: tree(entries...)}
	}
	link := func(name, to string) testenv.GitEntry {
		return testenv.GitEntry{Mode: "120000", Name: name, ID: blob(to)}
	}
	submodule := func(name string) testenv.GitEntry {
		return testenv.GitEntry{Mode: "160000", Name: name, ID: web.Digest.Hex[:40]}
	}
	policy, set, images := file("policy.yaml", pinnedPolicy), file("web.yaml", webSet), file("web.txt", list(web))
	loop := tree(file("web.yaml", webSet))
	for range 64 {
		loop = tree(testenv.GitEntry{Mode: "40000", Name: "again", ID: loop})
	}
	wide := tree(file("x", "x"))
	for range 12 { // 16^12 directories, of 13 objects
		var same []testenv.GitEntry
		for i := range 16 {
			same = append(same, testenv.GitEntry{Mode: "40000", Name: fmt.Sprintf("d%02d", i), ID: wide})
		}
		wide = tree(same...)
	}
	for _, tt := range []struct {
		name        string
		root        []testenv.GitEntry
		code, place string
	}{
		{"set is a link", []testenv.GitEntry{dir("desired", policy, images, link("web.yaml", "/etc/passwd"))}, "GIT001", "desired/web.yaml"},
		{"source is a link", []testenv.GitEntry{dir("desired", policy, link("web.txt", "../secret.txt"), set)}, "GIT001", "desired/web.txt"},
		{"desired/ is a link", []testenv.GitEntry{link("desired", "/etc")}, "GIT001", "desired"},
		{"stages/ is a link", []testenv.GitEntry{dir("desired", policy, images, set), link("stages", "desired")}, "GIT001", "stages"},
		{"folder is a link", []testenv.GitEntry{dir("desired", link("ess", "/proc"), policy, images, set)}, "GIT001", "desired/ess"},
		{"submodule", []testenv.GitEntry{dir("desired", submodule("ess"), policy, images, set)}, "GIT002", "desired/ess"},
		{"desired/ is a submodule", []testenv.GitEntry{submodule("desired")}, "GIT002", "desired"},
		{"name climbs", []testenv.GitEntry{dir("desired", dir("..", file("x", "x")), policy, images, set)}, "GIT003", "desired/"},
		{"name with a slash", []testenv.GitEntry{dir("desired", file("../stages/web/production.yaml", "version: 1\n"), policy, images, set)}, "", "desired"},
		{"name with a backslash", []testenv.GitEntry{dir("desired", file(`..\x.yaml`, "x"), policy, images, set)}, "GIT003", "desired/"},
		{"folder .git", []testenv.GitEntry{dir("desired", dir(".git", file("config", "x")), policy, images, set)}, "GIT003", "desired/.git"},
		{"name with a line break", []testenv.GitEntry{dir("desired", policy, images, set, file("x\ny.yaml", "x"))}, "GIT003", "desired/"},
		{"odd mode", []testenv.GitEntry{dir("desired", policy, images, testenv.GitEntry{Mode: "10000", Name: "web.yaml", ID: blob(webSet)})}, "GIT004", "desired/web.yaml"},
		{"one name twice", []testenv.GitEntry{dir("desired", policy, images, set, file("web.yaml", "version: 1\nsource: {kind: list, images: [x.example/y:1]}\n"))}, "", "desired"},
		{"too deep", []testenv.GitEntry{dir("desired", testenv.GitEntry{Mode: "40000", Name: "again", ID: loop}, policy, images, set)}, "GIT005", "desired/again"},
		{"folders within folders without end", []testenv.GitEntry{dir("desired", policy, images, set, testenv.GitEntry{Mode: "40000", Name: "wide", ID: wide})}, "GIT006", "desired/wide"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s.during(t)
			good := s.git.Head()
			bad := must(s.git.PutCommit("odd", tree(tt.root...), good))(t)
			point(t, s, bad)
			defer point(t, s, good)
			before := s.outside()
			s.local.Proxy().Reset()
			_, err := s.trySync()
			switch {
			case tt.code != "":
				expectProblem(t, err, tt.code, tt.place)
			case err == nil || !strings.Contains(err.Error(), tt.place):
				t.Errorf("got %v, want a refusal that names %s", err, tt.place)
			}
			if err != nil && strings.Contains(err.Error(), "no policy") {
				t.Errorf("what was not read is called missing: %v", err)
			}
			s.unchanged(before)
			if n := s.local.Proxy().Counts().Total(); n != 0 {
				t.Errorf("%d requests to the local registry for a fleet that is refused", n)
			}
		})
	}
	if r := s.sync()["web"]; r.Plan.Count(mirror.Unchanged) == 0 {
		t.Errorf("back at the honest commit: %s", details(r.Plan))
	}
}

func point(t *testing.T, s *site, commit string) {
	t.Helper()
	if err := s.git.Point("main", commit); err != nil {
		t.Fatal(err)
	}
}
