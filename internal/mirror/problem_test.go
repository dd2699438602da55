package mirror

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestProblem_IsShownWithItsLine(t *testing.T) {
	p := Problem{Code: "CFG011", What: `unknown key "polcy" under verify`, Where: Position{File: "config.yaml", Line: 10, Column: 3, Commit: "1a2b3c4d5e6f7a8b"},
		Why: "it would do nothing", Fix: `did you mean "policy"? rename it, or see ` + "`poundlock explain verify`", Snippet: "  polcy: enforce", Caret: 3, Width: 5}
	want := `error[CFG011]: unknown key "polcy" under verify
  --> config.yaml:10:3 (commit 1a2b3c4d5e)
 10 |   polcy: enforce
    |   ^^^^^ did you mean "policy"?
 why: it would do nothing
 fix: rename it, or see ` + "`poundlock explain verify`"
	if got := p.Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := (Problems{p, {Code: "X", What: "y", Fix: "did you mean \"z\"?"}}).Error(); !strings.HasSuffix(got, "\n\nerror[X]: y\n fix: did you mean \"z\"?\n\n2 problems, nothing was changed") {
		t.Errorf("got\n%s", got)
	}
}

func TestProblem_AnnotationIsOneEscapedLine(t *testing.T) {
	p := Problem{Code: "X:1", What: "50% of\nit: a,b\x1b[0m", Where: Position{File: "a,b:c%.yaml", Line: 3, Column: 2}, Fix: "mend\rit"}
	want := "::error file=a%2Cb%3Ac%25.yaml,line=3,col=2,title=X%3A1::50%25 of it: a,b\\x1b[0m%0Afix: mend it"
	if got := p.Annotation(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := (Problem{Code: "X", What: "y"}).Annotation(); got != "::error title=X::y" {
		t.Errorf("without a file: %s", got)
	}
}

func TestProblem_JSONHasNoPath(t *testing.T) {
	b, err := json.Marshal(Problem{Code: "X", What: "y", Path: "git.poll", Snippet: "a", Caret: 1, Width: 1})
	if want := `{"code":"X","what":"y","where":{},"snippet":"a","caret":1,"width":1}`; err != nil || string(b) != want {
		t.Errorf("got %s, %v, want %s", b, err, want)
	}
}

func TestProblems_LaterChecksMakeNoNoise(t *testing.T) {
	var first, later Problems
	at := Position{File: "f"}
	first.AddAt("git.auth", "A", at, "", "")
	first.AddAt("rules[2].match", "A", at, "", "")
	for _, path := range []string{"git", "git.auth", "git.auth.token", "git.author", "rules[2]", "rules[20]", "rules", "other", ""} {
		later.AddAt(path, "B", at, "", "%s", path)
	}
	later.AddAt("git.auth", "B", Position{File: "other"}, "", "another file")
	var kept []string
	for _, p := range first.Plus(later)[len(first):] {
		kept = append(kept, p.What)
	}
	if got, want := strings.Join(kept, ","), "git.author,rules[20],other,,another file"; got != want {
		t.Errorf("kept %s, want %s", got, want)
	}
}

func TestQuote_MarksTheCharactersThatAreMeant(t *testing.T) {
	long := strings.Repeat("a, ", 60)
	for _, c := range []struct {
		name, line string
		column     int
		want       string
	}{
		{"a key", "  polcy: x", 3, "  polcy: x\n  ^^^^^"},
		{"a word", "a: word", 4, "a: word\n   ^^^^"},
		{"a quoted text", `a: "two words" # c`, 4, "a: \"two words\" # c\n   ^^^^^^^^^^^"},
		{"an open quote", `a: "two`, 4, "a: \"two\n   ^"},
		{"a bracket", "a: [b, c]", 4, "a: [b, c]\n   ^"},
		{"a reference", "a: [docker.io/x:1, y]", 5, "a: [docker.io/x:1, y]\n    ^^^^^^^^^^^^^"},
		{"behind the end", "a:", 3, "a:\n  ^"},
		{"tabs before", "a\t\tb: c", 4, "a  b: c\n   ^"},
		{"the tab itself", "\ta: b", 1, "→a: b\n^"},
		{"wide characters before", "名前: 登録 x", 8, "名前: 登録 x\n           ^"},
		{"wide characters marked", "名前: x", 1, "名前: x\n^^^^"},
		{"a combining mark", "a\u0301: x", 5, "a·: x\n    ^"},
		{"no column", "  some text ", 0, "  some text\n  ^^^^^^^^^"},
		{"control characters", "a\x1b[31m\u202eb: c", 1, "a·[31m·b: c\n^^^^^^^^"},
		{"cut on the right", "x: [" + long, 1, "x: [" + strings.Repeat("a, ", 32) + "…\n^"},
		{"cut on both sides", long + "here" + long, 181, "…" + strings.Repeat("a, ", 11) + "here" + strings.Repeat("a, ", 21) + "…\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ps := Problems{{Code: "X", Where: Position{File: "f", Line: 2, Column: c.column}}}
			ps.QuotePublic(Files{"f": []byte("first\n" + c.line + "\nlast\n")})
			got := ps[0].Error()
			got = got[strings.Index(got, " | ")+3:]
			got = strings.Replace(got, "\n   | ", "\n", 1)
			if !strings.HasPrefix(got, c.want) {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

type guarded struct {
	File string `yaml:"file"`
}

func (guarded) SecretForm() string { return "{file: /path}" }

type shape struct {
	Site  string             `yaml:"site"`
	Cron  string             `yaml:"schedule"`
	Wait  time.Duration      `yaml:"wait"`
	Hosts map[string]account `yaml:"hosts"`
	Key   string             `yaml:"keyFile"`
}

type account struct {
	Host     string  `yaml:"host"`
	User     string  `yaml:"user"`
	Password guarded `yaml:"password"`
}

func TestQuote_ShowsOnlyWhatIsCertainToBeHarmless(t *testing.T) {
	for name, c := range map[string]struct{ line, want string }{
		"a known key":           {"site: berlin", "site: berlin"},
		"a duration":            {"wait: 5", "wait: 5"},
		"an unknown key":        {"regoin: berlin", "regoin: ***"},
		"a misspelt key":        {"sitte: berlin", "sitte: berlin"},
		"misspelt, cron":        {`shcedule: "*/15 * * * *"`, `shcedule: "*/15 * * * *"`},
		"misspelt, a zone":      {"scheduel: Europe/Berlin", "scheduel: Europe/Berlin"},
		"misspelt, odd value":   {"sitte: hunter2", "sitte: ***"},
		"misspelt, long value":  {"sitte: " + strings.Repeat("ab ", 20) + "x", "sitte: ***"},
		"misspelt, an address":  {"sitte: u:p@h", "sitte: ***"},
		"misspelt, duration":    {"waitt: 15m", "waitt: 15m"},
		"misspelt, no duration": {"waitt: berlin", "waitt: ***"},
		"misspelt, a mapping":   {"sitte: {a: b}", "sitte: {***: ***}"},
		"misspelt key file":     {"keyFiel: berlin", "keyFiel: ***"},
		"a word for a secret":   {"pass: berlin", "pass: ***"},
		"too short a word":      {"sit: berlin", "sit: ***"},
		"misspelt beside one":   {"hosts: {hub: {hosst: berlin, password: p}}", "hosts: {hub: {hosst: ***, password: ***}}"},
		"an address":            {"site: https://u:p@h", "site: ***"},
		"beside a secret":       {"hosts: {hub: {host: h, user: u, password: p}}", "hosts: {hub: {host: ***, user: ***, password: ***}}"},
		"a comment":             {"site: berlin # was hunter2", "site: berlin"},
		"a name of the people":  {"hosts: {hub: x}", "hosts: {hub: ***}"},
		"a key of a secret":     {"keyFile: x", "keyFile: ***"},
		"broken, known":         {"site: a: b", "site: ***"},
		"broken, unknown":       {"hunter2: a: b", "***"},
		"broken, no key":        {"- a: b: c", "***"},
		"quoted with an escape": {`site: "a\x62"`, "site: ***"},
	} {
		t.Run(name, func(t *testing.T) {
			ps := Problems{{Code: "X", Where: Position{File: "f", Line: 1, Column: 1}}}
			ps.Quote(Files{"f": []byte(c.line + "\n")}, shape{})
			if ps[0].Snippet != c.want {
				t.Errorf("got %q, want %q", ps[0].Snippet, c.want)
			}
		})
	}
}

// What cannot be parsed is told in words of ours, at the place where the mistake is.
func TestParseDocument_SaysWhatIsWrongWithTheSyntax(t *testing.T) {
	for _, c := range []struct{ text, place, what string }{
		{"a:\n\tb: 1\n", "2:1", "tab"},
		{"a: 1\n\tb: 2\n", "2:1", "tab"},
		{"a: 1\r\n\tb: 2\r\n", "2:1", "tab"},
		{"a:\n  b: 1\n  \tc: 2\n", "3:3", "tab"},
		{"a: \"x\nb: 2\n", "1:4", "never closed"},
		{"a: 'x\nb: 2\n", "1:4", "never closed"},
		{"é: \"x\nb: \"y\"\n", "1:4", "not closed in its line"},
		{"a: [x, y\nb: 2\n", "1:4", "[ that opens here"},
		{"a: {x: y\nb: 2\n", "1:4", "{ that opens here"},
		{"a: [\"x\" \"y\"]\n", "1:9", "a comma or ]"},
		{"a: b: c\n", "1:5", "second colon"},
		{"a: 1\n  b: 2\n", "2:3", "deeper than the one above"},
		{"a\nb: 1\n", "1:1", "no key with a value"},
		{"a: 1\nfoo\nb: 2\n", "2:1", "no key with a value"},
		{"a:\n  b: 1\n c: 2\n", "3:2", "fits nothing above"},
		{"a: \"x\" y\n", "1:8", "something follows"},
		{"a: [x]]\n", "1:7", "something follows"},
		{"a: x\n}\n", "2:1", "closed that was not opened"},
		{"a: 1\n- b\n", "2:1", "an item of a list"},
		{"- a\nb: 1\n", "2:1", "a key stands where"},
		{"a: @x\n", "1:4", "must not begin"},
		{"a: `x\n", "1:4", "must not begin"},
		{"a: *x\n", "1:4", "begins with *"},
		{"- *\n", "1:3", "begins with *"},
		{"a: >=1.0\n", "1:4", "begins with | or >"},
		{"a: \"\\q\"\n", "1:5", "backslash"},
		{"a: 1\n---\nb: 1\n", "2:1", "second document"},
		{"<<<<<<< HEAD\na: 1\n=======\na: 2\n>>>>>>> x\n", "1:1", "merge conflict"},
		{"", "", "empty"},
		{"# nothing\n", "", "empty"},
		{"a: \x00\n", "1:4", "control character"},
		{"a: 1\nb: \x1b[0m\n", "2:4", "control character"},
		{"a: é\nb: ü\xff\n", "2:5", "not text in UTF-8"},
		{"\xff\xfea\x00:\x00", "", "UTF-16"},
		{"\x00a\x00:\x00 \x00b", "", "UTF-16"},
		{"\x7fELF\x02\x01\x01", "1:1", "control character"},
	} {
		t.Run(c.what, func(t *testing.T) {
			_, ps := ParseDocument("f", []byte(c.text))
			want := strings.TrimSuffix("f:"+c.place, ":")
			if len(ps) != 1 || ps[0].Where.String() != want || !strings.Contains(ps[0].What, c.what) || ps[0].Fix == "" {
				t.Fatalf("%q: got %v, want %s %q", c.text, ps, want, c.what)
			}
			for _, word := range []string{"go-yaml", "scanner", "parser", "L1", "C1"} {
				if strings.Contains(ps[0].What, word) {
					t.Errorf("%q: words of the library: %s", c.text, ps[0].What)
				}
			}
		})
	}
}

func TestParseDocument_ReadsAByteOrderMark(t *testing.T) {
	n, ps := ParseDocument("f", []byte("\xef\xbb\xbfpolcy: x\n"))
	if len(ps) > 0 || n.KeyWhere("polcy").Column != 1 {
		t.Fatalf("got %v, %v", n.KeyWhere("polcy"), ps)
	}
	ps = Problems{{Where: n.KeyWhere("polcy")}}
	ps.QuotePublic(Files{"f": []byte("\xef\xbb\xbfpolcy: x\n")})
	if ps[0].Snippet != "polcy: x" {
		t.Errorf("snippet %q", ps[0].Snippet)
	}
}

func TestUnreadable_SaysWhy(t *testing.T) {
	for want, err := range map[string]error{
		"a directory":      &fs.PathError{Op: "read", Path: "f", Err: syscall.EISDIR},
		"no such file":     os.ErrNotExist,
		"may not read":     os.ErrPermission,
		"input/output":     &fs.PathError{Op: "read", Path: "f", Err: syscall.EIO},
		"something broken": errors.New("something broken"),
	} {
		if p := Unreadable("f", err); p.Code != "DOC009" || p.Where.File != "f" || p.Fix == "" || !strings.Contains(p.What, want) {
			t.Errorf("got %v, want %q", p, want)
		}
	}
}

func TestClean_KeepsTerminalsAndSecretsSafe(t *testing.T) {
	for in, want := range map[string]string{
		"plain é 名":                         "plain é 名",
		"a\nb\tc":                           "a b c",
		"\x1b[31mred\u202e":                 `\x1b[31mred\u202e`,
		"https://u:p@h/x":                   "https://***@h/x",
		"u:p@h/x":                           "***@h/x",
		"ssh://git@h/x":                     "ssh://git@h/x",
		"nginx:1@sha256:12":                 "nginx:1@sha256:12",
		"a:1@md5:00112233445566778899aabb":  "a:1@md5:00112233445566778899aabb",
		"x -----BEGIN PRIVATE KEY----- abc": "x ***",
		"x -----BEGIN EC PRIVATE KEY-----\nabc\n-----END EC PRIVATE KEY----- y": "x *** y",
	} {
		if got := Clean(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	if got := Clean(strings.Repeat("é", 5000)); len([]rune(got)) > maxText+1 {
		t.Errorf("%d characters", len([]rune(got)))
	}
}

func TestProblems_OfMoreThanAHundredTheFirstAreTold(t *testing.T) {
	var ps Problems
	for range 103 {
		ps.Add("DOC002", Position{}, "", "one")
	}
	first, more := ps.Told()
	if text := ps.Error(); len(first) != 100 || more != 3 || strings.Count(text, "error[") != 100 || !strings.HasSuffix(text, "\n\nand 3 more\n\n103 problems, nothing was changed") {
		t.Errorf("%d, %d\n%s", len(first), more, text[len(text)-80:])
	}
	if first, more := ps[:100].Told(); len(first) != 100 || more != 0 {
		t.Errorf("of 100: %d, %d", len(first), more)
	}
}

// The file that --config names may be any file: /etc/shadow, or the one with the password.
func TestDecode_AnUnknownKeyIsNamedOnlyWhenItIsAPlainWord(t *testing.T) {
	type shape struct {
		Site string `yaml:"site"`
	}
	for text, named := range map[string]bool{
		"colour: red\n":                    true,
		"root:$6$HUNTER2$x:19000:0:99::\n": false,
		"user:HUNTER2SECRET:\n":            false,
		"HUNTER2:\n":                       false,
		"a b: HUNTER2\n":                   false,
		"x:HUNTER2: 1\nx:HUNTER2: 2\n":     false,
	} {
		ps := Decode("f", []byte(text), &shape{})
		ps.Quote(Files{"f": []byte(text)}, shape{})
		if len(ps) == 0 || strings.Contains(ps.Error(), "HUNTER2") || strings.Contains(ps.Error(), "colour") != named {
			t.Errorf("%q: %v", text, ps)
		}
	}
}
