package mirror

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

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
}

// Pinned says whether a reviewed file names the content itself.
func (e Entry) Pinned() bool { return e.Image.HasDigest() }

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
	Version    int                    `yaml:"version,required"`
	SourceNode Node                   `yaml:"source,required"`
	Include    []string               `yaml:"include"`
	Exclude    []string               `yaml:"exclude"`
	Replace    map[string]Replacement `yaml:"replace"`
	Stages     Stages                 `yaml:"stages"`
	Layout     LayoutKind             `yaml:"layout"`
	Paths      map[string]string      `yaml:"paths"`
	Tag        TagTemplate            `yaml:"tag"`
	VendorTags VendorTags             `yaml:"vendorTags"`
	Adopt      bool                   `yaml:"adopt"`
	Render     map[string]Node        `yaml:"render"`
	Where      Position

	Name    string
	Source  Source
	Atomic  bool               // above the first stage all entries move together; decided by the source kind
	Follow  bool               // an upstream tag is asked again at each scheduled cycle; else once per Origin
	Origin  Digest             // of the bytes of the source file: the version of what the vendor shipped
	Entries []Entry            // sorted by name; filled by sources.Read
	Wanted  map[Stage][]Wanted // stages above the first, from stages/<name>/
	Listed  map[Stage]bool     // which of those stages have a file
}

// Replacement is the site's own image for one entry.
type Replacement struct {
	Image   Reference `yaml:"image,required"`
	BasedOn Digest    `yaml:"basedOn"`
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
}

// Set gives the set of that name.
func (d Desired) Set(name string) (Set, bool) {
	i := slices.IndexFunc(d.Sets, func(s Set) bool { return s.Name == name })
	if i < 0 {
		return Set{}, false
	}
	return d.Sets[i], true
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
	ps := Decode(file, data, &s)
	if s.Stages == nil {
		s.Stages = DefaultStages
	}
	if len(ps) == 0 {
		ps = append(ps, CheckVersion(s.Version, 1, s.Where)...)
		if len(s.Stages) == 0 || len(slices.Compact(slices.Sorted(slices.Values(s.Stages)))) != len(s.Stages) {
			ps.Add("FLT003", s.Where, "list each stage once, lowest first", "stages: want at least one, each once")
		}
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
		ps.Add("DOC005", s.SourceNode.Where(), "add it, such as kind: ess", "source.kind is missing")
	}
	s.Source = Source{Kind: kind, Node: s.SourceNode}
	for _, pattern := range append(slices.Clone(s.Include), s.Exclude...) {
		if !doublestar.ValidatePattern(pattern) {
			ps.Add("FLT004", s.Where, "", "malformed glob %q", pattern)
		}
	}
	for _, host := range slices.Sorted(maps.Keys(s.Paths)) {
		if p := s.Paths[host]; p != "" {
			if _, err := ParseReference("x.example/" + p); err != nil || strings.ContainsAny(p, ":@") {
				ps.Add("FLT005", s.Where, "use lower-case path components", "paths.%s: %q is not a repository path", host, p)
			}
		}
	}
	for _, entry := range slices.Sorted(maps.Keys(s.Replace)) {
		if r := s.Replace[entry]; !r.Image.IsZero() && r.Image.Tag == "" && !r.Image.HasDigest() {
			ps.Add("FLT006", r.Where, "add a tag or, better, a digest", "replace.%s: the image has neither tag nor digest", entry)
		}
	}
	return s, ps
}

// CheckVersion refuses a document of another version than ours: an older one is to be migrated, a newer
// one was written for a newer Poundlock.
func CheckVersion(have, want int, where Position) Problems {
	var ps Problems
	if have > want {
		ps.Add("DOC008", where, "use a newer Poundlock", "version %d is newer than this Poundlock understands (%d)", have, want)
	} else if have < want {
		ps.Add("DOC008", where, fmt.Sprintf("write version: %d", want), "version %d does not exist", have)
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
	s.Wanted, s.Listed = map[Stage][]Wanted{}, map[Stage]bool{}
	if len(s.Stages) == 0 {
		return nil
	}
	for _, stage := range s.Stages.Upper() {
		lines, listed, problems := ParseLines(files, "stages/"+s.Name+"/"+string(stage))
		ps = append(ps, problems...)
		s.Wanted[stage], s.Listed[stage] = lines, listed
	}
	return ps
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
		switch {
		case path.Ext(name) == ".yml":
			ps.Add("FLT001", Position{File: name}, "name it "+strings.TrimSuffix(name, "yml")+"yaml", "a stage file ends in .yaml")
		case !ok:
			ps.Add("FLT007", Position{File: name}, "name a set of desired/", "there is no set %q", parts[1])
		case len(parts) < 3 || len(parts) > 4 || !slices.Contains(set.Stages, Stage(parts[2])):
			ps.Add("FLT007", Position{File: name}, "stages of this set: "+fmt.Sprint(set.Stages), "set %s has no such stage", set.Name)
		case Stage(parts[2]) == set.Stages.First():
			ps.Add("FLT007", Position{File: name}, "delete the file", "the first stage is filled from upstream, not from a stage file")
		}
	}
	return ps
}
