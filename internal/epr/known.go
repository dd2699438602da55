package epr

import (
	"fmt"
	"sync/atomic"
	"unique"

	"github.com/Masterminds/semver/v3"
)

// known is what searches ask of a package.
type known struct {
	version      *semver.Version
	kibana       string // range of versions; "" for all
	agent        string
	spec         string // major.minor.0 of its format; "" where it is not known
	kind         string // integration, input or content
	experimental bool   // its release says so
	prerelease   bool   // its version has a suffix
	capabilities []string
	fields       []string
	datasets     []string
	categories   []string
	templates    [][]string // categories of its policy templates
	deprecated   *deprecated
	shown        atomic.Pointer[[]byte]
}

// asked is what is read of a search document: tens of thousands are read at a start, and most of each is only shown.
type asked struct {
	Name       string     `json:"name"`
	Version    string     `json:"version"`
	Release    string     `json:"release"`
	Type       string     `json:"type"`
	Categories []string   `json:"categories"`
	Discovery  *discovery `json:"discovery"`
	Conditions struct {
		Kibana  struct{ Version string } `json:"kibana"`
		Agent   struct{ Version string } `json:"agent"`
		Elastic struct {
			Capabilities []string `json:"capabilities"`
		} `json:"elastic"`
	} `json:"conditions"`
	PolicyTemplates []struct {
		Categories []string `json:"categories"`
	} `json:"policy_templates"`
	Deprecated *deprecated `json:"deprecated"`
}

// newKnown makes it of that, and of the format of the manifest. A range of versions that cannot be read is left to the
// channel, where no version fits it: to read one takes longer than all else, and there are few different ones.
func newKnown(a asked, format string) (*known, error) {
	k := &known{kind: shared(a.Type), experimental: a.Release == "experimental", kibana: shared(a.Conditions.Kibana.Version),
		agent: shared(a.Conditions.Agent.Version), categories: allShared(a.Categories), capabilities: allShared(a.Conditions.Elastic.Capabilities), deprecated: a.Deprecated}
	var err error
	if k.version, err = semver.StrictNewVersion(a.Version); err != nil {
		return nil, fmt.Errorf("version: %w", err)
	}
	k.prerelease = k.version.Prerelease() != ""
	if v, err := semver.StrictNewVersion(format); err == nil {
		k.spec = shared(fmt.Sprintf("%d.%d.0", v.Major(), v.Minor()))
	}
	if d := a.Discovery; d != nil {
		k.fields, k.datasets = names(d.Fields), names(d.Datasets)
	}
	for _, t := range a.PolicyTemplates {
		k.templates = append(k.templates, allShared(t.Categories))
	}
	return k, nil
}

// shared gives a text that thousands of packages have as one and the same.
func shared(s string) string { return unique.Make(s).Value() }

func allShared(all []string) []string {
	for i, one := range all {
		all[i] = shared(one)
	}
	return all
}

func names(all []named) []string {
	if len(all) == 0 {
		return nil
	}
	out := make([]string, len(all))
	for i, n := range all {
		out[i] = shared(string(n.Name))
	}
	return out
}
