package daemon

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// worldly is one site to which anything may happen in any order.
type worldly struct {
	*site
	kinds    map[string]kindOf
	version  int                            // of the last content that was made
	signed   map[mirror.Digest]bool         // by the vendor
	offered  map[string][]mirror.Reference  // by set/entry: what was ever there to be asked for
	stages   map[string][]map[string]string // by set/stage: what its file ever listed, oldest first
	releases []map[string]string            // of the set ess
	demands  demand
}

// kindOf is a set of the world. Its entries are named by their images.
type kindOf struct {
	atomic  bool
	entries map[string]string // image without digest, by entry
}

// demand is what the policy of the world asks for beside signatures.
type demand struct {
	Deny     string // a host
	Soak     time.Duration
	Thaw     time.Time // nothing moves in production until then
	Approved bool      // approvals are asked for at production, which nobody can give here
}

func newWorldly(t *testing.T) *worldly {
	w := &worldly{signed: map[mirror.Digest]bool{}, offered: map[string][]mirror.Reference{}, stages: map[string][]map[string]string{}, kinds: map[string]kindOf{
		"tools": {false, map[string]string{webImage: webImage, toolImage: toolImage}},
		"ess":   {true, map[string]string{"app00/app00": "docker.io/ess/app00:stable", "app01/app01": "docker.io/ess/app01:stable"}},
	}}
	w.site = newSite(t, map[string]string{"desired/policy.yaml": vendorPolicy,
		"desired/tools.yaml": "version: 1\nsource: {kind: list, images: [\"" + webImage + "\", \"" + toolImage + "\"]}\nlayout: path\nrender: {containerd: {}}\n",
		"desired/ess.yaml":   "version: 1\nsource: {kind: ess, file: ess/images_digests.yml}\nlayout: path\nrender: {element: {name: ess-images, namespace: ess}}\n"})
	w.upstreamMoves(webImage, true)
	w.upstreamMoves(toolImage, true)
	w.release(true)
	return w
}

// stop ends everything of the world: a test makes many.
func (w *worldly) stop() {
	w.close()
	w.upstream.Close()
	w.local.Close()
	w.git.Close()
	os.RemoveAll(w.dir)
}

func (w *worldly) make(set, entry string, signed bool) mirror.Reference {
	w.version++
	image := w.kinds[set].entries[entry]
	put := w.push
	if signed {
		put = w.pushSigned
	}
	r := put(image, fmt.Sprint(image, " ", w.version))
	w.signed[r.Digest] = signed
	w.offered[set+"/"+entry] = append(w.offered[set+"/"+entry], r)
	return r
}

func (w *worldly) upstreamMoves(entry string, signed bool) { w.make("tools", entry, signed) }

func (w *worldly) release(signed bool) {
	var refs []mirror.Reference
	lines := map[string]string{}
	for _, entry := range sortedKeys(w.kinds["ess"].entries) {
		refs = append(refs, w.make("ess", entry, signed || entry == "app00/app00"))
		lines[entry] = refs[len(refs)-1].String()
	}
	w.releases = append(w.releases, lines)
	w.commit("release", map[string]string{"desired/ess/images_digests.yml": manyDigests(refs)})
}

// asks merges a stage file with these lines.
func (w *worldly) asks(set, stage string, lines map[string]string) {
	text := "version: 1\nentries:\n"
	for _, entry := range sortedKeys(lines) {
		text += "  " + entry + ": " + lines[entry] + "\n"
	}
	w.commit("promote "+set+" to "+stage, map[string]string{"stages/" + set + "/" + stage + ".yaml": text})
	w.stages[set+"/"+stage] = append(w.stages[set+"/"+stage], lines)
}

// judged commits the policy.
func (w *worldly) judged() {
	text, gates := vendorPolicy, ""
	if w.demands.Deny != "" {
		text += "deny: {repos: [\"" + w.demands.Deny + "/**\"]}\n"
	}
	if w.demands.Soak > 0 {
		gates += fmt.Sprintf("  - {stages: [staging, production], soak: %s}\n", w.demands.Soak)
	}
	if !w.demands.Thaw.IsZero() {
		gates += fmt.Sprintf("  - {stages: [production], freezes: [{from: %q, until: %q}]}\n", w.now.Add(-time.Minute).Format(time.RFC3339), w.demands.Thaw.Format(time.RFC3339))
	}
	if w.demands.Approved {
		gates += "  - {stages: [production], sets: [ess], approvals: {count: 1}}\n"
	}
	if gates != "" {
		text += "gates:\n" + gates
	}
	w.policy(text)
}

// listed gives the lines of the record of a stage, as a file of the next one would list them.
func (w *worldly) listed(set, stage string) map[string]string {
	lines := map[string]string{}
	for entry, line := range w.recordOf(set).At(mirror.Stage(stage)) {
		lines[entry] = line.Image.String()
	}
	return lines
}

// recordOf reads the record of a set at the head of the fleet repository.
func (w *worldly) recordOf(set string) mirror.Record {
	files := mirror.Files{}
	for name, text := range w.main() {
		files[name] = []byte(text)
	}
	return mirror.ParseRecord("rendered/demo", mirror.Set{Name: set, Stages: mirror.DefaultStages}, files)
}

// breaks runs a sync that ends in the middle: at the n-th request to anybody, the process is gone. That request may
// have been carried out. A process that is not gone by then ends as it should.
func (w *worldly) breaks(n int, lose, wipe bool) {
	ctx, die := context.WithCancel(w.t.Context())
	defer die()
	var seen atomic.Int64
	fault := func(*http.Request) *testenv.Fault {
		switch at := seen.Add(1); {
		case at < int64(n):
			return nil
		case at == int64(n) && lose:
			die()
			return &testenv.Fault{Lose: true}
		}
		die()
		return &testenv.Fault{Reset: true}
	}
	if w.line == nil {
		w.open()
	}
	proxies := []*testenv.Proxy{w.git.Proxy(), w.local.Proxy(), w.upstream.Proxy()}
	for _, p := range proxies {
		p.Break(fault)
	}
	_, _ = w.line.Sync(ctx, Wake{Why: "test", Resolve: true, Audit: true}) // what came of it is what this is about
	for _, p := range proxies {
		p.Break(nil)
	}
	w.close()
	if wipe {
		w.wipe()
	}
}

// meanwhile runs a sync during which, at its n-th request to Git, people commit.
func (w *worldly) meanwhile(n int, commit func()) {
	if w.line == nil {
		w.open()
	}
	var seen atomic.Int64
	w.git.Proxy().Break(func(*http.Request) *testenv.Fault {
		if seen.Add(1) == int64(n) {
			commit()
		}
		return nil
	})
	_, _ = w.trySync()
	w.git.Proxy().Break(nil)
}

// rests lets the line finish, and fails where it does not come to rest.
func (w *worldly) rests(t *rapid.T) {
	quiet := 0
	for range 8 {
		head := w.git.Head()
		if _, err := w.trySync(); err != nil {
			t.Fatalf("sync: %v", err)
		}
		if w.git.Head() != head {
			quiet = 0
		} else if quiet++; quiet == 2 {
			return
		}
	}
	t.Fatalf("it commits on and on:\n%s", must(w.git.Log())(w.t)[0].Message)
}

// denied says whether the policy denies an image; admits, whether the image may come to stand anywhere.
func (w *worldly) denied(image mirror.Reference) bool {
	return w.demands.Deny != "" && image.Host == w.demands.Deny
}

func (w *worldly) admits(image mirror.Reference) bool {
	return w.signed[image.Digest] && !w.denied(image)
}

// opens says whether the gates of a stage let an image come in the place of what stands there now. back says that it is
// part of a rollback.
func (w *worldly) opens(set, stage, entry string, image mirror.Reference, record mirror.Record, back bool) bool {
	below := map[string]mirror.Stage{"staging": "snapshot", "production": "staging"}[stage]
	lower, here := record.At(below)[entry], record.At(mirror.Stage(stage))[entry]
	stood := lower.Image == image || slices.Contains(lower.Was, image)
	soaked := w.demands.Soak == 0 || lower.Stood[image.Digest] >= w.demands.Soak || lower.Image == image && !w.now.Before(lower.Since.Add(w.demands.Soak))
	frozen := stage == "production" && w.now.Before(w.demands.Thaw)
	people := stage == "production" && set == "ess" && w.demands.Approved
	switch {
	case !w.admits(image) || people:
		return false
	case back:
		return true
	}
	return (stood || slices.Contains(here.Was, image)) && soaked && !frozen
}

// holds fails the test where what stands is not what people and policy define.
func (w *worldly) holds(t *rapid.T) {
	files := w.main()
	for set, kind := range w.kinds {
		record := w.recordOf(set)
		for _, entry := range sortedKeys(kind.entries) {
			line := record.At("snapshot")[entry]
			offered := w.offered[set+"/"+entry]
			if newest := offered[len(offered)-1]; w.admits(newest) && line.Image != newest {
				t.Fatalf("%s/%s: snapshot has %s, upstream has %s", set, entry, line.Image, newest)
			}
			if !line.Image.IsZero() && !w.signed[line.Image.Digest] {
				t.Fatalf("%s/%s: snapshot has %s, which nobody signed", set, entry, line.Image)
			}
		}
		for _, stage := range []string{"staging", "production"} {
			w.holdsAt(t, set, stage, record)
		}
		for _, stage := range mirror.DefaultStages {
			for entry, line := range record.At(stage) {
				if got := w.tag("mirror/"+string(stage)+"/"+line.Image.Name(), line.Image.Tag); got != line.Image.Digest {
					t.Fatalf("%s/%s: the tag of %s names %s, the record says %s", set, entry, stage, got, line.Image)
				}
			}
			if kind.atomic {
				w.overrides(t, set, string(stage), record, files["rendered/demo/"+set+"/"+string(stage)+"/images-digests.yaml"])
			}
		}
	}
	if faults := testenv.Verify(w.local.Back()); len(faults) > 0 {
		t.Fatalf("the local registry: %v", faults)
	}
}

// overrides fails the test where the override of a stage is not that of the record where all that is asked for stands,
// or mixes what was never asked for together.
func (w *worldly) overrides(t *rapid.T, set, stage string, record mirror.Record, override string) {
	var named []string
	for _, m := range digestLine.FindAllStringSubmatch(override, -1) {
		named = append(named, m[1])
	}
	slices.Sort(named)
	versions := w.stages[set+"/"+stage]
	if stage == "snapshot" {
		versions = w.releases
	}
	asked := func(version map[string]string) bool {
		var digests []string
		for _, text := range version {
			digests = append(digests, must(mirror.ParseReference(text))(w.t).Digest.String())
		}
		slices.Sort(digests)
		return slices.Equal(named, digests)
	}
	switch {
	case len(versions) > 0 && maps.Equal(w.listed(set, stage), versions[len(versions)-1]) && !asked(versions[len(versions)-1]),
		override != "" && !slices.ContainsFunc(versions, asked):
		t.Fatalf("%s: the override of %s is\n%s\nand the record %v", set, stage, override, record.At(mirror.Stage(stage)))
	}
}

// holdsAt fails the test where a stage above the first is not as its file, the stage below and the gates say.
func (w *worldly) holdsAt(t *rapid.T, set, stage string, record mirror.Record) {
	versions, kind := w.stages[set+"/"+stage], w.kinds[set]
	standing := record.At(mirror.Stage(stage))
	if len(versions) == 0 {
		if len(standing) > 0 {
			t.Fatalf("%s: %s has %v, and nobody asked for anything", set, stage, standing)
		}
		return
	}
	wanted := map[string]mirror.Reference{}
	for entry, text := range versions[len(versions)-1] {
		wanted[entry] = must(mirror.ParseReference(text))(w.t)
	}
	returns := func(entry string) bool { return slices.Contains(standing[entry].Was, wanted[entry]) }
	changes := slices.DeleteFunc(sortedKeys(wanted), func(entry string) bool { return standing[entry].Image == wanted[entry] })
	back := kind.atomic && !slices.ContainsFunc(changes, func(entry string) bool { return !returns(entry) })
	open := map[string]bool{}
	for _, entry := range changes {
		open[entry] = w.opens(set, stage, entry, wanted[entry], record, back || !kind.atomic && returns(entry))
	}
	all := !slices.ContainsFunc(changes, func(entry string) bool { return !open[entry] })
	for _, entry := range changes {
		if open[entry] && (all || !kind.atomic) {
			t.Fatalf("%s/%s: %s has %q, its file lists %s, and nothing is in its way", set, entry, stage, standing[entry].Image, wanted[entry])
		}
	}
	// What stands was asked for; of a set that moves as one, by one file.
	asked := slices.ContainsFunc(versions, func(v map[string]string) bool {
		for entry, line := range standing {
			if v[entry] != line.Image.String() {
				return false
			}
		}
		return true
	})
	if kind.atomic && !asked {
		t.Fatalf("%s: %s is a mixture that nobody asked for: %v", set, stage, w.listed(set, stage))
	}
	for entry, line := range standing {
		once := slices.ContainsFunc(versions, func(v map[string]string) bool { return v[entry] == line.Image.String() })
		if !once || !w.signed[line.Image.Digest] {
			t.Fatalf("%s/%s: %s has %s (asked for: %t)", set, entry, stage, line.Image, once)
		}
		if _, listed := wanted[entry]; !listed && (all || !kind.atomic) {
			t.Fatalf("%s/%s: stands at %s and is not asked for any more", set, entry, stage)
		}
	}
}

// draws gives the actions of a world.
func (w *worldly) draws() map[string]func(*rapid.T) {
	sets, upper := rapid.SampledFrom(sortedKeys(w.kinds)), rapid.SampledFrom([]string{"staging", "production"})
	below := map[string]string{"staging": "snapshot", "production": "staging"}
	promotes := func(t *rapid.T) func() {
		set, stage := sets.Draw(t, "set"), upper.Draw(t, "stage")
		lines := w.listed(set, below[stage])
		if versions := w.stages[set+"/"+stage]; len(versions) > 0 && !w.kinds[set].atomic && rapid.Bool().Draw(t, "one entry") {
			entry := rapid.SampledFrom(sortedKeys(w.kinds[set].entries)).Draw(t, "entry")
			one := maps.Clone(versions[len(versions)-1])
			if line, ok := lines[entry]; ok {
				one[entry] = line
			}
			lines = one
		}
		if len(lines) != len(w.kinds[set].entries) {
			return func() {} // nothing stands below
		}
		return func() { w.asks(set, stage, lines) }
	}
	steps := rapid.IntRange(1, 60)
	return map[string]func(*rapid.T){
		"upstream": func(t *rapid.T) {
			w.upstreamMoves(rapid.SampledFrom(sortedKeys(w.kinds["tools"].entries)).Draw(t, "entry"), rapid.IntRange(0, 3).Draw(t, "signed") > 0)
		},
		"release": func(t *rapid.T) { w.release(rapid.IntRange(0, 3).Draw(t, "signed") > 0) },
		"promote": func(t *rapid.T) { promotes(t)() },
		"merge while a cycle runs": func(t *rapid.T) {
			commit := promotes(t)
			w.meanwhile(rapid.IntRange(1, 8).Draw(t, "request"), commit)
		},
		"what never stood": func(t *rapid.T) {
			set, stage := sets.Draw(t, "set"), upper.Draw(t, "stage")
			lines := map[string]string{}
			for entry := range w.kinds[set].entries {
				offered := w.offered[set+"/"+entry]
				lines[entry] = rapid.SampledFrom(offered).Draw(t, "image of "+entry).String()
			}
			w.asks(set, stage, lines)
		},
		"revert": func(t *rapid.T) {
			set, stage := sets.Draw(t, "set"), upper.Draw(t, "stage")
			if versions := w.stages[set+"/"+stage]; len(versions) > 0 {
				w.asks(set, stage, rapid.SampledFrom(versions).Draw(t, "version"))
			}
		},
		"policy": func(t *rapid.T) {
			w.demands = demand{Deny: rapid.SampledFrom([]string{"", "", "ghcr.io"}).Draw(t, "deny"), Soak: rapid.SampledFrom([]time.Duration{0, time.Hour}).Draw(t, "soak"),
				Approved: rapid.IntRange(0, 3).Draw(t, "approvals") == 0}
			if rapid.IntRange(0, 3).Draw(t, "freeze") == 0 {
				w.demands.Thaw = w.now.Add(90 * time.Minute)
			}
			w.judged()
		},
		"hold": func(t *rapid.T) {
			if w.line != nil && w.line.fleet.Load() != nil {
				set, stage := sets.Draw(t, "set"), upper.Draw(t, "stage")
				if _, err := w.line.Hold(w.t.Context(), set, mirror.Stage(stage), nil, "ticket", "ops"); err != nil {
					t.Fatalf("hold: %v", err)
				}
			}
		},
		"time": func(t *rapid.T) {
			w.now = w.now.Add(time.Duration(rapid.IntRange(1, 100).Draw(t, "minutes")) * time.Minute)
		},
		"cycle": func(t *rapid.T) {
			if w.line == nil {
				w.open()
			}
			if _, err := w.line.cycle(w.t.Context(), Wake{Why: "test", Audit: rapid.Bool().Draw(t, "audit"), Resolve: rapid.Bool().Draw(t, "resolve")}); err != nil {
				t.Fatalf("cycle: %v", err)
			}
		},
		"sync": func(t *rapid.T) {
			if _, err := w.trySync(); err != nil {
				t.Fatalf("sync: %v", err)
			}
		},
		"crash": func(t *rapid.T) {
			w.breaks(steps.Draw(t, "request"), rapid.Bool().Draw(t, "carried out"), rapid.IntRange(0, 2).Draw(t, "state") == 0)
		},
		"restart": func(t *rapid.T) {
			if w.close(); rapid.IntRange(0, 2).Draw(t, "state") == 0 {
				w.wipe()
			}
		},
	}
}

// modest sets a flag of rapid that nobody gave for the time of a test.
func modest(t *testing.T, name, value string) {
	t.Helper()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == name })
	if f := flag.Lookup(name); !given && f != nil {
		was := f.Value.String()
		if err := flag.Set(name, value); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = flag.Set(name, was) })
	}
}

// From any state that can be reached, whatever people, upstream, time and crashes do in any order: after enough cycles
// tags, record and overrides are what desired/, stages/ and policy define. More of it: -rapid.checks, -rapid.steps.
func TestInterleaving_EndsAsPeopleAndPolicySay(t *testing.T) {
	t.Parallel()
	modest(t, "rapid.checks", "5") // a fifth of them in short mode
	modest(t, "rapid.steps", "15")
	modest(t, "rapid.nofailfile", "true")
	rapid.Check(t, func(t1 *rapid.T) {
		w := newWorldly(t)
		defer w.stop()
		t1.Repeat(w.draws())
		w.now = w.now.Add(lastRetry + time.Minute) // what failed on the way is due again
		w.rests(t1)
		w.holds(t1)
		before := w.site.end()
		w.wipe()
		w.rests(t1)
		w.holds(t1)
		if after := w.site.end(); !maps.Equal(before, after) {
			t1.Fatalf("a new machine makes something else of it:\n%v\nwas\n%v", after, before)
		}
	})
}
