package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
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
func (l *Line) ingredientsOf(f *fleet, set mirror.Set, record mirror.Record, stage mirror.Stage) (ingredients, error) {
	return ingredientsFrom(l.local, f, set, record, stage, l.state.Record)
}

// ingredientsFrom is ingredientsOf with the records of the other sets, by name, from recordOf.
func ingredientsFrom(local mirror.Local, f *fleet, set mirror.Set, record mirror.Record, stage mirror.Stage, recordOf func(string) (mirror.Record, error)) (in ingredients, err error) {
	refuse := func(code, fix, format string, args ...any) (ingredients, error) {
		return in, mirror.Problem{Code: code, Where: set.KeyAt("distribution"), What: fmt.Sprintf("set %s at %s: no distribution image: ", set.Name, stage) + fmt.Sprintf(format, args...), Fix: fix}
	}
	_, record, _ = f.undenied(set, record)
	c := channelAt(local, set, record, stage, set.Stages[slices.Index(set.Stages, stage):])
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
		rec, err := recordOf(other.Name)
		if err != nil {
			return in, err
		}
		for entry, line := range rec.At(stage) {
			if line.Proven && f.policy.Denied(line.Image) == "" {
				standing = append(standing, line)
				places[line.Image] = local.Pointer(other, stage, entry, line.Image).AtDigest(line.Image.Digest)
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

// makeDistribution makes the image of a stage, or finds it where we made it before. Its tag in the registry is where it lies,
// never what says which one it is: others may be able to push there, and the digest goes into Git. That is told by the state,
// or else by computing the image. The tag of the stage comes last.
func (l *Line) makeDistribution(ctx context.Context, f *fleet, set mirror.Set, stage mirror.Stage, in ingredients) (mirror.Reference, error) {
	at := l.local.DistributionRepository(set)
	fixed := at.WithTag("content-" + in.recipe)
	tagged, err := l.registry.Resolve(ctx, fixed)
	if err != nil && !errors.Is(err, mirror.ErrNotFound) {
		return mirror.Reference{}, err
	}
	made := l.state.Distributed(set.Name, stage)
	if made.Recipe != in.recipe || made.Digest == (mirror.Digest{}) || made.Digest != tagged.Digest {
		if made, err = l.assemble(ctx, f, set, stage, fixed, in, tagged.Digest); err != nil {
			return mirror.Reference{}, err
		}
	}
	named, err := l.registry.Resolve(ctx, at.WithTag(string(stage)))
	if err != nil && !errors.Is(err, mirror.ErrNotFound) {
		return mirror.Reference{}, err
	}
	if named.Digest != made.Digest {
		if err := l.fence(f, set.Name)(ctx); err != nil {
			return mirror.Reference{}, err
		}
		if err := l.mover.Write(ctx, l.registry, at.WithDigest(made.Digest), at.WithTag(string(stage))); err != nil {
			return mirror.Reference{}, err
		}
		l.log.Info("distribution image in place", keySet, set.Name, keyStage, string(stage), keyRef, at.WithTag(string(stage)).WithDigest(made.Digest).String(), keyPackages, len(in.packages))
	}
	return at.WithTag(string(stage)).WithDigest(made.Digest), nil
}

// assemble makes an image, and writes it under its fixed tag where that names nothing, or something else. The packages of
// layers that we measured before are not read again.
func (l *Line) assemble(ctx context.Context, f *fleet, set mirror.Set, stage mirror.Stage, fixed mirror.Reference, in ingredients, tagged mirror.Digest) (made madeDistribution, err error) {
	packages, err := l.signedPackages(ctx, set, in)
	if err != nil {
		return made, err
	}
	layers, err := l.measured(ctx, set, assemble.Layers(packages, set.Distribution.GroupCount()))
	if err != nil {
		return made, err
	}
	image, err := assemble.Assemble(ctx, l.registry, in.base, layers)
	if err != nil {
		return made, err
	}
	made = madeDistribution{Recipe: in.recipe, Digest: image.Root.Descriptor.Digest, Layers: map[string]mirror.Digest{}}
	for _, layer := range layers {
		made.Layers[layer.Key] = layer.Digest
	}
	if tagged != made.Digest {
		if err := l.fence(f, set.Name)(ctx); err != nil {
			return made, err
		}
		if tagged != (mirror.Digest{}) {
			l.log.Warn("the tag of a distribution image names another one than we make of the same packages: it was moved by somebody else and is ours again", keyCode, "RND153", keySet, set.Name, keyStage, string(stage), keyRef, fixed.String(), keyMoved, tagged.String())
		}
		if err := l.mover.Write(ctx, image, in.base.AtDigest(made.Digest), fixed); err != nil {
			return made, err
		}
	}
	return made, l.state.SetDistributed(set.Name, stage, made)
}

// signedPackages gives the packages that go into an image: those that have a signature.
func (l *Line) signedPackages(ctx context.Context, set mirror.Set, in ingredients) (packages []assemble.Package, err error) {
	var unsigned []string
	for _, s := range in.packages {
		parts, err := l.layersOf(ctx, s)
		if err != nil {
			return nil, err
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
		return nil, mirror.Problem{Code: "RND152", Where: set.KeyAt("distribution"), What: fmt.Sprintf("set %s: no distribution image: none of its packages has a signature", set.Name),
			Fix: "sign them: `poundlock help packages-image`"}
	}
	return packages, nil
}

// measured gives layers with their digests. Those that no image has which we made are read once from the local registry.
func (l *Line) measured(ctx context.Context, set mirror.Set, layers []assemble.Layer) ([]assemble.Layer, error) {
	known := map[string]mirror.Digest{}
	for _, stage := range set.Stages {
		maps.Copy(known, l.state.Distributed(set.Name, stage).Layers)
	}
	l.besides.mu.Lock()
	maps.Copy(known, l.besides.measured)
	l.besides.mu.Unlock()
	for i, layer := range layers {
		var ok bool
		if layers[i].Digest, ok = known[layer.Key]; ok {
			continue
		}
		one, err := layer.Measure(ctx, l.registry)
		if err != nil {
			return nil, err
		}
		layers[i] = one
		l.besides.mu.Lock()
		l.besides.measured[layer.Key] = one.Digest // also where what comes next fails
		l.besides.mu.Unlock()
	}
	return layers, nil
}

// withDistributions gives a set with the images that hold just what its record says, for renderers.
func (l *Line) withDistributions(f *fleet, set mirror.Set, record mirror.Record) mirror.Set {
	if set.Distribution == nil {
		return set
	}
	set.Distributions, set.Undistributed = map[mirror.Stage]mirror.Reference{}, map[mirror.Stage]string{}
	for _, stage := range set.Stages {
		made := l.distributionOf(set, stage)
		in, err := l.ingredientsOf(f, set, record, stage)
		var p mirror.Problem
		switch {
		case err == nil && made.recipe == in.recipe && made.image.HasDigest():
			set.Distributions[stage] = made.image
		case made.trouble != "":
			set.Undistributed[stage] = made.trouble
		case errors.As(err, &p): // also told by a process that makes none, such as plan
			set.Undistributed[stage] = p.What
		}
	}
	return set
}

// distributionOf gives the image of a stage that this process made or found last. One that only looks makes none, and tells by
// the state which one the daemon made.
func (l *Line) distributionOf(set mirror.Set, stage mirror.Stage) distribution {
	if l.besides == nil || l.temporary || l.offline {
		made := l.state.Distributed(set.Name, stage)
		if made.Digest == (mirror.Digest{}) {
			return distribution{}
		}
		return distribution{recipe: made.Recipe, image: l.local.DistributionRepository(set).WithTag(string(stage)).WithDigest(made.Digest)}
	}
	l.besides.mu.Lock()
	defer l.besides.mu.Unlock()
	return l.besides.images[setStage{set.Name, stage}]
}

// distributedBy gives the distribution images that we made of records, as far as the state knows them; nobody is asked.
func (l *Line) distributedBy(f *fleet, records map[string]mirror.Record) map[setStage]mirror.Reference {
	all := map[setStage]mirror.Reference{}
	recordOf := func(name string) (mirror.Record, error) { return records[name], nil }
	for _, set := range f.desired.Sets {
		for _, stage := range set.Stages {
			if set.Distribution == nil {
				continue
			}
			made := l.state.Distributed(set.Name, stage)
			in, err := ingredientsFrom(l.local, f, set, records[set.Name], stage, recordOf)
			if err == nil && made.Recipe == in.recipe && made.Digest != (mirror.Digest{}) {
				all[setStage{set.Name, stage}] = l.local.DistributionRepository(set).WithTag(string(stage)).WithDigest(made.Digest)
			}
		}
	}
	return all
}

// distributionsIn gives the distribution images that rendered files name. Without the state of the daemon nobody knows which
// image a record led to (its tag in the registry is no proof): so this says nothing of whether it is the right one, and what
// else such a file says is compared.
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
