package render

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Every spelling of sixty images ends where the content lies, also where two sets have a host at two stages.
func TestImageSwap_EverySpellingEndsWhereTheContentLies(t *testing.T) {
	for name, f := range map[string]sixtyFleet{"set": sixty(t, mirror.LayoutPath, "image-swap: {}"), "consumer": sixtyConsumer(t, "image-swap: {}")} {
		root, ps := mirror.ParseDocument(imageSwapFile, f.rendered(t)[imageSwapFile])
		if err := ps.Err(); err != nil {
			t.Fatal(err)
		}
		m, tried := readSwapMap(text(root.Find("data", "maps"))), 0
		for upstream, lies := range f.lies() {
			spellings := []string{upstream.Name()}
			if short, official := strings.CutPrefix(upstream.Name(), "docker.io/library/"); official {
				spellings = append(spellings, short, "library/"+short, "docker.io/"+short, "index.docker.io/"+short, "index.docker.io/library/"+short)
			} else if short, hub := strings.CutPrefix(upstream.Name(), "docker.io/"); hub {
				spellings = append(spellings, short, "index.docker.io/"+short)
			}
			versions := []string{"@" + upstream.Digest.String()}
			if upstream.Tag != "" {
				versions = append(versions, ":"+upstream.Tag, ":"+upstream.Tag+versions[0])
			}
			for _, spelling := range spellings {
				for _, version := range versions {
					tried++
					want := "SWAP " + lies.Name() + version
					if got := swapResult(m, spelling+version); got != want {
						t.Errorf("%s: %s: got %s, want %s", name, spelling+version, got, want)
					}
					if got := swapResult(m, lies.Name()+version); got != "SKIP "+lies.Name()+version {
						t.Errorf("%s: an update of the pod makes %s of %s", name, got, lies.Name()+version)
					}
				}
			}
		}
		if tried < 200 {
			t.Errorf("%s: only %d names were tried", name, tried)
		}
	}
}

// What a map could not lead to its content is not committed: the folder stays as it was, with the reason.
func TestImageSwap_WhatWouldGoAstrayKeepsTheFolder(t *testing.T) {
	const set = "version: 1\nsource: {kind: list, images: [x]}\nlayout: path\nstages: [production]\nrender: {%s: {}}\n"
	tests := []struct {
		name, host, kind string
		images           []string
		want             string
	}{
		{"a registry without a dot", "registry:5000", "image-swap", []string{"docker.io/library/nginx:1"}, "at the next update of the pod"},
		{"a registry without a dot, palette", "registry:5000", "palette", []string{"docker.io/library/nginx:1"}, "at the next update of the pod"},
		{"an upstream without a dot, palette", "r.example", "palette", []string{"localhost:5000/a/b:1"}, "and lies at"},
		{"dots that match more, palette", "r.example", "palette", []string{"quay.io/acme/quay-io:1"}, "and lies at"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			desired, ps := mirror.ParseDesired("", mirror.Files{"desired/one.yaml": fmt.Appendf(nil, set, tt.kind)})
			if err := ps.Err(); err != nil {
				t.Fatal(err)
			}
			standing := mirror.Standing{}
			for i, text := range tt.images {
				image, err := mirror.ParseReference(text + "@" + mirror.DigestOf([]byte(text)).String())
				if err != nil {
					t.Fatal(err)
				}
				standing.Put(fmt.Sprint(i), mirror.Line{Image: image, Proven: true})
			}
			r := Files(mirror.Local{Host: tt.host, Site: "site"}, desired.Sets[0], mirror.Record{Stages: map[mirror.Stage]mirror.Standing{"production": standing}}, mirror.Plan{}, nil)
			if len(r.Files) != 0 || len(r.Kept) != 1 || r.Kept[0].Reason.Code != mirror.Misread || !strings.Contains(r.Kept[0].Reason.Detail, tt.want) {
				t.Errorf("got files %v, kept %+v, want %q", r.Files.Under("rendered"), r.Kept, tt.want)
			}
		})
	}
}

// One repository that two sets have at two stages, with two digests, is at two places, and a map knows one.
func TestImageSwap_OneRepositoryAtTwoPlaces(t *testing.T) {
	files := mirror.Files{"desired/consumers/edge.yaml": []byte("version: 1\nruns: [{set: a, stage: production}, {set: b, stage: staging}]\nrender: {image-swap: {}}\n")}
	records := map[string]mirror.Record{}
	record := func(set string, stage mirror.Stage, tag, content string) {
		files["desired/"+set+".yaml"] = []byte("version: 1\nsource: {kind: list, images: [x]}\nlayout: path\n")
		image, err := mirror.ParseReference("quay.io/acme/web:" + tag + "@" + mirror.DigestOf([]byte(content)).String())
		if err != nil {
			t.Fatal(err)
		}
		standing := mirror.Standing{}
		standing.Put("web", mirror.Line{Image: image, Proven: true})
		records[set] = mirror.Record{Stages: map[mirror.Stage]mirror.Standing{stage: standing}}
	}
	for name, second := range map[string][2]string{"another tag": {"2", "two"}, "another digest": {"1", "two"}, "the same": {"1", "one"}} {
		record("a", "production", "1", "one")
		record("b", "staging", second[0], second[1])
		desired, ps := mirror.ParseDesired("", files)
		if err := ps.Err(); err != nil {
			t.Fatal(err)
		}
		r := Consumer(mirror.Local{Host: "r.example", Site: "site"}, desired.Consumers[0], desired.Sets, records, files)
		kept := len(r.Kept) == 1 && strings.Contains(r.Kept[0].Reason.Detail, "lies at two places")
		if want := name != "the same"; kept != want || want == (len(r.Files) > 0) {
			t.Errorf("%s: kept %+v with %d files", name, r.Kept, len(r.Files))
		}
	}
}

// The login of the Secret is given by the daemon alone; nothing of it is in the files, and it names its reader's form.
func TestPalette_TheSecretIsTheDaemons(t *testing.T) {
	f := sixty(t, mirror.LayoutPath, "palette: {registryInfo: {credential: pull}}")
	r := Files(sixtyLocal, f.sets[0], f.records["main"], mirror.Plan{}, f.files)
	file := Dir(sixtyLocal, f.sets[0], "production") + "/" + registryInfoFile
	secret, there := r.Secrets[file]
	if !there || r.Files[file] != nil || secret.Name != "registry-info" || secret.Namespace != "jet-system" || secret.Type != "Opaque" || secret.Credential != "pull" {
		t.Fatalf("got %+v, %q", secret, r.Files[file])
	}
	data := secret.Data("user", "hunter2")
	if data["USERNAME"] != "user" || data["PASSWORD"] != "hunter2" || data["INSECURE"] != "false" || data["BASE_PATH"] != "mirror/production" || len(data) != 7 {
		t.Errorf("got %v", data)
	}
	for _, pair := range strings.Split(data["MIRROR_REGISTRIES"], ",") {
		if _, target, ok := strings.Cut(pair, "::"); !ok || !strings.HasPrefix(target, "registry.corp.example:5000/v2/mirror/production/") {
			t.Errorf("containerd would not find %q", pair)
		}
	}
}

func TestPalette_Notes(t *testing.T) {
	f := sixty(t, mirror.LayoutPath, "palette: {}")
	local := sixtyLocal
	local.Login = true
	var notes []string
	for _, n := range Files(local, f.sets[0], f.records["main"], mirror.Plan{}, f.files).Notes {
		if n.Stage == "production" && n.Kind == "palette" {
			notes = append(notes, n.Text)
		}
	}
	if all := strings.Join(notes, "\n"); len(notes) != 2 || !strings.Contains(all, "registry-info carries none") || !strings.Contains(all, "imageswap-init") {
		t.Errorf("got %q", notes)
	}
}

func TestLintPalette(t *testing.T) {
	ca, err := os.ReadFile("testdata/palette/values.txtar")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(ca), "-- desired/palette/ca.pem --\n")
	pem, _, _ := strings.Cut(rest, "-- local --")
	pem = strings.ReplaceAll(strings.TrimSpace(pem), "\n", "\n      ")
	values := func(change ...string) string {
		text := "config:\n  imageSwapImages:\n    imageSwapInitImage: h.example/air/init:1\n    imageSwapImage: h.example/air/swap:1\n  ociImageRegistry:\n" +
			"    endpoint: h.example\n    name: Registry\n    password: \"\"\n    baseContentPath: air\n    insecureSkipVerify: false\n    caCert: \"\"\n    mirrorRegistries: \"docker.io::h.example/air/docker.io,gcr.io::h.example/air\"\n"
		return strings.NewReplacer(change...).Replace(text)
	}
	secret := func(change ...string) string {
		text := "---\napiVersion: v1\nstringData:\n  DOMAIN: \"h.example\"\n  BASE_PATH: \"air\"\n  USERNAME: \"\"\n  PASSWORD: \"\"\n  INSECURE: \"false\"\n  CA_CERT: \"\"\n" +
			"  MIRROR_REGISTRIES: docker.io::h.example/v2/air/docker.io,gcr.io::h.example/v2/air\nkind: Secret\nmetadata:\n  name: registry-info\n  namespace: jet-system\ntype: Opaque\n---\n"
		return strings.NewReplacer(change...).Replace(text)
	}
	tests := []struct {
		name, text string
		want       []string
	}{
		{"values", values(), nil},
		{"a CA", values(`caCert: ""`, "caCert: |\n      "+pem), nil},
		{"a CA that is none", values(`caCert: ""`, "caCert: AAAA"), []string{"RND097 11:13"}},
		{"a private key", values(`caCert: ""`, "caCert: |\n      -----BEGIN PRIVATE KEY-----\n      AAAA\n      -----END PRIVATE KEY-----"), []string{"RND097 11:13"}},
		{"a password", values(`password: ""`, "password: hunter2"), []string{"RND094 8:15"}},
		{"a placeholder", values(`password: ""`, "password: REPLACE_WITH_PASSWORD"), nil},
		{"an endpoint with a scheme", values("endpoint: h.example", "endpoint: https://h.example"), []string{"RND093 6:15", "RND096 3:25", "RND096 4:21"}},
		{"no name", values("name: Registry", "name: \"\""), []string{"RND093 7:5"}},
		{"a path with slashes", values("baseContentPath: air", "baseContentPath: /air/"), []string{"RND093 9:22"}},
		{"no truth", values("insecureSkipVerify: false", "insecureSkipVerify: never"), []string{"RND093 10:25"}},
		{"blanks between pairs", values(",gcr", ", gcr"), []string{"RND080 12:23"}},
		{"an empty pair", values(",gcr", ",,gcr"), []string{"RND080 12:23"}},
		{"half a pair", values("gcr.io::h", "gcr.io:h"), []string{"RND080 12:23"}},
		{"twice", values("gcr.io", "docker.io"), []string{"RND084 12:23"}},
		{"the form of containerd", values("gcr.io::h.example/air", "gcr.io::h.example/v2/air"), []string{"RND088 12:23"}},
		{"the webhook's own images", values("h.example/air/init:1", "gcr.io/x/init:1"), []string{"RND096 3:25"}},
		{"the chart that feeds both", "config:\n  installationMode: airgap\n  ociImageRegistry: {endpoint: h.example, name: x, mirrorRegistries: \"docker.io::h.example/air\"}\n", []string{"RND098 3:70"}},
		{"the chart that feeds both, without paths", "config:\n  installationMode: airgap\n  ociImageRegistry: {endpoint: h.example, name: x, mirrorRegistries: \"docker.io::h.example\"}\n", nil},
		{"a snippet to be filled in", "ociImageRegistry:\n  endpoint: \"REPLACE_WITH_A\"\n  name: \"REPLACE_WITH_B\"\n  mirrorRegistries: \"REPLACE_WITH_C\"\n", nil},
		{"secret", secret(), nil},
		{"a truth instead of text", secret(`INSECURE: "false"`, "INSECURE: false"), []string{"RND095 8:13"}},
		{"no truth in the secret", secret(`INSECURE: "false"`, `INSECURE: "no"`), []string{"RND093 8:13"}},
		{"another namespace", secret("jet-system", "kube-system"), []string{"RND095 13:3"}},
		{"another type", secret("Opaque", "kubernetes.io/basic-auth"), []string{"RND095 15:7"}},
		{"a password in the secret", secret(`PASSWORD: ""`, `PASSWORD: "hunter2"`), []string{"RND094 7:13"}},
		{"a password in base64", "kind: Secret\nmetadata: {name: registry-info, namespace: jet-system}\ndata: {PASSWORD: aHVudGVyMg==, MIRROR_REGISTRIES: x}\n", []string{"RND094 3:18"}},
		{"no domain", secret(`DOMAIN: "h.example"`, `DOMAIN: ""`), []string{"RND093 4:3"}},
		{"the form of image-swap", secret("h.example/v2/air,", "h.example/air,", "gcr.io::h.example/v2/air", "gcr.io::h.example/air"), []string{"RND088 10:22"}},
		{"the form of image-swap, said so", "# mirrors: image-swap\n" + secret("/v2", ""), nil},
		{"lines of a map", secret("gcr.io::", "default::,docker.io/library::"), []string{"RND088 10:22", "RND088 10:22"}},
		{"encrypted", "kind: Secret\nmetadata: {name: registry-info, namespace: jet-system}\nstringData: {PASSWORD: \"ENC[x]\", MIRROR_REGISTRIES: \"ENC[x]\"}\nsops: {mac: x}\n", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ps := Lint("palette", "v.yaml", []byte(tt.text))
			if got := swapTold(ps); !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v:\n%v", got, tt.want, ps)
			}
			if strings.Contains(fmt.Sprint(ps), "hunter2") {
				t.Error("a problem repeats the password")
			}
			if !slices.Contains(KindOf("v.yaml", []byte(tt.text)), "palette") {
				t.Error("not known by its content")
			}
		})
	}
}

// Values as people publish them: the mapping is sound for image-swap, and its own images are not at the mirror.
func TestLintPalette_RealValues(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "realdata", "palette", "image-swap-values-harbor.yaml"))
	if err != nil {
		t.Skip("no values beside the repository: the table above has to do")
	}
	ps := Lint("palette", "image-swap-values-harbor.yaml", text)
	if got, want := swapTold(ps), []string{"RND096 3:25", "RND096 4:21"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v:\n%v", got, want, ps)
	}
	if !strings.Contains(ps[0].Fix, "harbor.example.org/airgap-images/gcr.io/spectro-images-public/thewebroot/imageswap") {
		t.Errorf("the fix does not say where it lies: %s", ps[0].Fix)
	}
}

// A broken file is found, whatever breaks it: the proof reads the file, not what it was made from.
func TestImageSwap_ABrokenMapIsRefused(t *testing.T) {
	f := sixty(t, mirror.LayoutPath, "image-swap: {}, palette: {}")
	set := f.sets[0]
	s := scene{local: sixtyLocal, parts: []part{{set, "production", f.records["main"].At("production")}}}
	files := f.rendered(t)
	tests := []struct{ name, file, old, new string }{
		{"no default", imageSwapFile, "    default::\n", ""},
		{"no Docker Hub", imageSwapFile, "    docker.io::", "    docker.example::"},
		{"no library", imageSwapFile, "    docker.io/library::", "    docker.example/library::"},
		{"another stage", imageSwapFile, "quay.io::registry.corp.example:5000/mirror/production/", "quay.io::registry.corp.example:5000/mirror/snapshot/"},
		{"another registry", imageSwapFile, "gh\n", "ghx\n"},
		{"swapped for ever", imageSwapFile, "    default::\n", "    default::other.example\n    registry.corp.example::other.example\n"},
		{"no map", imageSwapFile, "  maps: |", "  map: |"},
		{"no YAML", imageSwapFile, "data:", "data"},
		{"values: no pair", paletteValuesFile, ",quay.io::", ",quay.example::"},
		{"values: the form of containerd", paletteValuesFile, ",quay.io::registry.corp.example:5000/", ",quay.io::registry.corp.example:5000/v2/"},
		{"values: no YAML", paletteValuesFile, "config:", "config"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			kind := map[string]string{imageSwapFile: "image-swap", paletteValuesFile: "palette"}[tt.file]
			if ps := kinds[kind].proof(s, set.Render[kind], files); len(ps) > 0 {
				t.Fatalf("the whole file: %v", ps)
			}
			broken := mirror.Files{tt.file: []byte(strings.Replace(string(files[tt.file]), tt.old, tt.new, 1))}
			if string(broken[tt.file]) == string(files[tt.file]) {
				t.Fatalf("nothing is broken in\n%s", files[tt.file])
			}
			if ps := kinds[kind].proof(s, set.Render[kind], broken); len(ps) == 0 {
				t.Error("nobody found it")
			}
		})
	}
}
