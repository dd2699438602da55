package daemon

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/plan"
	"github.com/poundlock/poundlock/testenv"
)

// rendered gives the files below rendered/ of the fleet repository as it is now.
func (s *site) rendered() mirror.Files {
	s.t.Helper()
	line := s.looking(false)
	f := must(line.refresh(s.t.Context()))(s.t)
	return must(line.git.Files(f.head, "rendered"))(s.t)
}

// differing lists the files that are not the same in both.
func differing(before, after mirror.Files) []string {
	all := maps.Clone(before)
	maps.Copy(all, after)
	var names []string
	for name := range all {
		is, stays := after[name]
		was, stood := before[name]
		if stays != stood || !bytes.Equal(is, was) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func rows(d plan.Document, kind mirror.Kind) []plan.Row {
	var found []plan.Row
	for _, p := range d.Plans {
		for _, row := range p.Actions {
			if row.Kind == kind {
				found = append(found, row)
			}
		}
	}
	return found
}

// The plan is true: the files that it shows are those that the sync changes, and where it says that nothing changes
// no commit comes.
func TestPreview_ShowsEveryFileThatASyncCommits(t *testing.T) {
	const web = "version: 1\nsource: {kind: list, file: web.txt}\nlayout: path\nrender: {containerd: {}}\n"
	for _, tt := range []struct {
		name  string
		move  func(s *site, one, two mirror.Reference)
		drops []string // stage and entry
	}{
		{"nothing", func(*site, mirror.Reference, mirror.Reference) {}, nil},
		{"documentation", func(s *site, _, _ mirror.Reference) { s.commit("docs", map[string]string{"README.md": "x\n"}) }, nil},
		{"a line more", func(s *site, one, two mirror.Reference) {
			s.commit("more", map[string]string{"desired/web.txt": list(one, two, s.push("docker.io/library/three:1", "three"))})
		}, nil},
		{"another version", func(s *site, one, _ mirror.Reference) {
			s.commit("newer", map[string]string{"desired/web.txt": list(one, s.push("docker.io/library/two:2", "two, newer"))})
		}, []string{"snapshot docker.io/library/two:1"}},
		{"a line gone", func(s *site, one, _ mirror.Reference) {
			s.commit("less", map[string]string{"desired/web.txt": list(one)})
		}, []string{"snapshot docker.io/library/two:1"}},
		{"a demotion", func(s *site, _, _ mirror.Reference) {
			lines := strings.Split(s.file("stages/web/staging.yaml"), "\n")
			lines = slices.DeleteFunc(lines, func(l string) bool { return strings.Contains(l, "library/two") })
			s.commit("demote", map[string]string{"stages/web/staging.yaml": strings.Join(lines, "\n")})
		}, []string{"staging docker.io/library/two:1"}},
		{"an edit by hand", func(s *site, _, _ mirror.Reference) {
			s.commit("by hand", map[string]string{"rendered/demo/web/snapshot.yaml": "# mine\n" + s.file("rendered/demo/web/snapshot.yaml")})
		}, nil},
		{"a stray file", func(s *site, _, _ mirror.Reference) {
			s.commit("by hand", map[string]string{"rendered/demo/web/stray.yaml": "x: 1\n"})
		}, nil},
		{"a comment", func(s *site, one, two mirror.Reference) {
			s.commit("comment", map[string]string{"desired/web.txt": "# why\n" + list(one, two)})
		}, nil},
		{"a refusal more", func(s *site, one, two mirror.Reference) {
			s.push("docker.io/library/tagged:1", "tagged")
			s.commit("refused", map[string]string{"desired/web.txt": list(one, two) + "docker.io/library/tagged:1\n"})
		}, nil},
		{"no overrides", func(s *site, _, _ mirror.Reference) {
			s.commit("no overrides", map[string]string{"desired/web.yaml": strings.Replace(web, "render: {containerd: {}}\n", "", 1)})
		}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, map[string]string{"desired/policy.yaml": pinnedPolicy, "desired/web.yaml": web, "desired/web.txt": "docker.io/library/none:1\n"})
			one, two := s.push("docker.io/library/one:1", "one"), s.push("docker.io/library/two:1", "two")
			s.commit("two", map[string]string{"desired/web.txt": list(one, two)})
			s.sync()
			s.promote("web", "snapshot", "staging")
			s.sync()
			s.close()
			tt.move(s, one, two)
			s.now = s.now.Add(time.Minute)
			before := s.rendered()
			doc := s.preview(PreviewOptions{MaxAge: time.Hour, Sizes: true})
			s.sync()
			want := differing(before, s.rendered())
			var files, drops []string
			for _, row := range rows(doc, mirror.Render) {
				if files = append(files, row.Path); row.Where.File != "desired/web.yaml" || row.Where.Line == 0 {
					t.Errorf("%s: nothing says why: %+v", row.Path, row.Where)
				}
			}
			for _, row := range rows(doc, mirror.Drop) {
				if drops = append(drops, string(row.Stage)+" "+row.Key.Entry); row.Where.File == "" || row.Image.IsZero() {
					t.Errorf("%s: %+v", row.Key, row)
				}
			}
			if !slices.Equal(files, want) || !slices.Equal(drops, tt.drops) {
				t.Errorf("files %q, the sync changed %q; dropped %q, want %q", files, want, drops, tt.drops)
			}
			if doc.Totals.Changes() != (len(want) > 0) {
				t.Errorf("it says that there are changes: %t; %+v", doc.Totals.Changes(), doc.Totals)
			}
			s.close()
			if doc = s.preview(PreviewOptions{MaxAge: time.Hour, Sizes: true}); doc.Totals.Changes() {
				t.Errorf("afterwards: %+v", doc.Totals)
			}
		})
	}
}

func TestPreview_TellsOfASetThatNobodyAsksForAnyMore(t *testing.T) {
	s := webSite(t)
	s.sync()
	s.close()
	s.commit("away", map[string]string{"desired/web.yaml": "", "desired/web.txt": ""})
	doc := s.preview(PreviewOptions{})
	if len(doc.Orphans) != 1 || doc.Orphans[0] != (plan.Orphan{Set: "web", Folder: "rendered/demo/web"}) || doc.Totals.Changes() {
		t.Errorf("got %+v, %+v", doc.Orphans, doc.Totals)
	}
}

func TestPreview_ADigestThatUpstreamLostIsMissing(t *testing.T) {
	s := webSite(t)
	lost := must(mirror.ParseReference("docker.io/library/web:2@sha256:" + strings.Repeat("ab", 32)))(t)
	s.commit("lost", map[string]string{"desired/web.txt": list(lost)})
	check := func(when string, o PreviewOptions, before bool) {
		t.Helper()
		doc := s.preview(o)
		missing := rows(doc, mirror.Missing)
		if len(missing) != 1 || doc.Totals.Changes() && before || doc.Totals.Copy != 0 || missing[0].AsBefore != before {
			t.Fatalf("%s: %+v", when, doc.Totals)
		}
		if row := missing[0]; row.Reason.Code != mirror.UpstreamMissing || !strings.Contains(row.Fix, "name a current version") || !strings.Contains(row.Fix, "stays") {
			t.Errorf("%s: %+v", when, row)
		}
	}
	check("before a run", PreviewOptions{Sizes: true}, false)
	reports := s.sync()
	if n := reports["web"].Plan.Count(mirror.Missing); n != 1 {
		t.Fatalf("the sync: %+v", reports)
	}
	s.close()
	s.quiet()
	check("after a run", PreviewOptions{Sizes: true, MaxAge: time.Hour}, true)
	if up, local := s.asked(); up+local > 0 {
		t.Errorf("%d upstream and %d local requests for what the last run found", up, local)
	}
	check("asked anew", PreviewOptions{Sizes: true, Refresh: true}, true)
	if s.upstream.Proxy().Counts().Total() == 0 {
		t.Error("a refresh did not ask")
	}
	if _, err := s.follows(s.save()); err != nil {
		t.Errorf("a saved plan with a missing digest: %v", err)
	}
}

func TestPreview_SaysWhoDoesNotLetUsIn(t *testing.T) {
	s := newSite(t, map[string]string{"desired/policy.yaml": pinnedPolicy,
		"desired/web.yaml": "version: 1\nsource: {kind: list, images: [\"docker.io/library/web:1\"]}\nlayout: path\n"})
	s.push("docker.io/library/web:1", "web")
	for _, tt := range []struct {
		fault   testenv.Fault
		problem string
		says    string
	}{
		{testenv.Fault{Status: 401}, "AUTH002", "as anonymous"},
		{testenv.Fault{Status: 429, RetryAfter: 2 * time.Minute}, "RATE001", "wait 2m0s"},
	} {
		s.upstream.Proxy().Break(testenv.Always(testenv.OfKind(testenv.ManifestHead), tt.fault))
		failed := rows(s.preview(PreviewOptions{Refresh: true}), mirror.Failed)
		if len(failed) != 1 || failed[0].Reason.Problem != tt.problem || !strings.Contains(failed[0].Reason.Detail, tt.says) || failed[0].Fix == "" || strings.Contains(failed[0].Fix, "doctor") {
			t.Errorf("%s: %+v", tt.problem, failed)
		}
	}
}

func TestOnly_NothingIsNotEverything(t *testing.T) {
	s := webSite(t)
	line := s.looking(false)
	for _, text := range []string{"", "web/", "/x", "web/["} {
		var problems mirror.Problems
		if err := line.Only(text); !errors.As(err, &problems) || problems[0].Code != noSuch || problems[0].Where.File != "" || problems[0].Fix == "" {
			t.Errorf("--only %q: %v", text, err)
		}
	}
}

func TestSavedPlan_AForgedOneIsRefused(t *testing.T) {
	s := taggedSite(t)
	file := s.save()
	for name, forge := range map[string]func(*SavedPlan){
		"no set":         func(p *SavedPlan) { p.Plans = nil },
		"an unknown set": func(p *SavedPlan) { p.Plans[0].Set = "web/**" },
		"a set twice":    func(p *SavedPlan) { p.Plans = append(p.Plans, p.Plans[0]) },
	} {
		forged := must(ReadSavedPlan(file))(t)
		forge(&forged)
		forged.Seal = must(forged.seal())(t)
		bad := filepath.Join(t.TempDir(), "bad.plan")
		if err := os.WriteFile(bad, must(json.Marshal(forged))(t), 0o600); err != nil {
			t.Fatal(err)
		}
		var problems mirror.Problems
		if _, err := s.follows(bad); !errors.As(err, &problems) || problems[0].Code != "PLN003" {
			t.Errorf("%s: %v", name, err)
		}
		if n := s.local.Proxy().Counts().Writes(); n != 0 {
			t.Errorf("%s: %d writes", name, n)
		}
		s.close()
	}
}

func TestTemporary_WhatAKilledCommandLeftIsRemoved(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	old := time.Now().Add(-time.Hour)
	var dirs []string
	for _, name := range []string{"poundlock-look-left", "poundlock-look-held", "poundlock-other"} {
		dir := filepath.Join(os.TempDir(), name)
		if err := os.MkdirAll(filepath.Join(dir, "git"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(dir, old, old); err != nil {
			t.Fatal(err)
		}
		dirs = append(dirs, dir)
	}
	held := must(flock(dirs[1]))(t)
	defer held.Close()
	fresh := filepath.Join(os.TempDir(), "poundlock-look-fresh")
	if err := os.Mkdir(fresh, 0o700); err != nil {
		t.Fatal(err)
	}
	sweepTemporary(time.Now())
	for i, stays := range []bool{false, true, true} {
		if _, err := os.Stat(dirs[i]); (err == nil) != stays {
			t.Errorf("%s: %v, want it to stay: %t", dirs[i], err, stays)
		}
	}
	if _, err := os.Stat(fresh); err != nil {
		t.Errorf("one that is just being made: %v", err)
	}
	if _, err := flock(dirs[1]); !errors.Is(err, syscall.EWOULDBLOCK) {
		t.Errorf("a folder in use: %v", err)
	}
}
