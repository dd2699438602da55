package sources

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

// packageHub is a package registry in memory that answers every search with the same body, whatever it is asked: what is
// wanted has to be chosen here.
type packageHub struct {
	hub
	body     string
	bodies   map[string]string // by address, where they differ
	etag     string            // "" for none
	since    []string          // searches, by address
	heads    map[string]Version
	drop     map[string]Drop
	unlooked int // answers that said unchanged
}

func (h *packageHub) Since(_ context.Context, url string, limit int64, before Version) (io.ReadCloser, Version, error) {
	h.since = append(h.since, url)
	if h.err != nil {
		return nil, Version{}, h.err
	}
	body, ok := h.bodies[url]
	if !ok {
		body = h.body
	}
	now := Version{}
	if h.etag != "" {
		now.ETag = h.etag + mirror.DigestOf([]byte(body)).Hex
	}
	if before != (Version{}) && before == now {
		h.unlooked++
		return nil, Version{}, ErrUnchanged
	}
	if limit != maxSearch {
		return nil, Version{}, errors.New("another limit")
	}
	return io.NopCloser(strings.NewReader(body)), now, nil
}

func (h *packageHub) Head(_ context.Context, url string) (Version, error) {
	v, ok := h.heads[url]
	if !ok {
		return Version{}, mirror.ErrNotFound
	}
	return v, h.err
}

func (h *packageHub) Dropped(_ context.Context, name string) (Drop, error) {
	d, ok := h.drop[name]
	if !ok {
		return Drop{}, mirror.ErrNotFound
	}
	return d, h.err
}

// itemsOf writes an answer of /search: name-version, and behind a space a constraint for Kibana.
func itemsOf(packages ...string) string {
	var items []string
	for _, text := range packages {
		id, kibana, _ := strings.Cut(text, " ")
		name, version, _ := strings.Cut(id, "-")
		items = append(items, item(name, version, fmt.Sprintf(`"conditions":{"kibana":{"version":%q}}`, kibana)))
	}
	return "[" + strings.Join(items, ",") + "]"
}

func item(name, version string, more ...string) string {
	fields := append([]string{fmt.Sprintf(`"name":%q,"version":%q`, name, version)}, more...)
	return "{" + strings.Join(fields, ",") + "}"
}

// askingEPR reads a set whose source is of kind epr.
func askingEPR(t *testing.T, source string, more ...string) (mirror.Set, mirror.Files) {
	t.Helper()
	files := mirror.Files{"desired/elastic.yaml": []byte("version: 1\nsource: {kind: epr, " + source + "}\n")}
	for i := 0; i+1 < len(more); i += 2 {
		files["desired/"+more[i]] = []byte(more[i+1])
	}
	desired, ps := mirror.ParseDesired("", files)
	if err := ps.Err(); err != nil {
		t.Fatal(err)
	}
	set := desired.Sets[0]
	if err := Read(&set, files).Err(); err != nil {
		t.Fatal(err)
	}
	if !set.Packages || !set.Follow || set.Atomic {
		t.Fatalf("packages %v, follow %v, atomic %v", set.Packages, set.Follow, set.Atomic)
	}
	return set, files
}

func idsOf(l Listing) string {
	var ids []string
	for _, e := range l.Entries {
		ids = append(ids, e.Name)
	}
	return strings.Join(ids, " ")
}

func leftOf(l Listing) string {
	var left []string
	for _, one := range l.Left {
		left = append(left, one.Entry+": "+one.Why)
	}
	return strings.Join(left, "\n")
}

const eprAt = "url: https://epr.example.org/registry"

func TestEPR_Chooses(t *testing.T) {
	all := itemsOf("nginx-1.20.0 ^8.12.0", "nginx-1.9.0 ^7.16.0 || ^8.0.0", "nginx-1.21.0-beta1 ^8.12.0", "nginx-2.0.0 ^9.0.0", "nginx-0.3.0", "nginx_otel-0.1.0 ^9.2.0",
		"system-1.0.0", "system-1.0.0+site", "apache-1.0.0 >6.7.0  <7.6.0", "foo-1.0.0-beta1")
	all = strings.TrimSuffix(all, "]") + "," + strings.Join([]string{
		item("endpoint", "8.6.1", `"type":"integration","categories":["security"]`),
		item("endpoint", "8.7.0", `"type":"integration","categories":["network"]`),
		item("sql", "1.0.0", `"type":"input","policy_templates":[{"name":"a"},{"categories":["datastore","security"]}]`),
		item("dash", "1.0.0", `"type":"content","release":"experimental"`),
		item("dash", "0.9.0", `"type":"content"`),
	}, ",") + "]"
	tests := []struct{ name, rules, want string }{
		{"the newest of each", "", "apache-1.0.0 dash-0.9.0 endpoint-8.7.0 nginx-2.0.0 nginx_otel-0.1.0 sql-1.0.0 system-1.0.0+site"},
		{"globs", "packages: [nginx*, s??]", "nginx-2.0.0 nginx_otel-0.1.0 sql-1.0.0"},
		{"all versions", "packages: [nginx], versions: all", "nginx-0.3.0 nginx-1.20.0 nginx-1.9.0 nginx-2.0.0"},
		{"the newest two, as versions", "packages: [nginx], versions: 2", "nginx-1.20.0 nginx-2.0.0"},
		{"prereleases", "packages: [nginx, foo, dash], versions: all, prereleases: true", "dash-0.9.0 dash-1.0.0 foo-1.0.0-beta1 nginx-0.3.0 nginx-1.20.0 nginx-1.21.0-beta1 nginx-1.9.0 nginx-2.0.0"},
		{"what Kibana takes", "packages: [nginx*, apache], kibana: [8.19.0]", "nginx-1.20.0"},
		{"no condition fits all", "packages: [system], versions: all, kibana: [1.0.0]", "system-1.0.0 system-1.0.0+site"},
		{"several Kibanas, the newest for each", "packages: [nginx*], kibana: [7.17.0, 8.19.0-SNAPSHOT, 9.3.0]", "nginx-1.20.0 nginx-1.9.0 nginx-2.0.0 nginx_otel-0.1.0"},
		{"a space is an and", "packages: [apache], kibana: [7.5.0]", "apache-1.0.0"},
		{"excluded before the newest", `packages: [nginx*], exclude: ["*_otel", "nginx-2.*"]`, "nginx-1.20.0"},
		{"one version", "packages: [nginx-1.9.0, foo-1.0.0-beta1, system-1.0.0+site]", "foo-1.0.0-beta1 nginx-1.9.0 system-1.0.0+site"},
		{"one version and a glob", "packages: [nginx-1.9.0, sql], kibana: [9.0.0]", "nginx-1.9.0 sql-1.0.0"},
		{"types", "types: [input, content], versions: all", "dash-0.9.0 sql-1.0.0"},
		{"categories after the newest", "categories: [security]", "sql-1.0.0"},
		{"categories of all", "categories: [security], versions: all", "endpoint-8.6.1 sql-1.0.0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			source := eprAt
			if tt.rules != "" {
				source += ", " + tt.rules
			}
			set, files := askingEPR(t, source)
			h := &packageHub{body: all}
			l, err := Ask(t.Context(), set, files, h, &remembers{now: noon}, noon)
			if err != nil || idsOf(l) != tt.want || len(h.since) != 1 || len(l.Left) > 0 {
				t.Fatalf("got %s after %d searches (%v), want %s\nleft: %s", idsOf(l), len(h.since), err, tt.want, leftOf(l))
			}
			if err := Take(&set, l).Err(); err != nil {
				t.Fatal(err)
			}
			for _, e := range set.Entries {
				if e.Pinned() || !e.Told || e.Package.String() != e.Name || e.Package.Print == (mirror.Digest{}) {
					t.Errorf("got %+v", e)
				}
				zip := "https://epr.example.org/registry/epr/" + e.Package.Name + "/" + e.Name + ".zip"
				if e.Package.Zip != zip || e.Package.Signature != "" || e.Image.Name() != "epr.example.org/registry/"+e.Package.Name || e.Image.Tag != e.Package.Tag() {
					t.Errorf("got %+v", e)
				}
			}
		})
	}
}

// What all queries ask for is left to the package registry, as far as the answer stays the same.
func TestEPR_AsksForNoMoreThanItNeeds(t *testing.T) {
	tests := []struct{ rules, want string }{
		{"packages: [nginx, sql]", ""},
		{"packages: [nginx]", "package=nginx"},
		{"packages: ['nginx*'], versions: 2", "all=true"},
		{"kibana: [9.3.0-SNAPSHOT]", "kibana.version=9.3.0"},
		{"kibana: [9.3.0, 8.19.0], types: [input]", "all=true&type=input"},
		{"types: [input, content]", "all=true"},
		{"exclude: [nginx], prereleases: true", "all=true&prerelease=true"},
		{`spec: {min: "2.3", max: 3.10}`, "spec.max=3.10&spec.min=2.3"},
		{"packages: [nginx-1.20.0]", "all=true&package=nginx&prerelease=true"},
		{"packages: [nginx-1.20.0, sql], kibana: [9.3.0], types: [input]", "all=true&prerelease=true"},
		{"categories: [security]", ""},
	}
	for _, tt := range tests {
		set, files := askingEPR(t, eprAt+", "+tt.rules)
		h := &packageHub{body: itemsOf("nginx-1.20.0", "sql-1.0.0")}
		_, _ = Ask(t.Context(), set, files, h, &remembers{now: noon}, noon)
		want := "https://epr.example.org/registry/search"
		if tt.want != "" {
			want += "?" + tt.want
		}
		if len(h.since) != 1 || h.since[0] != want {
			t.Errorf("%s: asked %v, want %s", tt.rules, h.since, want)
		}
	}
}

func TestEPR_ReadsTheConfigurationOfTheDownloader(t *testing.T) {
	set, files := askingEPR(t, "distribution: elastic/lite.yaml", "elastic/lite.yaml", `address: https://epr.example.org
version.limit: 2
matrix:
  - {kibana.version: 8.19.0, spec.max: 3.4}
  - {kibana.version: 9.3.0, spec.max: 3.4}
  - {spec.max: "3.6", version.limit: 0}
queries:
  - package: nginx
  - {package: system, all: true, version.limit: 1}
packages: [{name: endpoint, version: 8.6.1}, {name: endpoint, version: 8.6.1}]
actions: [{print: null}, {download: {destination: ./build}}]
`)
	first := itemsOf("nginx-1.0.0 ^8.0.0", "nginx-1.1.0 ^8.0.0", "nginx-1.2.0 ^8.0.0", "nginx-2.0.0 ^9.0.0", "system-1.0.0 ^8.0.0", "system-1.1.0 ^8.0.0")
	h := &packageHub{bodies: map[string]string{
		"https://epr.example.org/search?all=true&prerelease=true&spec.max=3.4": first,
		"https://epr.example.org/search?all=true&prerelease=true&spec.max=3.6": itemsOf("nginx-3.0.0", "nginx-2.9.0", "system-3.0.0"),
	}}
	l, err := Ask(t.Context(), set, files, h, &remembers{now: noon}, noon)
	if want := "endpoint-8.6.1 nginx-1.1.0 nginx-1.2.0 nginx-2.0.0 nginx-3.0.0 system-1.1.0 system-3.0.0"; err != nil || idsOf(l) != want || len(h.since) != 2 {
		t.Errorf("got %s (%v), want %s: %v", idsOf(l), err, want, h.since)
	}
	endpoint := l.Entries[0].Package // which no answer lists: it is where every package registry has it
	if endpoint.Zip != "https://epr.example.org/epr/endpoint/endpoint-8.6.1.zip" || endpoint.Signature != endpoint.Zip+".sig" || endpoint.Print != (mirror.Digest{}) {
		t.Errorf("got %+v", endpoint)
	}
	other, _ := askingEPR(t, "distribution: elastic/lite.yaml", "elastic/lite.yaml", "queries: [{all: true}]\n")
	if other.Question == set.Question {
		t.Error("another file asks the same question")
	}
}

func TestEPR_ReadsElasticsOwnFiles(t *testing.T) {
	dir := filepath.Join("..", "..", "shared", "realdata", "epr", "distribution-config")
	names, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil || len(names) == 0 {
		t.Skip("no files of Elastic beside the repository: the made-up ones have to do")
	}
	asked := map[string]string{"all.yaml": "all=true&prerelease=true", "pinned.yaml": "all=true&package=apache&prerelease=true&spec.min=3.0"}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		set, files := askingEPR(t, "distribution: elastic/d.yaml", "elastic/d.yaml", string(data))
		h := &packageHub{body: itemsOf("apache-3.1.0", "apache-2.1.0", "apache-2.0.0")}
		l, err := Ask(t.Context(), set, files, h, &remembers{now: noon}, noon)
		if err != nil || idsOf(l) != "apache-2.0.0 apache-2.1.0 apache-3.1.0" || len(h.since) != 1 || h.since[0] != "https://epr.elastic.co/search?"+asked[filepath.Base(name)] {
			t.Errorf("%s: got %s (%v) by %v", filepath.Base(name), idsOf(l), err, h.since)
		}
	}
}

// The answers that Elastic's server gave to questions, from the one that lists all.
func TestEPR_ChoosesAsElasticsServer(t *testing.T) {
	dir := filepath.Join("..", "..", "shared", "realdata", "epr", "search")
	all, err := os.ReadFile(filepath.Join(dir, "search-all.json"))
	if err != nil {
		t.Skip("no answers of Elastic's server beside the repository: the made-up ones have to do")
	}
	for name, rules := range map[string]string{
		"search.json":                     "",
		"search-all.json":                 ", versions: all",
		"search-kibana721.json":           ", kibana: [7.2.1]",
		"search-package-example.json":     ", packages: [example]",
		"search-package-example-all.json": ", packages: [example], versions: all",
	} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		var items []struct{ Name, Version string }
		if err := json.Unmarshal(data, &items); err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, i := range items {
			want = append(want, i.Name+"-"+i.Version)
		}
		slices.Sort(want)
		set, files := askingEPR(t, eprAt+rules)
		l, err := Ask(t.Context(), set, files, &packageHub{body: string(all)}, &remembers{now: noon}, noon)
		if err != nil || idsOf(l) != strings.Join(want, " ") || len(l.Left) > 0 {
			t.Errorf("%s: got %s (%v)\nwant %s", name, idsOf(l), err, strings.Join(want, " "))
		}
	}
}

func TestEPR_PassesOverWhatCannotBeTaken(t *testing.T) {
	good := []string{}
	for i := range 30 {
		good = append(good, item("ok", fmt.Sprintf("1.%d.0", i), `"new_field":{"a":[1,2]},"download":"/epr/ok/x.zip","signature_path":"/epr/ok/x.zip.sig"`))
	}
	bad := []struct{ item, why string }{
		{item("a", "1.0"), "a-1.0: "},
		{item("a", "v1.0.0"), "a-v1.0.0: "},
		{item("A", "1.0.0"), "A-1.0.0: "},
		{item("a/../b", "1.0.0"), "a/../b-1.0.0: "},
		{item("_a", "1.0.0"), "_a-1.0.0: its name cannot be that of a repository"},
		{item("a", "1.1.0", `"download":"https://evil.example/a.zip"`), "a-1.1.0: download names"},
		{item("a", "1.2.0", `"download":"//evil.example/a.zip"`), "a-1.2.0: download names"},
		{item("a", "1.3.0", `"download":"/epr/../../secret"`), "a-1.3.0: download names"},
		{item("a", "1.4.0", `"download":"/epr/%2e%2e/secret"`), "a-1.4.0: download names"},
		{item("a", "1.5.0", `"download":"epr/a.zip"`), "a-1.5.0: download names"},
		{item("a", "1.6.0", `"download":"/epr/a.zip?x=y"`), "a-1.6.0: download names"},
		{item("a", "1.7.0", `"signature_path":"http://evil.example/a.sig"`), "a-1.7.0: signature_path names"},
		{item("a", "1.8.0", `"download":7`), "a-1.8.0: a field of it has another form"},
		{item("a", "1.9.0", `"conditions":{"kibana":{"version":"newest"}}`), "a-1.9.0: the versions of Kibana"},
		{`{"title":"\u001b[31mred"}`, "an item without a name: "},
		{`7`, "an item without a name: "},
		{item("twice", "1.0.0", `"title":"a"`) + "," + item("twice", "1.0.0", `"title":"b"`), "twice-1.0.0: it is listed twice"},
	}
	items := slices.Clone(good)
	for _, b := range bad {
		items = append(items, b.item)
	}
	items = append(items, item("same", "1.0.0", `"title":"a"`), item("same", "1.0.0", `"deprecated":{"since":"2.0.0"}, "title" : "a"`))
	set, files := askingEPR(t, eprAt+", versions: all, kibana: [9.3.0]")
	l, err := Ask(t.Context(), set, files, &packageHub{body: "[" + strings.Join(items, ",") + "]\n"}, &remembers{now: noon}, noon)
	if err != nil {
		t.Fatal(err)
	}
	if len(l.Entries) != 31 || l.Entries[30].Name != "same-1.0.0" || l.Entries[0].Package.Zip != "https://epr.example.org/registry/epr/ok/x.zip" || l.Entries[0].Package.Signature != "https://epr.example.org/registry/epr/ok/x.zip.sig" {
		t.Errorf("got %s", idsOf(l))
	}
	told := leftOf(l)
	for _, b := range bad {
		if !strings.Contains(told, b.why) {
			t.Errorf("nothing is told of %s", b.item)
		}
	}
	if strings.Contains(told, "\x1b") || len(l.Left) != 16 {
		t.Errorf("%d are told:\n%s", len(l.Left), told)
	}
	set, files = askingEPR(t, eprAt+", packages: [ok, oops, 'x*'], versions: all")
	if l, err = Ask(t.Context(), set, files, &packageHub{body: "[" + strings.Join(good, ",") + "]"}, &remembers{now: noon}, noon); err != nil || len(l.Entries) != 30 ||
		leftOf(l) != "oops: upstream lists no package of this name for what is asked\nx*: upstream lists no package of this name for what is asked" || !l.Left[0].Gone {
		t.Errorf("got %s and %s: %v", idsOf(l), leftOf(l), err)
	}
}

// endless writes a text without end.
type endless string

func (e endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = e[i%len(e)]
	}
	return len(p), nil
}

func TestEPR_RefusesBadAnswers(t *testing.T) {
	cut := itemsOf("a-1.0.0", "b-1.0.0")
	tests := []struct{ name, body, code, says string }{
		{"nothing", "[]", "SRC006", "nothing"},
		{"a page", "<html>", "SRC115", "no answer of a package registry"},
		{"empty", "", "SRC115", "ends before its end"},
		{"an object", `{"error":"x"}`, "SRC115", "no answer"},
		{"null", `null`, "SRC115", "no answer"},
		{"cut off in an item", cut[:len(cut)-20], "SRC115", "ends before its end"},
		{"cut off between items", strings.TrimSuffix(cut, "]"), "SRC115", "ends before its end"},
		{"more bad than good", "[" + item("a", "1.0.0") + `,7,7]`, "SRC115", "2 cannot be read"},
		{"one item without end", `[{"name":"` + strings.Repeat("a", 2*maxSearchItem) + `"}]`, "SRC115", "larger than the limit"},
		{"more items than anybody has", "[" + strings.Repeat("7,", maxItems) + "7]", "SRC115", "more than 60000 packages"},
		{"none passes", itemsOf("a-1.0.0 ^7.0.0"), "SRC116", "passes the rules"},
	}
	set, files := askingEPR(t, eprAt+", kibana: [9.3.0]")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := Ask(t.Context(), set, files, &packageHub{body: tt.body}, &remembers{now: noon}, noon)
			if p := (mirror.Problem{}); !errors.As(err, &p) || p.Code != tt.code || !strings.Contains(p.What, tt.says) || p.Fix == "" || p.Where.Line == 0 {
				t.Errorf("got %+v, %v", l.Entries, err)
			}
		})
	}
	if _, err := Ask(t.Context(), set, files, &packageHub{hub: hub{err: errors.New("no route")}}, &remembers{now: noon}, noon); err == nil || !strings.Contains(err.Error(), "no route") {
		t.Errorf("got %v", err)
	}
	err := readSearch(io.MultiReader(strings.NewReader("["), io.LimitReader(endless(item("a", "1.0.0")+","), maxSearch)), func(eprItem) {}, func(string, string) {}, nil, "")
	if err == nil {
		t.Error("an answer without end was read to its end")
	}
}

// A package registry that learnt new fields, or that says of an old version that there is a newer one, changes no Print.
func TestEPR_PrintIsWhatAPackageSaysOfItself(t *testing.T) {
	print := func(text string) mirror.Digest {
		t.Helper()
		d := printOf([]byte(text))
		if d == (mirror.Digest{}) {
			t.Fatal("no print")
		}
		return d
	}
	one := print(item("a", "1.0.0", `"title":"A","conditions":{"kibana":{"version":"^8.0.0"}}`))
	for _, same := range []string{`"conditions": {"kibana": {"version": "^8.0.0"}}, "title": "A"`, `"title":"A","conditions":{"kibana":{"version":"^8.0.0"}},"deprecated":{"since":"2.0.0"},"learnt":1`} {
		if print(item("a", "1.0.0", same)) != one {
			t.Errorf("%s is another print", same)
		}
	}
	if print(item("a", "1.0.0", `"title":"B","conditions":{"kibana":{"version":"^8.0.0"}}`)) == one || print(item("a", "1.0.1", `"title":"A","conditions":{"kibana":{"version":"^8.0.0"}}`)) == one {
		t.Error("another package has the same print")
	}
}

func TestEPR_AsksOnlyForWhatChanged(t *testing.T) {
	set, files := askingEPR(t, eprAt+", versions: all")
	h, past := &packageHub{body: "[" + item("a", "1.0.0") + "," + item("b", "1.0") + "," + item("c", "1.0.0") + "]", etag: "v"}, &remembers{now: noon}
	first, err := Ask(t.Context(), set, files, h, past, noon)
	if err != nil || len(first.Versions) != 1 {
		t.Fatalf("got %+v: %v", first, err)
	}
	past.listed = first
	text, err := json.Marshal(first)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Ask(t.Context(), set, files, h, past, noon)
	if err != nil || again.Print() != first.Print() || h.unlooked != 1 || len(h.since) != 2 || leftOf(again) != leftOf(first) || leftOf(first) == "" {
		t.Errorf("got %s by %v: %v", idsOf(again), h.since, err)
	}
	if twice, err := json.Marshal(again); err != nil || !bytes.Equal(text, twice) {
		t.Errorf("kept as\n%s\nthen as\n%s", text, twice)
	}
	h.body = itemsOf("a-1.0.0", "c-1.0.0", "d-1.0.0")
	if now, err := Ask(t.Context(), set, files, h, past, noon); err != nil || idsOf(now) != "a-1.0.0 c-1.0.0 d-1.0.0" || len(now.Left) > 0 {
		t.Errorf("got %s: %v", idsOf(now), err)
	}
	other, files := askingEPR(t, eprAt+", versions: 2") // the same search, another choice
	if now, err := Ask(t.Context(), other, files, h, past, noon); err != nil || h.unlooked != 1 || idsOf(now) == "" {
		t.Errorf("another question takes the answer of this one: %v", err)
	}
}

// Where one of several searches changed, what the others said is asked for again: it is not kept in a form to choose from.
func TestEPR_SomeSearchesChanged(t *testing.T) {
	set, files := askingEPR(t, "distribution: elastic/d.yaml", "elastic/d.yaml", "address: https://epr.example.org\nmatrix: [{spec.max: 3.1}, {spec.max: 3.2}]\nqueries: [{all: true}]\n")
	one, two := "https://epr.example.org/search?all=true&spec.max=3.1", "https://epr.example.org/search?all=true&spec.max=3.2"
	h, past := &packageHub{bodies: map[string]string{one: itemsOf("a-1.0.0"), two: itemsOf("a-1.0.0", "b-1.0.0")}, etag: "v"}, &remembers{now: noon}
	ask := func(want string) {
		t.Helper()
		l, err := Ask(t.Context(), set, files, h, past, noon)
		if err != nil || idsOf(l) != want || len(l.Versions) != 2 {
			t.Fatalf("got %s with %v (%v), want %s", idsOf(l), l.Versions, err, want)
		}
		past.listed = l
	}
	ask("a-1.0.0 b-1.0.0")
	h.bodies[two] = itemsOf("a-1.0.0", "c-1.0.0")
	ask("a-1.0.0 c-1.0.0")
	h.since = nil
	ask("a-1.0.0 c-1.0.0")
	if len(h.since) != 2 {
		t.Errorf("unchanged: %v", h.since)
	}
}

// What is kept of sixty thousand items stays in memory: none of them may be large.
func TestEPR_AnItemIsBounded(t *testing.T) {
	base, err := url.Parse("https://epr.elastic.co")
	if err != nil {
		t.Fatal(err)
	}
	words := func(n, length int) string {
		return `"` + strings.Repeat(strings.Repeat("a", length)+`","`, n-1) + strings.Repeat("a", length) + `"`
	}
	for _, tt := range []struct{ name, more, says string }{
		{"as it should be", `"categories":[` + words(50, 10) + `],"policy_templates":[{"categories":[` + words(50, 10) + `]}]`, ""},
		{"categories without end", `"categories":[` + words(50, 10) + `],"policy_templates":[{"categories":[` + words(51, 10) + `]}]`, "101 categories"},
		{"a category without end", `"categories":[` + words(1, maxWords+1) + `]`, "1001 bytes"},
		{"a type without end", `"type":` + words(1, maxWords+1), "1001 bytes"},
		{"a constraint without end", `"conditions":{"kibana":{"version":` + words(1, maxWords+1) + `}}`, "1001 bytes"},
	} {
		_, err := readItem([]byte(`{"name":"a","version":"1.0.0",`+tt.more+`}`), base, "epr.elastic.co")
		if tt.says == "" && err != nil || tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
