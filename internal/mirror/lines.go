package mirror

import (
	"bytes"
	"cmp"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// MaxShard is the size in bytes above which a document of lines becomes a directory of shards, so that a
// change of one line stays a small commit (Git stores and pushes whole blobs).
const MaxShard = 64 << 10

// shardSize is the size in bytes that a shard has at most, unless a single entry is larger. A promotion of ten packages out of
// 20,000 touches twenty of them, and the folders that list them: smaller ones make those listings the larger part.
const shardSize = 16 << 10

// StageDocument is stages/<set>/<stage>.yaml, or one of its shards.
type StageDocument struct {
	Version  int             `yaml:"version,required" jsonschema:"enum=1" jsonschema_description:"Version of this document; 1 is the only one there is."`
	Source   Digest          `yaml:"source" jsonschema_description:"Digest of the vendor's file that the lines were made from; it is for people and is not checked."`
	Rollback Node            `yaml:"rollback" jsonschema:"example=v2.3 loses sessions" jsonschema_description:"Why its lines go back to older versions on purpose. It opens the gate that refuses downgrades, and no other one; delete it with the next promotion."`
	From     Node            `yaml:"from" jsonschema:"example=production" jsonschema_description:"Of a frozen channel: the stage whose content it has."`
	Entries  map[string]Node `yaml:"entries" jsonschema_description:"The upstream reference with its digest at which each entry is to stand, by entry name."`
	Where    Position
}

// ParseLines reads a stage document: name.yaml or the shards name.d/*.yaml. Every line is an entry and its
// upstream reference with digest. The lines come back sorted by entry; the second result says whether there is a
// document at all.
func ParseLines(files Files, name string) ([]Wanted, bool, Problems) {
	lines, _, listed, ps := ParseStageFile(files, name)
	return lines, listed, ps
}

// ParseStageFile is ParseLines, and gives besides why the document says that it is a rollback; "" where it does not.
func ParseStageFile(files Files, name string) (lines []Wanted, marked string, listed bool, ps Problems) {
	first := map[string]Position{}
	parts := files.Document(name)
	for _, file := range parts {
		var doc StageDocument
		problems := Decode(file, files[file], &doc)
		if len(problems) == 0 {
			problems = CheckVersion(doc.Version, 1, doc.Where)
		}
		if !doc.From.IsZero() && path.Base(path.Dir(name)) != frozenDir {
			problems.Add("FLT081", doc.From.Where(), "delete the key", "from: only a frozen channel has it")
		}
		ps = append(ps, problems...)
		if why, said := mark(doc.Rollback, &ps); said && marked != "" && why != marked {
			ps.Add("FLT051", doc.Rollback.Where(), "keep one of them", "rollback: another part of this document says %q", marked)
		} else if said {
			marked = why
		}
		for entry, node := range doc.Entries {
			text, _ := node.Text()
			image, err := ParseReference(text)
			switch before, dup := first[entry]; {
			case err != nil || !image.HasDigest():
				ps.Add("FLT010", node.Where(), "write registry/repository:tag@sha256:<64 hex>, as in rendered/", "entry %s: %q is not a reference with a digest", entry, text)
			case dup:
				ps.Add("DOC003", node.Where(), "keep one of them", "duplicate entry %s, first in %s", entry, before)
			default:
				first[entry] = node.Where()
				lines = append(lines, Wanted{Entry: entry, Image: image, Where: node.Where()})
			}
		}
	}
	slices.SortFunc(lines, func(a, b Wanted) int { return cmp.Compare(a.Entry, b.Entry) })
	return lines, marked, len(parts) > 0, ps
}

// mark reads why a stage document is a rollback.
func mark(node Node, ps *Problems) (why string, said bool) {
	if node.IsZero() {
		return "", false
	}
	text, ok := node.Text()
	if why = OneLine(text); !ok || why == "" {
		ps.AddAt("rollback", "FLT050", node.Where(), "say why in one line, or delete the key", "rollback: want the reason")
		return "", false
	}
	return why, true
}

// document writes lines of "entry: text" as name.yaml or, when that is over MaxShard, as shards named by
// the first characters of their entries. header is repeated in each.
func document(name, header string, lines map[string]string) Files {
	entries := slices.Sorted(func(yield func(string) bool) {
		for e := range lines {
			if !yield(e) {
				return
			}
		}
	})
	head := header + "version: 1\nentries:"
	texts, safe := map[string]string{}, map[string]string{}
	for _, e := range entries {
		texts[e], safe[e] = "  "+plain(e)+": "+lines[e]+"\n", unsafeInPath.ReplaceAllString(e, "_")
	}
	size := func(entries []string) int {
		n := len(head) + 1
		for _, e := range entries {
			n += len(texts[e])
		}
		return n
	}
	write := func(entries []string) []byte {
		var b bytes.Buffer
		b.Grow(size(entries) + 3)
		b.WriteString(head)
		if len(entries) == 0 {
			b.WriteString(" {}")
		}
		b.WriteString("\n")
		for _, e := range entries {
			b.WriteString(texts[e])
		}
		return b.Bytes()
	}
	if size(entries) <= MaxShard {
		return Files{name + ".yaml": write(entries)}
	}
	files := Files{}
	var split func(entries []string, length int)
	split = func(entries []string, length int) {
		groups := map[string][]string{}
		for _, e := range entries {
			p := safe[e][:min(len(safe[e]), length)]
			groups[p] = append(groups[p], e)
		}
		for p, group := range groups {
			if size(group) <= shardSize || len(p) < length {
				files[ShardDir(name)+"/"+p+".yaml"] = write(group)
			} else {
				split(group, max(length, common(safe, group))+1)
			}
		}
	}
	split(entries, 1)
	return files
}

// common gives how many characters the shard names of entries share: no shorter name tells them apart.
func common(safe map[string]string, entries []string) int {
	first := safe[entries[0]]
	n := len(first)
	for _, e := range entries[1:] {
		n = min(n, len(safe[e]))
		for i := range n {
			if safe[e][i] != first[i] {
				n = i
				break
			}
		}
	}
	return n
}

var unsafeInPath = regexp.MustCompile(`[^A-Za-z0-9.-]`)

var plainPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_./@:+-]*$`)

// plain writes s as a YAML scalar: bare where that is certain to read back as the same text.
func plain(s string) string {
	if plainPattern.MatchString(s) && !strings.HasSuffix(s, ":") && !looksTyped(s) {
		return s
	}
	return strconv.Quote(s)
}

// looksTyped says whether another YAML reader could take s for a number, a boolean, null or a time.
func looksTyped(s string) bool {
	switch strings.ToLower(s) {
	case "true", "false", "yes", "no", "on", "off", "null", "y", "n":
		return true
	}
	return s[0] >= '0' && s[0] <= '9' && !strings.ContainsAny(s, "/@")
}
