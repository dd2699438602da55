package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/elastic"
	"github.com/poundlock/poundlock/internal/epr"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/internal/registry"
	"github.com/poundlock/poundlock/sync/publish"
)

const (
	keyChannel  = "channel"
	keyPackages = "packages"
	keyMoved    = "moved"
)

// writeChannels brings the channels of sets to the registry, each on its own: one that fails stops no other.
func (l *Line) writeChannels(ctx context.Context, due map[string]bool) error {
	f := l.fleet.Load()
	if f == nil || len(due) == 0 {
		return nil
	}
	l.channels.writing.Lock()
	defer l.channels.writing.Unlock()
	var errs []error
	for _, name := range sortedKeys(due) {
		set, ok := f.desired.Set(name)
		if _, suspended := l.Suspended(name); !ok || !set.Packages || suspended {
			continue
		}
		record, err := l.state.Record(name)
		if err != nil {
			return err
		}
		if set.Frozen, err = l.frozenAsEver(f, set, record); err != nil {
			errs = append(errs, err)
		}
		set, record = l.servable(f, set, record)
		for _, c := range channelsOf(l.local, set, record) {
			if err := l.writeChannel(ctx, f, c, due[name]); errors.Is(err, publish.ErrSuperseded) || errors.Is(err, errSuspended) {
				break // the step that comes of it makes them due again
			} else if err != nil {
				errs = append(errs, fmt.Errorf("channel %s: %w", c.Name, err))
			}
		}
	}
	if err := l.writeCatalog(ctx, f, slices.Contains(slices.Collect(maps.Values(due)), true)); err != nil {
		errs = append(errs, fmt.Errorf("catalog of channels: %w", err))
	}
	return errors.Join(errs...)
}

// writeChannel brings one channel to the registry: its shards, its index, then its tag. Nothing is asked where it is known
// to be as it should be. The registry is the same for every daemon of the site, and the same record gives the same bytes.
func (l *Line) writeChannel(ctx context.Context, f *fleet, c channel, audit bool) error {
	at := c.In(l.local.Host, l.local.Prefix)
	noted, sum := l.state.Channel(c.Name)
	want := epr.Sum(c.Name, c.all)
	asked := want + " " + epr.Sum(c.Name, c.unproven)
	if !audit && l.channels.did(c.Name, asked) {
		return nil
	}
	tagged, err := l.registry.Resolve(ctx, at)
	if err != nil && !errors.Is(err, mirror.ErrNotFound) {
		return err
	}
	before, err := l.indexBefore(ctx, at.WithDigest(noted))
	if err != nil {
		return err
	}
	all, adopt, err := l.holdsOf(ctx, c, at, before, tagged.Digest)
	if err != nil {
		return err
	}
	if len(c.unproven) > 0 {
		want = epr.Sum(c.Name, all)
	}
	whole := before != nil && sum == want && tagged.Digest == noted
	if whole && audit {
		whole, err = l.holdsIndex(ctx, at, *before)
		if err != nil {
			return err
		}
		if !whole {
			before = nil // a part of it is gone
		}
	}
	if whole || adopt {
		l.channels.does(c.Name, asked)
		l.metrics.channels.stands(c.Name, len(all))
		l.channels.tells(c.Name, "EPR012", "")
		return l.state.SetChannel(c.Name, tagged.Digest, want)
	}
	made, err := epr.WriteIndex(ctx, l.registry, at, c.Name, before, all, l.itemOf)
	if err != nil {
		return err
	}
	if err := l.fence(f, c.Set)(ctx); err != nil {
		return err
	}
	if err := l.writeMade(ctx, made.Artifact, at); err != nil {
		return err
	}
	digest := made.Manifest.Descriptor.Digest
	if noted != (mirror.Digest{}) && tagged.Digest != noted && tagged.Digest != digest {
		l.log.Warn("the tag of a channel was moved or deleted by somebody else and is ours again", keyCode, "EPR013", keyRef, at.String(), keyMoved, tagged.Digest.String())
	}
	if len(made.LeftOut) > 0 {
		want, asked = "", "" // to be tried again
	}
	if err := l.state.SetChannel(c.Name, digest, want); err != nil {
		return err
	}
	l.channels.does(c.Name, asked)
	l.channelWritten(c, made, digest != tagged.Digest)
	return nil
}

// channelWritten tells of a channel that was written.
func (l *Line) channelWritten(c channel, made epr.Written, changed bool) {
	l.metrics.channels.written(c.Name, made.Packages, len(made.LeftOut), l.now())
	var all []string
	for _, err := range made.LeftOut {
		all = append(all, mirror.Clean(err.Error()))
	}
	if l.channels.tells(c.Name, "EPR012", strings.Join(all, "\n")) {
		for _, one := range all[:min(len(all), 5)] {
			l.log.Warn("a package is not in its channel", keyCode, "EPR012", keyChannel, c.String(), keyError, one)
		}
	}
	if changed {
		l.log.Info("channel written", keyChannel, c.String(), keyPackages, made.Packages)
		l.channels.told()
	}
}

// indexBefore reads the index that we wrote last; nil where it is gone, or of another Poundlock.
func (l *Line) indexBefore(ctx context.Context, at mirror.Reference) (*epr.Index, error) {
	if !at.HasDigest() {
		return nil, nil
	}
	x, err := epr.ReadIndex(ctx, l.registry, at)
	switch {
	case errors.Is(err, mirror.ErrNotFound), errors.Is(err, epr.ErrMalformed), errors.Is(err, mirror.ErrDigestMismatch):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return &x, nil
}

// holdsOf gives what a channel is to hold. What nobody of us judged is in it where the index before held it. Where that is
// not known, as after the state was deleted, an index that was made of just the same stays (adopt): a frozen channel must not
// lose what stands at no stage any more because a file on this machine is gone.
func (l *Line) holdsOf(ctx context.Context, c channel, at mirror.Reference, before *epr.Index, tagged mirror.Digest) (all []epr.Standing, adopt bool, err error) {
	if len(c.unproven) == 0 {
		return c.all, false, nil
	}
	held := map[string]bool{}
	if before != nil {
		contents, err := epr.ReadContents(ctx, l.registry, at.WithDigest(before.Digest))
		if err != nil {
			return nil, false, err
		}
		for _, item := range contents.Items {
			held[item.Package.String()+" "+item.Local.Digest.String()] = true
		}
	} else if all := slices.Concat(c.all, c.unproven); tagged != (mirror.Digest{}) {
		x, err := l.indexBefore(ctx, at.WithDigest(tagged))
		if err != nil {
			return nil, false, err
		}
		if x != nil && x.Sum() == epr.Sum(c.Name, all) {
			return all, true, nil
		}
	}
	var out []string
	all = c.with(func(s epr.Standing) bool {
		in := held[s.Package.String()+" "+s.Local.Digest.String()]
		if !in {
			out = append(out, s.Package.String())
		}
		return in
	})
	if l.channels.tells(c.Name, "EPR014", strings.Join(out, " ")) {
		l.log.Warn("packages are not in a channel: nothing shows that they were admitted here", keyCode, "EPR014", keyChannel, c.String(), keyPackages, len(out), keyEntry, strings.Join(out[:min(len(out), 5)], ", "))
	}
	return all, false, nil
}

// holdsIndex asks the registry for every part of an index.
func (l *Line) holdsIndex(ctx context.Context, at mirror.Reference, x epr.Index) (bool, error) {
	for _, d := range x.Blobs() {
		if there, err := l.registry.HasBlob(ctx, at, d); err != nil || !there {
			return false, err
		}
	}
	return true, nil
}

// itemOf makes the item of a package that stands, of the facts in its artifact. A registry that fails stops the channel, which
// stays as it was; a package that is gone or is none stops nothing.
func (l *Line) itemOf(ctx context.Context, s epr.Standing) (epr.Item, error) {
	facts, layers, err := elastic.Read(ctx, l.registry, s.Local)
	if err == nil && facts.Package != s.Package {
		err = fmt.Errorf("its artifact %s is of %s", s.Local, facts.Package)
	}
	if err == nil {
		err = l.factsOf(ctx, s, facts, layers)
	}
	var item epr.Item
	if err == nil {
		item, err = epr.NewItem(facts, s.Local, layers)
	}
	if trouble := new(registry.Error); err != nil && ctx.Err() == nil && (!errors.As(err, &trouble) || errors.Is(err, mirror.ErrNotFound)) {
		err = fmt.Errorf("%w: %w", epr.ErrLeftOut, err)
	}
	return item, err
}

// writeMade brings an artifact of ours to the local registry, its tag last.
func (l *Line) writeMade(ctx context.Context, a mirror.Artifact, to mirror.Reference) error {
	a.Image = mirror.Reference{Host: "poundlock.invalid", Repository: "channels", Digest: a.Manifest.Descriptor.Digest}
	content := origins{Content: l.registry, made: func() []mirror.Artifact { return []mirror.Artifact{a} }}
	return l.mover.Write(ctx, content, a.Image, to)
}

// writeCatalog brings the names of all channels to the registry. A fleet that never had packages has none.
func (l *Line) writeCatalog(ctx context.Context, f *fleet, audit bool) error {
	names := catalogOf(f.desired)
	at := epr.CatalogIn(l.local.Host, l.local.Prefix)
	a, err := epr.WriteCatalog(at, names)
	if err != nil {
		return err
	}
	digest := a.Manifest.Descriptor.Digest
	if !audit && l.channels.did(epr.Name{}, digest.String()) {
		return nil
	}
	tagged, err := l.registry.Resolve(ctx, at)
	if err != nil && !errors.Is(err, mirror.ErrNotFound) {
		return err
	}
	whole := tagged.Digest == digest
	for blob := range a.Blobs {
		if !whole || !audit {
			break
		}
		if whole, err = l.registry.HasBlob(ctx, at, blob); err != nil {
			return err
		}
	}
	if !whole {
		// A daemon that heard nothing of a newer fleet would take its channels from those who use them. It will hear of it.
		switch err := l.fence(f, "")(ctx); {
		case errors.Is(err, publish.ErrSuperseded):
			return nil
		case err != nil:
			return err
		}
		if err := l.writeMade(ctx, a, at); err != nil {
			return err
		}
	}
	if err := l.state.SetChannel(epr.Name{}, digest, ""); err != nil {
		return err
	}
	l.channels.does(epr.Name{}, digest.String())
	for _, n := range l.channels.only(names) {
		l.metrics.channels.drop(n)
	}
	if tagged.Digest != digest {
		l.channels.told()
	}
	return nil
}
