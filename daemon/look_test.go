package daemon

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

func reference(t *testing.T, s string) mirror.Reference {
	t.Helper()
	r, err := mirror.ParseReference(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// looked is a set with one entry that moved on at the first stage and not yet above it.
func looked(t *testing.T) (*glance, mirror.Set, mirror.Record) {
	t.Helper()
	v1, v2 := reference(t, "docker.io/matrixdotorg/synapse:v1@sha256:"+strings.Repeat("1a", 32)), reference(t, "docker.io/matrixdotorg/synapse:v2@sha256:"+strings.Repeat("2b", 32))
	set := mirror.Set{Name: "ess", Stages: mirror.DefaultStages, Layout: mirror.LayoutTag, VendorTags: mirror.VendorOnce, Where: mirror.Position{File: "desired/ess.yaml"},
		Entries: []mirror.Entry{{Name: "synapse/synapse", Image: v2.WithDigest(mirror.Digest{}), Where: mirror.Position{File: "desired/ess/images_digests.yml", Line: 2}},
			{Name: "gone/new", Image: reference(t, "quay.io/x/new:1")}},
		Wanted: map[mirror.Stage][]mirror.Wanted{"staging": {{Entry: "synapse/synapse", Image: v2}}}, Listed: map[mirror.Stage]bool{"staging": true}}
	record := mirror.Record{Stages: map[mirror.Stage]mirror.Standing{
		"snapshot": {"synapse/synapse": {Image: v2, Was: []mirror.Reference{v1}, Basis: "signed by vendor"}},
		"staging":  {"synapse/synapse": {Image: v1}}, "production": {"synapse/synapse": {Image: v1}}}}
	at := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	g := &glance{line: &Line{local: mirror.Local{Host: "registry.site:5000", Prefix: "mirror", Site: "berlin"}}, newest: map[string]*Event{}}
	g.newest[standKey("ess", "staging", "synapse/synapse")] = &Event{Type: EventRefused, Code: mirror.NoRule, Reason: "no rule matches", Set: "ess", Entry: "synapse/synapse", Stage: "staging", Image: v2, At: at}
	g.runs = []Run{{Set: "ess", Ended: at.Add(time.Minute), Refused: 1}}
	return g, set, record
}

func TestLook_SaysHowAnEntryIsAtEachStage(t *testing.T) {
	g, set, record := looked(t)
	lines := g.entries(set, record)
	if len(lines) != 2 || lines[0].Entry != "gone/new" || lines[1].Entry != "synapse/synapse" {
		t.Fatalf("got %+v", lines)
	}
	var states []StandState
	for _, s := range append(lines[1].Stages, lines[0].Stages...) {
		states = append(states, s.State)
	}
	if want := []StandState{Stands, Behind, Unwanted, Absent}; !slices.Equal(states, want) {
		t.Errorf("states %v, want %v", states, want)
	}
	trouble := lines[1].Stages[1].Trouble
	if trouble == nil || trouble.Fix == "" || trouble.Next != "poundlock help policy" {
		t.Errorf("trouble %+v", trouble)
	}
	first := stageLook(set, "snapshot", lines)
	if first.Wanted != 2 || first.AsWanted != 1 || first.Standing != 1 {
		t.Errorf("snapshot %+v", first)
	}
	g.places = map[string]map[string]string{"ess": {"staging synapse/synapse ": "refuse no-rule "}}
	if still := g.entries(set, record)[1].Stages[1]; still.Trouble == nil {
		t.Error("what the last run refused, too, is no trouble any more")
	}
	g.places["ess"] = map[string]string{"staging gone/new ": "refuse no-rule "} // it refused another entry
	if over := g.entries(set, record)[1].Stages[1]; over.Trouble != nil {
		t.Errorf("admitted again, and still in trouble: %+v", over.Trouble)
	}
	g.places = nil        // as a state of an older version
	g.runs[0].Refused = 0 // a later run found nothing in the way
	if again := g.entries(set, record)[1].Stages[1]; again.Trouble != nil {
		t.Errorf("trouble that is over: %+v", again.Trouble)
	}
}

func TestTrace_FindsAThingByEachOfItsNames(t *testing.T) {
	g, set, record := looked(t)
	entry := g.entries(set, record)[1]
	one, two := strings.Repeat("1a", 32), strings.Repeat("2b", 32)
	for _, tt := range []struct {
		query string
		rank  int
		as    string
	}{
		{"synapse/synapse", exactMatch, "entry"},
		{"ess/synapse/synapse", exactMatch, "entry"},
		{"synapse", nearMatch, "entry; repository"},
		{"v1", nearMatch, "tag stood at snapshot; tag stands at staging; tag stands at production"},
		{"synapse:v2", nearMatch, "repository"},
		{one[:7], exactMatch, "digest stood at snapshot; digest stands at staging; digest stands at production"},
		{"sha256:" + strings.ToUpper(two), exactMatch, "digest stands at snapshot; digest wanted at staging"},
		{one[:6], noMatch, ""},
		{"matrixdotorg/synapse:v2", exactMatch, "upstream reference stands at snapshot; upstream reference wanted at staging"},
		{"index.docker.io/matrixdotorg/synapse@sha256:" + two, exactMatch, "upstream reference stands at snapshot; upstream reference wanted at staging"},
		{"registry.site:5000/mirror/docker.io/matrixdotorg/synapse:v1", exactMatch, "local reference stood at snapshot; local reference stands at staging; local reference stands at production"},
		{"registry.site:5000/mirror/docker.io/matrixdotorg/synapse:ess-synapse.synapse-production", exactMatch, "local reference stands at production"},
		{"quay.io/matrixdotorg/synapse:v2", noMatch, ""},
		{"synaps", noMatch, ""},
	} {
		rank, as := parseQuery(tt.query).matches(g.line.local, set, record, entry)
		if got := strings.Join(as, "; "); rank != tt.rank || got != tt.as {
			t.Errorf("%s: rank %d as %q, want %d as %q", tt.query, rank, got, tt.rank, tt.as)
		}
	}
}

func TestTrace_ReadsLinesAndMentions(t *testing.T) {
	files := mirror.Files{"a": []byte("one\n  two \n")}
	for line, want := range map[int]string{0: "", 1: "one", 2: "two", 3: "", 9: ""} {
		if got := lineOf(files, mirror.Position{File: "a", Line: line}); got != want {
			t.Errorf("line %d: %q, want %q", line, got, want)
		}
	}
	image := reference(t, "a.example/b@sha256:"+strings.Repeat("ab", 32))
	text := []byte("x\nimage: " + image.String() + "\n")
	got := mentions(nil, mirror.Files{"r/ess/staging/x.yaml": text, "r/ess/staging.yaml": text, "r/ess/staging2/x.yaml": text, "r/ess/production/x.yaml": text}, "r/ess/staging", image)
	if want := []Mention{{"r/ess/staging.yaml", 2}, {"r/ess/staging/x.yaml", 2}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
