package attest

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/sigstore/cosign/v2/pkg/cosign/bundle"
	cosigntypes "github.com/sigstore/cosign/v2/pkg/types"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/dsse"
	"github.com/sigstore/sigstore/pkg/signature/payload"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Statement is something that this site signed of one digest, ready to be attached to it.
type Statement struct {
	mark    Mark
	kind    string    // predicate type
	at      time.Time // when it was made; zero: its manifest does not say
	by      string
	bundle  []byte
	payload []byte // of a plain signature, for the legacy form
	sig     []byte // of the payload
}

// Mark tells statements of this site on one digest apart. It stands in an annotation of the manifest, where nobody
// signs it: a mark may lead to a statement, and what the statement itself says decides.
type Mark string

// Mark gives what tells the statement from the others on its digest.
func (s Statement) Mark() Mark { return s.mark }

// Kind is the first word of a mark: verdict, promotion or signature.
func (m Mark) Kind() string {
	kind, _, _ := strings.Cut(string(m), " ")
	return kind
}

// statement is an in-toto statement. Source: github.com/in-toto/attestation/blob/main/spec/v1/statement.md.
type statement struct {
	Type          string    `json:"_type"`
	Subject       []subject `json:"subject"`
	PredicateType string    `json:"predicateType"`
	Predicate     any       `json:"predicate"`
}

type subject struct {
	Name   string            `json:"name,omitempty"`
	Digest map[string]string `json:"digest"`
}

// state signs a predicate about the digest d as a sigstore bundle with a DSSE envelope.
func (k *Key) state(mark Mark, kind string, d mirror.Digest, at time.Time, predicate any) (Statement, error) {
	body, err := json.Marshal(statement{Type: "https://in-toto.io/Statement/v1", PredicateType: kind, Predicate: predicate,
		Subject: []subject{{Digest: map[string]string{d.Algorithm: d.Hex}}}})
	if err != nil {
		return Statement{}, fmt.Errorf("%s of %s: %w", mark, d, err)
	}
	envelope, err := dsse.WrapSigner(messages{k}, cosigntypes.IntotoPayloadType).SignMessage(bytes.NewReader(body))
	if err != nil {
		return Statement{}, fmt.Errorf("sign %s of %s: %w", mark, d, err)
	}
	made, err := bundle.MakeNewBundle(k.public, nil, body, envelope, k.pem, nil)
	var compact bytes.Buffer
	if err == nil {
		err = json.Compact(&compact, made) // its white space differs from one build of the library to the next
	}
	if err != nil {
		return Statement{}, fmt.Errorf("bundle of %s of %s: %w", mark, d, err)
	}
	return Statement{mark: mark, kind: kind, at: at, by: k.Identity(), bundle: compact.Bytes()}, nil
}

// SignatureMark is the mark of the plain signature, of which a digest has one.
const SignatureMark Mark = "signature"

// Signature signs the digest d of the image that is called name (host/repository) here, in both forms that cosign
// verifies: a simple-signing payload and a bundle. The same image has the same signature whenever it is made.
func (k *Key) Signature(name string, d mirror.Digest) (Statement, error) {
	s, err := k.state(SignatureMark, cosigntypes.CosignSignPredicateType, d, time.Time{}, struct{}{})
	if err != nil {
		return s, err
	}
	s.payload, err = json.Marshal(payload.SimpleContainerImage{Critical: payload.Critical{
		Identity: payload.Identity{DockerReference: name},
		Image:    payload.Image{DockerManifestDigest: d.String()},
		Type:     payload.CosignSignatureType,
	}})
	if err == nil {
		s.sig, err = k.sign(s.payload)
	}
	if err != nil {
		return s, fmt.Errorf("sign %s@%s: %w", name, d, err)
	}
	return s, nil
}

// encoded gives the signature of the payload as annotations carry it.
func (s Statement) encoded() string { return base64.StdEncoding.EncodeToString(s.sig) }

// messages lends the key to the library that makes envelopes.
type messages struct{ key *Key }

func (m messages) PublicKey(...signature.PublicKeyOption) (crypto.PublicKey, error) {
	return m.key.public, nil
}

func (m messages) SignMessage(message io.Reader, _ ...signature.SignOption) ([]byte, error) {
	body, err := io.ReadAll(message)
	if err != nil {
		return nil, err
	}
	return m.key.sign(body)
}
