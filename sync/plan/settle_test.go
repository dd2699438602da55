package plan

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/poundlock/poundlock/internal/mirror"
)

func TestSettle_OnlyAnAdmittedTagMakesALine(t *testing.T) {
	w := newWorld(mirror.LayoutTag)
	p := w.plan()
	a := find(t, p, "snapshot", "a/x")
	a.Kind = mirror.Tag
	failed, rejected, copied := done(a), done(a), done(a)
	failed.Err = errors.New("registry is full")
	rejected.Verdict.Outcome = mirror.OutcomeRejected
	copied.Action.Kind = mirror.Copy
	for name, d := range map[string]mirror.Done{"failed": failed, "rejected": rejected, "copied, not tagged": copied} {
		if got := Settle(w.set, w.rec, p, []mirror.Done{d}, "head", at); len(got.At("snapshot")) != 0 {
			t.Errorf("%s: got %+v", name, got.At("snapshot"))
		}
	}
	if got := Settle(w.set, w.rec, p, []mirror.Done{done(a)}, "head", at); len(got.At("snapshot")) != 1 {
		t.Errorf("moved: got %+v", got.At("snapshot"))
	}
	if len(w.rec.At("snapshot")) != 0 {
		t.Error("the record that was given has changed")
	}
}

func TestSettle_EntriesLeaveWithTheirLines(t *testing.T) {
	w := newWorld(mirror.LayoutTag)
	w.set.Atomic = false
	w.want("staging", map[string]mirror.Reference{"a/x": image("x", "1", "v1"), "b/y": image("y", "1", "v1")})
	w.sync()
	w.set.Entries, w.candidates = w.set.Entries[:1], w.candidates[:1]
	w.want("staging", map[string]mirror.Reference{"b/y": image("y", "1", "v1")})
	w.rec = Settle(w.set, w.rec, w.plan(), nil, "head", at)
	if _, stands := w.rec.At("snapshot")["b/y"]; stands || len(w.rec.At("snapshot")) != 1 {
		t.Errorf("snapshot: got %v", w.rec.At("snapshot"))
	}
	if _, stands := w.rec.At("staging")["a/x"]; stands || len(w.rec.At("staging")) != 1 {
		t.Errorf("staging: got %v", w.rec.At("staging"))
	}
}

// A line that a stage file drops stays as long as what the same commit asks for is refused or waits: the drop is part of
// that change. What another commit dropped leaves, and is remembered.
func TestSettle_ADropWaitsForWhatCameWithIt(t *testing.T) {
	for name, tt := range map[string]struct {
		asked   string // by whom the line that cannot move is asked for
		dropped string // by whom the other one was dropped
		atomic  bool
		stands  bool
	}{
		"the same commit":        {"one", "one", false, true},
		"another commit":         {"one", "two", false, false},
		"an atomic set":          {"one", "two", true, true},
		"who dropped it unknown": {"one", "", false, true},
		"who asks unknown":       {"", "two", false, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(mirror.LayoutTag)
			w.set.Atomic = tt.atomic
			w.want("staging", map[string]mirror.Reference{"a/x": image("x", "1", "v1"), "b/y": image("y", "1", "v1")})
			w.sync()
			w.want("staging", map[string]mirror.Reference{"a/x": image("x", "1", "v2")})
			p := w.plan()
			p.Dropped = map[mirror.Stage]map[string]string{"staging": {"b/y": tt.dropped}}
			for i, a := range p.Actions {
				if a.Stage == "staging" {
					p.Actions[i].Kind, p.Actions[i].Asked, p.Actions[i].Reason = mirror.Refuse, tt.asked, mirror.Because(mirror.NotApproved, "")
				}
			}
			got := Settle(w.set, w.rec, p, nil, "head", at)
			if _, stands := got.At("staging")["b/y"]; stands != tt.stands {
				t.Errorf("stands: %t, want %t", stands, tt.stands)
			}
			if !got.Stood("staging", "b/y", image("y", "1", "v1")) {
				t.Errorf("forgotten: %+v", got)
			}
		})
	}
}

func TestSettle_TheSourceVersionCountsOnceItsTagsStand(t *testing.T) {
	w := newWorld(mirror.LayoutTag)
	tag := func(version string, err error) {
		e := mirror.Entry{Name: "a/x", Image: image("x", "1", "").WithDigest(mirror.Digest{})}
		c := mirror.Candidate{Entry: e, Image: image("x", "1", version), Err: err}
		w.put(c)
	}
	tag("v1", nil)
	w.sync()
	if w.rec.Origin != w.set.Origin {
		t.Fatal("the first version is not recorded")
	}
	w.set.Origin = mirror.DigestOf([]byte("v2"))
	tag("", errors.New("no route"))
	if got := Settle(w.set, w.rec, w.plan(), nil, "head", at); got.Origin == w.set.Origin {
		t.Error("a tag that could not be asked passes for one of this version")
	}
	tag("v2", nil)
	p := w.plan()
	if got := Settle(w.set, w.rec, p, nil, "head", at); got.Origin == w.set.Origin {
		t.Error("a tag that has not moved yet passes for one of this version")
	}
	w.sync()
	if w.rec.Origin != w.set.Origin || w.rec.At("snapshot")["a/x"].Image != image("x", "1", "v2") {
		t.Errorf("got %+v", w.rec)
	}
}

// anyWorld draws sets, stage files and a registry in any state.
func anyWorld(t *rapid.T) *world {
	w := newWorld(rapid.SampledFrom([]mirror.LayoutKind{mirror.LayoutTag, mirror.LayoutPath}).Draw(t, "layout"))
	w.set.Atomic = rapid.Bool().Draw(t, "atomic")
	w.set.Adopt = rapid.Bool().Draw(t, "adopt")
	w.set.VendorTags = rapid.SampledFrom([]mirror.VendorTags{mirror.VendorOnce, mirror.VendorNone}).Draw(t, "vendor tags")
	w.set.Entries, w.candidates = nil, nil
	version := rapid.SampledFrom([]string{"v1", "v2", "v3"})
	name := rapid.SampledFrom([]string{"w", "x", "y"})
	draw := func(label string) mirror.Reference {
		return image(name.Draw(t, label+" image"), rapid.SampledFrom([]string{"1", "2"}).Draw(t, label+" tag"), version.Draw(t, label+" version"))
	}
	for i := range rapid.IntRange(1, 5).Draw(t, "entries") {
		e := mirror.Entry{Name: fmt.Sprintf("c%d/e", i), Image: draw("entry")}
		c := mirror.Candidate{Entry: e, Image: e.Image}
		if rapid.Bool().Draw(t, "tag only") {
			c.Entry.Image = e.Image.WithDigest(mirror.Digest{})
			if rapid.IntRange(0, 5).Draw(t, "fails") == 0 {
				c.Err, c.Image = mirror.ErrNotFound, mirror.Reference{}
			}
		}
		w.put(c)
	}
	for _, stage := range w.set.Stages {
		if stage != w.set.Stages.First() && rapid.Bool().Draw(t, "listed") {
			lines := map[string]mirror.Reference{}
			for _, e := range w.set.Entries {
				if rapid.IntRange(0, 4).Draw(t, "line") > 0 {
					lines[e.Name] = draw("line")
				}
			}
			w.want(stage, lines)
		}
		for _, e := range w.set.Entries {
			switch image := draw("stands"); rapid.IntRange(0, 3).Draw(t, "state") {
			case 0:
				w.stand(stage, e.Name, image)
			case 1:
				w.inv.Tags[local.Pointer(w.set, stage, e.Name, image).String()] = image.Digest
			case 2:
				w.inv.Whole[local.Repository(w.set, stage, image).AtDigest(image.Digest).String()] = true
			}
		}
	}
	return w
}

func TestCompute_AppliedPlansLeaveNothingToDo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := anyWorld(t)
		if steps := w.sync(); steps == 10 {
			t.Fatalf("still at work after %d steps: %+v", steps, Hold(w.set, w.plan()).Actions)
		}
		p := Hold(w.set, w.plan())
		if fmt.Sprint(p.After) != fmt.Sprint(w.rec) {
			t.Fatalf("a plan of nothing changes the record:\n%v\n%v", p.After, w.rec)
		}
		// What is recorded at a stage is what its tag names.
		for stage, standing := range w.rec.Stages {
			for entry, line := range standing {
				if stage != w.set.Stages.First() && !w.set.Listed[stage] {
					continue
				}
				a := mirror.Action{}
				for _, b := range p.Actions {
					if b.Stage == stage && b.Key.Entry == entry {
						a = b
					}
				}
				if a.Kind == mirror.Unchanged && w.inv.Tags[a.To.String()] != line.Image.Digest {
					t.Fatalf("%s at %s is recorded and its tag names other content", entry, stage)
				}
			}
		}
	})
}

func TestCompute_NoCycleMixesAtomicReleases(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := anyWorld(t)
		w.set.Atomic = true
		p := Hold(w.set, w.plan())
		ready := map[mirror.Stage]int{}
		for _, a := range Ready(w.set, p) {
			ready[a.Stage]++
		}
		for stage, n := range ready {
			for _, a := range p.Actions {
				if n > 0 && stage != w.set.Stages.First() && a.Stage == stage && a.Kind != mirror.Tag && a.Kind != mirror.Unchanged {
					t.Fatalf("%d tags of %s may move while %s is %s", n, stage, a.Key, a.Kind)
				}
			}
		}
	})
}

func TestCompute_IsDeterministic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := anyWorld(t)
		want := fmt.Sprintf("%+v", Hold(w.set, w.plan()).Actions)
		seed := rapid.Uint64().Draw(t, "seed")
		r := rand.New(rand.NewPCG(seed, 0))
		r.Shuffle(len(w.candidates), func(i, j int) { w.candidates[i], w.candidates[j] = w.candidates[j], w.candidates[i] })
		for stage, lines := range w.set.Wanted {
			r.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
			w.set.Wanted[stage] = lines
		}
		w.inv.Tags = maps.Clone(w.inv.Tags)
		if got := fmt.Sprintf("%+v", Hold(w.set, w.plan()).Actions); got != want {
			t.Fatalf("got\n%s\nwant\n%s", got, want)
		}
	})
}

func TestPointers_AnAuditAsksOnceForEachEntry(t *testing.T) {
	for _, layout := range []mirror.LayoutKind{mirror.LayoutTag, mirror.LayoutPath} {
		w := newWorld(layout)
		w.want("staging", map[string]mirror.Reference{"a/x": image("x", "1", "v1"), "b/y": image("y", "1", "v1")})
		w.sync()
		pointers := Pointers(local, w.set, w.candidates, w.rec)
		if len(pointers) != 4 {
			t.Errorf("%s: got %v, want two for each stage", layout, pointers)
		}
		seen := map[mirror.Reference]bool{}
		for _, p := range pointers {
			if seen[p] || p.Tag == "" || p.HasDigest() {
				t.Errorf("%s: %s", layout, p)
			}
			seen[p] = true
		}
	}
	// A promotion wants to know the stage below too: its tag may be another one there.
	w := newWorld(mirror.LayoutPath)
	w.want("staging", map[string]mirror.Reference{"a/x": image("x", "old", "v0")})
	found := false
	for _, p := range Pointers(local, w.set, w.candidates, w.rec) {
		found = found || p == local.Pointer(w.set, "snapshot", "a/x", image("x", "old", "v0"))
	}
	if !found {
		t.Error("the tag of the stage below is not asked")
	}
}

// A table may put several hosts at one place, or one below another: what then meets in one local tag with two digests is
// refused, all of it, before anything is copied.
func TestCompute_NoLocalTagGetsTwoDigests(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(mirror.LayoutPath)
		w.set.Atomic, w.set.Entries, w.candidates = false, nil, nil
		w.set.Paths = map[string]string{"a.example": "", "b.example": "", "c.example": "x", "d.example": "e.example"}
		wanted := map[string]map[mirror.Digest]bool{} // by local tag
		for i := range rapid.IntRange(2, 6).Draw(t, "entries") {
			upstream := mirror.Reference{Host: rapid.SampledFrom([]string{"a.example", "b.example", "c.example", "d.example", "e.example"}).Draw(t, "host"),
				Repository: rapid.SampledFrom([]string{"y", "x/y", "y/y"}).Draw(t, "repository"), Tag: "1",
				Digest: mirror.DigestOf([]byte(rapid.SampledFrom([]string{"one", "two"}).Draw(t, "content")))}
			w.pin(fmt.Sprintf("c%d/e", i), upstream)
			tag := local.Pointer(w.set, "snapshot", "", upstream).String()
			if wanted[tag] == nil {
				wanted[tag] = map[mirror.Digest]bool{}
			}
			wanted[tag][upstream.Digest] = true
		}
		for _, a := range w.plan().Actions {
			collides := len(wanted[a.To.String()]) > 1
			if refused := a.Kind == mirror.Refuse && a.Reason.Code == mirror.Collision; refused != collides {
				t.Fatalf("%s from %s to %s: %s %s, collides: %v", a.Key, a.Image, a.To, a.Kind, a.Reason, collides)
			}
		}
	})
}
