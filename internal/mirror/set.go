package mirror

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"
)

// Key names one entry of one set.
type Key struct {
	Set   string `json:"set"`
	Entry string `json:"entry,omitempty"`
}

// String gives set/entry.
func (k Key) String() string { return strings.TrimSuffix(k.Set+"/"+k.Entry, "/") }

// Entry is one thing that a set wants from upstream, as its source and its replacements name it.
type Entry struct {
	Name     string
	Image    Reference // upstream reference: a tag, a digest or both
	Where    Position  // the line that names it
	Replaced bool      // by the site's own image
	BasedOn  Digest    // what the vendor's entry was when the replacement was made
	Vendor   Reference // what the vendor's file says where Replaced
	Told     bool      // an upstream named it, not a file of the fleet repository
	Package  PackageAt // where the bytes of a package are; zero for what lies in a registry
}

// Pinned says whether a reviewed file names the content itself. That an upstream names a digest vouches for nothing.
func (e Entry) Pinned() bool { return e.Image.HasDigest() && !e.Told }

// Candidate is an entry resolved to an immutable digest. Err says why there is none: ErrNotFound where
// upstream has no such thing, anything else where upstream could not be asked.
type Candidate struct {
	Entry Entry
	Image Reference // with digest, unless Err is set
	Err   error
}

// Source names the kind of upstream that a set is read from. Node carries the options, which only the
// kind itself reads.
type Source struct {
	Kind string
	Node Node
}

// Set is desired/<name>.yaml: a named group of entries that belong together.
type Set struct {
	Version    int                    `yaml:"version,required" jsonschema:"enum=1" jsonschema_description:"Version of this document; 1 is the only one there is."`
	SourceNode Node                   `yaml:"source,required" jsonschema_description:"Where upstream says what there is; its kind decides the other keys."`
	Include    []string               `yaml:"include" jsonschema:"example=**" jsonschema_description:"Globs over entry names: only what matches is in the set; every entry when it is left out."`
	Exclude    []string               `yaml:"exclude" jsonschema:"example=postgres/**" jsonschema_description:"Globs over entry names that are left out of the set."`
	Replace    map[string]Replacement `yaml:"replace" jsonschema_description:"The site's own image for single entries, by entry name."`
	Stages     Stages                 `yaml:"stages" jsonschema:"minItems=1,uniqueItems=true" jsonschema_description:"Stages of the set, lowest first: the first is filled from upstream, the others by promotion."`
	Layout     LayoutKind             `yaml:"layout" jsonschema:"enum=tag,enum=path" jsonschema_description:"What tells the stages apart in the local registry: a moving tag in one repository, or a repository for each stage."`
	Paths      map[string]string      `yaml:"paths" jsonschema_description:"Where the images of an upstream host lie in the local registry, by host; the host's own name when it is left out."`
	Tag        TagTemplate            `yaml:"tag" jsonschema:"default={{.Set}}-{{.Entry}}-{{.Stage}},example={{.Entry}}-{{.Stage}}" jsonschema_description:"Template of the stage tags (Go text/template) over .Set, .Entry and .Stage."`
	VendorTags VendorTags             `yaml:"vendorTags" jsonschema:"enum=once,enum=follow,enum=none" jsonschema_description:"What happens to the vendor's own tag under layout tag: written once and never moved, moved with the first stage, or not written."`
	Adopt      bool                   `yaml:"adopt" jsonschema_description:"Allows to move a tag that was in the local registry before us; otherwise that is refused."`
	Render     map[string]Node        `yaml:"render" jsonschema_description:"Kinds of override files that are written to rendered/ for each stage, with their options."`
	Auto       map[Stage]Auto         `yaml:"auto" jsonschema_description:"What the daemon does by itself, by stage above the first, where what stands below differs from the stage file: propose a promotion, commit one, or nothing (off)."`
	// Distribution and StaleAfter are of packages and of moving tags.
	Distribution *Distribution `yaml:"distribution" jsonschema_description:"Makes an image of Elastic's package registry with the packages of each stage inside; for sets of packages."`
	StaleAfter   time.Duration `yaml:"staleAfter" jsonschema:"example=720h" jsonschema_description:"Tells of an upstream tag of the set that is meant to move and has not for that long; never when it is left out."`
	Where        Position

	doc     Node // the whole document, for the places of its parts
	unsure  bool // which stages it has is not known
	Name    string
	Source  Source
	Atomic  bool               // above the first stage all entries move together; decided by the source kind
	Follow  bool               // an upstream tag is asked again at each scheduled cycle; else once per Origin
	Origin  Digest             // of the bytes of the source file: the version of what the vendor shipped
	Entries []Entry            // sorted by name; filled by sources.Read
	Wanted  map[Stage][]Wanted // stages above the first, from stages/<name>/
	Listed  map[Stage]bool     // which of those stages have a file
	Made    []Artifact         // content of entries that lies in no registry yet
	// Packages says that the entries are Elastic packages: the set's stages are channels, and their rules hold.
	Packages bool
	// PackagesFrom is the address of the package registry that is asked; "" for none. PackagesAs is the host and path by which
	// its packages are known.
	PackagesFrom, PackagesAs string

	Frozen []FrozenChannel  // channels that never change, by name
	Marked map[Stage]string // why the stage file is a rollback, where it says so
	// Distributions are the images that Distribution asks for, by stage: those that hold what stands there now.
	Distributions map[Stage]Reference
	Undistributed map[Stage]string // why a stage has none, where that is known

	Asked    bool   // what there is stands outside of the fleet repository and is asked for (sources.Ask)
	Question Digest // what is asked, where Asked
	Answer   Digest // what was answered that Entries are from; the zero digest while nothing was
}

// Replacement is the site's own image for one entry.
type Replacement struct {
	Image   Reference `yaml:"image,required" jsonschema:"example=registry.example.org/custom/element-web:v1.11.45-corp" jsonschema_description:"The site's own image, with a tag or, better, a digest."`
	BasedOn Digest    `yaml:"basedOn" jsonschema_description:"Digest of the vendor's image that it was made from: when the vendor moves on, the entry is refused until you confirm; not checked when it is left out."`
	Where   Position
}

// Wanted is one line of a stage file: this entry stands at exactly this content.
type Wanted struct {
	Entry string
	Image Reference // with digest
	Where Position
}

// Desired is what the fleet repository asks for at one commit.
type Desired struct {
	Commit string
	Files  Files // desired/ and stages/
	Sets   []Set // sorted by name

	Consumers []Consumer // sorted by name
}

// Set gives the set of that name.
func (d Desired) Set(name string) (Set, bool) {
	i := slices.IndexFunc(d.Sets, func(s Set) bool { return s.Name == name })
	if i < 0 {
		return Set{}, false
	}
	return d.Sets[i], true
}

// At gives the place of the value at a path of keys in the set's file, its whole when there is none.
func (s Set) At(path ...string) Position {
	if n := s.doc.Find(path...); !n.IsZero() {
		return n.Where()
	}
	return s.Where
}

// KeyAt gives the place of a key, where At gives that of its value.
func (s Set) KeyAt(path ...string) Position {
	last := len(path) - 1
	if n := s.doc.Find(path[:last]...); !n.IsZero() {
		return n.KeyWhere(path[last])
	}
	return s.Where
}

// Unsure says whether a set has a mistake that leaves open which stages there are.
func (d Desired) Unsure() bool {
	return slices.ContainsFunc(d.Sets, func(s Set) bool { return s.unsure })
}

// PolicyFile is the one document in desired/ that is not a set.
const PolicyFile = "desired/policy.yaml"

// ParseDesired reads all sets and stage files of a commit. The entries of each set are still to be read
// from its source (sources.Read).
func ParseDesired(commit string, files Files) (Desired, Problems) {
	d := Desired{Commit: commit, Files: files}
	var ps Problems
	for _, name := range files.Under("desired") {
		if path.Dir(name) != "desired" || name == PolicyFile {
			continue
		}
		switch base := path.Base(name); path.Ext(name) {
		case ".yaml":
			set, problems := parseSet(strings.TrimSuffix(base, ".yaml"), name, files[name])
			ps = append(ps, problems...)
			d.Sets = append(d.Sets, set)
		case ".yml", ".json":
			ps.Add("FLT001", Position{File: name}, "name it "+strings.TrimSuffix(base, path.Ext(base))+".yaml", "a set ends in .yaml")
		}
	}
	for i := range d.Sets {
		ps = append(ps, d.Sets[i].readStages(files)...)
	}
	ps = append(ps, strayStages(d, files)...)
	consumers, problems := parseConsumers(files, d.Sets)
	d.Consumers, ps = consumers, append(ps, problems...)
	for i := range ps {
		ps[i].Where.Commit = commit
	}
	return d, ps
}

// reservedSets are the folders of rendered/<site>/ that are no set's: a set owns its folder, so one of these
// names would delete what others wrote there.
var reservedSets = []string{"record", "consumers"}

func parseSet(name, file string, data []byte) (Set, Problems) {
	s := Set{Name: name}
	doc, ps := ParseDocument(file, data)
	parsed := !ps.Stop()
	if parsed {
		s.doc = doc
		ps = append(ps, doc.Decode(&s)...)
	}
	s.unsure = !parsed || ps.Touch("stages")
	if s.Stages == nil {
		s.Stages = DefaultStages
	}
	if parsed && doc.IsMapping() && !ps.Touch("version") {
		ps = append(ps, CheckVersion(s.Version, 1, s.At("version"))...)
	}
	if !s.unsure {
		ps = append(ps, s.checkStages()...)
		ps = append(ps, s.checkAuto()...)
		ps = append(ps, s.checkDistribution()...)
		ps = append(ps, s.checkStale()...)
	}
	if slices.Contains(reservedSets, name) {
		ps.Add("FLT002", Position{File: file}, "rename the file", "a set cannot be named %q: rendered/<site>/%s holds something else", name, name)
	}
	if _, err := ParseStage(name); err != nil {
		ps.Add("FLT002", Position{File: file}, "rename the file", "a set's name is part of repository paths and tags: %q is not allowed", name)
	}
	if s.Layout == "" {
		s.Layout = LayoutTag
	}
	if s.VendorTags == "" {
		s.VendorTags = VendorOnce
	}
	kind, ok := s.SourceNode.Key("kind").Text()
	if !ok && !s.SourceNode.IsZero() {
		ps.AddAt("source.kind", "DOC005", s.SourceNode.Where(), "add it, such as kind: ess", "source.kind is missing")
	}
	s.Source = Source{Kind: kind, Node: s.SourceNode}
	globs := s.Globs()
	for _, key := range slices.Sorted(maps.Keys(globs)) {
		for i, pattern := range globs[key] {
			if !doublestar.ValidatePattern(pattern) {
				ps.AddAt(key, "FLT004", s.At(key, strconv.Itoa(i)), `close every [ and {, or put \ before a sign that is meant as it is`, "%s: malformed glob %q", key, pattern)
			}
		}
	}
	for _, host := range slices.Sorted(maps.Keys(s.Paths)) {
		if p := s.Paths[host]; p != "" {
			if _, err := ParseReference("x.example/" + p); err != nil || strings.ContainsAny(p, ":@") {
				ps.Add("FLT005", s.At("paths", host), "write lower-case words, joined by /, without host, tag and digest", "paths.%s: %q is not a repository path", host, p)
			}
		}
	}
	for _, entry := range slices.Sorted(maps.Keys(s.Replace)) {
		if r := s.Replace[entry]; !r.Image.IsZero() && r.Image.Tag == "" && !r.Image.HasDigest() {
			ps.Add("FLT006", s.At("replace", entry, "image"), "add a tag or, better, a digest", "replace.%s: the image has neither tag nor digest", entry)
		}
	}
	return s, ps
}

func (s Set) checkStages() Problems {
	var ps Problems
	if len(s.Stages) == 0 {
		ps.AddAt("stages", "FLT003", s.At("stages"), "list at least one, or delete the key to have "+strings.Join(stageNames(DefaultStages), ", "), "stages: the list is empty")
	}
	for i, stage := range s.Stages {
		if slices.Contains(s.Stages[:i], stage) {
			ps.AddAt("stages", "FLT003", s.At("stages", strconv.Itoa(i)), "list each stage once, lowest first", "stages: %q is listed twice", stage)
		}
	}
	return ps
}

// Globs gives include and exclude by their keys.
func (s Set) Globs() map[string][]string {
	return map[string][]string{"include": s.Include, "exclude": s.Exclude}
}

// CheckVersion refuses a document of another version than ours: an older one is to be migrated, a newer
// one was written for a newer Poundlock.
func CheckVersion(have, want int, where Position) Problems {
	var ps Problems
	switch {
	case have > want:
		ps.AddAt("version", "DOC008", where, "use a newer Poundlock", "version %d is newer than this Poundlock understands (%d)", have, want)
	case have == 0 && where.Line == 0:
		ps.AddAt("version", "DOC005", where, fmt.Sprintf("write version: %d", want), "version is missing")
	case have < want:
		ps.AddAt("version", "DOC008", where, fmt.Sprintf("write version: %d", want), "version %d does not exist", have)
	}
	return ps
}

// Selects says whether include and exclude leave the entry in the set.
func (s Set) Selects(entry string) bool {
	matches := func(patterns []string) bool {
		return slices.ContainsFunc(patterns, func(p string) bool { return doublestar.MatchUnvalidated(p, entry) })
	}
	return (len(s.Include) == 0 || matches(s.Include)) && !matches(s.Exclude)
}

func (s *Set) readStages(files Files) Problems {
	var ps Problems
	s.Wanted, s.Listed, s.Marked = map[Stage][]Wanted{}, map[Stage]bool{}, map[Stage]string{}
	if len(s.Stages) == 0 {
		return nil
	}
	for _, stage := range s.Stages.Upper() {
		lines, marked, listed, problems := ParseStageFile(files, "stages/"+s.Name+"/"+string(stage))
		ps = append(ps, problems...)
		if marked != "" {
			s.Marked[stage] = marked
		}
		s.Wanted[stage], s.Listed[stage] = lines, listed
	}
	return append(ps, s.readFrozen(files)...)
}

// strayStages finds files below stages/ that no set and stage reads: most likely a misspelt name, which
// must not be ignored in silence.
func strayStages(d Desired, files Files) Problems {
	var ps Problems
	for _, name := range files.Under("stages") {
		if ext := path.Ext(name); ext != ".yaml" && ext != ".yml" {
			continue
		}
		parts := strings.Split(strings.TrimSuffix(name, ".yaml"), "/")
		if len(parts) == 4 {
			stage, shard := strings.CutSuffix(parts[2], ShardDir(""))
			if !shard {
				stage = "" // a folder with the bare name of a stage is read by nobody
			}
			parts[2] = stage
		}
		set, ok := d.Set(parts[1])
		if _, frozen := frozenOf(name); frozen != "" && ok {
			continue
		}
		switch {
		case path.Ext(name) == ".yml":
			ps.Add("FLT001", Position{File: name}, "name it "+strings.TrimSuffix(name, "yml")+"yaml", "a stage file ends in .yaml")
		case !ok:
			ps.Add("FLT007", Position{File: name}, suggestSet(parts[1], d), "there is no set %q in desired/, so nobody reads this stage file", parts[1])
		case set.unsure: // its own file is to be mended first
		case len(parts) < 3 || len(parts) > 4 || !slices.Contains(set.Stages, Stage(parts[2])):
			ps.Add("FLT007", Position{File: name}, suggestStage(parts[len(parts)-1], set), "set %s has no such stage, so nobody reads this file", set.Name)
		case Stage(parts[2]) == set.Stages.First():
			ps.Add("FLT007", Position{File: name}, "delete the file", "the first stage is filled from upstream, not from a stage file")
		}
	}
	return ps
}

func suggestSet(name string, d Desired) string {
	var names []string
	for _, s := range d.Sets {
		names = append(names, s.Name)
	}
	if near := Nearest(name, names); near != "" {
		return fmt.Sprintf("did you mean %q? rename the folder", near)
	}
	return "delete the file, or add desired/" + name + ".yaml"
}

func stageNames(stages Stages) []string {
	names := make([]string, len(stages))
	for i, stage := range stages {
		names[i] = string(stage)
	}
	return names
}

func suggestStage(name string, s Set) string {
	stages := stageNames(s.Stages)
	if near := Nearest(name, stages); near != "" && near != name {
		return fmt.Sprintf("did you mean %q? rename the file", near)
	}
	return fmt.Sprintf("name it stages/%s/<stage>.yaml; the stages of the set above the first are %s", s.Name, strings.Join(stages[min(1, len(stages)):], ", "))
}
