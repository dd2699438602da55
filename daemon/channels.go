package daemon

import (
	"maps"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/epr"
	"github.com/poundlock/poundlock/internal/mirror"
)

// A set of packages has a channel for each stage, and one for each frozen channel. What a channel holds follows from the
// record: this file says how, and asks nobody.

// channel is what one channel is to hold.
type channel struct {
	epr.Name
	all []epr.Standing
	// unproven is what stands and was not judged by us, or is asked for by a frozen channel and is known of nowhere: it is in
	// the channel only where it was before.
	unproven []epr.Standing
}

// channelsOf gives the channels of a set for its record: those of its stages, lowest first, then the frozen ones by name.
func channelsOf(local mirror.Local, set mirror.Set, record mirror.Record) []channel {
	var all []channel
	for i, stage := range set.Stages {
		all = append(all, channelAt(local, set, record, stage, set.Stages[i:]))
	}
	for _, f := range set.Frozen {
		all = append(all, frozenChannel(local, set, record, f))
	}
	return all
}

// channelAt gives the channel of a stage: what stands there or at one above it. Of a package that stands at two, the bytes of
// the higher one count, so that what was promoted is served as it was promoted wherever somebody looks.
func channelAt(local mirror.Local, set mirror.Set, record mirror.Record, stage mirror.Stage, from mirror.Stages) channel {
	c := channel{Name: epr.Name{Set: set.Name, Channel: string(stage)}}
	seen := map[mirror.Package]bool{}
	for _, stage := range slices.Backward(from) {
		standing := record.At(stage)
		for _, entry := range sortedKeys(standing) {
			line := standing[entry]
			s, ok := standingOf(local, set, stage, entry, line.Image)
			if !ok || seen[s.Package] {
				continue
			}
			seen[s.Package] = true
			c.take(s, line.Proven)
		}
	}
	return c
}

// frozenChannel gives what a frozen channel holds. Its document is written by people, so what it names counts where the record
// knows that it was admitted.
func frozenChannel(local mirror.Local, set mirror.Set, record mirror.Record, f mirror.FrozenChannel) channel {
	c := channel{Name: epr.Name{Set: set.Name, Channel: f.Name}}
	for _, w := range f.Lines {
		if s, ok := standingOf(local, set, f.From, w.Entry, w.Image); ok {
			c.take(s, admittedBefore(set, record, w.Entry, w.Image))
		}
	}
	return c
}

// admittedBefore says whether an image stands for an entry at any stage, judged by us, or stood there.
func admittedBefore(set mirror.Set, record mirror.Record, entry string, image mirror.Reference) bool {
	same := func(r mirror.Reference) bool { return r.Name() == image.Name() && r.Digest == image.Digest }
	return slices.ContainsFunc(set.Stages, func(stage mirror.Stage) bool {
		line := record.At(stage)[entry]
		left := record.Left[stage][entry]
		return line.Proven && same(line.Image) || slices.ContainsFunc(line.Was, same) || slices.ContainsFunc(left.Was, same)
	})
}

func (c *channel) take(s epr.Standing, proven bool) {
	if proven {
		c.all = append(c.all, s)
	} else {
		c.unproven = append(c.unproven, s)
	}
}

// with gives all that the channel holds where something tells of the rest whether it was in it before.
func (c channel) with(before func(epr.Standing) bool) []epr.Standing {
	all := slices.Clone(c.all)
	for _, s := range c.unproven {
		if before(s) {
			all = append(all, s)
		}
	}
	return all
}

// standingOf gives what stands for an entry at a stage. An entry that names no package, such as one of a set that was of
// another kind once, is in no channel.
func standingOf(local mirror.Local, set mirror.Set, stage mirror.Stage, entry string, image mirror.Reference) (epr.Standing, bool) {
	p, err := mirror.ParsePackage(entry)
	if err != nil || !image.HasDigest() {
		return epr.Standing{}, false
	}
	return epr.Standing{Package: p, Stage: string(stage), Local: local.Repository(set, stage, image).AtDigest(image.Digest)}, true
}

// catalogOf names all channels of a fleet.
func catalogOf(desired mirror.Desired) []epr.Name {
	all := map[epr.Name]bool{}
	for _, set := range desired.Sets {
		if !set.Packages {
			continue
		}
		for _, stage := range set.Stages {
			all[epr.Name{Set: set.Name, Channel: string(stage)}] = true
		}
		for _, f := range set.Frozen {
			all[epr.Name{Set: set.Name, Channel: f.Name}] = true
		}
	}
	return slices.SortedFunc(maps.Keys(all), func(a, b epr.Name) int { return strings.Compare(a.String(), b.String()) })
}
