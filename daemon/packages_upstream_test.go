package daemon

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// Whatever an upstream answers in its trouble, what stands stays where it stands, and nothing half comes in.
func TestPackages_AnUpstreamInTroubleTakesNothingAway(t *testing.T) {
	t.Parallel()
	const standing = "apache-1.0.0 kafka-1.0.0 mysql-1.0.0 nginx-1.0.0 redis-1.0.0"
	var packages []testenv.EPRPackage
	for name := range strings.FieldsSeq(standing) {
		packages = append(packages, testenv.EPRPackage{Name: strings.TrimSuffix(name, "-1.0.0"), Version: "1.0.0"})
	}
	s := newPackageSite(t, packages...)
	s.sync()
	if got := s.stands("snapshot"); got != standing {
		t.Fatalf("stands %q, want %q", got, standing)
	}
	all := func(*http.Request) bool { return true }
	said := func(body string) func() {
		return func() { s.epr.Say(func([]json.RawMessage) []byte { return []byte(body) }) }
	}
	for _, tt := range []struct {
		name    string
		trouble func()
		want    string // stands then
	}{
		{"an outage", func() { s.epr.Proxy().Break(testenv.Always(all, testenv.Fault{Status: http.StatusServiceUnavailable})) }, standing},
		{"no longer there", func() { s.epr.Proxy().Break(testenv.Always(all, testenv.Fault{Status: http.StatusNotFound})) }, standing},
		{"a list that breaks off", func() {
			s.epr.Proxy().Break(testenv.Always(testenv.OfSearch, testenv.Fault{Truncate: true, After: 700}))
		}, standing},
		{"nothing", said("[]"), standing},
		{"no list", said(`{"packages": []}`), standing},
		{"a page for people", said("<html><body>Sign in</body></html>"), standing},
		{"a body of 100 MB", said("[" + strings.Repeat(" ", 100<<20) + "]"), standing},
		{"most of it gone", func() {
			s.epr.Say(func(items []json.RawMessage) []byte { return append(append([]byte("["), items[0]...), ']') })
		}, standing},
		{"a new one of which the zip breaks off", func() {
			if err := s.epr.Put(testenv.EPRPackage{Name: "new", Version: "1.0.0", Size: 64 << 10}); err != nil {
				t.Fatal(err)
			}
			s.epr.Proxy().Break(testenv.Always(testenv.OfZip("new-1.0.0"), testenv.Fault{Truncate: true, After: 4 << 10}))
		}, standing},
		{"well again, an hour later", func() { s.now = s.now.Add(time.Hour) }, strings.Replace(standing, " nginx", " new-1.0.0 nginx", 1)},
	} {
		s.epr.Say(nil)
		s.epr.Proxy().Break(nil)
		tt.trouble()
		if _, err := s.trySync(); err != nil && tt.want != standing {
			t.Errorf("%s: %v", tt.name, err)
		}
		if got := s.stands("snapshot"); got != tt.want {
			t.Errorf("%s: stands %q, want %q", tt.name, got, tt.want)
		}
		for name := range strings.FieldsSeq(standing) {
			if name = strings.TrimSuffix(name, "-1.0.0"); s.tag("mirror/epr.elastic.co/"+name, "elastic-"+name+"-1.0.0-snapshot") == (mirror.Digest{}) {
				t.Errorf("%s: the tag of %s is gone", tt.name, name)
			}
		}
	}
	s.whole()
}

// A registry that fails for a moment says nothing of whether a package is signed.
func TestPackages_ASignatureThatFailsForAMomentIsNotGone(t *testing.T) {
	t.Parallel()
	s := newPackageSite(t, testenv.EPRPackage{Name: "nginx", Version: "1.20.0"})
	s.sync()
	s.epr.Proxy().Break(testenv.Always(testenv.OfSignature(""), testenv.Fault{Status: http.StatusInternalServerError}))
	s.epr.Say(func(items []json.RawMessage) []byte {
		return []byte(strings.Replace(string(must(json.Marshal(items))(t)), `"title":"`, `"title":"New `, 1))
	})
	s.now = s.now.Add(time.Hour)
	reports, _ := s.trySync() // that it could not be compared is told
	s.epr.Proxy().Break(nil)
	for _, a := range reports["elastic"].Plan.Actions {
		if a.Kind == mirror.Refuse {
			t.Errorf("it is taken for another one, without a signature: %+v", a)
		}
	}
	if got := s.stands("snapshot"); got != "nginx-1.20.0" || len(reports) == 0 {
		t.Errorf("stands %q, want nginx-1.20.0; %d reports", got, len(reports))
	}
}

// A server that sends a part whatever the condition says must not make one zip of two.
func TestZipMark_APartOfAnotherFileIsNoContinuation(t *testing.T) {
	m := zipMark{Size: 100, ETag: `"a"`, Modified: "Mon, 02 Jan 2006 15:04:05 GMT"}
	for _, tt := range []struct {
		name, span, etag, modified string
		want                       bool
	}{
		{"the rest", "bytes 40-99/100", `"a"`, m.Modified, true},
		{"nothing said of the file", "bytes 40-99/100", "", "", true},
		{"another part", "bytes 0-99/100", `"a"`, m.Modified, false},
		{"another length", "bytes 40-99/101", `"a"`, m.Modified, false},
		{"another tag", "bytes 40-99/100", `"b"`, m.Modified, false},
		{"another time", "bytes 40-99/100", "", "Tue, 03 Jan 2006 15:04:05 GMT", false},
	} {
		header := http.Header{"Content-Range": {tt.span}}
		if tt.etag != "" {
			header.Set("ETag", tt.etag)
		}
		if tt.modified != "" {
			header.Set("Last-Modified", tt.modified)
		}
		if got := m.continues(&http.Response{Header: header}, 40); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}
