package policy

import (
	"errors"
	"path"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

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

func (l *loader) rule(entry ruleEntry, named map[string]signerEntry, loaded map[string]signer) rule {
	r := rule{Match: entry.Match, Reference: nameRepository}
	l.glob(entry.Match, entry.Where, "match")
	for _, node := range entry.Stages {
		text, _ := node.Text()
		if !slices.Contains(l.stages, text) {
			l.problems.Add("POL008", node.Where(), didYouMean(text, l.stages), "no set has a stage %q", text)
		}
		if slices.Contains(r.Stages, mirror.Stage(text)) {
			l.problems.Add("POL009", node.Where(), "keep one of them", "stage %q is listed twice", text)
		}
		r.Stages = append(r.Stages, mirror.Stage(text))
	}
	slices.Sort(r.Stages)
	switch naming(entry.Reference) {
	case "":
	case nameRepository, nameExact, nameAny:
		r.Reference = naming(entry.Reference)
	default:
		l.problems.Add("POL010", entry.Where, "write repository, exact or any", "reference: unknown word %q", entry.Reference)
	}
	l.require(&r, entry, named, loaded)
	return r
}

func (l *loader) require(r *rule, entry ruleEntry, named map[string]signerEntry, loaded map[string]signer) {
	require := entry.Require
	if require == nil {
		return // already told: the key is missing
	}
	keys := map[mirror.Digest]bool{}
	unread := 0
	for _, node := range require.Signers {
		name, _ := node.Text()
		_, known := named[name]
		switch s, ok := loaded[name]; {
		case !known:
			l.problems.Add("POL011", node.Where(), didYouMean(name, keysOf(named)), "there is no signer %q", name)
		case slices.Contains(r.Signers, name):
			l.problems.Add("POL009", node.Where(), "keep one of them", "signer %q is listed twice", name)
		case ok:
			keys[s.spki] = true
		default:
			unread++ // its key has a problem of its own
		}
		r.Signers = append(r.Signers, name)
	}
	slices.Sort(r.Signers)
	r.Pinned = require.Pinned != nil && *require.Pinned
	switch {
	case require.Pinned != nil && (len(r.Signers) > 0 || require.Count != nil):
		l.problems.Add("POL012", require.Where, "write two rules: all rules that match must be satisfied", "require: either signers or pinned, not both")
	case require.Pinned != nil && !r.Pinned:
		l.problems.Add("POL012", require.Where, "write pinned: true or signers", "require: pinned: false requires nothing")
	case r.Pinned:
		if entry.Reference != "" {
			l.problems.Add("POL010", entry.Where, "leave it out", "reference: nothing is signed in a pinned rule")
		}
		r.Reference = ""
	case len(r.Signers) == 0:
		l.problems.Add("POL012", require.Where, "write signers: [name] or pinned: true", "require: names neither signers nor pinned")
	default:
		r.Count = 1
		if require.Count != nil {
			r.Count = *require.Count
		}
		if r.Count < 1 {
			l.problems.Add("POL013", require.Where, "write at least 1", "require.count: %d requires nothing", r.Count)
		} else if distinct := len(keys) + unread; r.Count > distinct && distinct > 0 {
			l.problems.Add("POL013", require.Where, "lower the count or name more signers", "require.count: %d of %d different keys can never be reached", r.Count, distinct)
		}
	}
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

// glob checks a pattern over host/repository. One that can match nothing is refused: a deny line that is
// never true is worse than none.
func (l *loader) glob(pattern string, where mirror.Position, what string) {
	host, _, _ := strings.Cut(pattern, "/")
	switch {
	case pattern == "" || !doublestar.ValidatePattern(pattern):
		l.problems.Add("POL015", where, "write a glob such as registry.example/team/**", "%s: malformed glob %q", what, pattern)
	case strings.Contains(pattern, "@") || strings.Contains(pattern[strings.LastIndex(pattern, "/")+1:], ":"):
		l.problems.Add("POL015", where, "leave tag and digest out", "%s: %q names a tag or digest, globs match host/repository", what, pattern)
	case host == "index.docker.io" || host == "registry-1.docker.io":
		l.problems.Add("POL015", where, "write docker.io"+strings.TrimPrefix(pattern, host), "%s: Docker Hub is called docker.io here", what)
	case !strings.ContainsAny(host, ".:*?[{") && host != "localhost":
		l.problems.Add("POL015", where, "write docker.io/library/... or **/"+pattern, "%s: %q does not begin with a host", what, pattern)
	}
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
