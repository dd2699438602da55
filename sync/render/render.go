// Package render turns what stands at a stage into override files: what makes a consumer use the local
// registry. Each kind of override (element, containerd) is one file that registers itself under its kind.
//
// It promises to be pure and deterministic: the same record gives the same bytes, without a time in them, and
// no file mixes two releases of a set. A stage that is on its way from one release to the next is not
// rendered; its files keep their last bytes. Committing the files is left to others.
package render

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

// part is a set at one stage, and what stands there.
type part struct {
	set      mirror.Set
	name     mirror.Stage
	standing mirror.Standing
}

// scene is what a renderer is given: one part for a set at a stage, several for a consumer that runs them.
type scene struct {
	local    mirror.Local
	parts    []part
	files    mirror.Files // desired/ of the commit, for what options name there
	consumer string       // the name of the consumer; "" for a set
}

// request is who asks for files of a kind, before anything stands: a set or a consumer.
type request struct {
	parts    []part                 // without what stands; of a set its first stage
	options  mirror.Node            // of the kind
	where    mirror.Position        // the key of the kind
	files    mirror.Files           // desired/ of the commit
	beside   map[string]mirror.Node // all kinds that are asked for together
	consumer string                 // the name of the consumer; "" for a set
}

// overrides are the files of one kind, relative to the folder of the stage or the consumer.
type overrides struct {
	files     mirror.Files
	secrets   map[string]Secret // by path: manifests whose values this package never sees
	resources []string          // which of both can be applied to a cluster as they are
	notes     []string          // what people should know although nothing is wrong, such as a fallback they allowed
}

// reach says for whom a kind can be asked.
type reach int

const (
	forSets      reach = 1 << iota // render: of a set
	forConsumers                   // render: of a consumer
	forBoth      = forSets | forConsumers
)

// kind is one kind of override.
type kind struct {
	about string
	reach reach
	// options is what the kind reads its options into, filled with the defaults; its tags say what they are.
	options any
	// check finds the mistakes of its options, and of a set that it cannot serve.
	check func(r request) mirror.Problems
	// files is called only for a request without problems, with at least one line that stands.
	files func(s scene, options mirror.Node) overrides
	// proof reads rendered files back as their consumer would and finds what it would misread: then they are not
	// committed. lint is asked of each file in any case.
	proof func(s scene, options mirror.Node, files mirror.Files) mirror.Problems

	// login says what nodes need where the local registry wants a login: kubelet sends the pull secrets of a pod to the host
	// that the image names, never to a mirror. "" for a kind whose images name the local registry.
	login string

	// reads says whether a file is most likely of this kind, by its name and content.
	reads func(name string, data []byte) bool
	// lint finds what the consumer of such a file would refuse, misread or silently ignore, in ours and in hand-written
	// ones.
	lint func(name string, data []byte) mirror.Problems
}

var kinds = map[string]kind{}

// register adds a kind; each file of a kind calls it from init.
func register(name string, k kind) { kinds[name] = k }

// Kinds lists the kinds of override there are, sorted.
func Kinds() []string { return slices.Sorted(maps.Keys(kinds)) }

// KindsFor lists the kinds that a set or a consumer may ask for, sorted.
func KindsFor(consumer bool) []string {
	want := forSets
	if consumer {
		want = forConsumers
	}
	return slices.DeleteFunc(Kinds(), func(name string) bool { return kinds[name].reach&want == 0 })
}

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

// Check finds every mistake in what a set asks to be rendered. files is desired/ of the commit.
func Check(set mirror.Set, files mirror.Files) mirror.Problems {
	var ps mirror.Problems
	for _, name := range slices.Sorted(maps.Keys(set.Render)) {
		ps = append(ps, check(name, request{options: set.Render[name], beside: set.Render, where: set.KeyAt("render", name), files: files,
			parts: []part{{set: set, name: set.Stages.First()}}})...)
	}
	return ps
}

// CheckConsumer finds every mistake in what a consumer asks to be rendered. sets are all of the fleet.
func CheckConsumer(c mirror.Consumer, sets []mirror.Set, files mirror.Files) mirror.Problems {
	var parts []part
	for _, use := range c.Runs {
		if i := slices.IndexFunc(sets, func(s mirror.Set) bool { return s.Name == use.Set }); i >= 0 {
			parts = append(parts, part{set: sets[i], name: use.Stage})
		}
	}
	var ps mirror.Problems
	for _, name := range slices.Sorted(maps.Keys(c.Render)) {
		ps = append(ps, check(name, request{options: c.Render[name], beside: c.Render, where: c.KeyAt("render", name), files: files, parts: parts, consumer: c.Name})...)
	}
	return ps
}

func check(name string, r request) (ps mirror.Problems) {
	k, known := kinds[name]
	may := KindsFor(r.consumer != "")
	switch {
	case !known:
		fix := "known kinds: " + strings.Join(may, ", ")
		if near := mirror.Nearest(name, may); near != "" {
			fix = fmt.Sprintf("did you mean %q?", near)
		}
		ps.Add("RND001", r.where, fix, "render: unknown kind %q", name)
	case !slices.Contains(may, name) && r.consumer != "":
		ps.Add("RND002", r.where, "ask for it in the set that it is made of", "render.%s is made of one set, not for a consumer", name)
	case !slices.Contains(may, name):
		ps.Add("RND002", r.where, "ask for it in desired/consumers/<name>.yaml", "render.%s belongs to nodes or clusters, not to a set", name)
	default:
		ps = k.check(r)
	}
	return ps
}

// Dir is the folder of the overrides of a set and stage.
func Dir(local mirror.Local, set mirror.Set, s mirror.Stage) string {
	return path.Join("rendered", local.Site, set.Name, string(s))
}

// Result is what is rendered for a set or a consumer.
type Result struct {
	Files   mirror.Files      // by path in the fleet repository
	Secrets map[string]Secret // by path: manifests that are still to be encrypted
	// Kept has an action for each folder whose files must not change now: they keep the bytes that they have. It is
	// Refuse where something of the stage is refused, missing or failed, or a file would be misread, and Unchanged where
	// it only takes longer or nothing asks for a change.
	Kept  []mirror.Action
	Notes []Note
}

// Note is something that people should know of rendered files although nothing is wrong.
type Note struct {
	Stage mirror.Stage // "" of a consumer
	Path  string       // the folder
	Kind  string
	Text  string
}

// Files renders every stage of a set from the record. p is the plan that led to the record, files are desired/ of the
// commit.
func Files(local mirror.Local, set mirror.Set, rec mirror.Record, p mirror.Plan, files mirror.Files) Result {
	r := Result{Files: mirror.Files{}, Secrets: map[string]Secret{}}
	if len(set.Render) == 0 {
		return r
	}
	for _, name := range set.Stages {
		dir, standing := Dir(local, set, name), rec.At(name)
		if why := unfinished(set, name, standing, p); why != "" {
			r.Kept = append(r.Kept, keep(set, name, dir, why, p))
			continue
		}
		if len(standing) == 0 {
			continue
		}
		one := all(scene{local: local, files: files, parts: []part{{set, name, standing}}}, set.Render, dir)
		if len(one.wrong) > 0 {
			r.Kept = append(r.Kept, mirror.Action{Kind: mirror.Refuse, Key: mirror.Key{Set: set.Name}, Stage: name, Path: dir,
				Reason: mirror.Because(mirror.Misread, "kept as it was: %s", one.wrong[0].What)})
			continue
		}
		one.addTo(&r, name, dir)
	}
	return r
}

// ConsumerDir is the folder of the files of a consumer.
func ConsumerDir(local mirror.Local, c mirror.Consumer) string {
	return path.Join("rendered", local.Site, "consumers", c.Name)
}

// Consumer renders the files of a consumer from the records of the sets that it runs. files are desired/ of the commit.
// A consumer of which nothing stands has no files.
func Consumer(local mirror.Local, c mirror.Consumer, sets []mirror.Set, records map[string]mirror.Record, files mirror.Files) Result {
	r := Result{Files: mirror.Files{}, Secrets: map[string]Secret{}}
	s := scene{local: local, files: files, consumer: c.Name}
	for _, use := range c.Runs {
		i := slices.IndexFunc(sets, func(s mirror.Set) bool { return s.Name == use.Set })
		if i < 0 {
			continue // checked before
		}
		if standing := records[use.Set].At(use.Stage); len(standing) > 0 {
			s.parts = append(s.parts, part{sets[i], use.Stage, standing})
		}
	}
	if len(s.parts) == 0 {
		return r
	}
	dir := ConsumerDir(local, c)
	one := all(s, c.Render, dir)
	if len(one.wrong) > 0 {
		r.Kept = append(r.Kept, mirror.Action{Kind: mirror.Refuse, Path: dir, Reason: mirror.Because(mirror.Misread, "kept as it was: %s", one.wrong[0].What)})
		return r
	}
	one.addTo(&r, "", dir)
	return r
}

// made is what all kinds of one folder give.
type made struct {
	overrides
	wrong mirror.Problems // what a consumer would misread
	notes []Note
}

func all(s scene, asked map[string]mirror.Node, dir string) made {
	m := made{overrides: overrides{files: mirror.Files{}, secrets: map[string]Secret{}}}
	for _, name := range slices.Sorted(maps.Keys(asked)) {
		k := kinds[name]
		of := s
		if k.reach&forConsumers != 0 {
			of = s.pulledByNodes()
		}
		if len(of.parts) == 0 && len(s.parts) > 0 {
			continue // nothing but charts stands
		}
		o := k.files(of, asked[name])
		for _, file := range slices.Sorted(maps.Keys(o.files)) { // the first mistake becomes the reason that plans show
			body := o.files[file]
			if _, twice := m.files[file]; twice && !(isPullSecret(file) && bytes.Equal(m.files[file], body)) || hidden(m.secrets, file) {
				m.wrong.Add("RND003", mirror.Position{File: path.Join(dir, file)}, "ask for one of the two kinds only", "two kinds of override write %s", file)
			}
			m.files[file] = body
			if k.lint != nil && !isPullSecret(file) {
				m.wrong = append(m.wrong, k.lint(path.Join(dir, file), body)...)
			}
		}
		for _, file := range slices.Sorted(maps.Keys(o.secrets)) {
			secret := o.secrets[file]
			if before, twice := m.secrets[file]; m.files[file] != nil || twice && !before.same(secret) {
				m.wrong.Add("RND003", mirror.Position{File: path.Join(dir, file)}, "ask for one of the two kinds only", "two kinds of override write %s", file)
			}
			m.secrets[file] = secret
		}
		m.resources = append(m.resources, o.resources...)
		if k.proof != nil {
			m.wrong = append(m.wrong, k.proof(of, asked[name], o.files)...)
		}
		if s.local.Login && k.login != "" {
			o.notes = append(o.notes, loginNote(k.login))
		}
		for _, text := range o.notes {
			m.notes = append(m.notes, Note{Path: dir, Kind: name, Text: text})
		}
	}
	if len(m.resources) > 0 {
		m.files[kustomizationFile] = kustomization(m.resources)
	}
	return m
}

func (m made) addTo(r *Result, name mirror.Stage, dir string) {
	for file, body := range m.files {
		r.Files[path.Join(dir, file)] = body
	}
	for file, secret := range m.secrets {
		r.Secrets[path.Join(dir, file)] = secret
	}
	for _, note := range m.notes {
		note.Stage = name
		r.Notes = append(r.Notes, note)
	}
}

// unfinished says why what stands at a stage must not become an override now; "" when it may. Entries that
// move one by one are rendered as they stand.
func unfinished(set mirror.Set, name mirror.Stage, standing mirror.Standing, p mirror.Plan) string {
	if name != set.Stages.First() && !set.Listed[name] {
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
	if len(standing) > 0 && needsDistribution(set) && !set.Distributions[name].HasDigest() {
		return cmp.Or(set.Undistributed[name], "the distribution image with what stands here is not made yet")
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
