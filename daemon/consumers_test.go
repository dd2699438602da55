package daemon

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

const (
	nodes     = "desired/consumers/nodes.yaml"
	nodesFile = "rendered/demo/consumers/nodes/certs.d/%/hosts.toml"
	runsBoth  = "version: 1\nruns: [{set: apps, stage: snapshot}, {set: tools, stage: snapshot}]\nrender: {containerd: {}}\n"
)

func hostsFile(host string) string { return strings.ReplaceAll(nodesFile, "%", host) }

// consumerSite has two sets on docker.io, of which apps is on ghcr.io too and lies below a path of its own, and a consumer
// that runs both.
func consumerSite(t *testing.T) (s *site, app, tool, other mirror.Reference) {
	t.Helper()
	s = newSite(t, map[string]string{"desired/policy.yaml": pinnedPolicy})
	app, tool, other = s.push("docker.io/library/app:1", "app"), s.push("docker.io/library/tool:1", "tool"), s.push("ghcr.io/example/other:1", "other")
	s.commit("sets", map[string]string{
		"desired/apps.yaml":  "version: 1\nsource: {kind: list, file: apps.txt}\nlayout: path\npaths: {docker.io: apps}\n",
		"desired/apps.txt":   list(app, other),
		"desired/tools.yaml": "version: 1\nsource: {kind: list, file: tools.txt}\nlayout: path\n",
		"desired/tools.txt":  list(tool),
		nodes:                runsBoth,
	})
	return s, app, tool, other
}

// names fails the test where a file of the fleet does not name just these paths, in this order.
func (s *site) names(file string, paths ...string) {
	s.t.Helper()
	text, at := s.file(file), -1
	for _, path := range paths {
		i := strings.Index(text, `[host."http://registry.site.example:5000/v2/mirror/snapshot/`+path+`"]`)
		if i <= at {
			i = strings.Index(text, "/v2/mirror/snapshot/"+path+`"]`)
		}
		if i <= at {
			s.t.Errorf("%s does not name %s in its place:\n%s", file, path, text)
		}
		at = i
	}
	if got := strings.Count(text, "[host."); got != len(paths) {
		s.t.Errorf("%s names %d places, want %v:\n%s", file, got, paths, text)
	}
}

func TestConsumers_AreMadeOfAllTheirSets(t *testing.T) {
	t.Parallel()
	s, _, tool, _ := consumerSite(t)
	s.sync()
	s.names(hostsFile("docker.io"), "apps", "docker.io")
	s.names(hostsFile("ghcr.io"), "ghcr.io")

	s.commit("the other order", map[string]string{nodes: strings.Replace(runsBoth, "[{set: apps, stage: snapshot}, {set: tools, stage: snapshot}]", "[{set: tools, stage: snapshot}, {set: apps, stage: snapshot}]", 1)})
	before := s.git.Head()
	s.poll()
	if s.git.Head() == before {
		t.Error("a change of a consumer alone makes no commit")
	}
	s.names(hostsFile("docker.io"), "docker.io", "apps")

	s.commit("one host less", map[string]string{"desired/apps.txt": list(s.push("docker.io/library/app:2", "newer"))})
	s.sync()
	if text := s.file(hostsFile("ghcr.io")); text != "" {
		t.Errorf("a file that nothing renders stays:\n%s", text)
	}
	s.names(hostsFile("docker.io"), "docker.io", "apps")

	head := s.git.Head()
	s.reset()
	for _, w := range []Wake{{Why: "poll"}, {Why: "schedule", Resolve: true}} {
		s.cycle(w)
	}
	if l, u := s.local.Proxy().Counts().Total(), s.upstream.Proxy().Counts().Total(); l+u != 0 || s.git.Head() != head {
		t.Errorf("nothing changed: %d local and %d upstream requests, head %s, was %s", l, u, s.git.Head(), head)
	}
	s.wipe()
	s.sync()
	if s.git.Head() != head {
		t.Errorf("a state that was lost makes a commit: %s", must(s.git.Log())(t)[0].Message)
	}

	s.commit("no consumer", map[string]string{nodes: ""})
	head = s.git.Head()
	s.sync()
	if s.git.Head() != head || s.file(hostsFile("docker.io")) == "" {
		t.Error("the files of a consumer that nobody asks for are not left as they are")
	}
	d := must(s.looking(true).Preview(t.Context(), PreviewOptions{}))(t)
	if len(d.Orphans) != 1 || d.Orphans[0].Consumer != "nodes" || d.Orphans[0].Folder != "rendered/demo/consumers/nodes" {
		t.Errorf("orphans: %+v", d.Orphans)
	}
	if got := must(s.looking(true).Trace(t.Context(), tool.String()))(t); len(got.Found) != 1 || len(got.Found[0].Files) != 1 {
		t.Errorf("the files of a consumer that is none are traced: %+v", got.Found)
	}
}

// What another set records counts only where this process judged it: everything else could be an edit.
func TestConsumers_KeepTheirBytesUntilAllOfTheirSetsAreJudged(t *testing.T) {
	t.Parallel()
	s, app, _, _ := consumerSite(t)
	s.sync()
	s.wipe()
	before := s.file(hostsFile("docker.io"))
	s.commit("another path", map[string]string{"desired/apps.yaml": "version: 1\nsource: {kind: list, file: apps.txt}\nlayout: path\npaths: {docker.io: moved}\n", "desired/apps.txt": list(app)})
	s.open()
	only := must(s.line.Sync(t.Context(), Wake{Why: "test", Resolve: true, Only: []string{"apps"}}))(t)
	if kept := keptFolders(only[0].Plan)["rendered/demo/consumers/nodes"]; !strings.Contains(kept, "set tools was not looked at yet") {
		t.Errorf("it is not said why: %q", kept)
	}
	if !strings.Contains(s.file("rendered/demo/record/apps/snapshot.yaml"), app.String()) || s.file(hostsFile("docker.io")) != before || s.file(hostsFile("ghcr.io")) == "" {
		t.Errorf("made from a set that was not judged:\n%s", s.file(hostsFile("docker.io")))
	}
	s.sync()
	s.names(hostsFile("docker.io"), "moved", "docker.io")

	// People edit the record of the other set: it says nothing until that set was looked at again.
	record := "rendered/demo/record/tools/snapshot.yaml"
	s.commit("by hand", map[string]string{record: strings.ReplaceAll(s.file(record), "library/tool:1", "library/fool:1"), hostsFile("docker.io"): "# mine\n",
		"desired/apps.yaml": "version: 1\nsource: {kind: list, file: apps.txt}\nlayout: path\npaths: {docker.io: again}\n"})
	only = must(s.line.Sync(t.Context(), Wake{Why: "test", Resolve: true, Only: []string{"apps"}}))(t)
	if kept := keptFolders(only[0].Plan)["rendered/demo/consumers/nodes"]; !strings.Contains(kept, "is not what was judged here") || s.file(hostsFile("docker.io")) != "# mine\n" {
		t.Errorf("made from an edited record, or not said: %q\n%s", kept, s.file(hostsFile("docker.io")))
	}
	s.sync()
	s.names(hostsFile("docker.io"), "again", "docker.io")
}

// keptFolders gives why folders keep their bytes.
func keptFolders(p mirror.Plan) map[string]string {
	kept := map[string]string{}
	for _, a := range p.Actions {
		if a.Path != "" && a.Kind != mirror.Render {
			kept[a.Path] = string(a.Kind) + " " + a.Reason.String()
		}
	}
	return kept
}

// A set that moves as a whole is half here: its consumer keeps what it has, also what comes of its other sets.
func TestConsumers_TakeNoHalfRelease(t *testing.T) {
	t.Parallel()
	s, _, _, _ := consumerSite(t)
	one, two := s.push("docker.io/ess/one:1", "one"), s.push("quay.io/ess/two:1", "two")
	s.commit("an atomic set", map[string]string{"desired/ess.yaml": "version: 1\nsource: {kind: ess, file: ess/e.yml}\nlayout: path\n", "desired/ess/e.yml": manyDigests([]mirror.Reference{one}),
		nodes: strings.Replace(runsBoth, "[", "[{set: ess, stage: snapshot}, ", 1)})
	s.sync()
	s.names(hostsFile("docker.io"), "docker.io", "apps")
	gone := two.WithDigest(mirror.DigestOf([]byte("nowhere")))
	s.commit("more", map[string]string{"desired/ess/e.yml": manyDigests([]mirror.Reference{one, gone}), "desired/apps.txt": list(s.push("quay.io/example/app:1", "quay"))})
	r := s.sync()
	var kept string
	for _, one := range r {
		kept += keptFolders(one.Plan)["rendered/demo/consumers/nodes"]
	}
	if !strings.Contains(kept, "set ess at snapshot") || s.file(hostsFile("quay.io")) != "" {
		t.Errorf("half a release is rendered, or it is not said why nothing is: %q", kept)
	}
	s.commit("whole", map[string]string{"desired/ess/e.yml": manyDigests([]mirror.Reference{one, two})})
	s.sync()
	s.names(hostsFile("quay.io"), "quay.io")
}

// The plan shows the files of consumers that the sync changes, and no others.
func TestConsumers_ThePlanIsTrue(t *testing.T) {
	t.Parallel()
	s, app, tool, _ := consumerSite(t)
	for _, step := range []struct {
		name  string
		files map[string]string
	}{
		{"at first", nil},
		{"nothing", map[string]string{"README.md": "x\n"}},
		{"a consumer", map[string]string{nodes: strings.Replace(runsBoth, "containerd: {}", "containerd: {fallback: true}", 1)}},
		{"a set", map[string]string{"desired/apps.txt": list(app)}},
		{"a set whose hosts stay", map[string]string{"desired/tools.txt": list(tool, s.push("docker.io/library/more:1", "more"))}},
		{"a consumer more", map[string]string{"desired/consumers/more.yaml": strings.Replace(runsBoth, "{set: apps, stage: snapshot}, ", "", 1)}},
		{"an edit by hand", map[string]string{hostsFile("docker.io"): "# mine\n", "rendered/demo/consumers/nodes/stray": "x\n"}},
	} {
		if step.files != nil {
			s.commit(step.name, step.files)
		}
		d := must(s.looking(false).Preview(t.Context(), PreviewOptions{Refresh: true}))(t)
		var shown []string
		for _, row := range rows(d, mirror.Render) {
			shown = append(shown, row.Path)
		}
		slices.Sort(shown)
		before := s.rendered()
		s.sync()
		if changed := differing(before, s.rendered()); !slices.Equal(shown, changed) {
			t.Errorf("%s: the plan shows %v, the sync changed %v", step.name, shown, changed)
		}
	}
}

// Two daemons make the same of the same records, whichever comes first, and write nothing over each other.
func TestConsumers_TwoDaemonsAgree(t *testing.T) {
	t.Parallel()
	s, app, tool, other := consumerSite(t)
	two := s.twin()
	s.sync()
	two.sync()
	rest(t, s, two)
	s.commit("more", map[string]string{"desired/tools.txt": list(tool, s.push("quay.io/example/more:1", "more"))})
	two.sync()
	s.commit("more", map[string]string{"desired/apps.txt": list(app, other, s.push("quay.io/example/app:1", "quay app"))})
	s.sync()
	s.names(hostsFile("quay.io"), "quay.io")
	rest(t, two, s)
}

func TestConsumers_StandInTheBranchOfRendered(t *testing.T) {
	t.Parallel()
	s, _, _, _ := consumerSite(t)
	s.config = strings.Replace(s.config, "  insecure: true\n", "  insecure: true\n  stateBranch: "+stateBranch+"\n", 1)
	s.sync()
	on := func(branch string) string { return must(s.git.Files(branch))(t)[hostsFile("docker.io")] }
	if on("main") != "" || !strings.Contains(on(stateBranch), "snapshot/apps") {
		t.Errorf("main: %q, %s: %q", on("main"), stateBranch, on(stateBranch))
	}
	head := must(s.git.Log())(t)[0].ID
	s.commit("another path", map[string]string{"desired/apps.yaml": "version: 1\nsource: {kind: list, file: apps.txt}\nlayout: path\npaths: {docker.io: moved}\n"})
	s.sync()
	if text := on(stateBranch); !strings.Contains(text, "snapshot/moved") || !strings.Contains(text, "snapshot/docker.io") {
		t.Errorf("after %s:\n%s", head, text)
	}
}

// An override never names content that the local registry does not hold. What it lost is looked for and comes back.
func TestOverrides_NameNothingThatTheRegistryLacks(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{"desired/policy.yaml": pinnedPolicy})
	images := []mirror.Reference{s.push("docker.io/ess/one:1", "one"), s.push("docker.io/ess/two:1", "two")}
	ess := func(name string) string {
		return "version: 1\nsource: {kind: ess, file: ess/e.yml}\nlayout: path\nrender: {element: {name: " + name + "}}\n"
	}
	const file = "rendered/demo/ess/snapshot/images-digests.yaml"
	s.commit("a set", map[string]string{"desired/ess.yaml": ess("first"), "desired/ess/e.yml": manyDigests(images)})
	s.sync()
	s.reset()
	s.commit("another name", map[string]string{"desired/ess.yaml": ess("second")})
	s.poll()
	if got := s.local.Proxy().Counts(); !strings.Contains(s.file(file), "second") || got.Total() == 0 || got.Writes() != 0 {
		t.Errorf("%d requests, %d of them writes: %v\n%s", got.Total(), got.Writes(), got.Paths, s.file(file))
	}
	before := s.file(file)
	s.loses("mirror/snapshot/docker.io/ess/two", "_manifests")
	s.commit("a third name", map[string]string{"desired/ess.yaml": ess("third")})
	r := s.poll()["ess"]
	kept := keptFolders(r.Plan)["rendered/demo/ess/snapshot"]
	if s.file(file) != before || !strings.HasPrefix(kept, "refuse kept as it was: the local registry does not hold "+localName+"/mirror/snapshot/docker.io/ess/two@"+images[1].Digest.String()) {
		t.Errorf("got %q\n%s", kept, s.file(file))
	}
	s.now = s.now.Add(time.Minute)
	s.sync()
	if text := s.file(file); !strings.Contains(text, "third") {
		t.Errorf("it does not come back: %v\n%s", details(r.Plan), text)
	}
	s.whole()
}

// What render shows is what Git holds, until somebody edits it.
func TestRendered_ComparesWithGit(t *testing.T) {
	t.Parallel()
	s, _, _, _ := consumerSite(t)
	s.commit("tools render too", map[string]string{"desired/tools.yaml": "version: 1\nsource: {kind: list, file: tools.txt}\nlayout: path\nrender: {containerd: {}}\n"})
	s.sync()
	states := func(o RenderOptions) map[string]FileState {
		t.Helper()
		folders, commit, err := s.looking(false).Rendered(t.Context(), o)
		if err != nil || commit != s.git.Head() {
			t.Fatalf("commit %s, %v", commit, err)
		}
		all := map[string]FileState{}
		for _, folder := range folders {
			for _, file := range folder.Files {
				all[file.Path] = file.State
				if file.State == FileSame && file.Text != s.file(file.Path) {
					t.Errorf("%s: shown otherwise than it is in Git", file.Path)
				}
			}
		}
		return all
	}
	const ofTools = "rendered/demo/tools/snapshot/certs.d/docker.io/hosts.toml"
	want := map[string]FileState{hostsFile("docker.io"): FileSame, hostsFile("ghcr.io"): FileSame, ofTools: FileSame}
	if got := states(RenderOptions{}); !maps.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	if got := states(RenderOptions{Of: "tools", Stage: "snapshot", Kind: "containerd"}); !maps.Equal(got, map[string]FileState{ofTools: FileSame}) {
		t.Errorf("of one set: %v", got)
	}
	s.commit("by hand", map[string]string{hostsFile("docker.io"): "# mine\n", hostsFile("ghcr.io"): "", "rendered/demo/consumers/nodes/stray": "x\n"})
	want = map[string]FileState{hostsFile("docker.io"): FileDiffers, hostsFile("ghcr.io"): FileMissing, "rendered/demo/consumers/nodes/stray": FileStray}
	if got := states(RenderOptions{Of: "consumers/nodes"}); !maps.Equal(got, want) {
		t.Errorf("after an edit: %v", got)
	}
	for _, o := range []RenderOptions{{Of: "tool"}, {Of: "consumers/node"}, {Stage: "stagin"}, {Of: "consumers/nodes", Stage: "snapshot"}, {Kind: "contanerd"}} {
		_, _, err := s.looking(false).Rendered(t.Context(), o)
		if problems, ok := err.(mirror.Problems); !ok || len(problems) != 1 || problems[0].Fix == "" {
			t.Errorf("%+v: got %v", o, err)
		}
	}
}

// Trace names the line of a consumer's file that sends a node to the image.
func TestTrace_NamesTheFilesOfConsumers(t *testing.T) {
	t.Parallel()
	s, app, _, _ := consumerSite(t)
	s.sync()
	got := must(s.looking(true).Trace(t.Context(), app.String()))(t)
	var lines []string
	for _, m := range got.Found[0].Files {
		lines = append(lines, m.File+": "+strings.Split(s.file(m.File), "\n")[m.Line-1])
	}
	if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, hostsFile("docker.io")) }) ||
		slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, "/docker.io\"") || strings.Contains(l, "ghcr.io") }) {
		t.Errorf("got %s", strings.Join(lines, "\n"))
	}
	for line, want := range map[string]bool{`"https://h/v2/m/snapshot/apps"`: true, "x m/snapshot/apps": true, "m/snapshot/apps-more": false, "em/snapshot/apps": false, "m/snapshot/apps-more m/snapshot/apps:": true, "": false} {
		if namesPlace(line, "m/snapshot/apps") != want {
			t.Errorf("%q: want %t", line, want)
		}
	}
}

func TestLastNames_HasConsumers(t *testing.T) {
	t.Parallel()
	s, _, _, _ := consumerSite(t)
	s.sync()
	file := filepath.Join(s.dir, "config.yaml")
	if _, err := os.Stat(file); err != nil {
		t.Fatal(err)
	}
	n := must(LastNames(t.Context(), s.line.config))(t)
	if !slices.Equal(n.Consumers, []string{"consumers/nodes"}) {
		t.Errorf("got %v", n.Consumers)
	}
}
