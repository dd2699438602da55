package config

import (
	"errors"
	"regexp"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/publish"
)

// Words gives the templates of proposals.
func (p Proposals) Words() publish.Words {
	return publish.Words{Branch: p.Branch, Title: p.Title, Body: p.Body, Labels: p.Labels}
}

// wordsFix says what may stand in the templates of proposals, by the key.
var wordsFix = map[string]struct{ code, fix string }{
	"branch": {"CFG082", `write a Go template that tells sets and stages apart, as in "poundlock/{{.Site}}/{{.Set}}/{{.Stage}}"`},
	"title":  {"CFG083", `write a Go template as in "[{{.Stage}}] {{.Set}}: {{.Summary}}"; it may use .Site .Set .Stage .From .Selector .Moves .Summary .By .Back`},
	"body":   {"CFG084", "write a Go template over .Site .Set .Stage .From .Selector .Moves .Summary .By .Back"},
	"labels": {"CFG085", `write short Go templates without commas, as in "stage/{{.Stage}}"`},
}

// ownBranches keeps the branches of proposals away from those that hold the fleet: Git has one name for one branch, and
// none below another one.
func (k *checker) ownBranches(c Config) {
	const set, stage = "any-set", "any-stage"
	facts := publish.ProposalFacts{Site: c.Site, Set: set, Stage: stage, From: "any-from", Selector: "any-entry", By: "anybody", Moves: []publish.Move{{Stage: stage, Entry: "any-entry"}}}
	written, err := c.Forge.Proposals.Words().Write(facts)
	if err != nil || !mirror.IsBranch(c.Site) {
		return // told of already
	}
	for _, own := range []struct{ key, name string }{{"git.branch", c.Git.Branch}, {"git.stateBranch", c.Git.State()}} {
		if own.name != "" && mayCollide(own.name, written.Branch) {
			at := keyPath{"forge", "proposals", "branch"}
			k.add(at, "CFG082", `begin it with a word of its own, as in "poundlock/{{.Site}}/{{.Set}}/{{.Stage}}"`, "%s: %s %q may collide with the branches of proposals: Git keeps branches like files in folders", at, own.key, own.name)
			return
		}
	}
}

// varying are the words in a branch that stand for what may be anything.
var varying = regexp.MustCompile(`any-(?:set|stage|from|entry)|anybody`)

// mayCollide says whether a branch may be the same as one that begins with a prefix, or a folder of it, or lie in it.
func mayCollide(branch, prefix string) bool {
	parts, words := strings.Split(branch, "/"), strings.Split(prefix, "/")
	for i := range min(len(parts), len(words)) {
		var form []string
		for _, fixed := range varying.Split(words[i], -1) {
			form = append(form, regexp.QuoteMeta(fixed))
		}
		if !regexp.MustCompile("^" + strings.Join(form, ".*") + "$").MatchString(parts[i]) {
			return false
		}
	}
	return true
}

// proposals tries the templates of proposals.
func (k *checker) proposals(p Proposals, at keyPath) {
	var wrong *publish.WordsError
	if errors.As(p.Words().Check(), &wrong) {
		w := wordsFix[wrong.Part]
		k.add(at.to(wrong.Part), w.code, w.fix, "%s: %v", at.to(wrong.Part), wrong)
	}
}
