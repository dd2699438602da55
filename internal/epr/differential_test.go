package epr

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/testenv"
)

// pair is our handler and Elastic's registry with the same packages.
type pair struct {
	ours   string
	theirs string
	client *http.Client
}

// newPair starts both; the test is skipped where Elastic's registry is not built. Packages whose number divides by nine have
// no signature.
func newPair(t *testing.T, packages map[string][]byte) (pair, []Item) {
	t.Helper()
	if _, ok := testenv.Tool("package-registry"); !ok {
		t.Skip("Elastic's package registry is not built: testenv/interop.sh tools")
	}
	dir, at := t.TempDir(), newPantry()
	var items []Item
	for n, id := range slices.Sorted(maps.Keys(packages)) {
		var signature []byte
		if n%9 != 8 {
			signature = []byte("-----BEGIN PGP SIGNATURE-----\n\n" + id + "\n-----END PGP SIGNATURE-----")
			write(t, filepath.Join(dir, id+".zip.sig"), signature)
		}
		write(t, filepath.Join(dir, id+".zip"), packages[id])
		items = append(items, at.put(t, packages[id], signature))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	real, err := testenv.NewPackageRegistry(ctx, testenv.PackageRegistryOptions{Paths: []string{dir}, Unsigned: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(real.Close)
	server := httptest.NewServer(at.serve(items))
	t.Cleanup(server.Close)
	return pair{server.URL, real.URL(), &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, items
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// answer is what is compared: status, headers and body.
func (p pair) answer(t *testing.T, base, method, path string, headers ...string) (string, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, base+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := p.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	// When a zip was put on a disk is not known to us; we say how old its newest file is, and have a tag for its bytes.
	for _, own := range []string{"Date", "Etag"} {
		resp.Header.Del(own)
	}
	if strings.Contains(path, "/epr/") && resp.Header.Get("Last-Modified") != "" {
		resp.Header.Set("Last-Modified", "some time")
	}
	if strings.HasSuffix(path, ".sig") && resp.StatusCode == http.StatusOK {
		resp.Header.Del("Content-Type") // the type depends on the machine there
	}
	head := fmt.Sprintf("%d %d\n", resp.StatusCode, resp.ContentLength)
	for _, k := range slices.Sorted(maps.Keys(resp.Header)) {
		head += fmt.Sprintf("%s: %q\n", k, resp.Header[k])
	}
	return head, string(body)
}

func (p pair) compare(t *testing.T, method, path string, headers ...string) {
	t.Helper()
	wantHead, wantBody := p.answer(t, p.theirs, method, path, headers...)
	head, body := p.answer(t, p.ours, method, path, headers...)
	if head != wantHead {
		t.Errorf("%s %s %q: headers\n%s\nElastic's:\n%s", method, path, headers, head, wantHead)
	}
	if body != wantBody {
		t.Errorf("%s %s: %s", method, path, firstDifference(body, wantBody))
	}
}

func firstDifference(have, want string) string {
	n := 0
	for n < min(len(have), len(want)) && have[n] == want[n] {
		n++
	}
	return fmt.Sprintf("at byte %d of %d and %d:\n%s\nElastic's:\n%s", n, len(have), len(want),
		have[max(0, n-300):min(len(have), n+200)], want[max(0, n-300):min(len(want), n+200)])
}

// TestHandler_AnswersAsElasticsRegistry holds all answers against those of the real one, over a few hundred packages.
func TestHandler_AnswersAsElasticsRegistry(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a server")
	}
	packages := newGenerator(1).packages(t, 70)
	p, items := newPair(t, packages)
	t.Logf("%d packages", len(items))

	t.Run("search", func(t *testing.T) {
		for _, query := range searches() {
			p.compare(t, http.MethodGet, "/search"+query)
		}
	})
	t.Run("categories", func(t *testing.T) {
		for _, query := range searches() {
			p.compare(t, http.MethodGet, "/categories"+query)
			p.compare(t, http.MethodGet, "/categories"+query+"&include_policy_templates=true")
		}
	})
	t.Run("packages", func(t *testing.T) {
		for _, i := range items {
			id, of := i.Package.String(), "/package/"+i.Package.Name+"/"+i.Package.Version+"/"
			for _, path := range []string{"", "docs/README.md", "img/icon.svg", "img/shot.png", "manifest.yml", "docs/first.md", "deep/er/than/most/file.txt", "no/such"} {
				p.compare(t, http.MethodGet, of+path)
			}
			p.compare(t, http.MethodGet, "/epr/"+i.Package.Name+"/"+id+".zip")
			p.compare(t, http.MethodGet, "/epr/"+i.Package.Name+"/"+id+".zip.sig")
		}
	})
	t.Run("paths", func(t *testing.T) {
		i := items[0]
		for _, path := range paths(i) {
			for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
				p.compare(t, method, path)
			}
		}
	})
	t.Run("ranges", func(t *testing.T) {
		i := items[0]
		for _, path := range []string{"/epr/x/" + i.Package.String() + ".zip", "/package/" + i.Package.Name + "/" + i.Package.Version + "/img/shot.png"} {
			for _, r := range []string{"bytes=0-9", "bytes=100-", "bytes=-20", "bytes=5-5", "bytes=999999999-", "bytes=0-3,10-12", "nonsense", "bytes=0-0"} {
				if strings.Contains(r, ",") { // the boundary is random
					continue
				}
				p.compare(t, http.MethodGet, path, "Range", r)
				p.compare(t, http.MethodHead, path, "Range", r)
			}
		}
	})
}

func paths(i Item) []string {
	n, v, id := i.Package.Name, i.Package.Version, i.Package.String()
	return []string{"/", "/index.json", "/index.json/", "/health", "/health?ready=true", "/search/", "/search/?all=true", "/categories/", "/nothing", "/package", "/package/",
		"/package/" + n, "/package/" + n + "/" + v, "/package/" + n + "/" + v + "?x=1", "/package/" + n + "/v1.0.0/", "/package/" + n + "/1.0/", "/package/" + n + "/9.9.9/",
		"/package/none/1.0.0/", "/package/UPPER/1.0.0/", "/package/UPPER/1.0.0", "/package/UPPER/1.0.0/x", "/package/none/1.0.0/x.md", "/package/none/x/x.md", "/package/none/x/",
		"/package/" + n + "/" + v + "/docs/README.md/", "/package/" + n + "/" + v + "/../x", "//search", "/./search", "/package/" + n + "/" + v + "/docs%2FREADME.md",
		"/package/" + n + "/" + v + "/%2e%2e/%2e%2e/x", "/epr/any/" + id + ".zip", "/epr/any/" + id + ".zip/", "/epr/any/" + id + ".zip.sig/", "/epr/any/none-1.0.0.zip", "/epr/any/none-1.0.0.zip.sig",
		"/epr/any/none-1.0.zip", "/epr/any/none-v1.0.0.zip.sig", "/epr/any/none.zip", "/epr/any/UP-1.0.0.zip", "/epr/" + id + ".zip", "/epr/any/" + id + "xzip", "/epr/any/" + id + ".zip.zip"}
}

// searches gives a grid of queries, each beginning with a question mark.
func searches() (all []string) {
	flags := []string{"", "&all=true", "&prerelease=true", "&all=t&prerelease=1", "&experimental=true", "&experimental=true&all=true", "&all=false&prerelease=0"}
	asked := []string{"", "kibana.version=8.0.0", "kibana.version=8.12.1", "kibana.version=7.5.2", "kibana.version=9.2.0", "kibana.version=8.0.0-SNAPSHOT", "kibana.version=7",
		"category=web", "category=security", "category=observability", "category=unheard_of", "category=datastore", "type=input", "type=content", "type=integration", "package=alpha_0", "package=beta_1", "package=none",
		"capabilities=security", "capabilities=security,observability,uptime", "capabilities=", "spec.max=2.10", "spec.min=2.3&spec.max=3.1", "spec.min=3.2", "spec.max=3.2", "agent.version=9.3.0", "agent.version=8.1.0",
		"discovery=fields:process.pid", "discovery=fields:process.pid,host.name,http.url", "discovery=datasets:nginx.access", "discovery=fields:http.url,host.name&discovery=datasets:nginx.access,good_content.errors", "discovery=fields:",
		"unknown=1", "internal=true", "kibana.version=8.13.0&category=security&type=integration", "kibana.version=8.13.0&spec.max=3.0&capabilities=uptime,security"}
	for _, a := range asked {
		for _, f := range flags {
			all = append(all, "?"+a+f)
		}
	}
	for _, wrong := range []string{"kibana.version=abc", "kibana.version=8.x", "agent.version=abc", "all=yes", "prerelease=foo", "experimental=maybe", "spec.max=2.10.1", "spec.min=2", "spec.min=a.b", "spec.max=2.x",
		"discovery=foo", "discovery=foo:bar", "discovery=", "all=", "kibana.version=", "all=true&all=nonsense", "kibana.version=%20", "package=a%zz", "category=a;b"} {
		all = append(all, "?"+wrong)
	}
	return all
}
