package daemon

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart/loader"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sources"
	"github.com/poundlock/poundlock/testenv"
)

// chartOf gives the files of a chart of a version that deploys an image.
func chartOf(version string, image mirror.Reference) map[string]string {
	return map[string]string{
		"desired/charts/web/Chart.yaml":         "apiVersion: v2\nname: web\nversion: " + version + "\n",
		"desired/charts/web/values.yaml":        "image: none\n",
		"desired/charts/web/templates/pod.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: web, image: {{ .Values.image | quote }}}]}\n",
		"desired/web.yaml":                      fmt.Sprintf("version: 1\nsource: {kind: helm, chart: charts/web, inline: {image: %q}}\nlayout: path\n", image),
	}
}

// pulled gives the chart that lies in the local registry at a stage, read as Helm pulls one.
func (s *site) pulled(stage, version string) string {
	s.t.Helper()
	at := mirror.Reference{Host: localName, Repository: "mirror/" + stage + "/charts.invalid/web", Tag: version}
	parts := must(must(s.line.registry.Tagged(s.t.Context(), at))(s.t).Parts())(s.t)
	if parts.Config == nil || parts.Config.MediaType != "application/vnd.cncf.helm.config.v1+json" ||
		len(parts.Layers) != 1 || parts.Layers[0].MediaType != "application/vnd.cncf.helm.chart.content.v1.tar+gzip" {
		s.t.Fatalf("Helm pulls no %+v", parts)
	}
	var meta struct{ Name, Version string }
	blob := func(d mirror.Descriptor) []byte {
		r := must(s.line.registry.Blob(s.t.Context(), at, d.Digest, 0))(s.t)
		defer r.Close()
		return must(io.ReadAll(r))(s.t)
	}
	if err := json.Unmarshal(blob(*parts.Config), &meta); err != nil {
		s.t.Fatal(err)
	}
	c := must(loader.LoadArchive(bytes.NewReader(blob(parts.Layers[0]))))(s.t)
	if c.Name() != meta.Name || c.Metadata.Version != meta.Version {
		s.t.Errorf("the chart is %s %s, its config says %s %s", c.Name(), c.Metadata.Version, meta.Name, meta.Version)
	}
	return c.Name() + " " + c.Metadata.Version + " " + fmt.Sprint(c.Values["image"])
}

// A chart of the fleet repository comes into the local registry as Helm pulls it, with its images, and moves with them.
func TestMade_AChartOfTheFleetIsMirroredAndPromoted(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{"desired/policy.yaml": pinnedPolicy})
	first, second := s.push("ghcr.io/team/web:1", "one"), s.push("ghcr.io/team/web:2", "two")
	s.commit("a chart", chartOf("1.0.0", first))
	s.sync()
	if got := s.pulled("snapshot", "1.0.0"); got != "web 1.0.0 none" {
		t.Errorf("Helm pulls %q", got)
	}
	s.promote("web", "snapshot", "staging")
	s.sync()
	s.pulled("staging", "1.0.0")

	s.commit("the next one", chartOf("1.1.0", second))
	s.sync()
	if got := s.pulled("snapshot", "1.1.0"); got != "web 1.1.0 none" {
		t.Errorf("Helm pulls %q", got)
	}
	head := s.git.Head()
	s.reset() // the state is lost: what stands at staging is judged anew, and nobody makes it now
	for range 2 {
		r := s.sync()["web"]
		if refused := kinds(r.Plan, mirror.Refuse); len(refused) > 0 {
			t.Errorf("refused: %v", refused)
		}
	}
	s.pulled("staging", "1.0.0")
	if s.tag("mirror/staging/ghcr.io/team/web", "1") != first.Digest {
		t.Error("the image at staging moved")
	}
	if s.git.Head() != head {
		t.Error("a cycle without a change made a commit")
	}
	for _, path := range s.upstream.Proxy().Counts().Paths {
		if strings.Contains(path, "charts") {
			t.Errorf("an upstream was asked for the chart: %s", path)
		}
	}
}

// excepted gives exceptions of a policy: what nobody signed is admitted all the same.
func excepted(repositories ...string) (text string) {
	for _, name := range repositories {
		text += "- {match: " + name + ", skip: [signatures], until: 2099-01-01, reason: x, approvedBy: y}\n"
	}
	return text
}

// A chart of a registry is copied as it is there; one of an HTTP repository becomes an artifact. Neither is what a reviewed
// file names, so it takes more than pinned to admit them.
func TestMade_ChartsOfOthers(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{"desired/policy.yaml": pinnedPolicy})
	image := s.push("ghcr.io/team/web:1", "one")
	files := mirror.Files{}
	for name, text := range chartOf("1.0.0", image) {
		files[name] = []byte(text)
	}
	desired, ps := mirror.ParseDesired("", files)
	ps = append(ps, sources.Read(&desired.Sets[0], files)...)
	if err := ps.Err(); err != nil {
		t.Fatal(err)
	}
	made := desired.Sets[0].Made[0]
	var archive []byte
	for _, blob := range made.Blobs {
		if !json.Valid(blob) {
			archive = blob
		}
	}
	web := must(testenv.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/stable/index.yaml":
			fmt.Fprintf(w, "entries: {web: [{version: 1.0.0, urls: [web.tgz], digest: %s}]}\n", mirror.DigestOf(archive).Hex)
		case "/stable/web.tgz":
			_, _ = w.Write(archive) // a client that left
		default:
			http.NotFound(w, r)
		}
	})))(t)
	t.Cleanup(web.Close)
	s.config += fmt.Sprintf("  charts: {host: %q, insecure: true}\n", web.Host())
	s.open()
	at := must(mirror.ParseReference("ghcr.io/charts/web:1.0.0"))(t)
	for digest, blob := range made.Blobs {
		session := must(s.line.registry.Begin(t.Context(), at))(t)
		if err := s.line.registry.Upload(t.Context(), session, mirror.Descriptor{Digest: digest, Size: int64(len(blob))}, 0, bytes.NewReader(blob)); err != nil {
			t.Fatal(err)
		}
	}
	must(s.line.registry.Put(t.Context(), at, made.Manifest))(t)

	s.commit("charts of others", map[string]string{
		"desired/near.yaml": fmt.Sprintf("version: 1\nsource: {kind: helm, chart: \"oci://ghcr.io/charts/web\", version: ~1, inline: {image: %q}}\nlayout: path\n", image.WithTag("1")),
		"desired/web.yaml":  fmt.Sprintf("version: 1\nsource: {kind: helm, chart: web, repository: \"%s/stable\", version: ~1, inline: {image: %q}}\nlayout: path\n", web.URL(), image),
	})
	reports := s.sync()
	for _, set := range []string{"near", "web"} {
		if refused := kinds(reports[set].Plan, mirror.Refuse); len(refused) == 0 {
			t.Errorf("%s: what nobody reviewed was admitted as pinned: %+v", set, reports[set].Plan.Actions)
		}
	}
	s.commit("admitted", map[string]string{"desired/policy.yaml": "version: 1\nrules: [{match: \"**\", require: {signers: [vendor], count: 1}}]\n" +
		"signers: {vendor: {key: keys/vendor.pub}}\nexceptions:\n" + excepted("charts.invalid/web", "ghcr.io/charts/web", "ghcr.io/team/web")})
	s.sync()
	if got := s.pulled("snapshot", "1.0.0"); got != "web 1.0.0 none" {
		t.Errorf("Helm pulls %q", got)
	}
	if s.tag("mirror/snapshot/ghcr.io/charts/web", "1.0.0") != made.Manifest.Descriptor.Digest {
		t.Error("the chart of the registry is not the one that lies there")
	}
	head := s.git.Head()
	s.open()
	s.sync()
	if s.git.Head() != head {
		t.Error("a cycle without a change made a commit")
	}
}
