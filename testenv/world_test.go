package testenv_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/internal/registry"
	"github.com/poundlock/poundlock/policy"
	"github.com/poundlock/poundlock/sources"
	"github.com/poundlock/poundlock/testenv"
)

func newWorld(t *testing.T) *testenv.World {
	t.Helper()
	w, err := testenv.NewWorld(t.Context(), t.TempDir(), testenv.WorldOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

// client reads the upstream as the daemon does, under the hosts' own names.
func client(t *testing.T, w *testenv.World) *registry.Client {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	endpoints := map[string]registry.Endpoint{}
	for _, host := range []string{"docker.io", "ghcr.io", "quay.io", "gitlab-registry.matrix.org"} {
		endpoints[host] = registry.Endpoint{URL: w.Upstream.URL(), Prefix: host}
	}
	return registry.New(&http.Client{Transport: transport}, endpoints)
}

func fleet(t *testing.T, w *testenv.World) (mirror.Desired, policy.Policy) {
	t.Helper()
	head, err := w.Git.Files("main")
	if err != nil {
		t.Fatal(err)
	}
	files := mirror.Files{}
	for name, body := range head {
		files[name] = []byte(body)
	}
	desired, problems := mirror.ParseDesired("head", files)
	p, more := policy.Load(files, "head")
	problems = append(problems, more...)
	for i := range desired.Sets {
		problems = append(problems, sources.Read(&desired.Sets[i], files)...)
	}
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return desired, p
}

func TestWorld_IsWhatItSays(t *testing.T) {
	w := newWorld(t)
	t.Run("a real component tree", func(t *testing.T) { holdsARealComponentTree(t, w) })
	t.Run("exactly the bad entries that it names", func(t *testing.T) { hasExactlyTheBadEntriesThatItNames(t, w) })
	t.Run("a configuration for every server", func(t *testing.T) { configNamesEveryServer(t, w) })
}

func holdsARealComponentTree(t *testing.T, w *testenv.World) {
	desired, _ := fleet(t, w)
	ess, _ := desired.Set("ess")
	hosts, images := map[string]bool{}, map[string]int{}
	for _, e := range ess.Entries {
		hosts[e.Image.Host] = true
		images[e.Image.String()]++
	}
	if len(ess.Entries) != 38 || len(hosts) != 4 || images[haproxy(ess).String()] != 3 {
		t.Errorf("%d entries of %d hosts, haproxy %d times", len(ess.Entries), len(hosts), images[haproxy(ess).String()])
	}
	if i := slices.IndexFunc(ess.Entries, func(e mirror.Entry) bool {
		return e.Name == "matrix_content_scanner/clam_anti_virus"
	}); ess.Entries[i].Image.Tag != "1.10" {
		t.Errorf("an unquoted tag came back as %q", ess.Entries[i].Image.Tag)
	}
	if faults := testenv.Verify(w.Upstream.Back()); len(faults) > 0 {
		t.Errorf("upstream: %v", faults)
	}
	if tags := testenv.TagsOf(w.Local.Back()); len(tags) > 0 {
		t.Errorf("the local registry is not empty: %v", tags)
	}
	if n := w.Upstream.Proxy().Counts().Total() + w.Local.Proxy().Counts().Total(); n > 0 {
		t.Errorf("making the world counts as %d requests of the daemon", n)
	}
}

func hasExactlyTheBadEntriesThatItNames(t *testing.T, w *testenv.World) {
	desired, p := fleet(t, w)
	upstream := client(t, w)
	want := map[string]mirror.ReasonCode{"missing": mirror.UpstreamMissing, "unsigned": mirror.NoSignature, "wrong-key": mirror.BadSignature, "tampered": mirror.BadSignature}
	var bad []string
	outcomes := map[mirror.Outcome]int{}
	for _, set := range desired.Sets {
		for _, c := range sources.Resolve(t.Context(), set, mirror.Record{}, upstream, true) {
			var have mirror.ReasonCode
			if errors.Is(c.Err, mirror.ErrNotFound) {
				have = mirror.UpstreamMissing
			} else if c.Err != nil {
				t.Fatal(c.Err)
			} else {
				action := mirror.Action{Kind: mirror.Copy, Key: mirror.Key{Set: set.Name, Entry: c.Entry.Name}, Stage: "production", Image: c.Image, From: c.Image, New: c.Image.Digest}
				if c.Entry.Pinned() {
					action.Vouch = "head"
				}
				verdict, err := p.Verifier(policy.Options{}).Verify(t.Context(), action, upstream)
				if err != nil {
					t.Fatal(err)
				}
				outcomes[verdict.Outcome]++
				if verdict.Outcome.Admits() {
					continue
				}
				have = verdict.Reason.Code
			}
			bad = append(bad, c.Entry.Name)
			kind, _, _ := strings.Cut(c.Entry.Name[strings.LastIndex(c.Entry.Name, "/")+1:], ":")
			if have != want[kind] {
				t.Errorf("%s %s is bad by %q, want %q", set.Name, c.Entry.Name, have, want[kind])
			}
		}
	}
	slices.Sort(bad)
	if names := slices.Sorted(slices.Values(w.Bad())); !slices.Equal(bad, names) {
		t.Errorf("bad entries:\n%v\nwant\n%v", bad, names)
	}
	if outcomes[mirror.OutcomePinned] < 25 || outcomes[mirror.OutcomeSigned] < 10 {
		t.Errorf("outcomes = %v, want most pinned and some signed", outcomes)
	}
}

func haproxy(set mirror.Set) mirror.Reference {
	i := slices.IndexFunc(set.Entries, func(e mirror.Entry) bool { return e.Name == "synapse/haproxy" })
	return set.Entries[i].Image
}

func configNamesEveryServer(t *testing.T, w *testenv.World) {
	config := w.ConfigYAML()
	if _, problems := mirror.ParseDocument("config.yaml", []byte(config)); len(problems) > 0 {
		t.Fatal(problems.Err())
	}
	for _, part := range []string{w.Git.URL(), w.Local.Host(), w.Upstream.URL(), "site: demo", "host: docker.io", "prefix: ghcr.io", w.Forge.URL(), w.Forge.Repository(), filepath.Join(w.Dir(), "state")} {
		if !strings.Contains(config, part) {
			t.Errorf("%q is not in\n%s", part, config)
		}
	}
	for _, secret := range []string{w.Git.Password, w.Forge.Token("poundlock"), w.Forge.Token(testenv.WorldPerson)} {
		if secret == "" || strings.Contains(config, secret) {
			t.Errorf("the secret %q stands in the configuration", secret)
		}
	}
	if token, err := testenv.PersonAt(w.Dir()); err != nil || token != w.Forge.Token(testenv.WorldPerson) {
		t.Errorf("the token of a person: %q, %v", token, err)
	}
}

func TestWorld_NextReleaseMovesTagsAndContent(t *testing.T) {
	w := newWorld(t)
	before, _ := fleet(t, w)
	if _, err := w.NewRelease(t.Context()); err != nil {
		t.Fatal(err)
	}
	after, p := fleet(t, w)
	old, _ := before.Set("ess")
	next, _ := after.Set("ess")
	if old.Origin == next.Origin {
		t.Error("the vendor's file is the same")
	}
	a, b := haproxy(old), haproxy(next)
	if a.Tag != b.Tag || a.Digest == b.Digest {
		t.Errorf("haproxy was %s and is %s, want new content under the old tag", a, b)
	}
	upstream := client(t, w)
	for _, c := range sources.Resolve(t.Context(), next, mirror.Record{}, upstream, true) {
		if c.Err != nil {
			t.Errorf("%s: %v", c.Entry.Name, c.Err)
			continue
		}
		if _, err := upstream.Manifest(t.Context(), c.Image, c.Image.Digest); err != nil {
			t.Errorf("%s: %v", c.Entry.Name, err)
		}
		if c.Entry.Pinned() {
			continue
		}
		action := mirror.Action{Image: c.Image, New: c.Image.Digest, Stage: "snapshot"}
		if v, err := p.Verifier(policy.Options{}).Verify(t.Context(), action, upstream); err != nil || !v.Outcome.Admits() {
			t.Errorf("%s: %v, %v", c.Entry.Name, v, err)
		}
	}
	if _, err := w.NewRelease(t.Context()); err == nil {
		t.Error("a third release was made")
	}
}

func TestWorld_MovedTagIsSignedIfItWas(t *testing.T) {
	w := newWorld(t)
	_, p := fleet(t, w)
	upstream := client(t, w)
	for _, image := range []string{"docker.io/matrixdotorg/synapse:v1.92.3", "ghcr.io/example-tools/backup:2.4.1", "quay.io/example-tools/exporter:v0.9.0"} {
		ref, err := mirror.ParseReference(image)
		if err != nil {
			t.Fatal(err)
		}
		before, err := upstream.Resolve(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		d, err := w.MoveUpstream(t.Context(), image)
		if err != nil {
			t.Fatal(err)
		}
		if after, err := upstream.Resolve(t.Context(), ref); err != nil || after.Digest != d || d == before.Digest {
			t.Errorf("%s is %v, %v, want %v", image, after.Digest, err, d)
		}
		action := mirror.Action{Image: ref.WithDigest(d), New: d, Stage: "snapshot"}
		if v, err := p.Verifier(policy.Options{}).Verify(t.Context(), action, upstream); err != nil || v.Outcome != mirror.OutcomeSigned {
			t.Errorf("%s: %v, %v", image, v, err)
		}
	}
	if _, err := w.MoveUpstream(t.Context(), "docker.io/library/nowhere:1"); !errors.Is(err, mirror.ErrNotFound) {
		t.Errorf("a tag that is not there: %v", err)
	}
}

func TestWorld_PromoteCopiesTheLinesOfTheStageBelow(t *testing.T) {
	w := newWorld(t)
	if _, err := w.Promote(t.Context(), "ess", "staging"); err == nil {
		t.Error("nothing stands at snapshot, and it was promoted")
	}
	lines := "version: 1\nentries:\n  a/a: docker.io/library/a:1@sha256:" + strings.Repeat("a", 64) + "\n"
	rendered := map[string]string{"rendered/demo/ess/snapshot.yaml": "# Written by a daemon.\n" + lines}
	if _, err := w.Git.Commit(t.Context(), "rendered", rendered); err != nil {
		t.Fatal(err)
	}
	for _, stage := range []string{"staging", "production"} {
		commit, err := w.Promote(t.Context(), "ess", stage)
		if err != nil || commit == "" {
			t.Fatalf("promote: %q, %v", commit, err)
		}
		if head, err := w.Git.Files("main"); err != nil || head["stages/ess/"+stage+".yaml"] != lines {
			t.Errorf("%s: %q, %v", stage, head["stages/ess/"+stage+".yaml"], err)
		}
	}
	// When a document has become shards, the one file has to go.
	if _, err := w.Git.Commit(t.Context(), "shards", map[string]string{"rendered/demo/ess/snapshot.yaml": "", "rendered/demo/ess/snapshot.d/a.yaml": lines}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Promote(t.Context(), "ess", "staging"); err != nil {
		t.Fatal(err)
	}
	head, err := w.Git.Files("main")
	if _, whole := head["stages/ess/staging.yaml"]; err != nil || whole || head["stages/ess/staging.d/a.yaml"] != lines {
		t.Errorf("shards: %v, %v", head, err)
	}
	if _, err := w.Promote(t.Context(), "ess", "snapshot"); err == nil {
		t.Error("promoted to the first stage")
	}
}

func TestWorld_LeavesNothingBehind(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	t.Setenv("PATH", "") // no git binary, nor any other
	w, err := testenv.NewWorld(t.Context(), "", testenv.WorldOptions{})
	if err != nil {
		t.Fatal(err)
	}
	dir := w.Dir()
	if _, err := os.Stat(dir); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := testenv.NewWorld(ctx, "", testenv.WorldOptions{}); err == nil {
		t.Error("a world was made after the context ended")
	}
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
		t.Errorf("left behind by a failure: %v, %v", left, err)
	}
}

func TestWorld_HasPackages(t *testing.T) {
	w, err := testenv.NewWorld(t.Context(), t.TempDir(), testenv.WorldOptions{Packages: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	desired, _ := fleet(t, w)
	set, ok := desired.Set(testenv.WorldPackages)
	if !ok || !set.Packages || !set.Asked {
		t.Fatalf("set %+v", set)
	}
	if bad := w.BadPackages(); len(bad) != 1 || w.EPR.Zip(bad[0]) == nil {
		t.Errorf("bad packages: %v", bad)
	}
	if channels := w.Channels(); len(channels) != 3 || !strings.HasSuffix(channels["production"], "/epr/production") || !strings.Contains(w.ConfigYAML(), w.EPR.URL()) {
		t.Errorf("channels: %v", channels)
	}
}
