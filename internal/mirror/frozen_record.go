package mirror

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// FrozenLine is what is remembered of a frozen channel: what it held when it was first seen. A name keeps that also when its
// file is gone, so that nothing else ever takes it.
type FrozenLine struct {
	From  Stage
	Print Digest // of what it holds
	Since time.Time
}

// frozenFile names the document of a site's frozen channels; no stage has one there.
func frozenFile(dir, set string) string {
	return dir + "/record/" + set + "/" + frozenDir + "/channels"
}

// FrozenFiles writes what is remembered of the frozen channels of a set; nothing where there are none.
func FrozenFiles(dir string, set Set, lines map[string]FrozenLine) Files {
	texts := map[string]string{}
	for name, l := range lines {
		texts[name] = fmt.Sprintf("{from: %s, print: %s, since: %q}", l.From, l.Print, l.Since.UTC().Format(time.RFC3339))
	}
	if len(texts) == 0 {
		return nil
	}
	return document(frozenFile(dir, set.Name), recordHeader, texts)
}

// ParseFrozen reads what FrozenFiles wrote. What cannot be read is forgotten.
func ParseFrozen(dir string, set Set, files Files) map[string]FrozenLine {
	lines := map[string]FrozenLine{}
	for _, file := range files.Document(frozenFile(dir, set.Name)) {
		var doc StageDocument
		if len(Decode(file, files[file], &doc)) > 0 || doc.Version != 1 {
			continue
		}
		for name, node := range doc.Entries {
			var l struct {
				From  Stage  `yaml:"from,required"`
				Print Digest `yaml:"print,required"`
				Since string `yaml:"since,required"`
			}
			if len(node.Decode(&l)) > 0 {
				continue
			}
			if since, err := time.Parse(time.RFC3339, l.Since); err == nil {
				lines[name] = FrozenLine{l.From, l.Print, since}
			}
		}
	}
	return lines
}

// Keep says which frozen channels of a set are as they were, and which are refused with the reason: one that lists anything
// else than it did, or what never stood where it says that it was frozen. lines is what was remembered, and what is to be
// from now on.
func (s Set) Keep(lines map[string]FrozenLine, r Record, at time.Time) (kept []FrozenChannel, refused []Action) {
	for _, f := range s.Frozen {
		known, before := lines[f.Name]
		a := Action{Kind: Refuse, Key: Key{Set: s.Name}, Stage: Stage(f.Name), Where: f.Where}
		switch strange := s.strangers(f, r); {
		case before && known.Print != f.Print():
			a.Reason = Because(Immutable, "the channel %s was frozen on %s and never changes; what it held then stays served", f.Name, known.Since.UTC().Format(time.DateOnly))
			a.Reason.Fix = "bring its file back as it was, or take another name for what it lists now"
		case !before && len(strange) > 0:
			a.Reason = Because(NotBelow, "never stood at %s or above: %s", f.From, strings.Join(strange[:min(len(strange), 5)], ", "))
			a.Reason.Fix = "make it with `poundlock freeze`"
		default:
			if kept = append(kept, f); !before {
				lines[f.Name] = FrozenLine{f.From, f.Print(), at.UTC().Truncate(time.Second)}
			}
			continue
		}
		refused = append(refused, a)
	}
	return kept, refused
}

// strangers names the lines of a frozen channel that never stood at its stage or above.
func (s Set) strangers(f FrozenChannel, r Record) (names []string) {
	from := max(0, slices.Index(s.Stages, f.From))
	for _, w := range f.Lines {
		if !slices.ContainsFunc(s.Stages[from:], func(stage Stage) bool { return r.Stood(stage, w.Entry, w.Image) }) {
			names = append(names, w.Entry)
		}
	}
	return names
}
