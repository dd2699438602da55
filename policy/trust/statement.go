package trust

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/sigstore/cosign/v2/pkg/types"
	"github.com/sigstore/sigstore-go/pkg/bundle"

	"github.com/poundlock/poundlock/internal/mirror"
)

// statement is an in-toto statement, see https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md. Only
// the bytes that a signature was verified over are read as one, the predicate as it is written: to build it as a tree
// costs ten times its size.
type statement struct {
	Version   string          `json:"_type"`
	Type      string          `json:"predicateType"`
	Subject   []subject       `json:"subject"`
	Predicate json.RawMessage `json:"predicate"`

	signs bool // it is an image signature, as cosign writes them into bundles
}

type subject struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"`
}

// The versions of statements that there are; cosign 2 writes the first.
const (
	statementV01 = "https://in-toto.io/Statement/v0.1"
	statementV1  = "https://in-toto.io/Statement/v1"
)

var errNoStatement = errors.New("the bundle holds no statement")

// bundled gives the statement inside a verified bundle. A signature over bare bytes states nothing of an image.
func bundled(b *bundle.Bundle) (statement, error) {
	content, err := b.SignatureContent()
	if err != nil {
		return statement{}, err
	}
	envelope := content.EnvelopeContent()
	if envelope == nil || envelope.RawEnvelope() == nil {
		return statement{}, errNoStatement
	}
	s, err := opened(envelope.RawEnvelope())
	s.signs = s.Type == types.CosignSignPredicateType
	return s, err
}

// enveloped gives the statement inside a verified DSSE envelope.
func enveloped(body []byte) (statement, error) {
	var e dsse.Envelope
	if err := json.Unmarshal(body, &e); err != nil {
		return statement{}, err
	}
	return opened(&e)
}

func opened(e *dsse.Envelope) (statement, error) {
	if e.PayloadType != types.IntotoPayloadType {
		return statement{}, fmt.Errorf("a payload of type %q is no statement", e.PayloadType)
	}
	payload, err := e.DecodeB64Payload() // the same decoding that the signature was verified over
	if err != nil {
		return statement{}, err
	}
	var s statement
	if err := json.Unmarshal(payload, &s); err != nil {
		return statement{}, fmt.Errorf("statement: %w", err)
	}
	if s.Version != statementV01 && s.Version != statementV1 {
		return statement{}, fmt.Errorf("a statement of version %q is not known", s.Version)
	}
	if s.Type == "" {
		return statement{}, errors.New("the statement has no predicate type") // no type would read as an image signature
	}
	return s, nil
}

// take fills the proof with what a statement says of the digest d. Any statement but cosign's own, such as a scan
// report by the same signer, is an attestation and no signature, whatever the unsigned annotations of its manifest say.
func (p *Proof) take(s statement, d mirror.Digest) error {
	about := false
	p.Names = nil
	for _, sub := range s.Subject {
		if sub.Digest[d.Algorithm] != d.Hex {
			continue
		}
		about = true
		if sub.Name != "" {
			p.Names = append(p.Names, sub.Name)
		}
	}
	if !about {
		return errors.New("the statement is about something else")
	}
	if !s.signs {
		p.Type, p.Predicate = s.Type, s.Predicate
	}
	return nil
}
