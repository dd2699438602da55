package daemon

import (
	"context"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Verify says what policy says of an image at a stage; the first stage when none is given. The image is resolved
// once, upstream unless it is named as it lies here, and judged by its digest, where a step would look for what
// belongs to it.
func (l *Line) Verify(ctx context.Context, image mirror.Reference, stage mirror.Stage) (mirror.Reference, mirror.Verdict, error) {
	f, err := l.refresh(ctx)
	if err != nil {
		return image, mirror.Verdict{}, err
	}
	if stage, err = f.stage(stage); err != nil {
		return image, mirror.Verdict{}, err
	}
	if hasPackages(f) {
		g, err := l.glance(ctx)
		if err != nil {
			return image, mirror.Verdict{}, err
		}
		if g.isPackage(image) {
			return l.verifyPackage(ctx, g, image.String(), stage)
		}
	}
	a, err := l.asked(ctx, f, image, stage)
	if err != nil {
		return image, mirror.Verdict{}, err
	}
	verdict, _, err := l.consult(ctx, f, f.policy.Verifier(l.judging(f, l.now())), a, l.content())
	return a.Image, verdict, err
}

// asked gives the action about an image that somebody names.
func (l *Line) asked(ctx context.Context, f *fleet, image mirror.Reference, stage mirror.Stage) (mirror.Action, error) {
	if image.Host == l.local.Host {
		g, err := l.glance(ctx)
		if err != nil {
			return mirror.Action{}, err
		}
		a, _, err := g.about(ctx, image.String(), stage)
		return a, err
	}
	if !image.HasDigest() {
		d, err := l.origins().Resolve(ctx, image)
		if err != nil {
			return mirror.Action{}, err
		}
		image = image.WithDigest(d.Digest)
	}
	return coming(f, image, stage), nil
}
