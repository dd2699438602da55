package mirror

import (
	"strings"
	"testing"
	"time"
)

func TestNode_KeepsTheTextOfTheFile(t *testing.T) {
	doc, ps := ParseDocument("f.yaml", []byte("a: 1.10\nb: 012\nc: '1.10'\nd: ~\ne:\nf: 2001-01-01\ng: [x]\n"))
	if err := ps.Err(); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"a": "1.10", "b": "012", "c": "1.10", "f": "2001-01-01"} {
		if got, ok := doc.Key(key).Text(); !ok || got != want {
			t.Errorf("%s: got %q, %v, want %q", key, got, ok, want)
		}
	}
	for _, key := range []string{"d", "e", "g", "absent"} {
		if got, ok := doc.Key(key).Text(); ok {
			t.Errorf("%s: got text %q, want none", key, got)
		}
	}
	if !doc.Key("e").IsNull() || doc.Key("absent").IsNull() || !doc.Key("absent").IsZero() {
		t.Error("an empty value and an absent one are not told apart")
	}
	if got := strings.Join(doc.Keys(), ""); got != "abcdefg" {
		t.Errorf("keys: got %s", got)
	}
}

func TestParseDocument_RefusesWhatIsTooLarge(t *testing.T) {
	data := []byte("a: " + strings.Repeat("x", MaxDocument))
	if _, ps := ParseDocument("big.yaml", data); len(ps) != 1 || ps[0].Code != "DOC007" {
		t.Errorf("got %v, want DOC007", ps)
	}
}

func TestInner_PlacesAreThoseOfTheOuterFile(t *testing.T) {
	outer := "kind: ConfigMap\ndata:\n  text: |\n    # a comment\n    synapse:\n      haproxy: {tag: 1.10}\n    synapse: {}\n"
	doc, ps := ParseDocument("f.yaml", []byte(outer))
	if err := ps.Err(); err != nil {
		t.Fatal(err)
	}
	_, ps = doc.Key("data").Key("text").Inner()
	if len(ps) != 1 || ps[0].Where.Line != 7 || !strings.Contains(ps[0].What, "first in line 5") {
		t.Errorf("a duplicate key: got %v, want line 7, first in line 5", ps)
	}
	doc, _ = ParseDocument("f.yaml", []byte(strings.TrimSuffix(outer, "    synapse: {}\n")))
	inner, ps := doc.Key("data").Key("text").Inner()
	if err := ps.Err(); err != nil {
		t.Fatal(err)
	}
	tag := inner.Key("synapse").Key("haproxy").Key("tag")
	if text, _ := tag.Text(); text != "1.10" || tag.Where() != (Position{File: "f.yaml", Line: 6}) {
		t.Errorf("got %q at %s", text, tag.Where())
	}
	broken, _ := ParseDocument("f.yaml", []byte("a: 1\ntext: |\n  x: 1\n  y: [\n"))
	if _, ps := broken.Key("text").Inner(); len(ps) != 1 || ps[0].Where.Line < 4 {
		t.Errorf("broken inner document: got %v", ps)
	}
	quoted, _ := ParseDocument("f.yaml", []byte("a: 1\ntext: \"x: 1\\ny: 2\\n\"\n"))
	if inner, ps := quoted.Key("text").Inner(); len(ps) != 0 || inner.Key("y").Where().Line != 2 {
		t.Errorf("quoted inner document: got %v, %v", inner.Key("y").Where(), ps)
	}
	if _, ps := doc.Key("data").Inner(); len(ps) == 0 {
		t.Error("a mapping was read as text")
	}
}

func TestDecode_FillsEveryKindOfField(t *testing.T) {
	var v struct {
		Name  string            `yaml:"name,required"`
		On    bool              `yaml:"on"`
		Count int               `yaml:"count"`
		Wait  time.Duration     `yaml:"wait"`
		Map   map[string]string `yaml:"map"`
		List  []Stage           `yaml:"list"`
		Ptr   *struct {
			X string `yaml:"x"`
		} `yaml:"ptr"`
		Image Reference `yaml:"image"`
		Where Position
	}
	ps := Decode("f.yaml", []byte("name: 1.10\non: true\ncount: 3\nwait: 15m\nmap: {a: 07}\nlist: [a, b]\nptr: {x: y}\nimage: nginx:1\n"), &v)
	if err := ps.Err(); err != nil {
		t.Fatal(err)
	}
	if v.Name != "1.10" || !v.On || v.Count != 3 || v.Wait != 15*time.Minute || v.Map["a"] != "07" || len(v.List) != 2 ||
		v.Ptr.X != "y" || v.Image.String() != "docker.io/library/nginx:1" || v.Where.Line != 1 {
		t.Errorf("got %+v", v)
	}
	if ps := Decode("f.yaml", []byte("name: x\nptr: {z: 1}\n"), &v); len(ps) != 1 || !strings.Contains(ps[0].What, "under ptr") {
		t.Errorf("got %v, want the unknown key in ptr", ps)
	}
}

func TestNearest_SuggestsOnlyWhatIsClose(t *testing.T) {
	known := []string{"include", "exclude", "layout"}
	for word, want := range map[string]string{"includ": "include", "exlude": "exclude", "layuot": "layout", "banana": "", "": ""} {
		if got := Nearest(word, known); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
}
