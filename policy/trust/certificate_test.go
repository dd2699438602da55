package trust_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy/trust"
	"github.com/poundlock/poundlock/testenv"
)

const (
	issuer   = "https://oidc.corp.example"
	subject  = "https://git.corp.example/app/release@refs/tags/v1"
	slsa     = "https://slsa.dev/provenance/v1"
	signType = "https://sigstore.dev/cosign/sign/v1"
)

var ci = trust.Identity{Issuer: issuer, Subject: "https://git.corp.example/*/release@refs/tags/*"}

// making is one of the forms in which something is signed or stated.
type making func(*testenv.Signer, context.Context, beside, ...testenv.Twist) error

var makings = map[string]making{
	"bundle": func(s *testenv.Signer, ctx context.Context, b beside, tw ...testenv.Twist) error {
		return s.SignBundle(ctx, b.repo, b.digest, tw...)
	},
	"legacy": func(s *testenv.Signer, ctx context.Context, b beside, tw ...testenv.Twist) error {
		return s.SignLegacy(ctx, b.repo, b.digest, tw...)
	},
	"attestation bundle": func(s *testenv.Signer, ctx context.Context, b beside, tw ...testenv.Twist) error {
		return s.AttestBundle(ctx, b.repo, b.digest, slsa, map[string]any{"builder": "ci"}, tw...)
	},
	"attestation legacy": func(s *testenv.Signer, ctx context.Context, b beside, tw ...testenv.Twist) error {
		return s.AttestLegacy(ctx, b.repo, b.digest, slsa, map[string]any{"builder": "ci"}, tw...)
	},
}

func TestKeyless_AllFormsProveWhoSignedWhatAndWhen(t *testing.T) {
	log := trust.Time{At: testenv.SignedAt, Source: trust.SourceLog}
	clock := trust.Time{At: testenv.SignedAt, Source: trust.SourceAuthority}
	for name, c := range map[string]struct {
		options testenv.AuthorityOptions
		twists  []testenv.Twist
		times   []trust.Time
		forms   []string // all, where empty
		fails   bool
	}{
		"rekor v1":             {times: []trust.Time{log}},
		"rekor v1 and clock":   {twists: []testenv.Twist{testenv.WitnessedBy(testenv.RekorV1, testenv.Stamp)}, times: []trust.Time{clock, log}},
		"rekor v2":             {twists: []testenv.Twist{testenv.WitnessedBy(testenv.RekorV2)}, times: []trust.Time{clock}, forms: []string{"bundle", "attestation bundle"}},
		"without CT":           {options: testenv.AuthorityOptions{WithoutCT: true}, times: []trust.Time{log}},
		"clock without a log":  {twists: []testenv.Twist{testenv.WitnessedBy(testenv.Stamp)}, fails: true},
		"no witness":           {twists: []testenv.Twist{testenv.WitnessedBy()}, fails: true},
		"tampered":             {twists: []testenv.Twist{testenv.Tampered()}, fails: true},
		"for another digest":   {twists: []testenv.Twist{testenv.ForDigest(mirror.DigestOf([]byte("other")))}, fails: true},
		"authority is expired": {options: testenv.AuthorityOptions{Until: testenv.SignedAt.Add(-time.Hour)}, fails: true},
	} {
		for form, make := range makings {
			if len(c.forms) > 0 && !slices.Contains(c.forms, form) {
				continue
			}
			t.Run(name+"/"+form, func(t *testing.T) {
				a, root := newAuthority(t, c.options)
				image := newImage(t)
				if err := make(a.Person(issuer, subject), t.Context(), image, c.twists...); err != nil {
					t.Fatal(err)
				}
				s, err := trust.NewKeyless("ci", root, ci)
				if err != nil {
					t.Fatal(err)
				}
				p, err := prove(t, image.only(t), s, image.digest)
				if (err != nil) != c.fails {
					t.Fatalf("got %v", err)
				}
				if c.fails {
					return
				}
				if want := issuer + " " + subject; p.Identity != want {
					t.Errorf("got identity %q, want %q", p.Identity, want)
				}
				if !slices.EqualFunc(p.Times, c.times, func(a, b trust.Time) bool { return a.Source == b.Source && a.At.Equal(b.At) }) {
					t.Errorf("got times %v, want %v", p.Times, c.times)
				}
				wantStated(t, p, form)
			})
		}
	}
}

// wantStated holds a proof against the form that was made.
func wantStated(t *testing.T, p trust.Proof, form string) {
	t.Helper()
	if form == "bundle" || form == "legacy" {
		if p.Type != "" || p.Predicate != nil {
			t.Errorf("got type %q and predicate %s of an image signature", p.Type, p.Predicate)
		}
		return
	}
	var predicate struct{ Builder string }
	if err := json.Unmarshal(p.Predicate, &predicate); err != nil || p.Type != slsa || predicate.Builder != "ci" {
		t.Errorf("got type %q and predicate %s, %v", p.Type, p.Predicate, err)
	}
}

func TestKeyless_AnotherIdentityOrRootIsRefused(t *testing.T) {
	a, root := newAuthority(t, testenv.AuthorityOptions{})
	_, other := newAuthority(t, testenv.AuthorityOptions{})
	for form, make := range makings {
		image := newImage(t)
		if err := make(a.Person(issuer, subject), t.Context(), image); err != nil {
			t.Fatal(err)
		}
		item := image.only(t)
		for name, c := range map[string]struct {
			root *trust.Root
			id   trust.Identity
			want string
		}{
			"glob":               {root, ci, ""},
			"exact":              {root, trust.Identity{Issuer: issuer, Subject: subject}, ""},
			"all below":          {root, trust.Identity{Issuer: "https://**", Subject: "https://git.corp.example/**"}, ""},
			"regexp":             {root, trust.Identity{IssuerRegexp: `^https://oidc\.corp\.example$`, SubjectRegexp: `^https://git\.corp\.example/.*$`}, ""},
			"star and slash":     {root, trust.Identity{Issuer: issuer, Subject: "https://git.corp.example/*"}, "names"},
			"part of subject":    {root, trust.Identity{Issuer: issuer, Subject: "https://git.corp.example/app/release"}, "names"},
			"end of subject":     {root, trust.Identity{Issuer: issuer, Subject: "app/release@refs/tags/v1"}, "names"},
			"dot is a dot":       {root, trust.Identity{Issuer: issuer, Subject: "https://gitxcorp.example/**"}, "names"},
			"other issuer":       {root, trust.Identity{Issuer: "https://other.example", Subject: subject}, "names"},
			"one anchored":       {root, trust.Identity{Issuer: issuer, SubjectRegexp: `^nobody|https://git.*$`}, ""},
			"alternative inside": {root, trust.Identity{Issuer: issuer, SubjectRegexp: `^nobody|git$`}, "names"},
			"other root":         {other, ci, "e"},
		} {
			t.Run(form+"/"+name, func(t *testing.T) {
				s, err := trust.NewKeyless("ci", c.root, c.id)
				if err != nil {
					t.Fatal(err)
				}
				_, err = prove(t, item, s, image.digest)
				wantError(t, err, c.want)
			})
		}
	}
}

func TestSigners_AcceptOnlyTheirKind(t *testing.T) {
	a, root := newAuthority(t, testenv.AuthorityOptions{})
	chain, byChain := newChain(t, testenv.ChainOptions{Subject: "release@corp.example"})
	pki, err := trust.ParseCA(chain.CA())
	if err != nil {
		t.Fatal(err)
	}
	key := newSigner(t, "p256")
	makers := map[string]*testenv.Signer{"key": key, "keyless": a.Person(issuer, subject), "X.509": byChain}
	signers := map[string]trust.Signer{}
	if signers["key"], err = trust.NewKey("key", []byte(key.PublicPEM()), trust.KeyOptions{Root: root}); err != nil {
		t.Fatal(err)
	}
	if signers["keyless"], err = trust.NewKeyless("keyless", root, ci); err != nil {
		t.Fatal(err)
	}
	if signers["X.509"], err = trust.NewCertificate("x", pki, trust.Identity{Subject: "release@corp.example"}); err != nil {
		t.Fatal(err)
	}
	for form, make := range makings {
		for by, maker := range makers {
			image := newImage(t)
			if err := make(maker, t.Context(), image); err != nil {
				t.Fatal(err)
			}
			item := image.only(t)
			for name, s := range signers {
				p, err := prove(t, item, s, image.digest)
				if (err == nil) != (name == by) || err != nil && !errors.Is(err, trust.ErrStranger) {
					t.Errorf("%s by %s for %s: got %v", form, by, name, err)
				}
				if err == nil {
					wantStated(t, p, form)
				}
			}
		}
	}
}

func TestNewKeyless_RefusesWhatWouldTrustTooMuch(t *testing.T) {
	_, root := newAuthority(t, testenv.AuthorityOptions{})
	chain, _ := newChain(t, testenv.ChainOptions{Subject: "x@corp.example"})
	pki, err := trust.ParseCA(chain.CA())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		root *trust.Root
		id   trust.Identity
		want string
	}{
		"no root":             {nil, ci, "no root"},
		"authorities alone":   {pki, ci, "neither a transparency log nor a timestamp authority"},
		"no issuer":           {root, trust.Identity{Subject: "x"}, "issuer is missing"},
		"no subject":          {root, trust.Identity{Issuer: "x"}, "subject is missing"},
		"both":                {root, trust.Identity{Issuer: "x", Subject: "x", SubjectRegexp: "^x$"}, "both given"},
		"not anchored":        {root, trust.Identity{Issuer: "x", SubjectRegexp: "x"}, "not anchored"},
		"escaped anchor":      {root, trust.Identity{Issuer: "x", SubjectRegexp: `^x\$`}, "not anchored"},
		"not anchored issuer": {root, trust.Identity{IssuerRegexp: "^x", Subject: "x"}, "not anchored"},
		"no expression":       {root, trust.Identity{Issuer: "x", SubjectRegexp: "^(x$"}, "subjectRegexp"},
		"whole by our own":    {root, trust.Identity{Issuer: "x", SubjectRegexp: "^x)|(?:y$"}, "subjectRegexp"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := trust.NewKeyless("ci", c.root, c.id)
			wantError(t, err, c.want)
		})
	}
}

func TestHash_ChangesWithAllThatIsTrusted(t *testing.T) {
	_, one := newAuthority(t, testenv.AuthorityOptions{})
	_, two := newAuthority(t, testenv.AuthorityOptions{})
	key := []byte(newSigner(t, "p384").PublicPEM())
	seen := map[mirror.Digest]string{}
	add := func(name string, s trust.Signer, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[s.Hash()]; ok {
			t.Errorf("%s and %s have one hash", name, other)
		}
		seen[s.Hash()] = name
	}
	for name, root := range map[string]*trust.Root{"one": one, "two": two} {
		s, err := trust.NewKeyless("a", root, ci)
		add("keyless "+name, s, err)
		s, err = trust.NewKeyless("a", root, trust.Identity{Issuer: ci.Issuer, Subject: "x"})
		add("keyless other subject "+name, s, err)
		s, err = trust.NewCertificate("a", root, trust.Identity{Subject: ci.Subject})
		add("certificate "+name, s, err)
		s, err = trust.NewKey("a", key, trust.KeyOptions{Root: root})
		add("key with root "+name, s, err)
	}
	s, err := trust.NewKey("a", key, trust.KeyOptions{})
	add("key", s, err)
	s, err = trust.NewKey("a", key, trust.KeyOptions{Hash: "sha256"})
	add("key with hash", s, err)
}
