package daemon

import (
	"context"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Verify says what policy says of an image at a stage; the first stage when none is given. The image is
// resolved once and judged by digest.
func (l *Line) Verify(ctx context.Context, image mirror.Reference, stage mirror.Stage) (mirror.Reference, mirror.Verdict, error) {
	f, err := l.refresh(ctx)
	if err != nil {
		return image, mirror.Verdict{}, err
	}
	if stage, err = f.stage(stage); err != nil {
		return image, mirror.Verdict{}, err
	}
	if !image.HasDigest() {
		d, err := l.registry.Resolve(ctx, image)
		if err != nil {
			return image, mirror.Verdict{}, err
		}
		image = image.WithDigest(d.Digest)
	}
	a := mirror.Action{Kind: mirror.Copy, Stage: stage, Image: image, From: image, New: image.Digest}
	for _, set := range f.desired.Sets {
		for _, e := range set.Entries {
			if e.Pinned() && e.Image.Name() == image.Name() && e.Image.Digest == image.Digest {
				a.Key, a.Vouch = mirror.Key{Set: set.Name, Entry: e.Name}, f.desired.Commit
				a.Image, a.From = e.Image, e.Image
			}
		}
	}
	_, verdict, err := mirror.Verify(ctx, f.policy.Verifier(l.judging(f, l.now())), a, l.registry)
	return image, verdict, err
}
