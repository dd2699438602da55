package daemon

import (
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

func TestNamedPackages(t *testing.T) {
	t.Parallel()
	standing := mirror.Standing{}
	for _, entry := range strings.Fields("nginx-1.2.0 nginx-1.10.0 nginx-2.0.0-beta1 apache-1.0.0 apache_tomcat-0.1.0 odd") {
		standing[entry] = mirror.Line{}
	}
	for _, tt := range []struct{ words, want, newest string }{
		{"nginx-1.2.0", "nginx-1.2.0", "nginx-1.2.0"}, // whoever names a version means it
		{"nginx", "nginx-2.0.0-beta1", "nginx-2.0.0-beta1"},
		{"nginx-1.*", "nginx-1.10.0 nginx-1.2.0", ""},
		{"apache*", "apache-1.0.0 apache_tomcat-0.1.0", "apache-1.0.0 apache_tomcat-0.1.0"},
		{"nobody none-* odd", "nobody none-* odd", "nobody none-* odd"},
	} {
		if got := strings.Join(namedPackages(strings.Fields(tt.words), standing, false), " "); got != tt.want {
			t.Errorf("%s: %s", tt.words, got)
		}
		want := tt.newest
		if want == "" {
			want = tt.words // nothing of it is the newest, so it is told as a name that is none
		}
		if got := strings.Join(namedPackages(strings.Fields(tt.words), standing, true), " "); got != want {
			t.Errorf("%s, newest only: %s", tt.words, got)
		}
	}
}
