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
			if host, _, _ := strings.Cut(other.PackagesAs, "/"); host == at.Host {
				ps.Add("SRC073", place.Where(), "name a host of your own that nothing comes from, or leave it out: "+strings.TrimSuffix(key, "At")+".invalid is one", "set %s takes packages from the same host", other.Name)
				break
			}
			if image, found := takenFrom(at.Host, other); found && (!set.Packages || other.Name != set.Name) { // own packages of a set may lie elsewhere
				ps.Add("SRC073", place.Where(), "name a host of your own that no image comes from, or leave it out: "+strings.TrimSuffix(key, "At")+".invalid is one", "set %s takes %s from the same host", other.Name, image)
				break
			}
		}
	}
	return append(ps, oneNameEach(sets)...)
}

// oneNameEach refuses package registries whose packages would have the same names, such as one by http and one by https: the
// bytes of one would stand for those of the other.
func oneNameEach(sets []mirror.Set) (ps mirror.Problems) {
	first := map[string]mirror.Set{}
	for _, set := range sets {
		before, known := first[set.PackagesAs]
		switch {
		case set.PackagesFrom == "":
		case !known:
			first[set.PackagesAs] = set
		case before.PackagesFrom != set.PackagesFrom:
			where := set.Source.Node.Key("url")
			if where.IsZero() {
				where = set.Source.Node.Key("distribution")
			}
			ps.Add("SRC119", where.Where(), "write the same address in both", "packages of %s are known as %s/…, and so are those of set %s, from %s", set.PackagesFrom, set.PackagesAs, before.Name, before.PackagesFrom)
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
