package plan

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/poundlock/poundlock/internal/mirror"
)

var update = flag.Bool("update", false, "write the golden files")

// shown has one action of each kind.
func shown() mirror.Plan {
	where := mirror.Position{File: "desired/ess/images_digests.yml", Line: 31}
	action := func(kind mirror.Kind, entry string, image mirror.Reference, why mirror.Reason) mirror.Action {
		return mirror.Action{Kind: kind, Key: mirror.Key{Set: "ess", Entry: entry}, Stage: "snapshot", Image: image, New: image.Digest, Where: where, Reason: why,
			To: mirror.Reference{Host: "registry.example:5000", Repository: "mirror/" + image.Repository, Tag: "ess"}}
	}
	x := image("x", "v1.118.0", "v1")
	copied := action(mirror.Copy, "synapse/synapse", x, mirror.Because(mirror.NotInRegistry, "not in the local registry"))
	copied.Outcome, copied.Basis, copied.Size = mirror.OutcomeSigned, "signed by demo", mirror.Size{Layers: 3, Bytes: 1258291, Here: 1024}
	vague := action(mirror.Copy, "界面/x", image("w", "1", "v1"), mirror.Because(mirror.NotInRegistry, "not in the local registry"))
	vague.Outcome, vague.Basis, vague.Size = mirror.OutcomePinned, "pinned in desired/ at 1a2b3c4", mirror.Size{Unknown: "429"}
	recorded := action(mirror.Tag, "synapse/redis", x, mirror.Because(mirror.AsDesired, "already here, to be judged and recorded"))
	recorded.Old = x.Digest
	warned := action(mirror.Unchanged, "warned/one", x, mirror.Because(mirror.AsDesired, ""))
	warned.Outcome, warned.Basis, warned.Warnings = mirror.OutcomeWarn, "admitted, since this stage warns only", []string{"no signature found: rule \"**\" wants 1 of demo"}
	excepted := action(mirror.Unchanged, "excepted/one", x, mirror.Because(mirror.AsDesired, ""))
	excepted.Outcome, excepted.Basis = mirror.OutcomeException, "exception VEND-123 of alice, until 2026-12-31"
	stands := action(mirror.Refuse, "stands/one", x, mirror.Because(mirror.BadSignature, "stands here and is admitted no longer: another key"))
	stands.Stands = true
	return mirror.Plan{Commit: "head", Set: "ess", Actions: []mirror.Action{
		copied, vague,
		action(mirror.Tag, "synapse/haproxy", image("y", "2.8-alpine", "v1"), mirror.Because(mirror.TagAbsent, "content is here, the tag is not")),
		recorded,
		action(mirror.Refuse, "hookshot/hookshot", image("z", "5.4.1", "v1"), mirror.Because(mirror.BadSignature, "signature does not match\x1b[31m the digest")),
		action(mirror.Missing, "sydent/sydent", image("z", "1", "").WithDigest(mirror.Digest{}), mirror.Because(mirror.UpstreamMissing, "upstream has no <it> & more")),
		action(mirror.Failed, "sygnal/sygnal", image("z", "2", "").WithDigest(mirror.Digest{}), mirror.Because(mirror.UpstreamFailed, "no route\nto host")),
		action(mirror.Failed, "offline/one", image("z", "3", "").WithDigest(mirror.Digest{}), mirror.Because(mirror.Offline, "unknown, offline")),
		action(mirror.Skip, "left/out", x, mirror.Because(mirror.NotSelected, "not selected")),
		action(mirror.Unchanged, "a/b", x, mirror.Because(mirror.AsDesired, "")),
		action(mirror.Drop, "old/one", x, mirror.Because(mirror.NotAsked, "no longer asked for; its content and tag stay")),
		{Kind: mirror.Render, Key: mirror.Key{Set: "ess"}, Stage: "snapshot", Path: "rendered/site/ess/snapshot/images-digests.yaml", Where: mirror.Position{File: "desired/ess.yaml", Line: 4}, Reason: mirror.Because(mirror.FileChanged, "+14 -0")},
		{Kind: mirror.Refuse, Key: mirror.Key{Set: "ess"}, Stage: "staging", Path: "rendered/site/ess/staging", Reason: mirror.Because(mirror.Incomplete, "kept as it was")},
		warned, excepted, stands,
	}}
}

// asBefore is a plan that found only what the last run found.
func asBefore() mirror.Plan {
	p := mirror.Plan{Set: "tools"}
	for _, a := range shown().Actions {
		if special(a) || a.Stands {
			continue
		}
		if a.Kind == mirror.Unchanged || a.Kind == mirror.Refuse && a.Path == "" || a.Kind == mirror.Missing {
			a.AsBefore = a.Kind != mirror.Unchanged
			p.Actions = append(p.Actions, a)
		}
	}
	return p
}

func documentOf(plans ...mirror.Plan) Document {
	d := NewDocument(Sizes{ToCopy: 432_746_291, Here: 302_094_745}, plans...)
	d.Site, d.Registry, d.Git, d.AsOf = "demo", "127.0.0.1:5000", "5be1f02aa1b2c3d4e5f60718293a4b5c6d7e8f90", time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	return d
}

func printed(t *testing.T, write func(*bytes.Buffer) error) string {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func text(t *testing.T, d Document, s Style) string {
	t.Helper()
	return printed(t, func(b *bytes.Buffer) error { return Text(b, d, s) })
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestText_ShowsWhatIsNotAsDesired(t *testing.T) {
	doc := documentOf(shown(), asBefore(), mirror.Plan{Set: "idle", Actions: []mirror.Action{{Kind: mirror.Unchanged}}})
	for _, tt := range []struct {
		file  string
		style Style
	}{
		{"table.txt", Style{Next: "poundlock sync"}},
		{"wide.txt", Style{Wide: true}},
		{"table-100.txt", Style{Width: 100, Next: "poundlock sync"}},
		{"table-40.txt", Style{Width: 40, Next: "poundlock sync"}},
	} {
		t.Run(tt.file, func(t *testing.T) {
			got := text(t, doc, tt.style)
			if strings.Contains(got, "\x1b") || strings.Contains(got, "idle") {
				t.Errorf("escapes or idle sets are shown: %q", got)
			}
			if strings.Contains(got, "set tools") != tt.style.Wide {
				t.Errorf("what is as before is listed: %t, want %t", !tt.style.Wide, tt.style.Wide)
			}
			for _, whole := range []string{mirror.Short(image("x", "v1.118.0", "v1").Digest), "desired/ess/images_digests.yml:31", "[bad-signature]", "界面/x"} {
				if !strings.Contains(got, whole) {
					t.Errorf("%q is cut or missing", whole)
				}
			}
			golden(t, tt.file, got)
		})
	}
}

func TestText_BreaksBetweenWordsOnly(t *testing.T) {
	doc := documentOf(shown())
	spaces := regexp.MustCompile(`\s+`)
	words := func(s string) string { return spaces.ReplaceAllString(s, " ") }
	wide := text(t, doc, Style{})
	for _, width := range []int{1, 20, 40, 60, 80, 100, 120, 200, 400} {
		got := text(t, doc, Style{Width: width})
		if words(got) != words(wide) {
			t.Errorf("%d columns: other words than without a terminal:\n%s", width, got)
		}
		for line := range strings.Lines(got) {
			line = strings.TrimRight(line, "\n")
			if ansi.StringWidth(line) > width && len(strings.Fields(strings.TrimLeft(line, " +~-!?x*"))) > 1 {
				t.Errorf("%d columns: a line is wider and could break: %q", width, line)
			}
		}
	}
}

func TestText_ColourIsNotTheOnlySignal(t *testing.T) {
	doc := documentOf(shown(), asBefore())
	for _, width := range []int{0, 40, 100} {
		plain, painted := text(t, doc, Style{Width: width}), text(t, doc, Style{Width: width, Color: true})
		if plain == painted || ansi.Strip(painted) != plain {
			t.Errorf("%d columns: without its colour it reads\n%s\nwant\n%s", width, ansi.Strip(painted), plain)
		}
	}
}

func TestText_SaysThatThereIsNothingToDo(t *testing.T) {
	idle := mirror.Plan{Set: "idle", Actions: []mirror.Action{{Kind: mirror.Unchanged}}}
	newly := asBefore()
	newly.Actions = append([]mirror.Action(nil), newly.Actions...)
	newly.Actions[0].AsBefore = false
	for _, tt := range []struct {
		name  string
		plan  mirror.Plan
		style Style
		last  string
		lines int
	}{
		{"nothing", idle, Style{Next: "poundlock sync"}, "No changes. Git 5be1f02 matches 127.0.0.1:5000.", 1},
		{"as before", asBefore(), Style{}, "No changes. Git 5be1f02 matches 127.0.0.1:5000 (1 refused, 1 missing upstream, listed with -v).", 1},
		{"as before, listed", asBefore(), Style{All: true}, "No changes. Git 5be1f02 matches 127.0.0.1:5000 (1 refused, 1 missing upstream, as before).", 6},
		{"refused anew", newly, Style{Next: "poundlock sync"}, "Plan: 1 refused, 1 missing upstream, 1 unchanged.", 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := strings.Split(strings.TrimSuffix(text(t, documentOf(tt.plan), tt.style), "\n"), "\n")
			if got[len(got)-1] != tt.last || len(got) != tt.lines {
				t.Errorf("got %d lines, want %d:\n%s\nwant at the end\n%s", len(got), tt.lines, strings.Join(got, "\n"), tt.last)
			}
		})
	}
}

func TestText_TellsOfWholeSets(t *testing.T) {
	doc := documentOf(mirror.Plan{Set: "idle", Actions: []mirror.Action{{Kind: mirror.Unchanged}}})
	doc.Plans[0].Suspended = &mirror.Suspension{Reason: "the disk is full", By: "ops", Since: time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)}
	doc.Orphans, doc.Age = []Orphan{{Set: "old", Folder: "rendered/site/old"}}, 4*time.Minute
	notes := []string{"set idle is suspended by ops since 2026-11-20T09:00:00Z: the disk is full", "set old is not asked for any more: what was mirrored and rendered of it stays; delete rendered/site/old when no consumer reads it"}
	want := strings.Join(append(notes, "No changes. Git 5be1f02 matches 127.0.0.1:5000. Upstream tags as of 4m ago."), "\n") + "\n"
	if got := text(t, doc, Style{}); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	annotations := printed(t, func(b *bytes.Buffer) error { return Annotations(b, doc) })
	body, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	for form, got := range map[string]string{"markdown": markdown(t, doc, 0), "markdown, cut": markdown(t, doc, MinMarkdown), "github": annotations, "json": string(body)} {
		for _, want := range []string{"the disk is full", "rendered/site/old"} {
			if !strings.Contains(got, want) {
				t.Errorf("%s lacks %q:\n%s", form, want, got)
			}
		}
	}
	if !strings.Contains(string(body), `"suspended":{`) || !strings.Contains(string(body), `"orphans":[{`) {
		t.Errorf("json: %s", body)
	}
	if got := markdown(t, doc, 0); !strings.Contains(got, "Upstream tags as of 4m ago.") {
		t.Errorf("markdown does not say how old it is:\n%s", got)
	}
}

func TestTotals_WhatIsHeldIsNotRefused(t *testing.T) {
	held := mirror.Action{Kind: mirror.Refuse, Key: mirror.Key{Set: "ess", Entry: "a/x"}, Stage: "staging", Reason: mirror.Because(mirror.NotWhole, "the set moves together")}
	denied := mirror.Action{Kind: mirror.Failed, Key: mirror.Key{Set: "ess", Entry: "b/y"}, Reason: mirror.Reason{Code: mirror.UpstreamFailed, Detail: "nobody is let in", Problem: "AUTH002", Fix: "add a credential"}}
	doc := NewDocument(Sizes{}, mirror.Plan{Set: "ess", Actions: []mirror.Action{held, denied}})
	if want := (Totals{Held: 1, Failed: 1}); doc.Totals != want {
		t.Errorf("got %+v, want %+v", doc.Totals, want)
	}
	got := text(t, doc, Style{})
	for _, want := range []string{"fix: select the whole set: --only ess", "[not-whole]", "[upstream-failed AUTH002]", "fix: add a credential", "Plan: 1 held, 1 failed, 0 unchanged."} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing:\n%s", want, got)
		}
	}
}

func TestDocument_IsVersionedAndComplete(t *testing.T) {
	doc := documentOf(shown(), mirror.Plan{Set: "idle"})
	body, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "plan.json", string(body)+"\n")
	var read struct {
		Type    string
		Version int
		Totals  Totals
		Plans   []struct {
			Set     string
			Actions []mirror.Action
		}
	}
	if err := json.Unmarshal(body, &read); err != nil {
		t.Fatal(err)
	}
	if read.Type != "plan" || read.Version != 1 || len(read.Plans) != 2 || len(read.Plans[0].Actions) != 16 || read.Plans[1].Actions == nil {
		t.Errorf("got %+v", read)
	}
	if got, want := read.Plans[0].Actions[0], shown().Actions[0]; !reflect.DeepEqual(got, want) {
		t.Errorf("an action does not read back: got %+v, want %+v", got, want)
	}
	want := Totals{Copy: 2, BytesToCopy: 432_746_291, BytesHere: 302_094_745, SizesUnknown: 1, Move: 1, Record: 1, Drop: 1, Files: 1, Kept: 1,
		Refused: 2, Missing: 1, Failed: 1, Unknown: 1, Skipped: 1, Unchanged: 3, Exceptions: 1, Warned: 1, NoLonger: 1}
	if read.Totals != want {
		t.Errorf("totals: got %+v, want %+v", read.Totals, want)
	}
}

func TestFix_EveryTroubleHasOne(t *testing.T) {
	for _, code := range []mirror.ReasonCode{mirror.Collision, mirror.ForeignTag, mirror.NotBelow, mirror.Incomplete, mirror.Held, mirror.NotWhole, mirror.BasedOnMoved,
		mirror.UpstreamMissing, mirror.UpstreamFailed, mirror.LocalFailed, mirror.Denied, mirror.NoRule, mirror.NoSignature, mirror.BadSignature,
		mirror.NotPinned, mirror.NotVerified, mirror.BadContent, mirror.Offline, mirror.Paused, mirror.Drift, mirror.Soaking, mirror.OutOfWindow, mirror.Frozen,
		mirror.NotApproved, mirror.NotChecked, mirror.NotAllowed, mirror.NotKnown, mirror.Downgrade, mirror.Immutable, mirror.NotAll, mirror.TooLate, mirror.Overwrites, mirror.Removes} {
		if Fix(mirror.Action{Kind: mirror.Refuse, Reason: mirror.Reason{Code: code}}) == "" {
			t.Errorf("%s: what mends it?", code)
		}
	}
	if got := Fix(mirror.Action{Kind: mirror.Copy, Reason: mirror.Reason{Code: mirror.NotInRegistry}}); got != "" {
		t.Errorf("a copy needs no fix, got %q", got)
	}
}

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 432_746_291: "412.7 MiB", 1<<30 - 1: "1.0 GiB", 1 << 40: "1.0 TiB"} {
		if got := Bytes(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
}

func TestCounts_InOneSentence(t *testing.T) {
	many := shown()
	many.Actions = append(many.Actions, many.Actions...)
	for want, plans := range map[string][]mirror.Plan{
		"Plan: 0 unchanged.": nil,
		"Plan: 2 to copy (412.7 MiB without signatures, 288.1 MiB already here, 1 size unknown), 1 tag to move, 1 to record, 1 no longer asked for, 1 file to change, 1 override kept as it was, 2 refused, 1 missing upstream, 1 failed, 1 unknown, offline, 1 not selected, 3 unchanged; of these 1 by exception, 1 with a warning, 1 standing here and admitted no longer.":        {shown()},
		"Plan: 4 to copy (412.7 MiB without signatures, 288.1 MiB already here, 2 sizes unknown), 2 tags to move, 2 to record, 2 no longer asked for, 2 files to change, 2 overrides kept as they were, 4 refused, 2 missing upstream, 2 failed, 2 unknown, offline, 2 not selected, 6 unchanged; of these 2 by exception, 2 with a warning, 2 standing here and admitted no longer.": {many},
	} {
		if got := documentOf(plans...).Totals.Summary(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	unweighed := shown()
	unweighed.Actions = []mirror.Action{{Kind: mirror.Copy}}
	if got, want := NewDocument(Sizes{}, unweighed).Totals.Summary(), "Plan: 1 to copy, 0 unchanged."; got != want {
		t.Errorf("nobody looked at sizes: got %s, want %s", got, want)
	}
}
