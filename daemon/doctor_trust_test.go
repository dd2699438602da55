package daemon

import (
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy"
	"github.com/poundlock/poundlock/testenv"
)

// Doctor tells of keys that end soon, and not of those that are retired or end later.
func TestDoctor_TellsOfKeysThatEndSoon(t *testing.T) {
	key := must(testenv.NewSigner("p256"))(t).PublicPEM()
	text := `version: 1
signers:
  soon: {key: keys/a.pub, until: 2026-12-10}
  later: {key: keys/b.pub, until: 2027-06-30}
  retired: {key: keys/c.pub, until: 2026-01-31}
  always: {key: keys/d.pub}
rules: [{match: "**", require: {signers: [soon, later, retired, always]}}, {match: "docker.io/old/**", require: {signers: [retired]}}]
exceptions:
  - {match: docker.io/x/over, skip: [signatures], until: 2026-11-01, reason: OPS-1, approvedBy: ada}
  - {match: docker.io/x/ends, skip: [signatures], until: 2026-11-30, reason: OPS-2, approvedBy: ada}
  - {match: docker.io/x/long, skip: [signatures], until: 2027-11-30, reason: OPS-3, approvedBy: ada}
`
	files := mirror.Files{"desired/policy.yaml": []byte(text)}
	for _, name := range []string{"a", "b", "c", "d"} {
		files["desired/keys/"+name+".pub"] = []byte(key)
	}
	rules, problems := policy.Load(files, "")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	d := &doctor{config: config.Config{}, now: func() time.Time { return time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC) }}
	checks := d.checkTrust(rules, nil)
	var warned []string
	for _, c := range checks {
		if c.State == CheckWarning {
			warned = append(warned, c.Detail)
			if c.Problem == nil || c.Problem.Code != "DRT004" || c.Problem.Fix == "" || c.Problem.Where.File != mirror.PolicyFile {
				t.Errorf("without a way out: %+v", c)
			}
		}
	}
	all := strings.Join(warned, "\n")
	for _, want := range []string{`signer "soon" counts until`, "in 19 days", `signer "retired" counted until`, "too few of that rule are left",
		"docker.io/x/over (OPS-1) ended at 2026-11-02T00:00:00Z", "docker.io/x/ends (OPS-2) ends at 2026-12-01T00:00:00Z"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not there:\n%s", want, all)
		}
	}
	if len(warned) != 4 {
		t.Errorf("warned of %q", warned)
	}
	if !strings.Contains(checks[0].Detail, `keys "always" (ECDSA P-256)`) {
		t.Errorf("got %q", checks[0].Detail)
	}
}

// What this machine adds to the policy is looked at, too: the floor, the site's key, whose commits count.
func TestDoctor_LooksAtWhatTheSiteAdds(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{"desired/policy.yaml": pinnedPolicy})
	look := func() string {
		t.Helper()
		s.write(s.dir+"/config.yaml", s.config)
		d := &doctor{config: must(config.Load(s.dir+"/config.yaml", nil, nil))(t), now: s.clock}
		var lines []string
		for _, c := range d.checkSiteTrust(t.Context()) {
			code := ""
			if c.Problem != nil {
				code = c.Problem.Code
			}
			lines = append(lines, strings.Join([]string{c.Group, c.Name, string(c.State), code, c.Detail}, "|"))
		}
		return strings.Join(lines, "\n")
	}
	for _, want := range []string{"trust|floor|none", "trust|site key|none", "trust|commits|none"} {
		if got := look(); !strings.Contains(got, want) {
			t.Errorf("nothing configured: %q is not there:\n%s", want, got)
		}
	}
	s.withFloor(floorFor, map[string]string{"keys/vendor.pub": s.vendor.PublicPEM()})
	if got := look(); !strings.Contains(got, "trust|floor|ok||floor "+s.dir+"/floor/floor.yaml must admit, too") || !strings.Contains(got, `floor: key "vendor" (ECDSA P-256)`) {
		t.Errorf("a floor:\n%s", got)
	}
	s.withFloor("version: 1\nrulez: []\n", nil)
	if got := look(); !strings.Contains(got, "trust|floor|failed|DOC002") {
		t.Errorf("a broken floor:\n%s", got)
	}
	s.config = strings.Replace(s.config, "trust: {", "trust: {site: {key: {file: no-such-key}}, fleet: {allowedSigners: no-such-file}, ", 1)
	if got := look(); !strings.Contains(got, "trust|site key|failed|") || !strings.Contains(got, "trust|commits|failed|CFG067") {
		t.Errorf("a key and a file that are not there:\n%s", got)
	}
}
