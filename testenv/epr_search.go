package testenv

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// eprItem is one item of an answer of /search.
type eprItem struct {
	Name        string          `json:"name"`
	Title       string          `json:"title"`
	Version     string          `json:"version"`
	Release     string          `json:"release"`
	Description string          `json:"description"`
	Type        string          `json:"type"`
	Download    string          `json:"download"`
	Path        string          `json:"path"`
	Icons       []any           `json:"icons,omitempty"`
	Templates   []any           `json:"policy_templates,omitempty"`
	Conditions  json.RawMessage `json:"conditions,omitempty"`
	Owner       any             `json:"owner,omitempty"`
	Categories  []string        `json:"categories,omitempty"`
	Signature   string          `json:"signature_path,omitempty"`
	DataStreams []any           `json:"data_streams,omitempty"`
}

// item says of a package what /search says.
func (p EPRPackage) item() eprItem {
	at := "/package/" + p.Name + "/" + p.Version
	i := eprItem{Name: p.Name, Title: p.title(), Version: p.Version, Release: p.release(), Description: p.description(), Type: p.kind(),
		Download: cmp.Or(p.DownloadAt, "/epr/"+p.Name+"/"+p.ID()+".zip"), Path: at, Categories: p.Categories, Conditions: p.conditions(),
		Icons: []any{map[string]string{"src": "/img/icon.svg", "path": at + "/img/icon.svg", "title": "Icon", "size": "16x16", "type": "image/svg+xml"}},
		Owner: map[string]string{"type": "elastic", "github": p.owner()}}
	if p.Dotted {
		i.Owner = map[string]string{"github": p.owner()}
	}
	if !p.Unsigned {
		i.Signature = "/epr/" + p.Name + "/" + p.ID() + ".zip.sig"
	}
	if p.kind() == "integration" && len(p.DataStreams) > 0 {
		i.Templates = []any{map[string]string{"name": "logs", "title": "Logs", "description": "Collect logs"}}
	}
	for _, stream := range p.DataStreams {
		i.DataStreams = append(i.DataStreams, map[string]string{"type": "logs", "dataset": p.Name + "." + stream, "title": p.title() + " " + stream})
	}
	return i
}

func (p EPRPackage) conditions() json.RawMessage {
	c := map[string]any{}
	if k := cmp.Or(p.Advertised, p.Kibana); k != "" && !p.LegacyShape {
		c["kibana"] = map[string]string{"version": k}
	}
	if p.Agent != "" {
		c["agent"] = map[string]string{"version": p.Agent}
	}
	elastic := map[string]any{}
	if p.Subscription != "" {
		elastic["subscription"] = p.Subscription
	}
	if len(p.Capabilities) > 0 {
		elastic["capabilities"] = p.Capabilities
	}
	if len(elastic) > 0 {
		c["elastic"] = elastic
	}
	if len(c) == 0 {
		return nil
	}
	return must(json.Marshal(c))
}

// eprQuery is what /search is asked.
type eprQuery struct {
	all, prerelease     bool
	name, kind          string
	category            string
	kibana, agent       *semver.Version
	specMin, specMax    *semver.Version
	capabilities        []string
	limitedCapabilities bool
}

func parseEPRQuery(v url.Values) (q eprQuery, err error) {
	q = eprQuery{name: v.Get("package"), kind: v.Get("type"), category: v.Get("category")}
	for key, to := range map[string]*bool{"all": &q.all, "prerelease": &q.prerelease} {
		if said := v.Get(key); said != "" {
			if *to, err = strconv.ParseBool(said); err != nil {
				return q, fmt.Errorf("invalid '%s' query param: '%s'", key, said)
			}
		}
	}
	for key, to := range map[string]**semver.Version{"kibana.version": &q.kibana, "agent.version": &q.agent, "spec.min": &q.specMin, "spec.max": &q.specMax} {
		said := v.Get(key)
		if said == "" {
			continue
		}
		if strings.HasPrefix(key, "spec.") && strings.Count(said, ".") != 1 {
			return q, fmt.Errorf("invalid '%s' version: invalid version '%s': it should be <major.version>", key, said)
		}
		if *to, err = semver.NewVersion(said); err != nil {
			return q, fmt.Errorf("invalid Kibana version '%s': %w", said, err)
		}
	}
	if said := v.Get("capabilities"); said != "" {
		q.capabilities, q.limitedCapabilities = strings.Split(said, ","), true
	}
	return q, nil
}

// matches says whether a package is asked for, before the newest of each name is taken.
func (q eprQuery) matches(p EPRPackage) bool {
	v, err := semver.StrictNewVersion(p.Version)
	switch {
	case p.NotListed || err != nil:
		return false
	case !q.prerelease && (v.Prerelease() != "" || p.Release == "experimental"):
		return false
	case q.name != "" && q.name != p.Name, q.kind != "" && q.kind != p.kind():
		return false
	case q.kibana != nil && !fits(cmp.Or(p.Advertised, p.Kibana), q.kibana), q.agent != nil && !fits(p.Agent, q.agent):
		return false
	case q.limitedCapabilities && slices.ContainsFunc(p.Capabilities, func(c string) bool { return !slices.Contains(q.capabilities, c) }):
		return false
	}
	format := semver.MustParse(p.format())
	format = semver.New(format.Major(), format.Minor(), 0, "", "")
	return (q.specMin == nil || !format.LessThan(q.specMin)) && (q.specMax == nil || !format.GreaterThan(q.specMax))
}

func fits(constraint string, v *semver.Version) bool {
	if constraint == "" {
		return true
	}
	c, err := semver.NewConstraint(constraint)
	return err == nil && c.Check(v)
}

// choose answers a query over packages: filter, the newest of each name, the category, by name and version.
func (q eprQuery) choose(all []EPRPackage) []EPRPackage {
	var chosen []EPRPackage
	for _, p := range all {
		if q.matches(p) {
			chosen = append(chosen, p)
		}
	}
	slices.SortFunc(chosen, func(a, b EPRPackage) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), semver.MustParse(a.Version).Compare(semver.MustParse(b.Version)), strings.Compare(a.Version, b.Version))
	})
	if !q.all {
		var newest []EPRPackage
		for i, p := range chosen {
			if i == len(chosen)-1 || chosen[i+1].Name != p.Name {
				newest = append(newest, p)
			}
		}
		chosen = newest
	}
	if q.category != "" {
		chosen = slices.DeleteFunc(chosen, func(p EPRPackage) bool { return !slices.Contains(p.Categories, q.category) })
	}
	return chosen
}
