package plan

import (
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

var (
	local = mirror.Local{Host: "r.example:5000", Prefix: "mirror", Site: "site"}
	at    = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
)

// image gives docker.io/<name> at the content that version stands for.
func image(name, tag, version string) mirror.Reference {
	return mirror.Reference{Host: "docker.io", Repository: "library/" + name, Tag: tag, Digest: mirror.DigestOf([]byte(name + version))}
}

// world is what a plan is computed from.
type world struct {
	all        mirror.Desired
	set        mirror.Set
	candidates []mirror.Candidate
	inv        mirror.Inventory
	rec        mirror.Record
}

// newWorld has an ESS-like set of two entries, a/x and b/y, pinned to version v1.
func newWorld(layout mirror.LayoutKind) *world {
	w := &world{
		set: mirror.Set{Name: "ess", Stages: mirror.DefaultStages, Layout: layout, VendorTags: mirror.VendorOnce, Atomic: true,
			Origin: mirror.DigestOf([]byte("v1")), Wanted: map[mirror.Stage][]mirror.Wanted{}, Listed: map[mirror.Stage]bool{}},
		inv: mirror.Inventory{Tags: map[string]mirror.Digest{}, Whole: map[string]bool{}},
		rec: mirror.Record{Stages: map[mirror.Stage]mirror.Standing{}},
	}
	w.release("v1")
	return w
}

func (w *world) release(version string) {
	w.pin("a/x", image("x", "1", version))
	w.pin("b/y", image("y", "1", version))
}

// pin makes desired/ name the image for an entry.
func (w *world) pin(entry string, image mirror.Reference) {
	e := mirror.Entry{Name: entry, Image: image, Where: mirror.Position{File: "desired/ess/digests.yml", Line: 7}}
	w.put(mirror.Candidate{Entry: e, Image: image})
}

func (w *world) put(c mirror.Candidate) {
	for i, e := range w.set.Entries {
		if e.Name == c.Entry.Name {
			w.set.Entries[i], w.candidates[i] = c.Entry, c
			return
		}
	}
	w.set.Entries = append(w.set.Entries, c.Entry)
	w.candidates = append(w.candidates, c)
}

// want writes the lines of a stage file.
func (w *world) want(stage mirror.Stage, images map[string]mirror.Reference) {
	w.set.Listed[stage], w.set.Wanted[stage] = true, nil
	for entry, image := range images {
		w.set.Wanted[stage] = append(w.set.Wanted[stage], mirror.Wanted{Entry: entry, Image: image, Where: mirror.Position{File: "stages/ess/" + string(stage) + ".yaml", Line: 3}})
	}
}

func (w *world) plan() mirror.Plan {
	w.all = mirror.Desired{Commit: "head", Sets: append([]mirror.Set{w.set}, w.others()...)}
	return Compute(w.all, local, w.set, w.candidates, w.inv, w.rec)
}

func (w *world) others() []mirror.Set {
	var others []mirror.Set
	for _, s := range w.all.Sets {
		if s.Name != w.set.Name {
			others = append(others, s)
		}
	}
	return others
}

// sync does what a plan says until nothing moves, as mover and promote would.
func (w *world) sync() (steps int) {
	for steps = 0; steps < 10; steps++ {
		p := Hold(w.set, w.plan())
		w.apply(p)
		if p.Count(mirror.Copy)+p.Count(mirror.Tag) == 0 {
			return steps
		}
	}
	return steps
}

func (w *world) apply(p mirror.Plan) []mirror.Done {
	for _, a := range p.Actions {
		if a.Kind == mirror.Copy {
			w.inv.Whole[a.To.AtDigest(a.New).String()] = true
		}
	}
	var dones []mirror.Done
	for _, a := range Ready(w.set, p) {
		w.inv.Tags[a.To.String()] = a.New
		dones = append(dones, done(a))
	}
	w.rec = Settle(w.set, w.rec, p, dones, "head", at)
	for _, pointer := range Pointers(local, w.set, w.candidates, w.rec) {
		if _, known := w.inv.Named(pointer); !known {
			w.inv.Tags[pointer.String()] = mirror.Digest{}
		}
	}
	return dones
}

func done(a mirror.Action) mirror.Done {
	return mirror.Done{Action: a, Verdict: mirror.Verdict{Outcome: mirror.OutcomePinned, Reason: mirror.Because(mirror.PinnedCommit, "pinned")}}
}

// find gives the action of an entry at a stage.
func find(t *testing.T, p mirror.Plan, stage mirror.Stage, entry string) mirror.Action {
	t.Helper()
	for _, a := range p.Actions {
		if a.Stage == stage && a.Key.Entry == entry {
			return a
		}
	}
	t.Fatalf("no action for %s at %s in %+v", entry, stage, p.Actions)
	return mirror.Action{}
}

func expect(t *testing.T, a mirror.Action, kind mirror.Kind, code mirror.ReasonCode) {
	t.Helper()
	if a.Kind != kind || a.Reason.Code != code {
		t.Errorf("%s at %s: got %s because %s (%s), want %s because %s", a.Key, a.Stage, a.Kind, a.Reason.Code, a.Reason.Detail, kind, code)
	}
}

// stand makes an image stand at a stage, in record and registry.
func (w *world) stand(stage mirror.Stage, entry string, image mirror.Reference) {
	w.rec.Put(stage, entry, mirror.Line{Image: image, Since: at, Proven: true, Vouch: "earlier"})
	w.inv.Tags[local.Pointer(w.set, stage, entry, image).String()] = image.Digest
}

func (w *world) replace(image mirror.Reference, basedOn mirror.Digest, vendor mirror.Reference) {
	w.put(mirror.Candidate{Image: image, Entry: mirror.Entry{Name: "a/x", Image: image, Replaced: true, BasedOn: basedOn, Vendor: vendor}})
}
