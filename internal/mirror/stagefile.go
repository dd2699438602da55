package mirror

import (
	"bytes"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// StageFile is what a stage document is to say.
type StageFile struct {
	Lines    map[string]Reference // by entry, each with its digest
	Source   Digest               // the vendor's file that the lines were made from; zero leaves the key out
	From     Stage                // of a frozen channel: the stage that was frozen; "" leaves the key out
	Rollback string               // why it is a rollback, for what the record does not show as one; "" for none
}

// StageName gives the name of a stage document in the fleet repository, without its ending.
func StageName(set string, stage Stage) string { return "stages/" + set + "/" + string(stage) }

// Lists says whether a stage document lists exactly these lines.
func Lists(files Files, name string, lines map[string]Reference) bool {
	wanted, listed, problems := ParseLines(files, name)
	if !listed || len(problems) > 0 || len(wanted) != len(lines) {
		return false
	}
	return !slices.ContainsFunc(wanted, func(w Wanted) bool { return lines[w.Entry] != w.Image })
}

// Write gives the files of the document that say so, by the one that files hold now: where that is one file of plain
// lines, only the lines that differ change, and what people wrote around them stays. gone are files of the document
// that are to go.
func (s StageFile) Write(files Files, name string) (written Files, gone []string) {
	parts := files.Document(name)
	if len(parts) == 1 && parts[0] == name+".yaml" {
		if edited, ok := s.edit(files, name); ok {
			return Files{parts[0]: edited}, nil
		}
	}
	lines := map[string]string{}
	for entry, image := range s.Lines {
		lines[entry] = image.String()
	}
	written = document(name, s.header(), lines)
	for _, part := range parts {
		if _, stays := written[part]; !stays {
			gone = append(gone, part)
		}
	}
	return written, gone
}

func (s StageFile) header() string {
	header := ""
	if s.From != "" {
		header += "from: " + string(s.From) + "\n"
	}
	if s.Source != (Digest{}) {
		header += "source: " + s.Source.String() + "\n"
	}
	if s.Rollback != "" {
		header += "rollback: " + strconv.QuoteToGraphic(OneLine(s.Rollback)) + "\n"
	}
	return header
}

// stageLine is a line of a stage file as people and we write it: the entry, its image, and maybe a remark.
var stageLine = regexp.MustCompile(`^([ \t]+\S.*?:[ \t]+)(["']?)([^\s"'#]+)(["']?)([ \t]*(?:#.*)?)$`)

// headLine is a line of the keys that we set ourselves.
var headLine = regexp.MustCompile(`^(from|source|rollback):`)

// edit changes single lines of a stage file. It is false where the result would say anything else than it is to, such
// as for a file in another form: then the whole is to be written anew.
func (s StageFile) edit(files Files, name string) ([]byte, bool) {
	file := name + ".yaml"
	old, _, problems := ParseLines(files, name)
	if len(problems) > 0 || bytes.ContainsRune(files[file], '\r') || len(old) == 0 {
		return nil, false
	}
	lines := strings.Split(strings.TrimSuffix(string(files[file]), "\n"), "\n")
	after := map[int][]string{} // lines to come, by the index of the one before
	drop := map[int]bool{}
	indent, last := "", map[string]int{}
	for _, w := range old {
		at := w.Where.Line - 1
		if at < 0 || at >= len(lines) {
			return nil, false
		}
		part := stageLine.FindStringSubmatch(lines[at])
		if part == nil {
			return nil, false
		}
		indent, last[w.Entry] = part[1][:len(part[1])-len(strings.TrimLeft(part[1], " \t"))], at
		switch image, stays := s.Lines[w.Entry]; {
		case !stays:
			drop[at] = true
		case image != w.Image:
			lines[at] = part[1] + part[2] + image.String() + part[4] + part[5]
		}
	}
	for _, entry := range slices.Sorted(maps.Keys(s.Lines)) {
		if _, there := last[entry]; there {
			continue
		}
		i := slices.IndexFunc(old, func(w Wanted) bool { return w.Entry > entry })
		if i < 0 {
			i = len(old)
		}
		at := last[old[max(0, i-1)].Entry]
		if i == 0 {
			at = last[old[0].Entry] - 1 // before the first one
		}
		after[at] = append(after[at], indent+plain(entry)+": "+s.Lines[entry].String())
	}
	var b bytes.Buffer
	header := s.header()
	for i, line := range lines {
		if strings.HasPrefix(line, "version:") && header != "" {
			b.WriteString(header)
			header = ""
		}
		if !drop[i] && !headLine.MatchString(line) {
			b.WriteString(line + "\n")
		}
		for _, more := range after[i] {
			b.WriteString(more + "\n")
		}
	}
	return b.Bytes(), header == "" && b.Len() <= MaxShard && s.is(file, b.Bytes(), name)
}

// is says whether a file says just what it is to.
func (s StageFile) is(file string, data []byte, name string) bool {
	var doc StageDocument
	if len(Decode(file, data, &doc)) > 0 || doc.Source != s.Source {
		return false
	}
	return Lists(Files{file: data}, name, s.Lines)
}
