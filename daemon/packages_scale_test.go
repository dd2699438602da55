package daemon

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// packagesVariable says how many names of packages a campaign has, and how many versions of each: 350x57, 5000x4.
const packagesVariable = "POUNDLOCK_TEST_PACKAGES"

// scaledPolicy has all gates that need no forge.
const scaledPolicy = `version: 1
signers: {elastic: {pgp: keys/elastic.asc}}
rules:
  - {match: "epr.elastic.co/**", require: {signers: [elastic]}}
gates:
  - {stages: [staging], soak: 1h, downgrade: refuse, immutable: true}
  - {stages: [production], soak: 1h, downgrade: refuse, immutable: true, applyWithin: 72h}
`

// scaledSite is a site with site keys on which a set of many packages stands at all stages, but for ten new ones.
type scaledSite struct {
	*packageSite
	registry        *testenv.Proxy // the local one, in memory: what registries do with disks is not what is measured
	names, versions int
	ten             []string // entries that stand at the first stage alone
}

// scaledVendors begin the names of packages: real ones crowd behind a few words, too.
var scaledVendors = strings.Fields("apache auditd aws azure barracuda carbon_black checkpoint cisco citrix cloudflare crowdstrike docker elastic_agent " +
	"f5 fortinet gcp github google_workspace iis jamf juniper kafka kubernetes linux mattermost microsoft mysql netflow nginx o365 okta palo_alto " +
	"ping_one postgresql proofpoint qualys rabbitmq redis sentinel_one snort sophos suricata system tenable ti_abusech vsphere windows zeek zoom zscaler")

func scaledName(i int) string {
	return fmt.Sprintf("%s_%d", scaledVendors[i%len(scaledVendors)], i/len(scaledVendors))
}

// scaledPackage is one version of one of them.
func scaledPackage(name, version int) testenv.EPRPackage {
	return testenv.EPRPackage{Name: scaledName(name), Version: fmt.Sprintf("1.%d.0", version), Kibana: "^8.12.0", Categories: []string{"security"}}
}

// measured runs something and says what it took.
func (s *scaledSite) measured(what string, f func()) {
	s.t.Helper()
	s.quiet()
	s.registry.Reset()
	s.epr.Proxy().Reset()
	began, worked := time.Now(), processorTime()
	heap, _ := testenv.Growth(f)
	git, local, epr := s.git.Proxy().Counts(), s.registry.Counts(), s.epr.Proxy().Counts()
	state, _ := os.Stat(filepath.Join(s.dir, "state", "state.db"))
	s.t.Logf("%-26s %7.2f s, %7.2f s of CPU, heap grew %4d MiB; pushed to Git %8d B; local: %6d requests, %6d writes, %9d B in; upstream: %d requests, %d searches; state.db %d KiB",
		what, time.Since(began).Seconds(), (processorTime() - worked).Seconds(), heap>>20, git.Received, local.Total(), local.Writes(), local.Received, epr.Total(), s.epr.Asked(testenv.OfSearch), state.Size()>>10)
}

// processorTime is what this process has used of processors, with the servers of the test.
func processorTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// newScaledSite brings packages to all stages.
func newScaledSite(t *testing.T, names, versions int) *scaledSite {
	t.Helper()
	var packages []testenv.EPRPackage
	ten, last := []string{}, map[string]bool{}
	for i := range names {
		for v := range versions {
			packages = append(packages, scaledPackage(i, v))
		}
		if i%(names/10) == 0 && len(ten) < 10 {
			id := packages[len(packages)-1].ID()
			ten, last[id] = append(ten, id), true
		}
	}
	s := &scaledSite{packageSite: newPackageSite(t, packages...), names: names, versions: versions, ten: ten,
		registry: testenv.NewProxy(ggcr.New(ggcr.WithReferrersSupport(true), ggcr.Logger(log.New(io.Discard, "", 0))))}
	server := must(testenv.NewServer(s.registry))(t)
	t.Cleanup(server.Close)
	s.config = strings.ReplaceAll(s.config, s.local.URL(), server.URL())
	s.commit("all gates", map[string]string{"desired/policy.yaml": scaledPolicy, "desired/elastic.yaml": packageSet("versions: all, prereleases: true", "layout: tag\n")})
	a := &attesting{site: s.site, plain: s.config}
	a.newKey("site.key")
	a.sign("site.key")
	s.config += "limits: {cycle: 2h}\n"
	s.open()
	s.measured("first sync", func() { s.sync() })
	s.measured("statements", s.settles)
	for _, stage := range []mirror.Stage{"staging", "production"} {
		s.now = s.now.Add(2 * time.Hour)
		below, _ := mirror.Stages(mirror.DefaultStages).Below(stage)
		var entries []string
		for _, entry := range sortedKeys(must(s.line.state.Record("elastic"))(t).At(below)) {
			if !last[entry] {
				entries = append(entries, entry)
			}
		}
		s.measured("promote all to "+string(stage), func() { s.rises(stage, entries) })
		s.measured("statements", s.settles)
	}
	s.now = s.now.Add(2 * time.Hour)
	s.sync()
	return s
}

// rises promotes entries by a commit and lets them come.
func (s *scaledSite) rises(stage mirror.Stage, entries []string) {
	s.t.Helper()
	p, err := s.line.Promote(s.t.Context(), PromoteOrder{Set: "elastic", Stage: stage, Entries: entries})
	if err != nil || p.Outcome != PromotedCommitted || len(p.Moves) != len(entries) {
		s.t.Fatalf("promote to %s: %s of %d, %v, %v", stage, p.Outcome, len(p.Moves), p.Why[:min(len(p.Why), 3)], err)
	}
	s.follows()
	standing := must(s.line.state.Record("elastic"))(s.t).At(stage)
	for _, entry := range entries {
		if standing[entry].Image.IsZero() {
			s.t.Fatalf("%s does not stand in %s", entry, stage)
		}
	}
}

// follows does what a look at Git finds to be done, until everything is at rest.
func (s *scaledSite) follows() {
	s.t.Helper()
	must(s.line.Sync(s.t.Context(), Wake{Why: "poll"}))(s.t)
}

// settles steps until all statements are attached.
func (s *scaledSite) settles() {
	s.t.Helper()
	for range 1000 {
		if s.line.progress("elastic").unattached() == 0 && !s.line.progress("elastic").judgesOn(s.now) {
			return
		}
		s.now = s.now.Add(attachSoon)
		must(s.line.cycle(s.t.Context(), Wake{Why: "statements", Local: true}))(s.t)
	}
	s.t.Fatal("statements are never all attached")
}

// largest gives the largest file in Git.
func (s *scaledSite) largest() (name string, size int) {
	s.t.Helper()
	for file, body := range s.main() {
		if len(body) > size {
			name, size = file, len(body)
		}
	}
	return name, size
}

// A set of many packages costs what changes in it, not what it holds: nothing in Git grows with the set, and neither a
// promotion of a few nor an edited policy is larger for all that stands.
func TestPackages_WhatChangesCostsNotWhatStands(t *testing.T) {
	names, versions := 30, 10
	if text := os.Getenv(packagesVariable); text != "" {
		before, after, _ := strings.Cut(text, "x")
		names, versions = must(strconv.Atoi(before))(t), must(strconv.Atoi(after))(t)
	}
	s := newScaledSite(t, names, versions)
	if name, size := s.largest(); size > 1<<20 {
		t.Errorf("%s has %d bytes", name, size)
	}
	s.measured("audit", func() { s.cycle(Wake{Why: "audit", Audit: true}) })
	s.measured("unchanged", func() { s.cycle(Wake{Why: "schedule", Resolve: true}) })
	if n, all := s.epr.Asked(testenv.OfSearch), s.epr.Proxy().Counts().Total(); n != 1 || all != 1 || s.registry.Counts().Total() > 0 {
		t.Errorf("with nothing new: %d searches of %d requests upstream, and %v here", n, all, s.registry.Counts().Requests)
	}
	for _, stage := range []mirror.Stage{"staging", "production"} {
		s.measured("ten to "+string(stage), func() { s.rises(stage, s.ten) })
		pushed, local := s.git.Proxy().Counts().Received, s.registry.Counts()
		if pushed > 2*100_000 || local.Writes() > 200 || local.Total() > 600 { // two commits; ten packages, their statements, the channels
			t.Errorf("ten packages to %s: pushed %d bytes; here %v", stage, pushed, local.Requests)
		}
		s.measured("statements", s.settles)
		s.now = s.now.Add(2 * time.Hour)
		s.follows()
	}
	zips := func(r *http.Request) bool {
		return strings.HasSuffix(r.URL.Path, ".zip") || strings.HasSuffix(r.URL.Path, ".sig")
	}
	for _, edit := range [][2]string{
		{"a gate", strings.Replace(scaledPolicy, "soak: 1h", "soak: 2h", 1)},
		{"a deny", scaledPolicy + "deny: {repos: [\"docker.io/**\"]}\n"},
		{"the rule", strings.Replace(scaledPolicy, "signers: [elastic]", "signers: [elastic], count: 1", 1)},
		{"it is back", scaledPolicy},
	} {
		what, policy := edit[0], edit[1]
		s.measured("policy: "+what, func() {
			s.policy(policy)
			s.follows()
			s.settles()
		})
		git, local := s.git.Proxy().Counts(), s.registry.Counts()
		if git.Received > 10_000 || local.Total() > 0 || s.epr.Asked(zips) > 0 {
			t.Errorf("an edit of %s: pushed %d bytes; here %v, %d bytes in and %d out; fetched %d files", what, git.Received, local.Requests, local.Received, local.BlobSent, s.epr.Asked(zips))
		}
	}
	s.measured("get packages", func() {
		line := s.looking(true)
		if _, err := line.Look(context.Background()); err != nil {
			t.Error(err)
		}
	})
	s.measured("plan", func() { s.preview(PreviewOptions{}) })
	s.measured("plan --offline", func() { must(s.looks(PreviewOptions{}, true))(t) })
	s.close()
	s.measured("start", func() { s.sync() })
	s.close()
	if err := os.RemoveAll(filepath.Join(s.dir, "state")); err != nil {
		t.Fatal(err)
	}
	s.measured("state lost", func() { s.sync(); s.settles() })
	if n := s.epr.Asked(zips); n > 0 {
		t.Errorf("without a state %d zips were fetched", n)
	}
}
