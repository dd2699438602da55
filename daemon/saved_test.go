package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// taggedSite has two signed tags in one set, and a pinned entry in another.
func taggedSite(t *testing.T) *site {
	t.Helper()
	s := newSite(t, map[string]string{
		"desired/policy.yaml": "version: 1\nsigners: {vendor: {key: keys/vendor.pub}}\nrules:\n  - {match: \"docker.io/**\", require: {signers: [vendor], count: 1}}\n  - {match: \"ghcr.io/**\", require: {pinned: true}}\n",
		"desired/web.yaml":    "version: 1\nsource: {kind: list, images: [\"docker.io/library/web:1\", \"docker.io/library/other:1\"]}\nlayout: path\n",
		"desired/pins.yaml":   "version: 1\nsource: {kind: list, file: pins.txt}\nlayout: path\n", "desired/pins.txt": "ghcr.io/none/none:1\n"})
	s.pushSigned("docker.io/library/web:1", "web")
	s.pushSigned("docker.io/library/other:1", "other")
	s.commit("pins", map[string]string{"desired/pins.txt": list(s.push("ghcr.io/team/pin:1", "pin"))})
	return s
}

// save makes a plan and keeps it in a file.
func (s *site) save(only ...string) string {
	s.t.Helper()
	line := s.looking(false)
	if err := line.Only(only...); err != nil {
		s.t.Fatal(err)
	}
	doc := must(line.Preview(s.t.Context(), PreviewOptions{}))(s.t)
	file := filepath.Join(s.t.TempDir(), "change.plan")
	if err := must(line.Saved(doc))(s.t).Write(file); err != nil {
		s.t.Fatal(err)
	}
	return file
}

// follows runs a saved plan in a process of its own.
func (s *site) follows(file string) (map[string]Report, error) {
	s.t.Helper()
	saved := must(ReadSavedPlan(file))(s.t)
	all, err := s.open().SyncPlan(s.t.Context(), saved)
	reports := map[string]Report{}
	for _, r := range all {
		reports[r.Set] = r
	}
	return reports, err
}

func TestSavedPlan_DoesWhatItSaysAndNothingElse(t *testing.T) {
	t.Parallel()
	s := taggedSite(t)
	file := s.save("web/**/other:*")
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v %v", info.Mode(), err)
	}
	for try := range 2 { // what is done already is left as it is
		reports, err := s.follows(file)
		if err != nil {
			t.Fatalf("try %d: %v", try, err)
		}
		if len(reports) != 1 || reports["web"].Plan.Count(mirror.Skip) != 1 || reports["web"].Plan.Count(mirror.Unchanged) != 1 {
			t.Errorf("try %d: %+v", try, reports)
		}
		if tags := testenv.TagsOf(s.local.Back()); len(tags) == 0 || s.tag("mirror/snapshot/docker.io/library/web", "1") != (mirror.Digest{}) || s.file("rendered/demo/pins/snapshot.yaml") != "" {
			t.Errorf("try %d: more than the plan says was done: %v", try, tags)
		}
	}
	s.whole()
}

func TestSavedPlan_StopsWhenAnythingMoved(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		move func(s *site)
		says []string
	}{
		{"nothing", func(*site) {}, nil},
		{"Git outside of desired", func(s *site) { s.commit("docs", map[string]string{"README.md": "hello\n"}) }, nil},
		{"desired", func(s *site) {
			s.commit("one more", map[string]string{"desired/pins.txt": list(s.push("ghcr.io/team/pin:2", "pin2"))})
		}, []string{"desired/pins.txt changed between "}},
		{"an upstream tag", func(s *site) { s.pushSigned("docker.io/library/web:1", "moved") }, []string{"web/docker.io/library/web:1 at snapshot: docker.io/library/web:1 names sha256:"}},
		{"a local tag", func(s *site) {
			must(testenv.Push(s.t.Context(), s.local.Back(), "mirror/snapshot/docker.io/library/web", "1", testenv.Image("foreign")))(s.t)
		}, []string{"library/web:1 names sha256:", "the plan was made when it named -"}},
		{"a signature is late", func(s *site) {
			if err := s.vendor.SignLegacy(s.t.Context(), s.upstream.Back()+"/docker.io/library/late", must(testenv.TagDigest(s.upstream.Back(), "docker.io/library/late", "1"))(s.t), testenv.Claiming("docker.io/library/late")); err != nil {
				s.t.Fatal(err)
			}
		}, []string{"late:1 at snapshot was refused: no signature found", "and would be changed now"}},
		{"two things", func(s *site) {
			s.pushSigned("docker.io/library/web:1", "moved")
			s.pushSigned("docker.io/library/other:1", "moved too")
		}, []string{"docker.io/library/web:1 names", "docker.io/library/other:1 names"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := taggedSite(t)
			s.push("docker.io/library/late:1", "late")
			s.commit("late", map[string]string{"desired/web.yaml": "version: 1\nsource: {kind: list, images: [\"docker.io/library/web:1\", \"docker.io/library/other:1\", \"docker.io/library/late:1\"]}\nlayout: path\n"})
			file := s.save()
			tt.move(s)
			s.local.Proxy().Reset()
			s.now = s.now.Add(time.Minute)
			reports, err := s.follows(file)
			if tt.says == nil {
				if err != nil || reports["web"].Plan.Count(mirror.Unchanged) != 2 || reports["pins"].Plan.Count(mirror.Unchanged) != 1 {
					t.Errorf("it did not follow: %+v, %v", reports, err)
				}
				return
			}
			var problems mirror.Problems
			if !errors.As(err, &problems) || len(problems) != len(tt.says) && tt.name == "two things" {
				t.Fatalf("got %v, want it to stop", err)
			}
			for _, p := range problems {
				if p.Code != stale || p.Fix == "" {
					t.Errorf("got %+v, want code %s and a fix", p, stale)
				}
			}
			for _, want := range tt.says {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v\ndoes not say %q", err, want)
				}
			}
			if n := s.local.Proxy().Counts().Writes(); n != 0 {
				t.Errorf("%d writes, want none", n)
			}
		})
	}
}

func TestSavedPlan_RefusesWhatIsNotWhole(t *testing.T) {
	t.Parallel()
	s := taggedSite(t)
	file := s.save()
	text := string(must(os.ReadFile(file))(t))
	edit := func(old, new string) string {
		t.Helper()
		if !strings.Contains(text, old) {
			t.Fatalf("the plan has no %q", old)
		}
		return strings.Replace(text, old, new, 1)
	}
	for name, tt := range map[string]struct{ text, says string }{
		"edited":        {edit(`"kind": "copy"`, `"kind": "unchanged"`), "was changed since it was saved"},
		"a key more":    {edit(`"site"`, `"extra": 1, "site"`), "was changed since it was saved"},
		"newer":         {edit(`"version": 1`, `"version": 2`), "newer than this Poundlock understands"},
		"another thing": {`{"type":"plan","version":1,"plans":[]}`, "not a saved plan"},
		"cut":           {text[:len(text)/2], "not a saved plan"},
		"empty":         {"", "not a saved plan"},
	} {
		t.Run(name, func(t *testing.T) {
			bad := filepath.Join(t.TempDir(), "bad.plan")
			if err := os.WriteFile(bad, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			var problems mirror.Problems
			if _, err := ReadSavedPlan(bad); !errors.As(err, &problems) || problems[0].Code != "PLN003" || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want it to say %q", err, tt.says)
			}
		})
	}
	for _, missing := range []string{filepath.Join(t.TempDir(), "none"), t.TempDir()} {
		if _, err := ReadSavedPlan(missing); err == nil {
			t.Errorf("%s was read", missing)
		}
	}
	s.config = strings.Replace(s.config, "site: demo", "site: other", 1)
	if _, err := s.follows(file); err == nil || !strings.Contains(err.Error(), "the plan is of site demo") {
		t.Errorf("another site: %v", err)
	}
}

func TestOnly_LeavesTheRestAlone(t *testing.T) {
	t.Parallel()
	s := taggedSite(t)
	line := s.open()
	for selector, says := range map[string]string{"wbe": `did you mean "web"?`, "web/docker.io/library/wbe:1": `did you mean "docker.io/library/web:1"?`, "/x": "want set or set/entry", "web/[": "want set or set/entry"} {
		err := line.Only(selector)
		if err == nil {
			_, err = line.Preview(t.Context(), PreviewOptions{})
		}
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("--only %s: %v, want it to say %s", selector, err, says)
		}
	}
	if err := line.Only("web/**/other:*"); err != nil {
		t.Fatal(err)
	}
	if doc := must(line.Preview(t.Context(), PreviewOptions{}))(t); doc.Totals.Copy != 1 || doc.Totals.Skipped != 1 || len(doc.Plans) != 1 {
		t.Errorf("plan: %+v", doc.Totals)
	}
	if _, err := line.Sync(t.Context(), Wake{Why: "test", Resolve: true, Only: line.Selected()}); err != nil {
		t.Fatal(err)
	}
	if s.tag("mirror/snapshot/docker.io/library/other", "1") == (mirror.Digest{}) || s.tag("mirror/snapshot/docker.io/library/web", "1") != (mirror.Digest{}) || s.tag("mirror/snapshot/ghcr.io/team/pin", "1") != (mirror.Digest{}) {
		t.Errorf("tags: %v", testenv.TagsOf(s.local.Back()))
	}
	s.close()
	if got := s.sync(); got["web"].Plan.Count(mirror.Unchanged) != 2 || got["pins"].Plan.Count(mirror.Unchanged) != 1 {
		t.Errorf("the rest afterwards: %+v", got)
	}
}

func TestOnly_AnAtomicSetIsNotTornAboveTheFirstStage(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{"desired/policy.yaml": pinnedPolicy,
		"desired/ess.yaml": "version: 1\nsource: {kind: ess, file: ess/images_digests.yml}\nlayout: path\nrender: {element: {name: ess-images, namespace: ess}}\n"})
	web, synapse := s.push("docker.io/vectorim/element-web:v1", "web"), s.push("docker.io/matrixdotorg/synapse:v1", "synapse")
	s.commit("release", map[string]string{"desired/ess/images_digests.yml": imagesDigests(web, synapse)})
	s.sync()
	s.promote("ess", "snapshot", "staging")
	line := s.open()
	if err := line.Only("ess/synapse/*"); err != nil {
		t.Fatal(err)
	}
	reports := must(line.Sync(t.Context(), Wake{Why: "test", Resolve: true, Only: line.Selected()}))(t)
	held := kinds(reports[0].Plan, mirror.Refuse)
	if held["staging/synapse/synapse"] != mirror.NotWhole || s.tag("mirror/staging/docker.io/matrixdotorg/synapse", "v1") != (mirror.Digest{}) {
		t.Errorf("staging was torn: %v", reports[0].Plan.Actions)
	}
	for _, a := range reports[0].Plan.Actions {
		if a.Kind == mirror.Refuse && a.Key.Entry != "" && !strings.Contains(a.Reason.Detail, "element_web/element_web is not selected") {
			t.Errorf("it does not say why: %s", a.Reason)
		}
	}
}
