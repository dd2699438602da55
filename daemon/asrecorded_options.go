package daemon

import (
	"maps"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

// RenderOptions say what of a fleet is rendered.
type RenderOptions struct {
	Of    string       // a set, or consumers/<name>; "" for all
	Stage mirror.Stage // of sets; "" for all
	Kind  string       // of override; "" for all
}

// consumerArgument is how a consumer is named on a command line.
func consumerArgument(name string) string { return "consumers/" + name }

// kinds leaves only the kind that is asked for.
func (o RenderOptions) kinds(asked map[string]mirror.Node) map[string]mirror.Node {
	if o.Kind == "" {
		return asked
	}
	one := map[string]mirror.Node{}
	if options, ok := asked[o.Kind]; ok {
		one[o.Kind] = options
	}
	return one
}

// check finds names that the fleet does not have. The error is mirror.Problems.
func (o RenderOptions) check(desired mirror.Desired) error {
	var ps mirror.Problems
	var names, stages []string
	kinds := map[string]bool{}
	for _, set := range desired.Sets {
		names = append(names, set.Name)
		for kind := range set.Render {
			kinds[kind] = kinds[kind] || o.Of == "" || o.Of == set.Name
		}
		for _, stage := range set.Stages {
			if (o.Of == "" || o.Of == set.Name) && !slices.Contains(stages, string(stage)) {
				stages = append(stages, string(stage))
			}
		}
	}
	for _, c := range desired.Consumers {
		names = append(names, consumerArgument(c.Name))
		for kind := range c.Render {
			kinds[kind] = kinds[kind] || o.Of == "" || o.Of == consumerArgument(c.Name)
		}
	}
	consumer := strings.HasPrefix(o.Of, consumerArgument(""))
	switch {
	case o.Of != "" && !slices.Contains(names, o.Of) && consumer:
		ps = append(ps, Unknown("consumer", strings.TrimPrefix(o.Of, consumerArgument("")), slices.DeleteFunc(names, func(n string) bool { return !strings.HasPrefix(n, consumerArgument("")) })))
	case o.Of != "" && !slices.Contains(names, o.Of):
		ps = append(ps, Unknown("set", o.Of, names))
	case o.Stage != "" && consumer:
		ps.Add("RND100", mirror.Position{}, "leave out --stage", "a consumer has no stages of its own: its file says which it runs")
	case o.Stage != "" && !slices.Contains(stages, string(o.Stage)):
		ps = append(ps, Unknown("stage", string(o.Stage), stages))
	case o.Kind != "" && !kinds[o.Kind]:
		maps.DeleteFunc(kinds, func(_ string, asked bool) bool { return !asked })
		ps.Add("RND101", mirror.Position{}, mirror.Clean(meant(o.Kind, sortedKeys(kinds), "asked for are ")), "nothing here asks for a rendering of the kind %q", mirror.Clean(o.Kind))
	}
	return ps.Err()
}
