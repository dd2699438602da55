package policy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

// deniedWithin says which manifest of the image's index, or of indexes in it, a deny list names; "" when none does. It
// is asked once for each image and deny list: what a digest holds never changes, so that it is remembered. What is not
// there to be read holds nothing that could be copied.
func (v verifier) deniedWithin(ctx context.Context, q question, c mirror.Content) (string, error) {
	denied := v.policy.deniedDigests()
	if len(denied) == 0 {
		return "", nil
	}
	key := hashOf([]any{"nothing denied within", q.image.Digest.String(), denied}).String()
	if v.Known != nil {
		if _, ok := v.Known.Verdict(key); ok {
			return "", nil
		}
	}
	if c == nil {
		return "", errors.New("nobody looked yet whether it holds what deny.digests names, and nothing may be asked")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, v.Limits.Time, fmt.Errorf("not done within %s", v.Limits.Time))
	defer cancel()
	whole := true
	indexes := []mirror.Digest{q.image.Digest}
	for i := 0; i < len(indexes); i++ {
		search := &search{ctx: ctx, content: c, limits: v.Limits, spot: spot{q.source, indexes[i]}}
		_, parts, err := search.manifest(mirror.Descriptor{Digest: indexes[i]})
		if err != nil && !unusable(err) {
			return "", fmt.Errorf("manifest %s: %w", mirror.Short(indexes[i]), err)
		}
		whole = whole && err == nil
		for _, child := range parts.Manifests {
			switch {
			case slices.Contains(denied, child.Digest):
				return v.policy.denies(q.image.WithDigest(child.Digest)) + ", which is one of its manifests", nil
			case !mirror.IsIndex(child) || slices.Contains(indexes, child.Digest):
			case len(indexes) > maxPlatforms:
				return "", fmt.Errorf("index %s: more than %d indexes in it", mirror.Short(q.image.Digest), maxPlatforms)
			default:
				indexes = append(indexes, child.Digest)
			}
		}
	}
	if whole && v.Known != nil {
		v.Known.Remember(key, mirror.Verdict{Outcome: mirror.OutcomePinned, Reason: mirror.Because(mirror.PinnedCommit, "it holds nothing that deny.digests names"), At: v.At})
	}
	return "", nil
}

// deniedDigests lists what the deny lists of all layers name, each once.
func (p Policy) deniedDigests() (all []mirror.Digest) {
	for _, l := range p.layers {
		all = append(all, l.deny.Digests...)
	}
	slices.SortFunc(all, func(a, b mirror.Digest) int { return strings.Compare(a.String(), b.String()) })
	return slices.Compact(all)
}
