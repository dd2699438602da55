package mirror

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// FrozenChannel is stages/<set>/frozen/<name>.yaml: what a channel of packages held when people froze it, under a name of its own,
// such as the version of the Elastic Stack that it was made for. It never changes.
type FrozenChannel struct {
	Name  string
	From  Stage // the stage that was frozen
	Lines []Wanted
	Where Position
}

// FrozenName gives the name of the document of a frozen channel in the fleet repository, without its ending.
func FrozenName(set, name string) string { return StageName(set, frozenDir) + "/" + name }

const frozenDir = "frozen"

var frozenPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,59}$`)

// IsFrozenName says whether a frozen channel of a set may be called so: the name is part of a tag and of an address.
func (s Set) IsFrozenName(name string) bool {
	return frozenPattern.MatchString(name) && !slices.Contains(s.Stages, Stage(name)) && !strings.HasSuffix(name, ".d")
}

// Print identifies what a frozen channel holds, in whatever order it is written.
func (f FrozenChannel) Print() Digest {
	var b strings.Builder
	b.WriteString(string(f.From) + "\n")
	for _, w := range f.Lines { // sorted by entry
		b.WriteString(w.Entry + " " + w.Image.String() + "\n")
	}
	return DigestOf([]byte(b.String()))
}

// frozenOf gives the name of the frozen channel that a file below stages/ belongs to; "" for any other file.
func frozenOf(file string) (set, name string) {
	parts := strings.Split(file, "/")
	if len(parts) < 4 || parts[0] != "stages" || parts[2] != frozenDir {
		return "", ""
	}
	switch {
	case len(parts) == 4 && path.Ext(file) == ".yaml":
		return parts[1], strings.TrimSuffix(parts[3], ".yaml")
	case len(parts) == 5 && path.Ext(file) == ".yaml" && strings.HasSuffix(parts[3], ShardDir("")):
		return parts[1], strings.TrimSuffix(parts[3], ShardDir(""))
	}
	return "", ""
}

// readFrozen reads the frozen channels of a set. Whether the set has channels is known once its source was read.
func (s *Set) readFrozen(files Files) Problems {
	var ps Problems
	var names []string
	for _, file := range files.Under(StageName(s.Name, frozenDir)) {
		if _, name := frozenOf(file); name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, name := range names {
		document := FrozenName(s.Name, name)
		parts := files.Document(document)
		one := FrozenChannel{Name: name, Where: Position{File: parts[0], Line: 1}}
		lines, marked, _, problems := ParseStageFile(files, document)
		for _, part := range parts {
			var doc StageDocument
			if len(Decode(part, files[part], &doc)) > 0 {
				continue // told by ParseStageFile
			}
			stage, _ := doc.From.Text()
			switch from := Stage(stage); {
			case !slices.Contains(s.Stages, from):
				problems.Add("FLT081", orAt(doc.From.Where(), part), "write from: and the stage that was frozen: "+strings.Join(stageNames(s.Stages), ", "), "a frozen channel says from which stage it is; %q is none of set %s", stage, s.Name)
			case one.From != "" && one.From != from:
				problems.Add("FLT081", doc.From.Where(), "keep one of them", "another part of this document says from: %s", one.From)
			default:
				one.From = from
			}
		}
		switch {
		case !s.IsFrozenName(name):
			problems.Add("FLT080", one.Where, "write small letters, digits, dots and dashes, such as 9.3.0, and no name of a stage", "%q cannot be the name of a frozen channel", name)
		case len(lines) == 0 && len(problems) == 0:
			problems.Add("FLT080", one.Where, "make it with `poundlock freeze`, or delete the file", "the frozen channel %s lists nothing", name)
		case marked != "":
			problems.Add("FLT080", one.Where, "delete the key", "rollback: a frozen channel never changes")
		}
		one.Lines = lines
		if ps = append(ps, problems...); len(problems) == 0 {
			s.Frozen = append(s.Frozen, one)
		}
	}
	return ps
}

func orAt(where Position, file string) Position {
	if where.File == "" {
		return Position{File: file, Line: 1}
	}
	return where
}

// CheckFrozen refuses frozen channels of a set that has no channels. It is asked once the source of the set was read.
func (s Set) CheckFrozen() Problems {
	var ps Problems
	for _, f := range s.Frozen {
		if !s.Packages {
			ps.Add("FLT082", f.Where, "delete the file; what stands at a stage of this set can be promoted or rolled back", "set %s has no channels of packages, so nothing of it can be frozen", s.Name)
		}
	}
	return ps
}
