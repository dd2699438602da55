package render

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"path"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

// certForm is how certificates are written into a value.
type certForm string

// UnmarshalText accepts pem and base64.
func (f *certForm) UnmarshalText(b []byte) error {
	switch *f = certForm(b); *f {
	case "pem", "base64":
		return nil
	}
	return mirror.UnknownWord{Kind: "form", Word: string(b), Known: []string{"pem", "base64"}}
}

var (
	errNoCertificate = errors.New("it holds no certificate in PEM form")
	errPrivateKey    = errors.New("it holds a private key, or something else that is no certificate")
	errMalformedCert = errors.New("it holds a certificate that cannot be read")
)

// readCertificates says why a text is not certificates in PEM form alone. What it holds is never repeated: it may be a
// private key.
func readCertificates(text []byte) error {
	count := 0
	for {
		block, rest := pem.Decode(text)
		switch {
		case block == nil && count == 0, block == nil && strings.Contains(string(text), "-----"):
			return errNoCertificate
		case block == nil:
			return nil
		case block.Type != "CERTIFICATE":
			return errPrivateKey
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return errMalformedCert
		}
		text, count = rest, count+1
	}
}

// checkCertificates reads a file of certificates in desired/.
func checkCertificates(files mirror.Files, name, key string, where mirror.Position) (ps mirror.Problems) {
	file := path.Join("desired", name)
	data, there := files[file]
	if !there || !strings.HasPrefix(file, "desired/") {
		ps.Add("RND097", where, "commit the certificates below desired/, and name the file relative to it", "%s: there is no file %s", key, mirror.OneLine(file))
		return ps
	}
	if err := readCertificates(data); err != nil {
		ps.Add("RND097", where, "put the certificates of the CA there, as -----BEGIN CERTIFICATE-----", "%s: %s is no file of certificates: %v", key, mirror.OneLine(file), err)
	}
	return ps
}

// lintCertificates judges a value that holds certificates: in PEM form or that in base64.
func lintCertificates(n mirror.Node, key string) (ps mirror.Problems) {
	value := strings.TrimSpace(text(n))
	if value == "" || strings.HasPrefix(value, "REPLACE_WITH_") {
		return nil
	}
	body := []byte(value)
	if !strings.Contains(value, "-----BEGIN") {
		if decoded, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(value), "")); err == nil {
			body = decoded
		}
	}
	if err := readCertificates(body); err != nil {
		ps.Add("RND097", n.Where(), "write the certificates of the CA in PEM form, or that in base64", "%s is of no use: %v", key, err)
	}
	return ps
}
