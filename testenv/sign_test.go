package testenv

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/poundlock/poundlock/internal/mirror"
)

// signedImage pushes an image to a fresh registry and gives where it lies.
func signedImage(t *testing.T) (name.Repository, mirror.Digest) {
	t.Helper()
	server, err := NewServer(registry.New(registry.WithReferrersSupport(true), registry.Logger(log.New(io.Discard, "", 0))))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	d, err := Push(t.Context(), server.Host(), "team/app", "1.0", Image("app"))
	if err != nil {
		t.Fatal(err)
	}
	repo, err := name.NewRepository(server.Host()+"/team/app", name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	return repo, d
}

// fetched reads the manifest at ref and the bytes of its layers.
func fetched(t *testing.T, ref name.Reference) (artifact, []string) {
	t.Helper()
	var m artifact
	var bodies []string
	err := withRepository(ref.Context().String(), func(repo name.Repository, opts ...remote.Option) error {
		got, err := remote.Get(ref, append(opts, remote.WithContext(t.Context()))...)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(got.Manifest, &m); err != nil {
			return err
		}
		for _, d := range m.Layers {
			layer, err := remote.Layer(repo.Digest(d.Digest.String()), append(opts, remote.WithContext(t.Context()))...)
			if err != nil {
				return err
			}
			r, err := layer.Compressed()
			if err != nil {
				return err
			}
			body, err := io.ReadAll(r)
			if err != nil {
				return err
			}
			bodies = append(bodies, string(body))
			if err := r.Close(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return m, bodies
}

func TestSigner_LegacySignaturesAreAddedUp(t *testing.T) {
	repo, d := signedImage(t)
	for _, kind := range []string{"p256", "p384", "rsa", "ed25519"} {
		s, err := NewSigner(kind)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.SignLegacy(t.Context(), repo.String(), d, Claiming("upstream.example/"+kind)); err != nil {
			t.Fatal(err)
		}
	}
	_, bodies := fetched(t, repo.Tag("sha256-"+d.Hex+".sig"))
	if len(bodies) != 4 {
		t.Fatalf("got %d signatures, want 4", len(bodies))
	}
	if !strings.Contains(bodies[3], `"upstream.example/ed25519"`) || !strings.Contains(bodies[3], d.String()) {
		t.Errorf("payload %s names neither image nor digest", bodies[3])
	}
}

func TestSigner_BundleIsAReferrer(t *testing.T) {
	repo, d := signedImage(t)
	s, err := NewSigner("p256")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SignBundle(t.Context(), repo.String(), d); err != nil {
		t.Fatal(err)
	}
	err = withRepository(repo.String(), func(repo name.Repository, opts ...remote.Option) error {
		index, err := remote.Referrers(repo.Digest(d.String()), append(opts, remote.WithContext(t.Context()))...)
		if err != nil {
			return err
		}
		list, err := index.IndexManifest()
		if err != nil {
			return err
		}
		if len(list.Manifests) != 1 {
			t.Fatalf("got %d referrers, want 1", len(list.Manifests))
		}
		m, bodies := fetched(t, repo.Digest(list.Manifests[0].Digest.String()))
		if m.ArtifactType != BundleType || m.Subject == nil || m.Subject.Digest != d || len(bodies) != 1 {
			t.Errorf("got %+v with %d layers; want a bundle about %s", m, len(bodies), d)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSigner_ShowsOnlyItsPublicKey(t *testing.T) {
	for _, kind := range []string{"p256", "p384", "rsa", "ed25519"} {
		s, err := NewSigner(kind)
		if err != nil {
			t.Fatal(err)
		}
		block, rest := pem.Decode([]byte(s.PublicPEM()))
		if block == nil || block.Type != "PUBLIC KEY" || len(rest) > 0 {
			t.Fatalf("%s: got %q", kind, s.PublicPEM())
		}
		if _, err := x509.ParsePKIXPublicKey(block.Bytes); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
	if _, err := NewSigner("dsa"); err == nil {
		t.Error("an unknown kind gave a key")
	}
}
