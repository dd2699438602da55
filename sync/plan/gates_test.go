package plan

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// promoted has promotions that go on, wait and are refused.
func promoted() mirror.Plan {
	where := mirror.Position{File: "stages/ess/production.yaml", Line: 4}
	soaked := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	previous := mirror.Gate{Name: "previous", Open: true, Why: "it stands or stood in staging"}
	denied := mirror.Gate{Name: "denied", Open: true, Why: "no deny list names it"}
	approved := mirror.Gate{Name: "approvals", Code: mirror.NotApproved, Why: "1 of 2 approvals by owners: alice"}
	soak := mirror.Gate{Name: "soak", Code: mirror.Soaking, Why: "it has to stand in staging for 24h: until 2026-11-22T09:00:00Z", Until: soaked}
	back := mirror.Gate{Name: "soak", Open: true, Exempt: true, Why: "it returns to what stood here before"}
	action := func(entry string, kind mirror.Kind, why mirror.Reason, gates ...mirror.Gate) mirror.Action {
		x := image(entry, "2.0", entry)
		return mirror.Action{Kind: kind, Key: mirror.Key{Set: "ess", Entry: entry}, Stage: "production", Image: x, New: x.Digest, Where: where, Reason: why, Gates: append([]mirror.Gate{denied, previous}, gates...)}
	}
	because := func(g mirror.Gate) mirror.Reason { return mirror.Reason{Code: g.Code, Detail: g.Why} }
	waiting := action("b", mirror.Refuse, because(soak), soak)
	waiting.Until = soaked
	return mirror.Plan{Set: "ess", Actions: []mirror.Action{
		action("a", mirror.Tag, mirror.Because(mirror.TagBehind, "the tag names 9f1c"), back),
		waiting,
		action("c", mirror.Refuse, because(approved), soak, approved),
		action("d", mirror.Refuse, because(approved), soak, approved),
		action("e", mirror.Refuse, mirror.Because(mirror.NotBelow, "it never stood in staging; promote it there first")),
		action("f", mirror.Refuse, mirror.Because(mirror.Held, "the set moves together and e cannot")),
	}}
}

func TestText_TellsWaitingFromRefused(t *testing.T) {
	d := documentOf(promoted())
	golden(t, "gates.txt", text(t, d, Style{}))
	if d.Totals.Waiting != 3 || d.Totals.Refused != 1 || d.Totals.Held != 1 {
		t.Errorf("got %+v", d.Totals)
	}
}

func TestText_GatesFitTheTerminal(t *testing.T) {
	for line := range strings.Lines(text(t, documentOf(promoted()), Style{Width: 60})) {
		if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 60 && strings.Contains(strings.TrimSpace(line), " ") {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

func TestMarkdown_TellsGates(t *testing.T) {
	got := markdown(t, documentOf(promoted()), 0)
	golden(t, "gates.md", got)
	if refused, waits := strings.Index(got, "refused: it never"), strings.Index(got, "waits: "); refused < 0 || refused > waits {
		t.Errorf("what is refused stands at %d, what waits at %d", refused, waits)
	}
}

func TestAnnotations_WhatWaitsIsAWarning(t *testing.T) {
	got := printed(t, func(b *bytes.Buffer) error { return Annotations(b, documentOf(promoted())) })
	if n := strings.Count(got, "::warning "); n != 3 {
		t.Errorf("%d warnings, want 3:\n%s", n, got)
	}
}

func TestDocument_SaysWhatWaits(t *testing.T) {
	var waiting []string
	for _, row := range documentOf(promoted()).Plans[0].Actions {
		if row.Waits {
			waiting = append(waiting, row.Key.Entry)
		}
	}
	if !slices.Equal(waiting, []string{"b", "c", "d"}) {
		t.Errorf("got %v", waiting)
	}
}
