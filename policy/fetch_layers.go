package policy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy/trust"
)

// layers gives the layers of the wanted media type as items like it.
func (s *search) layers(m mirror.Descriptor, parts mirror.Parts, mediaType string, it item) bool {
	for _, layer := range parts.Layers {
		if !strings.HasPrefix(string(layer.MediaType), mediaType) {
			continue
		}
		if s.found++; s.found > s.limits.Signatures {
			s.yield(item{about: aboutSignatures | aboutAttestations}, fault{fmt.Errorf("too many signatures, the limit is %d", s.limits.Signatures)})
			return false
		}
		it := it
		it.manifest = m
		body, err := s.blob(layer, s.limit(mediaType, it))
		if err != nil {
			if !s.fail("signature "+mirror.Short(layer.Digest), it.about, err) {
				return false
			}
			continue
		}
		it.Item = trust.Item{Body: body, Signature: layer.Annotations[sigAnnotation], Annotations: layer.Annotations}
		switch mediaType {
		case bundleType:
			it.Form = trust.Bundle
		case envelopeType:
			it.Form = trust.Envelope
		}
		if it.Form == trust.Bundle && !s.classify(&it) {
			continue
		}
		if !s.yield(it, nil) {
			return false
		}
	}
	return true
}

// classify finds out whom a bundle is of interest to, before anything in it is verified: only to say what is wrong
// with it. false says that nobody asks for what it is.
func (s *search) classify(it *item) bool {
	kind := it.offered
	if kind == "" {
		kind = predicateOf(it.Body)
	}
	if !s.wanted(kind) {
		return false
	}
	switch kind {
	case "":
	case signPredicate:
		it.about = aboutSignatures
	default:
		it.about = aboutAttestations
	}
	return true
}

// predicateOf gives the predicate type of the statement in a bundle, unverified; "" where there is none.
func predicateOf(bundle []byte) string {
	var outer struct {
		Envelope struct {
			Payload []byte `json:"payload"`
		} `json:"dsseEnvelope"`
	}
	var statement struct {
		PredicateType string `json:"predicateType"`
	}
	if json.Unmarshal(bundle, &outer) != nil || json.Unmarshal(outer.Envelope.Payload, &statement) != nil {
		return ""
	}
	return statement.PredicateType
}

// limit gives how many bytes of a layer are read.
func (s *search) limit(mediaType string, it item) int64 {
	switch {
	case mediaType == payloadType:
		return s.limits.Payload
	case mediaType == bundleType && (it.offered == signPredicate || len(s.types) == 0):
		return s.limits.Bundle
	}
	return s.limits.Attestation
}

// blob reads a small blob as it is stored; nothing here is ever inflated.
func (s *search) blob(d mirror.Descriptor, limit int64) ([]byte, error) {
	return s.blobIn(s.spot.repository, d, limit)
}

func (s *search) blobIn(repository mirror.Reference, d mirror.Descriptor, limit int64) ([]byte, error) {
	if d.Size > limit {
		return nil, fault{fmt.Errorf("%d bytes where at most %d are read: %w", d.Size, limit, mirror.ErrTooLarge)}
	}
	if body, ok := s.bodies[d.Digest]; ok {
		return body, nil
	}
	r, err := s.content.Blob(s.ctx, repository, d.Digest, 0)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var b bytes.Buffer
	b.Grow(int(d.Size) + bytes.MinRead) // at once: to grow step by step costs a large one several times its size
	if _, err := b.ReadFrom(io.LimitReader(r, limit+1)); err != nil {
		return nil, err
	}
	body := b.Bytes()
	if int64(len(body)) > limit {
		return nil, fault{mirror.ErrTooLarge}
	}
	if mirror.DigestOf(body) != d.Digest {
		return nil, fault{mirror.ErrDigestMismatch}
	}
	if limit <= s.limits.Payload { // larger ones would add up, and are signed one by one
		s.bodies[d.Digest] = body
	}
	return body, nil
}
