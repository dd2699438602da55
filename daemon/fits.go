package daemon

import (
	"path"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/git"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/render"
)

// fits keeps the folders as they are that would get a file which is larger than what is read of the fleet repository: with
// it there no later step could read the folder, neither of the set nor of any consumer.
func fits(rendered string, made render.Result) render.Result {
	for _, name := range sortedKeys(made.Files) {
		body := made.Files[name]
		if len(body) <= git.MaxFile {
			continue
		}
		dir := folderOf(rendered, name)
		if !slices.ContainsFunc(made.Kept, func(a mirror.Action) bool { return a.Path == dir }) {
			a := mirror.Action{Kind: mirror.Refuse, Path: dir, Reason: mirror.Because(mirror.Misread,
				"kept as it was: %s would have %d bytes, and %d is the most that is read again; split the set up, or ask for fewer kinds",
				strings.TrimPrefix(name, dir+"/"), len(body), git.MaxFile)}
			if set, stage, ok := strings.Cut(strings.TrimPrefix(dir, rendered+"/"), "/"); ok && set != "consumers" {
				a.Key.Set, a.Stage = set, mirror.Stage(stage)
			}
			made.Kept = append(made.Kept, a)
		}
	}
	for _, a := range made.Kept {
		for _, name := range made.Files.Under(a.Path) {
			delete(made.Files, name)
		}
	}
	return made
}

// folderOf gives the folder of a set at a stage, or of a consumer, that a rendered file lies in at whatever depth.
func folderOf(rendered, name string) string {
	parts := strings.SplitN(strings.TrimPrefix(name, rendered+"/"), "/", 3)
	return path.Join(rendered, parts[0], parts[1])
}
