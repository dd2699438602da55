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

// newKnown reads it from what a search tells, and the format of the manifest. What could not be asked for is an error.
func newKnown(b base, format string) (*known, error) {
	k := &known{kind: string(b.Type), experimental: b.Release == "experimental", categories: texts(b.Categories), deprecated: b.Deprecated}
	var err error
	if k.version, err = semver.StrictNewVersion(string(b.Version)); err != nil {
		return nil, fmt.Errorf("version: %w", err)
	}
	k.prerelease = k.version.Prerelease() != ""
	if v, err := semver.StrictNewVersion(format); err == nil {
		k.spec = shared(fmt.Sprintf("%d.%d.0", v.Major(), v.Minor()))
	}
	if c := b.Conditions; c != nil {
		if k.kibana, err = rangeOf(c.Kibana); err != nil {
			return nil, fmt.Errorf("conditions.kibana.version: %w", err)
		}
		if k.agent, err = rangeOf(c.Agent); err != nil {
			return nil, fmt.Errorf("conditions.agent.version: %w", err)
		}
		if c.Elastic != nil {
			k.capabilities = texts(c.Elastic.Capabilities)
		}
	}
	if d := b.Discovery; d != nil {
		k.fields, k.datasets = names(d.Fields), names(d.Datasets)
	}
	for _, t := range b.PolicyTemplates {
		k.templates = append(k.templates, texts(t.Categories))
	}
	return k, nil
}

// rangeOf gives the range of versions of a condition, as text: there are few different ones, and a channel reads each once.
func rangeOf(c *versionCondition) (string, error) {
	if c == nil {
		return "", nil
	}
	if _, err := semver.NewConstraint(string(c.Version)); err != nil {
		return "", err
	}
	return shared(string(c.Version)), nil
}

// shared gives a text that thousands of packages have as one and the same.
func shared(s string) string { return unique.Make(s).Value() }

func texts(all []text) []string {
	if len(all) == 0 {
		return nil
	}
	out := make([]string, len(all))
	for i, t := range all {
		out[i] = shared(string(t))
	}
	return out
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
