package policy_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy"
	"github.com/poundlock/poundlock/testenv"
)

// signing is one thing that a real cosign command signs, and what the rule for it asks.
type signing struct {
	tool      string
	verb      string // sign, attest
	by        string // name of a signer: release and stranger have keys, person and visitor are keyless
	args      []string
	index     bool
	witnessed bool // a key's signature has a timestamp
}

// signings are all forms in which the commands leave signatures and attestations, by repository. The fixture holds
// them as they once were made, and the interop test makes them anew.
var signings = map[string]signing{
	"fixture/v2-legacy":             {tool: testenv.ToolCosign2, verb: "sign", by: "release"},
	"fixture/v2-legacy-wrong":       {tool: testenv.ToolCosign2, verb: "sign", by: "stranger"},
	"fixture/v2-legacy-index":       {tool: testenv.ToolCosign2, verb: "sign", by: "release", index: true, args: []string{"--recursive"}},
	"fixture/v2-legacy-time":        {tool: testenv.ToolCosign2, verb: "sign", by: "release", witnessed: true},
	"fixture/v2-legacy-person":      {tool: testenv.ToolCosign2, verb: "sign", by: "visitor"},
	"fixture/v2-referrer":           {tool: testenv.ToolCosign2, verb: "sign", by: "release", args: []string{"--registry-referrers-mode=oci-1-1"}},
	"fixture/v2-bundle":             {tool: testenv.ToolCosign2, verb: "sign", by: "release", args: []string{"--new-bundle-format"}},
	"fixture/v2-attestation":        {tool: testenv.ToolCosign2, verb: "attest", by: "release"},
	"fixture/v2-attestation-bundle": {tool: testenv.ToolCosign2, verb: "attest", by: "release", args: []string{"--new-bundle-format"}},
	"fixture/v2-attestation-person": {tool: testenv.ToolCosign2, verb: "attest", by: "visitor"},
	"fixture/v3-bundle":             {tool: testenv.ToolCosign3, verb: "sign", by: "release"},
	"fixture/v3-bundle-wrong":       {tool: testenv.ToolCosign3, verb: "sign", by: "stranger"},
	"fixture/v3-bundle-index":       {tool: testenv.ToolCosign3, verb: "sign", by: "release", index: true, args: []string{"--recursive"}},
	"fixture/v3-bundle-time":        {tool: testenv.ToolCosign3, verb: "sign", by: "release", witnessed: true},
	"fixture/v3-bundle-person":      {tool: testenv.ToolCosign3, verb: "sign", by: "person"},
	"fixture/v3-legacy":             {tool: testenv.ToolCosign3, verb: "sign", by: "release", args: []string{"--new-bundle-format=false"}},
	"fixture/v3-attestation":        {tool: testenv.ToolCosign3, verb: "attest", by: "release"},
	"fixture/v3-attestation-legacy": {tool: testenv.ToolCosign3, verb: "attest", by: "release", args: []string{"--new-bundle-format=false"}},
	"fixture/v3-attestation-person": {tool: testenv.ToolCosign3, verb: "attest", by: "person"},
}

const (
	signingHost = "registry.example"
	builder     = "https://corp.example/builder"
	provenance  = `{"buildDefinition":{"buildType":"https://corp.example/build"},"runDetails":{"builder":{"id":"` + builder + `"}}}`
)

// signingSigners are the signers of the policies that judge signings. The issuer has another port in each run. Version 2
// of the command cannot write to Rekor v2, so a visitor is known by a root that asks for no log.
const signingSigners = `version: 1
roots: {corp: {file: trust/trusted_root.json}, clock: {file: trust/clock_root.json}}
signers:
  release: {key: keys/release.pub, root: corp}
  stranger: {key: keys/stranger.pub}
  person: {keyless: {root: corp, issuerRegexp: "^http://127\\.0\\.0\\.1:[0-9]+$", subject: person@corp.example}}
  visitor: {keyless: {root: clock, issuerRegexp: "^http://127\\.0\\.0\\.1:[0-9]+$", subject: visitor@corp.example}}
  namesake: {keyless: {root: corp, issuerRegexp: "^http://127\\.0\\.0\\.1:[0-9]+$", subject: other@corp.example}}
rules:
`

// asked are the signers that policies ask for; the namesake signed nothing.
var asked = []string{"release", "stranger", "person", "visitor", "namesake"}

// rule is what a policy asks of a signing by one signer.
func (s signing) rule(path, signer string) string {
	rule := "  - {match: " + signingHost + "/" + path
	if s.verb == "attest" {
		return rule + ", attestations: [{type: https://slsa.dev/provenance/v1, by: [" + signer + `], where: 'predicate.runDetails.builder.id == "` + builder + "\"'}]}\n"
	}
	rule += ", require: {signers: [" + signer + "]}"
	if s.index {
		rule += ", platforms: each"
	}
	return rule + "}\n"
}

// signingPolicies gives the policies that ask for the signature of each of asked. dir holds keys/ and trust/.
func signingPolicies(t *testing.T, dir string) map[string]policy.Policy {
	t.Helper()
	files := mirror.Files{}
	for _, name := range []string{"keys/release.pub", "keys/stranger.pub", "trust/trusted_root.json", "trust/clock_root.json"} {
		body, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		files["desired/"+name] = body
	}
	policies := map[string]policy.Policy{}
	for _, signer := range asked {
		text := signingSigners
		for _, path := range slices.Sorted(maps.Keys(signings)) {
			text += signings[path].rule(path, signer)
		}
		files[mirror.PolicyFile] = []byte(text)
		p, problems := policy.Load(files, commit)
		if err := problems.Err(); err != nil {
			t.Fatal(err)
		}
		policies[signer] = p
	}
	return policies
}

func (s signing) keyless() bool { return s.by == "person" || s.by == "visitor" }

// image is what is signed: the same bytes in each repository.
func (s signing) image() remote.Taggable {
	if s.index {
		return testenv.Index("fixture")
	}
	return testenv.Image("fixture")
}

// wantJudged checks that the one who signed is accepted, and nobody else.
func (s signing) wantJudged(t *testing.T, path string, policies map[string]policy.Policy, o policy.Options, d mirror.Digest, c mirror.Content) {
	t.Helper()
	image := mirror.Reference{Host: signingHost, Repository: path, Tag: "1.0", Digest: d}
	for signer, p := range policies {
		v, err := p.Verifier(o).Verify(t.Context(), action(image), c)
		if err != nil {
			t.Errorf("%s asked for %s: %v", path, signer, err)
		}
		if signer == s.by {
			s.wantProven(t, path, v)
		} else if v.Outcome != mirror.OutcomeRejected {
			t.Errorf("%s asked for %s: got %s, %s; want it rejected", path, signer, v.Outcome, v.Reason)
		}
	}
}

// wantProven checks an admission: by whom, at what time where somebody says so, and for which children of an index.
func (s signing) wantProven(t *testing.T, path string, v mirror.Verdict) {
	t.Helper()
	if v.Outcome != mirror.OutcomeSigned || !slices.Equal(v.Signers, []string{s.by}) {
		t.Errorf("%s: got %s, %s, signers %v; want it signed by %s", path, v.Outcome, v.Reason, v.Signers, s.by)
		return
	}
	timed := func(p mirror.Proof) bool { return p.Source == "timestamp authority" }
	if (s.witnessed || s.keyless()) && !slices.ContainsFunc(v.Proofs, timed) {
		t.Errorf("%s: the verdict shows no time of the timestamp authority: %+v", path, v.Proofs)
	}
	children := map[mirror.Digest]bool{}
	for _, p := range v.Proofs {
		children[p.Of] = true
	}
	if delete(children, mirror.Digest{}); s.index && len(children) != 2 {
		t.Errorf("%s: got proofs for %d children, want 2: %+v", path, len(children), v.Proofs)
	}
}

// commands runs the real commands, in a directory with keys and a predicate.
type commands struct {
	tools, dir string
	sigstore   *testenv.Sigstore
}

func newCommands(t *testing.T, tools string, sigstore *testenv.Sigstore) commands {
	t.Helper()
	c := commands{tools: tools, dir: t.TempDir(), sigstore: sigstore}
	if err := os.WriteFile(filepath.Join(c.dir, "provenance.json"), []byte(provenance), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"release", "stranger"} {
		c.run(t, testenv.ToolCosign2, "generate-key-pair", "--output-key-prefix="+key)
	}
	return c
}

func (c commands) run(t *testing.T, tool string, args ...string) {
	t.Helper()
	if err := testenv.RunCosign(t.Context(), filepath.Join(c.tools, tool), c.dir, args...); err != nil {
		t.Fatal(err)
	}
}

// sign pushes the image of a signing to the registry at host and signs it there.
func (c commands) sign(t *testing.T, host, path string) mirror.Digest {
	t.Helper()
	s := signings[path]
	d, err := testenv.Push(t.Context(), host, path, "1.0", s.image())
	if err != nil {
		t.Fatal(err)
	}
	args := []string{s.verb, "--yes", "--allow-http-registry"}
	switch {
	case s.keyless():
		person, err := c.sigstore.PersonArgs(s.tool, s.by+"@corp.example")
		if err != nil {
			t.Fatal(err)
		}
		args = append(args, person...)
	case s.witnessed:
		args = append(append(args, "--key="+s.by+".key"), c.sigstore.WitnessArgs(s.tool)...)
	default:
		args = append(args, "--key="+s.by+".key", "--tlog-upload=false")
		if s.tool == testenv.ToolCosign3 {
			args = append(args, "--use-signing-config=false")
		}
	}
	if s.verb == "attest" {
		args = append(args, "--type=slsaprovenance1", "--predicate=provenance.json")
	} else {
		args = append(args, "--sign-container-identity="+signingHost+"/"+path+":1.0")
	}
	c.run(t, s.tool, slices.Concat(args, s.args, []string{host + "/" + path + "@" + d.String()})...)
	return d
}

// trust writes the public halves of the keys and the trusted root into a folder, as a fleet's desired/ holds them.
func (c commands) trust(t *testing.T, dir string) {
	t.Helper()
	for to, from := range map[string]string{"keys/release.pub": filepath.Join(c.dir, "release.pub"), "keys/stranger.pub": filepath.Join(c.dir, "stranger.pub"),
		"trust/trusted_root.json": c.sigstore.TrustedRoot(), "trust/clock_root.json": c.sigstore.ClockRoot()} {
		body, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		to = filepath.Join(dir, filepath.FromSlash(to))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, body, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
