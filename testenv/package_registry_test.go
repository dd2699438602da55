package testenv

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// newPackageRegistry starts Elastic's server where it is built.
func newPackageRegistry(t *testing.T, o PackageRegistryOptions) *PackageRegistry {
	t.Helper()
	if _, ok := Tool("package-registry"); !ok {
		t.Skip("Elastic's server is not built: testenv/interop.sh builds it")
	}
	r, err := NewPackageRegistry(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// Our upstream stands for Elastic's in every other test, so it has to say the same of the same packages.
func TestPackageRegistry_SaysTheSameAsOurUpstream(t *testing.T) {
	e := newEPR(t, EPROptions{},
		EPRPackage{Name: "nginx", Version: "1.0.0", Kibana: "^8.0.0", Categories: []string{"web", "observability"}, DataStreams: []string{"access", "error"}},
		EPRPackage{Name: "nginx", Version: "1.1.0", Kibana: "^9.0.0", Dotted: true, Owner: "example/web"},
		EPRPackage{Name: "nginx", Version: "1.2.0-beta1", Subscription: "gold", Capabilities: []string{"security"}},
		EPRPackage{Name: "apache", Version: "0.3.0", Format: "2.10.1", Agent: "^9.1.0"},
		EPRPackage{Name: "old", Version: "1.0.0", Release: "experimental"})
	dir := t.TempDir()
	if err := e.WriteFolder(dir, "nginx-1.0.0", "nginx-1.1.0", "nginx-1.2.0-beta1", "apache-0.3.0", "old-1.0.0"); err != nil {
		t.Fatal(err)
	}
	real := newPackageRegistry(t, PackageRegistryOptions{Paths: []string{dir}})
	for _, query := range []string{"", "?all=true", "?all=true&prerelease=true", "?kibana.version=8.9.0", "?category=web&prerelease=1", "?spec.max=2.10", "?spec.min=3.0&spec.max=3.0",
		"?agent.version=9.0.0", "?capabilities=observability&prerelease=true", "?package=nginx", "?type=content", "?spec.max=2", "?all=perhaps", "?kibana.version=abc"} {
		want, wantBody := fetch(t, real.URL()+"/search"+query)
		got, gotBody := fetch(t, e.URL()+"/search"+query)
		if got.StatusCode != want.StatusCode || !sameJSON(gotBody, wantBody) {
			t.Errorf("search%s = %d %s\nwant %d %s", query, got.StatusCode, gotBody, want.StatusCode, wantBody)
		}
	}
	for _, path := range []string{"/epr/nginx/nginx-1.0.0.zip", "/epr/nginx/nginx-1.0.0.zip.sig", "/epr/nginx/nginx-9.0.0.zip", "/epr/nginx/nginx-9.0.0.zip.sig", "/epr/nginx/nginx-1.zip"} {
		want, wantBody := fetch(t, real.URL()+path)
		got, gotBody := fetch(t, e.URL()+path)
		if got.StatusCode != want.StatusCode || string(gotBody) != string(wantBody) || got.Header.Get("Content-Type") != want.Header.Get("Content-Type") {
			t.Errorf("%s = %d %s %q\nwant %d %s %q", path, got.StatusCode, got.Header.Get("Content-Type"), gotBody, want.StatusCode, want.Header.Get("Content-Type"), wantBody)
		}
	}
}

// sameJSON says whether two bodies say the same; the order of keys is nobody's business.
func sameJSON(a, b []byte) bool {
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return bytes.Equal(a, b)
	}
	return reflect.DeepEqual(x, y)
}

func TestPackageRegistry_RefusesToStartWithoutASignature(t *testing.T) {
	e := newEPR(t, EPROptions{}, EPRPackage{Name: "nginx", Version: "1.0.0", Unsigned: true})
	dir := t.TempDir()
	if err := e.WriteFolder(dir, "nginx-1.0.0"); err != nil {
		t.Fatal(err)
	}
	newPackageRegistry(t, PackageRegistryOptions{Paths: []string{dir}, Unsigned: true})
	r, err := NewPackageRegistry(t.Context(), PackageRegistryOptions{Paths: []string{dir}})
	if err == nil {
		r.Close()
		t.Fatal("it started over a package without a signature")
	}
	if !strings.Contains(err.Error(), "signature") {
		t.Errorf("it says: %v", err)
	}
}
