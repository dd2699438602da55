package daemon

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy"
	"github.com/poundlock/poundlock/testenv"
)

// What a floor names and what cannot be read, or is more than one folder of TUF metadata, is told with CFG051.
func TestFloor_WhatItNamesMayBeOutOfReach(t *testing.T) {
	t.Parallel()
	const text = "version: 1\nroots: {corp: {tuf: trust/tuf}}\nsigners: {vendor: {key: keys/vendor.pub}}\nrules: [{match: \"**\", require: {signers: [vendor]}}]\n"
	for name, c := range map[string]struct {
		prepare func(s *site, folder string) error
		what    string
	}{
		"a pipe": {func(_ *site, folder string) error {
			return syscall.Mkfifo(filepath.Join(folder, "keys", "vendor.pub"), 0o600)
		}, "cannot be read"},
		"folders below each other": {func(s *site, folder string) error {
			s.write(filepath.Join(folder, "keys/vendor.pub"), s.vendor.PublicPEM())
			s.write(filepath.Join(folder, "trust/tuf/a/b/c/d/e/f"), "x")
			return nil
		}, "folders below each other"},
		"many files": {func(s *site, folder string) error {
			s.write(filepath.Join(folder, "keys/vendor.pub"), s.vendor.PublicPEM())
			for i := range maxFloorFiles + 1 {
				s.write(filepath.Join(folder, "trust/tuf", fmt.Sprint(i)), "x")
			}
			return nil
		}, "files"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, map[string]string{"desired/policy.yaml": pinnedPolicy})
			folder := filepath.Dir(s.withFloor(text, nil))
			if err := errors.Join(os.MkdirAll(filepath.Join(folder, "keys"), 0o700), c.prepare(s, folder)); err != nil {
				t.Fatal(err)
			}
			var ps mirror.Problems
			if err := s.openFloor(); !errors.As(err, &ps) {
				t.Fatalf("got %v, want problems", err)
			}
			var told int
			for _, p := range ps {
				if p.Code == "CFG051" {
					told++
					if !strings.Contains(p.What, c.what) || p.Fix == "" || p.Where.Line == 0 {
						t.Errorf("got %s at %s, fix %q", p.What, p.Where, p.Fix)
					}
				}
			}
			if told != 1 {
				t.Errorf("told %d times: %v", told, ps)
			}
		})
	}
}

// The limits of trust.limits are those that images are judged within.
func TestLimits_ArePassedOn(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{"desired/policy.yaml": vendorPolicy, "desired/web.yaml": webList, "desired/web.txt": "docker.io/none/none:1\n"})
	plain := s.config
	s.config += "trust: {limits: {payload: 10, bundle: 11, attestation: 12, signatures: 13, referrers: 14, time: 15s}}\n"
	want := policy.Limits{Payload: 10, Bundle: 11, Attestation: 12, Signatures: 13, Referrers: 14, Time: 15 * time.Second}
	line := s.open()
	if got := line.judging(nil, s.now).Limits; got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	image := s.pushSigned("docker.io/library/app:1", "app")
	s.commit("it", map[string]string{"desired/web.txt": list(image)})
	if r := s.sync()["web"]; r.Plan.Count(mirror.Refuse) != 1 {
		t.Errorf("a payload of more than 10 bytes was read: %v", details(r.Plan))
	}
	s.config = plain
	s.open()
	if r := s.sync()["web"]; r.Plan.Count(mirror.Unchanged) != 1 {
		t.Errorf("refused without limits of its own: %v", details(r.Plan))
	}
}

// SIGHUP makes the line look at a floor that changed, however long the next look at Git is away.
func TestReload_AChangedFloorIsLookedAtOnce(t *testing.T) {
	t.Parallel()
	s := oneImage(t)
	name := s.withFloor(floorFor, map[string]string{"keys/vendor.pub": s.vendor.PublicPEM()})
	s.config = strings.Replace(s.config, "poll: 50ms", "poll: 1h", 1)
	s.write(filepath.Join(s.dir, "config.yaml"), s.config)
	r := s.serve()
	noLonger := func() int { return must(r.line.Status(t.Context()))(t).Sets[0].Policy.NoLonger }
	if n := noLonger(); n != 0 {
		t.Fatalf("%d are admitted no longer", n)
	}
	s.write(name, strings.Replace(floorFor, "docker.io/strict/**", "docker.io/**", 1))
	r.hangup()
	until(t, "the changed floor judges what stands", func() bool { return noLonger() == 1 })
}

const floorOfStages = `version: 1
signers: {vendor: {key: keys/vendor.pub}}
rules:
  - {match: "**", stages: [production, prodction], require: {signers: [vendor]}}
  - {match: "docker.io/**", stages: [edge, prodction], require: {signers: [vendor]}}
mode: {prodction: warn, stagin: warn}
default: fleet
`

// A stage that the floor names and no set has is no mistake, since one floor may be for several fleets; the log tells of
// it once, and doctor does.
func TestFloor_AStageThatNoSetHasIsAWarning(t *testing.T) {
	t.Parallel()
	s := oneImage(t)
	s.commit("a stage of its own", map[string]string{"desired/own.yaml": "version: 1\nsource: {kind: list, images: [\"docker.io/library/none:1\"]}\nstages: [snapshot, edge]\n"})
	s.withFloor(floorOfStages, map[string]string{"keys/vendor.pub": s.vendor.PublicPEM()})
	s.config = strings.Replace(s.config, "poll: 50ms", "poll: 1h", 1)
	s.write(filepath.Join(s.dir, "config.yaml"), s.config)
	r := s.serve()
	log := r.log.String()
	for stage, want := range map[string]int{"prodction": 1, "stagin": 1, "edge": 0, "production": 0} {
		if got := strings.Count(log, `the floor names the stage \"`+stage+`\"`); got != want {
			t.Errorf("the log tells of %s %d times, want %d", stage, got, want)
		}
	}
	if !strings.Contains(log, "POL032") || !strings.Contains(log, "floor.yaml:4:") {
		t.Errorf("without code or place:\n%s", log)
	}
	d := &doctor{config: must(config.Load(r.file, nil, nil))(t), now: time.Now}
	checks := d.checkStages(r.line.fleet.Load().desired)
	if len(checks) != 2 {
		t.Fatalf("doctor: %+v", checks)
	}
	for i, near := range []string{"production", "staging"} {
		if c := checks[i]; c.State != CheckWarning || c.Problem.Code != "POL032" || !strings.Contains(c.Problem.Fix, near) {
			t.Errorf("doctor: %+v, %+v", c, c.Problem)
		}
	}
}

// Doctor tells what a good site key signs, whose commits count, and what roots hold.
func TestDoctor_TellsOfGoodKeysSignersAndRoots(t *testing.T) {
	t.Parallel()
	s := &attesting{site: newSite(t, map[string]string{"desired/policy.yaml": pinnedPolicy})}
	s.plain = s.config
	key, release := s.newKey("site.key"), s.newKey("release.key")
	s.write(filepath.Join(s.dir, "allowed_signers"), "alice@example.org ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHUBJNCGvVwNqyvnPc/QVH3LLDvTVySdtGsDuw6RnQrO\n")
	authority := must(testenv.NewAuthority())(t)
	s.withFloor("version: 1\nroots: {corp: {file: root.json}}\nsigners: {ci: {keyless: {root: corp, issuer: \"https://oidc.example\", subject: \"ci@example\"}}}\nrules: [{match: \"**\", require: {signers: [ci]}}]\n",
		map[string]string{"root.json": string(authority.TrustedRoot())})
	s.config = s.plain + fmt.Sprintf("trust: {floor: floor/floor.yaml, site: {key: {file: %q}, sign: {key: {file: %q}, stages: [staging, production]}}, fleet: {allowedSigners: %q}}\n",
		filepath.Join(s.dir, "site.key"), filepath.Join(s.dir, "release.key"), filepath.Join(s.dir, "allowed_signers"))
	s.write(s.dir+"/config.yaml", s.config)
	d := &doctor{config: must(config.Load(s.dir+"/config.yaml", nil, nil))(t), now: s.clock}
	var lines []string
	for _, c := range d.checkSiteTrust(t.Context()) {
		lines = append(lines, strings.Join([]string{c.Name, string(c.State), c.Detail}, "|"))
	}
	got := strings.Join(lines, "\n")
	for _, want := range []string{
		"site key|ok|site key ECDSA P-256, " + key.Identity() + " signs verdicts and promotions",
		"sign key|ok|sign key ECDSA P-256, " + release.Identity() + " signs what rises to staging, production",
		"commits|ok|commits of the fleet repository must be signed by those of " + filepath.Join(s.dir, "allowed_signers"),
		`floor: root "corp": 1 certificate authority, `,
		`floor: signer by certificate "ci" (`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not there:\n%s", want, got)
		}
	}
	if strings.Contains(got, "PRIVATE") {
		t.Error("the key is shown")
	}
}
