package epr

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/elastic"
	"github.com/poundlock/poundlock/internal/mirror"
)

func TestTree_ReadsYAMLAsElasticsRegistry(t *testing.T) {
	for _, c := range []struct {
		name, yaml, want string // want is JSON; "" for refused
	}{
		{"dots are nesting", "a.b.c: 1", `{"a":{"b":{"c":1}}}`},
		{"both forms grow together", "a.b: 1\na:\n  c: 2", `{"a":{"b":1,"c":2}}`},
		{"nothing gives way", "a:\na.b: 1", `{"a":{"b":1}}`},
		{"two values", "a.b: 1\na:\n  b: 2", ""},
		{"a value and a mapping", "a: x\na.b: 1", ""},
		{"a key twice", "a: 1\na: 2", ""},
		{"a key that is a number", "1: x", ""},
		{"truths of YAML 1.1", "a: yes\nb: Off\nc: y\nd: 'yes'", `{"a":true,"b":false,"c":true,"d":"yes"}`},
		{"numbers of YAML 1.1", "a: 0777\nb: 0x1f\nc: 1_000\nd: 0b11\ne: 1.50\nf: 1e3\ng: -3", `{"a":511,"b":31,"c":1000,"d":3,"e":1.5,"f":1000,"g":-3}`},
		{"what looks like a number", "a: 1:30\nb: 1.2.3\nc: 2026-01-02\nd: '5'\ne: !!str 5", `{"a":"1:30","b":"1.2.3","c":"2026-01-02","d":"5","e":"5"}`},
		{"nothing", "a:\nb: ~\nc: null\nd: ''", `{"a":null,"b":null,"c":null,"d":""}`},
		{"merged", "p: &x {a: 1, b: 2}\nq:\n  <<: *x\n  b: 3", `{"p":{"a":1,"b":2},"q":{"a":1,"b":3}}`},
		{"a key that is a truth", "y: 1", ""},
		{"no mapping", "- a", ""},
		{"no YAML", "a: [", ""},
		{"empty", "", ""},
		{"aliases that grow", bomb(), ""},
		{"nested deep", strings.Repeat("[", 200) + strings.Repeat("]", 200), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := tree(c.yaml)
			if c.want == "" {
				if err == nil {
					t.Fatalf("%v was read", m)
				}
				return
			}
			have, _ := json.Marshal(m)
			if err != nil || string(have) != c.want {
				t.Errorf("%s, %v; want %s", have, err, c.want)
			}
		})
	}
}

// bomb is a few lines that are a thousand million when every alias is followed.
func bomb() string {
	lines := []string{"a0: &a0 [x, x, x, x, x, x, x, x, x, x]"}
	for i := range 9 {
		before, now := string(rune('0'+i)), string(rune('1'+i))
		lines = append(lines, "a"+now+": &a"+now+" ["+strings.Repeat("*a"+before+", ", 9)+"*a"+before+"]")
	}
	return strings.Join(lines, "\n")
}

func TestScalars_AreReadLeniently(t *testing.T) {
	type all struct {
		T text       `json:"t"`
		F flag       `json:"f"`
		L list[text] `json:"l"`
	}
	for in, want := range map[string]all{
		`{"t":"x","f":true,"l":["a",5,null]}`: {"x", true, list[text]{"a", "5", ""}},
		`{"t":5,"f":"true","l":"one"}`:        {"5", true, list[text]{"one"}},
		`{"t":1.5,"f":null,"l":{}}`:           {"1.5", false, list[text]{}},
		`{"t":true,"f":false,"l":null}`:       {"true", false, nil},
	} {
		var have all
		if err := json.Unmarshal([]byte(in), &have); err != nil || !reflect.DeepEqual(have, want) {
			t.Errorf("%s: %+v, %v", in, have, err)
		}
	}
	for _, in := range []string{`{"t":{}}`, `{"t":[]}`, `{"f":"maybe"}`, `{"f":5}`, `{"f":[]}`, `{"l":[{}]}`} {
		if err := json.Unmarshal([]byte(in), &all{}); err == nil {
			t.Errorf("%s was read", in)
		}
	}
}

func TestNewItem_RefusesWhatElasticsRegistryWouldNotLoad(t *testing.T) {
	const good = "format_version: 3.0.0\nname: nginx\ntitle: T\ndescription: D\nversion: 1.0.0\n"
	stream := func(manifest string) map[string]string {
		return map[string]string{"manifest.yml": good, "data_stream/access/manifest.yml": manifest}
	}
	manifest := func(m string) map[string]string { return map[string]string{"manifest.yml": m} }
	for _, c := range []struct {
		name      string
		documents map[string]string
		code      string // "" for one that is fine
	}{
		{"good", manifest(good), ""},
		{"an unknown key", manifest(good + "newer: {than: we}\n"), ""},
		{"very old", manifest(good + "requirement.kibana.versions: '>6.7.0'\n"), ""},
		{"a data stream", stream("title: Access\ntype: logs\n"), ""},
		{"no YAML", manifest(good + "x: ["), "EPR001"},
		{"a list where text is wanted", manifest(good + "license: [basic]\n"), "EPR001"},
		{"no manifest", nil, "EPR001"},
		{"another package", manifest(strings.Replace(good, "nginx", "apache", 1)), "EPR002"},
		{"no title", manifest(strings.Replace(good, "title: T", "title: ''", 1)), "EPR002"},
		{"no description", manifest(strings.Replace(good, "description: D\n", "", 1)), "EPR002"},
		{"no format", manifest(strings.Replace(good, "format_version: 3.0.0\n", "", 1)), "EPR002"},
		{"a format that is none", manifest(strings.Replace(good, "3.0.0", "three", 1)), "EPR002"},
		{"no range of Kibana", manifest(good + "conditions.kibana.version: of course\n"), "EPR002"},
		{"no range of agents", manifest(good + "conditions.agent.version: '>>1'\n"), "EPR002"},
		{"an unknown release", manifest(good + "release: someday\n"), "EPR002"},
		{"a data stream of an unknown release", stream("title: Access\ntype: logs\nrelease: someday\n"), "EPR002"},
		{"a data stream that is no YAML", stream("a: {"), "EPR001"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := elastic.Facts{Format: 1, Package: mirror.Package{Name: "nginx", Version: "1.0.0"}, Documents: c.documents, Files: []elastic.File{{Path: "docs/README.md"}}}
			for name := range c.documents {
				f.Files = append(f.Files, elastic.File{Path: name})
			}
			_, err := NewItem(f, mirror.Reference{}, elastic.Layers{})
			var p mirror.Problem
			switch {
			case c.code == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.code != "" && (!errors.As(err, &p) || p.Code != c.code || !strings.HasPrefix(p.Where.File, "nginx-1.0.0/")):
				t.Errorf("%v, want %s", err, c.code)
			}
		})
	}
}

func TestItem_IsTheSameAfterItWasKept(t *testing.T) {
	at := newPantry()
	made := at.put(t, simple(t, "nginx-1.0.0", "conditions.kibana.version: '>=8.0.0 <9.0.0'", "categories: [web]"), nil)
	kept, err := json.Marshal(made) // escapes < and >
	if err != nil {
		t.Fatal(err)
	}
	var read Item
	if err := json.Unmarshal(kept, &read); err != nil {
		t.Fatal(err)
	}
	if err := read.read(); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/search", "/search?category=web", "/search?kibana.version=8.1.0&spec.max=3.0", "/search?spec.max=2.9"} {
		a, b := get(at.serve([]Item{made}), path).Body.String(), get(at.serve([]Item{read}), path).Body.String()
		if a != b {
			t.Errorf("%s: %s", path, firstDifference(b, a))
		}
	}
}
