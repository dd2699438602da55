package sources

import (
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/Masterminds/semver/v3"
	"github.com/bmatcuk/doublestar/v4"

	"github.com/poundlock/poundlock/internal/mirror"
)

var errAddress = errors.New("malformed address")

// eprQuery is one choice among what a package registry lists. A package is wanted where one query wants it.
type eprQuery struct {
	names       []string        // globs; none: every name
	types       []string        // none: every type
	categories  []string        // none: every category
	kibana      *semver.Version // nil: whatever they work with
	spec        specRange
	newest      int // of each name; 0: all
	prereleases bool
	where       mirror.Position
}

// readRules reads which packages are meant, from the options or from a distribution file.
func (s *eprSource) readRules(files mirror.Files) (ps mirror.Problems) {
	o := s.options
	for i, pattern := range o.Exclude {
		if !doublestar.ValidatePattern(pattern) {
			ps.Add("SRC112", s.node.Find("exclude", strconv.Itoa(i)).Where(), "write a glob over names, or over name-version, such as nginx-1.19.*", "source.exclude: %q is no glob", pattern)
		}
	}
	s.exclude = o.Exclude
	if o.Distribution != "" {
		return append(ps, s.readDistribution(files)...)
	}
	if o.URL == "" && !s.asksRules() {
		return ps
	}
	rules := eprQuery{categories: o.Categories, newest: o.Versions.newest(), prereleases: o.Prereleases, spec: o.Spec, where: s.node.Key("url").Where()}
	for _, t := range o.Types {
		rules.types = append(rules.types, string(t))
	}
	names, pinned, problems := s.readNames()
	ps = append(append(ps, problems...), o.Spec.check(s.node.Key("spec"), "source.spec.")...)
	s.pinned, rules.names = pinned, names
	if len(o.Packages) > 0 && len(names) == 0 {
		return ps // pinned ones alone
	}
	if len(o.Kibana) == 0 {
		s.queries = []eprQuery{rules}
	}
	for i, text := range o.Kibana {
		version, err := kibanaVersion(text)
		if err != nil {
			ps.Add("SRC111", s.node.Find("kibana", strconv.Itoa(i)).Where(), "write three numbers, as in 9.3.0", "source.kibana: %q is no version of Kibana", text)
			continue
		}
		rules.kibana = version
		s.queries = append(s.queries, rules)
	}
	return ps
}

// asksRules says whether a rule of the options is given that is about a package registry.
func (s *eprSource) asksRules() bool {
	return slices.ContainsFunc(eprRules, func(key string) bool { return !s.node.Key(key).IsZero() })
}

// eprRules are the options that a distribution file stands instead of.
var eprRules = []string{"packages", "types", "categories", "versions", "prereleases", "kibana", "spec"}

var bracketed = regexp.MustCompile(`\[[^\]]*\]|\{[^}]*\}`)

// readNames tells globs over names from pinned versions: a name has no hyphen.
func (s *eprSource) readNames() (names []string, pinned []mirror.Package, ps mirror.Problems) {
	for i, text := range s.options.Packages {
		where := s.node.Find("packages", strconv.Itoa(i)).Where()
		p, err := mirror.ParsePackage(text)
		switch {
		case err == nil && slices.Contains(pinned, p), err != nil && slices.Contains(names, text):
			ps.Add("SRC112", where, "keep one of them", "source.packages: %s is listed twice", text)
		case err == nil:
			pinned = append(pinned, p)
		case strings.Contains(bracketed.ReplaceAllString(text, ""), "-"):
			ps.Add("SRC112", where, "write nginx-1.20.0 for one version, or a name, or a glob over names", "source.packages: %v", err)
		case text == "" || !doublestar.ValidatePattern(text):
			ps.Add("SRC112", where, "write a name, or a glob over names such as aws*", "source.packages: %q is no glob", text)
		default:
			names = append(names, text)
		}
	}
	return names, pinned, ps
}

// kibanaVersion reads a version of Kibana as Kibana tells it to a package registry: a constraint of a package matches no
// prerelease, so what follows the first hyphen is cut off.
func kibanaVersion(text string) (*semver.Version, error) {
	text, _, _ = strings.Cut(text, "-")
	return semver.StrictNewVersion(text)
}

var specVersion = regexp.MustCompile(`^(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})$`)

// check refuses what a package registry refuses.
func (r specRange) check(node mirror.Node, path string) (ps mirror.Problems) {
	for _, bound := range []struct{ key, text string }{{"min", r.Min}, {"max", r.Max}} {
		if bound.text != "" && !specVersion.MatchString(bound.text) {
			ps.Add("SRC111", node.Key(bound.key).Where(), `write major.minor, such as "3.4"`, "%s%s: %q is no version of the package format", path, bound.key, bound.text)
		}
	}
	if len(ps) == 0 && r.Min != "" && r.Max != "" && semver.MustParse(r.Min).GreaterThan(semver.MustParse(r.Max)) {
		ps.Add("SRC111", node.Key("min").Where(), "let min be the lower one", "%smin: %q is above the max, %q: no package lies between", path, r.Min, r.Max)
	}
	return ps
}

// exact says whether a glob names one package.
func exact(pattern string) bool { return !strings.ContainsAny(pattern, `*?[]{}\`) }

// excludes says whether a package is not to be taken from a package registry.
func (s eprSource) excludes(p mirror.Package) bool {
	return slices.ContainsFunc(s.exclude, func(pattern string) bool {
		return doublestar.MatchUnvalidated(pattern, p.Name) || doublestar.MatchUnvalidated(pattern, p.String())
	})
}
