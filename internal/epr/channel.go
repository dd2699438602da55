package epr

import (
	"cmp"
	"slices"

	"github.com/Masterminds/semver/v3"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Channel is what one channel holds at one moment. It never changes.
type Channel struct {
	versions []*version            // by name, then version, oldest first
	packages [][]*version          // the same, by package
	byName   map[string][]*version // the same
	byID     map[mirror.Package]*version
	ranges   table[*semver.Constraints]
	specs    table[*semver.Version]
	found    *cache[string, []*version] // what was asked last, by its text: Kibana repeats itself
}

// maxFound is how many versions the answers that are remembered have together, and maxAsked how long a question is at most
// whose answer is.
const (
	maxFound = 200_000
	maxAsked = 256
)

// table has a value for each different text: of tens of thousands of packages a few hundred differ, and each is read, and
// compared with what is asked for, once.
type table[T any] struct {
	values []T
	places map[string]int
}

// place gives where the value of a text is; -1 for none.
func (t *table[T]) place(text string, read func(string) T) int {
	if text == "" {
		return -1
	}
	n, has := t.places[text]
	if !has {
		n = len(t.values)
		t.places[text], t.values = n, append(t.values, read(text))
	}
	return n
}

// version is one version of a package as it stands in a channel.
type version struct {
	Item
	*known
	kibanaAt, agentAt, specAt int // in the tables of the channel

	said    *deprecated // what is told of its deprecation in this channel
	altered []byte      // as /search gives it in this channel, where it is not as the package itself has it
}

// NewChannel gives a channel of items, in whatever order they come. Of two of the same name and version the first one
// stands. Items that were neither made by NewItem nor read from an index are left out.
func NewChannel(items []Item) *Channel {
	c := &Channel{found: newCache[string, []*version](maxFound), byName: map[string][]*version{}, byID: make(map[mirror.Package]*version, len(items))}
	c.ranges.places, c.specs.places = map[string]int{}, map[string]int{}
	for _, i := range items {
		if i.known == nil || c.byID[i.Package] != nil {
			continue
		}
		v := &version{Item: i, known: i.known}
		c.versions, c.byID[i.Package] = append(c.versions, v), v
		v.kibanaAt, v.agentAt = c.ranges.place(v.kibana, readRange), c.ranges.place(v.agent, readRange)
		v.specAt = c.specs.place(v.spec, semver.MustParse)
	}
	slices.SortFunc(c.versions, func(a, b *version) int {
		return cmp.Or(cmp.Compare(a.Package.Name, b.Package.Name), a.version.Compare(b.version), cmp.Compare(a.Package.Version, b.Package.Version))
	})
	c.group()
	for _, group := range c.packages {
		spreadDeprecation(group)
	}
	return c
}

// readRange gives a range of versions; nil for one that cannot be read.
func readRange(text string) *semver.Constraints {
	c, err := semver.NewConstraint(text)
	if err != nil {
		return nil
	}
	return c
}

// Len says how many versions the channel holds.
func (c *Channel) Len() int { return len(c.versions) }

// text gives what /search tells of the version in this channel.
func (v *version) text() []byte {
	if v.altered != nil {
		return v.altered
	}
	return v.Item.shown()
}

// group puts the versions of each package together.
func (c *Channel) group() {
	for rest := c.versions; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].Package.Name == rest[0].Package.Name {
			n++
		}
		c.packages, c.byName[rest[0].Package.Name] = append(c.packages, rest[:n]), rest[:n]
		rest = rest[n:]
	}
}

// spreadDeprecation tells of all versions of a package what the newest says that tells of a deprecation.
func spreadDeprecation(group []*version) {
	var said *deprecated
	for _, v := range group {
		if v.deprecated != nil {
			said = v.deprecated
		}
	}
	if said == nil {
		return
	}
	for _, v := range group {
		v.said = said
		if v.deprecated != said {
			v.altered = v.showWith(func(b *base) { b.Deprecated = said })
		}
	}
}
