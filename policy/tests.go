package policy

import (
	"fmt"
	"path"
	"slices"
	"strconv"

	"github.com/poundlock/poundlock/internal/mirror"
)

// TestsFile holds what people expect of their policy: images with the verdict that each is to get.
const TestsFile = "desired/policy/tests.yaml"

// Test is one line of TestsFile: what policy must say of an image at a stage.
type Test struct {
	Name   string            // for people; image and stage where nobody gave one
	Image  mirror.Reference  // with a tag, a digest or both
	Stage  mirror.Stage      //
	Expect mirror.Outcome    // every outcome but unknown
	Reason mirror.ReasonCode // of a refusal; "" for any
	Where  mirror.Position
}

// testsDocument is TestsFile as people write it.
type testsDocument struct {
	Version int         `yaml:"version,required" jsonschema:"enum=1" jsonschema_description:"Version of this document; 1 is the only one there is."`
	Tests   []testEntry `yaml:"tests" jsonschema_description:"What policy must say of which images; poundlock policy test asks it."`
	Where   mirror.Position
}

type testEntry struct {
	Image  mirror.Reference `yaml:"image,required" jsonschema:"example=docker.io/library/haproxy:2.8-alpine" jsonschema_description:"Image as its upstream names it, with a tag or, better, a digest."`
	Stage  mirror.Node      `yaml:"stage,required" jsonschema:"example=production" jsonschema_description:"Stage whose rules apply."`
	Expect mirror.Node      `yaml:"expect,required" jsonschema:"enum=signed,enum=pinned,enum=exception,enum=warn,enum=rejected" jsonschema_description:"Verdict that the image must get."`
	Reason mirror.Node      `yaml:"reason" jsonschema:"enum=denied,enum=no-rule,enum=no-signature,enum=bad-signature,enum=no-attestation,enum=bad-attestation,enum=too-young,enum=not-pinned" jsonschema_description:"Why it must be rejected; any reason will do when it is left out."`
	Name   string           `yaml:"name" jsonschema:"example=unsigned images stay out" jsonschema_description:"What the line is for; image and stage when it is left out."`
	Where  mirror.Position
}

// TestsDocument gives the Go value whose tags say what TestsFile may hold, for its published schema.
func TestsDocument() any { return testsDocument{} }

// expectable are the outcomes that a test may name.
var expectable = []string{string(mirror.OutcomeSigned), string(mirror.OutcomePinned), string(mirror.OutcomeException), string(mirror.OutcomeWarn), string(mirror.OutcomeRejected)}

// LoadTests reads TestsFile at one commit of the fleet repository, with all its mistakes in one pass. There are no
// tests where there is no such file.
func LoadTests(files mirror.Files, commit string) ([]Test, mirror.Problems) {
	l := testLoader{}
	l.stray(files)
	data, ok := files[TestsFile]
	if !ok {
		return nil, l.problems
	}
	doc, problems := mirror.ParseDocument(TestsFile, data)
	l.problems = append(l.problems, problems...)
	if l.problems.Stop() {
		return nil, l.problems
	}
	l.doc = doc
	_, l.stages, l.anyStage = stagesOf(commit, files)
	tests := l.load()
	for i := range l.problems {
		l.problems[i].Where.Commit = commit
	}
	return tests, l.problems
}

type testLoader struct {
	stages   []string
	anyStage bool // which stages there are is not known
	problems mirror.Problems
	doc      mirror.Node
}

// stray finds a misspelt name of the file: tests that nobody runs are worse than none.
func (l *testLoader) stray(files mirror.Files) {
	dir := path.Dir(TestsFile)
	for _, name := range files.Under(dir) {
		if path.Dir(name) == dir && slices.Contains([]string{"test.yaml", "test.yml", "tests.yml", "tests.json"}, path.Base(name)) {
			l.problems.Add("FLT045", mirror.Position{File: name}, "rename it to "+TestsFile, "nobody reads this file")
		}
	}
}

func (l *testLoader) load() []Test {
	var doc testsDocument
	malformed := l.doc.Decode(&doc)
	l.problems = append(l.problems, malformed...)
	if !malformed.Touch("version") {
		where := doc.Where
		if n := l.doc.Key("version"); !n.IsZero() {
			where = n.Where()
		}
		l.problems = append(l.problems, mirror.CheckVersion(doc.Version, 1, where)...)
	}
	var tests []Test
	first := map[string]mirror.Position{}
	for i, entry := range doc.Tests {
		if malformed.Touch(fmt.Sprintf("tests[%d]", i)) {
			continue
		}
		t := l.test(i, entry)
		key := t.Image.String() + " " + string(t.Stage)
		if before, dup := first[key]; dup {
			l.problems.Add("FLT044", entry.Where, "keep one of them", "the same image and stage as in line %d", before.Line)
		}
		first[key] = entry.Where
		tests = append(tests, t)
	}
	return tests
}

func (l *testLoader) test(i int, entry testEntry) Test {
	stage, _ := entry.Stage.Text()
	expect, _ := entry.Expect.Text()
	reason, _ := entry.Reason.Text()
	t := Test{Name: entry.Name, Image: entry.Image, Stage: mirror.Stage(stage), Expect: mirror.Outcome(expect), Reason: mirror.ReasonCode(reason), Where: entry.Where}
	if t.Name == "" {
		t.Name = t.Image.String() + " at " + stage
	}
	if t.Image.Tag == "" && !t.Image.HasDigest() {
		l.problems.Add("FLT042", l.doc.Find("tests", strconv.Itoa(i), "image").Where(), "add a tag or, better, a digest", "tests: the image has neither tag nor digest")
	}
	if !l.anyStage && !slices.Contains(l.stages, stage) {
		l.problems.Add("FLT043", entry.Stage.Where(), didYouMean(stage, l.stages), "tests: no set has a stage %q", stage)
	}
	if !slices.Contains(expectable, expect) {
		l.problems.Add("FLT040", entry.Expect.Where(), mirror.Suggest(expect, expectable), "tests: %q is no verdict that can be expected", expect)
		return t
	}
	switch {
	case entry.Reason.IsZero():
	case t.Expect != mirror.OutcomeRejected:
		l.problems.Add("FLT041", entry.Reason.Where(), "leave it out, or expect: rejected", "tests: only a refusal has a reason to expect")
	case !slices.Contains(Refusals, t.Reason):
		var known []string
		for _, code := range Refusals {
			known = append(known, string(code))
		}
		l.problems.Add("FLT041", entry.Reason.Where(), mirror.Suggest(reason, known), "tests: %q is no reason of a refusal", reason)
	}
	return t
}

// Lacks says in words what a verdict lacks for the test; "" when it is as expected.
func (t Test) Lacks(v mirror.Verdict) string {
	switch {
	case v.Outcome != t.Expect:
		return fmt.Sprintf("want %s, got %s", t.wants(), said(v))
	case t.Reason != "" && v.Reason.Code != t.Reason:
		return fmt.Sprintf("want %s, got %s", t.wants(), said(v))
	}
	return ""
}

func (t Test) wants() string {
	if t.Reason == "" {
		return string(t.Expect)
	}
	return string(t.Expect) + " (" + string(t.Reason) + ")"
}

// said gives a verdict in words: the outcome, and of a refusal its code.
func said(v mirror.Verdict) string {
	if v.Outcome == mirror.OutcomeRejected {
		return string(v.Outcome) + " (" + string(v.Reason.Code) + "): " + v.Reason.String()
	}
	return string(v.Outcome) + ": " + v.Reason.String()
}
