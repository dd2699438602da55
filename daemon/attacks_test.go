package daemon

import (
	"fmt"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// attack is an image that no rule may let in, and what is tried to get it in nevertheless. The number of a row is that
// of an attack that was seen to work on the signature library when it is called the easy way.
type attack struct {
	row     string
	rule    string // what policy wants of the images of this row
	code    mirror.ReasonCode
	says    string
	try     func(p prey)
	honest  func(p prey) // makes an image that the rule lets in; nil: the vendor signs it
	lasting bool         // nothing that is added later mends it
}

const (
	slsa     = "https://slsa.dev/provenance/v1"
	ofVendor = "require: {signers: [vendor]}"
	ofCI     = "require: {signers: [ci]}"
	either   = "require: {signers: [%s, alias]}" // the way of the attacker, or the key of the vendor
	ofTwo    = "require: {signers: [vendor, alias, second, ci], count: 2}"
	attested = "attestations: [{type: " + slsa + ", by: [vendor]}]"

	logEntry  = "dev.sigstore.cosign/bundle"
	timestamp = "dev.sigstore.cosign/rfc3161timestamp"
	predicate = "dev.sigstore.bundle.predicateType"
)

func or(signer string) string { return fmt.Sprintf(either, signer) }

var attacks = []attack{
	{row: "01 log entry without a body", rule: ofVendor, code: mirror.BadSignature, says: "log entry",
		try: func(p prey) { p.legacy(p.vendor, testenv.Annotated(logEntry, `{}`)) }},
	{row: "01 log entry whose body is no text", rule: ofCI, code: mirror.BadSignature, says: "log entry", honest: byCI,
		try: func(p prey) { p.legacy(p.ci, testenv.Annotated(logEntry, `{"Payload":{"body":7}}`)) }},
	{row: "02 timestamp that is none", rule: ofCI, code: mirror.BadSignature, says: "timestamp", honest: byCI,
		try: func(p prey) { p.legacy(p.ci, testenv.Annotated(timestamp, `{"SignedRFC3161Timestamp":"AAAA"}`)) }},
	{row: "02 timestamp of nothing", rule: ofCI, code: mirror.BadSignature, says: "timestamp", honest: byCI,
		try: func(p prey) {
			p.legacy(p.ci, testenv.WitnessedBy(), testenv.Annotated(timestamp, `{"SignedRFC3161Timestamp":"MAA="}`))
		}},
	{row: "04 junk referrers", rule: ofVendor, code: mirror.BadSignature, says: "too many referrers", lasting: true, try: func(p prey) {
		p.do(testenv.PutJunk(p.t.Context(), p.at, p.image.Digest, 300))
		p.bundle(p.vendor)
	}},
	{row: "05 signature of another image", rule: ofVendor, code: mirror.BadSignature, says: "digest", try: func(p prey) {
		other := p.other()
		other.legacy(p.vendor)
		p.do(testenv.Retag(p.t.Context(), p.at, other.beside(".sig"), p.beside(".sig")))
	}},
	{row: "05 attestation of another image", rule: attested, code: mirror.BadAttestation, says: "digest", honest: byStatement, try: func(p prey) {
		other := p.other()
		p.do(p.vendor.AttestLegacy(p.t.Context(), p.at, other.image.Digest, slsa, map[string]any{}))
		p.do(testenv.Retag(p.t.Context(), p.at, other.beside(".att"), p.beside(".att")))
	}},
	{row: "05 bundle for another digest", rule: ofVendor, code: mirror.BadSignature, says: "digest",
		try: func(p prey) { p.bundle(p.vendor, testenv.ForDigest(p.other().image.Digest)) }},
	{row: "05 attestation bundle for another digest", rule: attested, code: mirror.BadAttestation, says: "digest", honest: byStatement, try: func(p prey) {
		p.do(p.vendor.AttestBundle(p.t.Context(), p.at, p.image.Digest, slsa, map[string]any{}, testenv.ForDigest(p.other().image.Digest)))
	}},
	{row: "06 signature of another repository", rule: ofVendor, code: mirror.BadSignature, says: "docker.io/original/app", try: func(p prey) {
		p.legacy(p.vendor, testenv.Claiming("docker.io/original/app"))
		p.bundle(p.vendor, testenv.Claiming("docker.io/original/app"))
	}},
	{row: "06 signature of another tag", rule: ofVendor + ", reference: exact", code: mirror.BadSignature, says: "is for",
		try: func(p prey) {
			p.legacy(p.vendor, testenv.Claiming(p.image.Name()+":0.9"))
			p.bundle(p.vendor)
		},
		honest: func(p prey) { p.legacy(p.vendor, testenv.Claiming(p.image.Name()+":1")) }},
	{row: "07 attestation as signature", rule: ofVendor, code: mirror.BadSignature, says: slsa,
		try: func(p prey) {
			p.bundle(p.vendor, testenv.OfType(slsa), testenv.Annotated(predicate, "https://sigstore.dev/cosign/sign/v1"))
		}},
	{row: "07 payload of another type", rule: ofVendor, code: mirror.BadSignature, says: "is no image signature",
		try: func(p prey) { p.legacy(p.vendor, testenv.OfType("atomic container signature")) }},
	{row: "07 envelope under the tag of signatures", rule: ofVendor, code: mirror.NoSignature, says: "no signature found", try: func(p prey) {
		p.do(p.vendor.AttestLegacy(p.t.Context(), p.at, p.image.Digest, slsa, map[string]any{}))
		p.do(testenv.Retag(p.t.Context(), p.at, p.beside(".att"), p.beside(".sig")))
	}},
	{row: "07 signature as attestation", rule: attested, code: mirror.NoAttestation, says: "missing", honest: byStatement,
		try: func(p prey) { p.bundle(p.vendor, testenv.Annotated(predicate, slsa)) }},
	{row: "08 one key signs three times", rule: ofTwo, code: mirror.NoSignature, says: "wants 2", honest: byTwo, try: func(p prey) {
		p.legacy(p.vendor)
		p.legacy(p.vendor, testenv.Claiming(p.image.Name()+":1"))
		p.bundle(p.vendor)
	}},
	{row: "08 one person signs with two certificates", rule: ofTwo, code: mirror.NoSignature, says: "wants 2", honest: byTwo, try: func(p prey) {
		p.legacy(p.ci)
		p.legacy(p.ci)
		p.bundle(p.ci)
	}},
	{row: "09 authority that had expired", rule: or("dusty"), code: mirror.BadSignature, says: "not by dusty", try: func(p prey) {
		p.legacy(p.dusty)
		p.bundle(p.dusty)
	}},
	{row: "09 X.509 authority that has expired", rule: or("dustyteam"), code: mirror.BadSignature, says: "not by dustyteam", try: func(p prey) {
		p.legacy(p.dustyTeam)
		p.bundle(p.dustyTeam)
	}},
	{row: "10 key after its end", rule: or("retired"), code: mirror.BadSignature, says: "counts only before", try: func(p prey) {
		p.legacy(p.retired)
		p.bundle(p.retired)
	}},
	{row: "10 key after its end, dated back by a stranger", rule: or("retired"), code: mirror.BadSignature, says: "counts only before", try: func(p prey) {
		p.legacy(p.stranger.Timestamped(p.retired), testenv.At(beforeEnd))
		p.bundle(p.stranger.Timestamped(p.retired), testenv.At(beforeEnd))
	}, honest: func(p prey) { p.bundle(p.corp.Timestamped(p.retired), testenv.At(beforeEnd)) }},
	{row: "10 key after its end, dated", rule: or("retired"), code: mirror.BadSignature, says: "timestamp authority",
		try: func(p prey) { p.legacy(p.corp.Timestamped(p.retired), testenv.At(afterEnd)) }},
	{row: "10 key before its beginning", rule: or("early"), code: mirror.BadSignature, says: "counts from",
		try: func(p prey) { p.bundle(p.early) }},
	{row: "10 key that is denied", rule: or("release"), code: mirror.BadSignature, says: "deny.signers", try: func(p prey) {
		p.legacy(p.stolen)
		p.bundle(p.stolen)
	}},
	{row: "10 key that was rotated", rule: or("rotated"), code: mirror.BadSignature, says: "not by rotated",
		try: func(p prey) {
			p.legacy(p.rotatedOut)
			p.bundle(p.rotatedOut)
		}, honest: func(p prey) { p.legacy(p.rotatedIn) }},
	{row: "11 certificate without a witness", rule: ofCI, code: mirror.BadSignature, says: "not by ci", honest: byCI, try: func(p prey) {
		p.legacy(p.ci, testenv.WitnessedBy())
		p.bundle(p.ci, testenv.WitnessedBy())
	}},
	{row: "11 witness after the certificate", rule: ofCI, code: mirror.BadSignature, says: "not by ci", honest: byCI, try: func(p prey) {
		p.legacy(p.ci, tooLate)
		p.bundle(p.ci, tooLate)
		p.bundle(p.ci, tooLate, testenv.WitnessedBy(testenv.Stamp, testenv.RekorV1))
	}},
	{row: "11 X.509 certificate that has expired", rule: or("expiredteam"), code: mirror.BadSignature, says: "not by expiredteam", try: func(p prey) {
		p.legacy(p.expiredTeam)
		p.bundle(p.expiredTeam)
	}},
	{row: "12 child of a signed index", rule: ofVendor, code: mirror.NoSignature, says: "no signature found", try: func(p prey) {
		_, child := p.index()
		p.legacy(p.vendor)
		p.do(testenv.Retag(p.t.Context(), p.at, child.image.Digest.String(), "1"))
	}, honest: func(p prey) { p.now().legacy(p.vendor) }},
	{row: "12 index with a signed child", rule: ofVendor, code: mirror.NoSignature, says: "no signature found", try: func(p prey) {
		_, child := p.index()
		child.legacy(p.vendor)
		child.bundle(p.vendor)
	}, honest: func(p prey) { p.now().legacy(p.vendor) }},
	{row: "12 index with one unsigned child", rule: ofVendor + ", platforms: each", code: mirror.NoSignature, says: "for manifest", try: func(p prey) {
		index, child := p.index()
		index.legacy(p.vendor)
		child.legacy(p.vendor)
	}, honest: func(p prey) {
		p = p.now()
		p.do(testenv.EachManifest(p.t.Context(), p.at, p.image.Digest, func(d mirror.Digest) error {
			return p.vendor.SignBundle(p.t.Context(), p.at, d)
		}))
	}},
	{row: "20 name that holds the right one", rule: ofCI, code: mirror.BadSignature, says: "the certificate names", honest: byCI, try: func(p prey) {
		for _, who := range []*testenv.Signer{p.corp.Person(ciIssuer, "https://evil.example/"+ciSubject), p.corp.Person(ciIssuer, ciSubject+"/evil"), p.corp.Person("https://evil.example", ciSubject)} {
			p.legacy(who)
			p.bundle(who)
		}
	}},
	{row: "20 authority of a stranger", rule: ofCI, code: mirror.BadSignature, says: "not by ci", honest: byCI, try: func(p prey) {
		p.legacy(p.stranger.Person(ciIssuer, ciSubject))
		p.bundle(p.stranger.Person(ciIssuer, ciSubject))
	}},
	{row: "20 certificate in place of a key", rule: ofVendor, code: mirror.BadSignature, says: "not by vendor", try: func(p prey) {
		p.legacy(p.ci)
		p.bundle(p.ci)
	}},
}

func byCI(p prey)        { p.sign(p.ci) }
func byTwo(p prey)       { p.sign(p.vendor); p.sign(p.second) }
func byStatement(p prey) { p.attest(p.vendor) }

// Each attack is made on two upstreams, one with referrers API and one without, beside an honest image of the same
// set: that one is copied, the other leaves no trace here. Then the attacked image is made honest, and the next cycle
// copies it, so nothing but the attack was why it was refused.
func TestAttack_EachIsRefusedAndItsNeighbourIsNot(t *testing.T) {
	t.Parallel()
	c := newCast(t)
	type scene struct {
		attack
		set              string
		honest, attacked prey
	}
	var scenes []scene
	files := map[string]string{"desired/policy.yaml": c.policy(attacks)}
	for set, host := range map[string]string{"fallback": "docker.io", "api": apiHost} {
		files["desired/"+set+".yaml"] = "version: 1\nsource: {kind: list, file: " + set + ".txt}\n"
		for i, a := range attacks {
			if a.honest == nil {
				a.honest = func(p prey) { p.sign(p.vendor) }
			}
			sc := scene{attack: a, set: set, honest: c.push(host, i, "honest"), attacked: c.push(host, i, "attacked")}
			a.honest(sc.honest)
			a.try(sc.attacked)
			sc.attacked = sc.attacked.now()
			scenes = append(scenes, sc)
			files["desired/"+set+".txt"] += sc.honest.entry() + "\n" + sc.attacked.entry() + "\n"
		}
	}
	c.commit("the attacks", files)
	c.reset()
	reports := c.sync()
	held := c.heldRepositories()
	for _, sc := range scenes {
		t.Run(sc.row+" "+sc.attacked.image.Host, func(t *testing.T) {
			c.during(t)
			sc.honest.stands()
			sc.attacked.leftNoTrace(held)
			sc.attacked.refused(reports[sc.set].Plan, sc.code, sc.says)
		})
	}
	for _, sc := range scenes {
		if !sc.lasting {
			sc.attack.honest(sc.attacked)
		}
	}
	c.commit("once more", map[string]string{"desired/policy.yaml": c.policy(attacks) + "# once more\n"})
	reports = c.sync()
	held = c.heldRepositories()
	for _, sc := range scenes {
		t.Run("next cycle/"+sc.row+" "+sc.attacked.image.Host, func(t *testing.T) {
			c.during(t)
			sc.honest.stands()
			if sc.lasting {
				sc.attacked.leftNoTrace(held)
				sc.attacked.refused(reports[sc.set].Plan, sc.code, sc.says)
				return
			}
			sc.attacked.stands()
		})
	}
	c.whole()
}
