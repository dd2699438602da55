package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/daemon"
)

// TestLooking holds every command that only looks against the world of the demo after one sync, with every
// server gone: none of them needs a network.
func TestLooking(t *testing.T) {
	w, config := inWorld(t)
	if code, out, talk := command(t, t.Context(), "-c", config, "sync"); code != exitPartial {
		t.Fatalf("sync: exit %d\n%s\n%s", code, out, talk)
	}
	w.Close()
	for name, test := range map[string]func(*testing.T, string){
		"get lists": getLists, "get says what was perhaps meant": getSaysWhatWasPerhapsMeant,
		"trace tells everything of one image": traceTellsEverythingOfOneImage, "trace of a refusal names the fix and what is next": traceOfARefusal,
		"trace of nothing says what was perhaps meant": traceOfNothing, "completion offers live names": completionOffersLiveNames,
		"a reader that has enough is no failure": aReaderThatHasEnoughIsNoFailure, "a pipe in a shell": aPipeInAShell,
	} {
		t.Run(name, func(t *testing.T) { test(t, config) })
	}
}

func getLists(t *testing.T, config string) {
	for _, tt := range []struct {
		name string
		args []string
		want []string
		not  []string
	}{
		{"sets", []string{"get", "sets"}, []string{"SET", "ess", "tools", "snapshot", "partial"}, nil},
		{"one set", []string{"get", "sets", "ess", "-o", "name"}, []string{"ess\n"}, []string{"tools"}},
		{"stages of both sets", []string{"get", "stages", "--only", "ess", "--only", "tools", "-o", "name"}, []string{"ess/production", "tools/snapshot"}, nil},
		{"a part of a set", []string{"get", "entries", "--only", "tools/ghcr.io/**", "-o", "name"}, []string{"tools/ghcr.io/example-tools/backup:2.4.1"}, []string{"quay.io", "ess"}},
		{"one run", []string{"get", "runs", "-n", "1", "-o", "name"}, nil, []string{"no runs"}},
		{"stages", []string{"get", "stages", "--only", "ess"}, []string{"snapshot", "production", "together"}, []string{"tools"}},
		{"entries", []string{"get", "entries", "--only", "tools"}, []string{"probe", "signed by vendor", "! refused at snapshot: no-signature", "? missing at snapshot: upstream-missing"}, []string{"synapse"}},
		{"entry by its last part", []string{"get", "entries", "probe:3.2", "-o", "name"}, []string{"tools/quay.io/example-tools/probe:3.2\n"}, nil},
		{"wide", []string{"get", "entries", "--only", "tools", "-o", "wide"}, []string{"sha256:", "desired/tools/images.txt:"}, nil},
		{"one stage", []string{"get", "entries", "--stage", "production"}, nil, []string{"snapshot"}},
		{"runs", []string{"get", "runs", "--only", "tools"}, []string{"RUN", "tools", "refused"}, []string{"ess"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, out, talk := command(t, t.Context(), append([]string{"-c", config}, tt.args...)...)
			if code != exitOK {
				t.Fatalf("exit %d: %s", code, talk)
			}
			for _, want := range tt.want {
				if !strings.Contains(out, want) {
					t.Errorf("want %q in\n%s", want, out)
				}
			}
			for _, not := range tt.not {
				if strings.Contains(out, not) {
					t.Errorf("%q is in\n%s", not, out)
				}
			}
		})
	}
}

func getSaysWhatWasPerhapsMeant(t *testing.T, config string) {
	for _, tt := range []struct{ args, want string }{
		{"get sets es", `did you mean "ess"?`},
		{"get entries --only tolls", `did you mean "tools"?`},
		{"get entries --stage stagin", `did you mean "staging"?`},
		{"get runs nothing-like-it", "get runs` lists"},
		{"get stages --only es", `did you mean "ess"?`},
		{"get entries --only tools --only ess/nothing-like-it", `has no entry "nothing-like-it"`},
		{"get runs --only tolls", `did you mean "tools"?`},
	} {
		code, out, talk := command(t, t.Context(), append([]string{"-c", config}, strings.Fields(tt.args)...)...)
		if code != exitConfig || !strings.Contains(talk, tt.want) || !strings.Contains(talk, "FLT032") || out != "" {
			t.Errorf("%s: exit %d, want %q in %q; %s", tt.args, code, tt.want, talk, out)
		}
	}
}

func TestGet_BeforeAnythingWasFetched(t *testing.T) {
	_, config := inWorld(t)
	code, _, talk := command(t, t.Context(), "-c", config, "get", "sets")
	if code != exitConfig || !strings.Contains(talk, "CTL006") || !strings.Contains(talk, "--refresh") {
		t.Errorf("exit %d: %s", code, talk)
	}
	code, out, talk := command(t, t.Context(), "-c", config, "get", "sets", "--refresh")
	if code != exitOK || !strings.Contains(out, "no run yet") {
		t.Errorf("exit %d: %s%s", code, out, talk)
	}
}

func traceTellsEverythingOfOneImage(t *testing.T, config string) {
	trace := func(query string) daemon.Trace {
		t.Helper()
		code, out, talk := command(t, t.Context(), "-c", config, "trace", query, "-o", "json")
		if code != exitOK {
			t.Fatalf("trace %s: exit %d: %s", query, code, talk)
		}
		var doc traceDocument
		if err := json.Unmarshal([]byte(out), &doc); err != nil || doc.Type != "trace" || doc.Version != 1 {
			t.Fatalf("trace %s: %s %d: %v", query, doc.Type, doc.Version, err)
		}
		return doc.Trace
	}
	synapse := trace("synapse").Found
	if len(synapse) == 0 || synapse[0].Set != "ess" {
		t.Fatalf("found %+v", synapse)
	}
	one := synapse[0]
	first := one.Stages[0]
	if one.Source.Where.Line == 0 || one.Source.Text == "" || first.State != daemon.Stands || len(first.Pull) < 2 || first.Recorded == "" || len(one.Files) == 0 || len(one.Events) == 0 || len(one.Runs) == 0 {
		t.Errorf("something is missing: %+v", one)
	}
	digest := first.Image.Digest
	for _, query := range []string{one.Set + "/" + one.Entry, one.Entry, digest.String(), digest.Hex[:7], strings.ToUpper(digest.Hex[:12]), first.Image.String(),
		first.Image.Name(), first.Image.Name() + ":" + first.Image.Tag, first.Pull[0].String(), first.Pull[1].String()} {
		found := trace(query).Found
		if len(found) == 0 || found[0].Entry != one.Entry {
			t.Errorf("%s: found %+v", query, found)
		}
	}
	short := strings.TrimPrefix(first.Image.Name(), "docker.io/")
	if short == first.Image.Name() {
		t.Fatalf("%s is not of Docker Hub", short)
	}
	if found := trace(short).Found; len(found) == 0 || found[0].Entry != one.Entry {
		t.Errorf("%s: found %+v", short, found)
	}
}

func traceOfARefusal(t *testing.T, config string) {
	for query, want := range map[string][]string{
		"unsigned":  {"! refused", "fix", "poundlock -c " + config + " verify ghcr.io/example-tools/unsigned:1.0.0@sha256:", "--stage snapshot", "desired/tools/images.txt:"},
		"wrong-key": {"! refused", "fix", "next       poundlock -c " + config + " verify"},
		"missing":   {"? missing", "fix", "next       poundlock -c " + config + " verify"},
	} {
		code, out, talk := command(t, t.Context(), "-c", config, "trace", query)
		if code != exitOK {
			t.Errorf("%s: exit %d: %s", query, code, talk)
		}
		for _, w := range want {
			if !strings.Contains(out, w) {
				t.Errorf("%s: want %q in\n%s", query, w, out)
			}
		}
	}
}

func traceOfNothing(t *testing.T, config string) {
	for query, want := range map[string]string{
		"synaps":                            `did you mean "ess/synapse/synapse"?`,
		"ess":                               "get entries --only ess`",
		"0000000":                           "`poundlock -c " + config + " get entries`",
		"sha256:" + strings.Repeat("0", 64): "`poundlock -c " + config + " get entries`",
		"\x1b[31m":                          "`poundlock -c " + config + " get entries`",
	} {
		code, out, talk := command(t, t.Context(), "-c", config, "trace", query)
		if code != exitFailure || out != "" || !strings.Contains(talk, want) || strings.Contains(talk, "\x1b") {
			t.Errorf("%q: exit %d, want %q in %q; %s", query, code, want, talk, out)
		}
	}
}
