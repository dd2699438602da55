package testenv

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"time"
)

// issuer is a certificate with its key and what is above it, the root last.
type issuer struct {
	cert  *x509.Certificate
	key   *ecdsa.PrivateKey
	above []*x509.Certificate
}

// leafTemplate is a certificate for signing code, whose subject stands in the SAN that fits it.
func leafTemplate(subject string, from, until time.Time) (*x509.Certificate, error) {
	t := &x509.Certificate{SerialNumber: serial(), NotBefore: from, NotAfter: until, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}}
	if strings.Contains(subject, "@") && !strings.Contains(subject, "://") {
		t.EmailAddresses = []string{subject}
		return t, nil
	}
	u, err := url.Parse(subject)
	if err != nil {
		return nil, fmt.Errorf("subject: %w", err)
	}
	t.URIs = []*url.URL{u}
	return t, nil
}

// newIssuer makes a root and an intermediate certificate authority for one purpose.
func newIssuer(organization string, purpose x509.ExtKeyUsage, from, until time.Time) (*issuer, error) {
	top, err := newRoot(organization, from, until)
	if err != nil {
		return nil, err
	}
	return top.intermediate(organization, purpose, from, until)
}

func newRoot(organization string, from, until time.Time) (*issuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	top := &issuer{cert: authorityTemplate(organization, "root", from, until), key: key}
	top.cert, err = top.issue(top.cert, key.Public())
	return top, err
}

func (i *issuer) intermediate(organization string, purpose x509.ExtKeyUsage, from, until time.Time) (*issuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := authorityTemplate(organization, "intermediate", from, until)
	template.ExtKeyUsage = []x509.ExtKeyUsage{purpose}
	cert, err := i.issue(template, key.Public())
	return &issuer{cert: cert, key: key, above: append([]*x509.Certificate{i.cert}, i.above...)}, err
}

func authorityTemplate(organization, name string, from, until time.Time) *x509.Certificate {
	return &x509.Certificate{SerialNumber: serial(), Subject: pkix.Name{Organization: []string{organization}, CommonName: name},
		NotBefore: from, NotAfter: until, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true, IsCA: true}
}

// stamper makes the certificate that signs timestamps.
func (i *issuer) stamper(from, until time.Time) (*issuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	// RFC 3161 wants the purpose to be critical, which crypto/x509 has no field for.
	purpose, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})
	if err != nil {
		return nil, err
	}
	cert, err := i.issue(&x509.Certificate{SerialNumber: serial(), Subject: pkix.Name{CommonName: "clock"}, NotBefore: from, NotAfter: until,
		KeyUsage:        x509.KeyUsageDigitalSignature,
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: purpose}}}, key.Public())
	return &issuer{cert: cert, key: key}, err
}

func (i *issuer) issue(template *x509.Certificate, public crypto.PublicKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, i.cert, public, i.key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func serial() *big.Int { return must(rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))) }
