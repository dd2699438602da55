package testenv

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"time"

	ct "github.com/google/certificate-transparency-go"
	"github.com/google/certificate-transparency-go/tls"
	"github.com/google/certificate-transparency-go/x509util"
)

// keyID names a key by the hash of its SubjectPublicKeyInfo, as logs do.
func keyID(public crypto.PublicKey) []byte {
	sum := sha256.Sum256(must(x509.MarshalPKIXPublicKey(public)))
	return sum[:]
}

// listed issues the certificate again with the proof in it that the log of certificates has seen it (RFC 6962,
// section 3.3). The log signs what the certificate is without that proof.
func (a *Authority) listed(template *x509.Certificate, public crypto.PublicKey, bare *x509.Certificate, at time.Time) (*x509.Certificate, error) {
	entry := ct.LogEntry{Leaf: ct.MerkleTreeLeaf{Version: ct.V1, LeafType: ct.TimestampedEntryLeafType, TimestampedEntry: &ct.TimestampedEntry{
		EntryType: ct.PrecertLogEntryType, Timestamp: uint64(at.UnixMilli()),
		PrecertEntry: &ct.PreCert{IssuerKeyHash: sha256.Sum256(a.ca.cert.RawSubjectPublicKeyInfo), TBSCertificate: bare.RawTBSCertificate}}}}
	sct := ct.SignedCertificateTimestamp{SCTVersion: ct.V1, Timestamp: uint64(at.UnixMilli())}
	copy(sct.LogID.KeyID[:], keyID(a.ctLog.Public()))
	message, err := ct.SerializeSCTSignatureInput(sct, entry)
	if err != nil {
		return nil, err
	}
	signed, err := tls.CreateSignature(*a.ctLog, tls.SHA256, message)
	if err != nil {
		return nil, err
	}
	sct.Signature = ct.DigitallySigned(signed)
	list, err := x509util.MarshalSCTsIntoSCTList([]*ct.SignedCertificateTimestamp{&sct})
	if err != nil {
		return nil, err
	}
	body, err := tls.Marshal(*list)
	if err != nil {
		return nil, err
	}
	octets, err := asn1.Marshal(body)
	if err != nil {
		return nil, err
	}
	template.ExtraExtensions = append(template.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}, Value: octets})
	return a.ca.issue(template, public)
}
