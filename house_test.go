package main_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/poundlock/poundlock"

// pkg is what go list says of a package.
type pkg struct {
	ImportPath   string
	Dir          string
	Standard     bool
	GoFiles      []string
	CgoFiles     []string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// house gives every package that any of ours needs, by import path. Test files count only by the imports
// that their own package lists.
var house = sync.OnceValues(func() (map[string]pkg, error) {
	// Reading every folder tells the test cache what the answer depends on; it does not see what go list reads.
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && path != "." && strings.HasPrefix(d.Name(), ".") {
			return fs.SkipDir
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("go", "list", "-e", "-deps", "-json=ImportPath,Dir,Standard,GoFiles,CgoFiles,Imports,TestImports,XTestImports", "./...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	all := map[string]pkg{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		all[p.ImportPath] = p
	}
})

func packages(t *testing.T) map[string]pkg {
	t.Helper()
	all, err := house()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// ours gives our packages by their folder, "." being the one at the top, in order.
func ours(t *testing.T) (folders []string, byFolder map[string]pkg) {
	t.Helper()
	byFolder = map[string]pkg{}
	for name, p := range packages(t) {
		if folder, ok := folderOf(name); ok && p.Dir != "" {
			byFolder[folder] = p
			folders = append(folders, folder)
		}
	}
	slices.Sort(folders)
	return folders, byFolder
}

func folderOf(importPath string) (string, bool) {
	if importPath == module {
		return ".", true
	}
	return strings.CutPrefix(importPath, module+"/")
}

// below says whether a folder is one of the listed ones; dir/... stands for dir and all below it.
func below(folder string, list []string) bool {
	return slices.ContainsFunc(list, func(l string) bool {
		dir, deep := strings.CutSuffix(l, "/...")
		return folder == dir || deep && strings.HasPrefix(folder, dir+"/")
	})
}

type room struct {
	rule    string
	folders []string
	may     []string
	inTests []string
}

// rooms says which packages of ours each package may import: the import rules of the house. Tests may
// import what inTests says besides.
var rooms = []room{
	{"the nouns stand alone", []string{"internal/mirror"}, nil, nil},
	{"the pages know nobody", []string{"docs"}, nil, nil},
	{"the reader of files knows nobody", []string{"internal/file"}, nil, nil},
	{"the way out and the forges know no noun of ours", []string{"internal/wire", "internal/forge", "internal/hook", "internal/notify"}, []string{"internal/file"}, testWorld},
	{"encrypted documents are read and written without any noun", []string{"internal/sops"}, nil, nil},
	{"charts are read with the nouns alone", []string{"internal/charts"}, nouns, nil},
	{"packages are read with the nouns alone", []string{"internal/elastic"}, nouns, testWorld},
	{"schemas know no document of ours", []string{"internal/schema"}, nil, nil},
	{"registry and git know the nouns alone", []string{"internal/registry", "internal/registry/embedded", "internal/git"}, append(nouns, "internal/file"), testWorld},
	{"what reads charts knows the nouns and charts, never a sibling", []string{"sources", "sync/render"}, append(nouns, "internal/charts", "internal/elastic", "internal/registry"), testWorld},
	{"a step of the line knows nouns and registries, never a sibling", []string{"sync/plan", "sync/transfer", "sync/promote", "sync/publish", "sync/export", "sync/assemble", "internal/epr"}, append(nouns, "internal/elastic", "internal/registry"), testWorld},
	{"trust material knows the nouns alone", []string{"policy/trust"}, nouns, testWorld},
	{"our own statements are signed and read with trust material", []string{"policy/attest"}, append(nouns, "internal/registry", "policy/trust"), testWorld},
	{"policy judges by trust material and statements", []string{"policy"}, append(nouns, "internal/elastic", "internal/registry", "policy/trust", "policy/attest"), testWorld},
	{"the configuration knows no client and no line", []string{"daemon/config"}, []string{"internal/file", "internal/mirror", "internal/sops", "internal/wire", "sync/publish"}, nil},
	{"the outside world knows neither daemon nor commands", []string{"testenv"}, append(nouns, "internal/registry", "internal/registry/embedded"), []string{"policy/...", "sources"}},
	{"the daemon puts all together, without tests' furniture", []string{"daemon"}, []string{"daemon/config", "internal/file", "internal/mirror", "internal/sops", "internal/wire", "internal/forge", "internal/hook", "internal/notify", "internal/registry/...", "internal/git", "internal/elastic", "internal/epr", "sources", "policy/...", "sync/..."}, testWorld},
	{"the commands call the daemon", []string{"internal/cli"}, []string{"daemon", "daemon/config", "docs", "testenv", "internal/...", "policy/...", "sources", "sync/..."}, testWorld},
	{"main only calls the commands", []string{"."}, []string{"internal/cli"}, testWorld},
}

var (
	nouns     = []string{"internal/mirror"}
	testWorld = []string{"testenv", "internal/mirror", "internal/registry/..."}
)

func TestHouse_ImportsGoOneWay(t *testing.T) {
	folders, byFolder := ours(t)
	for _, folder := range folders {
		i := slices.IndexFunc(rooms, func(r room) bool { return slices.Contains(r.folders, folder) })
		if i < 0 {
			t.Errorf("package %s has no place in the house: give it one in rooms", folder)
			continue
		}
		room := rooms[i]
		check := func(imports, may []string, from string) {
			for _, name := range imports {
				if to, ok := folderOf(name); ok && to != folder && !below(to, may) {
					t.Errorf("%s%s imports %s\n\trule: %s; it may import of ours: %s", folder, from, to, room.rule, orNothing(may))
				}
			}
		}
		p := byFolder[folder]
		inTests := append(slices.Clone(room.may), room.inTests...)
		check(p.Imports, room.may, "")
		check(p.TestImports, inTests, " (its tests)")
		check(p.XTestImports, inTests, " (its tests)")
	}
}

func orNothing(list []string) string {
	if len(list) == 0 {
		return "nothing"
	}
	return strings.Join(list, ", ")
}

// fences keep libraries in the one place that wraps them. They hold for code that is not a test; testenv
// stands outside.
var fences = []struct {
	library string // import path or the start of one
	folders []string
	why     string
}{
	{"github.com/sigstore/", []string{"policy/trust", "policy/attest"}, "signatures are verified and made in one place each"},
	{"cel.dev/cel-go", []string{"policy"}, "conditions are part of policy"},
	{"github.com/hiddeco/sshsig", []string{"internal/git"}, "commits are signed and verified in one place"},
	{"github.com/go-git/", []string{"internal/git"}, "Git is spoken in one place"},
	{"github.com/distribution/distribution/", []string{"internal/registry/embedded"}, "the embedded registry is one package"},
	{"github.com/knadh/koanf/", []string{"daemon/config"}, "configuration is read in one place"},
	{"github.com/robfig/cron/", []string{"daemon", "daemon/config"}, "time belongs to the daemon"},
	{"github.com/google/go-github/", []string{"internal/forge"}, "forges are spoken to in one place"},
	{"gitlab.com/gitlab-org/", []string{"internal/forge"}, "forges are spoken to in one place"},
	{"code.gitea.io/", []string{"internal/forge"}, "forges are spoken to in one place"},
	{"github.com/spf13/", []string{"internal/cli"}, "flags belong to the commands"},
	{"helm.sh/helm/", []string{"internal/charts"}, "charts are read in one place, within limits and without network and cluster"},
	{"sigs.k8s.io/kustomize/", []string{"internal/charts"}, "kustomizations are built in one place, where what they load is checked before"},
	{"k8s.io/client-go", nil, "no cluster is asked"},
	{"os/signal", []string{".", "internal/cli"}, "signals belong to the process"},
}

func TestHouse_FencesHold(t *testing.T) {
	folders, byFolder := ours(t)
	for _, folder := range folders {
		for _, fence := range fences {
			if folder == "testenv" || slices.Contains(fence.folders, folder) {
				continue
			}
			for _, name := range byFolder[folder].Imports {
				if strings.HasPrefix(name, fence.library) {
					t.Errorf("%s imports %s\n\tfence: only %s may; %s", folder, name, strings.Join(fence.folders, ", "), fence.why)
				}
			}
		}
	}
}

// heavy lists what must never be linked: it multiplies the binary and its attack surface, and all of it
// has a light neighbour that we use.
var heavy = []string{
	"github.com/sigstore/cosign/v2/cmd",
	"github.com/sigstore/cosign/v2/pkg/policy",
	"github.com/sigstore/cosign/v2/pkg/signature",
	"github.com/sigstore/cosign/v2/pkg/cosign/kubernetes",
	"github.com/sigstore/cosign/v2/pkg/cosign/pkcs11key",
	"github.com/sigstore/cosign/v2/pkg/providers/all",
	"k8s.io/client-go/kubernetes/typed", // Helm's engine links the rest: it could ask a cluster and is given none
	"k8s.io/client-go/informers",
	"k8s.io/client-go/tools/cache",
	"k8s.io/cli-runtime",
	"helm.sh/helm/v3/pkg/action",
	"helm.sh/helm/v3/pkg/getter",
	"helm.sh/helm/v3/pkg/registry",
	"helm.sh/helm/v3/pkg/repo",
	"github.com/aws",
	"github.com/Azure/azure-sdk-for-go",
	"github.com/AzureAD",
	"cloud.google.com/go",
	"google.golang.org/api",
	"github.com/hashicorp/vault",
	"github.com/open-policy-agent/opa",
	"cuelang.org/go",
}

func TestHouse_LinksNoHeavyPackage(t *testing.T) {
	all := packages(t)
	folders, byFolder := ours(t)
	var names []string
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		i := slices.IndexFunc(heavy, func(h string) bool { return name == h || strings.HasPrefix(name, h+"/") })
		if i < 0 {
			continue
		}
		var roots []string
		for _, f := range folders {
			roots = append(roots, byFolder[f].ImportPath)
		}
		t.Errorf("%s is linked\n\tby: %s\n\trule: nothing of %s", name, strings.Join(chain(all, roots, name), " > "), heavy[i])
	}
}

// chain gives a shortest way of imports from one of the roots to a package.
func chain(all map[string]pkg, roots []string, to string) []string {
	from := map[string]string{}
	for _, r := range roots {
		from[r] = ""
	}
	for queue := roots; len(queue) > 0; queue = queue[1:] {
		if queue[0] == to {
			break
		}
		for _, next := range all[queue[0]].Imports {
			if _, seen := from[next]; !seen {
				from[next] = queue[0]
				queue = append(queue, next)
			}
		}
	}
	var way []string
	for at := to; at != ""; at = from[at] {
		way = append([]string{at}, way...)
	}
	return way
}

// named are the libraries that Poundlock is asked to be built on.
var named = []string{
	"github.com/go-git/go-git/v5",
	"github.com/google/go-containerregistry",
	"github.com/robfig/cron/v3",
	"github.com/sigstore/cosign/v2",
	"github.com/knadh/koanf/v2",
}

func TestHouse_UsesTheNamedLibraries(t *testing.T) {
	folders, byFolder := ours(t)
	for _, library := range named {
		used := slices.ContainsFunc(folders, func(folder string) bool {
			return folder != "testenv" && slices.ContainsFunc(byFolder[folder].Imports, func(name string) bool {
				return name == library || strings.HasPrefix(name, library+"/")
			})
		})
		if !used {
			t.Errorf("no package but tests and testenv imports %s", library)
		}
	}
}

// calls lists functions that may be called only in some folders, in code that is not a test.
var calls = []struct {
	importPath string
	functions  []string
	folders    []string
	why        string
}{
	{"time", []string{"Now", "Since", "Until"}, []string{"daemon", "internal/cli"}, "a cycle takes its time once and hands it down as a value"},
	{"os", []string{"Exit"}, []string{".", "internal/cli"}, "only the process decides when it ends"},
	{"log", []string{"Fatal", "Fatalf", "Fatalln"}, nil, "only the process decides when it ends"},
	{"os/signal", []string{"Notify", "NotifyContext", "Ignore", "Reset"}, []string{".", "internal/cli"}, "signals belong to the process"},
	{"fmt", []string{"Print", "Printf", "Println"}, nil, "packages below the commands are silent; commands write to the writer they are given"},
}

func TestHouse_ClockAndProcessStayInTheirRooms(t *testing.T) {
	folders, byFolder := ours(t)
	for _, folder := range folders {
		if folder == "testenv" {
			continue
		}
		p := byFolder[folder]
		for _, file := range append(slices.Clone(p.GoFiles), p.CgoFiles...) {
			for _, fault := range strayCalls(t, folder, filepath.Join(p.Dir, file)) {
				t.Error(fault)
			}
		}
	}
}

// strayCalls gives every mention of a function of calls in a file whose folder may not use it. A mention
// counts like a call, since a function value can be called anywhere.
func strayCalls(t *testing.T, folder, file string) []string {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var faults []string
	imported := map[string]string{} // path by the name it has in the file
	for _, spec := range f.Imports {
		importPath, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		name := path.Base(importPath)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		if name == "." {
			faults = append(faults, fmt.Sprintf("%s: dot import of %s\n\trule: none, it hides where a name comes from", fset.Position(spec.Pos()), importPath))
		}
		imported[name] = importPath
	}
	ast.Inspect(f, func(n ast.Node) bool {
		selector, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		x, ok := selector.X.(*ast.Ident)
		if !ok {
			return true
		}
		for _, c := range calls {
			if imported[x.Name] == c.importPath && slices.Contains(c.functions, selector.Sel.Name) && !slices.Contains(c.folders, folder) {
				rel, _ := strings.CutPrefix(fset.Position(n.Pos()).String(), filepath.Dir(file)+"/")
				faults = append(faults, fmt.Sprintf("%s/%s: %s.%s\n\trule: only in %s; %s", folder, rel, x.Name, selector.Sel.Name, orNothing(c.folders), c.why))
			}
		}
		return true
	})
	return faults
}

func TestHouse_SeesACallUnderAnotherName(t *testing.T) {
	file := filepath.Join(t.TempDir(), "clock.go")
	source := "package clock\n\nimport wall \"time\"\n\nvar Now = wall.Now\nvar Day = 24 * wall.Hour\n"
	if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	faults := strayCalls(t, "sync/plan", file)
	if len(faults) != 1 || !strings.HasPrefix(faults[0], "sync/plan/clock.go:5:11: wall.Now\n\trule: only in daemon, internal/cli") {
		t.Errorf("faults = %q", faults)
	}
	if faults := strayCalls(t, "daemon", file); len(faults) > 0 {
		t.Errorf("in daemon: %q", faults)
	}
}

// top is everything that may lie at the top level of the repository, besides dot files.
var top = []string{"daemon", "sync", "policy", "sources", "config.example.yaml", "deploy", "testenv", "go.mod", "go.sum",
	"main.go", "docs", "internal", "README.md", "LICENSE", "CONTRIBUTING.md", "house_test.go"}

func TestHouse_TopLevelIsShort(t *testing.T) {
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	ignored := ignoredPatterns(t)
	for _, e := range entries {
		known := slices.Contains(top, e.Name()) || strings.HasPrefix(e.Name(), ".") ||
			slices.ContainsFunc(ignored, func(p string) bool { ok, _ := path.Match(p, e.Name()); return ok })
		if !known {
			t.Errorf("%s lies at the top level\n\trule: only %s", e.Name(), strings.Join(top, ", "))
		}
	}
}

// ignoredPatterns reads the patterns of .gitignore that concern the top level: what a build leaves there.
func ignoredPatterns(t *testing.T) []string {
	t.Helper()
	data, err := os.ReadFile(".gitignore")
	if err != nil {
		t.Fatal(err)
	}
	var patterns []string
	for line := range strings.Lines(string(data)) {
		if line = strings.Trim(strings.TrimSpace(line), "/"); line != "" && !strings.HasPrefix(line, "#") && !strings.Contains(line, "/") {
			patterns = append(patterns, line)
		}
	}
	return patterns
}

func TestHouse_SyncHoldsNoPackage(t *testing.T) {
	files, err := filepath.Glob("sync/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		t.Errorf("%s: sync/ itself holds no package, so that the standard library's sync keeps its name", f)
	}
}

// TestDocs_EveryCodeIsExplained holds the codes of problems in the program and in docs/troubleshooting.md
// together.
func TestDocs_EveryCodeIsExplained(t *testing.T) {
	page, err := os.ReadFile("docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	code := regexp.MustCompile(`^[A-Z]{3,4}[0-9]{3}$`)
	explained := map[string]bool{}
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 || !code.MatchString(strings.TrimSpace(cells[1])) {
			continue
		}
		name := strings.TrimSpace(cells[1])
		if explained[name] {
			t.Errorf("%s is explained twice", name)
		}
		explained[name] = true
	}
	used := map[string]string{}
	_, byFolder := ours(t)
	for folder, p := range byFolder {
		for _, file := range p.GoFiles {
			tree, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, file), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(tree, func(n ast.Node) bool {
				if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
					if text, err := strconv.Unquote(lit.Value); err == nil && code.MatchString(text) {
						used[text] = path.Join(folder, file)
					}
				}
				return true
			})
		}
	}
	for name, where := range used {
		if !explained[name] {
			t.Errorf("docs/troubleshooting.md does not explain %s (%s)", name, where)
		}
	}
	for name := range explained {
		if used[name] == "" {
			t.Errorf("docs/troubleshooting.md explains %s, which nothing says", name)
		}
	}
}
