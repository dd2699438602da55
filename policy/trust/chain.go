package trust

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"

	"github.com/sigstore/sigstore-go/pkg/root"
)

// withChain is trusted material with intermediate certificates besides, which must lead to one of its roots.
type withChain struct {
	root.TrustedMaterial
	chain []*x509.Certificate
}

func (w withChain) FulcioCertificateAuthorities() []root.CertificateAuthority {
	var authorities []root.CertificateAuthority
	for _, a := range w.TrustedMaterial.FulcioCertificateAuthorities() {
		if known, ok := a.(*root.FulcioCertificateAuthority); ok {
			more := *known
			more.Intermediates = append(append([]*x509.Certificate{}, known.Intermediates...), w.chain...)
			a = &more
		}
		authorities = append(authorities, a)
	}
	return authorities
}

// certificates reads at most limit PEM certificates and nothing else.
func certificates(text string, limit int) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	block, rest := pem.Decode([]byte(text))
	for ; block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("a PEM block of type %q is no certificate", block.Type)
		}
		if len(certs) == limit {
			return nil, fmt.Errorf("more than %d certificates", limit)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		certs = append(certs, cert)
	}
	return certs, nil
}
