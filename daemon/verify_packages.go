package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// The upstream of a package is no registry: nobody there resolves its tag, or has its artifact. What such a reference means
// follows from the record and from what the source named, and its bytes are those that lie here.

// VerifyPackage is Verify of a package by the name of its entry, such as nginx-1.20.0 or elastic/nginx-1.20.0.
func (l *Line) VerifyPackage(ctx context.Context, name string, stage mirror.Stage) (mirror.Reference, mirror.Verdict, error) {
	g, err := l.glance(ctx)
	if err != nil {
		return mirror.Reference{}, mirror.Verdict{}, err
	}
	if stage, err = g.fleet.stage(stage); err != nil {
		return mirror.Reference{}, mirror.Verdict{}, err
	}
	return l.verifyPackage(ctx, g, name, stage)
}

func (l *Line) verifyPackage(ctx context.Context, g *glance, query string, stage mirror.Stage) (mirror.Reference, mirror.Verdict, error) {
	a, _, err := g.about(ctx, query, stage)
	switch {
	case errors.Is(err, mirror.ErrNotFetched):
		return a.Image, notFetchedYet(l.now()), nil
	case err != nil:
		return a.Image, mirror.Verdict{}, err
	}
	if verdict, ok := l.nowhere(ctx, g.fleet, a); ok {
		return a.Image, verdict, nil
	}
	verdict, _, err := l.consult(ctx, g.fleet, g.fleet.policy.Verifier(l.judging(g.fleet, l.now())), a, l.content())
	return a.Image, verdict, err
}

// notFetchedYet is all that can be said of a package before its bytes came.
func notFetchedYet(at time.Time) mirror.Verdict {
	reason := mirror.Because(mirror.NotFetched, "its bytes were not fetched yet, and only they tell")
	reason.Fix = "wait until the daemon has fetched it, or run `poundlock sync`"
	return mirror.Verdict{Outcome: mirror.OutcomeUnknown, At: at, Reason: reason}
}

// nowhere says what is known of a package whose bytes lie nowhere here: what the last run was told, or that it cannot be
// asked. A package that is not there proves nothing against it.
func (l *Line) nowhere(ctx context.Context, f *fleet, a mirror.Action) (mirror.Verdict, bool) {
	for _, place := range l.places(f, a) {
		if _, err := l.origins().Manifest(ctx, place, a.New); !errors.Is(err, mirror.ErrNotFound) && !errors.Is(err, mirror.ErrNotFetched) {
			return mirror.Verdict{}, false // it is there; any other trouble is told by who judges
		}
	}
	if v, ok := l.refusal(f, a); ok {
		return v, true
	}
	reason := mirror.Because(mirror.NotVerified, "it could not be asked: its bytes lie neither in the local registry nor in the spool")
	reason.Fix = "let `poundlock sync` fetch it, and see what `poundlock trace` tells of it"
	return mirror.Verdict{Outcome: mirror.OutcomeUnknown, At: l.now(), Reason: reason}, true
}

func hasPackages(f *fleet) bool {
	return slices.ContainsFunc(f.desired.Sets, func(s mirror.Set) bool { return s.Packages })
}

// isPackage says whether a reference is of a repository that holds packages of a set.
func (g *glance) isPackage(image mirror.Reference) bool {
	for _, set := range g.fleet.desired.Sets {
		if !set.Packages {
			continue
		}
		record, err := g.stands(set)
		if err != nil {
			continue // told where the set is looked at
		}
		for _, e := range g.entries(set, record) {
			if slices.ContainsFunc(e.images(), func(i mirror.Reference) bool { return i.Name() == image.Name() }) {
				return true
			}
		}
	}
	return false
}

// images lists what an entry is, by what asks for it and by what stands.
func (e EntryLook) images() []mirror.Reference {
	all := []mirror.Reference{e.Image}
	for _, s := range e.Stages {
		all = append(all, s.Image, s.Wanted)
	}
	return slices.DeleteFunc(all, mirror.Reference.IsZero)
}

// digestOf gives the digest of an image that a query named without one: what is known of a package's bytes, or what the
// registry says.
func (g *glance) digestOf(ctx context.Context, in mirror.Set, entry string, image mirror.Reference) (mirror.Digest, error) {
	if !in.Packages {
		d, err := g.line.registry.Resolve(ctx, image)
		return d.Digest, err
	}
	i := slices.IndexFunc(in.Entries, func(e mirror.Entry) bool { return e.Name == entry && e.Image == image })
	if i < 0 || in.Entries[i].Package.IsZero() {
		return mirror.Digest{}, fmt.Errorf("%s: %w", image, mirror.ErrNotFetched)
	}
	switch known, ok := g.line.packages.known.get(keyOfPackage(image, in.Entries[i].Package)); {
	case ok && known.Refused != nil:
		return mirror.Digest{}, *known.Refused
	case ok:
		return known.Manifest, nil
	}
	return mirror.Digest{}, fmt.Errorf("%s: %w", image, mirror.ErrNotFetched)
}
