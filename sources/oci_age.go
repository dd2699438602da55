package sources

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// look is what a choice by content needs of one repository.
type look struct {
	up         Upstream
	past       Past
	at         time.Time
	repository mirror.Reference
	listing    *listing
	once       bool
}

// passes says whether an error concerns one tag alone: one that is listed and names nothing, as registries leave them when
// content is deleted. The others are chosen among all the same.
func (k look) passes(err error) bool {
	if !errors.Is(err, mirror.ErrNotFound) {
		return false
	}
	k.listing.gone = err
	return true
}

// names gives what a tag names, by one HEAD; none where a tag names the same for ever and was chosen before.
func (k look) names(ctx context.Context, image mirror.Reference) (mirror.Digest, error) {
	if before, ok := k.past.Listed(image.String()); ok && k.once && before.HasDigest() {
		return before.Digest, nil
	}
	return resolve(ctx, k.up, image)
}

// ripe gives an image with content that this site saw long enough ago: what the tag names, else what it named in the
// answer before. It is false where there is neither yet.
func (k look) ripe(ctx context.Context, image mirror.Reference, age time.Duration) (mirror.Reference, bool, error) {
	d, err := k.names(ctx, image)
	switch {
	case k.passes(err):
		return image, false, nil
	case err != nil:
		return image, false, err
	}
	due := k.past.FirstSeen(d).Add(age)
	if !k.at.Before(due) {
		return image.WithDigest(d), true, nil
	}
	if k.listing.again.IsZero() || due.Before(k.listing.again) {
		k.listing.again = due
	}
	before, ok := k.past.Listed(image.String())
	return before, ok && before.HasDigest(), nil
}

// byAge sorts tags by when their content was made, newest first.
func (k look) byAge(ctx context.Context, tags []string) ([]string, error) {
	made := map[string]time.Time{}
	for _, tag := range tags {
		image := k.repository.WithTag(tag)
		d, err := k.names(ctx, image)
		at, known := k.past.Created(d)
		if err == nil && !known {
			at, err = k.created(ctx, d)
		}
		switch {
		case k.passes(err):
			continue
		case err != nil:
			return nil, err
		}
		made[tag], k.listing.created[d] = at, at
	}
	tags = slices.DeleteFunc(tags, func(tag string) bool { _, there := made[tag]; return !there })
	slices.SortFunc(tags, func(a, b string) int {
		if c := made[b].Compare(made[a]); c != 0 {
			return c
		}
		return strings.Compare(a, b)
	})
	return tags, nil
}

// createdKey is where a manifest says itself when it was made.
const createdKey = "org.opencontainers.image.created"

// maxConfig is the size in bytes of the largest image config that is read.
const maxConfig = 1 << 20

// created gives when content was made: by its annotation, by that of the first image of an index, or by its config.
func (k look) created(ctx context.Context, d mirror.Digest) (time.Time, error) {
	untold := mirror.Problem{Code: "SRC097", What: fmt.Sprintf("%s does not say when it was made", k.repository.AtDigest(d)), Fix: "choose its tags by: semver or by: listed"}
	const deepest = 2 // an index, and an image of it
	for range deepest {
		m, err := k.up.Manifest(ctx, k.repository, d)
		if err != nil {
			return time.Time{}, fmt.Errorf("when %s was made: %w", k.repository.AtDigest(d), err)
		}
		parts, err := m.Parts()
		if err != nil {
			return time.Time{}, err
		}
		if at, err := time.Parse(time.RFC3339, parts.Annotations[createdKey]); err == nil {
			return at, nil
		}
		if len(parts.Manifests) > 0 {
			d = parts.Manifests[0].Digest
			continue
		}
		if parts.Config == nil || parts.Config.Size > maxConfig {
			return time.Time{}, untold
		}
		return k.configured(ctx, parts.Config.Digest, untold)
	}
	return time.Time{}, untold
}

func (k look) configured(ctx context.Context, d mirror.Digest, untold error) (at time.Time, err error) {
	blob, err := k.up.Blob(ctx, k.repository, d, 0)
	if err != nil {
		return at, fmt.Errorf("when %s was made: %w", k.repository.AtDigest(d), err)
	}
	defer blob.Close()
	text, err := io.ReadAll(io.LimitReader(blob, maxConfig+1))
	if err != nil {
		return at, fmt.Errorf("when %s was made: %w", k.repository.AtDigest(d), err)
	}
	var config struct {
		Created time.Time `json:"created"`
	}
	if json.Unmarshal(text, &config) != nil || config.Created.IsZero() {
		return at, untold
	}
	return config.Created, nil
}
