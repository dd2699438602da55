package sources

import (
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

// MadeApart refuses a chartsAt, and a packagesAt, whose host some set takes content from: what is made here would stand under
// a name that the host may have, too, and nobody could tell whose content it is.
func MadeApart(sets []mirror.Set) (ps mirror.Problems) {
	for _, set := range sets {
		key := madeAt[set.Source.Kind]
		chart, _ := set.Source.Node.Key("chart").Text()
		place := set.Source.Node.Key(key)
		text, _ := place.Text()
		at, err := mirror.ParseReference(text + "/x")
		if err != nil || text == "" || strings.HasPrefix(chart, "oci://") {
			continue // nothing is made, or a problem of its own
		}
		for _, other := range sets {
			if image, found := takenFrom(at.Host, other); found && (!set.Packages || other.Name != set.Name) { // own packages of a set may lie elsewhere
				ps.Add("SRC073", place.Where(), "name a host of your own that no image comes from, or leave it out: "+strings.TrimSuffix(key, "At")+".invalid is one", "set %s takes %s from the same host", other.Name, image)
				break
			}
		}
	}
	return ps
}

// madeAt is the option that says below which name content that is made here is known, by kind.
var madeAt = map[string]string{"helm": "chartsAt", "epr": "packagesAt"}

// takenFrom finds an image of a set that comes from a host and was not made here.
func takenFrom(host string, set mirror.Set) (mirror.Reference, bool) {
	of := func(image mirror.Reference) bool {
		return image.Host == host && !slices.ContainsFunc(set.Made, func(a mirror.Artifact) bool { return a.Image == image })
	}
	for _, e := range set.Entries {
		if of(e.Image) {
			return e.Image, true
		}
	}
	return mirror.Reference{}, false
}
