package git

import (
	"bytes"
	"fmt"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/hiddeco/sshsig"
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
	signature, err := sshsig.Sign(bytes.NewReader(payload), s.key, sshsig.HashSHA512, namespace)
	if err != nil {
		return "", fmt.Errorf("ssh signature: %w", err)
	}
	return string(sshsig.Armor(signature)), nil
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
