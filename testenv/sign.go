package testenv

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	cosigntypes "github.com/sigstore/cosign/v2/pkg/types"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/options"
	"github.com/sigstore/sigstore/pkg/signature/payload"

	"github.com/poundlock/poundlock/internal/mirror"
)

// The media types under which signatures lie in registries.
const (
	BundleType    = "application/vnd.dev.sigstore.bundle.v0.3+json"
	SignatureType = "application/vnd.dev.cosign.artifact.sig.v1+json"
	emptyType     = "application/vnd.oci.empty.v1+json"
	statementType = "application/vnd.in-toto+json"
)

// Signer signs as cosign does: with a key pair that lives as long as the process, as a person whom certificates of an
// Authority name, or with the leaf of a Chain.
type Signer struct {
	public    crypto.PublicKey // nil: a person
	signer    signature.Signer
	authority *Authority
	witnesses []Witness

	issuer, subject string // of a person
	chain           *Chain
}

// NewSigner makes a key pair. kind is p256, p384, rsa (2048 bits) or ed25519.
func NewSigner(kind string) (*Signer, error) {
	var key crypto.Signer
	var err error
	switch kind {
	case "p256":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "p384":
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "rsa":
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case "ed25519":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		err = errors.New("want p256, p384, rsa or ed25519")
	}
	if err != nil {
		return nil, fmt.Errorf("make key of kind %q: %w", kind, err)
	}
	signer, err := signature.LoadDefaultSignerVerifier(key, options.WithED25519ph())
	if err != nil {
		return nil, fmt.Errorf("make key of kind %q: %w", kind, err)
	}
	return &Signer{public: key.Public(), signer: signer}, nil
}

// PublicPEM gives the public key as desired/keys/ carries it.
func (s *Signer) PublicPEM() string {
	return string(must(cryptoutils.MarshalPublicKeyToPEM(s.public)))
}

// Twist makes a signature differ from an honest one, mostly for the worse.
type Twist func(*claim)

// claim is what is signed and how it is stored.
type claim struct {
	name        string // what the signature calls the image
	digest      mirror.Digest
	kind        string // type of a payload, predicate type of a statement
	referrer    bool   // a payload as referrer instead of under the legacy tag
	tampered    bool
	at          time.Time
	witnessed   time.Time         // what witnesses tell; zero: at
	witnesses   *[]Witness        // nil: those of the signer
	whole       bool              // timestamps are over the envelope, not over the signature in it
	annotations map[string]string // besides the signature: of the layer, or of a bundle's manifest
}

// Claiming signs under another image name, such as the upstream one that a test registry stands for.
func Claiming(image string) Twist { return func(c *claim) { c.name = image } }

// ForDigest signs another image and stores the signature beside this one.
func ForDigest(d mirror.Digest) Twist { return func(c *claim) { c.digest = d } }

// OfType signs another type of payload, or for a bundle another type of statement.
func OfType(kind string) Twist { return func(c *claim) { c.kind = kind } }

// AsReferrer stores a legacy payload as a referrer instead of under the tag.
func AsReferrer() Twist { return func(c *claim) { c.referrer = true } }

// Tampered changes what was signed after signing it.
func Tampered() Twist { return func(c *claim) { c.tampered = true } }

// At moves the moment of signing: that of a person's certificate and that which witnesses tell.
func At(t time.Time) Twist { return func(c *claim) { c.at = t } }

// WitnessedAt moves the moment that witnesses tell alone, such as to one at which the certificate is over.
func WitnessedAt(t time.Time) Twist { return func(c *claim) { c.witnessed = t } }

// WitnessedBy asks other witnesses than the signer does by itself; none at all is possible too.
func WitnessedBy(w ...Witness) Twist { return func(c *claim) { c.witnesses = &w } }

// Annotated adds an annotation that is not signed.
func Annotated(key, value string) Twist { return func(c *claim) { c.annotations[key] = value } }

// SignLegacy signs the image d that lies at ref (host[:port]/repository, on plain HTTP) with a
// simple-signing payload, and adds it to what lies under the tag sha256-<hex>.sig.
func (s *Signer) SignLegacy(ctx context.Context, ref string, d mirror.Digest, twists ...Twist) error {
	c := newClaim(ref, d, payload.CosignSignatureType, twists)
	body, err := json.Marshal(payload.SimpleContainerImage{Critical: payload.Critical{
		Identity: payload.Identity{DockerReference: c.name},
		Image:    payload.Image{DockerManifestDigest: c.digest.String()},
		Type:     c.kind,
	}})
	if err != nil {
		return err
	}
	out, err := s.seal(c, body, nil)
	if err == nil {
		err = out.annotate(c)
	}
	if err != nil {
		return fmt.Errorf("sign %s@%s: %w", ref, d, err)
	}
	if c.tampered {
		body = append(body, ' ')
	}
	c.annotations["dev.cosignproject.cosign/signature"] = base64.StdEncoding.EncodeToString(out.signature)
	layer := artifactLayer{cosigntypes.SimpleSigningMediaType, body, c.annotations}
	if c.referrer {
		return PutReferrer(ctx, ref, d, SignatureType, nil, layer.mediaType, layer.body, layer.annotations)
	}
	return counterSign(ctx, ref, strings.ReplaceAll(d.String(), ":", "-")+".sig", layer)
}

// SignBundle signs the image d that lies at ref with a sigstore bundle and stores it as a referrer. Like
// cosign, it names no repository unless a Claiming twist asks for it.
func (s *Signer) SignBundle(ctx context.Context, ref string, d mirror.Digest, twists ...Twist) error {
	c := newClaim("", d, cosigntypes.CosignSignPredicateType, twists)
	return s.putBundle(ctx, ref, d, c, map[string]any{})
}

func newClaim(image string, d mirror.Digest, kind string, twists []Twist) claim {
	c := claim{name: image, digest: d, kind: kind, at: SignedAt, annotations: map[string]string{}}
	for _, twist := range twists {
		twist(&c)
	}
	return c
}

// PutReferrer stores an artifact of one layer that refers to the image d at ref. It takes any bytes, also
// such as no signer would write.
func PutReferrer(ctx context.Context, ref string, d mirror.Digest, artifactType string, annotations map[string]string, layerType string, layer []byte, layerAnnotations map[string]string) error {
	return withRepository(ref, func(repo name.Repository, opts ...remote.Option) error {
		subject, err := remote.Head(repo.Digest(d.String()), append(opts, remote.WithContext(ctx))...)
		if err != nil {
			return err
		}
		m := artifact{ArtifactType: artifactType, Annotations: annotations,
			Subject: &v1.Descriptor{MediaType: subject.MediaType, Digest: subject.Digest, Size: subject.Size}}
		return m.put(ctx, repo, "", []artifactLayer{{layerType, layer, layerAnnotations}}, opts...)
	})
}

// counterSign adds a layer to the manifest at a tag, or makes the manifest.
func counterSign(ctx context.Context, ref, tag string, layer artifactLayer) error {
	return withRepository(ref, func(repo name.Repository, opts ...remote.Option) error {
		var m artifact
		got, err := remote.Get(repo.Tag(tag), append(opts, remote.WithContext(ctx))...)
		var answer *transport.Error
		switch {
		case errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound:
		case err != nil:
			return err
		default:
			if err := json.Unmarshal(got.Manifest, &m); err != nil {
				return err
			}
		}
		return m.put(ctx, repo, tag, []artifactLayer{layer}, opts...)
	})
}

// withRepository runs f with a transport of its own, which is closed afterwards so that no idle connection
// is left for a leak detector to find.
func withRepository(ref string, f func(name.Repository, ...remote.Option) error) error {
	repo, err := name.NewRepository(ref, name.Insecure)
	if err == nil {
		own := http.DefaultTransport.(*http.Transport).Clone()
		defer own.CloseIdleConnections()
		err = f(repo, remote.WithTransport(own))
	}
	if err != nil {
		return fmt.Errorf("write beside %s: %w", ref, err)
	}
	return nil
}

type artifactLayer struct {
	mediaType   string
	body        []byte
	annotations map[string]string
}

// artifact is an OCI manifest of any type, which go-containerregistry has no word for.
type artifact struct {
	SchemaVersion int               `json:"schemaVersion"`
	Type          types.MediaType   `json:"mediaType"`
	ArtifactType  string            `json:"artifactType,omitempty"`
	Config        v1.Descriptor     `json:"config"`
	Layers        []v1.Descriptor   `json:"layers"`
	Subject       *v1.Descriptor    `json:"subject,omitempty"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

// RawManifest and MediaType let remote.Put write an artifact.
func (a artifact) RawManifest() ([]byte, error)        { return json.Marshal(a) }
func (a artifact) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }

// put uploads layers and config, then the manifest: under the tag, or by digest where that is empty.
func (a artifact) put(ctx context.Context, repo name.Repository, tag string, layers []artifactLayer, opts ...remote.Option) error {
	opts = append(opts, remote.WithContext(ctx))
	configType := types.MediaType(emptyType)
	if a.ArtifactType == "" {
		configType = types.OCIConfigJSON
	}
	config, err := putBlob(repo, configType, []byte("{}"), opts)
	if err != nil {
		return err
	}
	a.SchemaVersion, a.Type, a.Config = 2, types.OCIManifestSchema1, config
	for _, l := range layers {
		d, err := putBlob(repo, types.MediaType(l.mediaType), l.body, opts)
		if err != nil {
			return err
		}
		d.Annotations = l.annotations
		a.Layers = append(a.Layers, d)
	}
	body, err := a.RawManifest()
	if err != nil {
		return err
	}
	var to name.Reference = repo.Digest(mirror.DigestOf(body).String())
	if tag != "" {
		to = repo.Tag(tag)
	}
	return remote.Put(to, a, opts...)
}

func putBlob(repo name.Repository, mediaType types.MediaType, body []byte, opts []remote.Option) (v1.Descriptor, error) {
	err := remote.WriteLayer(repo, static.NewLayer(body, mediaType), opts...)
	return v1.Descriptor{MediaType: mediaType, Digest: mirror.DigestOf(body), Size: int64(len(body))}, err
}
