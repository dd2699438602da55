package daemon

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sources"
)

// packagesOfSet resolves the packages of one set from what is known of their bytes; it sends no request for them.
type packagesOfSet struct {
	sources.Resolver
	digests map[mirror.Reference]packageDigest
}

type packageDigest struct {
	digest mirror.Digest
	err    error
}

// Resolve gives the digest of a package's artifact, or why none is known.
func (s packagesOfSet) Resolve(ctx context.Context, r mirror.Reference) (mirror.Descriptor, error) {
	known, ok := s.digests[r]
	if !ok {
		return s.Resolver.Resolve(ctx, r)
	}
	return mirror.Descriptor{Digest: known.digest}, known.err
}

// of gives who resolves the entries of a set: its packages are looked up, everything else is asked for. What stands, as the
// believed record says, is taken for what upstream has where nothing is known of it: a state that was lost costs no zip.
func (p *packages) of(set mirror.Set, believed mirror.Record, next sources.Resolver, at time.Time) sources.Resolver {
	standing := believed.At(set.Stages.First())
	s := packagesOfSet{next, map[mirror.Reference]packageDigest{}}
	if err := p.known.update(p.look(set, standing, s.digests, at)); err != nil {
		p.line.log.Warn("what is known of packages is not remembered", keySet, set.Name, keyError, err)
	}
	return s
}

// look looks up the packages of a set, and gives what is to be remembered of them.
func (p *packages) look(set mirror.Set, standing mirror.Standing, digests map[mirror.Reference]packageDigest, at time.Time) map[string]knownChange {
	news := map[string]knownChange{}
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.named[set.Name]
	p.named[set.Name], p.doubted[set.Name] = map[string]bool{}, map[string]bool{}
	for _, e := range set.Entries {
		if e.Package.IsZero() || e.Image.HasDigest() {
			continue
		}
		key := keyOfPackage(e.Image, e.Package)
		p.named[set.Name][key], p.names[e.Image.Name()] = true, true
		line, stands := standing[e.Name]
		known, is := p.known.get(key)
		if !is && stands && line.Image.WithDigest(mirror.Digest{}) == e.Image {
			known, is = knownPackage{Print: e.Package.Print, Manifest: line.Image.Digest, Zip: zipMark{Unknown: true}, At: at.UTC()}, true
			news[key] = believed(known)
		}
		digests[e.Image] = p.digest(key, known, is)
		p.stood(key, set.Name, line.Image.Digest)
		switch at := line.Image.Digest; {
		case !is || known.Refused != nil || !stands:
		case known.Manifest != at && known.Over[set.Name] != at:
			p.doubted[set.Name][key], digests[e.Image] = true, packageDigest{digest: at}
		case known.Manifest == at && known.Over[set.Name] != (mirror.Digest{}):
			news[key] = notOver(set.Name, at)
		}
	}
	for key := range before {
		if !p.named[set.Name][key] {
			p.unname(key, set.Name)
		}
	}
	for _, stage := range set.Stages.Upper() {
		for _, line := range set.Wanted[stage] {
			if set.Packages {
				p.names[line.Image.Name()] = true
			}
		}
	}
	return news
}

// believed remembers of a package what stands, where nothing is known of it by then.
func believed(known knownPackage) knownChange {
	return func(now *knownPackage) bool {
		if !now.At.IsZero() {
			return false
		}
		*now = known
		return true
	}
}

// notOver remembers that what stands of a package in a set is what its bytes are.
func notOver(set string, stands mirror.Digest) knownChange {
	return func(now *knownPackage) bool {
		if now.Manifest != stands || now.Over[set] == (mirror.Digest{}) {
			return false
		}
		now.Over = maps.Clone(now.Over)
		delete(now.Over, set)
		return true
	}
}

// leave ends what is fetched for a set that is no more, and forgets what it named.
func (p *packages) leave(set string) {
	p.want(set, nil)
	p.mu.Lock()
	defer p.mu.Unlock()
	named := p.named[set]
	delete(p.named, set)
	delete(p.doubted, set)
	for key := range named {
		p.unname(key, set)
	}
}

// unname forgets what was noted of a package that a set names no more; p.mu is held.
func (p *packages) unname(key, set string) {
	p.stood(key, set, mirror.Digest{})
	for _, named := range p.named {
		if named[key] {
			return
		}
	}
	delete(p.stands, key)
	delete(p.failed, key)
	delete(p.again, key)
}

// stood notes what stands of a package in a set; p.mu is held. What stands and is neither what is known nor what stood when
// that was found out, another daemon of the site brought, which saw upstream later: it is believed until the bytes were
// compared. Two daemons would put back what the other one brought for ever otherwise.
func (p *packages) stood(key, set string, d mirror.Digest) {
	switch {
	case d != mirror.Digest{}:
		if p.stands[key] == nil {
			p.stands[key] = map[string]mirror.Digest{}
		}
		p.stands[key][set] = d
	case p.stands[key] != nil:
		delete(p.stands[key], set)
	}
}

// over gives what stands of a package otherwise than its bytes are, by set.
func (p *packages) over(key string, now mirror.Digest) map[string]mirror.Digest {
	p.mu.Lock()
	defer p.mu.Unlock()
	over := maps.Clone(p.stands[key])
	maps.DeleteFunc(over, func(_ string, stands mirror.Digest) bool { return stands == now })
	return over
}

// doubts says whether a set waits for the bytes of a package to be compared.
func (p *packages) doubts(key string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, doubted := range p.doubted {
		if doubted[key] {
			return true
		}
	}
	return false
}

// digest gives the digest of a package, or why there is none; p.mu is held.
func (p *packages) digest(key string, known knownPackage, is bool) packageDigest {
	failed, trouble := p.failed[key]
	switch {
	case is && known.Refused != nil:
		return packageDigest{err: fmt.Errorf("%w: %w", errBadPackage, *known.Refused)}
	case is:
		return packageDigest{digest: known.Manifest}
	case trouble && p.jobs[key] == nil:
		return packageDigest{err: failed.err}
	}
	return packageDigest{err: mirror.ErrNotFetched}
}

// arrived deletes what the local registry holds now from the spool, and notes where it lies there.
func (p *packages) arrived(d mirror.Done) {
	key, _, ok := p.known.content(d.Action.Image, d.Action.New)
	if !ok || d.Err != nil {
		return
	}
	err := p.known.update(map[string]knownChange{key: func(now *knownPackage) bool {
		if now.Manifest != d.Action.New {
			return false
		}
		now.Stored = d.Action.To.Name()
		return true
	}})
	if err != nil {
		p.line.log.Warn("where a package lies is not remembered", keyRef, d.Action.Image.String(), keyError, err)
	}
	p.spool.drop(d.Action.Image, d.Action.New)
}

// adopt takes in what lies in the spool and is not known: an earlier process died, or lost its state, after it had fetched
// it. What is known by now to be something else is of no use.
func (p *packages) adopt() {
	news := map[string]knownPackage{}
	for _, one := range p.spool.all() {
		known, is := p.known.get(one.Key)
		switch {
		case !is:
			news[one.Key] = one.Known
		case known.Manifest != one.Known.Manifest:
			p.spool.drop(one.Image, one.Known.Manifest)
		}
	}
	if p.spool.readonly {
		p.known.remember(news)
		return
	}
	if err := p.known.set(news); err != nil {
		p.line.log.Warn("what is known of packages is not remembered", keyError, err)
	}
}
