package sources

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// listed makes an answer of n entries to what a set asks.
func listed(t *testing.T, set mirror.Set, n int) Listing {
	t.Helper()
	l := Listing{Question: set.Question, Origin: mirror.DigestOf(nil)}
	for i := range n {
		image := ref(t, fmt.Sprintf("ghcr.io/team/tool:1.%d.0", i))
		l.Entries = append(l.Entries, Listed{Name: image.String(), Image: image})
	}
	return l
}

func TestListing_IsKeptAsJSON(t *testing.T) {
	set, _ := asking(t, "repository: ghcr.io/team/tool, tags: {newest: 9}")
	l := listed(t, set, 2)
	l.Again, l.Entries[0].Image.Digest = noon, oldDigest
	l.Created = map[mirror.Digest]time.Time{oldDigest: noon}
	l.Made = []mirror.Artifact{{Image: ref(t, "charts.example.org/a:1"), Manifest: mirror.NewManifest("application/vnd.oci.image.manifest.v1+json", []byte("{}")),
		Blobs: map[mirror.Digest][]byte{mirror.DigestOf([]byte("x")): []byte("x")}}}
	text, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	var again Listing
	if err := json.Unmarshal(text, &again); err != nil || !reflect.DeepEqual(l, again) || l.Print() != again.Print() {
		t.Errorf("got %+v (%v)\nwant %+v", again, err, l)
	}
}

func TestTake_AppliesSelectionAndReplacements(t *testing.T) {
	set, _ := asking(t, "repository: ghcr.io/team/tool, tags: {newest: 9}}\nexclude: [\"**/tool:1.1.0\"]\nreplace: {\"ghcr.io/team/tool:1.0.0\": {image: \"ghcr.io/own/tool:1@"+oldDigest.String()+"\"}")
	l := listed(t, set, 3)
	l.Entries[2].Image.Digest = newDigest
	if err := Take(&set, l).Err(); err != nil {
		t.Fatal(err)
	}
	if len(set.Entries) != 2 || !set.Entries[0].Pinned() || set.Entries[0].Image.Digest != oldDigest || set.Entries[0].Vendor.Tag != "1.0.0" {
		t.Errorf("got %+v", set.Entries)
	}
	if e := set.Entries[1]; e.Pinned() || !e.Told || !e.Image.HasDigest() || e.Where.Line != 2 {
		t.Errorf("what an upstream names vouches for nothing: %+v", e)
	}
	before := set
	l.Entries = l.Entries[2:]
	if ps := Take(&set, l); len(ps) != 2 || ps[0].Code != "SRC002" || ps[1].Code != "SRC003" || !reflect.DeepEqual(before.Entries, set.Entries) {
		t.Errorf("got %v with %+v", ps, set.Entries)
	}
}

func TestStay_LetsNothingGo(t *testing.T) {
	set, _ := asking(t, "repository: ghcr.io/team/tool, tags: {newest: 9}}\nexclude: [\"*:1.9.0\"]\nreplace: {own: {image: \"ghcr.io/own/tool:1\", basedOn: \""+oldDigest.String()+"\"}")
	set.Entries = []mirror.Entry{{Name: "b", Image: ref(t, "b:2")}}
	Stay(&set, mirror.Record{Stages: map[mirror.Stage]mirror.Standing{"snapshot": {
		"a": {Image: ref(t, "a:1@"+oldDigest.String())}, "b": {Image: ref(t, "b:1@"+oldDigest.String())}, "own": {Image: ref(t, "ghcr.io/own/tool:1@"+newDigest.String())},
		"x:1.9.0": {Image: ref(t, "x:1@"+oldDigest.String())}}}})
	var got []string
	for _, e := range set.Entries {
		got = append(got, e.Name+" "+e.Image.Tag)
		if e.Pinned() {
			t.Errorf("%s is pinned by nobody", e.Name)
		}
		if e.Replaced && e.Vendor.Digest != e.BasedOn {
			t.Errorf("%s: what the vendor ships is not known, and yet it moved: %+v", e.Name, e)
		}
	}
	if want := []string{"a 1", "b 2", "own 1"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestShrinks(t *testing.T) {
	tests := []struct {
		name        string
		before, now int
		source      string
		edited      bool
		refused     bool
	}{
		{name: "half", before: 4, now: 2},
		{name: "less than half", before: 4, now: 1, refused: true},
		{name: "a short list", before: 3, now: 1},
		{name: "it grew", before: 4, now: 9},
		{name: "allowed", before: 9, now: 1, source: ", shrink: allow"},
		{name: "the source was edited", before: 9, now: 1, edited: true},
		{name: "nothing was known", before: 0, now: 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			set, _ := asking(t, "repository: ghcr.io/team/tool, tags: {newest: 9}"+tt.source)
			before, now := listed(t, set, tt.before), listed(t, set, tt.now)
			if tt.edited {
				before.Question = oldDigest
			}
			p := mirror.Problem{}
			if err := Shrinks(set, before, now); (err != nil) != tt.refused || tt.refused && (!errors.As(err, &p) || p.Code != "SRC008" || p.Where.Line != 2) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestReplaces(t *testing.T) {
	many := func(from, n int) (tags []string) {
		for i := range n {
			tags = append(tags, fmt.Sprintf("1.%d.0", from+i))
		}
		return tags
	}
	tests := []struct {
		name        string
		before, now []string
		gone        []string
		source      string
		edited      bool
		refused     bool
		heads       int
	}{
		{name: "the same", before: many(0, 4), now: many(0, 4)},
		{name: "one newer", before: many(0, 4), now: many(1, 4)},
		{name: "all others, and there", before: many(0, 4), now: many(4, 4), heads: 2},
		{name: "all others, and not there", before: many(0, 4), now: many(4, 4), gone: many(4, 4), refused: true, heads: 4},
		{name: "all others, one there", before: many(0, 4), now: many(4, 4), gone: many(5, 4), refused: true, heads: 4},
		{name: "one of one", before: many(0, 1), now: many(1, 1), heads: 1},
		{name: "one of one that is not there", before: many(0, 1), now: many(1, 1), gone: many(1, 1), refused: true, heads: 1},
		{name: "a short list that loses two", before: many(0, 3), now: many(2, 3), gone: many(3, 2)},
		{name: "allowed", before: many(0, 4), now: many(4, 4), gone: many(4, 3), source: ", shrink: allow", heads: 4},
		{name: "allowed, and nothing is there", before: many(0, 4), now: many(4, 4), gone: many(4, 4), source: ", shrink: allow", refused: true, heads: 4},
		{name: "many are not asked for one by one", before: many(0, 900), now: many(1000, 900), gone: many(1000, 900), refused: true, heads: maxProbed + 1},
		{name: "nor where they are there", before: many(0, 900), now: many(1000, 900), heads: maxProbed},
		{name: "the source was edited", before: many(0, 4), now: many(4, 4), gone: many(4, 4), edited: true},
		{name: "nothing was known", now: many(4, 4), gone: many(4, 4)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			set, _ := asking(t, "repository: ghcr.io/team/tool, tags: {newest: 9}"+tt.source)
			answer := func(tags []string) Listing {
				l := Listing{Question: set.Question}
				for _, tag := range tags {
					image := ref(t, "ghcr.io/team/tool:"+tag)
					l.Entries = append(l.Entries, Listed{Name: image.String(), Image: image})
				}
				return l
			}
			before, now, h := answer(tt.before), answer(tt.now), &hub{gone: tt.gone}
			if tt.edited {
				before.Question = oldDigest
			}
			p := mirror.Problem{}
			if err := Replaces(t.Context(), set, before, now, h); (err != nil) != tt.refused || tt.refused && (!errors.As(err, &p) || p.Code != "SRC008") || h.heads != tt.heads {
				t.Errorf("got %v after %d requests, want %d", err, h.heads, tt.heads)
			}
		})
	}
	set, _ := asking(t, "repository: ghcr.io/team/tool, tags: {newest: 9}")
	before, now := listed(t, set, 1), listed(t, set, 1)
	now.Entries[0].Name = "chart/tool"
	now.Made = []mirror.Artifact{{Image: now.Entries[0].Image}}
	if err := Replaces(t.Context(), set, before, now, &hub{err: errors.New("no route")}); err != nil {
		t.Errorf("content that was made here is asked for: %v", err)
	}
	if now.Made = nil; Replaces(t.Context(), set, before, now, &hub{err: errors.New("no route")}) == nil {
		t.Error("what cannot be asked for is taken to be there")
	}
}

func TestQuestion_IsWhatIsAsked(t *testing.T) {
	ask := func(source string) mirror.Digest {
		set, _ := asking(t, source)
		return set.Question
	}
	one := ask("repository: ghcr.io/team/tool, tags: {newest: 9}")
	for _, same := range []string{"repository: ghcr.io/team/tool, tags: {newest: 9}, shrink: allow", "repository:   \"ghcr.io/team/tool\", tags: {newest: 9}}\ninclude: [\"**\"]\nrender: {"} {
		if ask(same) != one {
			t.Errorf("%s is another question", same)
		}
	}
	for _, other := range []string{"repository: ghcr.io/team/tool, tags: {newest: 8}", "repositories: [ghcr.io/team/tool], tags: {newest: 9}", "repository: ghcr.io/team/other, tags: {newest: 9}"} {
		if ask(other) == one {
			t.Errorf("%s is the same question", other)
		}
	}
}

func TestAsk_RefusesAnEmptyAnswerAndOneTwice(t *testing.T) {
	set, files := asking(t, "repositories: [ghcr.io/team/tool], tags: {allow: [\".*\"]}")
	for name, h := range map[string]*hub{
		"an empty repository": {tags: map[string][]string{"ghcr.io/team/tool": nil}},
		"none at all":         {},
		"down":                {err: errors.New("no route")},
	} {
		if l, err := Ask(t.Context(), set, files, h, &remembers{now: noon}, noon); err == nil {
			t.Errorf("%s: got %+v", name, l)
		}
	}
	if err := bounded(set, listing{}); err == nil {
		t.Error("an empty answer was taken")
	}
	if err := bounded(set, listing{entries: []mirror.Entry{{Name: "a"}, {Name: "a"}}}); err == nil {
		t.Error("an entry was taken twice")
	}
	if err := bounded(set, listing{entries: make([]mirror.Entry, 1), made: []mirror.Artifact{{Blobs: map[mirror.Digest][]byte{oldDigest: make([]byte, maxMade+1)}}}}); err == nil {
		t.Error("more than can be kept was taken")
	}
}
