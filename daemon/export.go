package daemon

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/export"
)

// exported is how a folder was left.
type exported struct {
	of   string // what it was to hold
	told string // what was said of it last
}

// export keeps the folders of one export like the stages of its set. Nothing is done where nothing changed since this
// process did it last.
func (l *Line) export(ctx context.Context, f *fleet, e config.Export, audit bool) error {
	set, ok := f.desired.Set(e.Set)
	if !ok || !set.Packages {
		return mirror.Problem{Code: "CFG152", Path: "packages.export", Where: l.config.PlaceOf("packages.export"), What: fmt.Sprintf("packages.export: the fleet has no set %s of packages; its folder %s stays as it is", mirror.OneLine(e.Set), e.Dir),
			Fix: "name a set whose source is of kind epr"}
	}
	record, err := l.state.Record(set.Name)
	if err != nil {
		return err
	}
	stages, err := exportStages(set, e.Stages)
	if err != nil {
		return mirror.Problem{Code: "CFG152", Path: "packages.export", Where: l.config.PlaceOf("packages.export"), What: "packages.export: " + err.Error(), Fix: "name stages of the set, or leave stages out"}
	}
	_, record, _ = f.undenied(set, record)
	folders, sum, err := l.exportFolders(ctx, set, record, stages)
	if err != nil || folders == nil {
		return err
	}
	l.besides.mu.Lock()
	before := l.besides.exports[e.Dir]
	l.besides.mu.Unlock()
	if before.of == sum && !audit {
		return nil
	}
	r, err := exportTo(ctx, l.registry, e.Dir, folders)
	now := exported{sum, l.tellExport(e, r, before.told)}
	if err != nil {
		now.of = "" // to be tried again
	}
	l.besides.mu.Lock()
	l.besides.exports[e.Dir] = now
	l.besides.mu.Unlock()
	return exportTrouble(e.Dir, err)
}

func exportTo(ctx context.Context, from mirror.Content, dir string, folders []export.Folder) (export.Result, error) {
	x, err := export.Open(dir, from)
	if err != nil {
		return export.Result{}, err
	}
	r, err := x.Export(ctx, folders)
	return r, errors.Join(err, x.Close())
}

// exportTrouble makes of an error what people can act on.
func exportTrouble(dir string, err error) error {
	if what, fix, ok := export.Trouble(err); ok {
		return mirror.Problem{Code: "CFG153", Where: mirror.Position{File: dir}, Path: "packages.export", What: what, Why: mirror.Clean(err.Error()), Fix: fix}
	}
	if err != nil {
		return fmt.Errorf("export to %s: %w", dir, err)
	}
	return nil
}

// exportStages gives the stages that are wanted, highest first.
func exportStages(set mirror.Set, names []string) (stages []mirror.Stage, err error) {
	for _, name := range names {
		if !slices.Contains(set.Stages, mirror.Stage(name)) {
			return nil, fmt.Errorf("set %s has no stage %q", set.Name, mirror.OneLine(name))
		}
	}
	for _, stage := range slices.Backward(set.Stages) {
		if len(names) == 0 || slices.Contains(names, string(stage)) {
			stages = append(stages, stage)
		}
	}
	return stages, nil
}

// exportFolders gives what each folder is to hold: the channel of its stage without what a higher folder holds, since a
// server of that stage reads those, too. It gives no folders while something is not judged yet. sum identifies it all.
func (l *Line) exportFolders(ctx context.Context, set mirror.Set, record mirror.Record, stages []mirror.Stage) (folders []export.Folder, sum string, err error) {
	var channels []channel
	for _, stage := range stages {
		c := channelAt(l.local, set, record, stage, set.Stages[slices.Index(set.Stages, stage):])
		if len(c.unproven) > 0 {
			return nil, "", nil
		}
		channels = append(channels, c)
	}
	return l.foldersOf(ctx, set, channels)
}

// foldersOf gives the folders of channels, each without what one before it holds.
func (l *Line) foldersOf(ctx context.Context, set mirror.Set, channels []channel) (folders []export.Folder, sum string, err error) {
	above, text := map[string]bool{}, []byte(set.Name+"\n")
	for _, c := range channels {
		folder := export.Folder{Name: c.Channel}
		for _, s := range c.all {
			name := s.Package.String()
			if above[name] {
				continue
			}
			above[name] = true
			parts, err := l.layersOf(ctx, s)
			if err != nil {
				return nil, "", err
			}
			folder.Packages = append(folder.Packages, export.Package{Name: name, Zip: parts.Zip, Signature: parts.Signature, At: s.Local})
			text = fmt.Appendf(text, "%s %s %s\n", c.Channel, name, s.Local.Digest)
		}
		folders = append(folders, folder)
	}
	return folders, mirror.DigestOf(text).String(), nil
}

// tellExport tells what was done, and what is not as it should be where that is new.
func (l *Line) tellExport(e config.Export, r export.Result, before string) string {
	if r.Added+r.Removed > 0 {
		l.log.Info("packages exported", keySet, e.Set, "dir", e.Dir, "added", r.Added, "removed", r.Removed, keyBytes, r.Bytes)
	}
	now := strings.Join(slices.Concat(r.LeftOut, r.Foreign, r.Kept), " ")
	if now == before {
		return now
	}
	if len(r.LeftOut) > 0 {
		l.log.Warn("packages without signature are not exported: the server would not start", keyCode, "CFG154", keySet, e.Set, keyPackages, mirror.OneLine(few(r.LeftOut)))
	}
	if len(r.Foreign) > 0 {
		l.log.Warn("files in the folder are not ours and stay as they are", keyCode, "CFG155", keySet, e.Set, "dir", e.Dir, "files", mirror.OneLine(few(r.Foreign)))
	}
	if len(r.Kept) > 0 {
		l.log.Info("packages stay in a lower folder until a higher one has them", keySet, e.Set, "dir", e.Dir, keyPackages, mirror.OneLine(few(r.Kept)))
	}
	return now
}

// ExportOnce writes the packages that the channel of a stage, or a frozen channel, holds into a folder, which becomes just that: for a server that
// is started with it. The record in Git says what stands; the local registry has the bytes.
func (l *Line) ExportOnce(ctx context.Context, name string, stage mirror.Stage, dir string) (export.Result, error) {
	g, err := l.glance(ctx)
	if err != nil {
		return export.Result{}, err
	}
	set, ok := g.fleet.desired.Set(name)
	if !ok {
		var names []string
		for _, s := range g.fleet.desired.Sets {
			names = append(names, s.Name)
		}
		return export.Result{}, mirror.Problems{Unknown("set", name, names)}
	}
	record, err := l.record(g.fleet, set)
	if err != nil {
		return export.Result{}, err
	}
	if set.Frozen, err = l.frozenAsEver(g.fleet, set, record); err != nil {
		return export.Result{}, err
	}
	set, record, _ = g.fleet.undenied(set, record)
	all := channelsOf(l.local, set, proven(record))
	i := slices.IndexFunc(all, func(c channel) bool { return c.Channel == string(stage) })
	if i < 0 || !set.Packages {
		var names []string
		for _, c := range all {
			names = append(names, c.Channel)
		}
		return export.Result{}, mirror.Problems{Unknown("stage", string(stage), names)}
	}
	if unsure := all[i].unproven; len(unsure) > 0 {
		return export.Result{}, mirror.Problem{Code: "CFG152", What: fmt.Sprintf("the frozen channel %s lists %s, which the record knows of nowhere", stage, unsure[0].Package), Fix: "see `poundlock plan`"}
	}
	folders, _, err := l.foldersOf(ctx, set, all[i:i+1])
	if err != nil {
		return export.Result{}, err
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return export.Result{}, err
	}
	r, err := exportTo(ctx, l.registry, dir, folders)
	return r, exportTrouble(dir, err)
}
