package render

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

// sixtyHosts are the upstream hosts of the sixty images, in turn; sixtyNames the repositories of Docker Hub's own.
var (
	sixtyHosts = []string{"docker.io", "ghcr.io", "quay.io", "registry.k8s.io", "gcr.io", "us-docker.pkg.dev", "registry.example:5000", "docker.io", "oci.element.io", "docker.io"}
	sixtyNames = []string{"haproxy", "redis", "postgres", "nginx", "busybox", "alpine"}
)

// sixtyImage is image i of sixty, from 0: of ten hosts, some official at Docker Hub, with tag and digest, or with a
// digest alone.
func sixtyImage(i int) mirror.Reference {
	image := mirror.Reference{Host: sixtyHosts[i%len(sixtyHosts)], Repository: fmt.Sprintf("team-%d/app.%d", i%7, i), Tag: fmt.Sprintf("1.%d0", i),
		Digest: mirror.DigestOf(fmt.Appendf(nil, "image %d", i))}
	switch i % 10 {
	case 0:
		image.Repository = "library/" + sixtyNames[i/10]
	case 4:
		image.Repository = fmt.Sprintf("deep/er/path_%d/app", i)
	case 5:
		image.Tag = "" // by digest alone
	case 6:
		image.Tag = fmt.Sprintf("v%d.0.0-rc.1_x", i)
	}
	return image
}

// sixtyEntry names image i as component/container.
func sixtyEntry(i int) string { return fmt.Sprintf("component_%d/container_%d", i/3, i) }

var sixtyLocal = mirror.Local{Host: "registry.corp.example:5000", Prefix: "mirror", Site: "site"}

// sixtyFleet is a fleet of sixty images. render is YAML of what set or consumer ask for, such as "containerd: {}". The
// set main has the first forty and tools the rest, where a consumer asks (runs: main at production, tools at
// snapshot); the set main has all sixty where a set asks.
type sixtyFleet struct {
	files    mirror.Files
	sets     []mirror.Set
	records  map[string]mirror.Record
	consumer mirror.Consumer
}

// sixty makes a fleet whose set main asks for render. All sixty images stand at snapshot and at production.
func sixty(t *testing.T, layout mirror.LayoutKind, render string) sixtyFleet {
	t.Helper()
	return sixtyOf(t, map[string][2]int{"main": {0, 60}}, mirror.Files{"desired/main.yaml": sixtySet(layout, render)})
}

// sixtyConsumer makes a fleet whose consumer edge asks for render.
func sixtyConsumer(t *testing.T, render string) sixtyFleet {
	t.Helper()
	return sixtyOf(t, map[string][2]int{"main": {0, 40}, "tools": {40, 60}}, mirror.Files{
		"desired/main.yaml": sixtySet(mirror.LayoutPath, ""), "desired/tools.yaml": sixtySet(mirror.LayoutPath, ""),
		"desired/consumers/edge.yaml": []byte("version: 1\nruns:\n  - {set: main, stage: production}\n  - {set: tools, stage: snapshot}\nrender: {" + render + "}\n"),
	})
}

func sixtySet(layout mirror.LayoutKind, render string) []byte {
	kind := "ess"
	if strings.HasPrefix(render, "esshelm") {
		kind = "esshelm" // values of the chart come from its own source alone
	}
	return fmt.Appendf(nil, "version: 1\nsource: {kind: %s, file: ess/e.yml}\nlayout: %s\nstages: [snapshot, production]\npaths: {ghcr.io: gh}\nrender: {%s}\n", kind, layout, render)
}

func sixtyOf(t *testing.T, ranges map[string][2]int, files mirror.Files) sixtyFleet {
	t.Helper()
	for set, r := range ranges {
		var b strings.Builder
		b.WriteString("version: 1\nentries:\n")
		for i := r[0]; i < r[1]; i++ {
			fmt.Fprintf(&b, "  %s: %q\n", sixtyEntry(i), sixtyImage(i))
		}
		files["stages/"+set+"/production.yaml"] = []byte(b.String())
	}
	files["desired/ess/e.yml"] = []byte("{}\n") // where a renderer looks into the chart itself: nothing more is known of it
	files["desired/templates/sixty.tmpl"] = []byte(sixtyTemplate)
	desired, ps := mirror.ParseDesired("", files)
	if err := ps.Err(); err != nil {
		t.Fatal(err)
	}
	f := sixtyFleet{files: files, sets: desired.Sets, records: map[string]mirror.Record{}}
	for i := range f.sets {
		set := &f.sets[i]
		standing := mirror.Standing{}
		for n := ranges[set.Name][0]; n < ranges[set.Name][1]; n++ {
			set.Entries = append(set.Entries, mirror.Entry{Name: sixtyEntry(n), Image: sixtyImage(n)})
			standing.Put(sixtyEntry(n), mirror.Line{Image: sixtyImage(n), Proven: true})
		}
		f.records[set.Name] = mirror.Record{Stages: map[mirror.Stage]mirror.Standing{"snapshot": standing, "production": maps.Clone(standing)}}
	}
	if len(desired.Consumers) > 0 {
		f.consumer = desired.Consumers[0]
	}
	return f
}

// rendered gives the files of production: of the consumer where there is one, else of the set main, relative to their
// folder.
func (f sixtyFleet) rendered(t *testing.T) mirror.Files {
	t.Helper()
	var problems mirror.Problems
	var r Result
	dir := ""
	if f.consumer.Name != "" {
		problems = CheckConsumer(f.consumer, f.sets, f.files)
		r, dir = Consumer(sixtyLocal, f.consumer, f.sets, f.records, f.files), ConsumerDir(sixtyLocal, f.consumer)
	} else {
		problems = Check(f.sets[0], f.files)
		r, dir = Files(sixtyLocal, f.sets[0], f.records["main"], mirror.Plan{}, f.files), Dir(sixtyLocal, f.sets[0], "production")
	}
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	if len(r.Kept) > 0 {
		t.Fatalf("kept: %+v", r.Kept)
	}
	files := mirror.Files{}
	for name, body := range r.Files {
		if rest, ok := strings.CutPrefix(name, dir+"/"); ok {
			files[rest] = body
		}
	}
	if len(files) == 0 {
		t.Fatal("nothing is rendered")
	}
	return files
}

// lies gives where each of the sixty images lies for the fleet at production, as a consumer must find it: repository,
// tag and digest.
func (f sixtyFleet) lies() map[mirror.Reference]mirror.Reference {
	all := map[mirror.Reference]mirror.Reference{}
	for _, set := range f.sets {
		stage := mirror.Stage("production")
		if set.Name == "tools" {
			stage = "snapshot"
		}
		for _, e := range set.Entries {
			all[e.Image] = sixtyLocal.Pointer(set, stage, e.Name, e.Image).WithDigest(e.Image.Digest)
		}
	}
	return all
}

// write puts files below a new folder and gives its path.
func write(t *testing.T, files mirror.Files) string {
	t.Helper()
	root := t.TempDir()
	for name, body := range files {
		target := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(target, body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// sixtyAsks has what a set or a consumer asks for of a kind whose options are not all optional.
var sixtyAsks = map[string]string{
	"template":          "template: {files: [{name: all.yaml, from: templates/sixty.tmpl}]}",
	"containerd-config": "containerd-config: {fallback: true}",
	"helm":              "helm: {images: {a.image: {entry: component_0/container_0, form: image}, b.image: {entry: component_4/container_12, form: registry+repository+tag+digest}}}",
	"docker":            "docker: {fallback: true, mirror: 'https://hub.corp.example'}",
	"eck":               "eck: {version: 9.3.0, image: component_4/container_12}",
	"package-registry":  "package-registry: {image: component_4/container_12}",
}

// sixtyNever are kinds whose files name no image.
var sixtyNever = map[string]bool{"kibana": true}

// sixtySetsOnly are kinds that a consumer of two sets at two stages cannot have.
var sixtySetsOnly = map[string]bool{"docker": true}

const sixtyTemplate = "{{ range .Images }}{{ quote .Entry }}: {{ quote .Local.Ref }}\n{{ end }}"

func sixtyAsk(kind string) string {
	if ask, special := sixtyAsks[kind]; special {
		return ask
	}
	return kind + ": {}"
}

// eachSixty runs a test for every kind, for a set and for a consumer, as far as the kind may be asked there.
func eachSixty(t *testing.T, test func(t *testing.T, make func(t *testing.T) sixtyFleet)) {
	for _, kind := range Kinds() {
		if _, err := os.Stat(filepath.Join("testdata", kind)); err != nil || sixtyNever[kind] {
			continue // told by TestKinds_RenderTheirFixtures
		}
		if slices.Contains(KindsFor(false), kind) {
			t.Run(kind+"/set", func(t *testing.T) {
				test(t, func(t *testing.T) sixtyFleet { return sixty(t, mirror.LayoutPath, sixtyAsk(kind)) })
			})
		}
		if slices.Contains(KindsFor(true), kind) && !sixtySetsOnly[kind] {
			t.Run(kind+"/consumer", func(t *testing.T) {
				test(t, func(t *testing.T) sixtyFleet { return sixtyConsumer(t, sixtyAsk(kind)) })
			})
		}
	}
}

// No change means byte-identical files, in whatever order the input comes; maps come in another order every time.
func TestSixty_TheOrderOfTheInputChangesNothing(t *testing.T) {
	eachSixty(t, func(t *testing.T, make func(t *testing.T) sixtyFleet) {
		f := make(t)
		if f.consumer.Name == "" {
			delete(f.records["main"].Stages, "snapshot") // one stage is enough
		}
		want := f.rendered(t)
		for range 100 {
			for i := range f.sets {
				rand.Shuffle(len(f.sets[i].Entries), func(a, b int) {
					f.sets[i].Entries[a], f.sets[i].Entries[b] = f.sets[i].Entries[b], f.sets[i].Entries[a]
				})
			}
			rand.Shuffle(len(f.sets), func(a, b int) { f.sets[a], f.sets[b] = f.sets[b], f.sets[a] })
			if f.consumer.Name == "" && f.sets[0].Name != "main" {
				continue
			}
			if got := f.rendered(t); !maps.EqualFunc(got, want, bytes.Equal) {
				t.Fatal("the order of the input changes the files")
			}
		}
	})
}

// A new version of one image is one hunk in each file that names it: reviewers see what moved and nothing else.
func TestSixty_AChangeOfOneImageIsOneHunk(t *testing.T) {
	eachSixty(t, func(t *testing.T, make func(t *testing.T) sixtyFleet) {
		f := make(t)
		before := f.rendered(t)
		for i := range f.sets {
			set, rec := &f.sets[i], f.records[f.sets[i].Name]
			for n := range set.Entries {
				if set.Entries[n].Name != sixtyEntry(12) {
					continue
				}
				image := set.Entries[n].Image.WithTag("1.121").WithDigest(mirror.DigestOf([]byte("newer")))
				set.Entries[n].Image = image
				for _, standing := range rec.Stages {
					standing.Put(sixtyEntry(12), mirror.Line{Image: image, Proven: true})
				}
			}
		}
		for name, after := range f.rendered(t) {
			if got := hunks(string(before[name]), string(after)); got > 1 {
				t.Errorf("%s changes in %d places:\n%s", name, got, after)
			}
		}
	})
}

// hunks counts the places in which two texts differ, as git diff shows them: changes with at most six common lines
// between them are one.
func hunks(before, after string) int {
	a, b := strings.Split(before, "\n"), strings.Split(after, "\n")
	common := make([][]int, len(a)+1)
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	count, same := 0, 7 // common lines since the last change
	for i, j := 0, 0; i < len(a) || j < len(b); {
		if i < len(a) && j < len(b) && a[i] == b[j] {
			i, j, same = i+1, j+1, same+1
			continue
		}
		if same > 6 {
			count++
		}
		same = 0
		if j >= len(b) || i < len(a) && common[i+1][j] >= common[i][j+1] {
			i++
		} else {
			j++
		}
	}
	return count
}
