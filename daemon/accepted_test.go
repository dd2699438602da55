package daemon

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// vouchedSite is a site whose fleet is written with the real git binary by people who sign, or do not.
type vouchedSite struct {
	*site
	checkout string
	ticks    int64
}

const vouchedSet = "version: 1\nsource: {kind: list, images: [\"docker.io/library/web:1\"]}\nlayout: path\nrender: {containerd: {}}\n"

// newVouchedSite is a site with the set web, whose first commit alice signed. Poundlock signs, too.
func newVouchedSite(t *testing.T) *vouchedSite {
	t.Helper()
	for _, tool := range []string{"git", "ssh-keygen"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("there is no %s", tool)
		}
	}
	s := &vouchedSite{site: newSite(t, map[string]string{}), checkout: t.TempDir()}
	s.ticks = s.now.Unix() - 1e6
	for _, name := range []string{"alice", "mallory", "bot", "forge"} {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		block := must(ssh.MarshalPrivateKey(key, name))(t)
		private := pem.EncodeToMemory(block)
		signer := must(ssh.ParsePrivateKey(private))(t)
		s.write(name, string(private))
		s.write(name+".pub", string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
	}
	s.allow("alice", "bot")
	s.config = strings.Replace(s.config, "  insecure: true\n  poll", fmt.Sprintf("  insecure: true\n  signing: {format: ssh, key: {file: %q}}\n  poll", s.path("bot")), 1) +
		fmt.Sprintf("trust:\n  fleet: {allowedSigners: %q}\n", s.path("allowed"))
	s.run("init", "-q", "-b", "main")
	s.run("remote", "add", "origin", s.git.Dir())
	s.person("alice", "the fleet", map[string]string{"desired/policy.yaml": vendorPolicy, "desired/keys/vendor.pub": s.vendor.PublicPEM(), "desired/web.yaml": vouchedSet})
	s.force()
	return s
}

func (s *vouchedSite) path(name string) string { return filepath.Join(s.dir, "key-"+name) }

func (s *vouchedSite) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(s.path(name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// allow writes the file of allowed signers.
func (s *vouchedSite) allow(names ...string) {
	s.t.Helper()
	var b strings.Builder
	for _, name := range names {
		fmt.Fprintf(&b, "%s@corp %s", name, must(os.ReadFile(s.path(name+".pub")))(s.t))
	}
	s.write("allowed", b.String())
}

func (s *vouchedSite) run(args ...string) string {
	s.t.Helper()
	s.ticks += 60
	date := fmt.Sprintf("%d +0000", s.ticks)
	cmd := exec.CommandContext(s.t.Context(), "git", append([]string{"-C", s.checkout}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+s.dir, "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=Alice", "GIT_AUTHOR_EMAIL=alice@corp",
		"GIT_COMMITTER_NAME=Alice", "GIT_COMMITTER_EMAIL=alice@corp", "GIT_AUTHOR_DATE="+date, "GIT_COMMITTER_DATE="+date)
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("git %s: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// shell runs a line of a shell in the checkout, with its git.
func (s *vouchedSite) shell(line string) string {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), "sh", "-c", line)
	cmd.Dir = s.checkout
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return strings.TrimSpace(string(out))
}

// person commits in the checkout, signed with a key of that name; "" does not sign. An empty text deletes a file.
func (s *vouchedSite) person(key, message string, files map[string]string) string {
	s.t.Helper()
	for name, text := range files {
		name = filepath.Join(s.checkout, name)
		if text == "" {
			os.Remove(name)
			continue
		}
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, []byte(text), 0o600)); err != nil {
			s.t.Fatal(err)
		}
	}
	s.run("add", "-A")
	args := []string{"-c", "commit.gpgSign=false"}
	if key != "" {
		args = []string{"-c", "gpg.format=ssh", "-c", "user.signingKey=" + s.path(key), "-c", "commit.gpgSign=true"}
	}
	s.run(append(args, "commit", "-q", "--allow-empty", "-m", message)...)
	return s.run("rev-parse", "HEAD")
}

// latest brings the checkout to the server's main.
func (s *vouchedSite) latest() {
	s.t.Helper()
	s.run("fetch", "-q", "origin", "main")
	s.run("reset", "-q", "--hard", "FETCH_HEAD")
}

func (s *vouchedSite) force() string {
	s.t.Helper()
	s.run("push", "-q", "-f", "origin", "HEAD:main")
	return s.run("rev-parse", "HEAD")
}

// refusal gives the codes of what a sync ends with.
func codesOf(err error) (codes []string) {
	var ps mirror.Problems
	if errors.As(err, &ps) {
		for _, p := range ps {
			codes = append(codes, p.Code)
		}
	}
	return codes
}

const webTag = "mirror/snapshot/docker.io/library/web"

// A head with a commit that nobody signed changes nothing, says so, and what was accepted last stays in force, also
// in the next process. A signed commit on top does not help; without the commit all goes on.
func TestSignedFleet_AHeadThatFailsChangesNothing(t *testing.T) {
	t.Parallel()
	s := newVouchedSite(t)
	first := s.pushSigned("docker.io/library/web:1", "first")
	s.sync()
	if s.tag(webTag, "1") != first.Digest {
		t.Fatal("the signed fleet was not followed")
	}
	good := s.git.Head()
	s.latest()
	next := s.pushSigned("docker.io/library/web:1", "next")
	bad := s.person("", "let all in\x1b[31m", map[string]string{"desired/policy.yaml": "version: 1\nrules: [{match: \"**\", require: {pinned: true}}]\n"})
	s.force()
	check := func(when string, commits int) {
		t.Helper()
		before, tags := s.git.Head(), fmt.Sprint(testenv.TagsOf(s.local.Back()))
		reports, err := s.trySync()
		if codes := codesOf(err); len(codes) != commits || codes[0] != "GIT030" || len(reports) > 0 {
			t.Fatalf("%s: %v, %v", when, reports, err)
		}
		if text := err.Error(); !strings.Contains(text, bad) || !strings.Contains(text, "is not signed") || strings.Contains(text, "\x1b") {
			t.Errorf("%s: %q", when, text)
		}
		if s.git.Head() != before || fmt.Sprint(testenv.TagsOf(s.local.Back())) != tags {
			t.Errorf("%s: something moved", when)
		}
		status := must(s.line.Status(t.Context()))(t)
		if status.Git.Head != good || len(status.Problems) == 0 || status.Problems[0].Code != "GIT030" || len(status.Sets) != 1 || s.line.ready() == nil {
			t.Errorf("%s: status %+v, ready %v", when, status, s.line.ready())
		}
		if _, err := s.line.Suspend(t.Context(), "web", "x", ""); !slices.Contains(codesOf(err), "GIT030") {
			t.Errorf("%s: suspend gives %v", when, err)
		}
		if _, err := s.line.Preview(t.Context(), PreviewOptions{}); !slices.Contains(codesOf(err), "GIT030") {
			t.Errorf("%s: plan gives %v", when, err)
		}
		if _, err := s.line.Acknowledge(t.Context(), "", "ops"); !slices.Contains(codesOf(err), "GIT030") {
			t.Errorf("%s: acknowledge gives %v", when, err)
		}
	}
	check("unsigned", 1)
	events := must(s.line.Events(Filter{Type: EventHeadRefused}))(t)
	if len(events) != 1 || events[0].Commit != bad || !strings.Contains(events[0].Reason, bad) {
		t.Errorf("events: %v", events)
	}
	s.close()
	check("in the next process", 1)
	s.person("alice", "on top", map[string]string{"desired/policy.yaml": vendorPolicy + "# x\n"})
	s.force()
	check("a signed commit on top", 1)
	s.run("reset", "-q", "--hard", good)
	s.person("alice", "anew", map[string]string{"desired/policy.yaml": vendorPolicy + "# y\n"})
	s.force()
	s.sync()
	if s.tag(webTag, "1") != next.Digest || s.line.ready() != nil {
		t.Errorf("it does not go on: %v", s.line.ready())
	}
	if events := must(s.line.Events(Filter{Type: EventHeadAccepted}))(t); len(events) != 1 || !strings.Contains(events[0].Reason, "refused") {
		t.Errorf("events: %v", events)
	}
	if status := must(s.line.Status(t.Context()))(t); len(status.Problems) > 0 {
		t.Errorf("still told: %v", status.Problems)
	}
}

// A commit of ours on top of one that was not accepted would vouch for it, when the state is gone.
func TestSignedFleet_BuildsOnNothingThatWasNotAccepted(t *testing.T) {
	t.Parallel()
	s := newVouchedSite(t)
	s.pushSigned("docker.io/library/web:1", "first")
	s.sync()
	f := s.line.fleet.Load()
	s.latest()
	s.person("", "there", map[string]string{"desired/evil.yaml": "x"})
	s.person("", "and back", map[string]string{"desired/evil.yaml": ""})
	head := s.force()
	if inputs := must(s.line.git.Fetch(t.Context()))(t); must(s.line.git.Inputs(inputs))(t) != f.inputs {
		t.Fatal("the inputs are not the same: the test is about nothing")
	}
	if err := s.line.fence(f, "web")(t.Context()); err == nil {
		t.Error("the fence let tags move")
	}
	if got, err := s.line.fetchTrusted(t.Context(), f); err == nil {
		t.Errorf("a commit would be built on %s", got)
	}
	if _, err := s.trySync(); !slices.Contains(codesOf(err), "GIT030") || s.git.Head() != head {
		t.Errorf("got %v", err)
	}
	// Without the state the last commit of ours is found again, and what came after it is judged.
	s.close()
	if err := os.RemoveAll(filepath.Join(s.dir, "state")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.trySync(); len(codesOf(err)) != 2 {
		t.Errorf("without the state: %v", err)
	}
	if s.line.fleet.Load() != nil {
		t.Error("a fleet is in force of which nobody knows that it was accepted")
	}
}

func TestSignedFleet_BeginsAtTheNewestCommitOfOursOrAtSince(t *testing.T) {
	t.Parallel()
	s := newVouchedSite(t)
	s.run("checkout", "-q", "--orphan", "old")
	since := s.person("", "the old days", map[string]string{})
	s.run("branch", "-M", "main")
	s.force()
	s.pushSigned("docker.io/library/web:1", "first")
	if _, err := s.trySync(); !slices.Equal(codesOf(err), []string{"GIT030"}) {
		t.Fatalf("nothing was signed, and got %v", err)
	}
	s.close()
	asked := s.config
	s.config = strings.Replace(s.config, "fleet: {", "fleet: {since: "+since+", ", 1)
	s.sync()
	if commit := s.line.accepted(); commit != s.git.Head() || commit == since {
		t.Errorf("accepted: %s, head %s", commit, s.git.Head())
	}
	s.close()
	s.config = asked
	if err := os.RemoveAll(filepath.Join(s.dir, "state")); err != nil {
		t.Fatal(err)
	}
	s.sync() // by the commit that we made
	s.allow("mallory")
	s.latest()
	s.person("alice", "taken out of the file", map[string]string{"stages/web/staging.yaml": ""})
	s.person("alice", "so it counts no more", map[string]string{"desired/web.yaml": vouchedSet + "# x\n"})
	s.force()
	if _, err := s.trySync(); len(codesOf(err)) != 1 {
		t.Errorf("a key that is allowed no more: %v", err)
	}
	s.allow("alice")
	s.sync() // the file is read anew
}

// renderedAt gives all that stands in rendered/ for a stage, record included.
func (s *vouchedSite) renderedAt(stage string) (all string) {
	files := must(s.git.Files("main"))(s.t)
	for _, name := range sortedKeys(files) {
		if strings.HasPrefix(name, "rendered/") && strings.Contains(name, "/"+stage) {
			all += name + "\n" + files[name]
		}
	}
	return all
}

// stagingFile asks for an image at the stage above the first.
func stagingFile(image mirror.Reference) map[string]string {
	return map[string]string{"stages/web/staging.yaml": fmt.Sprintf("version: 1\nentries:\n  docker.io/library/web:1: %s\n", image)}
}

// A rewritten history that is signed goes on at the first stage, and above it only after somebody looked at it.
func TestSignedFleet_ARewrittenHistoryWaitsAboveTheFirstStage(t *testing.T) {
	t.Parallel()
	s := newVouchedSite(t)
	first := s.pushSigned("docker.io/library/web:1", "first")
	before := s.git.Head()
	s.sync()
	s.latest()
	s.person("alice", "promote", stagingFile(first))
	s.force()
	s.sync()
	const stagingTag = "mirror/staging/docker.io/library/web"
	if s.tag(stagingTag, "1") != first.Digest {
		t.Fatalf("not promoted: %v", testenv.TagsOf(s.local.Back()))
	}
	rendered := s.renderedAt("staging")
	lost := s.git.Head()

	next := s.pushSigned("docker.io/library/web:1", "next")
	s.run("fetch", "-q", "origin", "main")
	s.run("reset", "-q", "--hard", before)
	s.run("checkout", "-q", "FETCH_HEAD", "--", "rendered") // who rewrites what people wrote leaves what we wrote
	s.person("alice", "another history", stagingFile(next))
	s.force()
	report := s.sync()["web"]
	if s.tag(webTag, "1") != next.Digest {
		t.Error("the first stage waits, too")
	}
	if s.tag(stagingTag, "1") != first.Digest || s.renderedAt("staging") != rendered || s.line.fleet.Load().rewritten == nil {
		t.Errorf("something moved above it: %v", report.Plan.Actions)
	}
	if got := kinds(report.Plan, mirror.Refuse)["staging/docker.io/library/web:1"]; got != mirror.Held {
		t.Errorf("the plan says %v", report.Plan.Actions)
	}
	if rendered == "" {
		t.Fatalf("nothing was rendered: %v", must(s.git.Files("main"))(t))
	}
	if status := must(s.line.Status(t.Context()))(t); len(status.Problems) != 1 || status.Problems[0].Code != "GIT031" || !strings.Contains(status.Problems[0].What, lost) {
		t.Errorf("status: %v", status.Problems)
	}
	if len(must(s.line.Events(Filter{Type: EventRewritten}))(t)) != 1 {
		t.Error("no event, or too many")
	}
	s.close() // the next process holds it, too
	s.sync()
	if s.tag(stagingTag, "1") != first.Digest {
		t.Error("the next process moved it")
	}
	for _, commit := range []string{lost, "abc", strings.Repeat("12", 20), "--help"} {
		if _, err := s.line.Acknowledge(t.Context(), commit, "ops"); !slices.Equal(codesOf(err), []string{"GIT032"}) {
			t.Errorf("acknowledge %s: %v", commit, err)
		}
	}
	head := s.git.Head()
	a, err := s.line.Acknowledge(t.Context(), head[:12], "ops@host\x1b")
	if err != nil || a != (Acknowledged{Commit: head, Was: lost, Needed: true}) {
		t.Fatalf("%+v, %v", a, err)
	}
	s.sync()
	if s.tag(stagingTag, "1") != next.Digest {
		t.Error("after it was acknowledged it still waits")
	}
	events := must(s.line.Events(Filter{Type: EventAcknowledged}))(t)
	if len(events) != 1 || events[0].By != `ops@host\x1b` || events[0].Commit != head {
		t.Errorf("events: %v", events)
	}
	if a, err := s.line.Acknowledge(t.Context(), "", ""); err != nil || a.Needed {
		t.Errorf("nothing is left to acknowledge: %+v, %v", a, err)
	}
}

// A branch that was set back is another history, too: an entry that its stage file does not list any more stays.
func TestSignedFleet_ABranchThatWasSetBackTakesNothingBack(t *testing.T) {
	t.Parallel()
	s := newVouchedSite(t)
	first := s.pushSigned("docker.io/library/web:1", "first")
	before := s.git.Head()
	s.sync()
	s.latest()
	s.person("alice", "promote", stagingFile(first))
	s.force()
	s.sync()
	stood := s.renderedAt("staging")
	s.run("fetch", "-q", "origin", "main")
	s.run("reset", "-q", "--hard", before)
	s.run("checkout", "-q", "FETCH_HEAD", "--", "rendered")
	s.person("alice", "an empty stage file", map[string]string{"stages/web/staging.yaml": "version: 1\nentries: {}\n"})
	s.force()
	reports, err := s.trySync()
	if err != nil {
		t.Fatal(err)
	}
	if s.tag("mirror/staging/docker.io/library/web", "1") != first.Digest || stood == "" || s.renderedAt("staging") != stood {
		t.Errorf("it went: %v", reports["web"].Plan.Actions)
	}
}

func TestSignedFleet_FilesOfKeysAreChecked(t *testing.T) {
	t.Parallel()
	s := newVouchedSite(t)
	public := must(os.ReadFile(s.path("alice.pub")))(t)
	for _, tt := range []struct{ name, config, code string }{
		{"gone", "allowedSigners: /nowhere/allowed", "CFG067"},
		{"authority", fmt.Sprintf("allowedSigners: %q", s.path("ca")), "CFG068"},
		{"no ring", fmt.Sprintf("keyring: %q", s.path("allowed")), "CFG069"},
		{"nobody", "since: " + strings.Repeat("12", 20), "CFG065"},
		{"no commit", fmt.Sprintf("allowedSigners: %q, since: main", s.path("allowed")), "CFG066"},
		{"forge", fmt.Sprintf("allowedSigners: %q, forge: {keyring: %q}", s.path("allowed"), s.path("bot")), "CFG069"},
	} {
		s.write("ca", "*@corp cert-authority "+string(public))
		err := s.tries(strings.Replace(s.config, fmt.Sprintf("allowedSigners: %q", s.path("allowed")), tt.config, 1))
		if codes := codesOf(err); len(codes) != 1 || codes[0] != tt.code {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// tries loads and opens another configuration.
func (s *vouchedSite) tries(text string) error {
	s.t.Helper()
	file := filepath.Join(s.dir, "other.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	c, err := config.Load(file, nil, nil)
	if err != nil {
		return err
	}
	l, err := Open(s.t.Context(), c, Options{Log: slog.New(slog.DiscardHandler), Now: s.clock})
	if err == nil {
		err = errors.Join(errors.New("it opens"), l.Close(s.t.Context()))
	}
	return err
}
