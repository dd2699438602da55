package policy_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"log"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy"
	"github.com/poundlock/poundlock/testenv"
)

const fixture = "testdata/cosign"

// TestFixture_CosignCommandsOfBothGenerationsAreUnderstood judges what the real commands once left in a registry.
func TestFixture_CosignCommandsOfBothGenerationsAreUnderstood(t *testing.T) {
	policies := signingPolicies(t, fixture)
	eachRegistry(t, func(t *testing.T, w *world) {
		loaded, err := testenv.LoadFixture(t.Context(), w.server.Host(), fixture)
		if err != nil {
			t.Fatal(err)
		}
		got, want := slices.Sorted(maps.Keys(loaded.Repositories)), slices.Sorted(maps.Keys(signings))
		if !slices.Equal(got, want) {
			t.Fatalf("got repositories %v, want %v", got, want)
		}
		client := w.clientFor(signingHost)
		for path, s := range signings {
			s.wantJudged(t, path, policies, policy.Options{At: loaded.Made}, loaded.Repositories[path].Tags["1.0"], client)
		}
	})
}

func TestFixture_IsSmallAndHoldsNoPrivateKey(t *testing.T) {
	var total int64
	err := filepath.WalkDir(fixture, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		body, err := os.ReadFile(path)
		total += int64(len(body))
		if strings.Contains(string(body), "PRIVATE KEY") {
			t.Errorf("%s holds a private key", path)
		}
		return err
	})
	if err != nil || total > 200<<10 {
		t.Errorf("got %d bytes, %v; want at most 200 KiB", total, err)
	}
}

var anew = flag.Bool("anew", false, "with -tools: makes the fixture anew")

// TestFixture_MakeAnew signs tiny images with the real commands and throwaway keys, and saves what they left in a
// registry. testenv/cosign-fixtures.sh calls it.
func TestFixture_MakeAnew(t *testing.T) {
	if *tools == "" || !*anew {
		t.Skip("the flags -tools and -anew are not given; testenv/cosign-fixtures.sh gives them")
	}
	server, err := testenv.NewServer(ggcr.New(ggcr.WithReferrersSupport(true), ggcr.Logger(log.New(io.Discard, "", 0))))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	sigstore, err := testenv.StartSigstore(t.Context(), *tools, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sigstore.Close)
	if err := errors.Join(os.RemoveAll(fixture), os.MkdirAll(fixture+"/blobs", 0o755)); err != nil {
		t.Fatal(err)
	}
	c := newCommands(t, *tools, sigstore)
	c.trust(t, fixture)
	saved := testenv.Fixture{Repositories: map[string]testenv.FixtureRepository{}}
	for path := range signings {
		d := c.sign(t, server.Host(), path)
		saved.Repositories[path] = saveRepository(t, server.Host(), path, d)
	}
	saved.Made = time.Now().UTC().Truncate(time.Second).Add(time.Second)
	index, err := json.MarshalIndent(saved, "", "  ")
	if err == nil {
		err = os.WriteFile(filepath.Join(fixture, "index.json"), append(index, '\n'), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// saveRepository writes what lies in a repository below the fixture: every tag, and of d and its children every
// referrer.
func saveRepository(t *testing.T, host, path string, d mirror.Digest) testenv.FixtureRepository {
	t.Helper()
	at := mirror.Reference{Host: host, Repository: path}
	client := (&world{t: t, url: "http://" + host}).clientFor(host)
	saved := testenv.FixtureRepository{Tags: map[string]mirror.Digest{}}
	seen := map[mirror.Digest]bool{}
	var save func(d mirror.Digest)
	save = func(d mirror.Digest) {
		if seen[d] {
			return
		}
		seen[d] = true
		m, err := client.Manifest(t.Context(), at, d)
		if err != nil {
			t.Fatal(err)
		}
		parts, err := m.Parts()
		if err != nil {
			t.Fatal(err)
		}
		for _, child := range parts.Manifests {
			save(child.Digest)
		}
		saved.Manifests = append(saved.Manifests, testenv.FixtureManifest{Digest: d, MediaType: string(m.Descriptor.MediaType)})
		writeBlob(t, d, m.Body)
		for _, b := range parts.Blobs() {
			if !seen[b.Digest] {
				seen[b.Digest] = true
				saved.Blobs = append(saved.Blobs, b.Digest)
				writeBlob(t, b.Digest, readBlob(t.Context(), t, client, at, b.Digest))
			}
		}
		referrers, err := client.Referrers(t.Context(), at, d)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range referrers {
			save(r.Digest)
		}
	}
	save(d)
	tags, err := client.Tags(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	for _, tag := range tags {
		got, err := client.Resolve(t.Context(), at.WithTag(tag))
		if err != nil {
			t.Fatal(err)
		}
		saved.Tags[tag] = got.Digest
		save(got.Digest)
	}
	return saved
}

func readBlob(ctx context.Context, t *testing.T, c mirror.Content, at mirror.Reference, d mirror.Digest) []byte {
	t.Helper()
	r, err := c.Blob(ctx, at, d, 0)
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

func writeBlob(t *testing.T, d mirror.Digest, body []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(fixture, "blobs", d.Hex), body, 0o644); err != nil {
		t.Fatal(err)
	}
}
