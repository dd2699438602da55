package testenv

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"strings"

	cosignbundle "github.com/sigstore/cosign/v2/pkg/cosign/bundle"
	"github.com/sigstore/cosign/v2/pkg/oci/static"
	bundlev1 "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	common "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	dssev1 "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	rekorv1 "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"google.golang.org/protobuf/encoding/protojson"
)

// sealed is a signature with all that goes with it.
type sealed struct {
	signature []byte
	chain     []*x509.Certificate // of who signed, the leaf first; empty where a key is known by itself
	entry     *rekorv1.TransparencyLogEntry
	stamp     []byte
}

// seal signs a message, and asks the witnesses. envelope makes the DSSE envelope around a signature; it is nil where
// the message is signed as it is.
func (s *Signer) seal(c claim, message []byte, envelope func(sig []byte) []byte) (out sealed, err error) {
	signer, verifier := s.signer, []byte(nil)
	switch {
	case s.issuer != "":
		signer, out.chain, err = s.authority.identify(s.issuer, s.subject, c.at)
	case s.chain != nil:
		out.chain = append([]*x509.Certificate{s.chain.leaf.cert}, s.chain.leaf.above...)
	default:
		verifier, err = cryptoutils.MarshalPublicKeyToPEM(s.public)
	}
	if err != nil {
		return out, err
	}
	if len(out.chain) > 0 {
		verifier = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: out.chain[0].Raw})
	}
	if out.signature, err = signer.SignMessage(strings.NewReader(string(message))); err != nil {
		return out, err
	}
	witnesses := s.witnesses
	if c.witnesses != nil {
		witnesses = *c.witnesses
	}
	for _, w := range witnesses {
		if s.authority == nil {
			return out, errors.New("testenv: a signer without authority has no witnesses")
		}
		if err = out.witness(s, w, c, message, verifier, envelope); err != nil {
			return out, err
		}
	}
	return out, nil
}

// witness lets the signer's authority vouch for the moment of a signature.
func (o *sealed) witness(s *Signer, w Witness, c claim, message, verifier []byte, envelope func(sig []byte) []byte) (err error) {
	var wrapped []byte
	if envelope != nil {
		wrapped = envelope(o.signature)
	}
	at := c.at
	if !c.witnessed.IsZero() {
		at = c.witnessed
	}
	if w == RekorV1 {
		o.entry, err = s.authority.entryV1(message, wrapped, verifier, o.signature, at)
		return err
	}
	over := o.signature
	if c.whole {
		over = wrapped
	}
	if o.stamp, err = s.authority.stamp(over, at); err != nil || w == Stamp {
		return err
	}
	var cert *x509.Certificate
	if len(o.chain) > 0 {
		cert = o.chain[0]
	}
	o.entry, err = s.authority.entryV2(message, o.signature, cert, s.public)
	return err
}

// annotate writes what goes with a legacy signature into the annotations of its layer, but for those that a twist set.
func (o sealed) annotate(c claim) error {
	annotations := map[string]string{}
	defer func() {
		maps.Copy(annotations, c.annotations)
		maps.Copy(c.annotations, annotations)
	}()
	if len(o.chain) > 0 {
		annotations[static.CertificateAnnotationKey] = string(certificatesPEM(o.chain[:1]))
		annotations[static.ChainAnnotationKey] = string(certificatesPEM(o.chain[1:]))
	}
	if o.entry != nil {
		if o.entry.InclusionPromise == nil {
			return errors.New("testenv: a legacy signature cannot carry an entry of Rekor v2")
		}
		b, err := json.Marshal(cosignbundle.RekorBundle{SignedEntryTimestamp: o.entry.InclusionPromise.SignedEntryTimestamp,
			Payload: cosignbundle.RekorPayload{Body: base64.StdEncoding.EncodeToString(o.entry.CanonicalizedBody),
				IntegratedTime: o.entry.IntegratedTime, LogIndex: o.entry.LogIndex, LogID: fmt.Sprintf("%x", o.entry.LogId.KeyId)}})
		if err != nil {
			return err
		}
		annotations[static.BundleAnnotationKey] = string(b)
	}
	if o.stamp != nil {
		b, err := json.Marshal(cosignbundle.RFC3161Timestamp{SignedRFC3161Timestamp: o.stamp})
		if err != nil {
			return err
		}
		annotations[static.RFC3161TimestampAnnotationKey] = string(b)
	}
	return nil
}

// bundle gives the sigstore bundle, version 0.3, of a signed in-toto statement. hint names the key as cosign does.
func (o sealed) bundle(statement []byte, hint string) ([]byte, error) {
	material := &bundlev1.VerificationMaterial{}
	if len(o.chain) > 0 {
		material.Content = &bundlev1.VerificationMaterial_Certificate{Certificate: &common.X509Certificate{RawBytes: o.chain[0].Raw}}
	} else {
		material.Content = &bundlev1.VerificationMaterial_PublicKey{PublicKey: &common.PublicKeyIdentifier{Hint: hint}}
	}
	if o.entry != nil {
		material.TlogEntries = []*rekorv1.TransparencyLogEntry{o.entry}
	}
	if o.stamp != nil {
		material.TimestampVerificationData = &bundlev1.TimestampVerificationData{
			Rfc3161Timestamps: []*common.RFC3161SignedTimestamp{{SignedTimestamp: o.stamp}}}
	}
	return protojson.Marshal(&bundlev1.Bundle{MediaType: BundleType, VerificationMaterial: material, Content: &bundlev1.Bundle_DsseEnvelope{
		DsseEnvelope: &dssev1.Envelope{Payload: statement, PayloadType: statementType, Signatures: []*dssev1.Signature{{Sig: o.signature}}}}})
}

// keyHint is how cosign names the key in a bundle: the hash of its public half.
func (s *Signer) keyHint() string {
	if s.public == nil {
		return ""
	}
	sum := sha256.Sum256(must(x509.MarshalPKIXPublicKey(s.public)))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// preAuthentication is the encoding that a DSSE signature covers (its specification, protocol.md).
func preAuthentication(payload []byte) []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(statementType), statementType, len(payload), payload)
}

func certificatesPEM(certs []*x509.Certificate) []byte {
	var out []byte
	for _, c := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}
