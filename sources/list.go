package sources

import (
	"fmt"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

func init() { register("list", readList, listOptions{}) }

// listOptions are the options of kind list: either a file with one reference a line, or the images inline.
type listOptions struct {
	Kind   string        `yaml:"kind,required" jsonschema_description:"Image references, one a line, with a tag, a digest or both; entries move one by one, and tags are asked again at each scheduled cycle."`
	File   string        `yaml:"file" jsonschema:"oneof_required=file,example=tools/images.txt" jsonschema_description:"File with one reference a line, relative to desired/; # begins a comment."`
	Images []mirror.Node `yaml:"images" jsonschema:"oneof_required=images,minItems=1,example=quay.io/prometheus/alertmanager:v0.27.0" jsonschema_description:"The references themselves, instead of a file."`
	Where  mirror.Position
}

// readList reads image references, one a line, with a tag, a digest or both. Entries move one by one and
// tags are followed.
func readList(set mirror.Set, files mirror.Files) (listing, mirror.Problems) {
	var o listOptions
	ps := set.Source.Node.DecodeAs("source", &o)
	if len(ps) > 0 {
		return listing{}, ps
	}
	if (o.File == "") == (o.Images == nil) {
		ps.Add("SRC020", o.Where, "write source: {kind: list, file: images.txt} or source: {kind: list, images: [...]}", "source: want either file or images")
		return listing{}, ps
	}
	l := &lines{first: map[string]mirror.Position{}}
	if o.File == "" {
		for _, node := range o.Images {
			text, _ := node.Text()
			l.add(text, node.Where())
		}
		// The set's own file is the source: a change of the list is a change of its version.
		return listing{entries: l.entries, origin: mirror.DigestOf(files[set.Where.File]), follow: true}, l.problems
	}
	file, data, ps := open(files, o.File, set.Source.Node.Key("file").Where())
	if len(ps) > 0 {
		return listing{}, ps
	}
	for i, line := range strings.Split(string(data), "\n") {
		text, _, _ := strings.Cut(line, "#")
		if text = strings.TrimSpace(text); text != "" {
			column := 1 + strings.Index(line, text)
			l.add(text, mirror.Position{File: file, Line: i + 1, Column: column})
		}
	}
	return listing{entries: l.entries, origin: mirror.DigestOf(data), follow: true}, l.problems
}

// lines gathers references and finds those that are no reference or were there before.
type lines struct {
	entries  []mirror.Entry
	first    map[string]mirror.Position
	problems mirror.Problems
}

func (l *lines) add(text string, where mirror.Position) {
	image, err := mirror.ParseReference(text)
	if err != nil {
		l.problems.Add("SRC021", where, "write registry/repository:tag or registry/repository@sha256:<64 hex>, one a line", "%v", err)
		return
	}
	if image.Tag == "" && !image.HasDigest() {
		l.problems.Add("SRC022", where, fmt.Sprintf("write %s:<tag> or, better, %s:<tag>@sha256:<64 hex>", image.Name(), image.Name()), "%s has neither tag nor digest", text)
		return
	}
	name := listName(image)
	if before, dup := l.first[name]; dup {
		l.problems.Add("SRC023", where, "keep one of them", "%s is listed twice, first in %s", name, before)
		return
	}
	l.first[name] = where
	l.entries = append(l.entries, mirror.Entry{Name: name, Image: image, Where: where})
}

// listName names an entry by what stays when its content moves: the tag where there is one.
func listName(image mirror.Reference) string {
	if image.Tag != "" {
		return image.WithDigest(mirror.Digest{}).String()
	}
	return fmt.Sprintf("%s@sha256:%s", image.Name(), image.Digest.Hex[:12])
}
