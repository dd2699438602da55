package sources

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"

	"github.com/poundlock/poundlock/internal/mirror"
)

// tagRules say which tags of a repository are meant. A tag has to pass all of them.
type tagRules struct {
	Allow       []string      `yaml:"allow" jsonschema:"minItems=1,example=v?[0-9.]+" jsonschema_description:"Regular expressions (RE2) of which one matches the whole tag."`
	Deny        []string      `yaml:"deny" jsonschema:"example=.*-debug" jsonschema_description:"Regular expressions (RE2) of which none matches the whole tag."`
	Semver      string        `yaml:"semver" jsonschema:"example=>=1.4 <2" jsonschema_description:"Range of versions. Tags that are no version are left out."`
	Prereleases bool          `yaml:"prereleases" jsonschema_description:"Takes versions such as 2.0.0-rc.1, too, where semver or newest asks for versions."`
	Newest      int           `yaml:"newest" jsonschema:"minimum=1,maximum=1000" jsonschema_description:"How many of the newest of those are taken; all where it is left out."`
	By          order         `yaml:"by" jsonschema:"enum=semver,enum=created,enum=listed" jsonschema_description:"What newest means: the highest version, what was made last, or what the registry lists last."`
	MinAge      time.Duration `yaml:"minAge" jsonschema:"example=72h" jsonschema_description:"How long ago this site must have seen the content first; until then a tag is passed over, or keeps what it named before."`
	Where       mirror.Position
}

// order says what is newest.
type order string

const (
	bySemver  order = "semver"
	byCreated order = "created"
	byListed  order = "listed"
)

// UnmarshalText accepts semver, created and listed.
func (o *order) UnmarshalText(b []byte) error {
	switch *o = order(b); *o {
	case bySemver, byCreated, byListed:
		return nil
	}
	return mirror.UnknownWord{Kind: "order", Word: string(b), Known: []string{"semver", "created", "listed"}}
}

// choice are the rules as they are applied.
type choice struct {
	allow, deny []*regexp.Regexp
	versions    *semver.Constraints // nil: none is asked for
	prereleases bool
	newest      int // 0: all
	by          order
	minAge      time.Duration
}

// maxNewest is the most tags of one repository that can be asked for.
const maxNewest = 1000

// compile reads the rules. Rules that leave every tag in are refused: a repository has more than anybody wants. Of what
// was told already nothing more is said.
func (r tagRules) compile(node mirror.Node, told mirror.Problems) (choice, mirror.Problems) {
	var ps mirror.Problems
	c := choice{prereleases: r.Prereleases, newest: r.Newest, by: r.By, minAge: r.MinAge}
	c.allow = patterns(&ps, node.Key("allow"), r.Allow)
	c.deny = patterns(&ps, node.Key("deny"), r.Deny)
	if r.Semver != "" {
		var err error
		if c.versions, err = semver.NewConstraint(r.Semver); err != nil {
			ps.Add("SRC094", node.Key("semver").Where(), `write a range, such as ">=1.4 <2", "~1.4" or "^2"`, "tags.semver: %q is no range of versions", r.Semver)
		} else {
			c.versions.IncludePrerelease = r.Prereleases
		}
	}
	switch {
	case told.Touch("source.tags.newest"), node.IsZero():
	case len(r.Allow) == 0 && r.Semver == "" && node.Key("newest").IsZero() && !told.Touch("source.tags.allow") && !told.Touch("source.tags.semver"):
		ps.Add("SRC093", r.Where, `write what is meant, such as tags: {semver: ">=1.4 <2", newest: 3}`, "tags: none of allow, semver and newest is given, which would take every tag")
	case !node.Key("newest").IsZero() && (r.Newest < 1 || r.Newest > maxNewest):
		ps.Add("SRC094", node.Key("newest").Where(), "write a number from 1 to "+strconv.Itoa(maxNewest), "tags.newest: %d", r.Newest)
	}
	if r.MinAge < 0 {
		ps.Add("SRC094", node.Key("minAge").Where(), "write a duration such as 72h", "tags.minAge: %s is negative", r.MinAge)
	}
	return c, ps
}

func patterns(ps *mirror.Problems, node mirror.Node, texts []string) []*regexp.Regexp {
	var all []*regexp.Regexp
	for i, text := range texts {
		p, err := regexp.Compile(text) // alone first: a lone bracket may close what is put around it
		if err == nil {
			p, err = regexp.Compile("^(?:" + text + ")$")
		}
		if err != nil {
			ps.Add("SRC094", node.Find(strconv.Itoa(i)).Where(), "see https://golang.org/s/re2syntax; the expression matches the whole tag", "%q is no regular expression: %v", text, err)
			continue
		}
		all = append(all, p)
	}
	return all
}

// versioned says whether only tags that are versions are meant.
func (c choice) versioned() bool { return c.versions != nil || c.newest > 0 && c.by == bySemver }

// byAge says whether the tags are sorted by when their content was made.
func (c choice) byAge() bool { return c.newest > 0 && c.by == byCreated }

// asksAll says whether every tag that passes has to be asked what it names.
func (c choice) asksAll() bool { return c.byAge() || c.minAge > 0 && c.newest == 0 }

// Tags that say what belongs to other content: signatures and attestations of cosign, and the fallback of the referrers
// API. They come with what they belong to.
var besideTag = regexp.MustCompile(`^sha256-[0-9a-f]{64}(\.[a-z]+)?$`)

// versionTag is what a version looks like: with a dot, since a date, a build number or a commit reads as one, too.
var versionTag = regexp.MustCompile(`^v?[0-9]+\.[0-9]`)

// pass gives the tags that pass, newest first as far as that can be told without their content.
func (c choice) pass(tags []string) []string {
	matches := func(all []*regexp.Regexp, tag string) bool {
		return slices.ContainsFunc(all, func(p *regexp.Regexp) bool { return p.MatchString(tag) })
	}
	var passed []string
	versions := map[string]*semver.Version{}
	for _, tag := range tags {
		if _, dup := versions[tag]; dup || besideTag.MatchString(tag) || len(c.allow) > 0 && !matches(c.allow, tag) || matches(c.deny, tag) {
			continue
		}
		if _, err := mirror.ParseReference("registry.invalid/a:" + tag); err != nil {
			continue // no tag at all: what else the registry says is not worth more
		}
		v := versionOf(tag)
		if c.versioned() && (v == nil || v.Prerelease() != "" && !c.prereleases || c.versions != nil && !c.versions.Check(v)) {
			continue
		}
		versions[tag] = v
		passed = append(passed, tag)
	}
	switch {
	case c.versioned() && c.by == bySemver:
		slices.SortFunc(passed, func(a, b string) int {
			return cmp.Or(versions[b].Compare(versions[a]), strings.Compare(a, b))
		})
	case c.by == byListed && c.newest > 0:
		slices.Reverse(passed)
	default:
		slices.Sort(passed)
	}
	return passed
}

// versionOf reads a tag as a version, nil where it is none. A tag cannot hold the + of a version: as Helm does, _ stands
// for it.
func versionOf(tag string) *semver.Version {
	if !versionTag.MatchString(tag) {
		return nil
	}
	v, err := semver.NewVersion(strings.ReplaceAll(tag, "_", "+"))
	if err != nil {
		return nil
	}
	return v
}
