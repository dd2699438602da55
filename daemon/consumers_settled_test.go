package daemon

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

// A set that is suspended takes nothing away from its consumers, also after a restart: what stands of it was judged.
func TestConsumers_GoOnWhileASetIsSuspended(t *testing.T) {
	t.Parallel()
	s, app, tool, other := consumerSite(t)
	s.sync()
	if _, err := s.line.Suspend(t.Context(), "tools", "window", "me"); err != nil {
		t.Fatal(err)
	}
	s.close()
	s.commit("apps on quay", map[string]string{"desired/apps.txt": list(app, other, s.push("quay.io/example/app:1", "quay"))})
	reports := s.sync()
	s.names(hostsFile("quay.io"), "quay.io")
	s.names(hostsFile("docker.io"), "apps", "docker.io")
	for _, r := range reports {
		if kept := keptFolders(r.Plan); len(kept) > 0 {
			t.Errorf("%s: kept %v", r.Set, kept)
		}
	}

	// Where it lies somewhere else by now nothing is there yet, and nobody looks as long as it is suspended.
	s.close()
	s.commit("tools elsewhere", map[string]string{"desired/tools.yaml": "version: 1\nsource: {kind: list, file: tools.txt}\nlayout: path\npaths: {docker.io: moved}\n",
		"desired/tools.txt": list(tool), "desired/apps.txt": list(app, other)})
	reports = s.sync()
	if kept := keptFolders(reports["apps"].Plan)["rendered/demo/consumers/nodes"]; !strings.Contains(kept, "set tools is suspended") {
		t.Errorf("it is not said why: %q", kept)
	}
	s.names(hostsFile("docker.io"), "apps", "docker.io")
	folders, _, err := s.looking(true).Rendered(t.Context(), RenderOptions{Of: "consumers/nodes"})
	if err != nil || len(folders) != 1 || !strings.Contains(folders[0].Kept, "set tools is suspended") || len(folders[0].Files) > 0 {
		t.Errorf("got %+v, %v", folders, err)
	}
	if _, _, err := s.line.Resume(t.Context(), "tools", "me"); err != nil {
		t.Fatal(err)
	}
	s.sync()
	s.names(hostsFile("docker.io"), "apps", "moved")
	if s.file(hostsFile("quay.io")) != "" {
		t.Error("a file that nothing renders stays")
	}
}

// A set that fails is no reason to freeze a consumer either, and one whose release is half here is one after a restart, too.
func TestConsumers_RememberWhatIsHalfHere(t *testing.T) {
	t.Parallel()
	s, _, _, _ := consumerSite(t)
	one, two := s.push("docker.io/ess/one:1", "one"), s.push("quay.io/ess/two:1", "two")
	s.commit("an atomic set", map[string]string{"desired/ess.yaml": "version: 1\nsource: {kind: ess, file: ess/e.yml}\nlayout: path\n", "desired/ess/e.yml": manyDigests([]mirror.Reference{one}),
		nodes: strings.Replace(runsBoth, "[", "[{set: ess, stage: snapshot}, ", 1)})
	s.sync()
	newer := s.push("docker.io/ess/one:2", "one, newer")
	s.commit("half of it is nowhere", map[string]string{"desired/ess/e.yml": manyDigests([]mirror.Reference{newer, two.WithDigest(mirror.DigestOf([]byte("nowhere")))})})
	s.sync()
	if _, err := s.line.Suspend(t.Context(), "ess", "window", "me"); err != nil {
		t.Fatal(err)
	}
	s.close()
	s.commit("apps on quay", map[string]string{"desired/apps.txt": list(s.push("quay.io/example/app:1", "quay"))})
	kept := keptFolders(s.sync()["apps"].Plan)["rendered/demo/consumers/nodes"]
	if !strings.Contains(kept, "set ess at snapshot") || s.file(hostsFile("quay.io")) != "" {
		t.Errorf("half a release is rendered, or it is not said why nothing is: %q", kept)
	}
}

// What is kept by the step of one set and made by that of a later one is not told as kept.
func TestSync_TellsOfAConsumerHowItIsInTheEnd(t *testing.T) {
	t.Parallel()
	s, _, _, _ := consumerSite(t)
	s.sync()
	s.wipe() // the first step of both cannot count on the other set
	for name, r := range s.sync() {
		if kept := keptFolders(r.Plan); len(kept) > 0 {
			t.Errorf("%s: %v", name, kept)
		}
	}
}

// Refusals of a consumer name its own file.
func TestOverrides_OfAConsumerAreRefusedAtItsFile(t *testing.T) {
	t.Parallel()
	s, _, _, _ := consumerSite(t)
	s.sync()
	c := s.line.fleet.Load().desired.Consumers[0]
	set, _ := s.line.fleet.Load().desired.Set("apps")
	lacks := mirror.Reference{Host: localName, Repository: "mirror/snapshot/apps/none", Digest: mirror.DigestOf([]byte("none"))}
	dir := "rendered/demo/consumers/nodes"
	r := rendering{files: mirror.Files{dir + "/x": []byte(lacks.Digest.Hex)}, old: mirror.Files{}}
	here := &holdings{line: s.line, held: map[string]bool{}}
	if err := here.guard(t.Context(), &r, set, "", dir, c.KeyAt("render"), []mirror.Reference{lacks}); err != nil {
		t.Fatal(err)
	}
	if len(r.actions) != 1 || r.actions[0].Kind != mirror.Refuse || r.actions[0].Where.File != nodes {
		t.Errorf("got %+v", r.actions)
	}
}

// A step that finds all as it was makes nothing of a consumer anew.
func TestConsumers_AreNotMadeAgainWhereNothingChanged(t *testing.T) {
	t.Parallel()
	s, app, _, other := consumerSite(t)
	s.sync()
	s.cycle(Wake{Why: "schedule", Resolve: true})
	f, c := s.line.fleet.Load(), s.line.fleet.Load().desired.Consumers[0]
	if !slices.Equal(sortedKeys(s.line.settled.made), []string{c.Name}) {
		t.Fatalf("remembered: %v", sortedKeys(s.line.settled.made))
	}
	of := s.line.settled.made[c.Name].of
	s.cycle(Wake{Why: "schedule", Resolve: true})
	if s.line.settled.made[c.Name].of != of {
		t.Error("it was made anew although nothing changed")
	}
	made := s.line.consumerMade(f, c, of, nil) // which would be called otherwise
	if len(made.Files) == 0 {
		t.Error("it made nothing")
	}
	clear(made.Files)
	if len(s.line.consumerMade(f, c, of, nil).Files) == 0 {
		t.Error("what one caller changes changes for all")
	}
	s.commit("a set", map[string]string{"desired/apps.txt": list(app, other, s.push("quay.io/example/app:1", "quay"))})
	s.sync()
	if s.line.settled.made[c.Name].of == of || s.file(filepath.Dir(filepath.Dir(hostsFile("docker.io")))+"/quay.io/hosts.toml") == "" {
		t.Error("what changed is not made anew")
	}
}
