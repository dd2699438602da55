package render

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

// What a source and a mirror may be written as (the patterns of the CRDs in config.openshift.io, say the same): a host
// with an optional port, then repository components; a source may also be *.host.
const (
	mirrorLabel = `[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?`
	mirrorPlace = mirrorLabel + `(\.` + mirrorLabel + `)*(:[0-9]+)?(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*`
)

var (
	mirrorTarget = regexp.MustCompile(`^` + mirrorPlace + `$`)
	mirrorSource = regexp.MustCompile(`^(\*(\.` + mirrorLabel + `)+|` + mirrorPlace + `)$`)
)

// readsOpenShift knows the objects by their kind; the definitions of these kinds name them, too, further in.
func readsOpenShift(name string, data []byte) bool {
	return isDocument(name) && slices.ContainsFunc(mirrorKinds, func(k mirrorKind) bool {
		return bytes.Contains(append([]byte("\n"), data...), []byte("\nkind: "+k.kind))
	})
}

// mirrorSet is one object that was read.
type mirrorSet struct {
	kind  string
	rules []mirrorRule
}

// lintOpenShift finds what the API server refuses or drops without a word, and what the machine-config operator stops
// at: then no node is given any mirror any more.
func lintOpenShift(name string, data []byte) mirror.Problems {
	sets, ps := readMirrorSets(name, data)
	if len(sets) == 0 && len(ps) == 0 {
		ps.Add("RND063", mirror.Position{File: name}, "see the kind of the documents", "the file holds no mirror set of OpenShift")
	}
	policies, old, current := map[string]mirrorRule{}, false, false
	for _, set := range sets {
		old, current = old || set.kind == mirrorKinds[2].kind, current || set.kind != mirrorKinds[2].kind
		for _, r := range set.rules {
			first, twice := policies[r.source]
			if twice && (first.policy == neverContact) != (r.policy == neverContact) {
				ps.Add("RND064", r.where.Where(), "write the same mirrorSourcePolicy in all rules for one source", "%s may and may not be asked: the rule in line %d says otherwise",
					mirror.OneLine(r.source), first.where.Where().Line)
				ps[len(ps)-1].Why = "the machine-config operator stops at it, and no node gets new rules"
			}
			policies[r.source] = r
		}
	}
	if old && current {
		ps.Add("RND063", mirror.Position{File: name}, "keep the mirror sets and delete the policy", "a cluster takes an ImageContentSourcePolicy or mirror sets, never both")
	}
	return ps
}

// readMirrorSets reads the mirror sets among the documents of a file, with what is wrong in each by itself.
func readMirrorSets(name string, data []byte) (sets []mirrorSet, ps mirror.Problems) {
	docs, ps := mirror.ParseDocuments(name, data)
	for _, doc := range docs {
		i := slices.IndexFunc(mirrorKinds, func(k mirrorKind) bool { return k.kind == text(doc.Key("kind")) })
		if i < 0 {
			continue
		}
		set, wrong := readMirrorSet(mirrorKinds[i], doc)
		sets, ps = append(sets, set), append(ps, wrong...)
	}
	return sets, ps
}

func readMirrorSet(k mirrorKind, doc mirror.Node) (set mirrorSet, ps mirror.Problems) {
	set.kind = k.kind
	if version := text(doc.Key("apiVersion")); version != k.version {
		ps.Add("RND063", doc.KeyWhere("apiVersion"), "write apiVersion: "+k.version, "%s of apiVersion %q is not served", k.kind, mirror.OneLine(version))
	}
	if name := text(doc.Find("metadata", "name")); !objectName.MatchString(name) {
		ps.Add("RND063", doc.KeyWhere("metadata"), "write metadata: {name: ...} with lower-case letters, digits, . and -", "%q is no name of an object", mirror.OneLine(name))
	}
	dropped(&ps, doc, "the document", "apiVersion", "kind", "metadata", "spec", "status")
	spec := doc.Key("spec")
	if !spec.IsMapping() {
		ps.Add("RND063", doc.KeyWhere("spec"), fmt.Sprintf("write spec: {%s: [...]}", k.list), "%s without spec is refused", k.kind)
		return set, ps
	}
	dropped(&ps, spec, "spec", k.list)
	if spec.Key(k.list).IsZero() {
		ps.Add("RND063", doc.KeyWhere("spec"), fmt.Sprintf("write spec: {%s: [...]}", k.list), "%s without %s mirrors nothing", k.kind, k.list)
	}
	for _, item := range spec.Key(k.list).Items() {
		r, wrong := readMirrorRule(k, item)
		set.rules, ps = append(set.rules, r), append(ps, wrong...)
	}
	return set, ps
}

func readMirrorRule(k mirrorKind, item mirror.Node) (r mirrorRule, ps mirror.Problems) {
	r = mirrorRule{source: text(item.Key("source")), policy: text(item.Key("mirrorSourcePolicy")), where: item}
	known := []string{"source", "mirrors"}
	if k.policy {
		known = append(known, "mirrorSourcePolicy")
	}
	dropped(&ps, item, k.list, known...)
	if !mirrorSource.MatchString(r.source) {
		ps.Add("RND062", item.KeyWhere("source"), "write host[:port][/path] or *.host: "+misplaced(r.source), "source: %q is refused", mirror.OneLine(r.source))
	}
	for _, m := range item.Key("mirrors").Items() {
		target := text(m)
		switch {
		case !mirrorTarget.MatchString(target):
			ps.Add("RND062", m.Where(), "write host[:port][/path]: "+misplaced(target), "mirrors: %q is refused", mirror.OneLine(target))
		case slices.Contains(r.mirrors, target):
			ps.Add("RND062", m.Where(), "keep one of them", "mirrors: %s stands twice, which is refused", target)
		case target == r.source && r.policy == neverContact:
			ps.Add("RND064", m.Where(), "delete this mirror, or allow the source", "mirrors: %s is the source itself, which is never to be contacted", target)
			ps[len(ps)-1].Why = "the machine-config operator stops at it, and no node gets new rules"
		}
		r.mirrors = append(r.mirrors, target)
	}
	where := item.Key("mirrorSourcePolicy").Where()
	switch {
	case !k.policy || r.policy == "":
	case r.policy != neverContact && r.policy != allowContact:
		ps.Add("RND062", where, mirror.Suggest(r.policy, []string{neverContact, allowContact}), "mirrorSourcePolicy: %q is refused", mirror.OneLine(r.policy))
	case len(r.mirrors) == 0:
		ps.Add("RND064", where, "name at least one mirror", "mirrorSourcePolicy counts only where there are mirrors: %s is asked as before", mirror.OneLine(r.source))
	}
	return r, ps
}

// misplaced says what most likely does not belong into a source or mirror.
func misplaced(place string) string {
	last := place[strings.LastIndexByte(place, '/')+1:]
	switch {
	case place == "":
		return "it is missing"
	case strings.Contains(place, "://"):
		return "without a scheme"
	case strings.Contains(place, "@"):
		return "without a digest"
	case strings.Contains(place, "/") && strings.Contains(last, ":"):
		return "without a tag"
	case strings.HasSuffix(place, "/"):
		return "without a slash at the end"
	case strings.Contains(place, "*"):
		return "a wildcard is the whole first label of a source, and no mirror has one"
	}
	return "paths are in lower case"
}

// dropped tells of keys that the schema of an object does not have: an API server takes the object and drops them.
func dropped(ps *mirror.Problems, n mirror.Node, under string, known ...string) {
	for _, key := range n.Keys() {
		if slices.Contains(known, key) {
			continue
		}
		ps.Add("RND063", n.KeyWhere(key), mirror.Suggest(key, known), "unknown key %q under %s", mirror.OneLine(key), under)
		(*ps)[len(*ps)-1].Why = "the API server drops it and takes the rest"
	}
}
