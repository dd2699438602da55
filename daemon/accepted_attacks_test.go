package daemon

import (
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/testenv"
)

const openPolicy = "version: 1\nrules: [{match: \"**\", require: {pinned: true}}]\ndefault: deny\n"

// oldLine puts the branch at a line that goes off at a commit: with a policy that nobody signed, and a commit of our
// own key on top of it.
func (s *vouchedSite) oldLine(from string) string {
	s.t.Helper()
	s.run("reset", "-q", "--hard", from)
	s.person("", "lets all in", map[string]string{"desired/policy.yaml": openPolicy})
	s.person("bot", "web: records", map[string]string{"rendered/demo/old": "x"})
	return s.force()
}

// Whoever can push can make us fetch the whole repository again. What was accepted last is known all the same: a
// commit of ours on an old line does not stand in for it.
func TestSignedFleet_AClonedAnewAcceptsNoOldLine(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		harm    func(clone string) error
		inForce bool // the clone was still good for what was accepted
	}{
		{"too many pieces", func(clone string) error { return os.WriteFile(filepath.Join(clone, "x.lock"), nil, 0o600) }, true},
		{"deleted", os.RemoveAll, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newVouchedSite(t)
			s.pushSigned("docker.io/library/web:1", "first")
			before := s.git.Head()
			s.sync()
			last, tags := s.git.Head(), fmt.Sprint(testenv.TagsOf(s.local.Back()))
			s.close()
			if err := tt.harm(filepath.Join(s.dir, "state", "git", "clone.git")); err != nil {
				t.Fatal(err)
			}
			s.oldLine(before)
			if _, err := s.trySync(); !slices.Equal(codesOf(err), []string{"GIT030"}) || tt.inForce != strings.Contains(err.Error(), "stays in force") || !strings.Contains(err.Error(), "trust.fleet.since") {
				t.Errorf("got %v", err)
			}
			if commit := s.line.accepted(); commit != last || fmt.Sprint(testenv.TagsOf(s.local.Back())) != tags {
				t.Errorf("accepted %s, tags %v", commit, testenv.TagsOf(s.local.Back()))
			}
			if f := s.line.fleet.Load(); (f != nil) != tt.inForce || f != nil && f.head != last {
				t.Errorf("in force: %v", f)
			}
		})
	}
}

// Without a state a commit of ours counts only upon since, and a line beside since waits for a person.
func TestSignedFleet_SinceHoldsWithoutAState(t *testing.T) {
	t.Parallel()
	s := newVouchedSite(t)
	first := s.pushSigned("docker.io/library/web:1", "first")
	before := s.git.Head()
	s.sync()
	s.latest()
	since := s.person("alice", "promote", stagingFile(first))
	s.force()
	s.sync()
	s.close()
	s.config = strings.Replace(s.config, "fleet: {", "fleet: {since: "+since+", ", 1)
	forget := func() {
		t.Helper()
		s.close()
		if err := os.RemoveAll(filepath.Join(s.dir, "state", "state.db")); err != nil {
			t.Fatal(err)
		}
		if s.open(); s.line.accepted() != "" {
			t.Fatal("the state was not forgotten")
		}
	}
	s.oldLine(before)
	forget()
	if _, err := s.trySync(); !slices.Contains(codesOf(err), "GIT030") || s.line.fleet.Load() != nil {
		t.Errorf("an old line with a commit of ours: %v", err)
	}
	s.run("reset", "-q", "--hard", before)
	s.person("alice", "another line", map[string]string{"desired/policy.yaml": vendorPolicy + "# another\n"})
	s.force()
	forget()
	_, _ = s.trySync()
	f := s.line.fleet.Load()
	if f == nil || f.rewritten == nil || f.rewritten.Code != "GIT031" || !strings.Contains(f.rewritten.What, "trust.fleet.since") || s.line.accepted() != "" {
		t.Fatalf("a signed line beside since: %+v", f)
	}
	head := s.line.fleet.Load().head
	if a, err := s.line.Acknowledge(t.Context(), head, "ops"); err != nil || !a.Needed || a.Was != since || s.line.accepted() != head {
		t.Errorf("acknowledge: %+v, %v", a, err)
	}
}

// since must name a commit of the repository: else nobody knows what is accepted as it is.
func TestSignedFleet_SinceMustNameACommit(t *testing.T) {
	t.Parallel()
	s := newVouchedSite(t)
	s.pushSigned("docker.io/library/web:1", "first")
	asked := s.config
	for name, id := range map[string]string{"a tree": s.run("rev-parse", "HEAD^{tree}"), "a file": s.run("rev-parse", "HEAD:desired/web.yaml"), "nothing": strings.Repeat("12", 20)} {
		s.close()
		s.config = strings.Replace(asked, "fleet: {", "fleet: {since: "+id+", ", 1)
		for range 2 {
			if _, err := s.trySync(); !slices.Equal(codesOf(err), []string{"CFG066"}) || !strings.Contains(err.Error(), "names no commit") {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := s.line.git.Inputs(s.git.Head()); err != nil {
			t.Errorf("%s: the clone took harm: %v", name, err)
		}
	}
	s.close()
	s.config = asked
	s.sync()
}

// Another folder of the repository was never judged, whatever was accepted and signed by us for the one before.
func TestSignedFleet_AnotherPathIsJudgedAnew(t *testing.T) {
	t.Parallel()
	s := newVouchedSite(t)
	s.pushSigned("docker.io/library/web:1", "first")
	s.sync()
	s.latest()
	s.person("", "not the fleet", map[string]string{"other/desired/policy.yaml": openPolicy, "other/desired/keys/vendor.pub": s.vendor.PublicPEM(), "other/desired/web.yaml": vouchedSet})
	s.person("alice", "the fleet", map[string]string{"desired/policy.yaml": vendorPolicy + "# y\n"})
	s.force()
	s.sync()
	if s.line.accepted() != s.git.Head() {
		t.Fatal("the test is about nothing: it was not accepted")
	}
	s.close()
	here := s.config
	s.config = strings.Replace(s.config, "  poll: 50ms", "  path: other\n  poll: 50ms", 1)
	if _, err := s.trySync(); !slices.Equal(codesOf(err), []string{"GIT030"}) || s.line.fleet.Load() != nil {
		t.Errorf("another path: %v", err)
	}
	s.close()
	s.config = here
	s.sync()
}

// Who may not change the fleet may not let a set go on that somebody suspended.
func TestSignedFleet_AnUnsignedPushLiftsNoSuspension(t *testing.T) {
	t.Parallel()
	s := newVouchedSite(t)
	s.pushSigned("docker.io/library/web:1", "first")
	s.sync()
	if _, err := s.line.Suspend(t.Context(), "web", "under attack", "ops"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.trySync(); len(codesOf(err)) > 0 {
		t.Fatalf("our own suspension does not count: %v", err)
	}
	s.latest()
	kept := s.run("rev-parse", "HEAD")
	s.person("", "lift it", map[string]string{"rendered/demo/suspended.yaml": ""})
	s.force()
	check := func(when string) {
		t.Helper()
		_, err := s.trySync()
		if !slices.Equal(codesOf(err), []string{"GIT030"}) || !strings.Contains(err.Error(), "rendered/demo/suspended.yaml") {
			t.Errorf("%s: %v", when, err)
		}
		if _, is := s.line.Suspended("web"); !is {
			t.Errorf("%s: it goes on", when)
		}
	}
	check("unsigned")
	s.close()
	check("in the next process")
	s.run("reset", "-q", "--hard", kept)
	s.person("alice", "by somebody who may", map[string]string{"rendered/demo/suspended.yaml": ""})
	s.force()
	s.sync()
	if _, is := s.line.Suspended("web"); is {
		t.Error("a signed commit does not lift it")
	}
}

// Without a key of our own a suspension of ours could be anybody's: it is refused instead of locking the fleet.
func TestSignedFleet_ASuspensionNeedsOurOwnKey(t *testing.T) {
	t.Parallel()
	s := newVouchedSite(t)
	s.pushSigned("docker.io/library/web:1", "first")
	s.config = strings.Replace(s.config, fmt.Sprintf("  signing: {format: ssh, key: {file: %q}}\n", s.path("bot")), "", 1)
	s.sync()
	head := s.git.Head()
	if _, err := s.line.Suspend(t.Context(), "web", "x", "ops"); !slices.Equal(codesOf(err), []string{"FLT033"}) || s.git.Head() != head {
		t.Errorf("got %v", err)
	}
}

// Whoever asks doctor, status or the metrics hears of a head that does not count, and of a rewritten history.
func TestSignedFleet_DoctorAndStatusTell(t *testing.T) {
	t.Parallel()
	s := newVouchedSite(t)
	s.pushSigned("docker.io/library/web:1", "first")
	before := s.git.Head()
	s.sync()
	gauges := func() string {
		w := httptest.NewRecorder()
		s.line.metrics.handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		var values []string
		for line := range strings.Lines(w.Body.String()) {
			if after, ok := strings.CutPrefix(line, "poundlock_fleet_"); ok {
				values = append(values, strings.TrimSpace(after))
			}
		}
		return strings.Join(values, ", ")
	}
	row := func() (state CheckState, code string) {
		t.Helper()
		c := s.line.config
		s.close() // without a daemon the state itself is asked
		checks := must(Doctor(t.Context(), c, false, s.clock))(t)
		_, _ = s.trySync()
		for _, c := range checks {
			if c.Group == "fleet" {
				if state = c.State; c.Problem != nil {
					code = c.Problem.Code
				}
			}
		}
		return state, code
	}
	if state, code := row(); state != CheckOK || gauges() != "refused 0, rewritten 0" {
		t.Errorf("at first: %s %s, %s", state, code, gauges())
	}
	s.latest()
	kept := s.run("rev-parse", "HEAD")
	bad := s.person("", "unsigned", map[string]string{"desired/policy.yaml": vendorPolicy + "# x\n"})
	s.force()
	_, _ = s.trySync()
	if state, code := row(); state != CheckFailed || code != "GIT030" || gauges() != "refused 1, rewritten 0" {
		t.Errorf("refused: %s %s, %s", state, code, gauges())
	}
	s.now = s.now.Add(time.Hour)
	status := must(s.line.Status(t.Context()))(t)
	if status.Git.Head != kept || status.Git.Refused != bad || !status.Sets[0].Retry.IsZero() {
		t.Errorf("status: %+v, retry %s", status.Git, status.Sets[0].Retry)
	}
	s.run("reset", "-q", "--hard", before)
	s.person("alice", "another history", map[string]string{"desired/policy.yaml": vendorPolicy + "# y\n"})
	s.force()
	s.sync()
	if state, code := row(); state != CheckWarning || code != "GIT031" || gauges() != "refused 0, rewritten 1" || s.line.Rewritten() == nil {
		t.Errorf("rewritten: %s %s, %s", state, code, gauges())
	}
	if held := must(s.line.Status(t.Context()))(t).Sets[0].Held; len(held) != 2 || held[0] != "staging" {
		t.Errorf("held: %v", held)
	}
	if _, err := s.line.Acknowledge(t.Context(), "", "ops"); err != nil || gauges() != "refused 0, rewritten 0" {
		t.Errorf("acknowledged: %v, %s", err, gauges())
	}
}

// A top folder that nobody can read is refused like any commit that does not count; the fleet before stays, and the
// repository is not fetched again at every look.
func TestSignedFleet_AMalformedTopFolderIsRefused(t *testing.T) {
	t.Parallel()
	s := newVouchedSite(t)
	s.pushSigned("docker.io/library/web:1", "first")
	s.sync()
	s.latest()
	last := s.run("rev-parse", "HEAD")
	entry := "100644 blob " + s.run("rev-parse", "HEAD:desired/web.yaml") + "\tzz\n"
	list := s.run("ls-tree", "HEAD") + "\n" + entry + entry
	file := filepath.Join(s.dir, "tree")
	if err := os.WriteFile(file, []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	tree := s.shell("git mktree < " + file)
	bad := s.run("commit-tree", tree, "-p", "HEAD", "-m", "malformed")
	s.shell("cp -r .git/objects " + s.git.Dir())
	if err := s.git.Point("main", bad); err != nil {
		t.Fatal(err)
	}
	mark := filepath.Join(s.dir, "state", "git", "clone.git", "is-the-same")
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := s.trySync(); !slices.Equal(codesOf(err), []string{"GIT030"}) || !strings.Contains(err.Error(), "its top folder cannot be read") {
			t.Errorf("got %v", err)
		}
	}
	if f := s.line.fleet.Load(); f == nil || f.head != last {
		t.Errorf("in force: %v", f)
	}
	if _, err := os.Stat(mark); err != nil {
		t.Error("the clone was made anew")
	}
	s.run("reset", "-q", "--hard", last)
	s.person("alice", "good", map[string]string{"desired/policy.yaml": vendorPolicy + "# z\n"})
	s.force()
	s.sync()
}
