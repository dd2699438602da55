package policy

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

const provenance = `{"runDetails": {"builder": {"id": "corp-ci"}}, "count": 3, "share": 0.5, "tags": ["a", "b"],
	"found": [{"id": "CVE-1", "severity": "LOW", "places": ["x"]}, {"id": "CVE-2", "severity": "HIGH", "places": ["x", "y"]}]}`

func TestCondition_IsAskedOfThePredicate(t *testing.T) {
	for _, c := range []struct{ source, says string }{
		{`predicate.runDetails.builder.id == "corp-ci"`, ""},
		{`predicate.runDetails.builder.id.matches("^corp-[a-z]+$")`, ""},
		{`predicate.count > 2 && predicate.count < 3.5 && predicate.share < 1`, ""},
		{`!has(predicate.owner) && "b" in predicate.tags`, ""},
		{`predicate.found.filter(f, f.severity == "HIGH").size() == 1`, ""},
		{`predicate.found.exists(f, f.places.exists(i, i == "y" && predicate.tags.size() == 2))`, ""},
		{`predicate.runDetails.builder.id == "other"`, "not true"},
		{`predicate.found.all(f, f.severity != "HIGH")`, "not true"},
		{`predicate.owner == "corp"`, "no such key"},
		{`predicate.count.startsWith("3")`, "no such overload"},
		{`predicate.runDetails`, "not true"}, // no boolean is not true
	} {
		compiled, err := newCondition(c.source)
		if err != nil {
			t.Errorf("%s: %v", c.source, err)
			continue
		}
		err = compiled.check(json.RawMessage(provenance))
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want %q", c.source, err, c.says)
		}
	}
	if err := (condition{}).check(nil); err != nil {
		t.Errorf("no condition: %v", err)
	}
	for _, none := range []string{``, `{`, `{} {}`, `"text"`, `null`} {
		compiled, err := newCondition(`predicate.a == 1`)
		if err != nil {
			t.Fatal(err)
		}
		if compiled.check(json.RawMessage(none)) == nil {
			t.Errorf("%q satisfies a condition", none)
		}
	}
}

func TestCondition_ThatMayTakeTooLongIsNotCompiled(t *testing.T) {
	for source, unbounded := range map[string]bool{
		`predicate.a.all(x, x.b.all(y, y.startsWith("c") || y in ["a", "b"]))`:              false,
		`predicate.a.exists(x, x.b == "c" && x.d.matches("^a.*b$"))`:                        false,
		`predicate.a.all(x, predicate.a.all(y, predicate.a.all(z, z == x && y == x)))`:      true,
		`predicate.a.all(x, x.b.all(y, y.c.all(z, z != x)))`:                                true,
		`predicate.a.map(x, predicate.a.map(y, predicate.a.map(z, z))).size() > 0`:          true,
		`predicate.a.filter(x, predicate.a.exists(y, predicate.a.exists(z, z == y))) != []`: true,
	} {
		if _, err := newCondition(source); errors.Is(err, errUnbounded) != unbounded || err != nil && !unbounded {
			t.Errorf("%s: %v", source, err)
		}
	}
}

// The estimate is of ordinary predicates; one that is much larger meets the limit while it is looked at.
func TestCondition_EndsWithinItsLimitWhateverThePredicateIs(t *testing.T) {
	large := json.RawMessage(`{"a": [` + strings.Repeat(`"x",`, 20_000) + `"x"]}`)
	for _, source := range []string{
		`predicate.a.all(x, predicate.a.all(y, x == y))`,
		`predicate.a.exists(x, predicate.a.exists(y, x != y && y == "z"))`,
	} {
		c, err := newCondition(source)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if err := c.check(large); err == nil || !strings.Contains(err.Error(), "limit") {
			t.Errorf("%s: %v", source, err)
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%s: %s", source, took)
		}
	}
	one, err := newCondition(`predicate.a.all(x, x == "x")`)
	if err != nil {
		t.Fatal(err)
	}
	if err := one.check(large); err != nil {
		t.Errorf("one walk through a long list: %v", err)
	}
}

func TestCondition_TellsWhatIsWrongWithItInOneLine(t *testing.T) {
	for source, want := range map[string]string{
		`predicate.a ==`:                        "line 1, character 15",
		`predicat.a == 1`:                       "undeclared reference",
		`predicate.a.exits(x, x == 1)`:          "undeclared reference",
		`"corp-ci"`:                             "it gives string",
		`predicate.a.exists(x, x == 1) ? 1 : 2`: "it gives int",
		`"a" == 1`:                              "no matching overload",
		``:                                      "",
		strings.Repeat("(", 200):                "",
		strings.Repeat("predicate.a && ", 400):  "limit",
		"predicate.a ==\n  predicate.b && nothing": "line 2",
	} {
		_, err := newCondition(source)
		if err == nil || errors.Is(err, errUnbounded) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: got %v, want %q", source, err, want)
		}
	}
}

func TestCondition_HashIsOfItsText(t *testing.T) {
	one, err := newCondition(`predicate.a == 1`)
	if err != nil {
		t.Fatal(err)
	}
	other, err := newCondition(`predicate.a == 2`)
	if err != nil {
		t.Fatal(err)
	}
	of := func(c condition) string { return rule{Attestations: []attestation{{Type: "t", Where: c}}}.hash().Hex }
	if of(one) == of(other) || of(one) == of(condition{}) {
		t.Error("another condition has the same hash")
	}
}

func TestLoad_TellsConditionsThatCannotBeUsed(t *testing.T) {
	for condition, want := range map[string]string{
		`predicate.runDetails.builder.id == "corp-ci"`: "",
		`predicat.a == 1`: "POL025",
		`"text"`:          "POL025",
		`predicate.a.all(x, predicate.a.all(y, predicate.a.all(z, x == z)))`: "POL026",
	} {
		files := fullFiles(t)
		files[mirror.PolicyFile] = []byte(strings.Replace(inFull, "count: 2}\n    platforms", "count: 2, where: '"+condition+"'}\n    platforms", 1))
		p, problems := Load(files, "c")
		switch {
		case want == "" && (len(problems) > 0 || p.layers[0].rules[0].Attestations[0].Where.source != condition):
			t.Errorf("%s: %v", condition, problems)
		case want != "" && (len(problems) != 1 || problems[0].Code != want || problems[0].Where.Line == 0 || problems[0].Where.File != mirror.PolicyFile):
			t.Errorf("%s: got %v, want %s", condition, problems, want)
		}
	}
}

func BenchmarkCondition(b *testing.B) {
	c, err := newCondition(`predicate.runDetails.builder.id == "corp-ci"`)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := c.check(json.RawMessage(provenance)); err != nil {
			b.Fatal(err)
		}
	}
}
