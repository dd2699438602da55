// Package render turns what stands at a stage into override files: what makes a consumer use the local
// registry. Each kind of override (element, containerd) is one file that registers itself under its kind.
//
// It promises to be pure and deterministic: the same record gives the same bytes, without a time in them, and
// no file mixes two releases of a set. A stage that is on its way from one release to the next is not
// rendered; its files keep their last bytes. Committing the files is left to others.
package render

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

// stage is what a renderer is given: a set at one stage, and what stands there.
type stage struct {
	local    mirror.Local
	set      mirror.Set
	name     mirror.Stage
	standing mirror.Standing
}

// overrides are the files of one kind, relative to the folder of the stage, and which of them can be applied
// to a cluster as they are.
type overrides struct {
	files     mirror.Files
	resources []string
}

// kind is one kind of override. check finds the mistakes of its options and of a set that it cannot serve;
// files is called only for a set without problems.
type kind struct {
	check func(set mirror.Set, options mirror.Node) mirror.Problems
	files func(s stage, options mirror.Node) overrides
	about string
	// options is what the kind reads its options into, filled with the defaults; its tags say what they are.
	options any
}

var kinds = map[string]kind{}

// register adds a kind; each file of a kind calls it from init.
func register(name string, k kind) { kinds[name] = k }

// Kinds lists the kinds of override there are, sorted.
func Kinds() []string { return slices.Sorted(maps.Keys(kinds)) }

// Options gives, by kind, the Go value whose tags say what render: may hold, filled with the defaults.
func Options() map[string]any {
	all := map[string]any{}
	for name, k := range kinds {
		all[name] = k.options
	}
	return all
}

// About says in one sentence what a kind of override is for.
func About(kind string) string { return kinds[kind].about }

// Check finds every mistake in what a set asks to be rendered.
func Check(set mirror.Set) mirror.Problems {
	var ps mirror.Problems
	for _, name := range slices.Sorted(maps.Keys(set.Render)) {
		options := set.Render[name]
		k, ok := kinds[name]
		if !ok {
			fix := "known kinds: " + strings.Join(Kinds(), ", ")
			if near := mirror.Nearest(name, Kinds()); near != "" {
				fix = fmt.Sprintf("did you mean %q?", near)
			}
			ps.Add("RND001", set.KeyAt("render", name), fix, "render: unknown kind %q", name)
			continue
		}
		ps = append(ps, k.check(set, options)...)
	}
	return ps
}

// Dir is the folder of the overrides of a set and stage.
func Dir(local mirror.Local, set mirror.Set, s mirror.Stage) string {
	return path.Join("rendered", local.Site, set.Name, string(s))
}

// Files renders every stage of a set from the record, by path in the fleet repository. p is the plan that led
// to the record. A stage that must not be rendered now has no files but an action whose Path is its folder:
// what lies there keeps its bytes. It is Refuse where something of the stage is refused, missing or failed,
// and Unchanged where it only takes longer or nothing asks for a change.
func Files(local mirror.Local, set mirror.Set, rec mirror.Record, p mirror.Plan) (mirror.Files, []mirror.Action) {
	files := mirror.Files{}
	var kept []mirror.Action
	if len(set.Render) == 0 {
		return files, nil
	}
	for _, name := range set.Stages {
		dir, standing := Dir(local, set, name), rec.At(name)
		if why := unfinished(set, name, standing, p); why != "" {
			kept = append(kept, keep(set, name, dir, why, p))
			continue
		}
		if len(standing) == 0 {
			continue
		}
		var resources []string
		for _, k := range slices.Sorted(maps.Keys(set.Render)) {
			o := kinds[k].files(stage{local, set, name, standing}, set.Render[k])
			for file, body := range o.files {
				files[path.Join(dir, file)] = body
			}
			resources = append(resources, o.resources...)
		}
		if len(resources) > 0 {
			files[path.Join(dir, kustomizationFile)] = kustomization(resources)
		}
	}
	return files, kept
}

// unfinished says why what stands at a stage must not become an override now; "" when it may. Entries that
// move one by one are rendered as they stand.
func unfinished(set mirror.Set, name mirror.Stage, standing mirror.Standing, p mirror.Plan) string {
	switch {
	case name != set.Stages.First() && !set.Listed[name]:
		if len(standing) > 0 {
			return "there is no stage file; what stands stays"
		}
		return ""
	}
	for _, entry := range slices.Sorted(maps.Keys(standing)) {
		if !standing[entry].Proven {
			return fmt.Sprintf("%s is not judged yet", entry)
		}
	}
	if !set.Atomic {
		return ""
	}
	for _, a := range p.Actions {
		if a.Stage == name && a.Reason.Code == mirror.BasedOnMoved {
			return fmt.Sprintf("%s was made for another release, and the set is rendered as a whole", a.Key.Entry)
		}
	}
	wanted := map[string]mirror.Reference{}
	if name == set.Stages.First() {
		for _, e := range set.Entries {
			wanted[e.Name] = e.Image
		}
		for _, a := range p.Actions {
			if a.Stage == name && a.Key.Entry != "" {
				wanted[a.Key.Entry] = a.Image
			}
		}
	} else {
		for _, line := range set.Wanted[name] {
			wanted[line.Entry] = line.Image
		}
	}
	for _, entry := range slices.Sorted(maps.Keys(wanted)) {
		if standing[entry].Image != wanted[entry] {
			return fmt.Sprintf("%s does not stand here as wanted, and the set is rendered as a whole", entry)
		}
	}
	for _, entry := range slices.Sorted(maps.Keys(standing)) {
		if _, ok := wanted[entry]; !ok {
			return fmt.Sprintf("%s still stands here and is not wanted, and the set is rendered as a whole", entry)
		}
	}
	return ""
}

func keep(set mirror.Set, name mirror.Stage, dir, why string, p mirror.Plan) mirror.Action {
	a := mirror.Action{Kind: mirror.Unchanged, Key: mirror.Key{Set: set.Name}, Stage: name, Path: dir,
		Reason: mirror.Because(mirror.Incomplete, "kept as it was: %s", why)}
	for _, other := range p.Actions {
		if other.Stage == name && (other.Kind == mirror.Refuse || other.Kind == mirror.Missing || other.Kind == mirror.Failed) {
			a.Kind = mirror.Refuse
		}
	}
	return a
}
