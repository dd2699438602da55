package testenv

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Fixture is a small part of a registry saved as plain files: index.json says what there is, blobs/ holds
// the bytes of manifests and blobs by the hexadecimal digits of their digest.
type Fixture struct {
	Made         time.Time                    `json:"made"`         // when its signatures were there
	Repositories map[string]FixtureRepository `json:"repositories"` // by path
}

// FixtureRepository is one repository of a Fixture.
type FixtureRepository struct {
	Tags      map[string]mirror.Digest `json:"tags"`
	Manifests []FixtureManifest        `json:"manifests"` // children before parents, subjects before referrers
	Blobs     []mirror.Digest          `json:"blobs"`
}

// FixtureManifest is a manifest and the media type that it is served with.
type FixtureManifest struct {
	Digest    mirror.Digest `json:"digest"`
	MediaType string        `json:"mediaType"`
}

// LoadFixture reads the fixture in dir and writes all of it to the registry at host, on plain HTTP. The
// digests stay what they are.
func LoadFixture(ctx context.Context, host, dir string) (Fixture, error) {
	f, err := readFixture(dir)
	if err != nil {
		return f, fmt.Errorf("fixture %s: %w", filepath.Base(dir), err)
	}
	for path, repository := range f.Repositories {
		err := withRepository(host+"/"+path, func(repo name.Repository, opts ...remote.Option) error {
			return repository.load(repo, dir, append(opts, remote.WithContext(ctx)))
		})
		if err != nil {
			return f, fmt.Errorf("fixture %s: %w", filepath.Base(dir), err)
		}
	}
	return f, nil
}

func readFixture(dir string) (f Fixture, err error) {
	body, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		return f, err
	}
	return f, json.Unmarshal(body, &f)
}

func (r FixtureRepository) load(repo name.Repository, dir string, opts []remote.Option) error {
	for _, d := range r.Blobs {
		body, err := fixtureBytes(dir, d)
		if err != nil {
			return err
		}
		if err := remote.WriteLayer(repo, static.NewLayer(body, types.OCILayer), opts...); err != nil {
			return err
		}
	}
	for _, m := range r.Manifests {
		body, err := fixtureBytes(dir, m.Digest)
		if err != nil {
			return err
		}
		raw := rawManifest{body, types.MediaType(m.MediaType)}
		if err := remote.Put(repo.Digest(m.Digest.String()), raw, opts...); err != nil {
			return err
		}
		for tag, d := range r.Tags {
			if d != m.Digest {
				continue
			}
			if err := remote.Put(repo.Tag(tag), raw, opts...); err != nil {
				return err
			}
		}
	}
	return nil
}

func fixtureBytes(dir string, d mirror.Digest) ([]byte, error) {
	body, err := os.ReadFile(filepath.Join(dir, "blobs", d.Hex))
	if err == nil && mirror.DigestOf(body) != d {
		err = fmt.Errorf("%s: %w", d, mirror.ErrDigestMismatch)
	}
	return body, err
}

type rawManifest struct {
	body      []byte
	mediaType types.MediaType
}

// RawManifest and MediaType let remote.Put write exact bytes.
func (m rawManifest) RawManifest() ([]byte, error)        { return m.body, nil }
func (m rawManifest) MediaType() (types.MediaType, error) { return m.mediaType, nil }
