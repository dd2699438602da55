package mirror

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Distribution asks for an image of Elastic's package registry that carries the packages of a stage, one for each stage.
type Distribution struct {
	Base       Reference           `yaml:"base,required" jsonschema:"example=docker.elastic.co/package-registry/package-registry" jsonschema_description:"The bare server image, by its upstream name. A set has to bring it to the same stage: without tag and digest the one that stands there is taken."`
	Bases      map[Stage]Reference `yaml:"bases" jsonschema_description:"Another base for single stages, such as an older server for production."`
	Groups     int                 `yaml:"groups" jsonschema:"minimum=1,maximum=100,default=16" jsonschema_description:"Into how many layers the packages are divided, by their names: a group in which nothing changed keeps its layer."`
	Repository string              `yaml:"repository" jsonschema:"example=mirror/poundlock/distribution/elastic" jsonschema_description:"Repository in the local registry; <prefix>/poundlock/distribution/<set> when it is left out."`
	Where      Position
}

// defaultGroups keeps a layer of Elastic's whole production channel (20 GB) a little above 1 GB.
const defaultGroups = 16

// BaseAt gives the base for a stage, as it is asked for.
func (d Distribution) BaseAt(s Stage) Reference {
	if base, ok := d.Bases[s]; ok {
		return base
	}
	return d.Base
}

// GroupCount gives into how many layers packages are divided.
func (d Distribution) GroupCount() int {
	if d.Groups == 0 {
		return defaultGroups
	}
	return d.Groups
}

// DistributionRepository gives where the distribution images of a set lie, without tag and digest.
func (l Local) DistributionRepository(s Set) Reference {
	if s.Distribution != nil && s.Distribution.Repository != "" {
		return Reference{Host: l.Host, Repository: s.Distribution.Repository}
	}
	return Reference{Host: l.Host, Repository: joinPath(l.Prefix, "poundlock", "distribution", s.Name)}
}

// checkDistribution finds the mistakes in what a set says of its distribution images.
func (s Set) checkDistribution() (ps Problems) {
	d := s.Distribution
	if d == nil {
		return nil
	}
	if d.Groups < 0 || d.Groups > 100 {
		ps.AddAt("distribution.groups", "FLT070", s.At("distribution", "groups"), "write a number from 1 to 100", "distribution.groups: %d layers cannot be made", d.Groups)
	}
	if r := d.Repository; r != "" {
		if _, err := ParseReference("x.example/" + r); err != nil || strings.ContainsAny(r, ":@") {
			ps.AddAt("distribution.repository", "FLT070", s.At("distribution", "repository"), "write lower-case words, joined by /, without host, tag and digest", "distribution.repository: %q is not a repository path", r)
		}
	}
	for _, stage := range slices.Sorted(maps.Keys(d.Bases)) {
		if !slices.Contains(s.Stages, stage) {
			ps.AddAt("distribution.bases", "FLT070", s.KeyAt("distribution", "bases", string(stage)), Suggest(string(stage), stageNames(s.Stages)), "distribution.bases: the set has no stage %q", stage)
		}
	}
	return ps
}

// checkStale finds a time after which a tag cannot be stale.
func (s Set) checkStale() (ps Problems) {
	if s.StaleAfter < 0 {
		ps.AddAt("staleAfter", "FLT071", s.At("staleAfter"), "write a time such as 720h", "staleAfter: %v is no time to wait", s.StaleAfter)
	}
	return ps
}

// BaseOf finds what stands at a stage for the base of a distribution image, among what sets have there. It is an error where
// nothing or more than one thing fits: each of them would be another server.
func (d Distribution) BaseOf(stage Stage, standing []Line) (Line, error) {
	want, found := d.BaseAt(stage), map[Reference]Line{}
	for _, line := range standing {
		is := line.Image
		if is.Name() == want.Name() && (want.Tag == "" || want.Tag == is.Tag) && (!want.HasDigest() || want.Digest == is.Digest) {
			found[Reference{Host: is.Host, Repository: is.Repository, Digest: is.Digest}] = line
		}
	}
	switch len(found) {
	case 0:
		return Line{}, fmt.Errorf("%s does not stand at %s in any set: a base has to be verified for the stage", want, stage)
	case 1:
		for _, line := range found {
			return line, nil
		}
	}
	return Line{}, fmt.Errorf("%d images of %s stand at %s: name the tag in distribution.bases", len(found), want.Name(), stage)
}
