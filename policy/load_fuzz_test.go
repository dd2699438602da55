package policy

import (
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Whatever lies in a fleet repository, reading it ends: with a policy or with problems that have a place, never both.
func FuzzLoad_NeverPanics(f *testing.F) {
	f.Add([]byte(inFull), []byte("{}"))
	f.Add([]byte("version: 1\nrules: [{match: \"**\", require: {pinned: true}}]\n"), []byte(nil))
	f.Add([]byte("version: 1\nroots: {r: {ca: trust/f}, s: {file: trust/f}, t: {tuf: trust}}\nsigners: {a: {key: trust/f}}\n"), []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Add([]byte("version: 1\nrules:\n  - {match: x.example/**, attestations: [{type: a/b, by: [a], where: \"predicate.a.all(x, x.b.all(y, y == x))\"}]}\n"), []byte("{\"mediaType\": \"application/vnd.dev.sigstore.trustedroot+json;version=0.1\"}"))
	f.Add([]byte("mode: {a: {b: c}}\nexceptions: [{match: \"a@b\", skip: [x], until: 9999-99-99}]\ndefault: [fleet]\n"), []byte("\x00"))
	f.Fuzz(func(t *testing.T, document, material []byte) {
		files := mirror.Files{mirror.PolicyFile: document}
		for _, name := range []string{"trust/f", "trust/root.json", "trust/ca.pem", "trust/tuf/root.json", "keys/release.pub", "keys/plain.pub"} {
			files["desired/"+name] = material
		}
		p, problems := Load(files, "c")
		if (len(problems) > 0) == (len(p.layers) > 0) {
			t.Fatalf("%d layers and problems %v", len(p.layers), problems)
		}
		for _, one := range problems {
			if one.Code == "" || one.What == "" || one.Where.File == "" {
				t.Errorf("a problem lacks its code, text or file: %+v", one)
			}
		}
		problems.QuotePublic(files)
		_ = problems.Error()
		const name = "/etc/floor.yaml"
		floor, more := LoadFloor(name, mirror.Files{name: document, "/etc/trust/f": material})
		if (len(more) > 0) == (len(floor.layers) > 0) {
			t.Fatalf("a floor with %d layers and problems %v", len(floor.layers), more)
		}
		_ = p.WithFloor(floor).Hash()
		_ = Needs(document)
	})
}
