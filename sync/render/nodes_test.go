package render

import (
	"bytes"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

// nodeAsks are the kinds of node files as the tests ask for them.
var nodeAsks = map[string]string{
	"containerd": "containerd: {}", "containerd-config": "containerd-config: {fallback: true}", "k3s": "k3s: {}",
	"registries-conf": "registries-conf: {}", "talos": "talos: {}",
}

// A file that its consumer would misread is not committed: whatever is broken in what a kind renders, the folder keeps
// its bytes and says why.
func TestFiles_ABrokenNodeFileKeepsTheFolder(t *testing.T) {
	tests := []struct{ kind, broken, old, with string }{
		{"containerd", "syntax", "[host.", "[[host."},
		{"containerd", "a key that containerd ignores", "override_path", "overide_path"},
		{"containerd", "a capability that it does not know", `"resolve"`, `"resolv"`},
		{"containerd", "the mirror resolves no tags", `, "resolve"`, ``},
		{"containerd", "the upstream comes last", "server = ", "# server = "},
		{"containerd", "another place", "/v2/mirror/production/docker.io", "/v2/mirror/staging/docker.io"},
		{"containerd", "no /v2", "/v2/mirror", "/mirror"},
		{"containerd", "another scheme", "https://registry.corp", "http://registry.corp"},
		{"containerd", "another registry", "https://registry.corp.example:5000", "https://registry.corp.example:5001"},
		{"containerd-config", "another plugin", "grpc.v1.cri", "cri.v1.images"},
		{"containerd-config", "no /v2", "/v2/mirror", "/mirror"},
		{"containerd-config", "another place", "mirror/production", "mirror/staging"},
		{"k3s", "a tab", "  ", "\t"},
		{"k3s", "a key that nobody reads", "endpoint:", "endpoints:"},
		{"k3s", "another place", "mirror/production", "mirror/staging"},
		{"k3s", "a rewrite of a part", "^(.*)$", "^library/(.*)$"},
		{"k3s", "fallback", "endpoint: true", "endpoint: false"},
		{"k3s", "another host", `"docker.io"`, `"hub.docker.com"`},
		{"registries-conf", "a scheme", `"registry.corp`, `"https://registry.corp`},
		{"registries-conf", "another scheme", "[[registry.mirror]]", "[[registry.mirror]]\ninsecure = true"},
		{"registries-conf", "the upstream is not blocked", "blocked = true", "blocked = false"},
		{"registries-conf", "another prefix", `prefix = "docker.io"`, `prefix = "docker.io/library"`},
		{"registries-conf", "no mirror for tags", "[[registry.mirror]]", "[[registry.mirror]]\npull-from-mirror = \"digest-only\""},
		{"k3s", "another scheme", "https://registry.corp", "http://registry.corp"},
		{"talos", "another scheme", "https://registry.corp", "http://registry.corp"},
		{"talos", "the path is not complete", "overridePath: true", "overridePath: false"},
		{"talos", "fallback", "skipFallback: true", "skipFallback: false"},
		{"talos", "a kind that nobody knows", "RegistryMirrorConfig", "RegistryMirrorsConfig"},
	}
	for _, tt := range tests {
		t.Run(tt.kind+"/"+tt.broken, func(t *testing.T) {
			f := sixty(t, mirror.LayoutPath, nodeAsks[tt.kind])
			if r := Files(sixtyLocal, f.sets[0], f.records["main"], mirror.Plan{}, f.files); len(r.Kept) > 0 {
				t.Fatalf("kept while nothing is broken: %+v", r.Kept)
			}
			good := kinds[tt.kind]
			t.Cleanup(func() { kinds[tt.kind] = good })
			bad, changed := good, false
			bad.files = func(s scene, options mirror.Node) overrides {
				o := good.files(s, options)
				for name, body := range o.files {
					changed = changed || bytes.Contains(body, []byte(tt.old))
					o.files[name] = bytes.ReplaceAll(body, []byte(tt.old), []byte(tt.with))
				}
				return o
			}
			kinds[tt.kind] = bad
			r := Files(sixtyLocal, f.sets[0], f.records["main"], mirror.Plan{}, f.files)
			if !changed {
				t.Fatalf("nothing was broken: %q is not in the files", tt.old)
			}
			kept := map[mirror.Stage]bool{}
			for _, a := range r.Kept {
				kept[a.Stage] = a.Kind == mirror.Refuse && a.Reason.Code == mirror.Misread && a.Reason.Detail != ""
			}
			if !kept["production"] || len(r.Files.Under(Dir(sixtyLocal, f.sets[0], "production"))) > 0 {
				t.Errorf("committed: %v, kept %+v", r.Files.Under("rendered"), r.Kept)
			}
		})
	}
}

// conflict makes two sets that run on one node at two stages and name one tag; their digests are given.
func conflict(t *testing.T, kind, a, b string) (mirror.Consumer, []mirror.Set, map[string]mirror.Record, mirror.Files) {
	t.Helper()
	files := mirror.Files{"desired/consumers/edge.yaml": []byte("version: 1\nruns:\n  - {set: a, stage: production}\n  - {set: b, stage: snapshot}\nrender: {" + nodeAsks[kind] + "}\n")}
	records := map[string]mirror.Record{}
	for set, version := range map[string]string{"a": a, "b": b} {
		files["desired/"+set+".yaml"] = []byte("version: 1\nsource: {kind: list, file: x}\nlayout: path\nstages: [snapshot, production]\n")
		standing := mirror.Standing{}
		standing.Put("x", mirror.Line{Image: ref(t, "x", version), Proven: true})
		records[set] = mirror.Record{Stages: map[mirror.Stage]mirror.Standing{"snapshot": standing, "production": standing}}
	}
	desired, ps := mirror.ParseDesired("", files)
	if err := ps.Err(); err != nil {
		t.Fatal(err)
	}
	return desired.Consumers[0], desired.Sets, records, files
}

// Where two sets on one node name one tag with two digests, a node would take the first for both.
func TestConsumer_OneTagWithTwoDigestsIsRefused(t *testing.T) {
	for kind := range nodeAsks {
		t.Run(kind, func(t *testing.T) {
			c, sets, records, files := conflict(t, kind, "v1", "v2")
			r := Consumer(local, c, sets, records, files)
			if len(r.Files) > 0 || len(r.Kept) != 1 || r.Kept[0].Reason.Code != mirror.Misread || !strings.Contains(r.Kept[0].Reason.Detail, "docker.io/library/x:1") {
				t.Errorf("%v, %+v", r.Files.Under("rendered"), r.Kept)
			}
			c, sets, records, files = conflict(t, kind, "v1", "v1")
			if r := Consumer(local, c, sets, records, files); len(r.Kept) > 0 || len(r.Files) == 0 {
				t.Errorf("the same digest is refused: %+v", r.Kept)
			}
		})
	}
}

func TestCheck_ConfigTomlAndHostsTomlExcludeEachOther(t *testing.T) {
	c, sets, _, files := conflict(t, "containerd", "v1", "v1")
	c.Render["containerd-config"] = mirror.Node{}
	if got := codes(CheckConsumer(c, sets, files)); !strings.Contains(got, "RND052") {
		t.Errorf("a consumer may have both: %s", got)
	}
	delete(c.Render, "containerd")
	if got := codes(CheckConsumer(c, sets, files)); strings.Contains(got, "RND052") || !strings.Contains(got, "RND051") {
		t.Errorf("alone: %s", got)
	}
}

// What people should know is said once for each kind: a login that nodes have to bring, and a fallback.
func TestFiles_NotesOfNodes(t *testing.T) {
	tests := []struct {
		name, ask string
		login     bool
		want      []string
	}{
		{"nothing to say", "containerd: {}", false, nil},
		{"login", "containerd: {}", true, []string{"kubelet sends the pull secrets"}},
		{"fallback", "containerd: {fallback: true}", false, []string{"fallback is allowed"}},
		{"both", "k3s: {fallback: true}", true, []string{"fallback is allowed", "kubelet sends the pull secrets"}},
		{"registries.conf", "registries-conf: {}", true, []string{"kubelet sends the pull secrets"}},
		{"talos", "talos: {}", true, []string{"kubelet sends the pull secrets"}},
		{"docker", sixtyAsk("docker"), false, []string{"fallback is allowed", "must serve what lies at https://registry.corp.example:5000/v2/mirror/production/docker.io", "for Docker Hub only"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := sixty(t, mirror.LayoutPath, tt.ask)
			l := sixtyLocal
			l.Login = tt.login
			var got []string
			for _, note := range Files(l, f.sets[0], f.records["main"], mirror.Plan{}, f.files).Notes {
				if note.Stage == "production" {
					got = append(got, note.Text)
				}
			}
			if len(got) != len(tt.want) {
				t.Fatalf("got %q, want %q", got, tt.want)
			}
			for i := range got {
				if !strings.Contains(got[i], tt.want[i]) {
					t.Errorf("got %q, want %q", got[i], tt.want[i])
				}
			}
		})
	}
}
