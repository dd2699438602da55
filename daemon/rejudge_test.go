package daemon

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// twoRules asks the vendor's signature of two groups of images, each by a rule of its own.
const twoRules = `version: 1
signers: {vendor: {key: keys/vendor.pub}, other: {key: keys/other.pub}}
rules:
  - {match: "docker.io/one/**", require: {signers: [vendor], count: 1}}
  - {match: "docker.io/two/**", require: {signers: [vendor], count: 1}}
`

// signedSite is a site on which so many images of each group stand, signed by the vendor.
func signedSite(t *testing.T, each int) (s *site, images []mirror.Reference) {
	t.Helper()
	other := must(testenv.NewSigner("p256"))(t)
	s = newSite(t, map[string]string{"desired/policy.yaml": twoRules, "desired/keys/other.pub": other.PublicPEM(),
		"desired/many.yaml": "version: 1\nsource: {kind: list, file: many.txt}\n", "desired/many.txt": "docker.io/none/none:1\n"})
	images = make([]mirror.Reference, 2*each)
	var group errgroup.Group
	group.SetLimit(8)
	for i := range images {
		group.Go(func() error {
			ref, err := mirror.ParseReference(fmt.Sprintf("docker.io/%s/image%03d:1", []string{"one", "two"}[i%2], i))
			if err != nil {
				return err
			}
			d, err := testenv.Push(t.Context(), s.upstream.Back(), ref.Name(), ref.Tag, testenv.Image(fmt.Sprint("image", i)))
			images[i] = ref.WithDigest(d)
			if err != nil {
				return err
			}
			return s.vendor.SignLegacy(t.Context(), s.upstream.Back()+"/"+ref.Name(), d, testenv.Claiming(ref.Name()))
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	s.commit("all", map[string]string{"desired/many.txt": list(images...)})
	if r := s.sync()["many"]; r.Plan.Count(mirror.Unchanged) != len(images) {
		t.Fatalf("first sync: %d of %d stand; %v", r.Plan.Count(mirror.Unchanged), len(images), details(r.Plan))
	}
	return s, images
}

func (s *site) reset() {
	s.upstream.Proxy().Reset()
	s.local.Proxy().Reset()
}

// poll runs one cycle as a look at Git does.
func (s *site) poll() map[string]Report {
	s.t.Helper()
	return s.cycle(Wake{Why: "poll"})
}

func (s *site) cycle(w Wake) map[string]Report {
	s.t.Helper()
	all := must(s.line.cycle(s.t.Context(), w))(s.t)
	reports := map[string]Report{}
	for _, r := range all {
		reports[r.Set] = r
	}
	return reports
}

// policy commits another policy and gives the commit.
func (s *site) policy(text string) string {
	s.t.Helper()
	return s.commit("policy", map[string]string{"desired/policy.yaml": text})
}

// One edited line of policy is no commit of ours and judges again only the images that it is about, by what lies
// beside them here.
func TestPolicyEdit_JudgesOnlyWhatItTouchesAndRewritesNothing(t *testing.T) {
	t.Parallel()
	const each = 20
	s, _ := signedSite(t, each)
	record := s.file("rendered/demo/record/many/snapshot.yaml")
	head := s.policy(strings.Replace(twoRules, `"docker.io/two/**", require: {signers: [vendor]`, `"docker.io/two/**", require: {signers: [vendor, other]`, 1))
	s.reset()
	r := s.poll()["many"]
	if n := r.Plan.Count(mirror.Unchanged); n != 2*each || r.Commit != "" || s.git.Head() != head {
		t.Errorf("%d of %d stand, commit %q, head %s; want no commit after %s", n, 2*each, r.Commit, s.git.Head(), head)
	}
	local, upstream := s.local.Proxy().Counts(), s.upstream.Proxy().Counts()
	if upstream.Total() != 0 || local.Writes() != 0 {
		t.Errorf("%d upstream requests and %d local writes, want none", upstream.Total(), local.Writes())
	}
	touched := 0
	for _, path := range local.Paths {
		if strings.Contains(path, "/docker.io/one/") {
			t.Errorf("the edited rule is not about %s", path)
		}
		if strings.Contains(path, "/docker.io/two/") {
			touched++
		}
	}
	if touched == 0 || touched > 3*each {
		t.Errorf("%d requests about %d images, want at most 3 for each", touched, each)
	}
	if now := s.file("rendered/demo/record/many/snapshot.yaml"); now != record {
		t.Error("the record was rewritten")
	}
	for _, w := range []Wake{{Why: "poll"}, {Why: "schedule", Resolve: true}} {
		s.reset()
		s.cycle(w)
		if l, u := s.local.Proxy().Counts().Total(), s.upstream.Proxy().Counts().Total(); l+u != 0 {
			t.Errorf("%s under an unchanged policy: %d local and %d upstream requests, want none: %v", w.Why, l, u, s.local.Proxy().Counts().Paths)
		}
	}
	t.Logf("%d requests for %d images of %d", touched, each, 2*each)
}

// After a change no more than trust.rejudging entries are judged by one step; the others stand meanwhile, and the
// set is stepped at once until all are through.
func TestPolicyEdit_JudgesWithinABudget(t *testing.T) {
	t.Parallel()
	s, images := signedSite(t, 5)
	s.config += "trust: {rejudging: 4}\n"
	s.open()
	s.sync()
	s.policy(strings.ReplaceAll(twoRules, "signers: [vendor]", "signers: [vendor, other]"))
	for step, left := range []int{6, 2, 0} {
		s.reset()
		w := Wake{Why: "retry", Local: true}
		if step == 0 {
			w = Wake{Why: "poll"}
		}
		r, stepped := s.cycle(w)["many"]
		if !stepped {
			t.Fatalf("step %d: the set was not stepped", step)
		}
		if n := r.Plan.Count(mirror.Unchanged); n != len(images) {
			t.Errorf("step %d: %d of %d stand: %v", step, n, len(images), details(r.Plan))
		}
		if n := s.local.Proxy().Counts().Total(); n == 0 || n > 4*3 {
			t.Errorf("step %d: %d requests, want some for 4 images at most: %v", step, n, s.local.Proxy().Counts().Paths)
		}
		if n := s.line.progress("many").unjudged(); n != left {
			t.Errorf("step %d: %d are left to be judged, want %d", step, n, left)
		}
		status := must(s.line.Status(t.Context()))(t)
		if status.Sets[0].Policy.Unjudged != left {
			t.Errorf("step %d: status tells of %d", step, status.Sets[0].Policy.Unjudged)
		}
	}
	if _, stepped := s.cycle(Wake{Why: "retry", Local: true})["many"]; stepped {
		t.Error("a set is stepped although all of it is judged")
	}
	// A sync goes on until all are through.
	s.policy(twoRules + "  - {match: \"**\", require: {signers: [vendor, other], count: 1}, reference: any}\n")
	s.sync()
	if n := s.line.progress("many").unjudged(); n != 0 {
		t.Errorf("after a sync %d are left to be judged", n)
	}
	// A plan shows all of it at once.
	s.policy(strings.ReplaceAll(twoRules, "signers: [vendor]", "signers: [other]"))
	d := must(s.line.Preview(t.Context(), PreviewOptions{}))(t)
	if d.Totals.NoLonger != len(images) {
		t.Errorf("the plan shows %d that are admitted no longer, want %d", d.Totals.NoLonger, len(images))
	}
}

// A rule that becomes stricter shows what stands and would not pass any more, and takes nothing away.
func TestPolicyTightens_ShowsAndRemovesNothing(t *testing.T) {
	t.Parallel()
	s, images := signedSite(t, 2)
	record := s.file("rendered/demo/record/many/snapshot.yaml")
	head := s.policy(strings.Replace(twoRules, `"docker.io/two/**", require: {signers: [vendor]`, `"docker.io/two/**", require: {signers: [other]`, 1))
	d := must(s.line.Preview(t.Context(), PreviewOptions{}))(t)
	if d.Totals.NoLonger != 2 || d.Totals.Refused != 2 {
		t.Errorf("the plan shows %d that are admitted no longer and %d refusals, want 2: %s", d.Totals.NoLonger, d.Totals.Refused, d.Totals.Counts())
	}
	s.reset()
	r := s.sync()["many"]
	for _, a := range r.Plan.Actions {
		two := strings.HasPrefix(a.Key.Entry, "docker.io/two/")
		if a.Key.Entry != "" && (a.Kind == mirror.Refuse) != two || a.Stands != two || two && !strings.Contains(a.Reason.Detail, "admitted no longer") {
			t.Errorf("%s: %s, stands %t: %s", a.Key, a.Kind, a.Stands, a.Reason)
		}
	}
	if s.local.Proxy().Counts().Writes() != 0 || s.git.Head() != head || s.file("rendered/demo/record/many/snapshot.yaml") != record {
		t.Errorf("%d local writes, head %s, want none after %s, and the record as it was", s.local.Proxy().Counts().Writes(), s.git.Head(), head)
	}
	for _, image := range images {
		if got := s.stageTagOf("many", image); got != image.Digest {
			t.Errorf("%s names %s", image, got)
		}
	}
	status := must(s.line.Status(t.Context()))(t)
	if p := status.Sets[0].Policy; p.NoLonger != 2 || p.Unjudged != 0 {
		t.Errorf("status: %+v", p)
	}
	events := must(s.line.Events(Filter{Type: EventRefused}))(t)
	if len(events) != 2 || !strings.Contains(events[0].Reason, "admitted no longer") {
		t.Errorf("events: %+v", events)
	}
	if text := s.metrics(); !strings.Contains(text, `poundlock_policy_no_longer_admitted{set="many",stage="snapshot"} 2`) {
		t.Errorf("metrics:\n%s", text)
	}
	// It is admitted again as it was, without a commit.
	head = s.policy(twoRules)
	if r := s.sync()["many"]; r.Plan.Count(mirror.Unchanged) != len(images) || s.git.Head() != head {
		t.Errorf("with the rule as before %d stand, head %s: %v", r.Plan.Count(mirror.Unchanged), s.git.Head(), details(r.Plan))
	}
	if text := s.metrics(); strings.Contains(text, "poundlock_policy_no_longer_admitted{") {
		t.Errorf("metrics tell of what is over:\n%s", text)
	}
}

// stageTagOf gives what the first stage's tag of an image names.
func (s *site) stageTagOf(set string, image mirror.Reference) mirror.Digest {
	s.t.Helper()
	f := s.line.fleet.Load()
	one, _ := f.desired.Set(set)
	for _, e := range one.Entries {
		if e.Image.Name() == image.Name() {
			p := s.line.local.Pointer(one, one.Stages.First(), e.Name, image)
			return s.tag(p.Repository, p.Tag)
		}
	}
	return mirror.Digest{}
}

// metrics gives the page of metrics.
func (s *site) metrics() string {
	s.t.Helper()
	families := must(s.line.metrics.registry.Gather())(s.t)
	var b strings.Builder
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if g := m.GetGauge(); g != nil {
				var labels []string
				for _, l := range m.GetLabel() {
					labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
				}
				fmt.Fprintf(&b, "%s{%s} %v\n", f.GetName(), strings.Join(labels, ","), g.GetValue())
			}
		}
	}
	return b.String()
}

// What cannot be asked is neither admitted nor taken away, in no mode.
func TestUnknown_NeverCopiesNorDeletesInAnyMode(t *testing.T) {
	t.Parallel()
	signatures := func(r *http.Request) bool {
		return strings.HasSuffix(r.URL.Path, ".sig") || strings.Contains(r.URL.Path, "/referrers/") || strings.Contains(r.URL.Path, "/manifests/sha256-")
	}
	for _, mode := range []string{"enforce", "warn", "audit"} {
		t.Run(mode, func(t *testing.T) {
			rules := vendorPolicy + "mode: " + mode + "\n"
			s := newSite(t, map[string]string{"desired/policy.yaml": rules})
			stands := s.pushSigned("docker.io/library/stands:1", "stands")
			s.commit("one", map[string]string{"desired/web.yaml": "version: 1\nsource: {kind: list, file: web.txt}\n", "desired/web.txt": list(stands)})
			s.sync()
			next := s.push("docker.io/library/next:1", "next")
			for _, r := range []*testenv.Registry{s.upstream, s.local} {
				r.Proxy().Break(testenv.Always(signatures, testenv.Fault{Status: http.StatusServiceUnavailable}))
			}
			other := must(testenv.NewSigner("p256"))(t)
			s.commit("two", map[string]string{"desired/web.txt": list(stands, next), "desired/keys/other.pub": other.PublicPEM(),
				"desired/policy.yaml": strings.NewReplacer("signers: {vendor: {key: keys/vendor.pub}}", "signers: {vendor: {key: keys/vendor.pub}, other: {key: keys/other.pub}}",
					"signers: [vendor]", "signers: [vendor, other]").Replace(rules)})
			s.reset()
			reports, _ := s.trySync()
			r := reports["web"]
			for _, a := range r.Plan.Actions {
				want := map[string]mirror.Kind{"docker.io/library/stands:1": mirror.Unchanged, "docker.io/library/next:1": mirror.Failed}[a.Key.Entry]
				if want != "" && a.Kind != want {
					t.Errorf("%s: %s (%s), want %s", a.Key, a.Kind, a.Reason, want)
				}
			}
			s.noTrace("mirror/docker.io/library/next")
			if n := s.local.Proxy().Counts().Writes(); n != 0 {
				t.Errorf("%d writes to the local registry, want none", n)
			}
			if got := s.stageTagOf("web", stands); got != stands.Digest {
				t.Errorf("what stands names %s", got)
			}
		})
	}
}

// A stage that only warns admits with a warning that is told once; when it is enforced, what stands stays and is shown.
func TestMode_WarnThenEnforce(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{"desired/policy.yaml": vendorPolicy + "mode: warn\n",
		"desired/web.yaml": "version: 1\nsource: {kind: list, images: [\"docker.io/library/web:1\"]}\n"})
	image := s.push("docker.io/library/web:1", "unsigned")
	s.sync()
	if got := s.stageTagOf("web", image); got != image.Digest {
		t.Fatalf("warn mode did not let it in: %s", got)
	}
	for range 3 {
		s.sync()
		s.now = s.now.Add(2 * time.Hour)
	}
	warned := must(s.line.Events(Filter{Type: EventWarned}))(t)
	if len(warned) != 1 || warned[0].Set != "web" || warned[0].Stage != "snapshot" || !strings.Contains(warned[0].Reason, "no signature") {
		t.Errorf("warned: %+v", warned)
	}
	look := must(s.line.Look(t.Context()))(t)
	if r := look.Sets[0].Lines[0].Stages[0].Remark; r == nil || r.Outcome != mirror.OutcomeWarn || len(r.Warnings) != 1 {
		t.Errorf("look: %+v", r)
	}
	if p := must(s.line.Status(t.Context()))(t).Sets[0].Policy; p.Warned != 1 || len(p.Warnings) != 1 {
		t.Errorf("status: %+v", p)
	}
	if text := s.metrics(); !strings.Contains(text, `poundlock_policy_warnings{set="web",stage="snapshot"} 1`) {
		t.Errorf("metrics:\n%s", text)
	}
	d := must(s.line.Preview(t.Context(), PreviewOptions{}))(t)
	if d.Totals.Warned != 1 {
		t.Errorf("plan: %s", d.Totals.Counts())
	}
	head := s.policy(vendorPolicy)
	r := s.sync()["web"]
	if got := kinds(r.Plan, mirror.Refuse)["snapshot/"+webEntry]; got != mirror.NoSignature || s.git.Head() != head {
		t.Errorf("enforced: %q, head %s: %v", got, s.git.Head(), details(r.Plan))
	}
	if got := s.stageTagOf("web", image); got != image.Digest {
		t.Errorf("what stood names %s now", got)
	}
	// A signature that comes late is picked up.
	if err := s.vendor.SignLegacy(t.Context(), s.upstream.Back()+"/"+image.Name(), image.Digest, testenv.Claiming(image.Name())); err != nil {
		t.Fatal(err)
	}
	if r := s.sync()["web"]; r.Plan.Count(mirror.Unchanged) != 1 {
		t.Errorf("signed late: %v", details(r.Plan))
	}
}

// What stands and lacks a signature is asked for with a backoff that ends at the audit interval, what is still to come
// with the short one. A refusal is counted when it is judged, not when it is remembered.
func TestPolicyEdit_WhatStandsIsAskedForSeldom(t *testing.T) {
	t.Parallel()
	s, images := signedSite(t, 3)
	s.policy(strings.ReplaceAll(twoRules, "signers: [vendor]", "signers: [other]"))
	began := s.now
	if r := s.poll()["many"]; r.Plan.Count(mirror.Refuse) != len(images) {
		t.Fatalf("not all are refused: %v", details(r.Plan))
	}
	counted := s.counter("poundlock_verify_total")
	for range 3 {
		s.cycle(Wake{Why: "again", Sets: []string{"many"}})
	}
	if now := s.counter("poundlock_verify_total"); counted != float64(len(images)) || now != counted {
		t.Errorf("%v refusals are counted, and %v after steps that judged nothing; want %d", counted, now, len(images))
	}
	p := s.line.progress("many")
	steps := 0
	s.reset()
	for s.now.Before(began.Add(48 * time.Hour)) {
		next := p.nextLook()
		if next.IsZero() || next.Sub(s.now) > s.line.config.Audit {
			t.Fatalf("after %s the next look is at %s", s.now.Sub(began), next)
		}
		s.now = next
		s.cycle(Wake{Why: "retry", Local: true})
		steps++
	}
	if steps > 25 {
		t.Errorf("%d steps in two days", steps)
	}
	if n := s.upstream.Proxy().Counts().Total(); n == 0 || n > steps*len(images)*4 {
		t.Errorf("%d upstream requests in %d steps", n, steps)
	}
	unsigned := s.push("docker.io/one/late:1", "late")
	s.commit("one more", map[string]string{"desired/many.txt": list(append(images, unsigned)...)})
	s.poll()
	for range 12 {
		s.now = p.nextLook()
		s.cycle(Wake{Why: "retry", Local: true})
	}
	if wait := p.nextLook().Sub(s.now); wait > lastRetry {
		t.Errorf("what does not stand yet is asked for again after %s", wait)
	}
}

// counter gives the sum of a counter over all its labels.
func (s *site) counter(name string) (sum float64) {
	s.t.Helper()
	for _, f := range must(s.line.metrics.registry.Gather())(s.t) {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}
