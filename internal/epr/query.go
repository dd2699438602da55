package epr

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// query is what is asked of a channel. Source: elastic/package-registry v1.39.0 : search.go, categories.go,
// packages/packages.go.
type query struct {
	all          bool
	prerelease   bool
	experimental bool // an old way of asking, with rules of its own
	kibana       *semver.Version
	agent        *semver.Version
	specMin      *semver.Version
	specMax      *semver.Version
	name         string
	kind         string
	category     string
	capabilities []string // nil where nobody asked
	discovery    []discoveryQuery
	templates    bool   // include_policy_templates of /categories
	asked        string // all that was asked of a search, as text; "" where that is long
}

// discoveryQuery asks for packages that work with fields or datasets that somebody has.
type discoveryQuery struct{ fields, datasets []string }

// A parameter without a value counts as left out, one that nobody knows too. /categories knows fewer.
var (
	searchParameters     = []string{"kibana.version", "category", "package", "type", "capabilities", "spec.min", "spec.max", "all", "experimental", "prerelease", "discovery", "agent.version"}
	categoriesParameters = []string{"kibana.version", "experimental", "prerelease", "capabilities", "spec.min", "spec.max", "discovery", "agent.version", "include_policy_templates"}
)

// parse reads a query; the error is the text of the answer.
func parse(values url.Values, parameters []string) (q query, err error) {
	said := url.Values{}
	for _, key := range parameters {
		if err := q.set(key, values.Get(key), values[key]); err != nil {
			return q, err
		}
		if values.Has(key) {
			said[key] = values[key]
		}
	}
	if text := "?" + said.Encode(); len(text) <= maxAsked {
		q.asked = text
	}
	return q, nil
}

func (q *query) set(key, v string, all []string) (err error) {
	if key == "discovery" {
		return q.setDiscovery(all)
	}
	if v == "" {
		return nil
	}
	switch key {
	case "kibana.version":
		if q.kibana, err = semver.NewVersion(v); err != nil {
			return fmt.Errorf("invalid Kibana version '%s': %w", v, err)
		}
	case "agent.version":
		if q.agent, err = semver.NewVersion(v); err != nil {
			return fmt.Errorf("invalid agent version '%s': %w", v, err)
		}
	case "spec.min":
		q.specMin, err = specOf(key, v)
	case "spec.max":
		q.specMax, err = specOf(key, v)
	case "all":
		q.all, err = truth(key, v)
	case "prerelease":
		q.prerelease, err = truth(key, v)
	case "experimental":
		q.experimental, err = truth(key, v)
	case "include_policy_templates":
		q.templates, err = truth(key, v)
	case "package":
		q.name = v
	case "type":
		q.kind = v
	case "category":
		q.category = v
	case "capabilities":
		q.capabilities = strings.Split(v, ",")
	}
	return err
}

func truth(key, v string) (bool, error) {
	is, err := strconv.ParseBool(v)
	if err != nil {
		return false, fmt.Errorf("invalid '%s' query param: '%s'", key, v)
	}
	return is, nil
}

func specOf(key, v string) (*semver.Version, error) {
	if strings.Count(v, ".") != 1 {
		return nil, fmt.Errorf("invalid '%s' version: invalid version '%s': it should be <major.version>", key, v)
	}
	spec, err := semver.NewVersion(v)
	if err != nil {
		return nil, fmt.Errorf("invalid '%s' version: invalid spec version '%s': %w", key, v, err)
	}
	return spec, nil
}

func (q *query) setDiscovery(all []string) error {
	for _, v := range all {
		kind, list, ok := strings.Cut(v, ":")
		switch {
		case !ok:
			return fmt.Errorf("invalid 'discovery' query param: '%s': could not parse filter %q", v, v)
		case kind == "fields":
			q.discovery = append(q.discovery, discoveryQuery{fields: strings.Split(list, ",")})
		case kind == "datasets":
			q.discovery = append(q.discovery, discoveryQuery{datasets: strings.Split(list, ",")})
		default:
			return fmt.Errorf("invalid 'discovery' query param: '%s': unknown discovery filter %q", v, kind)
		}
	}
	return nil
}

// matches says whether all fields that a package needs are there, or one of its datasets is.
func (d discoveryQuery) matches(k *known) bool {
	if d.fields != nil {
		return len(k.fields) > 0 && !slices.ContainsFunc(k.fields, func(f string) bool { return !slices.Contains(d.fields, f) })
	}
	return slices.ContainsFunc(k.datasets, func(s string) bool { return slices.Contains(d.datasets, s) })
}
