package testenv

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/cyberphone/json-canonicalization/go/src/webpki.org/jsoncanonicalizer"
	"github.com/digitorus/timestamp"
	common "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	rekorv1 "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	tiles "github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"
	rekornote "github.com/sigstore/rekor-tiles/v2/pkg/note"
	"github.com/sigstore/rekor/pkg/pki"
	"github.com/sigstore/rekor/pkg/types"
	"github.com/sigstore/rekor/pkg/types/dsse"
	_ "github.com/sigstore/rekor/pkg/types/dsse/v0.0.1" // registers the version
	"github.com/sigstore/rekor/pkg/types/hashedrekord"
	_ "github.com/sigstore/rekor/pkg/types/hashedrekord/v0.0.1" // registers the version
	"github.com/sigstore/rekor/pkg/util"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	"github.com/sigstore/sigstore/pkg/signature"
	formats "github.com/transparency-dev/formats/log"
	"golang.org/x/mod/sumdb/note"
	"google.golang.org/protobuf/encoding/protojson"
)

// Witness is who vouches for the moment of a signature.
type Witness int

// The witnesses.
const (
	RekorV1 Witness = iota + 1 // an entry of the log, with its own time
	RekorV2                    // an entry of the log, which says no time, with a timestamp
	Stamp                      // a timestamp alone
)

// entryV1 is the log entry of a Rekor of version 1: hashedrekord where message was signed as it is, dsse where the
// envelope is given that holds it. verifier is a certificate or a public key in PEM form.
func (a *Authority) entryV1(message, envelope, verifier, sig []byte, at time.Time) (*rekorv1.TransparencyLogEntry, error) {
	ctx := context.Background() // nothing is asked
	kind, version := hashedrekord.KIND, hashedrekord.New().DefaultVersion()
	properties := types.ArtifactProperties{PublicKeyBytes: [][]byte{verifier}, PKIFormat: string(pki.X509), SignatureBytes: sig}
	if envelope != nil {
		kind, version = dsse.KIND, dsse.New().DefaultVersion()
		properties.ArtifactBytes = envelope
	} else {
		sum := sha256.Sum256(message)
		properties.ArtifactHash = hex.EncodeToString(sum[:])
	}
	proposed, err := types.NewProposedEntry(ctx, kind, version, properties)
	if err != nil {
		return nil, err
	}
	entry, err := types.CreateVersionedEntry(proposed)
	if err != nil {
		return nil, err
	}
	body, err := types.CanonicalizeEntry(ctx, entry)
	if err != nil {
		return nil, err
	}
	id := keyID(a.logV1.Public())
	payload, err := json.Marshal(tlog.RekorPayload{Body: base64.StdEncoding.EncodeToString(body), IntegratedTime: at.Unix(), LogID: hex.EncodeToString(id)})
	if err != nil {
		return nil, err
	}
	if payload, err = jsoncanonicalizer.Transform(payload); err != nil {
		return nil, err
	}
	signer, err := signature.LoadSigner(a.logV1, crypto.SHA256)
	if err != nil {
		return nil, err
	}
	promise, err := signer.SignMessage(bytes.NewReader(payload))
	if err != nil {
		return nil, err
	}
	head := leafHash(body)
	checkpoint, err := util.CreateAndSignCheckpoint(ctx, logV1Host, 1, 1, head, signer)
	if err != nil {
		return nil, err
	}
	return &rekorv1.TransparencyLogEntry{LogId: &common.LogId{KeyId: id}, KindVersion: &rekorv1.KindVersion{Kind: kind, Version: version},
		IntegratedTime: at.Unix(), InclusionPromise: &rekorv1.InclusionPromise{SignedEntryTimestamp: promise},
		InclusionProof: onlyLeaf(head, checkpoint), CanonicalizedBody: body}, nil
}

// entryV2 is the log entry of a Rekor of version 2, whose only kind is the hash of what was signed.
func (a *Authority) entryV2(message, sig []byte, cert *x509.Certificate, public crypto.PublicKey) (*rekorv1.TransparencyLogEntry, error) {
	sum := sha256.Sum256(message)
	verifier := &tiles.Verifier{KeyDetails: common.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256}
	if cert != nil {
		verifier.Verifier = &tiles.Verifier_X509Certificate{X509Certificate: &common.X509Certificate{RawBytes: cert.Raw}}
	} else {
		der, err := x509.MarshalPKIXPublicKey(public)
		if err != nil {
			return nil, err
		}
		verifier.Verifier = &tiles.Verifier_PublicKey{PublicKey: &tiles.PublicKey{RawBytes: der}}
	}
	body, err := protojson.Marshal(&tiles.Entry{ApiVersion: "0.0.2", Kind: "hashedrekord", Spec: &tiles.Spec{Spec: &tiles.Spec_HashedRekordV002{
		HashedRekordV002: &tiles.HashedRekordLogEntryV002{Data: &common.HashOutput{Algorithm: common.HashAlgorithm_SHA2_256, Digest: sum[:]},
			Signature: &tiles.Signature{Content: sig, Verifier: verifier}}}}})
	if err != nil {
		return nil, err
	}
	if body, err = jsoncanonicalizer.Transform(body); err != nil {
		return nil, err
	}
	signer, err := signature.LoadSigner(a.logV2, crypto.Hash(0))
	if err != nil {
		return nil, err
	}
	noteSigner, err := rekornote.NewNoteSigner(context.Background(), logV2Host, signer)
	if err != nil {
		return nil, err
	}
	head := leafHash(body)
	text := formats.Checkpoint{Origin: logV2Host, Size: 1, Hash: head}.Marshal()
	checkpoint, err := note.Sign(&note.Note{Text: string(text)}, noteSigner)
	if err != nil {
		return nil, err
	}
	return &rekorv1.TransparencyLogEntry{LogId: &common.LogId{KeyId: a.logV2ID}, KindVersion: &rekorv1.KindVersion{Kind: "hashedrekord", Version: "0.0.2"},
		InclusionProof: onlyLeaf(head, checkpoint), CanonicalizedBody: body}, nil
}

// leafHash is the head of a tree of one leaf (RFC 6962, section 2.1).
func leafHash(body []byte) []byte {
	sum := sha256.Sum256(append([]byte{0}, body...))
	return sum[:]
}

func onlyLeaf(head, checkpoint []byte) *rekorv1.InclusionProof {
	return &rekorv1.InclusionProof{TreeSize: 1, RootHash: head, Checkpoint: &rekorv1.Checkpoint{Envelope: string(checkpoint)}}
}

// stamp is the answer of an RFC 3161 timestamp authority over a signature.
func (a *Authority) stamp(sig []byte, at time.Time) ([]byte, error) {
	sum := sha256.Sum256(sig)
	t := timestamp.Timestamp{HashAlgorithm: crypto.SHA256, HashedMessage: sum[:], Time: at, Policy: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 2}}
	return t.CreateResponseWithOpts(a.stamper.cert, a.stamper.key, crypto.SHA256)
}
