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
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	ggcr "github.com/google/go-containerregistry/pkg/registry"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy"
	"github.com/poundlock/poundlock/testenv"
)

const fixture = "testdata/cosign"

// fixtureCases are the repositories of the fixture: who signed the image in it, how and with which key.
var fixtureCases = map[string]struct {
	major int // of the command
	key   string
	args  []string
}{
	"fixture/v2-legacy":       {2, "release", nil},
	"fixture/v2-legacy-wrong": {2, "stranger", nil},
	"fixture/v2-referrer":     {2, "release", []string{"--registry-referrers-mode=oci-1-1"}},
	"fixture/v3-bundle":       {3, "release", nil},
	"fixture/v3-bundle-wrong": {3, "stranger", nil},
	"fixture/v3-legacy":       {3, "release", []string{"--new-bundle-format=false"}},
}

const fixtureHost = "registry.example"

func TestFixture_CosignCommandsOfBothGenerationsAreUnderstood(t *testing.T) {
	files := mirror.Files{mirror.PolicyFile: []byte("version: 1\nsigners: {release: {key: keys/release.pub}}\n" +
		"rules: [{match: registry.example/**, require: {signers: [release]}}]\n")}
	for _, key := range []string{"release", "stranger"} {
		body, err := os.ReadFile(filepath.Join(fixture, "keys", key+".pub"))
		if err != nil {
			t.Fatal(err)
		}
		files["desired/keys/"+key+".pub"] = body
	}
	release, problems := policy.Load(files, commit)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	files[mirror.PolicyFile] = []byte(strings.Replace(string(files[mirror.PolicyFile]), "keys/release", "keys/stranger", 1))
	stranger, problems := policy.Load(files, commit)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	eachRegistry(t, func(t *testing.T, w *world) {
		loaded, err := testenv.LoadFixture(t.Context(), w.server.Host(), fixture)
		if err != nil {
			t.Fatal(err)
		}
		got, want := slices.Sorted(maps.Keys(loaded.Repositories)), slices.Sorted(maps.Keys(fixtureCases))
		if !slices.Equal(got, want) {
			t.Fatalf("got repositories %v, want %v", got, want)
		}
		client := w.clientFor(fixtureHost)
		for path, c := range fixtureCases {
			image := mirror.Reference{Host: fixtureHost, Repository: path, Tag: "1.0", Digest: loaded.Repositories[path].Tags["1.0"]}
			for key, p := range map[string]policy.Policy{"release": release, "stranger": stranger} {
				v, err := p.Verifier(policy.Options{At: now}).Verify(t.Context(), action(image), client)
				if err != nil {
					t.Errorf("%s with key %s: %v", path, key, err)
				}
				if key == c.key {
					wantOutcome(t, v, mirror.OutcomeSigned, mirror.Signed)
				} else {
					wantOutcome(t, v, mirror.OutcomeRejected, mirror.BadSignature)
				}
			}
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
	if err != nil || total > 100<<10 {
		t.Errorf("got %d bytes, %v; want at most 100 KiB", total, err)
	}
}

var (
	cosign2 = flag.String("cosign2", "", "path of the cosign command, version 2: makes the fixture anew")
	cosign3 = flag.String("cosign3", "", "path of the cosign command, version 3: makes the fixture anew")
)

// TestFixture_MakeAnew signs tiny images with the real commands and throwaway keys, and saves what they
// left in a registry. testenv/cosign-fixtures.sh calls it.
func TestFixture_MakeAnew(t *testing.T) {
	if *cosign2 == "" || *cosign3 == "" {
		t.Skip("the flags -cosign2 and -cosign3 are not given; testenv/cosign-fixtures.sh gives them")
	}
	server, err := testenv.NewServer(ggcr.New(ggcr.WithReferrersSupport(true), ggcr.Logger(log.New(io.Discard, "", 0))))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	work := t.TempDir()
	if err := errors.Join(os.RemoveAll(fixture), os.MkdirAll(fixture+"/keys", 0o755), os.MkdirAll(fixture+"/blobs", 0o755)); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"release", "stranger"} {
		cosignCommand(t, work, *cosign2, "generate-key-pair", "--output-key-prefix", key)
		public, err := os.ReadFile(filepath.Join(work, key+".pub"))
		if err == nil {
			err = os.WriteFile(filepath.Join(fixture, "keys", key+".pub"), public, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	saved := testenv.Fixture{Repositories: map[string]testenv.FixtureRepository{}}
	for path, c := range fixtureCases {
		d, err := testenv.Push(t.Context(), server.Host(), path, "1.0", testenv.Image("fixture"))
		if err != nil {
			t.Fatal(err)
		}
		command := *cosign2
		args := []string{"sign", "--yes", "--key", c.key + ".key", "--tlog-upload=false",
			"--sign-container-identity", fixtureHost + "/" + path + ":1.0", "--allow-http-registry"}
		if c.major == 3 {
			command = *cosign3
			args = append(args, "--use-signing-config=false")
		}
		cosignCommand(t, work, command, slices.Concat(args, c.args, []string{server.Host() + "/" + path + "@" + d.String()})...)
		saved.Repositories[path] = saveRepository(t, server.Host(), path, d)
	}
	index, err := json.MarshalIndent(saved, "", "  ")
	if err == nil {
		err = os.WriteFile(filepath.Join(fixture, "index.json"), append(index, '\n'), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// cosignCommand runs a command in a clean environment: no home, no trust material, no transparency log.
func cosignCommand(t *testing.T, dir, command string, args ...string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), command, args...)
	c.Dir = dir
	c.Env = []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH"), "COSIGN_PASSWORD=throwaway", "COSIGN_EXPERIMENTAL=1"}
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("cosign %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// saveRepository writes what lies in a repository below the fixture: every tag and every referrer of d.
func saveRepository(t *testing.T, host, path string, d mirror.Digest) testenv.FixtureRepository {
	t.Helper()
	at := mirror.Reference{Host: host, Repository: path}
	client := (&world{t: t, url: "http://" + host}).clientFor(host)
	saved := testenv.FixtureRepository{Tags: map[string]mirror.Digest{}}
	tags, err := client.Tags(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	digests := []mirror.Digest{d}
	for _, tag := range tags {
		got, err := client.Resolve(t.Context(), at.WithTag(tag))
		if err != nil {
			t.Fatal(err)
		}
		saved.Tags[tag] = got.Digest
		digests = append(digests, got.Digest)
	}
	referrers, err := client.Referrers(t.Context(), at, d)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range referrers {
		digests = append(digests, r.Digest)
	}
	seen := map[mirror.Digest]bool{}
	for _, m := range digests {
		if seen[m] {
			continue
		}
		seen[m] = true
		got, err := client.Manifest(t.Context(), at, m)
		if err != nil {
			t.Fatal(err)
		}
		saved.Manifests = append(saved.Manifests, testenv.FixtureManifest{Digest: m, MediaType: string(got.Descriptor.MediaType)})
		writeBlob(t, m, got.Body)
		parts, err := got.Parts()
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range parts.Blobs() {
			if !seen[b.Digest] {
				seen[b.Digest] = true
				saved.Blobs = append(saved.Blobs, b.Digest)
				writeBlob(t, b.Digest, readBlob(t.Context(), t, client, at, b.Digest))
			}
		}
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
