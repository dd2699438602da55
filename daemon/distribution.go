package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/epr"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/assemble"
	"github.com/poundlock/poundlock/sync/publish"
	"github.com/poundlock/poundlock/sync/render"
)

// distribution is the image of a stage that was made or found last.
type distribution struct {
	recipe  string
	image   mirror.Reference // with digest; zero where trouble says why
	trouble string
}

// ingredients are what the distribution image of a stage is made of.
type ingredients struct {
	base     mirror.Reference // in the local registry
	packages []epr.Standing
	recipe   string
}

// ingredientsOf gives what an image is to be made of by a record. What cannot be is a mirror.Problem: it waits for a change.
func (l *Line) ingredientsOf(f *fleet, set mirror.Set, record mirror.Record, stage mirror.Stage) (in ingredients, err error) {
	refuse := func(code, fix, format string, args ...any) (ingredients, error) {
		return in, mirror.Problem{Code: code, Where: set.KeyAt("distribution"), What: fmt.Sprintf("set %s at %s: no distribution image: ", set.Name, stage) + fmt.Sprintf(format, args...), Fix: fix}
	}
	c := channelAt(l.local, set, record, stage, set.Stages[slices.Index(set.Stages, stage):])
	if len(c.unproven) > 0 {
		return refuse("RND151", "wait: it is judged at the next look", "%s is not judged yet", c.unproven[0].Package)
	}
	if len(c.all) == 0 {
		return refuse("RND151", "promote packages to the stage", "no package stands there, and the server does not start without one")
	}
	var standing []mirror.Line
	places := map[mirror.Reference]mirror.Reference{}
	for _, other := range f.desired.Sets {
		if !slices.Contains(other.Stages, stage) {
			continue
		}
		rec, err := l.state.Record(other.Name)
		if err != nil {
			return in, err
		}
		for entry, line := range rec.At(stage) {
			if line.Proven {
				standing = append(standing, line)
				places[line.Image] = l.local.Pointer(other, stage, entry, line.Image).AtDigest(line.Image.Digest)
			}
		}
	}
	base, err := set.Distribution.BaseOf(stage, standing)
	if err != nil {
		return refuse("RND150", "bring the image to the stage with a set of kind list, or name another one in distribution.bases", "%v", err)
	}
	in.base, in.packages = places[base.Image], c.all
	digests := map[string]mirror.Digest{}
	for _, s := range c.all {
		digests[s.Package.String()] = s.Local.Digest
	}
	in.recipe = assemble.Recipe(in.base.Digest, digests, set.Distribution.GroupCount())
	return in, nil
}

// distribute sees to the distribution images of a set and says whether one is there that was not before. One stage that has
// trouble stops no other.
func (l *Line) distribute(ctx context.Context, f *fleet, set mirror.Set, audit bool) (changed bool, err error) {
	record, err := l.state.Record(set.Name)
	if err != nil {
		return false, err
	}
	var errs []error
	for _, stage := range set.Stages {
		key := setStage{set.Name, stage}
		l.besides.mu.Lock()
		before := l.besides.images[key]
		l.besides.mu.Unlock()
		in, err := l.ingredientsOf(f, set, record, stage)
		if err == nil && !audit && before.recipe == in.recipe && before.image.HasDigest() {
			continue
		}
		now := distribution{recipe: in.recipe}
		if err == nil {
			now.image, err = l.makeDistribution(ctx, f, set, stage, in)
		}
		if errors.Is(err, publish.ErrSuperseded) || errors.Is(err, errSuspended) || ctx.Err() != nil {
			return changed, errors.Join(errs...) // the step that comes of it is followed by the next call
		}
		var p mirror.Problem
		switch {
		case errors.As(err, &p):
			now.trouble = p.What
			if p.Code == "RND150" {
				errs = append(errs, err)
			}
		case err != nil:
			err = fmt.Errorf("distribution image of %s at %s: %w", set.Name, stage, err)
			now.trouble = mirror.Clean(err.Error())
			errs = append(errs, err)
		}
		l.besides.mu.Lock()
		l.besides.images[key] = now
		l.besides.mu.Unlock()
		changed = changed || now.image != before.image || now.trouble != before.trouble
	}
	return changed, errors.Join(errs...)
}

// makeDistribution makes the image of a stage, or finds it: its tag is that of what it is made of, so a state that was lost
// costs one request. The tag of the stage comes last.
func (l *Line) makeDistribution(ctx context.Context, f *fleet, set mirror.Set, stage mirror.Stage, in ingredients) (mirror.Reference, error) {
	at := l.local.DistributionRepository(set)
	fixed := at.WithTag("content-" + in.recipe)
	found, err := l.registry.Resolve(ctx, fixed)
	if errors.Is(err, mirror.ErrNotFound) {
		found.Digest, err = l.assemble(ctx, f, set, fixed, in)
	}
	if err != nil {
		return mirror.Reference{}, err
	}
	tagged, err := l.registry.Resolve(ctx, at.WithTag(string(stage)))
	if err != nil && !errors.Is(err, mirror.ErrNotFound) {
		return mirror.Reference{}, err
	}
	if tagged.Digest != found.Digest {
		if err := l.fence(f, set.Name)(ctx); err != nil {
			return mirror.Reference{}, err
		}
		if err := l.mover.Write(ctx, l.registry, at.WithDigest(found.Digest), at.WithTag(string(stage))); err != nil {
			return mirror.Reference{}, err
		}
		l.log.Info("distribution image in place", keySet, set.Name, keyStage, string(stage), keyRef, at.WithTag(string(stage)).WithDigest(found.Digest).String(), keyPackages, len(in.packages))
	}
	return at.WithTag(string(stage)).WithDigest(found.Digest), nil
}

// assemble makes an image and writes it under its fixed tag. Layers that an image of before has are not read again.
func (l *Line) assemble(ctx context.Context, f *fleet, set mirror.Set, fixed mirror.Reference, in ingredients) (mirror.Digest, error) {
	if err := l.learnLayers(ctx, set); err != nil {
		return mirror.Digest{}, err
	}
	var packages []assemble.Package
	var unsigned []string
	for _, s := range in.packages {
		parts, err := l.layersOf(ctx, s)
		if err != nil {
			return mirror.Digest{}, err
		}
		if parts.Signature.Digest == (mirror.Digest{}) {
			unsigned = append(unsigned, s.Package.String())
			continue
		}
		packages = append(packages, assemble.Package{Package: s.Package, Zip: parts.Zip, Signature: parts.Signature, At: s.Local})
	}
	if len(unsigned) > 0 {
		l.log.Warn("packages without signature are not in the distribution image: the server would not start", keyCode, "RND152", keySet, set.Name, keyPackages, strings.Join(unsigned[:min(len(unsigned), 5)], ", "))
	}
	if len(packages) == 0 {
		return mirror.Digest{}, mirror.Problem{Code: "RND152", Where: set.KeyAt("distribution"), What: fmt.Sprintf("set %s: no distribution image: none of its packages has a signature", set.Name),
			Fix: "sign them: `poundlock help packages-image`"}
	}
	layers := assemble.Layers(packages, set.Distribution.GroupCount())
	for i, layer := range layers {
		l.besides.mu.Lock()
		known, ok := l.besides.measured[layer.Key]
		l.besides.mu.Unlock()
		if layers[i].Digest = known; ok {
			continue
		}
		measured, err := layer.Measure(ctx, l.registry)
		if err != nil {
			return mirror.Digest{}, err
		}
		layers[i] = measured
		l.besides.mu.Lock()
		l.besides.measured[layer.Key] = measured.Digest
		l.besides.mu.Unlock()
	}
	image, err := assemble.Assemble(ctx, l.registry, in.base, layers)
	if err != nil {
		return mirror.Digest{}, err
	}
	if err := l.fence(f, set.Name)(ctx); err != nil {
		return mirror.Digest{}, err
	}
	digest := image.Root.Descriptor.Digest
	return digest, l.mover.Write(ctx, image, in.base.AtDigest(digest), fixed)
}

// learnLayers reads once which layers the images of a set have that were made before.
func (l *Line) learnLayers(ctx context.Context, set mirror.Set) error {
	l.besides.mu.Lock()
	known := l.besides.learned[set.Name]
	l.besides.learned[set.Name] = true
	l.besides.mu.Unlock()
	if known {
		return nil
	}
	at := l.local.DistributionRepository(set)
	for _, stage := range set.Stages {
		tagged, err := l.registry.Resolve(ctx, at.WithTag(string(stage)))
		if errors.Is(err, mirror.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		layers := assemble.Measured(ctx, l.registry, at.WithDigest(tagged.Digest))
		l.besides.mu.Lock()
		for key, digest := range layers {
			l.besides.measured[key] = digest
		}
		l.besides.mu.Unlock()
	}
	return nil
}

// withDistributions gives a set with the images that hold just what its record says, for renderers.
func (l *Line) withDistributions(f *fleet, set mirror.Set, record mirror.Record) mirror.Set {
	if set.Distribution == nil {
		return set
	}
	set.Distributions, set.Undistributed = map[mirror.Stage]mirror.Reference{}, map[mirror.Stage]string{}
	for _, stage := range set.Stages {
		l.besides.mu.Lock()
		made := l.besides.images[setStage{set.Name, stage}]
		l.besides.mu.Unlock()
		in, err := l.ingredientsOf(f, set, record, stage)
		switch {
		case err == nil && made.recipe == in.recipe && made.image.HasDigest():
			set.Distributions[stage] = made.image
		case made.trouble != "":
			set.Undistributed[stage] = made.trouble
		}
	}
	return set
}

// distributionsIn gives the distribution images that rendered files name. Which image a record led to, the local registry knows
// and nobody asks it: so this says nothing of whether it is the right one, and what else such a file says is compared.
func distributionsIn(local mirror.Local, set mirror.Set, rendered mirror.Files) map[mirror.Stage]mirror.Reference {
	all := map[mirror.Stage]mirror.Reference{}
	if set.Distribution == nil {
		return all
	}
	at := local.DistributionRepository(set)
	for _, stage := range set.Stages {
		for _, name := range rendered.Under(render.Dir(local, set, stage)) {
			_, rest, found := strings.Cut(string(rendered[name]), at.WithTag(string(stage)).String()+"@")
			if d, err := mirror.ParseDigest(rest[:min(len(rest), len("sha256:")+64)]); found && err == nil {
				all[stage] = at.WithTag(string(stage)).WithDigest(d)
			}
		}
	}
	return all
}
