package daemon

import (
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/forge"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/plan"
	"github.com/poundlock/poundlock/testenv"
)

// forgeSite is a site whose fleet repository lies at a forge.
type forgeSite struct {
	*site
	forge *testenv.Forge
}

// reviewedAt puts a forge over the fleet repository of a site.
func (s *site) reviewedAt(kind string) *forgeSite {
	s.t.Helper()
	f := &forgeSite{s, must(testenv.NewForge(s.git, kind))(s.t)}
	s.t.Cleanup(f.forge.Stop)
	token := filepath.Join(s.dir, "forge-token")
	s.write(token, f.forge.Token("poundlock"))
	s.config += fmt.Sprintf("forge: {kind: %s, url: %q, repository: %s, token: {file: %q}, insecure: true}\n", kind, f.forge.URL(), f.forge.Repository(), token)
	return f
}

// proposes opens a proposal of a person that changes files, and gives its number and its head.
func (s *forgeSite) proposes(branch string, files map[string]string) (number int, head string) {
	s.t.Helper()
	head = must(s.forge.Push(branch, "change "+branch, files))(s.t)
	number = must(s.forge.Open(testenv.Opening{By: "alice", Head: branch, Title: branch}))(s.t)
	return number, head
}

// attends lets the desk have one turn over everything.
func (s *forgeSite) attends() {
	s.t.Helper()
	if err := s.line.serve(s.t.Context(), errand{all: true}); err != nil {
		s.t.Fatalf("desk: %v", err)
	}
}

// told gives the one comment on a proposal; "" for none.
func (s *forgeSite) told(number int) string {
	s.t.Helper()
	all := s.forge.Comments(number)
	if len(all) > 1 {
		s.t.Fatalf("%d comments on proposal %d, want one", len(all), number)
	}
	if len(all) == 0 {
		return ""
	}
	return all[0].Body
}

// is fails the test where a check of a commit is not as it should be.
func (s *forgeSite) is(commit, check, state, says string) {
	s.t.Helper()
	got := s.forge.Statuses(commit)[check]
	if got.State != state || !strings.Contains(got.Text, says) {
		s.t.Errorf("%s of %s: got %s %q, want %s with %q", check, brief(commit), got.State, got.Text, state, says)
	}
}

// stageOf writes the file of a stage.
func stageOf(images ...mirror.Reference) string {
	text := "version: 1\nentries:\n"
	for _, image := range images {
		text += "  " + image.Name() + ":" + image.Tag + ": " + image.String() + "\n"
	}
	return text
}

// reviewSite has two images in the first stage, signed by the vendor, and one that is not signed.
func reviewSite(t *testing.T) (s *forgeSite, web, tool mirror.Reference) {
	t.Helper()
	s = newSite(t, map[string]string{"desired/policy.yaml": vendorPolicy,
		"desired/tools.yaml": "version: 1\nsource: {kind: list, file: tools.txt}\nrender: {containerd: {}}\nlayout: path\n"}).reviewedAt("gitea")
	s.forge.AddUser("alice", false)
	web, tool = s.pushSigned("docker.io/library/web:1", "web"), s.pushSigned("ghcr.io/team/tool:2", "tool")
	s.commit("tools", map[string]string{"desired/tools.txt": list(web, tool)})
	s.sync()
	return s, web, tool
}

func TestReview_SaysOnTheProposalWhatAMergeWouldDo(t *testing.T) {
	t.Parallel()
	s, web, tool := reviewSite(t)
	n, head := s.proposes("rise", map[string]string{"stages/tools/staging.yaml": stageOf(web, tool)})
	s.attends()
	text := s.told(n)
	t.Log(text)
	for _, want := range []string{"Would be done", "tools/docker.io/library/web", "staging", mirror.Short(web.Digest), mirror.Short(tool.Digest), "signed by vendor",
		"rendered/demo/tools/staging/", "```diff", "Gates of tools at staging", "**previous** open", brief(head)} {
		if !strings.Contains(text, want) {
			t.Errorf("the comment lacks %q", want)
		}
	}
	s.is(head, checkPlan, "success", "to copy")
	s.is(head, checkPolicy, "success", "admitted")

	before := s.forge.Requests()
	s.attends()
	if n := s.forge.Requests() - before; n > 2 {
		t.Errorf("a look at what did not change cost %d requests, want the listings of open and of ended proposals alone", n)
	}
}

func TestReview_RefusesWhatCannotBeMerged(t *testing.T) {
	t.Parallel()
	s, web, tool := reviewSite(t)
	other := s.pushSigned("docker.io/library/web:9", "never stood")
	unsigned := s.push("quay.io/team/odd:1", "odd")
	tests := []struct {
		name           string
		files          map[string]string
		plan, policy   string
		says, comments string
	}{
		{"a digest that never stood below", map[string]string{"stages/tools/staging.yaml": strings.ReplaceAll(stageOf(web, tool), web.Digest.String(), other.Digest.String())},
			"success", "failure", "it never stood in snapshot", "it never stood in snapshot"},
		{"nobody signed it", map[string]string{"desired/tools.txt": list(web, tool, unsigned)}, "success", "failure", "signature", "Cannot be done"},
		{"what the daemon writes", map[string]string{"rendered/demo/tools/snapshot.yaml": "x\n"}, "failure", "failure", "", "PRP001"},
		{"an unknown entry", map[string]string{"stages/tools/staging.yaml": stageOf(web) + "  gone: nonsense\n"}, "failure", "failure", "", "stages/tools/staging.yaml:4"},
		{"a policy that is none", map[string]string{"desired/policy.yaml": "version: 1\nrulez: []\n"}, "failure", "failure", "", "rulez"},
		{"upstream has it not", map[string]string{"desired/tools.txt": list(web, tool) + "quay.io/team/none:1\n"}, "failure", "success", "", "missing upstream"},
		{"it leaves", map[string]string{"desired/tools.yaml": "", "desired/tools.txt": ""}, "success", "success", "", "would not be asked for any more"},
		{"nothing of ours", map[string]string{"README.md": "hello\n"}, "success", "success", "nothing", ""},
	}
	for i, tt := range tests {
		n, head := s.proposes("change-"+string(rune('a'+i)), tt.files)
		s.attends()
		t.Run(tt.name, func(t *testing.T) {
			text := s.told(n)
			if tt.comments == "" && text != "" || !strings.Contains(text, tt.comments) {
				t.Errorf("want %q in the comment, have %s", tt.comments, text)
			}
			(&forgeSite{&site{t: t}, s.forge}).is(head, checkPlan, tt.plan, "")
			(&forgeSite{&site{t: t}, s.forge}).is(head, checkPolicy, tt.policy, tt.says)
		})
	}
}

func TestReview_TellsOfBothSidesThatChangedAFile(t *testing.T) {
	t.Parallel()
	s, web, tool := reviewSite(t)
	n, head := s.proposes("rise", map[string]string{"stages/tools/staging.yaml": stageOf(web, tool)})
	s.commit("somebody was faster", map[string]string{"stages/tools/staging.yaml": stageOf(tool)})
	s.sync()
	s.is(head, checkPlan, "failure", "PRP003")
	if text := s.told(n); !strings.Contains(text, "stages/tools/staging.yaml") || !strings.Contains(text, "both sides") {
		t.Errorf("the comment does not tell of the conflict: %s", text)
	}
}

// TestReview_LeavesNoTrace holds the line that runs to what it knew before somebody, of a fork, proposed a lot.
func TestReview_LeavesNoTrace(t *testing.T) {
	t.Parallel()
	s, web, tool := reviewSite(t)
	later := s.pushSigned("docker.io/library/web:2", "web two")
	refs := must(s.git.Files("main"))(t)
	tags := s.tagsOf("mirror/snapshot/docker.io/library/web")
	head := must(s.forge.Push("mallory:main", "all mine", map[string]string{"desired/tools.txt": list(later, tool),
		"desired/policy.yaml": "version: 1\nrules: [{match: \"**\", require: {pinned: true}}]\n"}))(t)
	s.forge.AddUser("mallory", false)
	n := must(s.forge.Open(testenv.Opening{By: "mallory", Head: "mallory:main", Title: "@everyone"}))(t)
	s.attends()
	if text := s.told(n); !strings.Contains(text, mirror.Short(later.Digest)) {
		t.Errorf("the comment says nothing of the image: %s", text)
	}
	s.is(head, checkPolicy, "success", "admitted")
	if left := must(filepath.Glob(filepath.Join(s.line.config.StateDir, asideName+"*")))(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if _, seen := s.line.state.firstSight(later.Digest); seen {
		t.Error("the state says that we saw an image which is only proposed")
	}
	if got := s.tagsOf("mirror/snapshot/docker.io/library/web"); !maps.Equal(got, tags) {
		t.Errorf("tags moved: %v, were %v", got, tags)
	}
	if got := must(s.git.Files("main"))(t); !maps.Equal(got, refs) {
		t.Error("the branch changed")
	}
	for _, report := range s.sync() {
		if len(report.Moved) > 0 || report.Commit != "" {
			t.Errorf("the next sync did something: %v", report.Moved)
		}
	}
	_ = web
}

func TestReview_AHostileNameStandsForItselfOnly(t *testing.T) {
	t.Parallel()
	s, _, _ := reviewSite(t)
	n, _ := s.proposes("evil", map[string]string{"rendered/@everyone <!-- poundlock:plan:demo --> [x](http:/evil).md": "x\n"})
	s.attends()
	text := s.told(n)
	_, text, _ = strings.Cut(text, "###") // behind our own marker
	text, _, _ = strings.Cut(text, "\n<!-- poundlock")
	for _, bad := range []string{"@everyone", "<!--", "](http"} {
		if strings.Contains(text, bad) {
			t.Errorf("%q stands in the comment: %s", bad, text)
		}
	}
}

func TestReview_SaysOnTheMergeWhatBecameOfIt(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"merge", "squash", "rebase"} {
		t.Run(method, func(t *testing.T) {
			s, web, tool := reviewSite(t)
			n, _ := s.proposes("rise", map[string]string{"stages/tools/staging.yaml": stageOf(web, tool)})
			s.attends()
			commit := must(s.forge.Merge(n, "alice", method))(t)
			s.attends()
			if got := s.forge.Statuses(commit)[checkSync]; got.State == "success" {
				t.Errorf("told before anything was done: %q", got.Text)
			}
			s.sync()
			s.is(commit, checkSync, "success", "2 entries stand")
			if got := s.tag("mirror/staging/docker.io/library/web", "1"); got != web.Digest {
				t.Errorf("staging has %s, want %s", got, web.Digest)
			}
			s.now = s.now.Add(1)
			before := len(s.forge.Statuses(commit))
			s.open() // another process
			s.sync()
			if got := len(s.forge.Statuses(commit)); got != before {
				t.Errorf("a restart told it again: %d statuses, were %d", got, before)
			}
		})
	}
}

// What others brought to the branch while a proposal was open is not its own, whatever the way in which it was merged.
func TestReview_AMergeIsNotToldOfWhatOthersBrought(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"merge", "squash", "rebase"} {
		t.Run(method, func(t *testing.T) {
			s, web, tool := reviewSite(t)
			n, _ := s.proposes("rise", map[string]string{"stages/tools/staging.yaml": stageOf(web, tool)})
			s.attends()
			other := s.pushSigned("docker.io/library/web:9", "never stood")
			s.commit("meanwhile", map[string]string{"stages/tools/production.yaml": strings.ReplaceAll(stageOf(web, tool), web.Digest.String(), other.Digest.String())})
			commit := must(s.forge.Merge(n, "alice", method))(t)
			s.sync()
			s.is(commit, checkSync, "success", "2 entries stand")
		})
	}
}

func TestReview_SaysOnTheMergeWhyNothingCameOfIt(t *testing.T) {
	t.Parallel()
	s, web, tool := reviewSite(t)
	other := s.pushSigned("docker.io/library/web:9", "never stood")
	n, _ := s.proposes("rise", map[string]string{"stages/tools/staging.yaml": strings.ReplaceAll(stageOf(web, tool), web.Digest.String(), other.Digest.String())})
	commit := must(s.forge.Merge(n, "alice", "merge"))(t)
	s.sync()
	s.is(commit, checkSync, "failure", "never stood in snapshot")
	s.commit("mended", map[string]string{"stages/tools/staging.yaml": stageOf(web, tool)})
	s.sync()
	s.is(commit, checkSync, "success", "")
}

func TestReview_AForgeThatIsDownChangesNothingOfWhatIsSynced(t *testing.T) {
	t.Parallel()
	s, web, tool := reviewSite(t)
	s.forge.Fail(func(r *http.Request) *testenv.Fault { return &testenv.Fault{Status: 503} })
	s.commit("rise", map[string]string{"stages/tools/staging.yaml": stageOf(web, tool)})
	s.sync()
	if got := s.tag("mirror/staging/docker.io/library/web", "1"); got != web.Digest {
		t.Errorf("staging has %s, want %s", got, web.Digest)
	}
	s.forge.Fail(nil)
	n, head := s.proposes("later", map[string]string{"stages/tools/production.yaml": stageOf(web)})
	s.attends()
	if s.told(n) == "" {
		t.Error("no comment after the forge came back")
	}
	s.is(head, checkPlan, "success", "")
}

func TestReview_WhatDoesNotFitIsCutWithRefusalsFirst(t *testing.T) {
	v := bigReview(3000)
	for _, limit := range []int{65536, 10000, 3000} {
		text := v.markdown(limit)
		if n := len([]rune(text)); n > limit {
			t.Errorf("limit %d: %d characters", limit, n)
		}
		if !strings.Contains(text, "left out") || !strings.Contains(text, "refused: no signature") {
			t.Errorf("limit %d: neither what is left out nor a refusal: %.300s", limit, text)
		}
		if strings.Contains(text, "Would be done") && strings.Count(text, "refused:") != 30 {
			t.Errorf("limit %d: changes are shown before all refusals are", limit)
		}
	}
	if first, again := v.markdown(65536), v.markdown(65536); first != again {
		t.Error("the same review gives two texts")
	}
}

// bigReview is one of so many changes, of 30 refusals among them, and of large overrides.
func bigReview(n int) review {
	var actions []mirror.Action
	for i := range n {
		image := mirror.Reference{Host: "ghcr.io", Repository: fmt.Sprintf("team/app-%04d", i), Tag: "v1.2.3"}.WithDigest(mirror.DigestOf([]byte{byte(i), byte(i >> 8)}))
		a := mirror.Action{Kind: mirror.Copy, Key: mirror.Key{Set: "apps", Entry: image.Name()}, Stage: "production", Image: image, New: image.Digest, To: image,
			Basis: "signed by vendor", Gates: []mirror.Gate{{Name: "soak", Open: i%2 == 0, Why: fmt.Sprint("stood for ", i), Code: mirror.Soaking}}}
		if i >= n-30 {
			a.Kind, a.Reason = mirror.Refuse, mirror.Because(mirror.NoSignature, "no signature")
		}
		actions = append(actions, a)
	}
	v := review{proposal: forge.Proposal{Number: 1, HeadCommit: strings.Repeat("a", 40)}, site: "demo", base: strings.Repeat("b", 40), touched: []string{"stages/apps/production.yaml"}}
	v.plan = plan.NewDocument(plan.Sizes{}, mirror.Plan{Set: "apps", Actions: actions})
	v.overrides = []override{{"rendered/demo/apps/production/hosts.toml", []byte(strings.Repeat("old\n", 900)), []byte(strings.Repeat("new\n", 900))}}
	return v
}
