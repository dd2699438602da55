package plan

import (
	"slices"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

// version gives a version of a package with some bytes.
func version(entry, seed string) mirror.Reference {
	p, err := mirror.ParsePackage(entry)
	if err != nil {
		panic(err)
	}
	return mirror.Reference{Host: "epr.elastic.co", Repository: p.Name, Tag: p.Tag(), Digest: mirror.DigestOf([]byte(entry + seed))}
}

// newChannels has a set of packages in which nginx-1.20.0 and nginx-1.21.0 stand at every stage.
func newChannels() *world {
	w := &world{set: mirror.Set{Name: "elastic", Stages: mirror.DefaultStages, Layout: mirror.LayoutTag, VendorTags: mirror.VendorOnce, Packages: true,
		Wanted: map[mirror.Stage][]mirror.Wanted{}, Listed: map[mirror.Stage]bool{}},
		inv: mirror.Inventory{Tags: map[string]mirror.Digest{}, Whole: map[string]bool{}}, rec: mirror.Record{Stages: map[mirror.Stage]mirror.Standing{}}}
	for _, entry := range []string{"nginx-1.20.0", "nginx-1.21.0"} {
		w.put(mirror.Candidate{Entry: mirror.Entry{Name: entry, Image: version(entry, "a").WithDigest(mirror.Digest{}), Told: true}, Image: version(entry, "a")})
		for _, stage := range w.set.Stages {
			w.stand(stage, entry, version(entry, "a"))
		}
	}
	return w
}

// stands lists the entries that stand at a stage.
func (w *world) stands(stage mirror.Stage) (all []string) {
	for entry := range w.rec.At(stage) {
		all = append(all, entry)
	}
	slices.Sort(all)
	return all
}

func TestChannels_ALineThatIsTakenOutTakesNoVersionOut(t *testing.T) {
	both := []string{"nginx-1.20.0", "nginx-1.21.0"}
	for _, tt := range []struct {
		name     string
		packages bool
		released map[mirror.Stage]map[string]bool
		staging  []string
	}{
		{"a package stays", true, nil, both},
		{"what policy releases leaves", true, map[mirror.Stage]map[string]bool{"staging": {"nginx-1.20.0": true}}, both[1:]},
		{"what policy releases elsewhere stays", true, map[mirror.Stage]map[string]bool{"production": {"nginx-1.20.0": true}}, both},
		{"an image of any other set leaves", false, nil, both[1:]},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newChannels()
			w.set.Packages = tt.packages
			w.want("staging", map[string]mirror.Reference{"nginx-1.21.0": version("nginx-1.21.0", "a")})
			p := w.plan()
			told := slices.ContainsFunc(p.Actions, func(a mirror.Action) bool {
				return a.Stage == "staging" && a.Key.Entry == "nginx-1.20.0" && a.Kind == mirror.Refuse && a.Reason.Code == mirror.Removes && a.Where.File == "stages/elastic/staging.yaml"
			})
			if told != tt.packages {
				t.Errorf("told as refused: %v", told)
			}
			p.Released = tt.released
			p = Hold(w.set, p)
			if _, after := p.After.At("staging")["nginx-1.20.0"]; after != slices.Contains(tt.staging, "nginx-1.20.0") {
				t.Errorf("the record as it would be holds it: %v", after)
			}
			w.apply(p)
			if got := w.stands("staging"); !slices.Equal(got, tt.staging) {
				t.Errorf("%v stand in staging, want %v", got, tt.staging)
			}
			if got := w.stands("production"); !slices.Equal(got, both) {
				t.Errorf("%v stand in production, want %v", got, both)
			}
		})
	}
}

// TestChannels_AnUpstreamThatForgetsAVersionTakesItOutOfTheFirstStageAlone is a newest-only selection that moved on.
func TestChannels_AnUpstreamThatForgetsAVersionTakesItOutOfTheFirstStageAlone(t *testing.T) {
	w := newChannels()
	w.set.Entries, w.candidates = w.set.Entries[1:], w.candidates[1:]
	for _, stage := range w.set.Stages.Upper() {
		w.want(stage, map[string]mirror.Reference{"nginx-1.20.0": version("nginx-1.20.0", "a"), "nginx-1.21.0": version("nginx-1.21.0", "a")})
	}
	w.sync()
	for stage, n := range map[mirror.Stage]int{"snapshot": 1, "staging": 2, "production": 2} {
		if got := w.stands(stage); len(got) != n {
			t.Errorf("%s: %v", stage, got)
		}
	}
}

// TestChannels_AStageFileThatIsEmptyTakesNothing is an edit by hand, or one that went wrong.
func TestChannels_AStageFileThatIsEmptyTakesNothing(t *testing.T) {
	w := newChannels()
	for _, stage := range w.set.Stages.Upper() {
		w.want(stage, nil)
	}
	w.sync()
	for _, stage := range w.set.Stages {
		if got := w.stands(stage); len(got) != 2 {
			t.Errorf("%s: %v", stage, got)
		}
	}
}
