package render

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/rogpeppe/go-internal/txtar"
	"go.yaml.in/yaml/v4"

	"github.com/poundlock/poundlock/internal/mirror"
)

func scenes(t *testing.T, pattern string) map[string]fixtureScene {
	t.Helper()
	all := map[string]fixtureScene{}
	archives, _ := filepath.Glob(pattern)
	for _, name := range archives {
		if strings.HasPrefix(filepath.Base(name), "bad-") {
			continue
		}
		archive, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all[name], _, _ = readScene(t, archive)
	}
	if len(all) == 0 {
		t.Fatalf("no fixtures %s", pattern)
	}
	return all
}

// someCA writes a file of certificates and gives its path.
func someCA(t *testing.T) string {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	name := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// A file that containerd cannot read is ignored in silence and the upstream is asked, so its own reader
// judges ours: every host of a stage leads to the mirror at that stage and to nothing else.
func TestContainerd_ItsOwnReaderFindsOnlyTheMirror(t *testing.T) {
	for name, s := range scenes(t, "testdata/containerd/*.txtar") {
		set := s.sets[0]
		fallback := strings.Contains(name, "fallback")
		files := Files(s.local, set, s.record, mirror.Plan{}, nil).Files
		for file, body := range files { // a file of certificates that is not there is an error of its own
			files[file] = bytes.ReplaceAll(body, []byte("/etc/ssl/corp.pem"), []byte(someCA(t)))
		}
		root := write(t, files)
		for stage, standing := range s.record.Stages {
			certs := filepath.Join(root, filepath.FromSlash(Dir(s.local, set, stage)), "certs.d")
			hosts := config.ConfigureHosts(t.Context(), config.HostOptions{HostDir: config.HostDirFromRoot(certs)})
			for _, line := range standing {
				if line.Image.Host == s.local.Host {
					continue // no mirror for the local registry itself
				}
				found, err := hosts(line.Image.Host)
				if err != nil {
					t.Fatalf("%s: %s: %v", name, line.Image.Host, err)
				}
				if fallback {
					if len(found) != 2 || found[1].Host == s.local.Host {
						t.Errorf("%s: want the mirror and then the upstream, have %+v", name, found)
					}
					found = found[:1]
				}
				for _, h := range found {
					scheme := map[bool]string{true: "http", false: "https"}[s.local.Insecure]
					want := "/v2/" + s.local.HostPath(set, stage, line.Image.Host)
					if h.Scheme != scheme || h.Host != s.local.Host || h.Path != want || h.Capabilities != docker.HostCapabilityPull|docker.HostCapabilityResolve {
						t.Errorf("%s: %s leads to %s://%s%s with %v, want %s://%s%s", name, line.Image.Host, h.Scheme, h.Host, h.Path, h.Capabilities, scheme, s.local.Host, want)
					}
					// What a node asks for is where the content lies.
					if got, lies := h.Host+strings.TrimPrefix(h.Path, "/v2")+"/"+line.Image.Repository, s.local.Repository(set, stage, line.Image).Name(); got != lies {
						t.Errorf("%s: a node asks for %s, the content lies at %s", name, got, lies)
					}
				}
			}
		}
	}
}

// container are the fields of one entry, as the operator sees them; a missing one is absent.
type container = map[string]string

// The operator's three generations merge an override with their defaults in three ways. Whatever the defaults
// are, the result of each is our content in our registry.
func TestElement_EveryOperatorEndsAtTheLocalRegistry(t *testing.T) {
	merges := map[string]func(defaults, override container) container{
		"deep merge": func(d, o container) container {
			m := maps.Clone(d)
			maps.Copy(m, o)
			return m
		},
		"replace": func(_, o container) container { return o },
		"field by field": func(d, o container) container {
			m := maps.Clone(o)
			for _, key := range []string{"image_repository_server", "image_repository_path"} {
				if m[key] == "" {
					m[key] = d[key]
				}
			}
			if m["image_tag"] == "" {
				m["image_tag"], m["image_digest"] = d["image_tag"], d["image_digest"]
			}
			return m
		},
	}
	defaults := container{"image_repository_server": "docker.io", "image_repository_path": "library/other", "image_tag": "9",
		"image_digest": mirror.DigestOf([]byte("other")).String()}
	for name, s := range scenes(t, "testdata/element/*.txtar") {
		set := s.sets[0]
		files := Files(s.local, set, s.record, mirror.Plan{}, nil).Files
		for stage, standing := range s.record.Stages {
			var outer struct {
				Kind string            `yaml:"kind"`
				Data map[string]string `yaml:"data"`
			}
			if err := yaml.Unmarshal(files[Dir(s.local, set, stage)+"/"+elementFile], &outer); err != nil || outer.Kind != "ConfigMap" {
				t.Fatalf("%s: outer document: %v, %+v", name, err, outer)
			}
			var inner map[string]map[string]container
			if err := yaml.Unmarshal([]byte(outer.Data["images_digests"]), &inner); err != nil {
				t.Fatalf("%s: inner document: %v", name, err)
			}
			if got := containers(inner); got != len(standing) {
				t.Errorf("%s: %d entries, want %d", name, got, len(standing))
			}
			for entry, line := range standing {
				component, part, _ := strings.Cut(entry, "/")
				override := inner[component][part]
				if len(override) != 4 {
					t.Errorf("%s: %s has the fields %v, want all four", name, entry, override)
				}
				if line.Image.Tag != "" && override["image_tag"] != line.Image.Tag {
					t.Errorf("%s: %s has tag %q, want %q", name, entry, override["image_tag"], line.Image.Tag)
				}
				for rule, merge := range merges {
					m := merge(defaults, override)
					got := fmt.Sprintf("%s/%s@%s", m["image_repository_server"], m["image_repository_path"], m["image_digest"])
					if want := s.local.Repository(set, stage, line.Image).AtDigest(line.Image.Digest).String(); got != want || m["image_tag"] == "" {
						t.Errorf("%s: %s by %s is %s, want %s", name, entry, rule, got, want)
					}
				}
			}
		}
	}
}

func containers(tree map[string]map[string]container) (n int) {
	for _, c := range tree {
		n += len(c)
	}
	return n
}
