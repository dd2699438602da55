package render

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/poundlock/poundlock/internal/mirror"
)

// tomlFile is a TOML file that a consumer reads, with the place of everything in it.
type tomlFile struct {
	file   string
	root   map[string]any
	at     map[string]mirror.Position
	tables [][]string // the headers of tables in their order, as [host."https://r.example"] is host, https://r.example
}

// readTOML reads a file. What is no TOML at all is told as RND021 with the place; ignored says what the consumer makes
// of such a file.
func readTOML(file string, data []byte, ignored string) (tomlFile, mirror.Problems) {
	t := tomlFile{file: file, at: map[string]mirror.Position{}}
	ps := mirror.CheckText(file, data)
	if len(ps) > 0 {
		return t, ps
	}
	if bytes.HasPrefix(data, []byte("\ufeff")) {
		ps.Add("RND021", mirror.Position{File: file, Line: 1, Column: 1}, "save it as UTF-8 without a byte order mark", "the file begins with a byte order mark, which TOML does not know")
		ps[0].Why = ignored
		return t, ps
	}
	if err := toml.Unmarshal(data, &t.root); err != nil {
		where, what := mirror.Position{File: file}, err.Error()
		if broken := (*toml.DecodeError)(nil); errors.As(err, &broken) {
			where.Line, where.Column = broken.Position()
		}
		ps.Add("RND021", where, "mend the line, or the one before it", "this is no TOML: %s", mirror.OneLine(strings.TrimPrefix(what, "toml: ")))
		ps[0].Why = ignored
		return t, ps
	}
	t.locate(data)
	return t, nil
}

// where gives the place of a key, or of the nearest one above it that stands in the file.
func (t tomlFile) where(path ...string) mirror.Position {
	for ; len(path) > 0; path = path[:len(path)-1] {
		if p, ok := t.at[strings.Join(path, "\x00")]; ok {
			return p
		}
	}
	return mirror.Position{File: t.file}
}

// locate notes the place of every key and table. An item of an array of tables has its number in the path.
func (t *tomlFile) locate(data []byte) {
	var ends []int // of lines
	for i, c := range data {
		if c == '\n' {
			ends = append(ends, i)
		}
	}
	place := func(offset uint32) mirror.Position {
		line := sort.SearchInts(ends, int(offset))
		start := 0
		if line > 0 {
			start = ends[line-1] + 1
		}
		return mirror.Position{File: t.file, Line: line + 1, Column: 1 + utf8.RuneCount(data[start:offset])}
	}
	items := map[string]int{} // how many of each array of tables there are so far
	var in []string           // the table that keys are in
	p := unstable.Parser{}
	p.Reset(data)
	for p.NextExpression() {
		e := p.Expression()
		switch e.Kind {
		case unstable.KeyValue:
			t.locateValue(e, in, place)
			continue
		case unstable.Table, unstable.ArrayTable:
		default:
			continue
		}
		var names, path []string
		var first mirror.Position
		for it := e.Key(); it.Next(); {
			if n := items[strings.Join(path, "\x00")]; n > 0 {
				path = append(path, strconv.Itoa(n-1))
			}
			if len(names) == 0 {
				first = place(it.Node().Raw.Offset)
			}
			names, path = append(names, string(it.Node().Data)), append(path, string(it.Node().Data))
			t.note(path, first)
		}
		if e.Kind == unstable.ArrayTable {
			key := strings.Join(path, "\x00")
			items[key]++
			path = append(path, strconv.Itoa(items[key]-1))
		} else {
			t.tables = append(t.tables, names)
		}
		t.note(path, first)
		in = path
	}
}

func (t *tomlFile) locateValue(e *unstable.Node, in []string, place func(uint32) mirror.Position) {
	path := slices.Clone(in)
	for it := e.Key(); it.Next(); {
		path = append(path, string(it.Node().Data))
		t.note(path, place(it.Node().Raw.Offset))
	}
	if e.Value().Kind == unstable.InlineTable {
		for it := e.Value().Children(); it.Next(); {
			t.locateValue(it.Node(), path, place)
		}
	}
}

func (t *tomlFile) note(path []string, where mirror.Position) {
	if key := strings.Join(path, "\x00"); t.at[key].Line == 0 {
		t.at[key] = where
	}
}

// forms are the forms that a value of a known key may have.
type forms map[string]func(v any) bool

func isText(v any) bool  { _, ok := v.(string); return ok }
func isBool(v any) bool  { _, ok := v.(bool); return ok }
func isTable(v any) bool { _, ok := v.(map[string]any); return ok }
func isTexts(v any) bool {
	list, ok := v.([]any)
	return ok && !slices.ContainsFunc(list, func(one any) bool { return !isText(one) })
}
func isTables(v any) bool {
	list, ok := v.([]any)
	return ok && !slices.ContainsFunc(list, func(one any) bool { return !isTable(one) })
}

// check tells of keys of a table that the consumer does not know, which it passes over in silence, and of values of
// another form, with which it refuses or ignores the file.
func (t tomlFile) check(table map[string]any, known forms, wrong string, path ...string) (ps mirror.Problems) {
	for _, key := range slices.Sorted(maps.Keys(table)) {
		where := t.where(append(slices.Clone(path), key)...)
		switch form := known[key]; {
		case form == nil:
			ps.Add("RND022", where, mirror.Suggest(key, slices.Sorted(maps.Keys(known))), "unknown key %q", key)
			ps[len(ps)-1].Why = "it is passed over in silence"
		case !form(table[key]):
			ps.Add("RND023", where, "see the form that the consumer's documentation gives", "%s has a value of a form that is not understood", key)
			ps[len(ps)-1].Why = wrong
		}
	}
	return ps
}

// texts gives a list of texts, and a single text as a list of one.
func texts(v any) []string {
	if one, ok := v.(string); ok {
		return []string{one}
	}
	list, _ := v.([]any)
	var all []string
	for _, item := range list {
		if text, ok := item.(string); ok {
			all = append(all, text)
		}
	}
	return all
}
