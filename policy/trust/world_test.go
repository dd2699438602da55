package trust_test

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy/trust"
	"github.com/poundlock/poundlock/testenv"
)

// beside is an image in a registry, with what is signed and stated of it.
type beside struct {
	repo   string
	digest mirror.Digest
}

func newImage(t *testing.T) beside {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.WithReferrersSupport(true), registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	t.Cleanup(http.DefaultTransport.(*http.Transport).CloseIdleConnections)
	b := beside{repo: strings.TrimPrefix(server.URL, "http://") + "/app"}
	img, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	if b.digest, err = img.Digest(); err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(b.repository(t).Digest(b.digest.String()), img, remote.WithContext(t.Context())); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b beside) repository(t *testing.T) name.Repository {
	t.Helper()
	repo, err := name.NewRepository(b.repo, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	return repo
}

// items reads all that lies beside the image.
func (b beside) items(t *testing.T) []trust.Item {
	t.Helper()
	repo := b.repository(t)
	var found []trust.Item
	read := func(ref name.Reference, form trust.Form) {
		img, err := remote.Image(ref, remote.WithContext(t.Context()))
		if err != nil {
			return // there is none
		}
		m, err := img.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range m.Layers {
			found = append(found, trust.Item{Form: form, Body: blob(t, repo, l), Annotations: l.Annotations,
				Signature: l.Annotations["dev.cosignproject.cosign/signature"]})
		}
	}
	read(repo.Tag("sha256-"+b.digest.Hex+".sig"), trust.Payload)
	read(repo.Tag("sha256-"+b.digest.Hex+".att"), trust.Envelope)
	index, err := remote.Referrers(repo.Digest(b.digest.String()), remote.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	list, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range list.Manifests {
		read(repo.Digest(m.Digest.String()), trust.Bundle)
	}
	return found
}

func blob(t *testing.T, repo name.Repository, d v1.Descriptor) []byte {
	t.Helper()
	layer, err := remote.Layer(repo.Digest(d.Digest.String()), remote.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	r, err := layer.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	body, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// only gives the one item that lies beside the image.
func (b beside) only(t *testing.T) trust.Item {
	t.Helper()
	items := b.items(t)
	if len(items) != 1 {
		t.Fatalf("got %d items, want one", len(items))
	}
	return items[0]
}

func newAuthority(t *testing.T, o testenv.AuthorityOptions) (*testenv.Authority, *trust.Root) {
	t.Helper()
	a, err := testenv.NewAuthorityWith(o)
	if err != nil {
		t.Fatal(err)
	}
	return a, rootOf(t, a)
}

func rootOf(t *testing.T, a *testenv.Authority) *trust.Root {
	t.Helper()
	root, err := trust.ParseRoot(a.TrustedRoot())
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func newSigner(t *testing.T, kind string) *testenv.Signer {
	t.Helper()
	s, err := testenv.NewSigner(kind)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newChain(t *testing.T, o testenv.ChainOptions) (*testenv.Chain, *testenv.Signer) {
	t.Helper()
	c, err := testenv.NewChain(o)
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.Signer()
	if err != nil {
		t.Fatal(err)
	}
	return c, s
}

// prove prepares and proves in one go.
func prove(t *testing.T, it trust.Item, s trust.Signer, d mirror.Digest) (trust.Proof, error) {
	t.Helper()
	c, err := trust.Prepare(it)
	if err != nil {
		return trust.Proof{}, err
	}
	return c.Prove(t.Context(), s, d, testenv.SignedAt)
}

// wantError holds an error against part of its text; "" wants none.
func wantError(t *testing.T, err error, want string) {
	t.Helper()
	if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("got error %v, want %q", err, want)
	}
}
