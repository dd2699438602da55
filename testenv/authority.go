package testenv

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"maps"
	"time"

	rekornote "github.com/sigstore/rekor-tiles/v2/pkg/note"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore/pkg/signature"
)

// SignedAt is the moment of every signature that no At twist moves: a fixed one, so that what a test says of times
// holds in every year.
var SignedAt = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// The hosts of an Authority's logs, which their checkpoints name.
const (
	logV1Host = "rekor.authority.example"
	logV2Host = "log.authority.example"
)

// AuthorityOptions vary an Authority.
type AuthorityOptions struct {
	From, Until time.Time // validity of all its certificates and keys; zero: 2020 until 2050
	CAUntil     time.Time // validity of the certificates of root and intermediate, if that is to end earlier
	WithoutCT   bool      // no certificate transparency: neither in certificates nor in the trusted root
}

// Authority is a whole sigstore in this process, without servers: a certificate authority like Fulcio's, a
// transparency log in the style of Rekor v1 and one of Rekor v2, a timestamp authority and a log of certificates.
//
// It makes what the real services make (certificates with embedded SCTs, inclusion proofs and promises, RFC 3161
// tokens), but its logs are trees of one leaf, so every entry has index 0. Unlike sigstore-go's VirtualSigstore it
// signs at any moment and gives its trusted root as a file. Its keys live as long as the process.
type Authority struct {
	from, until time.Time
	ca, tsa     *issuer
	stamper     *issuer // leaf of the timestamp authority
	logV1       *ecdsa.PrivateKey
	logV2       ed25519.PrivateKey
	logV2ID     []byte
	ctLog       *ecdsa.PrivateKey // nil: none
	trusted     []byte            // its trusted root, written once: the library orders the logs anew each time
}

// NewAuthority makes an authority that is valid from 2020 until 2050.
func NewAuthority() (*Authority, error) { return NewAuthorityWith(AuthorityOptions{}) }

// NewAuthorityWith makes an authority as the options say, such as one that expired.
func NewAuthorityWith(o AuthorityOptions) (_ *Authority, err error) {
	if o.From.IsZero() {
		o.From = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	if o.Until.IsZero() {
		o.Until = time.Date(2050, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	if o.CAUntil.IsZero() {
		o.CAUntil = o.Until
	}
	a := &Authority{from: o.From, until: o.Until}
	if a.ca, err = newIssuer("authority.example", x509.ExtKeyUsageCodeSigning, a.from, o.CAUntil); err != nil {
		return nil, err
	}
	if a.tsa, err = newIssuer("time.authority.example", x509.ExtKeyUsageTimeStamping, a.from, a.until); err != nil {
		return nil, err
	}
	if a.stamper, err = a.tsa.stamper(a.from, a.until); err != nil {
		return nil, err
	}
	if a.logV1, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	if _, a.logV2, err = ed25519.GenerateKey(rand.Reader); err != nil {
		return nil, err
	}
	if _, a.logV2ID, err = rekornote.KeyHash(logV2Host, a.logV2.Public()); err != nil {
		return nil, err
	}
	if !o.WithoutCT {
		if a.ctLog, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return nil, err
		}
	}
	a.trusted, err = a.root()
	return a, err
}

// TrustedRoot gives the trusted_root.json that trusts all of this authority, the same bytes each time.
func (a *Authority) TrustedRoot() []byte { return bytes.Clone(a.trusted) }

func (a *Authority) root() ([]byte, error) {
	authority := &root.FulcioCertificateAuthority{Root: a.ca.above[0], Intermediates: []*x509.Certificate{a.ca.cert},
		ValidityPeriodStart: a.from, ValidityPeriodEnd: a.until, URI: "https://ca.authority.example"}
	clock := &root.SigstoreTimestampingAuthority{Root: a.tsa.above[0], Intermediates: []*x509.Certificate{a.tsa.cert}, Leaf: a.stamper.cert,
		ValidityPeriodStart: a.from, ValidityPeriodEnd: a.until, URI: "https://time.authority.example"}
	logs := a.log("https://"+logV1Host, a.logV1.Public(), keyID(a.logV1.Public()))
	maps.Copy(logs, a.log("https://"+logV2Host, a.logV2.Public(), a.logV2ID))
	certificates := map[string]*root.TransparencyLog{}
	if a.ctLog != nil {
		certificates = a.log("https://ct.authority.example", a.ctLog.Public(), keyID(a.ctLog.Public()))
	}
	trusted, err := root.NewTrustedRoot(root.TrustedRootMediaType01, []root.CertificateAuthority{authority}, certificates,
		[]root.TimestampingAuthority{clock}, logs)
	if err != nil {
		return nil, err
	}
	return trusted.MarshalJSON()
}

func (a *Authority) log(url string, key crypto.PublicKey, id []byte) map[string]*root.TransparencyLog {
	return map[string]*root.TransparencyLog{hex.EncodeToString(id): {BaseURL: url, ID: id, ValidityPeriodStart: a.from, ValidityPeriodEnd: a.until,
		HashFunc: crypto.SHA256, PublicKey: key, SignatureHashFunc: crypto.SHA256}}
}

// Person gives a signer without a key of its own: each of its signatures is made with a new key, whose certificate
// names issuer and subject and is valid for ten minutes. The subject is an e-mail address where it holds an @ and no
// scheme, else a URI. Unless a WitnessedBy twist says otherwise the Rekor v1 log witnesses its signatures.
func (a *Authority) Person(issuer, subject string) *Signer {
	return &Signer{authority: a, issuer: issuer, subject: subject, witnesses: []Witness{RekorV1}}
}

// Timestamped gives a signer with the key of s whose signatures this authority's clock witnesses.
func (a *Authority) Timestamped(s *Signer) *Signer {
	with := *s
	with.authority, with.witnesses = a, []Witness{Stamp}
	return &with
}

// identify makes a new key and the certificate that says whose it is.
func (a *Authority) identify(issuer, subject string, at time.Time) (signature.Signer, []*x509.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template, err := leafTemplate(subject, at.Add(-time.Minute), at.Add(9*time.Minute))
	if err != nil {
		return nil, nil, err
	}
	utf8, err := asn1.MarshalWithParams(issuer, "utf8")
	if err != nil {
		return nil, nil, err
	}
	// Fulcio's own extensions: the issuer as it was written once, and as it is written now.
	template.ExtraExtensions = []pkix.Extension{
		{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 1}, Value: []byte(issuer)},
		{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 8}, Value: utf8},
	}
	cert, err := a.ca.issue(template, key.Public())
	if err == nil && a.ctLog != nil {
		cert, err = a.listed(template, key.Public(), cert, at)
	}
	if err != nil {
		return nil, nil, err
	}
	signer, err := signature.LoadSigner(key, crypto.SHA256)
	return signer, append([]*x509.Certificate{cert, a.ca.cert}, a.ca.above...), err
}
