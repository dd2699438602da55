package policy

import (
	"slices"
	"strconv"

	"github.com/poundlock/poundlock/internal/mirror"
)

func (l *loader) rule(i string, entry ruleEntry, signers names[signer]) rule {
	r := rule{Match: entry.Match, Each: entry.Platforms == platformsEach, MinAge: entry.MinAge, where: l.place(entry.Where)}
	l.glob(entry.Match, l.at(entry.Where, "rules", i, "match"), "match")
	r.Stages = l.stageNames(entry.Stages)
	if entry.MinAge < 0 {
		l.problems.Add("POL027", l.at(entry.Where, "rules", i, "minAge"), "write a duration such as 72h", "minAge: %s is before the content was made", entry.MinAge)
	}
	if entry.Require != nil {
		l.require(i, &r, *entry.Require, signers)
	}
	for j, a := range entry.Attestations {
		r.Attestations = append(r.Attestations, l.attestation(i, strconv.Itoa(j), a, signers))
	}
	if entry.Require == nil && len(entry.Attestations) == 0 && entry.MinAge <= 0 {
		l.problems.Add("POL012", entry.Where, "add require, attestations or minAge", "the rule requires nothing")
	}
	l.reference(i, &r, entry)
	l.beside(i, &r, entry)
	if nothingSigned := len(r.Signers) == 0 && len(r.Attestations) == 0; nothingSigned && r.Each {
		l.problems.Add("POL010", l.at(entry.Where, "rules", i, "platforms"), "leave it out", "platforms: nothing is signed in this rule")
	}
	return r
}

// stageNames reads stages of the fleet, each once, and gives them sorted.
func (l *loader) stageNames(nodes []mirror.Node) (stages []mirror.Stage) {
	for _, node := range nodes {
		text, _ := node.Text()
		l.knownStage(text, node.Where())
		if slices.Contains(stages, mirror.Stage(text)) {
			l.problems.Add("POL009", node.Where(), "keep one of them", "stage %q is listed twice", text)
		}
		stages = append(stages, mirror.Stage(text))
	}
	slices.Sort(stages)
	return stages
}

// knownStage tells of a stage that no set has, or that none can have.
func (l *loader) knownStage(text string, where mirror.Position) {
	_, err := mirror.ParseStage(text)
	switch {
	case !l.anyStage && !slices.Contains(l.stages, text):
		l.problems.Add("POL008", where, didYouMean(text, l.stages), "no set has a stage %q", text)
	case err != nil:
		l.problems.Add("POL008", where, "write a stage such as production", "%v", err)
	case l.floor:
		where.File = l.name
		l.named = append(l.named, namedStage{mirror.Stage(text), where})
	}
}

func (l *loader) require(i string, r *rule, entry requireEntry, signers names[signer]) {
	r.Pinned = entry.Pinned != nil && *entry.Pinned
	switch {
	case entry.Pinned != nil && (len(entry.Signers) > 0 || entry.Count != nil):
		l.problems.Add("POL012", entry.Where, "write two rules: all rules that match must be satisfied", "require: either signers or pinned, not both")
	case entry.Pinned != nil && !r.Pinned:
		l.problems.Add("POL012", entry.Where, "write pinned: true or signers", "require: pinned: false requires nothing")
	case !r.Pinned && len(entry.Signers) == 0:
		l.problems.Add("POL012", entry.Where, "write signers: [name] or pinned: true", "require: names neither signers nor pinned")
	case !r.Pinned:
		r.Signers, r.Count = l.quorum(entry.Signers, entry.Count, signers, "require.count", l.at(entry.Where, "rules", i, "require", "count"))
	}
}

// quorum reads the names of signers, sorted, and how many of them are wanted. A number that they can never reach is a
// mistake: signers of one key are one.
func (l *loader) quorum(nodes []mirror.Node, count *int, signers names[signer], key string, where mirror.Position) (list []string, wanted int) {
	keys := map[string]bool{}
	unbounded := false
	for _, node := range nodes {
		name, _ := node.Text()
		s, ok := signers.find(node, &l.problems)
		switch {
		case slices.Contains(list, name):
			l.problems.Add("POL009", node.Where(), "keep one of them", "signer %q is listed twice", name)
		case ok && s.Identity() != "":
			keys[s.Identity()] = true
		default: // certificates name any number; and whoever is told of elsewhere may be anybody
			unbounded = true
		}
		list = append(list, name)
	}
	slices.Sort(list)
	wanted = 1
	if count != nil {
		wanted = *count
	}
	switch distinct := len(keys); {
	case wanted < 1:
		l.problems.Add("POL013", where, "write at least 1", "%s: %d requires nothing", key, wanted)
	case wanted > distinct && !unbounded && distinct > 0:
		l.problems.Add("POL013", where, "lower the count or name more signers", "%s: %d of %d different keys can never be reached", key, wanted, distinct)
	}
	return list, wanted
}

// reference reads how the name inside a signature must fit: a word, or the mapping remap.
func (l *loader) reference(i string, r *rule, entry ruleEntry) {
	node := entry.Reference
	if len(r.Signers) == 0 {
		if !node.IsZero() && (entry.Require == nil || r.Pinned) {
			l.problems.Add("POL010", l.at(entry.Where, "rules", i, "reference"), "leave it out", "reference: nothing is signed in a rule without signers")
		}
		return
	}
	r.Reference = nameRepository
	if node.IsZero() {
		return
	}
	if node.IsMapping() {
		var mapping referenceEntry
		if problems := node.DecodeAs("rules["+i+"].reference", &mapping); len(problems) > 0 {
			l.problems = append(l.problems, problems...)
			return
		}
		r.Reference, r.Remap = nameRemap, remap{mapping.Remap.From, mapping.Remap.To}
		l.prefix("from", r.Remap.From, l.at(node.Where(), "rules", i, "reference", "remap", "from"))
		l.prefix("to", r.Remap.To, l.at(node.Where(), "rules", i, "reference", "remap", "to"))
		return
	}
	text, _ := node.Text()
	switch r.Reference = naming(text); r.Reference {
	case nameRepository, nameExact, nameAny:
	case nameRemap:
		l.problems.Add("POL010", node.Where(), "write {remap: {from: registry.example/mirror, to: ghcr.io/vendor}}", "reference: remap needs from and to")
	default:
		l.problems.Add("POL010", node.Where(), mirror.Suggest(text, []string{string(nameRepository), string(nameExact), string(nameAny)}), "reference: unknown word %q: want repository, exact, any or {remap: {from, to}}", text)
	}
}

// prefix checks how a name begins: a host, or a host and a path. It is compared as it is written, so that another
// spelling of it would fit nothing.
func (l *loader) prefix(key, text string, where mirror.Position) {
	ref, err := mirror.ParseReference(text + "/x")
	if err != nil || ref.Name() != text+"/x" {
		l.problems.Add("POL023", where, "write host or host/path, such as ghcr.io/vendor", "reference.remap.%s: %q is not how a name begins", key, text)
	}
}

// beside reads the repository in which signatures lie.
func (l *loader) beside(i string, r *rule, entry ruleEntry) {
	if entry.Signatures == "" && l.doc.Find("rules", i, "signatures").IsZero() {
		return
	}
	where := l.at(entry.Where, "rules", i, "signatures")
	if len(r.Signers) == 0 && len(r.Attestations) == 0 && (entry.Require == nil || r.Pinned) {
		l.problems.Add("POL010", where, "leave it out", "signatures: nothing is signed in this rule")
		return
	}
	ref, fix := repository(entry.Signatures)
	if fix != "" {
		l.problems.Add("POL028", where, fix, "signatures: %q is no repository", entry.Signatures)
		return
	}
	r.Beside = ref
}

// repository reads host/repository in its one spelling; a fix says how it is to be written instead.
func repository(text string) (ref mirror.Reference, fix string) {
	ref, err := mirror.ParseReference(text)
	switch {
	case err != nil:
		return mirror.Reference{}, "write host/repository, such as registry.example/team/app"
	case ref.Tag != "" || ref.HasDigest():
		return mirror.Reference{}, "leave tag and digest out: " + ref.Name()
	case ref.Name() != text:
		return mirror.Reference{}, "write " + ref.Name()
	}
	return ref, ""
}
