package render

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

// realNodeFile reads a file that people really use; the test is skipped where they are not at hand.
func realNodeFile(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../../../shared/realdata", filepath.FromSlash(name)))
	if os.IsNotExist(err) {
		t.Skipf("real files are not at hand: %v", err)
	} else if err != nil {
		t.Fatal(err)
	}
	return data
}

// rows gives the lines of an expected table, split at tabs.
func rows(data []byte) (all [][]string) {
	for line := range strings.Lines(string(data)) {
		all = append(all, strings.Split(strings.TrimRight(line, "\n"), "\t"))
	}
	return all
}

func codes(ps mirror.Problems) string {
	var all []string
	for _, p := range ps {
		all = append(all, fmt.Sprintf("%s:%d", p.Code, p.Where.Line))
	}
	return strings.Join(all, " ")
}

// Our reader of hosts.toml gives what containerd gave, for files that people really use, and lint names their traps.
func TestHosts_RealFilesAsContainerdReadThem(t *testing.T) {
	tests := []struct{ name, problems string }{
		{"hugh-yw", "RND026:1"},
		{"m-nik", "RND026:1"},
		{"pschulten", ""},
		{"containerd-docs-local-mirror", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := "containerd/certs.d-" + tt.name + "/docker.io/hosts.toml"
			endpoints, ps := readHosts(file, realNodeFile(t, file))
			if got := codes(ps); got != tt.problems {
				t.Errorf("problems %q, want %q: %v", got, tt.problems, ps)
			}
			var got []string
			for i, e := range endpoints {
				got = append(got, fmt.Sprintf("docker.io\t%d\t%s://%s%s\tpull=%v\tresolve=%v\tpush=%v", i, e.scheme, e.host, e.path, e.pull, e.resolve, e.push))
			}
			want := strings.TrimSpace(string(realNodeFile(t, "containerd/expected/certs.d-"+tt.name+".tsv")))
			if strings.Contains(want, "unable to read CA cert") { // no file of certificates lay beside it
				if ca := endpoints[1].ca; len(ca) != 1 || ca[0] != "docker-mirror.crt" {
					t.Errorf("ca %v, want docker-mirror.crt, which was missing", ca)
				}
				return
			}
			if strings.Join(got, "\n") != want {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), want)
			}
		})
	}
}

func TestContainerdConfig_RealFileIsRead(t *testing.T) {
	const file = "containerd/config-v2-mirrors-containerd-docs.toml"
	mirrors, ps := readMirrors(file, realNodeFile(t, file))
	if len(ps) > 0 || fmt.Sprint(mirrors) != "map[docker.io:[https://registry-1.docker.io] gcr.io:[https://gcr.io]]" {
		t.Errorf("%v, %v", mirrors, ps)
	}
	if !readsContainerdConfig(file, realNodeFile(t, file)) {
		t.Error("the kind of the file is not known")
	}
}

func TestK3s_RealFileIsRead(t *testing.T) {
	const file = "k3s/registries-lloydoliver-rke2-airgap.yaml"
	mirrors, ps := readK3s(file, realNodeFile(t, file))
	if len(ps) > 0 || len(mirrors) != 6 {
		t.Fatalf("%v, %v", mirrors, ps)
	}
	for _, text := range []string{"docker.io/library/nginx:1", "quay.io/a/b/c:1", "registry.rancher.com/rancher/rke2:1"} {
		image, err := mirror.ParseReference(text)
		if err != nil {
			t.Fatal(err)
		}
		want := pull{"https", "harbor.customer.com", image.Host + "/" + image.Repository}
		if got := mirrors[image.Host].pulls(image); len(got) != 1 || got[0] != want {
			t.Errorf("%s is asked for at %v, want %v", text, got, want)
		}
	}
}

// Every expected row, which the real library gave, is what our reader gives; where the library refused the file, so does
// lint, at the line.
func TestRegistriesConf_RealFilesAsTheRealLibraryReadThem(t *testing.T) {
	refused := map[string]string{"missing-mirror-location": "RND054:10", "invalid-prefix": "RND024:3", "invalid-value-mirror": "RND054:6"}
	tables, _ := filepath.Glob("../../../shared/realdata/registries-conf/expected/*.tsv")
	if len(tables) == 0 {
		t.Skip("real files are not at hand")
	}
	for _, table := range tables {
		name := strings.TrimSuffix(filepath.Base(table), ".tsv")
		t.Run(name, func(t *testing.T) {
			conf, ps := readRegistriesConf(name+".conf", realNodeFile(t, "registries-conf/"+name+".conf"))
			got := map[string]string{}
			var order []string
			for _, row := range rows(realNodeFile(t, "registries-conf/expected/"+name+".tsv")) {
				switch row[1] {
				case "ERROR":
					if codes(ps) != refused[name] {
						t.Errorf("problems %q, want %q for %s: %v", codes(ps), refused[name], row[2], ps)
					}
					return
				case "NOMATCH":
					if sources, known := conf.sources(row[0]); known {
						t.Errorf("%s matches: %v", row[0], sources)
					}
					continue
				}
				if got[row[0]] == "" {
					order = append(order, row[0])
				}
				got[row[0]] += strings.Join(row[1:], " ") + "\n"
			}
			for _, ref := range order {
				sources, _ := conf.sources(ref)
				text := ""
				for i, s := range sources {
					text += fmt.Sprintf("%d %s insecure=%v blocked=%v\n", i, s.ref, s.insecure, s.blocked)
				}
				if text != got[ref] {
					t.Errorf("%s: got\n%swant\n%s", ref, text, got[ref])
				}
			}
			if len(ps) > 0 {
				t.Errorf("problems: %v", ps)
			}
		})
	}
}
