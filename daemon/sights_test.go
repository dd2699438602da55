package daemon

import (
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// retiring admits what the vendor signed before the end of November.
const retiring = "version: 1\nsigners: {vendor: {key: keys/vendor.pub, until: 2026-11-30}}\nrules: [{match: \"**\", require: {signers: [vendor], count: 1}}]\n"

// A machine that begins anew after the end of a key learns from what this site attested when it saw the signatures,
// also where the policy changed meanwhile. By another key's statements it learns nothing.
func TestUntil_ANewMachineLearnsFirstSightsFromOurStatements(t *testing.T) {
	t.Parallel()
	eachLocal(t, retiring, func(t *testing.T, s *attesting) {
		began := s.now
		image := s.pushSigned("docker.io/library/app:1", "app")
		s.stand(image)
		s.now = time.Date(2026, 12, 5, 9, 0, 0, 0, time.UTC)
		look := func(what string, refused bool) {
			t.Helper()
			s.wipe()
			r := s.sync()["web"]
			if got := r.Plan.Count(mirror.Refuse) == 1; got != refused || r.Plan.Count(mirror.Unchanged) != 1 && !refused {
				t.Errorf("%s: refused %t, want %t: %v", what, got, refused, details(r.Plan))
			}
			if got := s.line.state.Seen(image.Digest, s.now); got.Equal(began) == refused {
				t.Errorf("%s: first seen at %s, at first at %s", what, got, began)
			}
		}
		look("after the end of the key", false)
		// What it attested then is newer than the end, and tells of the same first sights.
		look("once more", false)
		s.policy(strings.Replace(retiring, `match: "**"`, `match: "docker.io/**"`, 1))
		look("under another policy", false)
		s.policy(strings.Replace(strings.Replace(retiring, `match: "**"`, `match: "docker.io/library/**"`, 1), "2026-11-30", "2026-11-29", 1))
		look("with another end", false)
		s.newKey("other.key")
		s.sign("other.key", "production")
		look("with another key of this site", true)
	})
}

// Also where age alone is asked of what a commit pins, for which no evidence is read.
func TestSeen_ANewMachineLearnsTheAgeOfWhatIsPinned(t *testing.T) {
	t.Parallel()
	rules := "version: 1\nrules: [{match: \"**\", require: {pinned: true}, minAge: 72h}]\n"
	eachLocal(t, rules, func(t *testing.T, s *attesting) {
		image := s.push("docker.io/library/app:1", "app")
		s.commit("images", map[string]string{"desired/web.txt": list(image)})
		if r := s.sync()["web"]; r.Plan.Count(mirror.Refuse) != 1 {
			t.Fatalf("too young, and not refused: %v", details(r.Plan))
		}
		s.now = s.now.Add(73 * time.Hour)
		if r := s.sync()["web"]; r.Plan.Count(mirror.Unchanged) != 1 {
			t.Fatalf("old enough, and it does not stand: %v", details(r.Plan))
		}
		s.wipe()
		if r := s.sync()["web"]; r.Plan.Count(mirror.Unchanged) != 1 {
			t.Errorf("on a new machine it is younger: %v", details(r.Plan))
		}
	})
}

// A clock that is wrong at the first look does no lasting harm, whether it is behind or ahead.
func TestSeen_AWrongClockDoesNoLastingHarm(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{"desired/policy.yaml": strings.TrimSuffix(vendorPolicy, "}]\n") + ", minAge: 72h}]\n",
		"desired/web.yaml": "version: 1\nsource: {kind: list, images: [\"docker.io/library/web:1\", \"docker.io/library/app:1\"]}\n"})
	web := s.pushSigned("docker.io/library/web:1", "web")
	right := s.now
	s.now = time.Unix(0, 0).UTC()
	if r := s.sync()["web"]; kinds(r.Plan, mirror.Refuse)["snapshot/"+webEntry] != mirror.TooYoung {
		t.Errorf("by a clock that begins in 1970 it is old: %v", details(r.Plan))
	}
	s.now = right.Add(time.Hour)
	if got := s.line.state.Seen(web.Digest, s.now); !got.Equal(right) {
		t.Errorf("first seen at %s, want %s, when the fleet was committed", got, right)
	}
	app := s.pushSigned("docker.io/library/app:1", "app")
	s.now = right.AddDate(4, 0, 0)
	s.sync()
	s.now = right.Add(2 * time.Hour)
	s.sync()
	s.open()
	s.now = right.Add(3 * time.Hour)
	if got := s.line.state.Seen(app.Digest, s.now); !got.Equal(right.Add(2 * time.Hour)) {
		t.Errorf("first seen at %s, want %s, the first look by a clock that was right", got, right.Add(2*time.Hour))
	}
}
