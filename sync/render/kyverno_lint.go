package render

import (
	"bytes"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

func readsKyverno(name string, data []byte) bool {
	return isDocument(name) && bytes.Contains(data, []byte("kyverno.io/")) && bytes.Contains(data, []byte("image:"))
}

// imagePolicy is a ClusterPolicy or Policy of Kyverno, as far as it changes the images of Pods.
type imagePolicy struct {
	doc     mirror.Node
	lists   []string // of containers that its rules go through
	patches []imagePatch
}

// imagePatch is what a policy makes of one image of a list, as far as it says so by expressions.
type imagePatch struct {
	list    string
	where   mirror.Node // the new image
	replace *regexp.Regexp
	to      string
	when    []imageCondition
}

type imageCondition struct {
	match *regexp.Regexp
	is    bool
}

func (p imagePolicy) of(list string) []imagePatch {
	return slices.DeleteFunc(slices.Clone(p.patches), func(one imagePatch) bool { return one.list != list })
}

func (p imagePatch) applies(image string) bool {
	return !slices.ContainsFunc(p.when, func(c imageCondition) bool { return c.match.MatchString(image) != c.is })
}

func (p imagePatch) apply(image string) string { return p.replace.ReplaceAllString(image, p.to) }

// The two functions of Kyverno's JMESPath that are read, over the image of the element. A raw string of JMESPath ends at
// the next quote and knows no escape but that of the quote.
var (
	matchCall   = regexp.MustCompile(`^\{\{-?\s*regex_match\(\s*'((?:[^'\\]|\\.)*)'\s*,\s*` + elementImage + `\s*\)\s*-?\}\}$`)
	replaceCall = regexp.MustCompile(`^\{\{-?\s*regex_replace_all\(\s*'((?:[^'\\]|\\.)*)'\s*,\s*` + elementImage + `\s*,\s*'((?:[^'\\]|\\.)*)'\s*\)\s*-?\}\}$`)
)

const elementImage = `(?:element\.image|'?\{\{\s*element\.image\s*\}\}'?)`

func rawString(s string) string { return strings.ReplaceAll(s, `\'`, `'`) }

// readPolicies reads the policies among the documents of a file that change images of containers.
func readPolicies(name string, data []byte) (all []imagePolicy, ps mirror.Problems) {
	docs, ps := mirror.ParseDocuments(name, data)
	for _, doc := range docs {
		version, _, _ := strings.Cut(text(doc.Key("apiVersion")), "/")
		if kind := text(doc.Key("kind")); version != "kyverno.io" || kind != "ClusterPolicy" && kind != "Policy" {
			continue
		}
		p := imagePolicy{doc: doc}
		for _, rule := range doc.Find("spec", "rules").Items() {
			for _, each := range rule.Find("mutate", "foreach").Items() {
				ps = append(ps, p.read(each)...)
			}
		}
		all = append(all, p)
	}
	return all, ps
}

// read takes one foreach. Conditions that are something else than an expression over the image count as met.
func (p *imagePolicy) read(each mirror.Node) (ps mirror.Problems) {
	list := strings.TrimSuffix(strings.TrimPrefix(text(each.Key("list")), "request.object.spec."), "[]")
	if !slices.Contains(podLists, list) {
		return nil
	}
	for _, image := range newImages(each, list) {
		p.lists = append(p.lists, list)
		call := replaceCall.FindStringSubmatch(text(image))
		if call == nil {
			continue
		}
		patch := imagePatch{list: list, where: image, to: rawString(call[2])}
		var err error
		if patch.replace, err = regexp.Compile(rawString(call[1])); err != nil {
			ps.Add("RND067", image.Where(), "mend the expression", "Kyverno cannot read the expression: %v", err)
			ps[len(ps)-1].Why = "it refuses every Pod then, or lets it in as it is"
			continue
		}
		for _, condition := range each.Find("preconditions", "all").Items() {
			call := matchCall.FindStringSubmatch(text(condition.Key("key")))
			is, _ := condition.Key("value").Text()
			if call == nil || text(condition.Key("operator")) != "Equals" && text(condition.Key("operator")) != "NotEquals" {
				continue
			}
			match, err := regexp.Compile(rawString(call[1]))
			if err != nil {
				ps.Add("RND067", condition.Key("key").Where(), "mend the expression", "Kyverno cannot read the expression: %v", err)
				continue
			}
			patch.when = append(patch.when, imageCondition{match, (is == "true") == (text(condition.Key("operator")) == "Equals")})
		}
		p.patches = append(p.patches, patch)
	}
	return ps
}

// newImages gives what a foreach writes as image, in both forms of patches.
func newImages(each mirror.Node, list string) (all []mirror.Node) {
	for _, container := range each.Find("patchStrategicMerge", "spec", list).Items() {
		if image := container.Key("image"); !image.IsZero() {
			all = append(all, image)
		}
	}
	patches := each.Key("patchesJson6902")
	place := patches.Where()
	// A block of text begins in the line after its key; the lines of the whole file tell where a patch stands.
	inner, problems := mirror.ParseDocument(place.File, []byte(strings.Repeat("\n", max(place.Line, 0))+text(patches)))
	if patches.IsZero() || problems.Stop() {
		return all
	}
	for _, patch := range inner.Items() {
		if path := text(patch.Key("path")); strings.HasPrefix(path, "/spec/"+list+"/") && strings.HasSuffix(path, "/image") {
			all = append(all, patch.Key("value"))
		}
	}
	return all
}

// lintKyverno finds expressions that take an image for another one, lose its tag or digest, map a mapped image again, or
// leave out a list of containers. What a policy says in other ways than by expressions over the image is not judged.
func lintKyverno(name string, data []byte) mirror.Problems {
	policies, ps := readPolicies(name, data)
	if len(policies) == 0 && len(ps) == 0 {
		ps.Add("RND068", mirror.Position{File: name}, "see the kind of the documents", "the file holds no policy of Kyverno")
	}
	for _, p := range policies {
		for _, patch := range p.patches {
			ps = append(ps, patch.lint(p.of(patch.list))...)
		}
		for _, list := range podLists {
			if len(p.lists) > 0 && !slices.Contains(p.lists, list) {
				ps.Add("RND068", p.doc.Find("spec").KeyWhere("rules"), "add a rule for request.object.spec."+list, "no rule goes through %s: their images stay as they are", list)
			}
		}
	}
	return ps
}

// lint tries an expression on images that tell traps apart.
func (p imagePatch) lint(all []imagePatch) (ps mirror.Problems) {
	say := func(fix, format string, args ...any) {
		ps.Add("RND067", p.where.Where(), fix, format, args...)
	}
	tree, err := syntax.Parse(p.replace.String(), syntax.Perl)
	if err != nil {
		return nil // it compiled
	}
	if !anchored(tree) {
		say("begin it with ^", "the expression also matches inside of an image, as in other.example/docker.io/a")
		return ps
	}
	if looseDot.MatchString(p.replace.String()) {
		say("write [.] for a dot", "the dots of a host stand for any character in the expression")
	}
	probe := literal(tree)
	if !strings.Contains(probe, "/") {
		probe = "probe.example/"
	}
	const rest = "a/b:1.2@sha256:1111111111111111111111111111111111111111111111111111111111111111"
	if !p.applies(probe+rest) || p.apply(probe+rest) == probe+rest {
		return ps
	}
	end := p.apply(probe + rest)
	if _, err := mirror.ParseReference(end); err != nil || !strings.HasSuffix(end, rest[len("a/b"):]) {
		say("keep what comes after the host, as in '^host[.]example/' and 'registry.example/host.example/'", "%s becomes %s", probe+rest, mirror.OneLine(end))
		return ps
	}
	if again := slices.IndexFunc(all, func(other imagePatch) bool { return other.applies(end) && other.apply(end) != end }); again >= 0 {
		say("let no expression match the local registry", "%s becomes %s, and that %s at the next update of the Pod", probe+rest, mirror.OneLine(end), mirror.OneLine(all[again].apply(end)))
		return ps
	}
	if probe != "probe.example/" {
		return ps
	}
	// An expression over any host has to know what a host looks like.
	for _, host := range []string{"probe-x.example/", "probe.example:5000/", "localhost:5000/"} {
		if got := p.apply(host + rest); got != end {
			say("write one expression for each host, as in '^docker[.]io/'", "%s becomes %s, but %s becomes %s: the expression does not know such a host",
				probe+"a/b", mirror.OneLine(strings.TrimSuffix(end, rest[len("a/b"):])), host+"a/b", mirror.OneLine(strings.TrimSuffix(got, rest[len("a/b"):])))
			break
		}
	}
	return ps
}

// looseDot finds a dot between letters that is neither escaped nor in a class.
var looseDot = regexp.MustCompile(`[a-z0-9]\.[a-z]`)

// anchored says whether an expression can match at the beginning of a text only.
func anchored(tree *syntax.Regexp) bool {
	switch tree.Op {
	case syntax.OpBeginText, syntax.OpBeginLine:
		return true
	case syntax.OpConcat, syntax.OpCapture:
		return len(tree.Sub) > 0 && anchored(tree.Sub[0])
	case syntax.OpAlternate:
		return !slices.ContainsFunc(tree.Sub, func(sub *syntax.Regexp) bool { return !anchored(sub) })
	}
	return false
}

// literal gives the text that every match begins with, as far as it is one.
func literal(tree *syntax.Regexp) string {
	switch tree.Op {
	case syntax.OpLiteral:
		return strings.ToLower(string(tree.Rune))
	case syntax.OpCapture:
		return literal(tree.Sub[0])
	case syntax.OpConcat:
		var b strings.Builder
		for _, sub := range tree.Sub {
			switch sub.Op {
			case syntax.OpBeginText, syntax.OpBeginLine, syntax.OpEmptyMatch:
			case syntax.OpQuest, syntax.OpStar: // may be left out
			case syntax.OpLiteral, syntax.OpCapture:
				b.WriteString(literal(sub))
			default:
				return b.String()
			}
		}
		return b.String()
	}
	return ""
}
