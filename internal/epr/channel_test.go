package epr

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

// told gives name-version of what a search finds.
func told(t *testing.T, h http.Handler, query string) []string {
	t.Helper()
	var all []mirror.Package
	if err := json.Unmarshal(get(h, "/search"+query).Body.Bytes(), &all); err != nil {
		t.Fatal(err)
	}
	ids := []string{}
	for _, p := range all {
		ids = append(ids, p.String())
	}
	return ids
}

func TestChannel_NewestComesAfterTheFilters(t *testing.T) {
	at := newPantry()
	var items []Item
	for id, lines := range map[string][]string{
		"nginx-1.0.0":      {"conditions.kibana.version: ^7.0.0", "categories: [web]"},
		"nginx-1.10.0":     {"conditions.kibana.version: ^8.0.0", "categories: [security]"},
		"nginx-1.9.0":      {"conditions.kibana.version: ^8.0.0", "categories: [web]"},
		"nginx-2.0.0":      {"conditions.kibana.version: ^9.0.0", "release: experimental"},
		"nginx-2.0.0-rc1":  {"conditions.kibana.version: ^9.0.0"},
		"apache-0.3.0":     {"type: input"},
		"apache-0.3.0+one": {"type: input"},
	} {
		items = append(items, at.put(t, simple(t, id, lines...), nil))
	}
	h := at.serve(items)
	for query, want := range map[string][]string{
		"":                                       {"apache-0.3.0", "nginx-1.10.0"},
		"?kibana.version=7.1.0":                  {"apache-0.3.0", "nginx-1.0.0"},
		"?kibana.version=9.0.0":                  {"apache-0.3.0"},
		"?kibana.version=9.0.0&prerelease=1":     {"apache-0.3.0", "nginx-2.0.0"},
		"?kibana.version=8.0.0-SNAPSHOT":         {"apache-0.3.0"},
		"?category=web":                          {}, // the newest is of another one
		"?category=security":                     {"nginx-1.10.0"},
		"?all=true&package=nginx":                {"nginx-1.0.0", "nginx-1.9.0", "nginx-1.10.0"},
		"?all=true&prerelease=true":              {"apache-0.3.0", "apache-0.3.0+one", "nginx-1.0.0", "nginx-1.9.0", "nginx-1.10.0", "nginx-2.0.0-rc1", "nginx-2.0.0"},
		"?experimental=true":                     {"apache-0.3.0", "nginx-2.0.0"},
		"?experimental=true&all=true&type=input": {"apache-0.3.0", "apache-0.3.0+one"},
		"?type=content":                          {},
	} {
		if have := told(t, h, query); !slices.Equal(have, want) {
			t.Errorf("%s: %v, want %v", query, have, want)
		}
	}
	if have := get(h, "/search?type=content").Body.String(); have != "[]" {
		t.Errorf("nothing found is %q", have)
	}
	for _, id := range []string{"apache-0.3.0", "apache-0.3.0+one"} {
		if have := get(h, "/package/apache/"+strings.TrimPrefix(id, "apache-")+"/"); have.Code != http.StatusOK || !strings.Contains(have.Body.String(), id+".zip") {
			t.Errorf("%s: %d", id, have.Code)
		}
	}
}

func TestChannel_ADeprecationIsToldOfAllVersions(t *testing.T) {
	at := newPantry()
	early := at.put(t, simple(t, "nginx-1.0.0"), nil)
	items := []Item{early,
		at.put(t, simple(t, "nginx-1.1.0", "deprecated: {since: 1.1.0, description: old}"), nil),
		at.put(t, simple(t, "nginx-1.2.0", "deprecated: {since: 1.2.0, description: newer}"), nil),
		at.put(t, simple(t, "nginx-2.0.0"), nil), at.put(t, simple(t, "apache-1.0.0"), nil)}
	h := at.serve(items)
	for _, path := range []string{"/search?all=true&package=nginx", "/package/nginx/1.0.0/", "/package/nginx/2.0.0/"} {
		have := get(h, path).Body.String()
		if strings.Contains(have, "old") || !strings.Contains(have, "newer") {
			t.Errorf("%s: %s", path, have)
		}
	}
	if have := get(h, "/package/apache/1.0.0/").Body.String(); strings.Contains(have, "deprecated") {
		t.Error("another package is deprecated, too")
	}
	// In a channel where the newer versions do not stand nobody knows of it.
	if have := get(at.serve([]Item{early}), "/search").Body.String(); strings.Contains(have, "deprecated") {
		t.Error("another channel's deprecation is told")
	}
}

func TestNewChannel_OfTwoTheFirstStands(t *testing.T) {
	at := newPantry()
	first, second := at.put(t, simple(t, "nginx-1.0.0", "license: one"), nil), at.put(t, simple(t, "nginx-1.0.0", "license: two"), nil)
	c := NewChannel([]Item{first, second, {Package: mirror.Package{Name: "bare", Version: "1.0.0"}}})
	if c.Len() != 1 || c.byID[first.Package].Local.Digest != first.Local.Digest {
		t.Errorf("%d versions", c.Len())
	}
}

// TestNewChannel_ARangeThatCannotBeReadFitsNothing is of an index that somebody else wrote: NewItem makes no such item.
func TestNewChannel_ARangeThatCannotBeReadFitsNothing(t *testing.T) {
	i := Item{Package: mirror.Package{Name: "nginx", Version: "1.0.0"}, Search: json.RawMessage(`{"name":"nginx","version":"1.0.0","conditions":{"kibana":{"version":"of course"}}}`)}
	if err := i.read(); err != nil {
		t.Fatal(err)
	}
	h := newPantry().serve([]Item{i})
	if have := told(t, h, "?kibana.version=8.0.0"); len(have) != 0 {
		t.Errorf("%v", have)
	}
}

func TestCache_StaysWithinItsRoom(t *testing.T) {
	c := newCache[int, string](10)
	for i := range 100 {
		c.add(i, "x", 3)
		c.get(0)
	}
	c.add(1000, "too large", 11)
	_, first := c.get(0)
	_, last := c.get(99)
	_, large := c.get(1000)
	if c.used != 9 || len(c.byKey) != 3 || !first || !last || large {
		t.Errorf("%d of 10 used by %d; what was used last %v, latest %v, too large %v", c.used, len(c.byKey), first, last, large)
	}
}

// plenty makes items for so many names, without zips.
func plenty(t testing.TB, names, versions int) []Item {
	t.Helper()
	at := newPantry()
	sample := at.put(t, simple(t, "sample-1.0.0", "categories: [web, security]", "icons: [{src: /img/icon.svg, title: Icon, size: 32x32, type: image/svg+xml}]",
		"owner: {github: elastic/team, type: elastic}", "policy_templates: [{name: logs, title: Logs and metrics, description: Collect logs and metrics of many instances, inputs: [{type: logfile, title: x, description: y}], categories: [siem]}, {name: more, title: More, description: "+strings.Repeat("More text. ", 60)+"}]"), []byte("s"))
	var items []Item
	for n := range names {
		for v := range versions {
			p := mirror.Package{Name: fmt.Sprintf("package_%d", n), Version: fmt.Sprintf("1.%d.%d", v, n%3)}
			i := Item{Package: p, Layers: sample.Layers, Local: sample.Local, Format: "3.0.0"}
			said := strings.NewReplacer("/sample/1.0.0", "/"+p.Name+"/"+p.Version, "sample-1.0.0", p.String(), `"name":"sample"`, `"name":"`+p.Name+`"`, `"version":"1.0.0"`,
				`"version":"`+p.Version+`"`, `"categories":["web"`, fmt.Sprintf(`"conditions":{"kibana":{"version":"^7.%d.0 || ^8.%d.0 || ^9.0.0"}},"categories":["web"`, n%17, v)).Replace(string(sample.Search))
			i.Search = json.RawMessage(said)
			if err := i.read(); err != nil {
				t.Fatal(err)
			}
			items = append(items, i)
		}
	}
	return items
}

// TestChannel_IsSmall holds the memory of a channel with 10,000 versions, after its newest were asked for: with 50,000 it may be
// 300 MiB.
func TestChannel_IsSmall(t *testing.T) {
	if testing.Short() {
		t.Skip("makes 10,000 versions")
	}
	before := heap()
	c := NewChannel(plenty(t, 1000, 10))
	h := Handler(func() *Channel { return c }, newPantry())
	if have := told(t, h, "?kibana.version=8.6.0"); len(have) != 1000 {
		t.Fatalf("%d found", len(have))
	}
	if used := heap() - before; used > 60<<20 {
		t.Errorf("%d MiB", used>>20)
	} else {
		t.Logf("%d MiB", used>>20)
	}
	runtime.KeepAlive(h)
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func BenchmarkSearch(b *testing.B) {
	c := NewChannel(plenty(b, 5000, 10))
	h := Handler(func() *Channel { return c }, newPantry())
	for _, query := range []string{"kibana.version=8.6.0", "kibana.version=8.6.0&category=security", "package=package_77", "kibana.version=8.6.0&all=true&package=package_77"} {
		b.Run(query, func(b *testing.B) {
			r := httptest.NewRequest(http.MethodGet, "/search?"+query, nil)
			for b.Loop() {
				h.ServeHTTP(discard{}, r)
			}
		})
	}
}

type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) WriteHeader(int)             {}

func TestChannel_WhatIsRememberedIsTheAnswer(t *testing.T) {
	items := plenty(t, 30, 4)
	c := NewChannel(items)
	for _, asked := range []string{"kibana.version=8.6.0", "kibana.version=8.6.0&category=security", "category=security&kibana.version=8.6.0", "all=true", "all=true&package=package_7", "nobody=knows", ""} {
		values, err := url.ParseQuery(asked)
		if err != nil {
			t.Fatal(err)
		}
		q, err := parse(values, searchParameters)
		if err != nil {
			t.Fatal(err)
		}
		want := NewChannel(items).find(q)
		for range 2 {
			if got := c.recall(q); len(got) != len(want) || !slices.EqualFunc(got, want, func(a, b *version) bool { return a.Package == b.Package }) {
				t.Errorf("%q: %d versions, want %d", asked, len(got), len(want))
			}
		}
	}
	if q, err := parse(url.Values{"discovery": {"fields:" + strings.Repeat("x", maxAsked)}}, searchParameters); err != nil || q.asked != "" {
		t.Errorf("a question of any length is remembered: %q, %v", q.asked, err)
	}
}
