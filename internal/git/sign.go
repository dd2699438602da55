package git

import (
	"bytes"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
	"golang.org/x/crypto/ssh"
)

// Signer signs a commit: payload is the commit without its signature, the result stands in its gpgsig
// header.
type Signer interface {
	Sign(payload []byte) (signature string, err error)
}

type sshSigner struct{ key ssh.Signer }

// SSHSigner signs commits as `git -c gpg.format=ssh` does, with an OpenSSH or PEM private key without
// passphrase.
func SSHSigner(privateKey []byte) (Signer, error) {
	key, err := parseKey(privateKey)
	if err != nil {
		return nil, err
	}
	return sshSigner{key}, nil
}

// Sign makes an armoured SSHSIG (PROTOCOL.sshsig of OpenSSH) in the namespace git.
func (s sshSigner) Sign(payload []byte) (string, error) {
	const magic, namespace, hash = "SSHSIG", "git", "sha512"
	sum := sha512.Sum512(payload)
	signed := append([]byte(magic), ssh.Marshal(struct{ Namespace, Reserved, Hash, Sum string }{namespace, "", hash, string(sum[:])})...)
	signature, err := s.sign(signed)
	if err != nil {
		return "", fmt.Errorf("ssh signature: %w", err)
	}
	blob := append([]byte(magic), ssh.Marshal(struct {
		Version                                      uint32
		Key, Namespace, Reserved, Hash, SignatureSSH string
	}{1, string(s.key.PublicKey().Marshal()), namespace, "", hash, string(ssh.Marshal(signature))})...)

	var b strings.Builder
	b.WriteString("-----BEGIN SSH SIGNATURE-----\n")
	for text := base64.StdEncoding.EncodeToString(blob); text != ""; {
		n := min(70, len(text))
		b.WriteString(text[:n] + "\n")
		text = text[n:]
	}
	b.WriteString("-----END SSH SIGNATURE-----\n")
	return b.String(), nil
}

// sign uses SHA-512 with RSA keys: the format forbids the SHA-1 that is their default.
func (s sshSigner) sign(data []byte) (*ssh.Signature, error) {
	if s.key.PublicKey().Type() == ssh.KeyAlgoRSA {
		algorithm, ok := s.key.(ssh.AlgorithmSigner)
		if !ok {
			return nil, errors.New("the RSA key cannot sign with SHA-512")
		}
		return algorithm.SignWithAlgorithm(rand.Reader, data, ssh.KeyAlgoRSASHA512)
	}
	return s.key.Sign(rand.Reader, data)
}

type pgpSigner struct{ key *openpgp.Entity }

// OpenPGPSigner signs commits with the first key of an armoured private key ring, without passphrase.
func OpenPGPSigner(armored []byte) (Signer, error) {
	ring, err := openpgp.ReadArmoredKeyRing(bytes.NewReader(armored))
	switch {
	case err != nil || len(ring) == 0:
		return nil, permanentError("the OpenPGP key cannot be read: want an armoured private key")
	case ring[0].PrivateKey == nil:
		return nil, permanentError("the OpenPGP key is a public one: commits are signed with the private key")
	case ring[0].PrivateKey.Encrypted:
		return nil, permanentError("the OpenPGP key has a passphrase: use one without")
	}
	return pgpSigner{ring[0]}, nil
}

// Sign makes an armoured detached signature.
func (s pgpSigner) Sign(payload []byte) (string, error) {
	var b bytes.Buffer
	if err := openpgp.ArmoredDetachSign(&b, s.key, bytes.NewReader(payload), nil); err != nil {
		return "", fmt.Errorf("OpenPGP signature: %w", err)
	}
	return b.String() + "\n", nil
}
