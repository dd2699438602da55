package git

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Why a signature does not count. The words are for people, and hold nothing that the commit says.
var (
	errUnsigned = errors.New("it is not signed")
	errKind     = errors.New("its signature is neither an SSH nor an OpenPGP signature")
	errBroken   = errors.New("its signature does not fit it")
	errStranger = errors.New("its signature is by a key that is not allowed")
)

// verify says who of the signers signed the commit. The error is one of the above, or says what is wrong with the
// key. now is when it is asked: expired and revoked OpenPGP keys do not count any more, as with gpg, while an SSH key
// counts by the time of the commit, as with git verify-commit.
func (s Signers) verify(c rawCommit, now time.Time) (who string, err error) {
	defer func() {
		if p := recover(); p != nil { // a library that meets bytes which nobody thought of
			who, err = "", fmt.Errorf("%w: it cannot be read", errBroken)
		}
	}()
	switch {
	case c.signature == "":
		return "", errUnsigned
	case strings.HasPrefix(c.signature, "-----BEGIN SSH SIGNATURE-----"):
		return s.verifySSH(c)
	case strings.HasPrefix(c.signature, "-----BEGIN PGP SIGNATURE-----"):
		return s.verifyPGP(c, now)
	}
	return "", errKind
}

func (s Signers) verifySSH(c rawCommit) (string, error) {
	if alone(c.signature, "-----END SSH SIGNATURE-----") != nil {
		return "", errBroken
	}
	sig, err := sshsig.Unarmor([]byte(c.signature))
	if err != nil {
		return "", errBroken
	}
	// Over the key that the signature names first: one that fits nothing says nothing of who made it.
	if err := sshsig.Verify(bytes.NewReader(c.payload), sig, sig.PublicKey, sig.HashAlgorithm, namespace); err != nil {
		return "", errBroken
	}
	refused := fmt.Errorf("%w: SSH key %s", errStranger, ssh.FingerprintSHA256(sig.PublicKey))
	for _, k := range s.ssh {
		if !bytes.Equal(k.key.Marshal(), sig.PublicKey.Marshal()) {
			continue
		}
		if refused = k.counts(c.at); refused == nil {
			return "SSH key " + ssh.FingerprintSHA256(k.key) + " of " + mirror.OneLine(k.principals), nil
		}
	}
	return "", refused
}

// counts says why a key does not count for a commit of some time; both bounds belong to it, as in ssh-keygen.
func (k allowedKey) counts(at time.Time) error {
	switch limited := !k.after.IsZero() || !k.before.IsZero(); {
	case limited && at.IsZero():
		return errors.New("it has no time, and its key counts only for some")
	case !k.after.IsZero() && at.Before(k.after):
		return errors.New("it is older than the time from which its key counts")
	case !k.before.IsZero() && at.After(k.before):
		return errors.New("it is newer than the time until which its key counts")
	}
	return nil
}

// alone makes sure that nothing follows the armour: what does would be shown by some tools, and signed by nobody.
func alone(armoured, end string) error {
	_, rest, ok := strings.Cut(armoured, end)
	if !ok || strings.TrimSpace(rest) != "" {
		return errBroken
	}
	return nil
}

// skew is how far the clock of who signed may be ahead of ours.
const skew = 10 * time.Minute

// strong are the digests that OpenPGP signatures may be over.
var strong = []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512, crypto.SHA3_256, crypto.SHA3_512}

func (s Signers) verifyPGP(c rawCommit, now time.Time) (string, error) {
	if alone(c.signature, "-----END PGP SIGNATURE-----") != nil {
		return "", errBroken
	}
	block, err := armor.Decode(strings.NewReader(c.signature))
	if err != nil {
		return "", errBroken
	}
	body, err := io.ReadAll(io.LimitReader(block.Body, maxTree))
	if err != nil {
		return "", errBroken
	}
	sig, err := onlySignature(body)
	if err != nil {
		return "", err
	}
	if sig.CreationTime.After(now) && sig.CreationTime.Before(now.Add(skew)) {
		now = sig.CreationTime
	}
	config := &packet.Config{Time: func() time.Time { return now }}
	_, entity, err := openpgp.VerifyDetachedSignature(s.pgp, bytes.NewReader(c.payload), bytes.NewReader(body), config)
	name := fmt.Sprintf("OpenPGP key %016X", *sig.IssuerKeyId)
	switch {
	case err == nil:
		return name + ofWhom(entity), nil
	case errors.Is(err, pgperrors.ErrUnknownIssuer):
		return "", fmt.Errorf("%w: %s", errStranger, name)
	case errors.Is(err, pgperrors.ErrKeyRevoked):
		return "", fmt.Errorf("its signature is by %s, which was revoked", name)
	case errors.Is(err, pgperrors.ErrKeyExpired):
		return "", fmt.Errorf("its signature is by %s, which has expired", name)
	case errors.Is(err, pgperrors.ErrSignatureExpired):
		return "", errors.New("its signature has expired, or is of the future")
	}
	return "", errBroken
}

// onlySignature reads the one signature that a detached signature is to be: over bytes and not over text, whose line
// ends could be changed, and with a digest that nobody can forge.
func onlySignature(body []byte) (*packet.Signature, error) {
	packets := packet.NewReader(bytes.NewReader(body))
	first, err := packets.Next()
	if err != nil {
		return nil, errBroken
	}
	sig, ok := first.(*packet.Signature)
	if !ok || sig.IssuerKeyId == nil || sig.SigType != packet.SigTypeBinary || !slices.Contains(strong, sig.Hash) {
		return nil, errBroken
	}
	if _, err := packets.Next(); !errors.Is(err, io.EOF) {
		return nil, errBroken
	}
	return sig, nil
}

func ofWhom(e *openpgp.Entity) string {
	if e == nil {
		return ""
	}
	names := make([]string, 0, len(e.Identities))
	for name := range e.Identities {
		names = append(names, name)
	}
	if len(names) == 0 {
		return ""
	}
	return " of " + mirror.OneLine(slices.Min(names))
}

// matches says whether a list of patterns as in ssh_config(5) takes a text: * and ? stand for characters, ! turns a
// pattern into one that excludes.
func matches(list, text string) bool {
	found := false
	for pattern := range strings.SplitSeq(list, ",") {
		pattern, excludes := strings.CutPrefix(strings.TrimSpace(pattern), "!")
		// Only * and ? have a meaning there, while path.Match knows more.
		quoted := strings.NewReplacer(`\`, `\\`, `[`, `\[`).Replace(pattern)
		if ok, err := path.Match(quoted, text); err == nil && ok {
			if excludes {
				return false
			}
			found = true
		}
	}
	return found
}
