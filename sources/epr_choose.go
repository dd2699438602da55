package sources

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/Masterminds/semver/v3"
	"github.com/bmatcuk/doublestar/v4"

	"github.com/poundlock/poundlock/internal/mirror"
)

// choose gives the packages that are wanted, sorted by name and version, and tells of what is asked for in vain.
func (q eprQuestion) choose(searches []eprSearch, answers []*eprAnswer, l *listing) ([]eprItem, error) {
	chosen, told := map[mirror.Package]eprItem{}, map[string]string{}
	works := workings{map[string]string{}, map[[2]string]bool{}}
	for i, s := range searches {
		maps.Copy(told, answers[i].left)
		for _, e := range s.queries {
			for _, item := range q.chosen(e, answers[i], works) {
				chosen[item.Package] = item
			}
		}
	}
	for _, p := range q.pinned {
		if q.excludes(p) {
			continue
		}
		item, err := q.pin(p, answers)
		if err != nil {
			told[p.String()] = err.Error()
			continue
		}
		chosen[p] = item
	}
	for _, pattern := range q.idle(answers) {
		l.left = append(l.left, Left{Entry: pattern, Why: "upstream lists no package of this name for what is asked", Gone: true})
	}
	for _, constraint := range slices.Sorted(maps.Keys(works.bad)) {
		told[works.bad[constraint]] = fmt.Sprintf("the versions of Kibana that it works with cannot be read: %s", mirror.Shorten(mirror.Clean(constraint), 80))
	}
	for entry, why := range told {
		l.left = append(l.left, Left{Entry: entry, Why: why})
	}
	if len(chosen) == 0 {
		return nil, mirror.Problem{Code: "SRC116", Where: q.where(), What: "none of the packages that upstream names passes the rules", Fix: "compare the rules with what " + q.base.JoinPath("search").String() + " names; what stands stays meanwhile"}
	}
	return slices.SortedFunc(maps.Values(chosen), func(a, b eprItem) int { return cmp.Compare(a.String(), b.String()) }), nil
}

// pin gives a version that is named exactly. Where the answer does not list it, it is looked for where every package
// registry has its packages.
func (q eprQuestion) pin(p mirror.Package, answers []*eprAnswer) (eprItem, error) {
	for _, a := range answers {
		if why, left := a.left[p.String()]; left {
			return eprItem{}, errors.New(why)
		}
		if item, ok := a.items[p]; ok {
			return item, nil
		}
	}
	image, err := packageImage(q.at, p)
	if err != nil {
		return eprItem{}, err
	}
	zip, err := below(q.base, conventional(p), "")
	if err != nil {
		return eprItem{}, err
	}
	return eprItem{Package: p, image: image, at: mirror.PackageAt{Package: p, Zip: zip, Signature: zip + ".sig"}}, nil
}

// idle gives the globs over names that match nothing in any answer: most likely they are misspelt.
func (q eprQuestion) idle(answers []*eprAnswer) (idle []string) {
	matched := map[string]bool{}
	var patterns []string
	for _, e := range q.queries {
		for _, pattern := range e.names {
			if _, known := matched[pattern]; known {
				continue
			}
			patterns = append(patterns, pattern)
			matched[pattern] = slices.ContainsFunc(answers, func(a *eprAnswer) bool {
				return len(a.matching(pattern)) > 0
			})
		}
	}
	for _, pattern := range patterns {
		if !matched[pattern] {
			idle = append(idle, pattern)
		}
	}
	return idle
}

// matching gives the names that a glob matches, sorted.
func (a *eprAnswer) matching(pattern string) (names []string) {
	if exact(pattern) {
		if _, has := a.names[pattern]; has {
			return []string{pattern}
		}
		return nil
	}
	for name := range a.names {
		if doublestar.MatchUnvalidated(pattern, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// chosen gives what one query wants of an answer.
func (q eprQuestion) chosen(e eprQuery, a *eprAnswer, works workings) (all []eprItem) {
	patterns := e.names
	if len(patterns) == 0 {
		patterns = []string{"*"}
	}
	names := map[string]bool{}
	for _, pattern := range patterns {
		for _, name := range a.matching(pattern) {
			names[name] = true
		}
	}
	for name := range names {
		n := 0
		for _, item := range a.sorted(name) {
			if e.newest > 0 && n == e.newest {
				break
			}
			if q.excludes(item.Package) || !e.wants(item, works) {
				continue
			}
			n++ // also where its category is not wanted: a package registry chooses the newest before
			if len(e.categories) == 0 || slices.ContainsFunc(item.categories, func(c string) bool { return slices.Contains(e.categories, c) }) {
				all = append(all, item)
			}
		}
	}
	return all
}

// wants says whether a query is about an item, before the newest are chosen.
func (e eprQuery) wants(item eprItem, works workings) bool {
	switch {
	case !e.prereleases && (item.semver.Prerelease() != "" || item.experimental):
		return false
	case len(e.types) > 0 && !slices.Contains(e.types, item.kind):
		return false
	}
	return e.kibana == nil || works.with(item, e.kibana)
}

// workings remembers which constraints hold for which versions of Kibana: thousands of packages have the same few.
type workings struct {
	bad   map[string]string  // an entry with each constraint that cannot be read
	holds map[[2]string]bool // by constraint and version
}

// with says whether a package works with a version of Kibana, as it says itself.
func (w workings) with(item eprItem, kibana *semver.Version) bool {
	if item.kibana == "" {
		return true
	}
	key := [2]string{item.kibana, kibana.String()}
	holds, known := w.holds[key]
	if !known {
		constraint, err := semver.NewConstraint(item.kibana)
		holds = err == nil && constraint.Check(kibana)
		w.holds[key] = holds
		if err != nil {
			w.bad[item.kibana] = item.String()
		}
	}
	return holds
}
