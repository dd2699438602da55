package mirror

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func frozenFleet(more Files) Files {
	files := Files{"desired/elastic.yaml": []byte("version: 1\nsource: {kind: list}\n")}
	for name, body := range more {
		files[name] = body
	}
	return files
}

func packageLine(entry, hex string) string {
	p, _ := ParsePackage(entry)
	return fmt.Sprintf("  %s: epr.elastic.co/%s:%s@sha256:%s\n", entry, p.Name, p.Version, strings.Repeat(hex, 64))
}

func TestFrozen_IsReadAndRefused(t *testing.T) {
	good := "version: 1\nfrom: production\nentries:\n" + packageLine("nginx-1.20.0", "a")
	for _, tt := range []struct {
		name, file, body string
		code, says       string // of the problem; "" for none
	}{
		{"good", "9.3.0.yaml", good, "", ""},
		{"a part of a folder", "9.3.0.d/n.yaml", good, "", ""},
		{"no stage", "9.3.0.yaml", "version: 1\nentries:\n" + packageLine("nginx-1.20.0", "a"), "FLT081", `"" is none of set elastic`},
		{"unknown stage", "9.3.0.yaml", strings.Replace(good, "production", "prod", 1), "FLT081", `"prod"`},
		{"nothing in it", "9.3.0.yaml", "version: 1\nfrom: production\nentries: {}\n", "FLT080", "lists nothing"},
		{"name of a stage", "staging.yaml", good, "FLT080", `"staging" cannot be`},
		{"capital letters", "Prod.yaml", good, "FLT080", `"Prod" cannot be`},
		{"a rollback", "9.3.0.yaml", "rollback: no\n" + good, "FLT080", "rollback"},
		{"a line without a digest", "9.3.0.yaml", "version: 1\nfrom: production\nentries:\n  nginx-1.20.0: epr.elastic.co/nginx:1.20.0\n", "FLT010", "not a reference with a digest"},
		{"too deep", "9.3.0/x/y.yaml", good, "FLT007", "no such stage"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, ps := ParseDesired("c", frozenFleet(Files{"stages/elastic/frozen/" + tt.file: []byte(tt.body)}))
			set, _ := d.Set("elastic")
			if tt.code == "" {
				if len(ps) > 0 || len(set.Frozen) != 1 || set.Frozen[0].Name != "9.3.0" || set.Frozen[0].From != "production" || len(set.Frozen[0].Lines) != 1 {
					t.Fatalf("read %+v, %v", set.Frozen, ps)
				}
				return
			}
			if len(ps) != 1 || ps[0].Code != tt.code || !strings.Contains(ps[0].What, tt.says) || ps[0].Where.File != "stages/elastic/frozen/"+tt.file || ps[0].Fix == "" {
				t.Errorf("told %v", ps)
			}
			if len(set.Frozen) > 0 {
				t.Errorf("taken in spite of it: %+v", set.Frozen)
			}
		})
	}
}

func TestFrozen_OnlyItsDocumentSaysFrom(t *testing.T) {
	body := "version: 1\nfrom: snapshot\nentries:\n" + packageLine("nginx-1.20.0", "a")
	_, ps := ParseDesired("c", frozenFleet(Files{"stages/elastic/staging.yaml": []byte(body)}))
	if len(ps) != 1 || ps[0].Code != "FLT081" || ps[0].Where.Line != 2 {
		t.Errorf("told %v", ps)
	}
}

func TestFrozen_NeverChanges(t *testing.T) {
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	line := func(hex string) Reference {
		r, _ := ParseReference("epr.elastic.co/nginx:1.20.0@sha256:" + strings.Repeat(hex, 64))
		return r
	}
	set := Set{Name: "elastic", Stages: DefaultStages}
	frozen := func(image Reference) Set {
		s := set
		s.Frozen = []FrozenChannel{{Name: "9.3.0", From: "staging", Lines: []Wanted{{Entry: "nginx-1.20.0", Image: image}}}}
		return s
	}
	record := Record{Stages: map[Stage]Standing{"production": {"nginx-1.20.0": Line{Image: line("a")}}}, Left: map[Stage]Standing{}}
	remembered := map[string]FrozenLine{}
	if kept, refused := frozen(line("b")).Keep(remembered, record, at); len(kept) != 0 || len(refused) != 1 || refused[0].Reason.Code != NotBelow || len(remembered) != 0 {
		t.Fatalf("what never stood: kept %v, refused %v", kept, refused)
	}
	if kept, refused := frozen(line("a")).Keep(remembered, record, at); len(kept) != 1 || len(refused) != 0 {
		t.Fatalf("what stands above: kept %v, refused %v", kept, refused)
	}
	files := FrozenFiles("rendered/x", set, remembered)
	if len(files) != 1 || len(FrozenFiles("rendered/x", set, nil)) != 0 {
		t.Fatalf("wrote %v", files)
	}
	again := ParseFrozen("rendered/x", set, files)
	if again["9.3.0"] != remembered["9.3.0"] {
		t.Fatalf("read back %+v, wrote %+v", again, remembered)
	}
	// The stage moves on, and the channel stays; whoever edits it is refused.
	later := Record{Stages: map[Stage]Standing{"production": {"nginx-1.20.0": Line{Image: line("b")}}}}
	if kept, refused := frozen(line("a")).Keep(again, later, at.Add(time.Hour)); len(kept) != 1 || len(refused) != 0 {
		t.Errorf("later: kept %v, refused %v", kept, refused)
	}
	if kept, refused := frozen(line("b")).Keep(again, later, at.Add(time.Hour)); len(kept) != 0 || len(refused) != 1 || refused[0].Reason.Code != Immutable || again["9.3.0"] != remembered["9.3.0"] {
		t.Errorf("edited: kept %v, refused %v, remembers %v", kept, refused, again)
	}
	// Nothing else takes a name that was given once.
	if _, refused := set.Keep(again, later, at); len(refused) != 0 || len(again) != 1 {
		t.Errorf("without its file: refused %v, remembers %v", refused, again)
	}
}

func TestParsePackage(t *testing.T) {
	for text, want := range map[string]Package{
		"nginx-1.20.0":           {"nginx", "1.20.0"},
		"foo-1.0.0-beta1":        {"foo", "1.0.0-beta1"},
		"a_b2-1.0.0-SNAPSHOT+x1": {"a_b2", "1.0.0-SNAPSHOT+x1"},
		"nginx":                  {}, "nginx-1.0": {}, "nginx-v1.0.0": {}, "Nginx-1.0.0": {}, "-1.0.0": {}, "ng/inx-1.0.0": {}, "nginx-01.0.0": {}, "nginx-": {},
	} {
		got, err := ParsePackage(text)
		if got != want || (err == nil) != (want != Package{}) {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
		if err == nil && got.String() != text {
			t.Errorf("%s reads back as %s", text, got)
		}
	}
	if tag := (Package{"a", "1.0.0+x"}).Tag(); tag != "1.0.0_x" {
		t.Errorf("tag %s", tag)
	}
	order := []string{"a-1.0.0-beta1", "a-1.0.0", "a-1.0.0+a", "a-1.0.0+b", "a-1.2.0", "a-1.10.0", "b-0.1.0"}
	for i, one := range order {
		for j, two := range order {
			p, _ := ParsePackage(one)
			q, _ := ParsePackage(two)
			if c := p.Compare(q); (c < 0) != (i < j) || (c == 0) != (i == j) {
				t.Errorf("%s against %s: %d", one, two, c)
			}
		}
	}
}
