package cli

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestExplain_SaysWhatAKeyMeans(t *testing.T) {
	for _, tt := range []struct {
		path string
		want []string
	}{
		{"git.poll", []string{"key:      git.poll\n", "type:     duration\n", "default:  30s\n", "variable: POUNDLOCK_GIT__POLL\n", "example:  1m\n", "\n\nHow often Git is asked"}},
		{"registries.local.auth", []string{"key:      registries.<name>.auth\n", "username   text", "password   mapping with one of file, env, credential", "realms"}},
		{"registries.local.auth.password.file", []string{"variable: POUNDLOCK_REGISTRIES__<NAME>__AUTH__PASSWORD__FILE"}},
		{"set.replace", []string{"by name: mapping", "image    image reference, required", "basedOn  digest"}},
		{"policy.rules[].require", []string{"mapping with one of signers, pinned\n", "count"}},
		{"policy.rules[0].reference", []string{"one of repository, exact, any, or mapping", "default:  repository", "remap  mapping, required"}},
		{"policy.rules[].reference.remap.to", []string{"text, required"}},
		{"policy.mode", []string{"one of enforce, warn, audit, or by name: one of enforce, warn, audit", "default:  enforce"}},
		{"policy.exceptions", []string{"list of mappings", "approvedBy", "until       date or time, required"}},
		{"policy.exceptions[0].skip", []string{"list of one of signatures, attestations, pinned, age, removal, required"}},
		{"policy.signers.ci", []string{"mapping with one of key, keyless, pgp, certificate", "notBefore"}},
		{"policy.signers.ci.keyless", []string{"issuerRegexp", "root           text, required"}},
		{"policy.roots", []string{"with one of file, tuf, ca"}},
		{"set.source", []string{"ess: follow", "list: images", "one of once, always"}},
		{"set.source.file", []string{"of kind:  ess", "of kind:  list"}},
		{"set.render.element.name", []string{"default:  ess-images"}},
		{"stage.entries", []string{"by name: image reference with digest"}},
		{"stage", []string{"version", "entries"}},
		{"config", []string{"stateDir", "whole number, required"}},
	} {
		code, out, talk := command(t, t.Context(), "explain", tt.path)
		if code != exitOK {
			t.Errorf("%s: exit %d: %s", tt.path, code, talk)
		}
		for _, want := range tt.want {
			if !strings.Contains(out, want) {
				t.Errorf("%s lacks %q:\n%s", tt.path, want, out)
			}
		}
		if strings.Contains(out, "POUNDLOCK_") && !strings.Contains(out, "config") {
			t.Errorf("%s: a variable sets what only Git says:\n%s", tt.path, out)
		}
	}
	if _, out, _ := command(t, t.Context(), "explain"); !strings.Contains(out, "stages/<set>/<stage>.yaml") {
		t.Errorf("the documents are not listed:\n%s", out)
	}
}

func TestExplain_NamesWhatWasMeant(t *testing.T) {
	for path, near := range map[string]string{"git.pol": "git.poll", "replace": "set.replace", "source": "set.source", "source.file": "set.source.file", "render.element": "set.render.element", "registries.local.auth.pasword": "registries.local.auth.password", "set.sorce": "set.source",
		"GIT.Poll": "git.poll", "registries.local.Auth": "registries.local.auth", "git.Poll": "git.poll"} {
		code, out, talk := command(t, t.Context(), "explain", path)
		if code != exitFailure || out != "" || !strings.Contains(talk, "has no key") || near != "" && !strings.Contains(talk, "did you mean "+near+"?") {
			t.Errorf("%s: exit %d, %q, %q, want %s", path, code, out, talk, near)
		}
	}
}

func TestExplain_SaysWhereToGoOn(t *testing.T) {
	for path, want := range map[string]string{
		"git.qqqqqq": "`poundlock explain git`", "policy.rules[0].qqqqqq": "explain 'policy.rules[0]'`", "qqqqqq": "`poundlock explain`",
		"output/plan": "`poundlock schema output/plan`", "output/qqq": "`poundlock schema`",
	} {
		if _, _, talk := command(t, t.Context(), "explain", path); !strings.Contains(talk, want) {
			t.Errorf("%s: got %q, want %s", path, talk, want)
		}
	}
}

func TestExplain_IsCompletedAndReadByPrograms(t *testing.T) {
	for _, prefix := range []string{"git.po", "set.rep", "policy.rules[].req"} {
		if _, out, _ := command(t, t.Context(), "__complete", "explain", prefix); !strings.Contains(out, prefix) {
			t.Errorf("%s: %s", prefix, out)
		}
	}
	_, out, _ := command(t, t.Context(), "explain", "set.source.file", "-o", "json")
	var doc explainDocument
	if err := json.Unmarshal([]byte(out), &doc); err != nil || doc.Document != "set" || len(doc.Keys) < 2 || doc.Keys[0].Kind != "ess" || !doc.Keys[0].Required {
		t.Errorf("%v: %s", err, out)
	}
	// Every path that is offered can be asked for.
	for _, path := range keyPaths() {
		if _, err := explain(path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}
