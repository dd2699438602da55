package policy

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy/trust"
)

// document is desired/policy.yaml as people write it. Words that name something else in the file are
// nodes, so that a mistake is shown at its own line.
type document struct {
	Version int                    `yaml:"version,required" jsonschema:"enum=1" jsonschema_description:"Version of this document; 1 is the only one there is."`
	Signers map[string]signerEntry `yaml:"signers" jsonschema_description:"Who may vouch for content, by a name of yours."`
	Rules   []ruleEntry            `yaml:"rules" jsonschema_description:"What is required of which images; all rules that match an image at a stage must be satisfied."`
	Deny    denyEntry              `yaml:"deny" jsonschema_description:"What is never admitted, whatever the rules say."`
	Default mirror.Node            `yaml:"default" jsonschema:"default=deny,enum=deny" jsonschema_description:"What holds where no rule matches; only deny is possible."`
	Where   mirror.Position
}

type signerEntry struct {
	Key   string `yaml:"key,required" jsonschema:"example=keys/vendor.pub" jsonschema_description:"File with the PEM public key, relative to desired/."`
	Where mirror.Position
}

type ruleEntry struct {
	Match     string        `yaml:"match,required" jsonschema:"example=ghcr.io/**,example=docker.io/{library\\,vectorim}/**" jsonschema_description:"Glob over host/repository, without tag and digest."`
	Stages    []mirror.Node `yaml:"stages" jsonschema:"uniqueItems=true,example=production" jsonschema_description:"Stages at which the rule holds; every stage when it is left out."`
	Require   *requireEntry `yaml:"require,required" jsonschema_description:"What must be true of the images that match: signers or pinned."`
	Reference string        `yaml:"reference" jsonschema:"default=repository,enum=repository,enum=exact,enum=any" jsonschema_description:"How the name inside a signature must fit the image: the same repository, the same tag besides, or not compared; not with pinned."`
	Where     mirror.Position
}

type requireEntry struct {
	Signers []mirror.Node `yaml:"signers" jsonschema:"oneof_required=signers,minItems=1,uniqueItems=true,example=vendor" jsonschema_description:"Names of signers whose cosign signatures count."`
	Count   *int          `yaml:"count" jsonschema:"minimum=1,default=1" jsonschema_description:"How many distinct signers, told apart by their key, must have signed the digest; only with signers."`
	Pinned  *bool         `yaml:"pinned" jsonschema:"oneof_required=pinned" jsonschema_description:"A reviewed commit must name the digest in desired/; write true or leave it out."`
	Where   mirror.Position
}

type denyEntry struct {
	Digests []mirror.Node `yaml:"digests" jsonschema:"pattern=^sha256:[0-9a-f]{64}$" jsonschema_description:"Digests that are never admitted."`
	Repos   []mirror.Node `yaml:"repos" jsonschema:"example=**/debug-*" jsonschema_description:"Globs over host/repository whose images are never admitted."`
}

// Document gives the Go value whose tags say what desired/policy.yaml may hold, for its published schema.
func Document() any { return document{} }

// Load reads desired/policy.yaml and the key files that it names, at one commit of the fleet repository.
// Every mistake of all these files is found in one pass. A policy with problems is not to be used; it is
// the zero Policy, which admits nothing.
func Load(files mirror.Files, commit string) (Policy, mirror.Problems) {
	l := loader{files: files}
	l.stages, l.anyStage = stagesOf(commit, files)
	only := l.load()
	for i := range l.problems {
		l.problems[i].Where.Commit = commit
	}
	if len(l.problems) > 0 {
		return Policy{}, l.problems
	}
	return Policy{commit: commit, layers: []layer{only}}, nil
}

// stagesOf gives every stage that a set of the fleet has, and the default ones. A rule for any other stage
// would never apply, and a misspelt stage would silently lift a requirement. The second result says that a set
// cannot be read: then no stage is called unknown.
func stagesOf(commit string, files mirror.Files) (names []string, unsure bool) {
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
	return names, desired.Unsure()
}

type loader struct {
	files    mirror.Files
	stages   []string
	anyStage bool
	problems mirror.Problems
	doc      mirror.Node
	unsure   bool     // which signers there are is not known
	broken   []string // signers with a mistake in their own lines
}

// at gives the place of the value at a path of keys, where the whole is when it is not written out.
func (l *loader) at(whole mirror.Position, path ...string) mirror.Position {
	if n := l.doc.Find(path...); !n.IsZero() {
		return n.Where()
	}
	return whole
}

func (l *loader) load() layer {
	data, ok := l.files[mirror.PolicyFile]
	if !ok {
		l.problems.Add("POL001", mirror.Position{File: mirror.PolicyFile}, "write one with version, signers and rules; without it nothing may come in", "the fleet repository has no policy")
		return layer{}
	}
	if l.doc, l.problems = mirror.ParseDocument(mirror.PolicyFile, data); l.problems.Stop() {
		return layer{}
	}
	var doc document
	malformed := append(l.problems, l.doc.Decode(&doc)...)
	l.problems = slices.Clone(malformed)
	if !malformed.Touch("version") {
		l.problems = append(l.problems, mirror.CheckVersion(doc.Version, 1, l.at(doc.Where, "version"))...)
	}
	if text, ok := doc.Default.Text(); !doc.Default.IsZero() && (!ok || text != "deny") {
		l.problems.Add("POL002", doc.Default.Where(), "write default: deny or leave it out", "default: only deny is possible")
	}
	l.unsure = slices.ContainsFunc(malformed, func(p mirror.Problem) bool { return p.Path == "signers" })
	maps.DeleteFunc(doc.Signers, func(name string, _ signerEntry) bool {
		broken := malformed.Touch("signers." + name)
		if broken {
			l.broken = append(l.broken, name)
		}
		return broken
	})
	p := layer{file: mirror.PolicyFile, signers: l.signers(doc.Signers), deny: l.deny(doc.Deny)}
	first := map[mirror.Digest]mirror.Position{}
	for i, entry := range doc.Rules {
		if malformed.Touch(fmt.Sprintf("rules[%d]", i)) {
			continue
		}
		r := l.rule(strconv.Itoa(i), entry, doc.Signers, p.signers)
		if before, dup := first[r.hash()]; dup {
			l.problems.Add("POL003", entry.Where, "keep one of them", "the same rule as in line %d", before.Line)
		}
		first[r.hash()] = entry.Where
		p.rules = append(p.rules, r)
	}
	return p
}

func (l *loader) signers(entries map[string]signerEntry) map[string]signer {
	signers := map[string]signer{}
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		entry := entries[name]
		where := l.at(entry.Where, "signers", name, "key")
		if name == "" || strings.ContainsFunc(name, func(c rune) bool { return c <= ' ' || c == ',' || c == 0x7f }) {
			l.problems.Add("POL004", entry.Where, "use one word", "signers: %q is no name for a signer", name)
		}
		file, ok := keyPath(entry.Key)
		if !ok {
			l.problems.Add("POL005", where, "write the path below desired/, such as keys/release.pub", "signers.%s.key: %q is not a path below desired/", name, entry.Key)
			continue
		}
		data, ok := l.files[file]
		if !ok {
			l.problems.Add("POL005", where, l.nearestFile(file), "signers.%s.key: there is no %s", name, file)
			continue
		}
		s, err := trust.NewKey(name, data, trust.KeyOptions{})
		switch {
		case errors.Is(err, trust.ErrPrivateKey):
			l.problems.Add("POL006", mirror.Position{File: file, Line: 1}, "make a new key pair, commit only its public key, and treat this one as lost", "signers.%s.key: %v", name, err)
		case err != nil:
			l.problems.Add("POL007", mirror.Position{File: file, Line: 1}, "write one PEM block BEGIN PUBLIC KEY, as cosign.pub has it", "signers.%s.key: %v", name, err)
		default:
			signers[name] = signer{Signer: s}
		}
	}
	return signers
}

func (l *loader) nearestFile(file string) string {
	if near := mirror.Nearest(file, l.files.Under(path.Dir(file))); near != "" {
		return fmt.Sprintf("did you mean %q?", strings.TrimPrefix(near, "desired/"))
	}
	return "add the file; paths are relative to desired/"
}

func (l *loader) deny(entry denyEntry) deny {
	var d deny
	for _, node := range entry.Digests {
		text, _ := node.Text()
		digest, err := mirror.ParseDigest(text)
		if err != nil {
			l.problems.Add("POL014", node.Where(), "write sha256: and 64 hexadecimal digits", "deny.digests: %v", err)
			continue
		}
		d.Digests = append(d.Digests, digest)
	}
	for _, node := range entry.Repos {
		text, _ := node.Text()
		l.glob(text, node.Where(), "deny.repos")
		d.Repos = append(d.Repos, text)
	}
	return d
}

func didYouMean(word string, known []string) string {
	if near := mirror.Nearest(word, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	slices.Sort(known)
	return "known: " + strings.Join(slices.Compact(known), ", ")
}

func keysOf(m map[string]signerEntry) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	return names
}

// keyPath gives the path of a key file in the fleet repository; false for one that leaves desired/.
func keyPath(key string) (string, bool) {
	if key == "" || path.IsAbs(key) || strings.Contains(key, `\`) || path.Clean(key) != key || strings.HasPrefix(key, "..") {
		return "", false
	}
	return path.Join("desired", key), true
}
