package policy

import (
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/poundlock/poundlock/internal/mirror"
)

func (l *loader) rule(i string, entry ruleEntry, named map[string]signerEntry, loaded map[string]signer) rule {
	r := rule{Match: entry.Match, Reference: nameRepository}
	l.glob(entry.Match, l.at(entry.Where, "rules", i, "match"), "match")
	for _, node := range entry.Stages {
		text, _ := node.Text()
		if !slices.Contains(l.stages, text) && !l.anyStage {
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
		l.problems.Add("POL010", l.at(entry.Where, "rules", i, "reference"), mirror.Suggest(entry.Reference, []string{string(nameRepository), string(nameExact), string(nameAny)}), "reference: unknown word %q: want repository, exact or any", entry.Reference)
	}
	l.require(i, &r, entry, named, loaded)
	return r
}

func (l *loader) require(i string, r *rule, entry ruleEntry, named map[string]signerEntry, loaded map[string]signer) {
	require := entry.Require
	if require == nil {
		return // already told: the key is missing
	}
	keys := map[string]bool{}
	unread := 0
	for _, node := range require.Signers {
		name, _ := node.Text()
		_, known := named[name]
		switch s, ok := loaded[name]; {
		case !known && (l.unsure || slices.Contains(l.broken, name)):
			unread++
		case !known:
			l.problems.Add("POL011", node.Where(), didYouMean(name, keysOf(named)), "there is no signer %q", name)
		case slices.Contains(r.Signers, name):
			l.problems.Add("POL009", node.Where(), "keep one of them", "signer %q is listed twice", name)
		case ok:
			keys[s.Identity()] = true
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
			l.problems.Add("POL010", l.at(entry.Where, "rules", i, "reference"), "leave it out", "reference: nothing is signed in a pinned rule")
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
			l.problems.Add("POL013", l.at(require.Where, "rules", i, "require", "count"), "write at least 1", "require.count: %d requires nothing", r.Count)
		} else if distinct := len(keys) + unread; r.Count > distinct && distinct > 0 {
			l.problems.Add("POL013", l.at(require.Where, "rules", i, "require", "count"), "lower the count or name more signers", "require.count: %d of %d different keys can never be reached", r.Count, distinct)
		}
	}
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
