package plan

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

func TestCompute_FirstStage(t *testing.T) {
	x := image("x", "1", "v1")
	older := image("x", "1", "v0")
	stranger := mirror.DigestOf([]byte("stranger"))
	pointer := local.Pointer(newWorld(mirror.LayoutTag).set, "snapshot", "a/x", x).String()
	tests := []struct {
		name    string
		prepare func(*world)
		kind    mirror.Kind
		code    mirror.ReasonCode
		old     mirror.Digest
	}{
		{"empty registry", func(w *world) { w.inv.Tags[pointer] = mirror.Digest{} }, mirror.Copy, mirror.NotInRegistry, mirror.Digest{}},
		{"never asked", func(w *world) {}, mirror.Copy, mirror.NotInRegistry, mirror.Digest{}},
		{"content is here", func(w *world) {
			w.inv.Tags[pointer] = mirror.Digest{}
			w.inv.Whole[local.Repository(w.set, "snapshot", x).AtDigest(x.Digest).String()] = true
		}, mirror.Tag, mirror.TagAbsent, mirror.Digest{}},
		{"the tag names what stood before", func(w *world) {
			w.stand("snapshot", "a/x", older)
			w.inv.Whole[local.Repository(w.set, "snapshot", x).AtDigest(x.Digest).String()] = true
		}, mirror.Tag, mirror.TagBehind, older.Digest},
		{"content is not here, the tag names what stood before", func(w *world) { w.stand("snapshot", "a/x", older) }, mirror.Copy, mirror.NotInRegistry, older.Digest},
		{"stands", func(w *world) { w.stand("snapshot", "a/x", x) }, mirror.Unchanged, mirror.AsDesired, x.Digest},
		{"stands, not asked", func(w *world) { w.stand("snapshot", "a/x", x); clear(w.inv.Tags) }, mirror.Unchanged, mirror.AsDesired, x.Digest},
		{"someone moved the tag", func(w *world) {
			w.stand("snapshot", "a/x", x)
			w.inv.Tags[pointer] = stranger
			w.inv.Whole[local.Repository(w.set, "snapshot", x).AtDigest(x.Digest).String()] = true
		}, mirror.Tag, mirror.Drift, stranger},
		{"someone moved the tag and content is gone", func(w *world) { w.stand("snapshot", "a/x", x); w.inv.Tags[pointer] = stranger }, mirror.Copy, mirror.NotInRegistry, stranger},
		{"the tag is there and nobody recorded why", func(w *world) { w.inv.Tags[pointer] = x.Digest }, mirror.Copy, mirror.NotInRegistry, x.Digest},
		{"we wrote the tag and the record does not say so", func(w *world) {
			w.inv.Tags[pointer] = x.Digest
			w.inv.Ours = map[string]bool{pointer: true}
		}, mirror.Tag, mirror.AsDesired, x.Digest},
		{"the record says so and nobody proves it", func(w *world) {
			w.stand("snapshot", "a/x", x)
			line := w.rec.Stages["snapshot"]["a/x"]
			line.Proven = false
			w.rec.Stages["snapshot"]["a/x"] = line
		}, mirror.Tag, mirror.AsDesired, x.Digest},
		{"a tag of someone else", func(w *world) { w.inv.Tags[pointer] = stranger }, mirror.Refuse, mirror.ForeignTag, stranger},
		{"a tag of someone else, taken over", func(w *world) { w.inv.Tags[pointer] = stranger; w.set.Adopt = true }, mirror.Copy, mirror.NotInRegistry, stranger},
		{"upstream has none", func(w *world) {
			w.put(mirror.Candidate{Entry: mirror.Entry{Name: "a/x", Image: x.WithDigest(mirror.Digest{})}, Err: fmt.Errorf("head: %w", mirror.ErrNotFound)})
		}, mirror.Missing, mirror.UpstreamMissing, mirror.Digest{}},
		{"upstream does not answer", func(w *world) {
			w.put(mirror.Candidate{Entry: mirror.Entry{Name: "a/x", Image: x.WithDigest(mirror.Digest{})}, Err: errors.New("no route")})
		}, mirror.Failed, mirror.UpstreamFailed, mirror.Digest{}},
		{"made for this release", func(w *world) { w.replace(x, older.Digest, older) }, mirror.Copy, mirror.NotInRegistry, mirror.Digest{}},
		{"made for another release", func(w *world) { w.replace(x, older.Digest, image("x", "2", "v2")) }, mirror.Refuse, mirror.BasedOnMoved, mirror.Digest{}},
		{"made for a release that cannot be told", func(w *world) { w.replace(x, older.Digest, older.WithDigest(mirror.Digest{})) }, mirror.Refuse, mirror.BasedOnMoved, mirror.Digest{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(mirror.LayoutTag)
			tt.prepare(w)
			a := find(t, w.plan(), "snapshot", "a/x")
			expect(t, a, tt.kind, tt.code)
			if a.Old != tt.old {
				t.Errorf("old: got %s, want %s", mirror.Short(a.Old), mirror.Short(tt.old))
			}
			switch a.Kind {
			case mirror.Copy:
				if a.From != x.AtDigest(x.Digest) || a.New != x.Digest || a.To.String() != pointer || a.Vouch != "head" {
					t.Errorf("got %+v", a)
				}
			case mirror.Tag:
				if a.From.Host != local.Host || a.From.Digest != x.Digest || a.To.String() != pointer {
					t.Errorf("got %+v", a)
				}
			}
		})
	}
}

func TestCompute_PromotionTakesContentFromTheStageBelow(t *testing.T) {
	for _, layout := range []mirror.LayoutKind{mirror.LayoutTag, mirror.LayoutPath} {
		w := newWorld(layout)
		w.sync()
		x := image("x", "1", "v1")
		w.want("staging", map[string]mirror.Reference{"a/x": x, "b/y": image("y", "1", "v1")})
		a := find(t, w.plan(), "staging", "a/x")
		if layout == mirror.LayoutTag {
			expect(t, a, mirror.Tag, mirror.TagAbsent)
		} else {
			expect(t, a, mirror.Copy, mirror.NotInRegistry)
			if want := local.Repository(w.set, "snapshot", x).AtDigest(x.Digest); a.From != want {
				t.Errorf("%s: reads from %s, want %s", layout, a.From, want)
			}
		}
		if a.Vouch != "head" {
			t.Errorf("%s: vouched by %q", layout, a.Vouch)
		}
		w.release("v2")
		if a = find(t, w.plan(), "staging", "a/x"); a.Vouch != "head" {
			t.Errorf("%s: the record of the stage below is not asked: vouched by %q", layout, a.Vouch)
		}
		w.sync()
		if line := w.rec.At("staging")["a/x"]; line.Image != x || line.Vouch != "head" || line.Basis != "pinned" || line.Since != at || line.Commit != "head" {
			t.Errorf("%s: got %+v", layout, line)
		}
	}
}

func TestCompute_RollbackFindsWhoVouched(t *testing.T) {
	w := newWorld(mirror.LayoutPath)
	lines := func(v string) map[string]mirror.Reference {
		return map[string]mirror.Reference{"a/x": image("x", "1", v), "b/y": image("y", "1", v)}
	}
	for _, version := range []string{"v1", "v2"} {
		w.release(version)
		for _, stage := range w.set.Stages.Upper() {
			w.want(stage, lines(version))
		}
		w.sync()
	}
	if got := w.rec.At("production")["a/x"].Image; got != image("x", "1", "v2") {
		t.Fatalf("v2 does not stand: %s", got)
	}
	w.want("production", lines("v1"))
	a := find(t, w.plan(), "production", "a/x")
	expect(t, a, mirror.Tag, mirror.TagBehind)
	if a.Vouch != "head" {
		t.Error("nobody vouches for what stood before")
	}
}

func TestCompute_UnlistedStagesWantNothing(t *testing.T) {
	w := newWorld(mirror.LayoutTag)
	w.sync()
	w.stand("production", "a/x", image("x", "1", "v0"))
	p := w.plan()
	for _, a := range p.Actions {
		if a.Stage == "production" {
			t.Errorf("got %+v", a)
		}
	}
	if _, stands := p.After.At("production")["a/x"]; !stands {
		t.Error("what stood at a stage without a file is gone")
	}
}

func TestCompute_AtomicSetsAreListedWhole(t *testing.T) {
	w := newWorld(mirror.LayoutTag)
	w.sync()
	w.want("staging", map[string]mirror.Reference{"a/x": image("x", "1", "v1")})
	p := Hold(w.set, w.plan())
	a := find(t, p, "staging", "a/x")
	expect(t, a, mirror.Refuse, mirror.Incomplete)
	if !strings.Contains(a.Reason.Detail, "b/y") {
		t.Errorf("the missing entry is not named: %s", a.Reason)
	}
	if len(p.After.At("staging")) != 0 {
		t.Error("the refused promotion stands in After")
	}
	// A release of before, which had fewer entries, may come back.
	w.stand("staging", "a/x", image("x", "1", "v1"))
	w.stand("staging", "a/x", image("x", "1", "v2"))
	w.stand("staging", "b/y", image("y", "1", "v2"))
	expect(t, find(t, w.plan(), "staging", "a/x"), mirror.Tag, mirror.TagBehind)
	w.sync()
	if st := w.rec.At("staging"); len(st) != 1 || st["a/x"].Image != image("x", "1", "v1") {
		t.Errorf("after the rollback stands %v", st)
	}
	// Entries that move one by one need no complete file.
	w = newWorld(mirror.LayoutTag)
	w.set.Atomic = false
	w.sync()
	w.want("staging", map[string]mirror.Reference{"a/x": image("x", "1", "v1")})
	expect(t, find(t, w.plan(), "staging", "a/x"), mirror.Tag, mirror.TagAbsent)
}

func TestCompute_ALineDeletedFromAnAtomicSetIsRefusedAndKept(t *testing.T) {
	w := newWorld(mirror.LayoutTag)
	w.sync()
	both := map[string]mirror.Reference{"a/x": image("x", "1", "v1"), "b/y": image("y", "1", "v1")}
	w.want("staging", both)
	w.sync()
	delete(both, "b/y")
	w.want("staging", both)
	p := Hold(w.set, w.plan())
	expect(t, find(t, p, "staging", "a/x"), mirror.Unchanged, mirror.AsDesired)
	expect(t, find(t, p, "staging", "b/y"), mirror.Refuse, mirror.Incomplete)
	rec := Settle(w.set, w.rec, p, nil, "head", at)
	if _, stands := rec.At("staging")["b/y"]; !stands {
		t.Error("a consumer would fall back to the upstream for b/y")
	}
}

func TestCompute_CollisionsAreRefusedOnBothSides(t *testing.T) {
	// Two entries of a set share a tag under layout path and want different content.
	w := newWorld(mirror.LayoutPath)
	w.pin("a/x", image("x", "1", "v1"))
	w.pin("b/y", image("x", "1", "v2"))
	p := w.plan()
	for _, entry := range []string{"a/x", "b/y"} {
		a := find(t, p, "snapshot", entry)
		expect(t, a, mirror.Refuse, mirror.Collision)
		if !strings.Contains(a.Reason.Detail, "ess/a/x") || !strings.Contains(a.Reason.Detail, "ess/b/y") || !strings.Contains(a.Reason.Detail, "desired/ess/digests.yml:7") {
			t.Errorf("both lines are to be named: %s", a.Reason)
		}
	}
	// The same content under one tag is no collision.
	w.pin("b/y", image("x", "1", "v1"))
	if p := w.plan(); p.Count(mirror.Refuse) != 0 {
		t.Errorf("got %+v", p.Actions)
	}
	// Another set wants the vendor's tag for other content.
	for _, tt := range []struct {
		vendorTags mirror.VendorTags
		layout     mirror.LayoutKind
		refused    int
	}{{mirror.VendorOnce, mirror.LayoutTag, 1}, {mirror.VendorNone, mirror.LayoutTag, 0}, {mirror.VendorOnce, mirror.LayoutPath, 2}} {
		w := newWorld(tt.layout)
		w.set.VendorTags = tt.vendorTags
		w.all.Sets = []mirror.Set{{Name: "tools", Stages: mirror.DefaultStages, Layout: tt.layout, VendorTags: tt.vendorTags,
			Entries: []mirror.Entry{
				{Name: "x", Image: image("x", "1", "other"), Where: mirror.Position{File: "desired/tools.txt", Line: 4}},
				{Name: "y", Image: image("y", "1", "").WithDigest(mirror.Digest{})}}}}
		p := w.plan()
		if got := p.Count(mirror.Refuse); got != tt.refused {
			t.Errorf("%v: %d refused, want %d", tt, got, tt.refused)
		}
		if tt.refused > 0 && !strings.Contains(find(t, p, "snapshot", "a/x").Reason.Detail, "desired/tools.txt:4") {
			t.Errorf("the other line is not named: %s", find(t, p, "snapshot", "a/x").Reason)
		}
	}
	// Nobody says that there are two digests where one set names a tag alone, and both can be mended.
	w = newWorld(mirror.LayoutPath)
	w.all.Sets = []mirror.Set{{Name: "tools", Stages: mirror.DefaultStages, Layout: mirror.LayoutPath,
		Entries: []mirror.Entry{{Name: "x", Image: image("x", "1", "").WithDigest(mirror.Digest{}), Where: mirror.Position{File: "desired/tools.txt", Line: 4}}}}}
	a := find(t, w.plan(), "snapshot", "a/x")
	if said := a.Reason.Detail; strings.Contains(said, "two digests") || !strings.Contains(said, "tools/x names the tag alone (desired/tools.txt:4)") {
		t.Errorf("said %q", said)
	}
	if fix := Fix(a); !strings.Contains(fix, "name the digest in both") || !strings.Contains(fix, "paths: {"+a.Image.Host+": tools/"+a.Image.Host+"} in desired/tools.yaml") {
		t.Errorf("fix is %q", fix)
	}
	// A place of its own is what mends it.
	for i := range w.all.Sets {
		if w.all.Sets[i].Name == "tools" {
			w.all.Sets[i].Paths = map[string]string{a.Image.Host: "tools/" + a.Image.Host}
		}
	}
	if p := w.plan(); p.Count(mirror.Refuse) != 0 {
		t.Errorf("got %+v", p.Actions)
	}
	// A line of a stage file collides too.
	w = newWorld(mirror.LayoutPath)
	w.want("staging", map[string]mirror.Reference{"a/x": image("x", "1", "v1"), "b/y": image("y", "1", "v1")})
	w.all.Sets = []mirror.Set{{Name: "tools", Stages: mirror.DefaultStages, Layout: mirror.LayoutPath,
		Wanted: map[mirror.Stage][]mirror.Wanted{"staging": {{Entry: "x", Image: image("x", "1", "other")}}}}}
	expect(t, find(t, w.plan(), "staging", "a/x"), mirror.Refuse, mirror.Collision)
}

func TestHold_NoTagOfAHalfReleaseMoves(t *testing.T) {
	w := newWorld(mirror.LayoutTag)
	w.sync()
	w.want("staging", map[string]mirror.Reference{"a/x": image("x", "1", "v1"), "b/y": image("y", "1", "v1")})
	p := w.plan()
	if got := len(Ready(w.set, p)); got != 2 {
		t.Fatalf("%d tags may move, want 2", got)
	}
	for _, kind := range []mirror.Kind{mirror.Refuse, mirror.Missing, mirror.Failed, mirror.Skip} {
		q := w.plan()
		for i, a := range q.Actions {
			if a.Stage == "staging" && a.Key.Entry == "b/y" {
				q.Actions[i].Kind = kind
			}
		}
		held := Hold(w.set, q)
		a := find(t, held, "staging", "a/x")
		why := mirror.Held
		if kind == mirror.Skip {
			why = mirror.NotWhole
		}
		expect(t, a, mirror.Refuse, why)
		if !strings.Contains(a.Reason.Detail, "b/y") || len(held.After.At("staging")) != 0 || len(Ready(w.set, q)) != 0 {
			t.Errorf("%s: got %+v", kind, held)
		}
		if again := Hold(w.set, held); find(t, again, "staging", "a/x").Reason != a.Reason {
			t.Errorf("holding twice says otherwise: %s", find(t, again, "staging", "a/x").Reason)
		}
		set := w.set
		set.Atomic = false
		expect(t, find(t, Hold(set, q), "staging", "a/x"), mirror.Tag, mirror.TagAbsent)
	}
	for i, a := range p.Actions {
		if a.Stage == "staging" && a.Key.Entry == "b/y" {
			p.Actions[i].Kind = mirror.Copy
		}
	}
	if ready := Ready(w.set, p); len(ready) != 0 {
		t.Errorf("tags move while content is still copied: %+v", ready)
	}
	expect(t, find(t, Hold(w.set, p), "staging", "a/x"), mirror.Tag, mirror.TagAbsent)
}

func TestHold_TheFirstStageMovesEntryByEntry(t *testing.T) {
	w := newWorld(mirror.LayoutTag)
	x := image("x", "1", "v1")
	w.inv.Whole[local.Repository(w.set, "snapshot", x).AtDigest(x.Digest).String()] = true
	if ready := Ready(w.set, w.plan()); len(ready) != 1 || ready[0].Key.Entry != "a/x" {
		t.Errorf("got %+v", ready)
	}
}

func TestCompute_APromotionSaysWhereItComesFrom(t *testing.T) {
	w := newWorld(mirror.LayoutPath)
	w.sync()
	w.want("staging", map[string]mirror.Reference{"a/x": image("x", "1", "v1"), "b/y": image("y", "1", "v1")})
	a := find(t, w.plan(), "staging", "a/x")
	if expect(t, a, mirror.Copy, mirror.NotInRegistry); a.Reason.Detail != "stands at snapshot, not here yet" || a.From.Host != local.Host {
		t.Errorf("got %s from %s", a.Reason, a.From)
	}
}

func TestCompute_WhatIsCopiedBelongsToTheSourceFile(t *testing.T) {
	w := newWorld(mirror.LayoutTag)
	if p := Hold(w.set, w.plan()); p.Count(mirror.Copy) != 2 || p.After.Origin != w.set.Origin {
		t.Errorf("after %d copies the record is of source %s, want %s", p.Count(mirror.Copy), p.After.Origin, w.set.Origin)
	}
}
