package daemon

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/plan"
	"github.com/poundlock/poundlock/testenv"
)

const listedTool = "ghcr.io/team/tool"

// listingSite is a site with a set of kind oci, of which upstream has the versions 1.0.0 to 1.<n-1>.0, all signed.
func listingSite(t *testing.T, n int, more string) *site {
	t.Helper()
	s := newSite(t, map[string]string{"desired/policy.yaml": vendorPolicy,
		"desired/tools.yaml": "version: 1\nsource: {kind: oci, repository: " + listedTool + ", tags: {semver: \">=1\"}}\nlayout: path\n" + more})
	for i := range n {
		s.version(i)
	}
	return s
}

// version puts a version upstream.
func (s *site) version(i int) mirror.Reference {
	s.t.Helper()
	return s.pushSigned(fmt.Sprintf("%s:1.%d.0", listedTool, i), fmt.Sprint("tool", i))
}

// snapshot lists the tags that stand at the first stage by the record.
func (s *site) snapshot() string {
	s.t.Helper()
	var tags []string
	for line := range strings.Lines(s.file("rendered/demo/tools/snapshot.yaml")) {
		if _, image, ok := strings.Cut(strings.TrimSpace(line), ": "); ok && strings.Contains(image, "@sha256:") {
			tags = append(tags, strings.Trim(must(mirror.ParseReference(strings.Trim(image, `"`)))(s.t).Tag, `"`))
		}
	}
	return strings.Join(tags, " ")
}

// answers lets upstream answer every question for tags in its own way.
func (s *site) answersTags(f testenv.Fault) {
	s.upstream.Proxy().Break(testenv.Always(testenv.OfKind(testenv.TagList), f))
}

// unlisted gives the row of a plan that stands for what a source would name.
func unlisted(p mirror.Plan) (mirror.Action, bool) {
	i := slices.IndexFunc(p.Actions, func(a mirror.Action) bool { return a.Kind == mirror.Failed && a.Key.Entry == "" })
	if i < 0 {
		return mirror.Action{}, false
	}
	return p.Actions[i], true
}

func TestListing_AnUnchangedCycleCostsOneListAndOneHeadForEachTag(t *testing.T) {
	t.Parallel()
	s := listingSite(t, 3, "")
	s.sync()
	if got := s.snapshot(); got != "1.0.0 1.1.0 1.2.0" {
		t.Fatalf("stands %q", got)
	}
	head := s.git.Head()
	s.upstream.Proxy().Reset()
	s.now = s.now.Add(6 * time.Hour)
	s.sync()
	counts := s.upstream.Proxy().Counts()
	if counts.Of(testenv.TagList) != 1 || counts.Of(testenv.ManifestHead) != 3 || counts.Total() != 4 || s.git.Head() != head {
		t.Errorf("unchanged: %+v, commit %t", counts, s.git.Head() != head)
	}
	s.upstream.Proxy().Reset()
	s.cycle(Wake{Why: "audit", Audit: true})
	if n := s.upstream.Proxy().Counts().Total(); n != 0 {
		t.Errorf("an audit asks upstream %d times", n)
	}
	s.version(3)
	s.sync()
	if got := s.snapshot(); got != "1.0.0 1.1.0 1.2.0 1.3.0" {
		t.Errorf("stands %q", got)
	}
	s.whole()
}

// What cannot be asked, is empty or shrank takes nothing away and is told; what is well again ends it.
func TestListing_ABadAnswerRemovesNothing(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		fault testenv.Fault
		says  string
	}{
		{"down", testenv.Fault{Status: http.StatusInternalServerError}, "500"},
		{"gone", testenv.Fault{Status: http.StatusNotFound}, "404"},
		{"no tags", testenv.Fault{Status: http.StatusOK, Body: `{"name":"team/tool","tags":[]}`}, "no tag of " + listedTool + " passes the rules"},
		{"no list", testenv.Fault{Status: http.StatusOK, Body: `{"name":"team/tool","tags":null}`}, "no tag of"},
		{"nonsense", testenv.Fault{Status: http.StatusOK, Body: `<html>`}, "invalid character"},
		{"shrank", testenv.Fault{Status: http.StatusOK, Body: `{"name":"team/tool","tags":["1.0.0"]}`}, "upstream names 1 entries, where it named 4 before"},
		{"others that are not there", testenv.Fault{Status: http.StatusOK, Body: `{"name":"team/tool","tags":["2.0.0","2.1.0","2.2.0","2.3.0"]}`}, "upstream names 0 of the 4 entries that it named before"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := listingSite(t, 4, "")
			s.sync()
			head := s.git.Head()
			s.answersTags(tt.fault)
			for range 2 { // the second time after a restart
				s.open()
				r := s.sync()["tools"]
				row, ok := unlisted(r.Plan)
				if !ok || row.Reason.Code != mirror.UpstreamFailed || !strings.Contains(row.Reason.String(), tt.says) || row.Where.File != "desired/tools.yaml" {
					t.Errorf("the plan says %+v", row)
				}
				if run, _ := s.line.progress("tools").lastRun(); run.Outcome != OutcomeFailed || run.Failed != 1 {
					t.Errorf("the run says %+v", run)
				}
				if s.git.Head() != head {
					t.Errorf("it was taken: %s", s.snapshot())
				}
				if err := s.line.ready(); err != nil {
					t.Errorf("the line is not ready: %v", err)
				}
			}
			s.upstream.Proxy().Break(nil)
			s.version(4)
			r := s.sync()["tools"]
			if _, still := unlisted(r.Plan); still || s.snapshot() != "1.0.0 1.1.0 1.2.0 1.3.0 1.4.0" {
				t.Errorf("well again: %s", s.snapshot())
			}
		})
	}
}

func TestListing_ShrinksWhereThatIsAllowedOrTheSourceWasEdited(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string][2]string{"allowed": {"}}\n", "}, shrink: allow}\n"}, "edited": {">=1", ">=1 <1.1"}} {
		s := listingSite(t, 4, "")
		s.sync()
		s.answersTags(testenv.Fault{Status: http.StatusOK, Body: `{"name":"team/tool","tags":["1.0.0"]}`})
		s.commit(name, map[string]string{"desired/tools.yaml": strings.Replace(s.file("desired/tools.yaml"), edit[0], edit[1], 1)})
		s.sync()
		if got := s.snapshot(); got != "1.0.0" {
			t.Errorf("%s: stands %q", name, got)
		}
	}
}

// A failed question is asked again by itself, and what fails is told once.
func TestListing_IsAskedAgainAfterAWhile(t *testing.T) {
	t.Parallel()
	s := listingSite(t, 1, "")
	s.answersTags(testenv.Fault{Status: http.StatusForbidden})
	s.sync()
	if n := len(s.events(EventFailed)); n != 1 {
		t.Errorf("told %d times", n)
	}
	s.upstream.Proxy().Reset()
	s.cycle(Wake{Why: "poll"})
	if n := s.upstream.Proxy().Counts().Of(testenv.TagList); n != 0 {
		t.Errorf("asked %d times before it was due", n)
	}
	s.now = s.now.Add(lastRetry)
	s.cycle(Wake{Why: "retry", Local: true})
	if n := s.upstream.Proxy().Counts().Of(testenv.TagList); n != 1 || len(s.events(EventFailed)) != 1 {
		t.Errorf("asked %d times when it was due, told %d times", n, len(s.events(EventFailed)))
	}
	s.upstream.Proxy().Break(nil)
	s.now = s.now.Add(lastRetry)
	s.cycle(Wake{Why: "retry", Local: true})
	s.sync()
	if got := s.snapshot(); got != "1.0.0" {
		t.Errorf("stands %q", got)
	}
}

// A misspelt pattern is told by the plan: what the source names is not known when the fleet is checked.
func TestListing_ASelectionThatFitsNothingChangesNothing(t *testing.T) {
	t.Parallel()
	s := listingSite(t, 2, "")
	s.sync()
	before := s.snapshot()
	good := s.file("desired/tools.yaml")
	for _, tt := range []struct{ text, code string }{
		{"exclude: [\"**/tol:*\"]\n", "SRC002"},
		{"replace: {nobody: {image: \"ghcr.io/own/x:1\"}}\n", "SRC003"},
		{"exclude: [\"**\"]\n", "SRC004"},
	} {
		s.commit("edit", map[string]string{"desired/tools.yaml": good + tt.text})
		r := s.sync()["tools"]
		row, ok := unlisted(r.Plan)
		if !ok || row.Reason.Problem != tt.code || row.Reason.Fix == "" || row.Where.Line == 0 {
			t.Errorf("%s: the plan says %+v", tt.code, row)
		}
		if got := s.snapshot(); tt.code != "SRC004" && got != before {
			t.Errorf("%s: stands %q", tt.code, got)
		}
	}
	s.commit("mended", map[string]string{"desired/tools.yaml": good + "exclude: [\"**/tool:1.0.0\"]\n"})
	s.sync()
	if got := s.snapshot(); got != "1.1.0" {
		t.Errorf("stands %q", got)
	}
}

// The state is gone and upstream is down: what stands stays, and a revert of a promotion works.
func TestListing_WithoutStateAndUpstreamARevertWorks(t *testing.T) {
	t.Parallel()
	s := listingSite(t, 2, "")
	s.sync()
	one, two := s.image("1.0.0"), s.image("1.1.0")
	lines := func(images ...mirror.Reference) map[string]string {
		text := "version: 1\nentries:\n"
		for _, r := range images {
			text += fmt.Sprintf("  %q: %s\n", r.WithDigest(mirror.Digest{}).String(), r)
		}
		return map[string]string{"stages/tools/staging.yaml": text}
	}
	s.commit("one", lines(one))
	s.sync()
	s.commit("two", lines(one, two))
	s.sync()
	if s.tag("mirror/staging/"+listedTool, "1.1.0") != two.Digest {
		t.Fatal("it was not promoted")
	}
	snapshot := s.snapshot()
	s.close()
	if err := os.RemoveAll(filepath.Join(s.dir, "state")); err != nil {
		t.Fatal(err)
	}
	s.upstream.Proxy().Break(testenv.Always(func(*http.Request) bool { return true }, testenv.Fault{Status: http.StatusServiceUnavailable}))
	s.commit("back to one", lines(one))
	r := s.sync()["tools"]
	if _, ok := unlisted(r.Plan); !ok {
		t.Error("the plan does not say that upstream could not be asked")
	}
	if got := s.snapshot(); got != snapshot {
		t.Errorf("stands %q, stood %q", got, snapshot)
	}
	if record := s.file("rendered/demo/record/tools/staging.yaml"); !strings.Contains(record, one.Digest.Hex) || strings.Contains(strings.SplitN(record, "left:", 2)[0], "image: "+two.String()) {
		t.Errorf("after the revert:\n%s", record)
	}
	s.upstream.Proxy().Break(nil)
	s.version(2)
	s.sync()
	if got := s.snapshot(); got != "1.0.0 1.1.0 1.2.0" {
		t.Errorf("upstream is back: stands %q", got)
	}
}

// image gives what stands of the tool at the first stage.
func (s *site) image(tag string) mirror.Reference {
	s.t.Helper()
	return must(mirror.ParseReference(listedTool + ":" + tag))(s.t).WithDigest(s.tag("mirror/snapshot/"+listedTool, tag))
}

// An edit of the record by anybody asks for nothing, also while upstream cannot be asked.
func TestListing_AnEditedRecordAsksForNothing(t *testing.T) {
	t.Parallel()
	for _, wiped := range []bool{false, true} {
		s := listingSite(t, 1, "")
		s.sync()
		other := s.pushSigned("quay.io/somebody/else:1", "else")
		record := s.file("rendered/demo/record/tools/snapshot.yaml")
		name := "rendered/demo/tools/snapshot.yaml"
		edited := strings.Replace(s.file(name), "entries:\n", fmt.Sprintf("entries:\n  aaa: %s\n", other), 1)
		s.commit("sneak", map[string]string{name: edited, "rendered/demo/record/tools/snapshot.yaml": strings.ReplaceAll(record, "ghcr.io/team/tool:1.0.0:", "aaa:")})
		s.answersTags(testenv.Fault{Status: http.StatusForbidden})
		if wiped {
			s.close()
			if err := os.RemoveAll(filepath.Join(s.dir, "state")); err != nil {
				t.Fatal(err)
			}
		}
		r := s.sync()["tools"]
		if i := slices.IndexFunc(r.Plan.Actions, func(a mirror.Action) bool { return a.Key.Entry == "aaa" && a.Kind != mirror.Drop }); i >= 0 {
			t.Errorf("wiped %t: %+v", wiped, r.Plan.Actions[i])
		}
		if s.tag("mirror/snapshot/quay.io/somebody/else", "1") != (mirror.Digest{}) {
			t.Errorf("wiped %t: it was copied", wiped)
		}
	}
}

// A preview asks where the last answer is too old, and offline tells what is known.
func TestListing_Preview(t *testing.T) {
	t.Parallel()
	s := listingSite(t, 1, "")
	s.sync()
	s.close() // what only looks takes the state that is there
	s.version(1)
	entries := func(d plan.Document) (n int, row *plan.Row) {
		for i, a := range d.Plans[0].Actions {
			switch {
			case a.Key.Entry != "":
				n++
			case a.Kind == mirror.Failed:
				row = &d.Plans[0].Actions[i]
			}
		}
		return n, row
	}
	s.upstream.Proxy().Reset()
	if n, row := entries(s.preview(PreviewOptions{MaxAge: time.Hour})); n != 1 || row != nil || s.upstream.Proxy().Counts().Total() > 0 {
		t.Errorf("young: %d entries, %+v, %+v", n, row, s.upstream.Proxy().Counts())
	}
	s.now = s.now.Add(2 * time.Hour)
	if n, _ := entries(s.preview(PreviewOptions{MaxAge: time.Hour})); n != 2 {
		t.Errorf("old: %d entries", n)
	}
	if n, _ := entries(s.preview(PreviewOptions{Refresh: true})); n != 2 {
		t.Errorf("refreshed: %d entries", n)
	}
	s.answersTags(testenv.Fault{Status: http.StatusForbidden})
	down := s.preview(PreviewOptions{Refresh: true})
	if n, row := entries(down); n != 1 || row == nil {
		t.Errorf("down: %d entries, %+v", n, row)
	}
	var shown strings.Builder
	if err := plan.Rows(&shown, down, plan.Style{}); err != nil || !strings.Contains(shown.String(), "(source)") || !strings.Contains(shown.String(), "desired/tools.yaml:2") {
		t.Errorf("shown as:\n%s%v", &shown, err)
	}
	d, err := s.looks(PreviewOptions{}, true)
	if n, row := entries(d); err != nil || n != 1 || row != nil {
		t.Errorf("offline: %d entries, %+v: %v", n, row, err)
	}
	if err := os.Remove(filepath.Join(s.dir, "state", "state.db")); err != nil {
		t.Fatal(err)
	}
	d, err = s.looks(PreviewOptions{}, true)
	if n, row := entries(d); err != nil || n != 1 || row == nil || row.Reason.Code != mirror.Offline {
		t.Errorf("offline and nothing known: %d entries, %+v: %v", n, row, err)
	}
}

// Two daemons that asked at different times do not undo what the other one listed.
func TestListing_TwoDaemons(t *testing.T) {
	t.Parallel()
	s := listingSite(t, 1, "")
	two := s.twin()
	s.sync()
	two.sync()
	s.version(1)
	s.sync()
	head := s.git.Head()
	two.cycle(Wake{Why: "audit", Audit: true}) // its own answer is of before
	two.sync()
	if got := s.snapshot(); got != "1.0.0 1.1.0" || s.git.Head() != head {
		t.Errorf("stands %q, and a commit was made: %t", got, s.git.Head() != head)
	}
	s.version(2)
	s.sync()
	s.answersTags(testenv.Fault{Status: http.StatusForbidden})
	two.cycle(Wake{Why: "audit", Audit: true})
	if got := s.snapshot(); got != "1.0.0 1.1.0 1.2.0" {
		t.Errorf("upstream answers only the other one: stands %q", got)
	}
	s.upstream.Proxy().Break(nil)
	rest(t, s, two)
}

// Every reader of a fleet sees the entries, and the names of the last answer complete commands.
func TestListing_IsSeenByAll(t *testing.T) {
	t.Parallel()
	s := listingSite(t, 2, "")
	s.sync()
	look := must(s.line.Look(t.Context()))(t)
	if look.Sets[0].Entries != 2 || look.Sets[0].Stages[0].AsWanted != 2 {
		t.Errorf("look: %+v", look.Sets[0])
	}
	if _, err := s.line.Trace(t.Context(), listedTool+":1.1.0"); err != nil {
		t.Errorf("trace: %v", err)
	}
	names := must(LastNames(t.Context(), s.line.config))(t)
	if !slices.Contains(names.Entries, "tools/"+listedTool+":1.1.0") {
		t.Errorf("names: %v", names.Entries)
	}
	if err := s.line.Only("tools/" + listedTool + ":1.1.0"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.line.Preview(t.Context(), PreviewOptions{MaxAge: time.Hour}); err != nil {
		t.Errorf("--only: %v", err)
	}
}
