package sources

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// hub is an upstream in memory that counts what it is asked.
type hub struct {
	tags      map[string][]string // by repository
	named     map[string]string   // tag -> content; without one the tag names itself
	made      map[string]time.Time
	gone      []string // tags that are listed and name nothing
	err       error
	lists     int
	heads     int
	manifests int
}

func (h *hub) Tags(_ context.Context, r mirror.Reference) ([]string, error) {
	h.lists++
	tags, ok := h.tags[r.Name()]
	if !ok && h.err == nil {
		return nil, mirror.ErrNotFound
	}
	return tags, h.err
}

func (h *hub) content(tag string) mirror.Manifest {
	name := tag
	if other, ok := h.named[tag]; ok {
		name = other
	}
	body := map[string]any{"schemaVersion": 2, "annotations": map[string]string{"name": name}}
	if at, ok := h.made[name]; ok {
		body["annotations"] = map[string]string{createdKey: at.Format(time.RFC3339)}
	}
	text, _ := json.Marshal(body)
	return mirror.NewManifest("application/vnd.oci.image.manifest.v1+json", text)
}

func (h *hub) Resolve(_ context.Context, r mirror.Reference) (mirror.Descriptor, error) {
	h.heads++
	if slices.Contains(h.gone, r.Tag) {
		return mirror.Descriptor{}, mirror.ErrNotFound
	}
	return h.content(r.Tag).Descriptor, h.err
}

func (h *hub) Manifest(_ context.Context, r mirror.Reference, d mirror.Digest) (mirror.Manifest, error) {
	h.manifests++
	for _, tag := range h.tags[r.Name()] {
		if m := h.content(tag); m.Descriptor.Digest == d {
			return m, nil
		}
	}
	return mirror.Manifest{}, mirror.ErrNotFound
}

func (h *hub) Blob(context.Context, mirror.Reference, mirror.Digest, int64) (io.ReadCloser, error) {
	return nil, mirror.ErrNotFound
}
func (h *hub) Referrers(context.Context, mirror.Reference, mirror.Digest) ([]mirror.Descriptor, error) {
	return nil, nil
}
func (h *hub) Tagged(context.Context, mirror.Reference) (mirror.Manifest, error) {
	return mirror.Manifest{}, mirror.ErrNotFound
}
func (h *hub) Get(context.Context, string, int64) ([]byte, error) { return nil, mirror.ErrNotFound }
func (h *hub) Since(context.Context, string, int64, Version) (io.ReadCloser, Version, error) {
	return nil, Version{}, mirror.ErrNotFound
}
func (h *hub) Head(context.Context, string) (Version, error) { return Version{}, mirror.ErrNotFound }
func (h *hub) Dropped(context.Context, string) (Drop, error) { return Drop{}, mirror.ErrNotFound }

// remembers is a past in memory.
type remembers struct {
	seen   map[mirror.Digest]time.Time
	listed Listing
	now    time.Time
}

func (r *remembers) FirstSeen(d mirror.Digest) time.Time {
	if r.seen == nil {
		r.seen = map[mirror.Digest]time.Time{}
	}
	if _, ok := r.seen[d]; !ok {
		r.seen[d] = r.now
	}
	return r.seen[d]
}

func (r *remembers) Listed(entry string) (mirror.Reference, bool) {
	i := slices.IndexFunc(r.listed.Entries, func(e Listed) bool { return e.Name == entry })
	if i < 0 {
		return mirror.Reference{}, false
	}
	return r.listed.Entries[i].Image, true
}

func (r *remembers) Before() Listing { return r.listed }

func (r *remembers) Created(d mirror.Digest) (time.Time, bool) {
	at, ok := r.listed.Created[d]
	return at, ok
}

// asking reads a set whose source is of kind oci.
func asking(t *testing.T, source string) (mirror.Set, mirror.Files) {
	t.Helper()
	files := mirror.Files{"desired/tools.yaml": []byte("version: 1\nsource: {kind: oci, " + source + "}\n")}
	desired, ps := mirror.ParseDesired("", files)
	if err := ps.Err(); err != nil {
		t.Fatal(err)
	}
	set := desired.Sets[0]
	if err := Read(&set, files).Err(); err != nil {
		t.Fatal(err)
	}
	if !set.Asked || len(set.Entries) > 0 {
		t.Fatalf("asked %v with %d entries", set.Asked, len(set.Entries))
	}
	return set, files
}

func tagsOf(l Listing) string {
	var tags []string
	for _, e := range l.Entries {
		tags = append(tags, e.Image.Tag)
	}
	return strings.Join(tags, " ")
}

func TestOCI_ChoosesTags(t *testing.T) {
	signature := "sha256-" + strings.Repeat("a", 64)
	all := []string{"latest", "1.4.0", "1.4.1", "v1.10.0", "1.9.3", "1.5", "2.0.0-rc.1", "2.0.0", "1.4.1-debug", "20240101", "1234567", "main", "3.0.0_b1",
		"stable", signature, signature + ".sig", "bad tag", "1.4.0"}
	tests := []struct{ name, rules, want string }{
		{"a range", `semver: ">=1.4 <2"`, "1.4.0 1.4.1 1.5 1.9.3 v1.10.0"},
		{"a range of one minor", `semver: "~1.4"`, "1.4.0 1.4.1"},
		{"versions sort as versions", `newest: 2, semver: "<2"`, "1.9.3 v1.10.0"},
		{"no date, commit or name is a version", `newest: 100`, "1.4.0 1.4.1 1.5 1.9.3 2.0.0 3.0.0_b1 v1.10.0"},
		{"prereleases where they are asked for", `semver: ">=1.10", prereleases: true`, "2.0.0 2.0.0-rc.1 3.0.0_b1 v1.10.0"},
		{"a suffix is a prerelease", `semver: "1.4.1-debug"`, ""},
		{"allow matches the whole tag", `allow: ["1\\.4", "main"]`, "main"},
		{"deny wins", `allow: ["1\\.4.*"], deny: [".*-debug"]`, "1.4.0 1.4.1"},
		{"everything but what belongs to other content", `allow: [".*"]`, "1.4.0 1.4.1 1.4.1-debug 1.5 1.9.3 1234567 2.0.0 2.0.0-rc.1 20240101 3.0.0_b1 latest main stable v1.10.0"},
		{"as the registry lists them", `newest: 2, by: listed`, "3.0.0_b1 stable"},
		{"nothing", `semver: ">=9"`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			set, files := asking(t, "repository: ghcr.io/team/tool, tags: {"+tt.rules+"}")
			h := &hub{tags: map[string][]string{"ghcr.io/team/tool": slices.Clone(all)}}
			if !strings.Contains(tt.rules, "listed") {
				rand.Shuffle(len(all), func(i, j int) {
					tags := h.tags["ghcr.io/team/tool"]
					tags[i], tags[j] = tags[j], tags[i]
				})
			}
			l, err := Ask(t.Context(), set, files, h, &remembers{now: noon}, noon)
			if p := (mirror.Problem{}); tt.want == "" {
				if !errors.As(err, &p) || p.Code != "SRC095" || p.Fix == "" {
					t.Errorf("got %v, %v", l.Entries, err)
				}
				return
			}
			if err != nil || tagsOf(l) != tt.want {
				t.Errorf("got %s (%v), want %s", tagsOf(l), err, tt.want)
			}
			if h.lists != 1 || h.heads+h.manifests > 0 {
				t.Errorf("%d lists, %d heads, %d manifests: want one list", h.lists, h.heads, h.manifests)
			}
			if name := "ghcr.io/team/tool:" + l.Entries[0].Image.Tag; l.Entries[0].Name != name {
				t.Errorf("named %s, want %s", l.Entries[0].Name, name)
			}
		})
	}
}

func TestOCI_ByCreatedAsksEachContentOnce(t *testing.T) {
	set, files := asking(t, "repository: ghcr.io/team/tool, tags: {newest: 2, by: created}")
	h := &hub{tags: map[string][]string{"ghcr.io/team/tool": {"a", "b", "c"}}, made: map[string]time.Time{
		"a": noon, "b": noon.Add(-2 * time.Hour), "c": noon.Add(-time.Hour)}}
	past := &remembers{now: noon}
	l, err := Ask(t.Context(), set, files, h, past, noon)
	if err != nil || tagsOf(l) != "a c" || h.manifests != 3 {
		t.Fatalf("got %s after %d manifests: %v", tagsOf(l), h.manifests, err)
	}
	past.listed = l
	h.named = map[string]string{"b": "b2"}
	h.made["b2"] = noon.Add(time.Hour)
	if l, err = Ask(t.Context(), set, files, h, past, noon); err != nil || tagsOf(l) != "a b" || h.manifests != 4 {
		t.Errorf("got %s after %d manifests: %v", tagsOf(l), h.manifests, err)
	}
	delete(h.made, "b2")
	h.named["b"] = "untold"
	if _, err = Ask(t.Context(), set, files, h, past, noon); err == nil || !strings.Contains(err.Error(), "does not say when it was made") {
		t.Errorf("got %v", err)
	}
}

// A tag that is new waits until its content was seen for long enough; one that moved keeps what it named meanwhile.
func TestOCI_MinimumAge(t *testing.T) {
	set, files := asking(t, "repository: ghcr.io/team/tool, tags: {newest: 1, minAge: 72h}")
	h := &hub{tags: map[string][]string{"ghcr.io/team/tool": {"1.0.0"}}}
	past := &remembers{now: noon.Add(-100 * time.Hour)}
	past.FirstSeen(h.content("1.0.0").Descriptor.Digest)
	past.now = noon
	old := h.content("1.0.0").Descriptor.Digest
	l, err := Ask(t.Context(), set, files, h, past, noon)
	if err != nil || tagsOf(l) != "1.0.0" || l.Entries[0].Image.Digest != old || !l.Again.IsZero() {
		t.Fatalf("got %+v: %v", l, err)
	}
	past.listed = l
	h.tags["ghcr.io/team/tool"] = []string{"1.0.0", "1.1.0"}
	h.named = map[string]string{"1.0.0": "moved"}
	l, err = Ask(t.Context(), set, files, h, past, noon)
	if err != nil || tagsOf(l) != "1.0.0" || l.Entries[0].Image.Digest != old || !l.Again.Equal(noon.Add(72*time.Hour)) {
		t.Errorf("got %+v: %v", l, err)
	}
	if l, err = Ask(t.Context(), set, files, h, past, noon.Add(72*time.Hour)); err != nil || tagsOf(l) != "1.1.0" {
		t.Errorf("got %+v: %v", l, err)
	}
	past.listed = Listing{}
	if _, err = Ask(t.Context(), set, files, h, &remembers{now: noon}, noon); err == nil {
		t.Error("content that nobody saw before was taken")
	}
}

// A tag that is listed and names nothing, as deleted content leaves it, does not keep the others back; where all are so,
// most likely nobody may read them, and what stands stays.
func TestOCI_ATagThatNamesNothingIsPassedOver(t *testing.T) {
	for rules, want := range map[string]string{"newest: 2, by: created": "1.0.0 1.1.0", `allow: [".*"], minAge: 1h`: "1.0.0 1.1.0"} {
		set, files := asking(t, "repository: ghcr.io/team/tool, tags: {"+rules+"}")
		h := &hub{tags: map[string][]string{"ghcr.io/team/tool": {"1.0.0", "1.1.0", "1.2.0"}}, gone: []string{"1.2.0"},
			made: map[string]time.Time{"1.0.0": noon, "1.1.0": noon, "1.2.0": noon}}
		past := &remembers{now: noon.Add(-2 * time.Hour)}
		for _, tag := range h.tags["ghcr.io/team/tool"] {
			past.FirstSeen(h.content(tag).Descriptor.Digest)
		}
		past.now = noon
		if l, err := Ask(t.Context(), set, files, h, past, noon); err != nil || tagsOf(l) != want {
			t.Errorf("%s: got %s, want %s: %v", rules, tagsOf(l), want, err)
		}
		h.gone = h.tags["ghcr.io/team/tool"]
		if _, err := Ask(t.Context(), set, files, h, past, noon); !errors.Is(err, mirror.ErrNotFound) {
			t.Errorf("%s: all are gone: %v", rules, err)
		}
		h.gone, h.err = nil, errors.New("broken line")
		if _, err := Ask(t.Context(), set, files, h, past, noon); err == nil {
			t.Errorf("%s: another error is passed over", rules)
		}
	}
}

func TestOCI_TooManyToAsk(t *testing.T) {
	var tags []string
	for i := range maxLooked + 1 {
		tags = append(tags, fmt.Sprintf("1.%d.0", i))
	}
	h := &hub{tags: map[string][]string{"ghcr.io/team/tool": tags}}
	for rules, fails := range map[string]bool{"newest: 1, by: created": true, `allow: [".*"], minAge: 1h`: true, "newest: 1": false} {
		set, files := asking(t, "repository: ghcr.io/team/tool, tags: {"+rules+"}")
		_, err := Ask(t.Context(), set, files, h, &remembers{now: noon}, noon)
		if p := (mirror.Problem{}); (err != nil) != fails || fails && (!errors.As(err, &p) || p.Code != "SRC096") {
			t.Errorf("%s: got %v", rules, err)
		}
	}
	if h.heads > 0 {
		t.Errorf("%d tags were asked", h.heads)
	}
}
