package policy

import (
	"errors"
	"path"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

// document is desired/policy.yaml as people write it. Words that name something else in the file are
// nodes, so that a mistake is shown at its own line.
type document struct {
	Version int                    `yaml:"version,required"`
	Signers map[string]signerEntry `yaml:"signers"`
	Rules   []ruleEntry            `yaml:"rules"`
	Deny    denyEntry              `yaml:"deny"`
	Default mirror.Node            `yaml:"default"`
	Where   mirror.Position
}

type signerEntry struct {
	Key   string `yaml:"key,required"`
	Where mirror.Position
}

type ruleEntry struct {
	Match     string        `yaml:"match,required"`
	Stages    []mirror.Node `yaml:"stages"`
	Require   *requireEntry `yaml:"require,required"`
	Reference string        `yaml:"reference"`
	Where     mirror.Position
}

type requireEntry struct {
	Signers []mirror.Node `yaml:"signers"`
	Count   *int          `yaml:"count"`
	Pinned  *bool         `yaml:"pinned"`
	Where   mirror.Position
}

type denyEntry struct {
	Digests []mirror.Node `yaml:"digests"`
	Repos   []mirror.Node `yaml:"repos"`
}

// Load reads desired/policy.yaml and the key files that it names, at one commit of the fleet repository.
// Every mistake of all these files is found in one pass. A policy with problems is not to be used; it is
// the zero Policy, which admits nothing.
func Load(files mirror.Files, commit string) (Policy, mirror.Problems) {
	l := loader{files: files, stages: stagesOf(commit, files)}
	p := l.load()
	for i := range l.problems {
		l.problems[i].Where.Commit = commit
	}
	if len(l.problems) > 0 {
		return Policy{}, l.problems
	}
	p.commit = commit
	return p, nil
}

// stagesOf gives every stage that a set of the fleet has, and the default ones. A rule for any other stage
// would never apply, and a misspelt stage would silently lift a requirement.
func stagesOf(commit string, files mirror.Files) []string {
	var names []string
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
	return names
}

type loader struct {
	files    mirror.Files
	stages   []string
	problems mirror.Problems
}

func (l *loader) load() Policy {
	data, ok := l.files[mirror.PolicyFile]
	if !ok {
		l.problems.Add("POL001", mirror.Position{File: mirror.PolicyFile}, "write one with version, signers and rules; without it nothing may come in", "the fleet repository has no policy")
		return Policy{}
	}
	var doc document
	if l.problems = mirror.Decode(mirror.PolicyFile, data, &doc); len(l.problems) > 0 {
		return Policy{}
	}
	l.problems = append(l.problems, mirror.CheckVersion(doc.Version, 1, doc.Where)...)
	if text, ok := doc.Default.Text(); !doc.Default.IsZero() && (!ok || text != "deny") {
		l.problems.Add("POL002", doc.Default.Where(), "write default: deny or leave it out", "default: only deny is possible")
	}
	p := Policy{signers: l.signers(doc.Signers), deny: l.deny(doc.Deny)}
	first := map[mirror.Digest]mirror.Position{}
	for _, entry := range doc.Rules {
		r := l.rule(entry, doc.Signers, p.signers)
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
	for name, entry := range entries {
		if name == "" || strings.ContainsFunc(name, func(c rune) bool { return c <= ' ' || c == ',' || c == 0x7f }) {
			l.problems.Add("POL004", entry.Where, "use one word", "signers: %q is no name for a signer", name)
		}
		file, ok := keyPath(entry.Key)
		if !ok {
			l.problems.Add("POL005", entry.Where, "write the path below desired/, such as keys/release.pub", "signers.%s.key: %q is not a path below desired/", name, entry.Key)
			continue
		}
		data, ok := l.files[file]
		if !ok {
			l.problems.Add("POL005", entry.Where, l.nearestFile(file), "signers.%s.key: there is no %s", name, file)
			continue
		}
		s, err := parseSigner(name, data)
		switch {
		case errors.Is(err, errPrivateKey):
			l.problems.Add("POL006", mirror.Position{File: file, Line: 1}, "make a new key pair, commit only its public key, and treat this one as lost", "signers.%s.key: %v", name, err)
		case err != nil:
			l.problems.Add("POL007", mirror.Position{File: file, Line: 1}, "write one PEM block BEGIN PUBLIC KEY, as cosign.pub has it", "signers.%s.key: %v", name, err)
		default:
			signers[name] = s
		}
	}
	return signers
}

func (l *loader) nearestFile(file string) string {
	if near := mirror.Nearest(file, l.files.Under(path.Dir(file))); near != "" {
		return "did you mean " + strings.TrimPrefix(near, "desired/") + "?"
	}
	return "add the file; paths are relative to desired/"
}

func (l *loader) deny(entry denyEntry) deny {
	var d deny
	for _, node := range entry.Digests {
		text, _ := node.Text()
		digest, err := mirror.ParseDigest(text)
		if err != nil {
			l.problems.Add("POL014", node.Where(), "", "deny.digests: %v", err)
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
		return "did you mean " + near + "?"
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
