package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

type place struct{ File string }

type word string

func (w *word) UnmarshalText([]byte) error { return nil }

type account struct {
	File string `yaml:"file" jsonschema:"oneof_required=file" jsonschema_description:"Lies in a file."`
	Env  string `yaml:"env" jsonschema:"oneof_required=env" jsonschema_description:"Lies in a variable."`
}

type machine struct {
	Version int                `yaml:"version,required" jsonschema:"enum=1" jsonschema_description:"Version of this document."`
	Poll    time.Duration      `yaml:"poll" jsonschema:"example=1m" jsonschema_description:"How often it looks."`
	Quiet   bool               `yaml:"quiet" jsonschema_description:"Says nothing."`
	Mood    word               `yaml:"mood" jsonschema:"enum=good,enum=bad" jsonschema_description:"How it feels."`
	Rules   []rule             `yaml:"rules" jsonschema_description:"What it obeys."`
	Hosts   map[string]account `yaml:"hosts" jsonschema_description:"Whom it knows."`
	Paths   map[string]string  `yaml:"paths" jsonschema_description:"Where things lie."`
	Where   place
	Name    string
	hidden  int
}

type rule struct {
	Match string `yaml:"match,required" jsonschema_description:"What it is for."`
}

type pump struct {
	Kind  string `yaml:"kind,required" jsonschema_description:"Moves water."`
	Speed int    `yaml:"speed" jsonschema:"minimum=1" jsonschema_description:"Turns per second."`
}

type lamp struct {
	Kind   string `yaml:"kind,required" jsonschema_description:"Gives light."`
	Colour string `yaml:"colour" jsonschema_description:"Of the light."`
}

func of(v any) *Schema {
	return Of(v, Options{Title: "machine.yaml", Description: "A machine.", Tag: "yaml"})
}

func ours() Document {
	s := of(machine{Poll: 90 * time.Minute, Mood: "good", Name: "not a key", hidden: 1})
	s.Properties.Set("part", Kinds(map[string]*Schema{"pump": of(pump{Speed: 3}), "lamp": of(lamp{})}))
	return Document{Name: "machine", Schema: s, Env: "MACHINE_"}
}

func compile(t *testing.T, s *Schema) *jsonschema.Schema {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("machine.json", doc); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("machine.json")
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return compiled
}

func TestOf_SaysWhatTheDecoderSays(t *testing.T) {
	s := compile(t, ours().Schema)
	if s.DraftVersion != 7 {
		t.Errorf("draft %d, want 7", s.DraftVersion)
	}
	for text, good := range map[string]bool{
		`{"version": 1}`: true,
		`{"version": 1, "poll": "1h30m", "quiet": true}`:       true,
		`{"version": 1, "hosts": {"a": {"file": "x"}}}`:        true,
		`{"version": 1, "part": {"kind": "pump", "speed": 2}}`: true,
		`{}`:                             false, // version is missing
		`{"version": 2}`:                 false,
		`{"version": 1, "poll": "30"}`:   false, // no unit
		`{"version": 1, "poll": 30}`:     false,
		`{"version": 1, "Where": {}}`:    false, // no key
		`{"version": 1, "mood": "fair"}`: false,
		`{"version": 1, "rules": [{}]}`:  false, // match is missing
		`{"version": 1, "hosts": {"a": {"file": "", "env": ""}}}`: false, // one of them
		`{"version": 1, "part": {"kind": "pump", "colour": ""}}`:  false, // of another kind
		`{"version": 1, "part": {"kind": "pump", "speed": 0}}`:    false,
		`{"version": 1, "part": {"kind": "door"}}`:                false,
	} {
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(doc); (err == nil) != good {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestOf_OutputsFollowTheirJSON(t *testing.T) {
	type out struct {
		At    time.Time     `json:"at"`
		Took  time.Duration `json:"took"`
		Plain map[string]int
		Left  string `json:"left,omitempty"`
	}
	text, err := json.Marshal(out{At: time.Unix(0, 0).UTC()})
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(strings.Replace(string(text), "null", "{}", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if err := compile(t, Of(out{}, Options{Tag: "json"})).Validate(doc); err != nil {
		t.Error(err)
	}
	doc.(map[string]any)["more"] = 1
	if compile(t, Of(out{}, Options{Tag: "json"})).Validate(doc) == nil {
		t.Error("a key that is not listed passes")
	}
	if err := compile(t, Of(out{}, Options{Tag: "json", Open: true})).Validate(doc); err != nil {
		t.Error(err)
	}
}

func TestExplain(t *testing.T) {
	d := ours()
	for _, tt := range []struct{ path, want, below string }{
		{"poll", "poll duration 1h30m MACHINE_POLL", ""},
		{"quiet", "quiet true or false false MACHINE_QUIET", ""},
		{"mood", "mood one of good, bad good MACHINE_MOOD", ""},
		{"rules", "rules list of mappings <nil>", "rules[].match"},
		{"rules[0].match", "rules[].match text <nil>", ""},
		{"hosts", "hosts by name: mapping with one of file, env <nil>", "hosts.<name>.file hosts.<name>.env"},
		{"hosts.mine", "hosts by name: mapping with one of file, env <nil>", "hosts.<name>.file hosts.<name>.env"},
		{"hosts.my.host.env", "hosts.<name>.env text <nil> MACHINE_HOSTS__<NAME>__ENV", ""},
		{"paths.docker.io", "paths by name: text <nil>", ""},
		{"part", "part mapping <nil>", "part.kind part.colour part.kind part.speed"},
		{"part.speed", "part.speed whole number 3 MACHINE_PART__SPEED", ""},
		{"", "", "version poll quiet mood rules hosts paths part"},
	} {
		named, below, err := d.Explain(tt.path)
		if err != nil {
			t.Errorf("%s: %v", tt.path, err)
		}
		var got, keys []string
		for _, k := range named {
			got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %v %s", k.Path, k.Type, k.Default, k.Variable)))
		}
		for _, k := range below {
			keys = append(keys, k.Path)
		}
		if strings.Join(got, "; ") != tt.want || strings.Join(keys, " ") != tt.below {
			t.Errorf("%s: got %q below %q, want %q below %q", tt.path, got, keys, tt.want, tt.below)
		}
	}
	if kinds, _, _ := d.Explain("part.kind"); len(kinds) != 2 || kinds[1].Kind != "pump" || kinds[1].Description != "Moves water." {
		t.Errorf("part.kind: %+v", kinds)
	}
	if _, _, err := d.Explain("hosts.my.host.pasword.x"); !errors.As(err, new(*UnknownKeyError)) {
		t.Errorf("an unknown key: %v", err)
	}
	if !slices.Contains(d.Paths(), "rules[].match") {
		t.Errorf("paths: %v", d.Paths())
	}
}

func TestReference_HasEveryKey(t *testing.T) {
	text := ours().Reference()
	for _, want := range []string{"## `machine.yaml`", "| `poll` | duration | `1h30m` | How often it looks. For example `1m`. | `MACHINE_POLL` |",
		"### `rules[]`", "| `match` | text, required |", "### `hosts.<name>`", "### `part` of kind `lamp`", "### `part` of kind `pump`", "| one of good, bad | `good` |"} {
		if !strings.Contains(text, want) {
			t.Errorf("the reference lacks %q:\n%s", want, text)
		}
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{2 * time.Hour: "2h", 90 * time.Second: "1m30s", 15 * time.Minute: "15m", time.Hour + 5*time.Second: "1h0m5s", 10 * time.Second: "10s"} {
		if got := Duration(d); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestOf_TypesAreNotShared(t *testing.T) {
	type two struct {
		A word `yaml:"a" jsonschema:"example=x" jsonschema_description:"One."`
		B word `yaml:"b" jsonschema_description:"Another."`
	}
	s := Of(two{}, Options{Tag: "yaml", Types: map[reflect.Type]Schema{reflect.TypeFor[word](): {Type: "string", Title: "word"}}})
	a, _ := s.Properties.Get("a")
	b, _ := s.Properties.Get("b")
	if a.Description != "One." || b.Description != "Another." || b.Examples != nil || b.Title != "word" {
		t.Errorf("got %+v and %+v", a, b)
	}
}
