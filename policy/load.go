package policy

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy/trust"
)

// Load reads desired/policy.yaml and the trust material that it names, at one commit of the fleet repository.
// Every mistake of all these files is found in one pass. A policy with problems is not to be used; it is
// the zero Policy, which admits nothing.
func Load(files mirror.Files, commit string) (Policy, mirror.Problems) {
	l := loader{files: files, name: mirror.PolicyFile, commit: commit, dir: "desired"}
	l.sets, l.stages, l.anyStage = stagesOf(commit, files)
	data, ok := files[mirror.PolicyFile]
	if !ok {
		l.problems.Add("POL001", mirror.Position{File: mirror.PolicyFile}, "write one with version, signers and rules; without it nothing may come in", "the fleet repository has no policy")
	}
	return l.policy(data, ok)
}

// stagesOf gives the sets of the fleet and every stage that one of them has, and the default ones. A rule for any other
// stage would never apply, and a misspelt stage would silently lift a requirement. The last result says that a set
// cannot be read: then no stage is called unknown.
func stagesOf(commit string, files mirror.Files) (sets []mirror.Set, names []string, unsure bool) {
	add := func(stages mirror.Stages) {
		for _, s := range stages {
			names = append(names, string(s))
		}
	}
	add(mirror.DefaultStages)
	desired, _ := mirror.ParseDesired(commit, files) // whoever reads the sets tells their problems
	for _, set := range desired.Sets {
		add(set.Stages)
	}
	return desired.Sets, names, desired.Unsure()
}

// loader reads one policy document. Until the end its places call the document mirror.PolicyFile, also a floor, so
// that hints name the document that can be explained.
type loader struct {
	files    mirror.Files
	name     string // of the document, for people
	commit   string // "" outside of Git
	dir      string // the folder that paths in the document begin at
	floor    bool
	sets     []mirror.Set // of the fleet; none for a floor
	stages   []string
	anyStage bool // which stages there are is not known
	named    []namedStage
	problems mirror.Problems
	doc      mirror.Node
}

// policy gives the document as a policy of one layer, or its problems.
func (l *loader) policy(data []byte, ok bool) (Policy, mirror.Problems) {
	var only layer
	if ok {
		only = l.load(data)
	}
	if !l.floor {
		l.leaked()
	}
	for i := range l.problems {
		l.problems[i].Where.Commit = l.commit
	}
	if len(l.problems) > 0 {
		return Policy{}, l.problems
	}
	return Policy{commit: l.commit, layers: []layer{only}}, nil
}

func (l *loader) load(data []byte) layer {
	if l.doc, l.problems = mirror.ParseDocument(mirror.PolicyFile, data); l.problems.Stop() {
		return layer{}
	}
	var doc document
	malformed := append(l.problems, l.doc.Decode(&doc)...)
	l.problems = slices.Clone(malformed)
	if !malformed.Touch("version") {
		l.problems = append(l.problems, mirror.CheckVersion(doc.Version, 1, l.at(doc.Where, "version"))...)
	}
	roots := newNames(l, "root", "POL017", doc.Roots, malformed, l.root)
	signers := newNames(l, "signer", "POL011", doc.Signers, malformed, func(name string, entry signerEntry) (signer, bool) {
		return l.signer(name, entry, roots)
	})
	p := layer{file: l.name, floor: l.floor, open: l.open(doc.Default), signers: signers.good, deny: l.deny(doc.Deny, signers), modes: l.modes(doc.Mode)}
	p.roots = map[string]*trust.Root{}
	for name, r := range roots.good {
		p.roots[name] = r.Root
	}
	written := map[mirror.Digest]mirror.Position{}
	for i, entry := range doc.Rules {
		if malformed.Touch(fmt.Sprintf("rules[%d]", i)) {
			l.salvage(malformed, func() { l.rule(strconv.Itoa(i), entry, signers) })
			continue
		}
		r := l.rule(strconv.Itoa(i), entry, signers)
		l.once(written, r.hash(), entry.Where, "rule")
		p.rules = append(p.rules, r)
	}
	for i, entry := range doc.Exceptions {
		if malformed.Touch(fmt.Sprintf("exceptions[%d]", i)) {
			l.salvage(malformed, func() { l.exception(strconv.Itoa(i), entry) })
			continue
		}
		e := l.exception(strconv.Itoa(i), entry)
		l.once(written, hashOf(e), entry.Where, "exception")
		p.exceptions = append(p.exceptions, e)
	}
	for i, entry := range doc.Gates {
		if malformed.Touch(fmt.Sprintf("gates[%d]", i)) {
			continue
		}
		g := l.gate(strconv.Itoa(i), entry)
		l.once(written, hashOf(g), entry.Where, "gate")
		p.gates = append(p.gates, g)
	}
	p.named = l.named
	return p
}

// nameProblems are the codes of what is named and is not there, or is not what it is to be.
var nameProblems = []string{"POL005", "POL006", "POL007", "POL008", "POL011", "POL016", "POL017"}

// salvage reads an entry of which a part cannot be read, only to tell of what the rest of it names: all other problems
// may come of that part.
func (l *loader) salvage(malformed mirror.Problems, read func()) {
	before := len(l.problems)
	read()
	found := slices.Clone(l.problems[before:])
	l.problems = append(l.problems[:before], slices.DeleteFunc(found, func(p mirror.Problem) bool {
		told := func(m mirror.Problem) bool { return m.Where.Line == p.Where.Line && m.Where.Column == p.Where.Column }
		return !slices.Contains(nameProblems, p.Code) || p.Where.Line == 0 || slices.ContainsFunc(malformed, told)
	})...)
}

// once tells of something that is written twice.
func (l *loader) once(written map[mirror.Digest]mirror.Position, hash mirror.Digest, where mirror.Position, what string) {
	if before, dup := written[hash]; dup {
		l.problems.Add("POL003", where, "keep one of them", "the same %s as in line %d", what, before.Line)
	}
	written[hash] = where
}

// open says what holds where no rule matches: false for deny, true where a floor leaves it to the fleet.
func (l *loader) open(node mirror.Node) bool {
	text, ok := node.Text()
	switch {
	case node.IsZero(), ok && text == "deny":
		return false
	case ok && text == "fleet" && l.floor:
		return true
	case ok && text == "fleet":
		l.problems.Add("POL002", node.Where(), "write default: deny or leave it out", "default: fleet is for the floor of a site; in the fleet's own policy only deny is possible")
	case l.floor:
		l.problems.Add("POL002", node.Where(), "write default: deny, default: fleet or leave it out", "default: only deny and fleet are possible in a floor")
	default:
		l.problems.Add("POL002", node.Where(), "write default: deny or leave it out", "default: only deny is possible")
	}
	return false
}

// at gives the place of the value at a path of keys, where the whole is when it is not written out.
func (l *loader) at(whole mirror.Position, path ...string) mirror.Position {
	if n := l.doc.Find(path...); !n.IsZero() {
		return n.Where()
	}
	return whole
}

// place is a place in the document as people know it.
func (l *loader) place(where mirror.Position) mirror.Position {
	where.File, where.Commit = l.name, l.commit
	return where
}

// names are the signers or roots of a document, as far as they can be read.
type names[T any] struct {
	what, unknown string       // what they are, and the code of a name that is not there
	good          map[string]T // those without a mistake
	written       []string     // all of them
	unsure        bool         // which there are is not known
}

// newNames reads the entries of a part of the document in the order of their names.
func newNames[E, T any](l *loader, what, unknown string, entries map[string]E, malformed mirror.Problems, read func(string, E) (T, bool)) names[T] {
	part := what + "s"
	n := names[T]{what: what, unknown: unknown, good: map[string]T{}, written: slices.Sorted(maps.Keys(entries))}
	n.unsure = slices.ContainsFunc(malformed, func(p mirror.Problem) bool { return p.Path == part })
	for _, name := range n.written {
		if malformed.Touch(part + "." + name) {
			l.salvage(malformed, func() { read(name, entries[name]) })
			continue
		}
		if value, ok := read(name, entries[name]); ok {
			n.good[name] = value
		}
	}
	return n
}

// find gives what a word of the document names. It is false for a name that is not there, which is told, and for one
// with a mistake of its own.
func (n names[T]) find(node mirror.Node, problems *mirror.Problems) (value T, ok bool) {
	name, _ := node.Text()
	if value, ok = n.good[name]; !ok && !n.unsure && !slices.Contains(n.written, name) {
		fix := fmt.Sprintf("add it under %ss, where there is none yet", n.what)
		if len(n.written) > 0 {
			fix = didYouMean(name, n.written)
		}
		problems.Add(n.unknown, node.Where(), fix, "there is no %s %q", n.what, name)
	}
	return value, ok
}

// oneWord checks a name that people give.
func (l *loader) oneWord(part, name string, where mirror.Position) {
	if name == "" || strings.ContainsFunc(name, func(c rune) bool { return c <= ' ' || c == ',' || c == 0x7f }) {
		l.problems.Add("POL004", where, "use one word", "%ss: %q is no name for a %s", part, name, part)
	}
}

func didYouMean(word string, known []string) string {
	if near := mirror.Nearest(word, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	known = slices.Sorted(slices.Values(known))
	return "known: " + strings.Join(slices.Compact(known), ", ")
}
