package mirror

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
)

func TestRemoteScheme(t *testing.T) {
	for _, tt := range []struct{ address, scheme, wrong string }{
		{"https://git.example.org/platform/fleet.git", "https", ""},
		{"http://127.0.0.1:3000/fleet.git", "http", ""},
		{"ssh://git@git.example.org:2222/fleet.git", "ssh", ""},
		{"git@git.example.org:platform/fleet.git", "ssh", ""},
		{"git.example.org:fleet.git", "ssh", ""},
		{"git@[::1]:fleet.git", "ssh", ""},
		{"/srv/git/fleet.git", "file", ""},
		{"file:///srv/git/fleet.git", "file", ""},
		{"https://hunter2@git.example.org/fleet.git", "", "carries a user name"},
		{"http://hunter2@git.example.org/fleet.git", "", "carries a user name"},
		{"https://bob:hunter2@git.example.org/fleet.git", "", "carries a password"},
		{"ssh://bob:hunter2@git.example.org/fleet.git", "", "carries a password"},
		{"bob:hunter2@127.0.0.1:fleet.git", "", "carries a password"},
		{"//bob:hunter2@127.0.0.1/fleet.git", "", "carries a password"},
		{"https://git.example.org/fleet.git?token=hunter2", "", "carries a query"},
		{"//git.example.org/fleet.git", "", "is no address"},
		{"fleet.git", "", "is no address"},
		{"", "", "is no address"},
		{"https:///fleet.git", "", "is no address"},
		{"https://git.example.org:99x/hunter2", "", "is no address"},
		{"ssh://git.example.org", "", "is no address"},
		{"git@git.example.org:/", "", "is no address"},
		{"file://git.example.org/fleet.git", "", "is no address"},
		{"ftp://git.example.org/fleet.git", "", `has the scheme "ftp"`},
	} {
		scheme, err := RemoteScheme(tt.address)
		if scheme != tt.scheme || (err == nil) != (tt.wrong == "") {
			t.Errorf("%s: %q, %v", tt.address, scheme, err)
		}
		var wrong *RemoteError
		if err == nil {
			continue
		}
		if !errors.As(err, &wrong) || !strings.HasPrefix(err.Error(), tt.wrong) || strings.Contains(err.Error(), "hunter2") || wrong.Secret != strings.HasPrefix(tt.wrong, "carries") {
			t.Errorf("%s: %#v, want %q", tt.address, err, tt.wrong)
		}
	}
}

// Git itself is asked what it takes.
func TestIsBranch(t *testing.T) {
	for _, name := range []string{"main", "feature/x", "a.b", "v1@2", "ä", "", "-x", ".x", "x.", "x/.y", "x.lock", "x.lock/y", "a..b", "a b", "a~b", "a^b", "a:b",
		"a?b", "a*b", "a[b", `a\b`, "a@{b", "/x", "x/", "a//b", "a\tb", "a\x7fb"} {
		want := exec.Command("git", "check-ref-format", "--branch", name).Run() == nil
		if got := IsBranch(name); got != want {
			t.Errorf("%q: got %t, Git says %t", name, got, want)
		}
	}
}
