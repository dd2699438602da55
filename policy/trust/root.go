package trust

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Limits of trust material; that of the public sigstore has 7 KiB.
const (
	maxRootFile    = 1 << 20 // bytes
	maxAuthorities = 64      // certificates of a file
)

// Root is where certificates, transparency logs and timestamps are trusted from. It never changes.
type Root struct {
	material root.TrustedMaterial
	hash     mirror.Digest // of the bytes that it was read from
}

// ParseRoot reads a trusted_root.json of sigstore, see
// https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_trustroot.proto.
func ParseRoot(data []byte) (*Root, error) {
	r, err := parseRoot(data)
	if err != nil {
		return nil, err
	}
	if len(r.material.FulcioCertificateAuthorities())+len(r.material.RekorLogs())+len(r.material.TimestampingAuthorities()) == 0 {
		return nil, errors.New("the trusted root holds no authority and no log")
	}
	return r, nil
}

func parseRoot(data []byte) (r *Root, err error) {
	if err := public(data, maxRootFile); err != nil {
		return nil, err
	}
	err = guarded(func() error {
		parsed, err := root.NewTrustedRootFromJSON(data)
		err = plain(err)
		r = &Root{material: parsed, hash: mirror.DigestOf(data)}
		return err
	})
	return r, err
}

// plain gives an error of the library in its own words: in front of them stand the names of packages, and between those
// a space that is none in one build and one in another, so that nobody relies on the text.
func plain(err error) error {
	if err == nil {
		return nil
	}
	text := strings.ReplaceAll(err.Error(), "\u00a0", " ")
	if _, words, found := strings.Cut(text, "proto: "); found {
		text = words
	}
	return errors.New(text)
}

// ParseCA reads certificate authorities in PEM form: at least one root, which is signed by itself, and intermediate
// certificates of any of them.
func ParseCA(data []byte) (*Root, error) {
	if err := public(data, maxRootFile); err != nil {
		return nil, err
	}
	certs, err := certificates(string(data), maxAuthorities)
	if err != nil {
		return nil, err
	}
	var roots, intermediates []*x509.Certificate
	for _, cert := range certs {
		switch {
		case !cert.BasicConstraintsValid || !cert.IsCA:
			return nil, fmt.Errorf("the certificate of %s is no authority's", mirror.Printable(cert.Subject.String()))
		case bytes.Equal(cert.RawSubject, cert.RawIssuer) && cert.CheckSignatureFrom(cert) == nil:
			roots = append(roots, cert)
		default:
			intermediates = append(intermediates, cert)
		}
	}
	if len(roots) == 0 {
		return nil, errors.New("the file holds no certificate that is signed by itself, so nothing ends a chain")
	}
	m := authorities{BaseTrustedMaterial: &root.BaseTrustedMaterial{}}
	for _, cert := range roots {
		m.list = append(m.list, &root.FulcioCertificateAuthority{Root: cert, Intermediates: intermediates})
	}
	return &Root{material: m, hash: mirror.DigestOf(data)}, nil
}

// public refuses what is too large for what it is to be, and what nobody should commit.
func public(data []byte, limit int) error {
	if bytes.Contains(data, []byte("PRIVATE KEY-----")) || bytes.Contains(data, []byte("PRIVATE KEY BLOCK-----")) {
		return errPrivateKey
	}
	if len(data) > limit {
		return fmt.Errorf("the file has %d bytes, want at most %d", len(data), limit)
	}
	return nil
}

// authorities is trusted material that knows certificate authorities alone.
type authorities struct {
	*root.BaseTrustedMaterial // knows nothing
	list                      []root.CertificateAuthority
}

func (a authorities) FulcioCertificateAuthorities() []root.CertificateAuthority { return a.list }
