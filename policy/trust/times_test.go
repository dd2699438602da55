package trust_test

import (
	"encoding/json"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/poundlock/poundlock/policy/trust"
	"github.com/poundlock/poundlock/testenv"
)

func sources(times []trust.Time) (all []string) {
	for _, t := range times {
		all = append(all, t.Source)
	}
	return all
}

func TestKey_WitnessesOfItsRootGiveTimes(t *testing.T) {
	a, root := newAuthority(t, testenv.AuthorityOptions{})
	_, other := newAuthority(t, testenv.AuthorityOptions{})
	for form, make := range makings {
		for name, c := range map[string]struct {
			witnesses []testenv.Witness
			root      *trust.Root
			want      []string
		}{
			"clock":            {[]testenv.Witness{testenv.Stamp}, root, []string{trust.SourceAuthority}},
			"log":              {[]testenv.Witness{testenv.RekorV1}, root, []string{trust.SourceLog}},
			"both":             {[]testenv.Witness{testenv.RekorV1, testenv.Stamp}, root, []string{trust.SourceAuthority, trust.SourceLog}},
			"none":             {nil, root, nil},
			"of another root":  {[]testenv.Witness{testenv.RekorV1, testenv.Stamp}, other, nil},
			"nobody is asked":  {[]testenv.Witness{testenv.RekorV1, testenv.Stamp}, nil, nil},
			"log without time": {[]testenv.Witness{testenv.RekorV2}, root, []string{trust.SourceAuthority}},
		} {
			if slices.Contains(c.witnesses, testenv.RekorV2) && (form == "legacy" || form == "attestation legacy") {
				continue // which cannot carry it
			}
			t.Run(form+"/"+name, func(t *testing.T) {
				key := newSigner(t, "p256")
				image := newImage(t)
				if err := make(a.Timestamped(key), t.Context(), image, testenv.WitnessedBy(c.witnesses...)); err != nil {
					t.Fatal(err)
				}
				s, err := trust.NewKey("release", []byte(key.PublicPEM()), trust.KeyOptions{Root: c.root})
				if err != nil {
					t.Fatal(err)
				}
				p, err := prove(t, image.only(t), s, image.digest)
				if err != nil {
					t.Fatal(err)
				}
				if got := sources(p.Times); !slices.Equal(got, c.want) {
					t.Errorf("got times of %v, want %v", got, c.want)
				}
				for _, at := range p.Times {
					if !at.At.Equal(testenv.SignedAt) {
						t.Errorf("got time %s, want %s", at.At, testenv.SignedAt)
					}
				}
			})
		}
	}
}

// A witness of one signature put beside another must say nothing: else whoever holds a retired key could give it the
// time of an old signature.
func TestKey_WitnessesOfAnotherSignatureGiveNoTime(t *testing.T) {
	a, root := newAuthority(t, testenv.AuthorityOptions{})
	key := newSigner(t, "p256")
	s, err := trust.NewKey("release", []byte(key.PublicPEM()), trust.KeyOptions{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	witnessed := testenv.WitnessedBy(testenv.RekorV1, testenv.Stamp)
	for form, make := range makings {
		old, young := newImage(t), newImage(t)
		if err := make(a.Timestamped(key), t.Context(), old, witnessed); err != nil {
			t.Fatal(err)
		}
		if err := make(a.Timestamped(key), t.Context(), young, testenv.WitnessedBy()); err != nil {
			t.Fatal(err)
		}
		from, to := old.only(t), young.only(t)
		if to.Form == trust.Bundle {
			to.Body = withMaterial(t, to.Body, from.Body)
		} else {
			for _, key := range []string{"dev.sigstore.cosign/bundle", "dev.sigstore.cosign/rfc3161timestamp"} {
				to.Annotations[key] = from.Annotations[key]
			}
		}
		p, err := prove(t, to, s, young.digest)
		if err != nil || len(p.Times) > 0 {
			t.Errorf("%s: got times %v, %v; want none", form, p.Times, err)
		}
	}
}

// withMaterial gives a bundle what verifies another one.
func withMaterial(t *testing.T, bundle, other []byte) []byte {
	t.Helper()
	var to, from map[string]json.RawMessage
	for body, into := range map[*[]byte]*map[string]json.RawMessage{&bundle: &to, &other: &from} {
		if err := json.Unmarshal(*body, into); err != nil {
			t.Fatal(err)
		}
	}
	to["verificationMaterial"] = from["verificationMaterial"]
	body, err := json.Marshal(to)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func TestProve_ManyAtOnceWithOneSigner(t *testing.T) {
	a, root := newAuthority(t, testenv.AuthorityOptions{})
	s, err := trust.NewKeyless("ci", root, ci)
	if err != nil {
		t.Fatal(err)
	}
	image := newImage(t)
	for _, make := range makings {
		if err := make(a.Person(issuer, subject), t.Context(), image); err != nil {
			t.Fatal(err)
		}
	}
	items := image.items(t)
	var all sync.WaitGroup
	for range 4 {
		for _, it := range items {
			all.Go(func() {
				if _, err := prove(t, it, s, image.digest); err != nil {
					t.Error(err)
				}
			})
		}
	}
	all.Wait()
}

func TestPrepare_MangledAnnotationsAreErrorsAndNoPanic(t *testing.T) {
	a, root := newAuthority(t, testenv.AuthorityOptions{})
	keyless, err := trust.NewKeyless("ci", root, ci)
	if err != nil {
		t.Fatal(err)
	}
	image := newImage(t)
	if err := a.Person(issuer, subject).SignLegacy(t.Context(), image.repo, image.digest); err != nil {
		t.Fatal(err)
	}
	chain, _ := newChain(t, testenv.ChainOptions{Subject: "x@corp.example"})
	long := ""
	for range 5 {
		long += string(chain.CA())
	}
	good := image.only(t)
	for name, c := range map[string]struct{ key, value, want string }{
		"empty log entry":              {"dev.sigstore.cosign/bundle", `{}`, "log entry"},
		"log entry with another body":  {"dev.sigstore.cosign/bundle", `{"Payload":{"body":{"a":1}}}`, "log entry"},
		"log entry of no base64":       {"dev.sigstore.cosign/bundle", `{"Payload":{"body":"%"}}`, "log entry"},
		"log entry of nonsense":        {"dev.sigstore.cosign/bundle", `{"Payload":{"body":"AAAA"}}`, "nothing that is trusted"},
		"log entry of a hollow kind":   {"dev.sigstore.cosign/bundle", `{"Payload":{"body":"eyJhcGlWZXJzaW9uIjoiMC4wLjEiLCJraW5kIjoiaGFzaGVkcmVrb3JkIiwic3BlYyI6e319"}}`, "nothing that is trusted"},
		"timestamp of no DER":          {"dev.sigstore.cosign/rfc3161timestamp", `{"SignedRFC3161Timestamp":"AAAA"}`, "timestamp"},
		"timestamp that is none":       {"dev.sigstore.cosign/rfc3161timestamp", `{"SignedRFC3161Timestamp":"MAA="}`, ""}, // the log entry is enough
		"certificate that is none":     {"dev.sigstore.cosign/certificate", "x", "certificate"},
		"two certificates":             {"dev.sigstore.cosign/certificate", string(chain.CA()), "more than 1"},
		"certificate of somebody else": {"dev.sigstore.cosign/certificate", string(chain.LeafPEM()), "names"},
		"endless chain":                {"dev.sigstore.cosign/chain", long, "more than 8"},
	} {
		t.Run(name, func(t *testing.T) {
			it := good
			it.Annotations = map[string]string{}
			for k, v := range good.Annotations {
				it.Annotations[k] = v
			}
			it.Annotations[c.key] = c.value
			_, err := prove(t, it, keyless, image.digest)
			wantError(t, err, c.want)
		})
	}
}

func TestStatements_NoTypeNeverReadsAsASignature(t *testing.T) {
	key := newSigner(t, "p256")
	s, err := trust.NewKey("release", []byte(key.PublicPEM()), trust.KeyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		form, kind string
		want       string // type
		fails      string
	}{
		"signature in a bundle":            {"bundle", signType, "", ""},
		"report in place of a signature":   {"bundle", slsa, slsa, ""},
		"signature type under the tag":     {"attestation legacy", signType, signType, ""},
		"no type in a bundle":              {"attestation bundle", "", "", "no predicate type"},
		"no type under the tag":            {"attestation legacy", "", "", "no predicate type"},
		"another kind of legacy signature": {"legacy", "something else", "", "no image signature"},
	} {
		t.Run(name, func(t *testing.T) {
			image := newImage(t)
			if err := makings[c.form](key, t.Context(), image, testenv.OfType(c.kind)); err != nil {
				t.Fatal(err)
			}
			p, err := prove(t, image.only(t), s, image.digest)
			wantError(t, err, c.fails)
			if p.Type != c.want {
				t.Errorf("got type %q, want %q", p.Type, c.want)
			}
		})
	}
}

func TestProof_TimesAreInUTC(t *testing.T) {
	a, root := newAuthority(t, testenv.AuthorityOptions{})
	s, err := trust.NewKeyless("ci", root, ci)
	if err != nil {
		t.Fatal(err)
	}
	image := newImage(t)
	if err := a.Person(issuer, subject).SignBundle(t.Context(), image.repo, image.digest); err != nil {
		t.Fatal(err)
	}
	p, err := prove(t, image.only(t), s, image.digest)
	if err != nil || len(p.Times) != 1 || p.Times[0].At.Location() != time.UTC {
		t.Errorf("got %v, %v", p.Times, err)
	}
}
