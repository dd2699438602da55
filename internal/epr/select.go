package epr

import (
	"slices"

	"github.com/Masterminds/semver/v3"
)

// selection is one query while it is answered.
type selection struct {
	query
	kibanaFits []bool // by place in the table of ranges
	agentFits  []bool
	specFits   []bool
}

// find gives the versions that a query asks for, by name and version. Newest comes after all filters but the category.
func (c *Channel) find(q query) []*version {
	s := selection{q, fits(c.ranges.values, q.kibana), fits(c.ranges.values, q.agent), q.fittingSpecs(c.specs.values)}
	groups := c.packages
	if q.name != "" {
		groups = [][]*version{c.byName[q.name]}
	}
	found := make([]*version, 0, len(groups))
	for _, group := range groups {
		found = s.pick(found, group)
	}
	if q.category == "" {
		return found
	}
	return slices.DeleteFunc(found, func(v *version) bool { return !v.isIn(q.category) })
}

// recall gives what find does; the caller changes nothing of it.
func (c *Channel) recall(q query) []*version {
	if q.asked == "" {
		return c.find(q)
	}
	found, known := c.found.get(q.asked)
	if !known {
		found = c.find(q)
		c.found.add(q.asked, found, len(found)+1)
	}
	return found
}

func fits(ranges []*semver.Constraints, v *semver.Version) []bool {
	if v == nil {
		return nil
	}
	is := make([]bool, len(ranges))
	for i, r := range ranges {
		is[i] = r != nil && r.Check(v)
	}
	return is
}

// fittingSpecs compares as a range does: a version with a suffix is below the one without.
func (q query) fittingSpecs(specs []*semver.Version) []bool {
	if q.specMin == nil && q.specMax == nil {
		return nil
	}
	is := make([]bool, len(specs))
	for i, v := range specs {
		is[i] = (q.specMin == nil || !v.LessThan(q.specMin)) && (q.specMax == nil || !v.GreaterThan(q.specMax))
	}
	return is
}

// fit says whether what stands at a place of a table fits. Whatever is not asked for fits.
func fit(fits []bool, place int, without bool) bool {
	switch {
	case fits == nil:
		return true
	case place < 0:
		return without
	}
	return fits[place]
}

// pick adds what is asked for of the versions of one package.
func (s selection) pick(found, group []*version) []*version {
	switch {
	case s.experimental:
		return append(found, s.pickOld(group)...)
	case s.all:
		for _, v := range group {
			if s.matches(v) {
				found = append(found, v)
			}
		}
		return found
	}
	var newest *version
	for _, v := range slices.Backward(group) {
		if newest != nil && v.version.LessThan(newest.version) {
			break
		}
		if s.matches(v) { // of those that differ only behind a plus sign the first one
			newest = v
		}
	}
	if newest == nil {
		return found
	}
	return append(found, newest)
}

func (s selection) matches(v *version) bool {
	switch {
	case (v.experimental || v.prerelease) && !s.prerelease:
		return false
	case !s.worksWith(v) || !fit(s.agentFits, v.agentAt, true) || !fit(s.specFits, v.specAt, false):
		return false
	case s.kind != "" && s.kind != v.kind:
		return false
	case s.capabilities != nil && slices.ContainsFunc(v.capabilities, func(c string) bool { return !slices.Contains(s.capabilities, c) }):
		return false
	}
	return !slices.ContainsFunc(s.discovery, func(d discoveryQuery) bool { return !d.matches(v.known) })
}

func (s selection) worksWith(v *version) bool { return fit(s.kibanaFits, v.kibanaAt, true) }

// pickOld answers who asks with experimental=true: releases go before versions with a suffix, and of all versions those with
// a suffix or below 1.0.0 are left out where there is another.
func (s selection) pickOld(group []*version) []*version {
	var picked []*version
	stable := false
	for _, v := range group {
		if !s.worksWith(v) || s.kind != "" && s.kind != v.kind {
			continue
		}
		stable = stable || v.isStable()
		switch {
		case s.all || len(picked) == 0:
			picked = append(picked, v)
		case isBetter(v, picked[0]):
			picked[0] = v
		}
	}
	if !s.all || !stable {
		return picked
	}
	return slices.DeleteFunc(picked, func(v *version) bool { return !v.isStable() })
}

func (v *version) isStable() bool { return !v.prerelease && v.version.Major() > 0 }

func isBetter(v, than *version) bool {
	if a, b := v.prerelease, than.prerelease; a != b {
		return b
	}
	return than.version.LessThan(v.version)
}

// isIn says whether the package or one of its policy templates is of a category.
func (v *version) isIn(category string) bool {
	return isIn(v.categories, category) || slices.ContainsFunc(v.templates, func(t []string) bool { return isIn(t, category) })
}
