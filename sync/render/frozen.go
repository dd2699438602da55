package render

import (
	"maps"
	"slices"

	"github.com/poundlock/poundlock/internal/mirror"
)

// ofChannels are the kinds that say where a channel is served; of a frozen channel nothing else is rendered, since nothing of it
// is pulled by a stage's tag.
var ofChannels = []string{"kibana"}

// Frozen renders the files of a frozen channel of a set of packages, as Files does for a stage: into a folder by its name.
func Frozen(local mirror.Local, set mirror.Set, frozen mirror.FrozenChannel, files mirror.Files) Result {
	r := Result{Files: mirror.Files{}, Secrets: map[string]Secret{}}
	kinds := maps.Clone(set.Render)
	maps.DeleteFunc(kinds, func(kind string, _ mirror.Node) bool { return !slices.Contains(ofChannels, kind) })
	if len(kinds) == 0 {
		return r
	}
	name, standing := mirror.Stage(frozen.Name), mirror.Standing{}
	for _, w := range frozen.Lines {
		standing[w.Entry] = mirror.Line{Image: w.Image}
	}
	set.Stages = mirror.Stages{name}
	dir := Dir(local, set, name)
	one := all(scene{local: local, files: files, parts: []part{{set, name, standing}}}, kinds, dir)
	if len(one.wrong) > 0 {
		r.Kept = append(r.Kept, mirror.Action{Kind: mirror.Refuse, Key: mirror.Key{Set: set.Name}, Stage: name, Path: dir,
			Reason: mirror.Because(mirror.Misread, "kept as it was: %s", one.wrong[0].What)})
		return r
	}
	one.addTo(&r, name, dir)
	return r
}
