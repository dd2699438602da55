package daemon

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// withFloor writes a floor below the folder of the site and makes its configuration name it.
func (s *site) withFloor(text string, files map[string]string) (name string) {
	s.t.Helper()
	name = filepath.Join(s.dir, "floor", "floor.yaml")
	if !strings.Contains(s.config, "floor:") {
		s.config += "trust: {floor: floor/floor.yaml}\n" // from the folder of config.yaml
	}
	s.write(name, text)
	for file, text := range files {
		s.write(filepath.Join(s.dir, "floor", file), text)
	}
	return name
}

func (s *site) write(name, text string) {
	s.t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, []byte(text), 0o600)); err != nil {
		s.t.Fatal(err)
	}
}

// openFloor is open for a configuration that may be refused.
func (s *site) openFloor() error {
	s.t.Helper()
	s.close()
	file := filepath.Join(s.dir, "config.yaml")
	s.write(file, s.config)
	c, err := config.Load(file, nil, nil)
	if err != nil {
		return err
	}
	return checkFloor(c)
}

const floorFor = "version: 1\nsigners: {vendor: {key: keys/vendor.pub}}\nrules: [{match: \"docker.io/strict/**\", require: {signers: [vendor]}}]\ndefault: fleet\n"

// The floor of a site must admit, too; the fleet repository can only be stricter. A changed floor judges what stands
// again at the next look, without a commit, and what it refuses stays and is shown.
func TestFloor_MustAdmitToo(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{"desired/policy.yaml": pinnedPolicy})
	strict, lax := s.push("docker.io/strict/web:1", "strict"), s.push("docker.io/lax/web:1", "lax")
	s.commit("both", map[string]string{"desired/web.yaml": "version: 1\nsource: {kind: list, file: web.txt}\n", "desired/web.txt": list(strict, lax)})
	name := s.withFloor(floorFor, map[string]string{"keys/vendor.pub": s.vendor.PublicPEM()})
	r := s.sync()["web"]
	if got := kinds(r.Plan, mirror.Refuse)["snapshot/docker.io/strict/web:1"]; got != mirror.NoSignature || r.Plan.Count(mirror.Refuse) != 1 {
		t.Errorf("got %q: %v", got, details(r.Plan))
	}
	s.noTrace("mirror/docker.io/strict/web")
	if got := s.stageTagOf("web", lax); got != lax.Digest {
		t.Errorf("what the floor leaves to the fleet names %s", got)
	}
	if err := s.vendor.SignLegacy(t.Context(), s.upstream.Back()+"/"+strict.Name(), strict.Digest, testenv.Claiming(strict.Name())); err != nil {
		t.Fatal(err)
	}
	s.sync()
	if got := s.stageTagOf("web", strict); got != strict.Digest {
		t.Fatalf("signed, and the tag names %s", got)
	}
	head := s.git.Head()

	s.write(name, strings.Replace(floorFor, "docker.io/strict/**", "docker.io/**", 1))
	r = s.poll()["web"]
	if got := kinds(r.Plan, mirror.Refuse)["snapshot/docker.io/lax/web:1"]; got != mirror.NoSignature || r.Plan.Count(mirror.Refuse) != 1 || r.Commit != "" {
		t.Errorf("a stricter floor: got %q, commit %q: %v", got, r.Commit, details(r.Plan))
	}
	if got := s.stageTagOf("web", lax); got != lax.Digest || s.git.Head() != head {
		t.Errorf("what stood names %s, head %s", got, s.git.Head())
	}
	s.reset()
	if reports := s.poll(); len(reports) != 0 || s.local.Proxy().Counts().Total() != 0 {
		t.Errorf("the same floor: %d steps, %d local requests, want none", len(reports), s.local.Proxy().Counts().Total())
	}

	// One that is broken later changes nothing but is told; the one before stays in force.
	s.write(name, "version: 1\nrulez: []\n")
	_, err := s.line.cycle(t.Context(), Wake{Why: "poll"})
	var ps mirror.Problems
	if !errors.As(err, &ps) || ps[0].Where.File != name || ps[0].Where.Line != 2 {
		t.Errorf("a broken floor: %v", err)
	}
	if status := must(s.line.Status(t.Context()))(t); len(status.Problems) == 0 || status.Problems[0].Where.File != name {
		t.Errorf("status: %+v", status.Problems)
	}
	if got := s.stageTagOf("web", lax); got != lax.Digest {
		t.Errorf("what stood names %s", got)
	}
	s.write(name, floorFor)
	if r := s.poll()["web"]; r.Plan.Count(mirror.Unchanged) != 2 {
		t.Errorf("the floor as before: %v", details(r.Plan))
	}
}

// A fleet that says less than the floor admits nothing of what the floor refuses.
func TestFloor_TheFleetCannotRelaxIt(t *testing.T) {
	t.Parallel()
	for name, fleet := range map[string]string{
		"warn only":   vendorPolicy + "mode: warn\n",
		"exception":   vendorPolicy + "exceptions: [{match: docker.io/strict/web, skip: [signatures], until: 2099-01-01, reason: x, approvedBy: y}]\n",
		"pinned":      pinnedPolicy,
		"another key": vendorPolicy,
	} {
		t.Run(name, func(t *testing.T) {
			mine := must(testenv.NewSigner("p256"))(t)
			s := newSite(t, map[string]string{"desired/policy.yaml": fleet})
			image := s.push("docker.io/strict/web:1", "strict")
			if name == "another key" {
				image = s.pushSigned("docker.io/strict/web:1", "strict")
			}
			s.commit("it", map[string]string{"desired/web.yaml": "version: 1\nsource: {kind: list, file: web.txt}\n", "desired/web.txt": list(image)})
			s.withFloor(floorFor, map[string]string{"keys/vendor.pub": mine.PublicPEM()})
			if r := s.sync()["web"]; r.Plan.Count(mirror.Refuse) != 1 {
				t.Errorf("admitted: %v", details(r.Plan))
			}
			s.noTrace("mirror/docker.io/strict/web")
		})
	}
}

// A floor that cannot be read, or has mistakes, is told before anything begins, with its path.
func TestFloor_MistakesAreLocated(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{"desired/policy.yaml": pinnedPolicy})
	folder := filepath.Join(s.dir, "floor")
	for _, tt := range []struct {
		name, text string
		files      map[string]string
		prepare    func()
		code, file string
		line       int
	}{
		{name: "a misspelt key", text: "version: 1\nrules: []\nsignerz: {}\n", code: "DOC002", file: "floor.yaml", line: 3},
		{name: "a key file that is not there", text: floorFor, code: "POL005", file: "floor.yaml", line: 2},
		{name: "a private key", text: floorFor, files: map[string]string{"keys/vendor.pub": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"}, code: "POL006", file: "keys/vendor.pub", line: 1},
		{name: "a folder where a file is wanted", text: floorFor, prepare: func() { os.MkdirAll(filepath.Join(folder, "keys/vendor.pub/x"), 0o700) }, code: "POL005", file: "floor.yaml", line: 2},
		{name: "no floor at all", prepare: func() { os.RemoveAll(folder) }, code: "CFG050", file: "../config.yaml", line: 15},
		{name: "a folder", prepare: func() { os.RemoveAll(folder); os.MkdirAll(filepath.Join(folder, "floor.yaml"), 0o700) }, code: "CFG050", file: "../config.yaml", line: 15},
	} {
		t.Run(tt.name, func(t *testing.T) {
			os.RemoveAll(folder)
			s.withFloor(tt.text, tt.files)
			if tt.prepare != nil {
				tt.prepare()
			}
			var ps mirror.Problems
			if err := s.openFloor(); !errors.As(err, &ps) {
				t.Fatalf("got %v, want problems", err)
			}
			if p := ps[0]; p.Code != tt.code || filepath.Clean(p.Where.File) != filepath.Join(folder, tt.file) || p.Where.Line != tt.line || p.Fix == "" {
				t.Errorf("got %s at %s (%s), fix %q; want %s at %s:%d", p.Code, p.Where, p.What, p.Fix, tt.code, tt.file, tt.line)
			}
			if strings.Contains(ps.Error(), "AAAA") {
				t.Error("the private key is shown")
			}
		})
	}
}

// A mistake in the fleet repository keeps nothing of a changed floor from acting, and a mistake in the floor nothing of
// a changed policy.
func TestFloor_AMistakeInTheOneKeepsNothingOfTheOtherFromActing(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{"desired/policy.yaml": pinnedPolicy})
	strict, lax := s.push("docker.io/strict/web:1", "strict"), s.push("docker.io/lax/web:1", "lax")
	s.commit("both", map[string]string{"desired/web.yaml": "version: 1\nsource: {kind: list, file: web.txt}\n", "desired/web.txt": list(strict, lax)})
	open := strings.Replace(floorFor, "docker.io/strict/**", "docker.io/other/**", 1)
	name := s.withFloor(open, map[string]string{"keys/vendor.pub": s.vendor.PublicPEM()})
	if r := s.sync()["web"]; r.Plan.Count(mirror.Unchanged) != 2 {
		t.Fatalf("not both stand: %v", details(r.Plan))
	}
	look := func(what, wrong string, refused map[string]mirror.ReasonCode) {
		t.Helper()
		reports, err := s.line.cycle(t.Context(), Wake{Why: "poll"})
		var ps mirror.Problems
		if wrong != "" && (!errors.As(err, &ps) || len(ps) != 1 || filepath.Base(ps[0].Where.File) != wrong) || wrong == "" && err != nil {
			t.Errorf("%s: %v, want a problem in %q", what, err, wrong)
		}
		if len(reports) != 1 {
			t.Fatalf("%s: %d steps, want that of the set", what, len(reports))
		}
		if got := kinds(reports[0].Plan, mirror.Refuse); !maps.Equal(got, refused) {
			t.Errorf("%s: refused %v, want %v: %v", what, got, refused, details(reports[0].Plan))
		}
	}
	// Git first: the floor is tightened, and loosened again.
	s.policy("version: 1\nrulez: []\n")
	s.write(name, floorFor)
	look("a stricter floor", "policy.yaml", map[string]mirror.ReasonCode{"snapshot/docker.io/strict/web:1": mirror.NoSignature})
	s.write(name, open)
	look("the floor as it was", "policy.yaml", map[string]mirror.ReasonCode{})
	// Then the floor: what Git denies is denied, and the floor before stays in force.
	s.write(name, floorFor)
	s.policy(pinnedPolicy)
	look("both without mistakes", "", map[string]mirror.ReasonCode{"snapshot/docker.io/strict/web:1": mirror.NoSignature})
	s.write(name, "version: 1\nrulez: []\n")
	s.policy(pinnedPolicy + "deny: {repos: [\"docker.io/lax/**\"]}\n")
	look("a new deny", "floor.yaml", map[string]mirror.ReasonCode{"snapshot/docker.io/strict/web:1": mirror.NoSignature, "snapshot/docker.io/lax/web:1": mirror.Denied})
	// Both at once: of each the last good one.
	s.policy("version: 1\nrulez: []\n")
	if _, err := s.line.cycle(t.Context(), Wake{Why: "poll"}); err == nil || strings.Count(err.Error(), "rulez") < 2 {
		t.Errorf("mistakes in both: %v", err)
	}
	s.write(name, open)
	look("a floor again", "policy.yaml", map[string]mirror.ReasonCode{"snapshot/docker.io/lax/web:1": mirror.Denied})
}
