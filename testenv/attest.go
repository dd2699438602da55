package testenv

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/sigstore/cosign/v2/pkg/oci/static"
	cosigntypes "github.com/sigstore/cosign/v2/pkg/types"

	"github.com/poundlock/poundlock/internal/mirror"
)

// The annotations of a bundle's manifest that tell what is in it. Nothing signs them.
const (
	bundleContentAnnotation   = "dev.sigstore.bundle.content"
	bundlePredicateAnnotation = "dev.sigstore.bundle.predicateType"
)

// AttestBundle states something of the image d that lies at ref, as a sigstore bundle that is a referrer. predicate is
// anything that encodes to a JSON object.
func (s *Signer) AttestBundle(ctx context.Context, ref string, d mirror.Digest, predicateType string, predicate any, twists ...Twist) error {
	return s.putBundle(ctx, ref, d, newClaim(ref, d, predicateType, twists), predicate)
}

// AttestLegacy states something of the image d that lies at ref, as a DSSE envelope that is added to what lies under
// the tag sha256-<hex>.att.
func (s *Signer) AttestLegacy(ctx context.Context, ref string, d mirror.Digest, predicateType string, predicate any, twists ...Twist) error {
	c := newClaim(ref, d, predicateType, twists)
	c.whole = true // so cosign does and wants it under the tag, where the signature has no place of its own
	statement, out, err := s.state(c, predicate)
	if err == nil {
		err = out.annotate(c)
	}
	if err != nil {
		return fmt.Errorf("attest %s@%s: %w", ref, d, err)
	}
	if c.tampered {
		statement = append(statement, ' ')
	}
	annotations := map[string]string{static.SignatureAnnotationKey: "", "predicateType": c.kind}
	maps.Copy(annotations, c.annotations)
	layer := artifactLayer{cosigntypes.DssePayloadType, envelope(statement)(out.signature), annotations}
	return counterSign(ctx, ref, strings.ReplaceAll(d.String(), ":", "-")+".att", layer)
}

// putBundle signs a statement and stores its bundle. The annotations that cosign version 3 writes go with it.
func (s *Signer) putBundle(ctx context.Context, ref string, d mirror.Digest, c claim, predicate any) error {
	statement, out, err := s.state(c, predicate)
	if err != nil {
		return fmt.Errorf("sign %s@%s: %w", ref, d, err)
	}
	if c.tampered {
		statement = append(statement, ' ')
	}
	body, err := out.bundle(statement, s.keyHint())
	if err != nil {
		return fmt.Errorf("sign %s@%s: %w", ref, d, err)
	}
	annotations := map[string]string{bundleContentAnnotation: "dsse-envelope", bundlePredicateAnnotation: c.kind}
	maps.Copy(annotations, c.annotations)
	return PutReferrer(ctx, ref, d, BundleType, annotations, BundleType, body, nil)
}

// state makes an in-toto statement and signs it.
func (s *Signer) state(c claim, predicate any) (statement []byte, out sealed, err error) {
	type subject struct {
		Name   string            `json:"name,omitempty"`
		Digest map[string]string `json:"digest"`
	}
	statement, err = json.Marshal(map[string]any{
		"_type": "https://in-toto.io/Statement/v1", "predicateType": c.kind, "predicate": predicate,
		"subject": []subject{{c.name, map[string]string{c.digest.Algorithm: c.digest.Hex}}},
	})
	if err != nil {
		return nil, sealed{}, err
	}
	out, err = s.seal(c, preAuthentication(statement), envelope(statement))
	return statement, out, err
}

// envelope wraps a statement and its signature as DSSE JSON.
func envelope(statement []byte) func(sig []byte) []byte {
	return func(sig []byte) []byte {
		return must(json.Marshal(map[string]any{"payload": statement, "payloadType": statementType,
			"signatures": []any{map[string]string{"sig": base64.StdEncoding.EncodeToString(sig)}}}))
	}
}

// EachManifest calls f with the index d at ref and then with each of its children, as cosign does for a recursive
// signature. An image that is no index has none.
func EachManifest(ctx context.Context, ref string, d mirror.Digest, f func(mirror.Digest) error) error {
	digests := []mirror.Digest{d}
	err := withRepository(ref, func(repo name.Repository, opts ...remote.Option) error {
		got, err := remote.Get(repo.Digest(d.String()), append(opts, remote.WithContext(ctx))...)
		if err != nil || !got.MediaType.IsIndex() {
			return err
		}
		var index v1.IndexManifest
		if err := json.Unmarshal(got.Manifest, &index); err != nil {
			return err
		}
		for _, child := range index.Manifests {
			digests = append(digests, child.Digest)
		}
		return nil
	})
	for _, one := range digests {
		if err != nil {
			return err
		}
		err = f(one)
	}
	return err
}
