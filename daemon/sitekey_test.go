package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy"
	"github.com/poundlock/poundlock/policy/attest"
	"github.com/poundlock/poundlock/testenv"
)

// loaded reads the configuration as it is now.
func (s *attesting) loaded() config.Config {
	s.t.Helper()
	file := filepath.Join(s.dir, "config.yaml")
	s.write(file, s.config)
	return must(config.Load(file, nil, nil))(s.t)
}

// listens makes the next line log into memory.
func (s *attesting) listens() *strings.Builder {
	s.t.Helper()
	s.close()
	var log strings.Builder
	s.line = must(Open(s.t.Context(), s.loaded(), Options{Log: slog.New(slog.NewTextHandler(&log, nil)), Now: s.clock}))(s.t)
	return &log
}

// ofSite is a site with a key of statements and one of signatures.
func ofSite(t *testing.T, files map[string]string) *attesting {
	t.Helper()
	s := &attesting{site: newSite(t, files)}
	s.proxy, s.plain = s.local.Proxy(), s.config
	s.key, s.signs = s.newKey("site.key"), s.newKey("release.key")
	s.sign("site.key", "production")
	return s
}

// cosign takes every statement under a key for a signature, so that one key must not do both.
func TestSiteKey_OneForStatementsAndSignaturesIsRefused(t *testing.T) {
	t.Parallel()
	s := ofSite(t, map[string]string{"desired/policy.yaml": vendorPolicy})
	if problems := CheckTrust(s.loaded()); len(problems) > 0 {
		t.Errorf("two keys: %v", problems)
	}
	same := must(os.ReadFile(filepath.Join(s.dir, "site.key")))(t)
	s.write(filepath.Join(s.dir, "release.key"), string(same))
	c := s.loaded()
	_, err := Open(t.Context(), c, Options{Log: slog.New(slog.DiscardHandler), Now: s.clock})
	var ps mirror.Problems
	if !errors.As(err, &ps) {
		t.Fatalf("the line begins: %v", err)
	}
	for name, ps := range map[string]mirror.Problems{"start": ps, "validate": CheckTrust(c)} {
		if len(ps) != 1 || ps[0].Code != "CFG054" || ps[0].Path != "trust.site.sign.key" || ps[0].Where.Line == 0 || !strings.Contains(ps[0].Why, "cosign") || ps[0].Fix == "" {
			t.Errorf("%s: got %+v", name, ps)
		}
	}
	d := &doctor{config: c, now: s.clock}
	if checks := d.checkSiteKeys(); checks[len(checks)-1].State != CheckFailed || checks[len(checks)-1].Problem.Code != "CFG054" {
		t.Errorf("doctor: %+v", checks)
	}
	// What is wrong with each of them is told in one pass.
	s.write(filepath.Join(s.dir, "site.key"), "canary-text")
	s.write(filepath.Join(s.dir, "release.key"), "canary-text")
	if ps := CheckTrust(s.loaded()); len(ps) != 2 || ps[0].Path != "trust.site.key" || ps[1].Path != "trust.site.sign.key" || strings.Contains(ps.Error(), "canary") {
		t.Errorf("two that are none: %v", ps)
	}
}

// Each of the two keys may be there without the other.
func TestSiteKey_StatementsAndSignaturesGoAlone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config string
		want   string
	}{
		"statements": {"key: {file: %[1]q}", "map[promotion:2 verdict:1]"},
		"signatures": {"sign: {key: {file: %[2]q}, stages: [production]}", "map[signature:1]"},
	} {
		t.Run(name, func(t *testing.T) {
			s := ofSite(t, map[string]string{"desired/policy.yaml": vendorPolicy, "desired/web.yaml": webList, "desired/web.txt": "docker.io/none/none:1\n"})
			s.config = s.plain + fmt.Sprintf("trust: {site: {"+c.config+"}}\n#%[1]s%[2]s\n", filepath.Join(s.dir, "site.key"), filepath.Join(s.dir, "release.key"))
			image := s.pushSigned("docker.io/library/app:1", "app")
			s.stand(image)
			s.rise()
			if got := fmt.Sprint(s.marks(image)); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			s.proxy.Reset()
			if s.poll(); s.proxy.Counts().Total() != 0 {
				t.Errorf("with nothing to do it asks %v", s.proxy.Counts().Paths)
			}
		})
	}
}

// A stage of trust.site.sign that no set has signs nothing, and is told of.
func TestSiteKey_AStageThatNoSetHasIsToldOf(t *testing.T) {
	t.Parallel()
	s := ofSite(t, map[string]string{"desired/policy.yaml": vendorPolicy, "desired/web.yaml": webList, "desired/web.txt": "docker.io/none/none:1\n",
		"desired/own.yaml": "version: 1\nsource: {kind: list, images: [\"docker.io/library/none:1\"]}\nstages: [snapshot, edge]\n"})
	s.sign("site.key", "edge", "prodction", "production")
	log := s.listens()
	for range 2 {
		s.cycle(Wake{Why: "test", Resolve: true})
	}
	if text := log.String(); strings.Count(text, "is none of this fleet") != 1 || !strings.Contains(text, "CFG055") || !strings.Contains(text, "prodction") {
		t.Errorf("the log:\n%s", text)
	}
	desired := s.line.fleet.Load().desired
	ps := StrangeSignStages(s.loaded(), desired)
	if len(ps) != 1 || ps[0].Path != "trust.site.sign.stages.1" || ps[0].Where.Line == 0 || !strings.Contains(ps[0].Fix, "production") {
		t.Fatalf("got %+v", ps)
	}
	d := &doctor{config: s.loaded(), now: s.clock}
	if checks := d.checkStages(desired); len(checks) != 1 || checks[0].State != CheckWarning || checks[0].Problem.Code != "CFG055" {
		t.Errorf("doctor: %+v", checks)
	}
}

// Whoever the policy trusts is somebody else than this site.
func TestDoctor_WarnsOfASignerThatIsThisSite(t *testing.T) {
	t.Parallel()
	s := ofSite(t, map[string]string{"desired/policy.yaml": vendorPolicy})
	for name, c := range map[string]struct {
		key  []byte
		want int
	}{"vendor": {[]byte(s.vendor.PublicPEM()), 0}, "statements": {s.key.PublicPEM(), 1}, "signatures": {s.signs.PublicPEM(), 1}} {
		rules, problems := policy.Load(mirror.Files{"desired/policy.yaml": []byte(vendorPolicy), "desired/keys/vendor.pub": c.key}, "")
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		d := &doctor{config: s.loaded(), now: s.clock}
		var warned int
		for _, check := range d.checkTrust(rules, nil) {
			if check.State == CheckWarning && check.Problem.Code == "CFG056" && check.Problem.Where.File == mirror.PolicyFile {
				warned++
			}
		}
		if warned != c.want {
			t.Errorf("%s: warned %d times, want %d", name, warned, c.want)
		}
	}
}

// A signature says that policy admits it: what is there only because policy is not enforced gets none, and does not
// rise to where clusters trust it.
func TestAttest_WhatIsOnlyWarnedOfIsNotSigned(t *testing.T) {
	t.Parallel()
	eachLocal(t, vendorPolicy+"mode: warn\n", func(t *testing.T, s *attesting) {
		good, bad := s.pushSigned("docker.io/library/good:1", "good"), s.push("docker.io/library/bad:1", "bad")
		s.stand(good, bad)
		r := s.rise()["web"]
		entry := entryOf(r.Plan, bad)
		if held := kinds(r.Plan, mirror.Refuse); len(held) != 1 || held["production/"+entry] != mirror.Held || !strings.Contains(details(r.Plan), "policy is not enforced for it") {
			t.Errorf("got %v", details(r.Plan))
		}
		if s.marks(good)["signature"] != 1 || s.marks(bad)["signature"] != 0 || s.legacy(bad, s.signs.PublicPEM()) != 0 {
			t.Errorf("signed: %v and %v", s.marks(good), s.marks(bad))
		}
		// A stage that is signed from now on keeps what stands there, unsigned.
		s.close()
		s.config = s.plain
		s.open()
		if r := s.sync()["web"]; r.Plan.Count(mirror.Unchanged) != 6 {
			t.Fatalf("without a key it does not rise: %v", details(r.Plan))
		}
		s.close()
		s.sign("site.key", "production")
		s.open()
		if r := s.sync()["web"]; r.Plan.Count(mirror.Unchanged) != 6 || s.marks(bad)["signature"] != 0 {
			t.Errorf("what stands: %v, %v", s.marks(bad), details(r.Plan))
		}
		// An exception stands behind it.
		s.policy(vendorPolicy + "mode: warn\nexceptions: [{match: \"" + bad.WithTag("").String() + "\", skip: [signatures], until: 2027-01-31, reason: r, approvedBy: a}]\n")
		s.sync()
		if s.marks(bad)["signature"] != 1 {
			t.Errorf("by an exception it is not signed: %v", s.marks(bad))
		}
	})
}

// Where statements cannot be written the first of them do not stand in the way of the rest, the registry is not asked
// for ever, and it is told once.
func TestAttest_WhatFailsIsTriedLast(t *testing.T) {
	t.Parallel()
	s := ofSite(t, map[string]string{"desired/policy.yaml": vendorPolicy, "desired/web.yaml": webList, "desired/web.txt": "docker.io/none/none:1\n"})
	var images []mirror.Reference
	for i := range 3 * attachGivesUp {
		images = append(images, s.pushSigned(fmt.Sprintf("docker.io/library/app%02d:1", i), fmt.Sprint("app", i)))
	}
	bad := images[:attachGivesUp+2] // they come first
	writes := func(only []mirror.Reference) {
		s.proxy.Break(testenv.Always(func(r *http.Request) bool {
			for _, image := range only {
				if r.Method == http.MethodPost && strings.Contains(r.URL.Path, "/"+image.Name()+"/") {
					return true
				}
			}
			return false
		}, testenv.Fault{Status: http.StatusForbidden}))
	}
	s.config = s.plain
	s.stand(images...)
	s.close()
	s.sign("site.key")
	log := s.listens()
	defer s.close()
	tried := func() int {
		s.proxy.Reset()
		s.now = s.now.Add(lastRetry)
		s.poll()
		asked := map[string]bool{}
		for _, path := range s.requests(func(path string) bool { return strings.HasPrefix(path, http.MethodPost) }) {
			repository, _, _ := strings.Cut(path, "/blobs/")
			asked[repository] = true
		}
		return len(asked)
	}
	told := func() int { return strings.Count(log.String(), "could not be attached") }
	missing := func() int {
		n := must(s.line.Status(t.Context()))(t).Sets[0].Unattached
		if gauge := fmt.Sprintf("poundlock_statements_missing{set=\"web\"} %d\n", n); !strings.Contains(s.metrics(), gauge) {
			t.Errorf("not among the metrics: %s", gauge)
		}
		return n
	}
	writes(images)
	for range 3 {
		if n := tried(); n < attachGivesUp || n >= attachGivesUp+attachAtOnce {
			t.Errorf("a registry that takes nothing is asked for %d images", n)
		}
	}
	if told() != 1 || missing() != len(images) {
		t.Errorf("told %d times, %d are missing", told(), missing())
	}
	s.now = s.now.Add(remind)
	if tried(); told() != 2 {
		t.Errorf("it is not told again: %d", told())
	}
	// Another process that knows nothing of the failures: the bad ones come first.
	s.close()
	log = s.listens()
	writes(bad)
	for i := range 4 {
		tried()
		if i > 0 && missing() == len(bad) {
			break
		}
	}
	for i, image := range images {
		if got := s.marks(image)["verdict"]; (got == 1) == (i < len(bad)) {
			t.Errorf("%s: %d verdicts", image, got)
		}
	}
	s.proxy.Break(nil)
	for range 3 {
		tried()
	}
	if n := missing(); n != 0 || !s.line.progress("web").nextRetry().IsZero() {
		t.Errorf("%d are missing in the end", n)
	}
	if s.marks(images[0])["verdict"] != 1 {
		t.Error("what failed is not made up for")
	}
}

// What a step did not come to has not failed.
func TestAttest_WhatWasNotTriedKeepsItsTurn(t *testing.T) {
	p := newProgress()
	var places []*owed
	for i := range 4 {
		places = append(places, &owed{at: mirror.Reference{Host: "r", Repository: fmt.Sprint(i)}, make: map[attest.Mark]making{attest.SignatureMark: nil}})
	}
	order := func() (text string) {
		for _, o := range p.inTurn(places) {
			text += o.at.Repository
		}
		return text
	}
	if _, lacking := p.attached(places, []error{errors.New("x"), nil, fmt.Errorf("%w: %w", errNotTried, context.Canceled)}); lacking != 3 || order() != "1230" {
		t.Errorf("%d are lacking, in turn %s", lacking, order())
	}
	if first, _ := p.attached(p.inTurn(places), []error{errNotTried, errors.New("y"), errors.New("z")}); first.Error() != "y" || order() != "1230" {
		t.Errorf("first %v, in turn %s", first, order())
	}
	if _, lacking := p.attached(nil, nil); lacking != 0 || p.unattached() != 0 || !p.complains(time.Now()) || p.complains(time.Now()) {
		t.Error("what is over is not forgotten")
	}
}
