package daemon

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/render"
)

// Rendering is a folder of rendered/ as the record in Git says that it should be.
type Rendering struct {
	Set      string         `json:"set,omitempty"`      // of a set at a stage
	Stage    mirror.Stage   `json:"stage,omitempty"`    // of the same
	Consumer string         `json:"consumer,omitempty"` // of a consumer
	Folder   string         `json:"folder"`
	Files    []RenderedFile `json:"files"`
	Notes    []string       `json:"notes,omitempty"` // what is to be known of the files
	Kept     string         `json:"kept,omitempty"`  // why the folder keeps what it holds: then there are no files
}

// RenderedFile is one file of a Rendering, or one that is in Git and should not be.
type RenderedFile struct {
	Path  string    `json:"path"`
	State FileState `json:"state"`
	Text  string    `json:"text,omitempty"`
	// Secret says that the values in it are encrypted when it is committed: here they are left out, and it is not compared.
	Secret bool `json:"secret,omitempty"`
}

// FileState is how a file of rendered/ in Git is, compared with what would be rendered.
type FileState string

// The states of rendered files.
const (
	FileSame    FileState = "same"
	FileDiffers FileState = "differs"
	FileMissing FileState = "missing" // in Git
	FileStray   FileState = "stray"   // in Git, and nothing renders it
)

// Rendered gives what is rendered from the record in Git: no registry is asked and nothing is judged. The commit is that
// of the fleet repository.
func (l *Line) Rendered(ctx context.Context, o RenderOptions) (folders []Rendering, commit string, err error) {
	g, err := l.glance(ctx)
	if err != nil {
		return nil, "", err
	}
	f := g.fleet
	if err := o.check(f.desired); err != nil {
		return nil, f.head, err
	}
	records := map[string]mirror.Record{}
	for _, set := range f.desired.Sets {
		record, err := l.record(f, set)
		if err != nil {
			return nil, f.head, err
		}
		records[set.Name] = proven(record)
	}
	old, err := l.renderedFiles(f, l.renderedDir())
	if err != nil {
		return nil, f.head, fmt.Errorf("read what is rendered: %w", err)
	}
	all := renderedBy(l.local, f.desired, records, old, l.distributedBy(f, records), o)
	return all, f.head, l.keepsFor(f, all)
}

// keepsFor says of consumers that are not as they should be why they keep what they hold: a set of theirs is suspended, and
// nobody looked at it as it is now.
func (l *Line) keepsFor(f *fleet, all []Rendering) error {
	for i, r := range all {
		if !slices.ContainsFunc(r.Files, func(file RenderedFile) bool { return file.State != FileSame }) {
			continue
		}
		for _, c := range f.desired.Consumers {
			for _, use := range c.Runs {
				if _, paused := f.paused(use.Set); !paused || c.Name != r.Consumer || all[i].Kept != "" {
					continue
				}
				_, why, err := l.settledAt(f, use.Set, l.renderedAt(f))
				if err != nil {
					return err
				}
				if all[i].Kept = why; why != "" {
					all[i].Files = []RenderedFile{}
				}
			}
		}
	}
	return nil
}

// proven gives a record as if all of it had been judged.
func proven(r mirror.Record) mirror.Record {
	r = r.Clone()
	for _, standing := range r.Stages {
		for entry, line := range standing {
			line.Proven = true
			standing[entry] = line
		}
	}
	return r
}

// renderedBy gives the folders of a fleet from records; old is what lies below rendered/ now, and images the distribution
// images that are known to be those of the records.
func renderedBy(local mirror.Local, desired mirror.Desired, records map[string]mirror.Record, old mirror.Files, images map[setStage]mirror.Reference, o RenderOptions) []Rendering {
	all := []Rendering{}
	for _, set := range desired.Sets {
		if o.Of != "" && o.Of != set.Name || len(set.Render) == 0 {
			continue
		}
		set.Render = o.kinds(set.Render)
		set.Distributions = distributionsIn(local, set, old)
		for _, stage := range set.Stages {
			if image, known := images[setStage{set.Name, stage}]; known {
				set.Distributions[stage] = image
			}
		}
		made := fits(path.Join("rendered", local.Site), render.Files(local, set, records[set.Name], asStands(set, records[set.Name]), desired.Files))
		for _, stage := range set.Stages {
			if o.Stage == "" || o.Stage == stage {
				one := Rendering{Set: set.Name, Stage: stage, Folder: render.Dir(local, set, stage)}
				all = append(all, one.filled(made, old, o))
			}
		}
	}
	for _, c := range desired.Consumers {
		if o.Of != "" && o.Of != consumerArgument(c.Name) || o.Of == "" && o.Stage != "" {
			continue
		}
		c.Render = o.kinds(c.Render)
		one := Rendering{Consumer: c.Name, Folder: render.ConsumerDir(local, c)}
		made := render.Result{}
		for _, use := range c.Runs {
			if set, ok := desired.Set(use.Set); ok && len(records[set.Name].At(use.Stage)) > 0 && one.Kept == "" {
				one.Kept = render.Unfinished(set, records[set.Name], asStands(set, records[set.Name]))[use.Stage]
			}
		}
		if one.Kept == "" {
			made = fits(path.Join("rendered", local.Site), render.Consumer(local, c, desired.Sets, records, desired.Files))
		}
		all = append(all, one.filled(made, old, o))
	}
	return all
}

// asStands gives a plan in which all that stands at the first stage is what is wanted there: what upstream has now, nobody
// was asked.
func asStands(set mirror.Set, r mirror.Record) (p mirror.Plan) {
	for entry, line := range r.At(set.Stages.First()) {
		p.Actions = append(p.Actions, mirror.Action{Kind: mirror.Unchanged, Stage: set.Stages.First(), Key: mirror.Key{Set: set.Name, Entry: entry}, Image: line.Image})
	}
	return p
}

// filled adds what was made of a folder, compared with what it holds.
func (r Rendering) filled(made render.Result, old mirror.Files, o RenderOptions) Rendering {
	r.Files = []RenderedFile{}
	for _, a := range made.Kept {
		if a.Path == r.Folder {
			r.Kept = strings.TrimPrefix(a.Reason.Detail, "kept as it was: ")
		}
	}
	if r.Kept != "" {
		return r
	}
	for _, note := range made.Notes {
		if text := noteText(note); note.Path == r.Folder && !slices.Contains(r.Notes, text) {
			r.Notes = append(r.Notes, text)
		}
	}
	names := map[string]bool{}
	for _, name := range made.Files.Under(r.Folder) {
		names[name] = true
	}
	for name := range made.Secrets {
		if strings.HasPrefix(name, r.Folder+"/") {
			names[name] = true
		}
	}
	for _, name := range old.Under(r.Folder) {
		// Of one kind alone, whose the other files are is not known.
		names[name] = names[name] || o.Kind == ""
	}
	maps.DeleteFunc(names, func(_ string, wanted bool) bool { return !wanted })
	for _, name := range sortedKeys(names) {
		if o.Kind == "" || path.Base(name) != kustomization {
			r.Files = append(r.Files, fileOf(name, made, old))
		}
	}
	return r
}

// kustomization is the file that lists what all kinds of a folder made.
const kustomization = "kustomization.yaml"

func fileOf(name string, made render.Result, old mirror.Files) RenderedFile {
	is, stays := made.Files[name]
	was, stood := old[name]
	file := RenderedFile{Path: name, Text: string(is), State: FileDiffers}
	if secret, ok := made.Secrets[name]; ok && !stays {
		stays, is, file.Secret = true, was, true
		file.Text = fmt.Sprintf("# Secret %s of type %s with the login %q: encrypted when it is committed, left out here\n", path.Join(secret.Namespace, secret.Name), secret.Type, secret.Credential)
	}
	switch {
	case !stays:
		file.State = FileStray
	case !stood:
		file.State = FileMissing
	case bytes.Equal(is, was):
		file.State = FileSame
	}
	return file
}
