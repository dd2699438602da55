package trust

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Signed is the content that a detached OpenPGP signature is over: the zip of a package.
type Signed struct {
	Digest mirror.Digest
	Open   func(context.Context) (io.ReadCloser, error) // the bytes from their beginning
	Made   Made                                         // nil: the bytes are read each time
}

// Made remembers what was once computed from all bytes of a package: that a key made a signature over them, and of which
// folder they are. None of it ever changes. It is for many goroutines at once, and nobody else may write to it.
type Made interface {
	Made(key string) (folder string, ok bool)
	RememberMade(key, folder string)
}

// OfPackage says whether the proof is over the bytes of a package. Its name is then the folder at the top of the zip,
// which is the package's name-version.
func (p Proof) OfPackage() bool { return strings.HasPrefix(p.Identity, pgpIdentity) }

// TakesPackages says whether the signer signs the bytes of packages, with OpenPGP, and nothing else.
func (s Signer) TakesPackages() bool { _, is := s.accept.(byPGP); return is }

const pgpSignature = "PGP SIGNATURE"

// readDetached reads the one signature in the form that Kibana and gpg read. Headers of the armor are passed over: nobody
// signs them.
func readDetached(body []byte) (*packet.Signature, error) {
	text := bytes.TrimSpace(body)
	switch {
	case len(text) == 0:
		return nil, errors.New("the signature is empty")
	case text[0]&0x80 != 0:
		return nil, errors.New("the signature is binary; Kibana reads only an armored one")
	case !bytes.HasPrefix(text, []byte("-----BEGIN "+pgpSignature+"-----")) || bytes.Count(text, []byte("-----BEGIN ")) != 1 ||
		!bytes.HasSuffix(text, []byte("-----END "+pgpSignature+"-----")):
		return nil, errors.New("it is no armored OpenPGP signature")
	}
	block, err := armor.Decode(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("the armor is malformed: %w", err)
	}
	packets := packet.NewReader(block.Body)
	first, err := packets.Next()
	if err != nil {
		return nil, fmt.Errorf("the signature is malformed: %w", err)
	}
	sig, is := first.(*packet.Signature)
	if !is {
		return nil, errors.New("it is an OpenPGP message, but no detached signature")
	}
	if _, err := packets.Next(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one OpenPGP packet where one signature is wanted")
	}
	return sig, checkDetached(sig)
}

// checkDetached refuses what proves nothing whoever made it.
func checkDetached(sig *packet.Signature) error {
	switch sig.Hash {
	case crypto.SHA256, crypto.SHA384, crypto.SHA512, crypto.SHA3_256, crypto.SHA3_512:
	default:
		return fmt.Errorf("the signature is over a hash that is too weak (%s): want SHA-256 or more", sig.Hash)
	}
	switch {
	case sig.SigType != packet.SigTypeBinary:
		return fmt.Errorf("the signature is of type 0x%02x: want one over binary data, 0x00", int(sig.SigType))
	case sig.Version == 5:
		return errors.New("the signature is of version 5, which is no standard")
	case sig.IssuerKeyId == nil && len(sig.IssuerFingerprint) == 0:
		return errors.New("the signature does not say by which key it is")
	}
	for _, n := range sig.Notations {
		if n.IsCritical {
			return fmt.Errorf("the signature has a critical notation %q, which says nothing to us", mirror.OneLine(n.Name))
		}
	}
	return nil
}

// accept verifies a detached signature with the key, or with a subkey of it.
func (k byPGP) accept(ctx context.Context, c *Candidate, _ mirror.Digest, at time.Time) (Proof, error) {
	sig := c.detached
	if sig == nil {
		return Proof{}, stranger{errors.New("it is no OpenPGP signature")}
	}
	p, ours := k.part(sig)
	if !ours {
		return Proof{}, stranger{fmt.Errorf("it is by the key %s, not by %s", issuer(sig), fingerprint(k.entity.PrimaryKey))}
	}
	until, err := k.usable(p, at)
	if err != nil {
		return Proof{}, err
	}
	switch made := sig.CreationTime; {
	case made.Before(p.key.CreationTime):
		return Proof{}, fmt.Errorf("the signature says to be of %s, when there was no key %s", made.UTC().Format(time.RFC3339), fingerprint(p.key))
	case made.After(at):
		return Proof{}, fmt.Errorf("the signature says to be of %s, which is still to come", made.UTC().Format(time.RFC3339))
	case sig.SigExpired(at):
		return Proof{}, errors.New("the signature is past the end that it has itself")
	}
	if sig.SigLifetimeSecs != nil && *sig.SigLifetimeSecs > 0 {
		if end := sig.CreationTime.Add(time.Duration(*sig.SigLifetimeSecs) * time.Second).UTC(); until.IsZero() || end.Before(until) {
			until = end
		}
	}
	folder, err := c.made(ctx, p.key)
	if err != nil {
		return Proof{}, err
	}
	return Proof{Identity: k.identity, Names: []string{folder}, Key: pgpKeyDigest(p.key), Until: until}, nil
}

// issuer names the key that a signature says to be by.
func issuer(sig *packet.Signature) string {
	if len(sig.IssuerFingerprint) > 0 {
		return strings.ToUpper(hex.EncodeToString(sig.IssuerFingerprint))
	}
	return fmt.Sprintf("%016X", *sig.IssuerKeyId)
}

// made verifies that a key made the signature over the bytes, which are read only where that is not known yet, and gives
// the folder that they are of.
func (c *Candidate) made(ctx context.Context, key *packet.PublicKey) (folder string, err error) {
	over := c.item.Over
	known := mirror.DigestOf([]byte("pgp " + over.Digest.String() + " " + mirror.DigestOf(c.item.Body).String() + " " + fingerprint(key))).String()
	if over.Made != nil {
		if folder, ok := over.Made.Made(known); ok {
			return folder, nil
		}
	}
	h, err := c.detached.PrepareVerify()
	if err != nil {
		return "", err
	}
	bytesOf, err := over.Open(ctx)
	if err != nil {
		return "", unread{err}
	}
	defer bytesOf.Close()
	own := sha256.New()
	var head header
	if _, err := io.Copy(io.MultiWriter(h, own, &head), &reading{ctx, bytesOf}); err != nil {
		return "", unread{err}
	}
	if hex.EncodeToString(own.Sum(nil)) != over.Digest.Hex {
		return "", fmt.Errorf("the zip: %w", mirror.ErrDigestMismatch)
	}
	if err := key.VerifySignature(h, c.detached); err != nil {
		return "", fmt.Errorf("the key %s did not sign these bytes: the signature is of other content, or was changed", fingerprint(key))
	}
	if folder, err = head.folder(); err != nil {
		return "", err
	}
	if over.Made != nil {
		over.Made.RememberMade(known, folder)
	}
	return folder, nil
}

// ErrUnread is in the chain of an error that says nothing of a signature: the bytes that it is over could not be read now.
var ErrUnread = errors.New("the signed bytes could not be read")

type unread struct{ error }

func (u unread) Unwrap() []error { return []error{u.error, ErrUnread} }

// reading reads as long as its context goes on.
type reading struct {
	ctx context.Context
	r   io.Reader
}

func (r *reading) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(p)
}

// header keeps the beginning of a zip: the name of its first entry. Source: PKWARE APPNOTE.TXT 4.3.7.
type header struct{ kept []byte }

const (
	headerSize = 30
	headerName = 1024 // bytes of a name that are kept; a package's are shorter
)

// Write keeps the first bytes.
func (h *header) Write(p []byte) (int, error) {
	if room := headerSize + headerName - len(h.kept); room > 0 {
		h.kept = append(h.kept, p[:min(room, len(p))]...)
	}
	return len(p), nil
}

// folder gives the first folder of the zip. A package has exactly one, called name-version: so the signed bytes say
// themselves which package they are.
func (h *header) folder() (string, error) {
	if len(h.kept) < headerSize || !bytes.HasPrefix(h.kept, []byte("PK\x03\x04")) {
		return "", errors.New("what is signed is no zip")
	}
	size := int(binary.LittleEndian.Uint16(h.kept[26:28]))
	name := string(h.kept[headerSize:min(headerSize+size, len(h.kept))])
	folder, _, ok := strings.Cut(name, "/")
	if !ok || folder == "" || folder != mirror.OneLine(folder) {
		return "", errors.New("what is signed is no package: its first file lies in no folder")
	}
	return folder, nil
}
