package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/git"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sources"
)

// Names are the words of a fleet that commands take as arguments.
type Names struct {
	Sets    []string
	Entries []string // as set/entry
	Stages  []string // each once, lowest first

	Consumers []string // as consumers/name
}

// LastNames gives the names of the fleet repository as it was fetched last, as far as they can be read. It is
// asked at each press of a key, so it opens nothing but a copy of the clone: no state, no key, no network.
func LastNames(ctx context.Context, c config.Config) (n Names, err error) {
	dir, err := os.MkdirTemp("", "poundlock-")
	if err != nil {
		return n, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := git.CopyClone(filepath.Join(c.StateDir, "git"), dir); err != nil {
		return n, err
	}
	repo, err := git.Open(ctx, gitOptions(c.Git, dir, unreachable{}))
	if err != nil {
		return n, err
	}
	defer repo.Close()
	head, err := repo.Head()
	if err != nil {
		return n, err
	}
	files, err := repo.Files(head, "desired", "stages")
	if err != nil {
		return n, err
	}
	desired, _ := mirror.ParseDesired(head, files) // what has mistakes has names too
	for _, set := range desired.Sets {
		if set.Source.Kind != "" {
			sources.Read(&set, files)
		}
		n.Sets = append(n.Sets, set.Name)
		if set.Asked {
			sources.Stay(&set, lastRecord(repo, head, c.Site, set))
		}
		for _, e := range set.Entries {
			n.Entries = append(n.Entries, set.Name+"/"+e.Name)
		}
		for _, stage := range set.Stages {
			if !slices.Contains(n.Stages, string(stage)) {
				n.Stages = append(n.Stages, string(stage))
			}
		}
	}
	for _, c := range desired.Consumers {
		n.Consumers = append(n.Consumers, consumerArgument(c.Name))
	}
	return n, nil
}

// lastRecord gives what stood for a set whose source is asked, which names its entries; nothing where that cannot be
// read, or lies in a branch of its own.
func lastRecord(repo *git.Repo, head, site string, set mirror.Set) mirror.Record {
	dir := "rendered/" + site
	files, err := repo.Files(head, dir+"/record/"+set.Name)
	if err != nil {
		return mirror.Record{}
	}
	return mirror.ParseRecord(dir, set, files)
}

// noSuch is the code of a name that is none of the fleet's.
const noSuch = "FLT032"

// Unknown says that no thing of a kind has a name: a set, an entry, a stage or a run. The fix names the one that
// was probably meant, else some that there are.
func Unknown(kind, name string, known []string) mirror.Problem {
	p := mirror.Problem{Code: noSuch, What: mirror.Clean(fmt.Sprintf("there is no %s %q", kind, name)), Fix: "`poundlock get " + plural(2, kind) + "` lists what there is"}
	if len(known) > 0 {
		p.Fix = mirror.Clean(meant(name, known, "there are "))
	}
	return p
}

// AskedSets gives the names of the sets that Only leaves to be looked at; none before the fleet was read.
func (l *Line) AskedSets() []string {
	var names []string
	f := l.fleet.Load()
	if f == nil {
		return nil
	}
	asked := l.limit.sets()
	for _, set := range f.desired.Sets {
		if len(asked) == 0 || slices.Contains(asked, set.Name) {
			names = append(names, set.Name)
		}
	}
	return names
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
