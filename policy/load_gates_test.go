package policy_test

import (
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy"
)

// gatesFiles is a fleet with two sets and a policy with these lines below gates.
func gatesFiles(gates string) mirror.Files {
	files := policyFiles(nil, "rules: [{match: docker.io/**, require: {pinned: true}}]\ngates:\n"+gates+"\n")
	files["desired/web.yaml"] = []byte("version: 1\nsource: {kind: list}\n")
	files["desired/edge.yaml"] = []byte("version: 1\nsource: {kind: list}\nstages: [next, live]\n")
	return files
}

func TestLoad_MistakesInGates(t *testing.T) {
	for _, c := range []struct{ name, gate, code, what string }{
		{"nothing asked", "stages: [production]", "POL060", "asks for nothing"},
		{"only how long it may wait", "stages: [production], applyWithin: 1h", "POL060", "asks for nothing"},
		{"malformed glob", "sets: ['['], stages: [production], whole: true", "POL061", "malformed glob"},
		{"misspelt set", "sets: [wbe], stages: [production], whole: true", "POL061", `no set matches "wbe"`},
		{"no sets", "sets: [], stages: [production], whole: true", "POL061", "empty"},
		{"set twice", "sets: [web, web], stages: [production], whole: true", "POL009", "twice"},
		{"no stages", "whole: true", "DOC005", "stages"},
		{"empty stages", "stages: [], whole: true", "POL062", "empty"},
		{"unknown stage", "stages: [produciton], whole: true", "POL008", "produciton"},
		{"first stage", "stages: [snapshot], whole: true", "POL062", "first stage"},
		{"stage of another set", "sets: [edge], stages: [production], whole: true", "POL062", "no set that the gate matches has a stage"},
		{"soak backwards", "stages: [production], soak: -1h", "POL063", "less than nothing"},
		{"soak without unit", "stages: [production], soak: 24", "DOC004", "duration"},
		{"too late at once", "stages: [production], soak: 1h, applyWithin: 0s", "POL063", "too late"},
		{"no windows", "stages: [production], windows: []", "POL064", "empty"},
		{"empty window", "stages: [production], windows: [{from: '20:00', to: '20:00'}]", "POL064", "ends when it begins"},
		{"begins at the end", "stages: [production], windows: [{from: '24:00', to: '02:00'}]", "POL064", "24:00"},
		{"hour that is none", "stages: [production], windows: [{from: '25:00', to: '02:00'}]", "DOC004", "25:00"},
		{"hour of one digit", "stages: [production], windows: [{from: '8:00', to: '10:00'}]", "DOC004", "8:00"},
		{"unknown day", "stages: [production], windows: [{days: [monday], from: '20:00', to: '23:00'}]", "POL065", "monday"},
		{"no days", "stages: [production], windows: [{days: [], from: '20:00', to: '23:00'}]", "POL065", "empty"},
		{"day twice", "stages: [production], windows: [{days: [mon, mon], from: '20:00', to: '23:00'}]", "POL009", "twice"},
		{"unknown zone", "stages: [production], windows: [{from: '20:00', to: '23:00', timeZone: Europe/Brelin}]", "POL066", "Europe/Brelin"},
		{"zone of the machine", "stages: [production], windows: [{from: '20:00', to: '23:00', timeZone: Local}]", "POL066", "Local"},
		{"zone that is a path", "stages: [production], windows: [{from: '20:00', to: '23:00', timeZone: ../etc/passwd}]", "POL066", "passwd"},
		{"freeze without end", "stages: [production], freezes: [{from: 2026-12-20}]", "DOC005", "until"},
		{"freeze backwards", "stages: [production], freezes: [{from: 2026-12-20, until: 2026-12-19}]", "POL067", "before it begins"},
		{"no day", "stages: [production], freezes: [{from: 2026-12-32, until: 2027-01-01}]", "POL067", "2026-12-32"},
		{"approved by nobody", "stages: [production], approvals: {count: 0}", "POL068", "asks nobody"},
		{"status without a name", "stages: [production], statuses: ['']", "POL069", "no name"},
		{"no calls", "stages: [production], calls: []", "POL069", "empty"},
		{"unknown word", "stages: [production], downgrade: refused", "POL070", "refused"},
		{"unknown key", "stages: [production], soack: 1h", "DOC002", "soack"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, problems := policy.Load(gatesFiles("  - {"+c.gate+"}"), commit)
			found := false
			for _, one := range problems {
				found = found || one.Code == c.code && strings.Contains(one.What, c.what) && one.Where.Line > 0 && one.Fix != ""
			}
			if !found {
				t.Errorf("got %v, want [%s] %s", problems, c.code, c.what)
			}
			if len(p.Calls()) > 0 || p.Hash() != (policy.Policy{}).Hash() {
				t.Error("a policy with mistakes is to admit nothing")
			}
		})
	}
}

func TestLoad_TheSameGateTwice(t *testing.T) {
	_, problems := policy.Load(gatesFiles("  - {stages: [production], whole: true}\n  - {whole: true, stages: [production]}"), commit)
	if len(problems) != 1 || problems[0].Code != "POL003" {
		t.Errorf("got %v", problems)
	}
}

func TestLoad_GatesChangeTheHash(t *testing.T) {
	hashes := map[mirror.Digest]string{}
	for _, gates := range []string{"", "  - {stages: [production], soak: 1h}", "  - {stages: [production], soak: 2h}", "  - {stages: [live], soak: 1h}",
		"  - {stages: [production], windows: [{from: '20:00', to: '23:00'}]}", "  - {stages: [production], windows: [{from: '20:00', to: '23:00', timeZone: Europe/Berlin}]}",
		"  - {stages: [production], freezes: [{from: 2026-12-20, until: 2026-12-21}]}", "  - {stages: [production], approvals: {count: 2}}"} {
		files := gatesFiles(gates)
		if gates == "" {
			files = policyFiles(nil, "rules: [{match: docker.io/**, require: {pinned: true}}]\n")
		}
		p, problems := policy.Load(files, commit)
		if err := problems.Err(); err != nil {
			t.Fatal(err)
		}
		if before, dup := hashes[p.Hash()]; dup {
			t.Errorf("%q and %q have one hash", before, gates)
		}
		hashes[p.Hash()] = gates
	}
}
