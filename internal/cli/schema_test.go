package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/internal/schema"
	"github.com/poundlock/poundlock/policy"
	"github.com/poundlock/poundlock/sources"
	"github.com/poundlock/poundlock/sync/render"
	"github.com/poundlock/poundlock/testenv"
)

// compiled reads a schema as it is published.
func compiled(t *testing.T, s *schema.Schema) *jsonschema.Schema {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(jsonschema.SchemeURLLoader{}) // nothing is fetched
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("schema.json") // which holds it against the metaschema of its draft
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if compiled.DraftVersion != 7 {
		t.Fatalf("draft %d, want 7", compiled.DraftVersion)
	}
	return compiled
}

// people gives the compiled schemas of what people write, by name.
func people(t *testing.T) map[string]*jsonschema.Schema {
	t.Helper()
	all := map[string]*jsonschema.Schema{}
	for _, d := range documents() {
		all[d.Name] = compiled(t, d.Schema)
	}
	return all
}

// asEditor holds a YAML document against a schema as an editor does.
func asEditor(t *testing.T, s *jsonschema.Schema, text string) error {
	t.Helper()
	var doc any
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return s.Validate(doc)
}

// kindOf says which document lies at a path of the fleet repository; "" for any other file.
func kindOf(file string) string {
	switch dir, ext := path.Dir(file), path.Ext(file); {
	case file == mirror.PolicyFile:
		return "policy"
	case file == policy.TestsFile:
		return "tests"
	case dir == "desired" && ext == ".yaml":
		return "set"
	case strings.HasPrefix(file, "stages/") && ext == ".yaml":
		return "stage"
	}
	return ""
}

func TestSchemas_EveryKeyIsDescribed(t *testing.T) {
	for _, d := range documents() {
		for _, k := range d.Keys() {
			if !strings.HasSuffix(k.Description, ".") || strings.TrimSpace(k.Description) != k.Description {
				t.Errorf("%s: %s: the description %q is no sentence; add jsonschema_description to the field", d.Name, k.Path, k.Description)
			}
			if k.Type == "" {
				t.Errorf("%s: %s: nothing says what may stand there; add its type to types", d.Name, k.Path)
			}
		}
	}
}

// What is promised once in a tag and done elsewhere in code stays the same.
func TestSchemas_DefaultsAreTrue(t *testing.T) {
	for path, want := range map[string]string{
		"git.poll": "30s", "audit": "6h", "git.branch": "main", "listen": "127.0.0.1:8686", "registries.<name>.limits.concurrent": "32",
		"set.stages": "[snapshot, staging, production]", "set.layout": "tag", "set.vendorTags": "once", "set.adopt": "false",
		"set.tag": "{{.Set}}-{{.Entry}}-{{.Stage}}", "set.render.element.name": "ess-images", "set.render.containerd.fallback": "false",
		"policy.default": "deny", "policy.rules[].reference": "repository", "policy.rules[].require.count": "1",
		"policy.mode": "enforce", "policy.rules[].platforms": "index", "policy.rules[].attestations[].count": "1",
	} {
		d, rest := documentOf(path)
		keys, _, err := d.Explain(rest)
		if err != nil || len(keys) != 1 || valueText(keys[0].Default) != want {
			t.Errorf("%s: got %+v, %v, want %s", path, keys, err, want)
		}
	}
	vendor, err := testenv.NewSigner("p256")
	if err != nil {
		t.Fatal(err)
	}
	hash := func(require, reference string) mirror.Digest {
		t.Helper()
		p, problems := policy.Load(mirror.Files{"desired/k.pub": []byte(vendor.PublicPEM()), mirror.PolicyFile: []byte(
			"version: 1\nsigners: {v: {key: k.pub}}\nrules: [{match: \"**\"" + reference + ", require: {signers: [v]" + require + "}}]\n")}, "")
		if err := problems.Err(); err != nil {
			t.Fatal(err)
		}
		return p.Hash()
	}
	if hash("", "") != hash(", count: 1", ", reference: repository") || hash("", "") == hash("", ", reference: any") {
		t.Error("the defaults of a rule are others")
	}
	local, ref := mirror.Local{Host: "r.example"}, mirror.Reference{Host: "docker.io", Repository: "library/x"}
	if tag := local.Pointer(mirror.Set{Name: "s", Layout: mirror.LayoutTag}, "one", "e", ref).Tag; tag != "s-e-one" {
		t.Errorf("the default tag is %s", tag)
	}
}

func TestSchemas_AcceptEveryGoodFixture(t *testing.T) {
	of := people(t)
	accept := func(name, kind, text string) {
		t.Helper()
		if err := asEditor(t, of[kind], text); err != nil {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
	}
	w, config := inWorld(t)
	for _, stage := range []string{"staging", "production"} {
		if code, out, talk := command(t, t.Context(), "-c", config, "sync"); code != exitPartial {
			t.Fatalf("sync: exit %d\n%s%s", code, out, talk)
		}
		if _, err := w.Promote(t.Context(), "ess", stage); err != nil {
			t.Fatal(err)
		}
	}
	accept("the demo", "config", w.ConfigYAML())
	files, err := w.Git.Files("main")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for file, text := range files {
		if kind := kindOf(file); kind != "" {
			seen[kind]++
			accept(file, kind, text)
		}
	}
	if seen["set"] != 2 || seen["policy"] != 1 || seen["stage"] != 2 {
		t.Errorf("the demo has %v", seen)
	}
	accept("a document of the record", "stage", files["rendered/demo/ess/snapshot.yaml"])
	scaffold := filepath.Join(t.TempDir(), "fleet")
	list := filepath.Join(t.TempDir(), "images.txt")
	if err := os.WriteFile(list, []byte("quay.io/example/tool:1@sha256:"+strings.Repeat("b", 64)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, talk := command(t, t.Context(), "init", "--dir", scaffold, "--from", "tools=list:"+list); code != exitOK {
		t.Fatalf("init: exit %d\n%s%s", code, out, talk)
	}
	for file, kind := range map[string]string{"config.yaml": "config", "desired/tools.yaml": "set", "desired/policy.yaml": "policy"} {
		text, err := os.ReadFile(filepath.Join(scaffold, file))
		if err != nil {
			t.Fatal(err)
		}
		accept("what init writes: "+file, kind, string(text))
	}
	for _, pattern := range []string{"../../sources/testdata/*/*.txtar", "../../sync/render/testdata/*/*.txtar"} {
		archives, err := filepath.Glob(pattern)
		if err != nil || len(archives) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, name := range archives {
			archive, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range archive.Files {
				if kind := kindOf(f.Name); kind != "" && !strings.HasPrefix(filepath.Base(name), "bad-") {
					accept(name, kind, string(f.Data))
				}
			}
		}
	}
}

const (
	goodConfig = "version: 1\nsite: berlin\ngit: {url: https://git.example.org/fleet.git}\nregistries:\n  local: {host: \"r.example.org:5000\"}\n"
	goodSet    = "version: 1\nsource: {kind: list, images: [\"docker.io/library/nginx:1\"]}\n"
	goodPolicy = "version: 1\nrules: [{match: \"**\", require: {pinned: true}}]\n"
	goodStage  = "version: 1\nentries: {a: \"docker.io/library/nginx:1@sha256:1111111111111111111111111111111111111111111111111111111111111111\"}\n"
)

// decode reads a document as the daemon does.
func decode(t *testing.T, kind, text string) error {
	t.Helper()
	switch kind {
	case "config":
		_, err := config.Load(configure(t, text), nil, nil)
		return err
	case "policy":
		_, problems := policy.Load(mirror.Files{mirror.PolicyFile: []byte(text)}, "")
		return problems.Err()
	case "stage":
		_, _, problems := mirror.ParseLines(mirror.Files{"stages/s/staging.yaml": []byte(text)}, "stages/s/staging")
		return problems.Err()
	}
	files := mirror.Files{"desired/s.yaml": []byte(text), "desired/images.txt": []byte("docker.io/library/nginx:1\n")}
	desired, problems := mirror.ParseDesired("", files)
	set := desired.Sets[0]
	if len(problems) == 0 {
		problems = append(sources.Read(&set, files), render.Check(set, files)...)
	}
	return problems.Err()
}

// What an editor marks, the daemon refuses, and the other way round.
func TestSchemas_AgreeWithTheDecoder(t *testing.T) {
	of := people(t)
	good := map[string]string{"config": goodConfig, "set": goodSet, "policy": goodPolicy, "stage": goodStage}
	for kind, text := range good {
		if one, other := asEditor(t, of[kind], text), decode(t, kind, text); one != nil || other != nil {
			t.Fatalf("%s: the good document is refused: %v, %v", kind, one, other)
		}
	}
	for _, tt := range []struct{ name, kind, old, new string }{
		{"unknown key", "config", "site:", "polcy: x\nsite:"},
		{"newer version", "config", "version: 1", "version: 2"},
		{"no site", "config", "site: berlin\n", ""},
		{"no address of Git", "config", "url: https://git.example.org/fleet.git", "branch: main"},
		{"a list for a mapping", "config", "registries:\n  local: {host: \"r.example.org:5000\"}", "registries: [local]"},
		{"no local registry", "config", "local:", "other:"},
		{"a registry without host", "config", "host: \"r.example.org:5000\"", "prefix: mirror"},
		{"a duration without unit", "config", "site:", "audit: 30\nsite:"},
		{"a word for a number", "config", "{host:", "{limits: {concurrent: many}, host:"},
		{"a secret in clear", "config", "{host:", "{auth: {username: u, password: hunter2}, host:"},
		{"a secret in two places", "config", "{host:", "{auth: {username: u, password: {env: HOME, file: config.yaml}}, host:"},
		{"an unknown signature", "config", "{url:", "{signing: {format: gpg, key: {env: HOME}}, url:"},
		{"yes for true", "config", "{host:", "{insecure: yes, host:"},
		{"half an embedded registry", "config", "{host:", "{embedded: {dir: x}, host:"},
		{"unknown key", "set", "version:", "lay-out: path\nversion:"},
		{"no source", "set", "source: {kind: list, images: [\"docker.io/library/nginx:1\"]}\n", ""},
		{"unknown kind of source", "set", "kind: list", "kind: lists"},
		{"an option of another kind", "set", "kind: list", "follow: once, kind: list"},
		{"file and images", "set", "kind: list", "file: images.txt, kind: list"},
		{"neither file nor images", "set", ", images: [\"docker.io/library/nginx:1\"]", ""},
		{"unknown layout", "set", "version:", "layout: paths\nversion:"},
		{"unknown vendorTags", "set", "version:", "vendorTags: always\nversion:"},
		{"no stages", "set", "version:", "stages: []\nversion:"},
		{"a malformed stage", "set", "version:", "stages: [Snap Shot]\nversion:"},
		{"a stage twice", "set", "version:", "stages: [one, one]\nversion:"},
		{"a replacement without image", "set", "version:", "replace: {\"docker.io/library/nginx:1\": {}}\nversion:"},
		{"a malformed digest", "set", "version:", "replace: {\"docker.io/library/nginx:1\": {image: \"r.example/x:1\", basedOn: sha256:12}}\nversion:"},
		{"unknown kind of override", "set", "version:", "render: {elements: {}}\nversion:"},
		{"unknown option of an override", "set", "version:", "render: {element: {nmae: x}}\nversion:"},
		{"unknown key", "policy", "rules:", "ruels: []\nrules:"},
		{"default allow", "policy", "rules:", "default: allow\nrules:"},
		{"a rule without match", "policy", "match: \"**\", ", ""},
		{"a rule that requires nothing", "policy", "pinned: true", ""},
		{"a rule without requirement", "policy", ", require: {pinned: true}", ""},
		{"an age without unit", "policy", "match:", "minAge: 72, match:"},
		{"unknown platforms", "policy", "match:", "platforms: all, match:"},
		{"a remap without to", "policy", "match:", "reference: {remap: {from: x.example}}, match:"},
		{"an attestation by anybody", "policy", "match:", "attestations: [{type: a/b}], match:"},
		{"a signer of two forms", "policy", "rules:", "signers: {a: {key: k.pub, certificate: {root: r, subject: s}}}\nrules:"},
		{"a certificate of anybody", "policy", "rules:", "signers: {a: {certificate: {root: r}}}\nrules:"},
		{"a root of two forms", "policy", "rules:", "roots: {a: {file: r.json, ca: ca.pem}}\nrules:"},
		{"a root of none", "policy", "rules:", "roots: {a: {}}\nrules:"},
		{"an unknown hash", "policy", "rules:", "signers: {a: {key: k.pub, hash: md5}}\nrules:"},
		{"an exception without end", "policy", "rules:", "exceptions: [{match: r.example/x, skip: [age], reason: r, approvedBy: a}]\nrules:"},
		{"an exception without approval", "policy", "rules:", "exceptions: [{match: r.example/x, skip: [age], until: \"2026-12-31\", reason: r}]\nrules:"},
		{"an exception that skips nothing", "policy", "rules:", "exceptions: [{match: r.example/x, skip: [], until: \"2026-12-31\", reason: r, approvedBy: a}]\nrules:"},
		{"an exception from denial", "policy", "rules:", "exceptions: [{match: r.example/x, skip: [deny], until: \"2026-12-31\", reason: r, approvedBy: a}]\nrules:"},
		{"an exception until soon", "policy", "rules:", "exceptions: [{match: r.example/x, skip: [age], until: soon, reason: r, approvedBy: a}]\nrules:"},
		{"an unknown mode", "policy", "rules:", "mode: lax\nrules:"},
		{"an unknown mode of a stage", "policy", "rules:", "mode: {snapshot: lax}\nrules:"},
		{"what only a floor may say", "policy", "rules:", "default: fleet\nrules:"},
		{"pinned and signers", "policy", "pinned: true", "pinned: true, signers: [a]"},
		{"a count of zero", "policy", "pinned: true", "signers: [a], count: 0"},
		{"a signer without key", "policy", "rules:", "signers: {a: {}}\nrules:"},
		{"an unknown comparison", "policy", "match:", "reference: same, match:"},
		{"a malformed denied digest", "policy", "rules:", "deny: {digests: [latest]}\nrules:"},
		{"unknown key", "stage", "entries:", "entires: {}\nentries:"},
		{"no version", "stage", "version: 1\n", ""},
		{"a line without digest", "stage", "@sha256:1111111111111111111111111111111111111111111111111111111111111111", ""},
	} {
		t.Run(tt.kind+"/"+tt.name, func(t *testing.T) {
			text := strings.Replace(good[tt.kind], tt.old, tt.new, 1)
			if text == good[tt.kind] {
				t.Fatalf("%q is not in the good document", tt.old)
			}
			if err := asEditor(t, of[tt.kind], text); err == nil {
				t.Errorf("the schema accepts\n%s", text)
			}
			if err := decode(t, tt.kind, text); err == nil {
				t.Errorf("the decoder accepts\n%s", text)
			}
		})
	}
}

// A policy with every key, as an editor and as the daemon see it.
func TestSchemas_AcceptAPolicyInFull(t *testing.T) {
	const full = `version: 1
roots: {corp: {file: trust/root.json}, copy: {tuf: trust/tuf}, pki: {ca: trust/ca.pem}}
signers:
  release: {key: keys/release.pub, hash: sha256, root: corp, notBefore: "2026-01-01", until: "2027-06-30T12:00:00+02:00"}
  ci: {keyless: {root: corp, issuer: "https://oidc.corp", subjectRegexp: "^ci-[0-9]+$"}}
  team: {certificate: {root: pki, subject: release@corp.example}}
rules:
  - match: registry.corp/**
    stages: [production]
    require: {signers: [release, ci], count: 2}
    reference: {remap: {from: registry.corp/mirror, to: ghcr.io/vendor}}
    attestations: [{type: https://slsa.dev/provenance/v1, by: [ci], count: 1, where: 'predicate.a == "b"'}]
    platforms: each
    minAge: 72h
    signatures: registry.corp/signatures
  - {match: quay.io/**, minAge: 24h}
  - {match: ghcr.io/**, require: {signers: [team]}, reference: exact}
deny: {digests: [], repos: ["**/debug-*"], signers: [team]}
exceptions: [{match: quay.io/x/y, stages: [snapshot], skip: [age], until: "2026-12-31", reason: VEND-123, approvedBy: alice}]
mode: {snapshot: warn, production: enforce}
default: deny
`
	of := people(t)["policy"]
	for _, text := range []string{full, strings.Replace(full, "mode: {snapshot: warn, production: enforce}", "mode: audit", 1)} {
		if err := asEditor(t, of, text); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
	}
	floor := compiled(t, floorSchema())
	for text, good := range map[string]bool{full: true, strings.Replace(full, "default: deny", "default: fleet", 1): true, strings.Replace(full, "default: deny", "default: audit", 1): false} {
		if err := asEditor(t, floor, text); (err == nil) != good {
			t.Errorf("the floor: %v\n%s", err, text)
		}
	}
}

func TestSchema_PrintsAndLists(t *testing.T) {
	code, list, talk := command(t, t.Context(), "schema")
	if code != exitOK {
		t.Fatalf("exit %d: %s", code, talk)
	}
	for _, s := range schemas() {
		if !strings.Contains(list, s.name+" ") {
			t.Errorf("the list lacks %s:\n%s", s.name, list)
		}
		code, out, talk := command(t, t.Context(), "schema", s.name)
		var got, want any
		text, err := json.Marshal(s.schema())
		if err != nil || code != exitOK || json.Unmarshal([]byte(out), &got) != nil || json.Unmarshal(text, &want) != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: exit %d, %v\n%s%s", s.name, code, err, out, talk)
		}
		compiled(t, s.schema())
	}
	if code, _, talk := command(t, t.Context(), "schema", "polcy"); code != exitFailure || !strings.Contains(talk, `did you mean policy?`) {
		t.Errorf("exit %d: %s", code, talk)
	}
}

// The schemas need no network: they name no other document.
func TestSchemas_HaveNoAddress(t *testing.T) {
	for _, s := range schemas() {
		text, err := json.Marshal(s.schema())
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, []byte(`"$ref"`)) || bytes.Contains(text, []byte(`"$id"`)) {
			t.Errorf("%s refers to another document", s.name)
		}
	}
}

func TestExample_ValidatesAgainstTheSchema(t *testing.T) {
	text, err := os.ReadFile("../../config.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := asEditor(t, people(t)["config"], string(text)); err != nil {
		t.Error(err)
	}
}

func TestSchema_ADropInFileMayLeaveAnythingOut(t *testing.T) {
	dropIn := published{}
	for _, s := range schemas() {
		if s.name == "config.d" {
			dropIn = s
		}
	}
	for text, good := range map[string]bool{
		"git: {poll: 1m}\n": true,
		"registries: {ems: {limits: {concurrent: 4}}}\n": true,
		"git: {pol: 1m}\n":                                     false,
		"git: {poll: 1}\n":                                     false,
		"git: {auth: {password: {}}}\n":                        false, // a reference is one value
		"git: {auth: {password: {file: /x, env: HOME}}}\n":     false,
		"registries: {ems: {embedded: {dir: x, listne: y}}}\n": false,
	} {
		if err := asEditor(t, compiled(t, dropIn.schema()), text); (err == nil) != good {
			t.Errorf("%s: %v", text, err)
		}
	}
}
