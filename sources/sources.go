// Package sources reads what a set wants from upstream. Each kind of source (ess, list) is one file that
// registers itself under its kind; configuration names the kind, nothing is guessed.
//
// It promises that every entry is located in the file that names it, that selection and replacement never
// fail in silence, and that a digest in a reviewed file is never asked for. It leaves to others what is
// done with the entries.
package sources

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/poundlock/poundlock/internal/mirror"
)

// listing is what a kind read: the vendor's entries before selection, and how a set of this kind behaves.
type listing struct {
	entries []mirror.Entry
	origin  mirror.Digest // of the bytes of the source file
	atomic  bool          // entries move together above the first stage
	follow  bool          // upstream tags are asked again at each scheduled cycle

	// paths says where the images of upstream hosts lie in the local registry, for hosts that the set names no path for.
	paths map[string]string
	// made is content that lies in no registry yet and that entries name by its digest, such as a chart of the fleet
	// repository.
	made []mirror.Artifact
	// ask is set where what there is stands outside of the fleet repository: entries are empty until it was called. origin
	// then identifies the files that the question is made from, if any; atomic and follow hold for the answer.
	ask asker
	// again is when time alone changes an answer, such as what is too young yet; zero where nothing waits.
	again time.Time
	// gone is what a repository says of a listed tag that names nothing; nil where there is none.
	gone error
	// created is when content was made, which past gives back at the next question.
	created map[mirror.Digest]time.Time
	// packages says that the entries are Elastic packages.
	packages bool
	// packagesFrom is the address of the package registry that is asked, packagesAs the host and path of its packages' names.
	packagesFrom, packagesAs string
	// versions are those of the files that an answer was read from, by address.
	versions map[string]Version
	// left is what was passed over.
	left []Left
}

// reader reads one kind of source. files are desired/ and stages/ of the commit.
type reader func(set mirror.Set, files mirror.Files) (listing, mirror.Problems)

var (
	kinds   = map[string]reader{}
	options = map[string]any{}
)

// register adds a kind, with the options that it has when a set gives none; each file of a kind calls it
// from init.
func register(kind string, r reader, defaults any) { kinds[kind], options[kind] = r, defaults }

// Options gives, by kind, the Go value whose tags say what source: may hold, filled with the defaults.
func Options() map[string]any { return maps.Clone(options) }

// Kinds lists the kinds of source there are, sorted.
func Kinds() []string { return slices.Sorted(maps.Keys(kinds)) }

// Read fills the entries of a set from its source, with selection and replacements applied, and what the
// kind says of the set: Atomic, Follow, Origin, Made. Where what there is stands outside of the fleet repository it sets
// Asked and leaves the entries empty: see Ask and Take.
func Read(set *mirror.Set, files mirror.Files) mirror.Problems {
	var ps mirror.Problems
	read, ok := kinds[set.Source.Kind]
	if !ok {
		fix := "known kinds: " + strings.Join(Kinds(), ", ")
		if strings.HasPrefix(set.Source.Kind, "kusto") {
			fix = "write kind: manifests, and the folder of the kustomization as kustomization:"
		} else if near := mirror.Nearest(set.Source.Kind, Kinds()); near != "" {
			fix = fmt.Sprintf("did you mean %q?", near)
		}
		ps.AddAt("source.kind", "SRC001", set.Source.Node.Key("kind").Where(), fix, "unknown source kind %q", set.Source.Kind)
		return ps
	}
	l, ps := read(*set, files)
	if len(ps) > 0 {
		set.Packages = l.packages // so that no second problem says that there are none
		return ps
	}
	set.Atomic, set.Follow, set.Origin, set.Made, set.Asked = l.atomic, l.follow, l.origin, l.made, l.ask != nil
	set.Paths, set.Packages = withPaths(set.Paths, l.paths), l.packages
	set.PackagesFrom, set.PackagesAs = l.packagesFrom, l.packagesAs
	if ps = set.CheckFrozen(); len(ps) > 0 {
		return ps
	}
	if set.Asked {
		set.Question = questionOf(*set, l)
		set.Entries = l.entries
		Forget(set)
		return nil // selection and replacements are applied to the answer (Take)
	}
	set.Entries, ps = choose(*set, l.entries)
	return ps
}

// withPaths adds what a source says of hosts that the set says nothing of.
func withPaths(own, told map[string]string) map[string]string {
	if len(told) == 0 {
		return own
	}
	all := maps.Clone(told)
	maps.Copy(all, own)
	return all
}

// choose applies include, exclude and replace. A pattern or a key that matches nothing is a problem: it is
// most likely misspelt, and a set that is silently smaller or uncustomised would go unnoticed.
func choose(set mirror.Set, entries []mirror.Entry) ([]mirror.Entry, mirror.Problems) {
	var ps mirror.Problems
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name
	}
	globs := set.Globs()
	for _, key := range slices.Sorted(maps.Keys(globs)) {
		for i, pattern := range globs[key] {
			matches := func(name string) bool { return doublestar.MatchUnvalidated(pattern, name) }
			if doublestar.ValidatePattern(pattern) && !slices.ContainsFunc(names, matches) { // a malformed one is told already
				ps.AddAt(key, "SRC002", set.At(key, strconv.Itoa(i)), suggest(pattern, names), "%s: the pattern %q matches no entry of the source", key, pattern)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(set.Replace)) {
		switch {
		case !slices.Contains(names, name):
			ps.Add("SRC003", set.KeyAt("replace", name), suggest(name, names), "replace.%s: the source has no such entry", name)
		case !set.Selects(name):
			ps.Add("SRC003", set.KeyAt("replace", name), "include the entry or remove its replacement", "replace.%s: include and exclude leave this entry out", name)
		}
	}
	var chosen []mirror.Entry
	for _, e := range entries {
		if !set.Selects(e.Name) {
			continue
		}
		if r, ok := set.Replace[e.Name]; ok {
			e = mirror.Entry{Name: e.Name, Image: r.Image, Where: r.Where, Replaced: true, BasedOn: r.BasedOn, Vendor: e.Image}
		}
		chosen = append(chosen, e)
	}
	if len(chosen) == 0 && len(ps) == 0 {
		ps.Add("SRC004", set.KeyAt("source"), "name at least one image; to retire the set delete its file", "set %s selects no entry", set.Name)
	}
	slices.SortFunc(chosen, func(a, b mirror.Entry) int { return cmp.Compare(a.Name, b.Name) })
	return chosen, ps
}

func suggest(word string, names []string) string {
	if near := mirror.Nearest(word, names); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	if len(names) == 0 {
		return "the source has no entries at all; see its file"
	}
	return "entries look like " + strings.Join(names[:min(3, len(names))], ", ")
}

// open gives the bytes of a source file, which is named relative to desired/ and lies inside it.
func open(files mirror.Files, name string, where mirror.Position) (string, []byte, mirror.Problems) {
	var ps mirror.Problems
	file := path.Join("desired", name)
	if path.IsAbs(name) || strings.Contains(name, "\\") || !strings.HasPrefix(file, "desired/") {
		ps.Add("SRC005", where, "name a file below desired/, relative to it", "source.file %q lies outside desired/", name)
		return "", nil, ps
	}
	data, ok := files[file]
	if !ok {
		var known []string
		for _, f := range files.Under("desired") {
			known = append(known, strings.TrimPrefix(f, "desired/"))
			for dir := path.Dir(known[len(known)-1]); dir != "." && dir != "/"; dir = path.Dir(dir) {
				known = append(known, dir) // an own package or a chart may be a folder
			}
		}
		fix := "add the file " + file
		if near := mirror.Nearest(name, known); near != "" {
			fix = fmt.Sprintf("did you mean %q?", near)
		}
		ps.Add("SRC005", where, fix, "there is no file %s", file)
		return "", nil, ps
	}
	if ps = mirror.CheckText(file, data); len(ps) > 0 {
		return "", nil, ps
	}
	return file, data, nil
}
