package daemon

import (
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

var updatePages = flag.Bool("update", false, "write what was got as what is wanted")

const (
	commentBegins = "<!-- the comment begins -->\n"
	commentEnds   = "<!-- the comment ends -->\n"
)

// commitShown is an id of a commit as a comment shows it: it depends on keys that are made anew each time.
var commitShown = regexp.MustCompile(`<code>[0-9a-f]{7}</code> merged into <code>[0-9a-f]{7}</code>`)

// TestDocs_ThePromotionPageShowsWhatIsReallySaid runs the story of docs/promotion.md and holds the page to the comment
// and the checks of that run.
func TestDocs_ThePromotionPageShowsWhatIsReallySaid(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{"desired/policy.yaml": vendorPolicy + "gates: [{stages: [production], soak: 24h, approvals: {count: 1}}]\n",
		"desired/ess.yaml": "version: 1\nsource: {kind: ess, file: ess/images_digests.yml}\nrender: {element: {name: ess-images, namespace: ess}}\n"}).reviewedAt("gitea")
	s.forge.AddUser("alice", false)
	s.forge.AddUser("bob", false)
	release := func(version string) {
		web := s.pushSigned("docker.io/vectorim/element-web:"+version, "web"+version)
		synapse := s.pushSigned("docker.io/matrixdotorg/synapse:"+version, "synapse"+version)
		s.commit("release "+version, map[string]string{"desired/ess/images_digests.yml": imagesDigests(web, synapse)})
		s.sync()
		s.promote("ess", "snapshot", "staging")
		s.sync()
	}
	rise := func(branch string) (int, string) {
		return s.proposes(branch, map[string]string{"stages/ess/production.yaml": s.file("stages/ess/staging.yaml")})
	}
	release("v1.11.81")
	s.now = s.now.Add(48 * time.Hour)
	n, _ := rise("first")
	if err := s.forge.Review(n, "bob", "approved"); err != nil {
		t.Fatal(err)
	}
	must(s.forge.Merge(n, "bob", "merge"))(t)
	s.sync()
	release("v1.11.82")
	s.now = s.now.Add(5 * time.Hour)
	n, head := rise("second")
	s.attends()
	comment := s.told(n)
	checks := s.forge.Statuses(head)
	said := []string{checks[checkPlan].Text, checks[checkPolicy].Text}
	if err := s.forge.Review(n, "bob", "approved"); err != nil {
		t.Fatal(err)
	}
	commit := must(s.forge.Merge(n, "bob", "merge"))(t)
	s.sync()
	said = append(said, s.forge.Statuses(commit)[checkSync].Text)
	s.now = s.now.Add(20 * time.Hour)
	s.sync()
	said = append(said, s.forge.Statuses(commit)[checkSync].Text)
	if done := s.forge.Statuses(commit)[checkSync]; done.State != "success" {
		t.Errorf("the story does not end well: %s %q", done.State, done.Text)
	}

	_, comment, _ = strings.Cut(comment, "-->\n")
	comment = strings.TrimSpace(commitShown.ReplaceAllString(comment, "<code>5be1f02</code> merged into <code>8c0d3a9</code>")) + "\n"
	const file = "../docs/promotion.md"
	page := string(must(os.ReadFile(file))(t))
	before, rest, begun := strings.Cut(page, commentBegins)
	shown, after, ended := strings.Cut(rest, commentEnds)
	if !begun || !ended {
		t.Fatalf("%s has no place for the comment", file)
	}
	if *updatePages {
		if err := os.WriteFile(file, []byte(before+commentBegins+comment+commentEnds+after), 0o644); err != nil { //nolint:gosec // a page
			t.Fatal(err)
		}
	} else if shown != comment {
		t.Errorf("%s shows another comment than the one that is made (go test ./daemon -run ThePromotionPage -update):\n%s", file, comment)
	}
	for _, text := range said {
		if !strings.Contains(page, mirror.Printable(text)) {
			t.Errorf("%s does not show the check %q", file, text)
		}
	}
}
