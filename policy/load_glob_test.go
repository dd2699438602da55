package policy

import (
	"strings"
	"testing"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/poundlock/poundlock/internal/mirror"
)

func TestGlob_OneThatCanMatchNothingIsRefused(t *testing.T) {
	for pattern, fix := range map[string]string{
		"*":                                  "write **",
		"debug-*":                            "write **/debug-*",
		"nginx":                              "write **/nginx",
		"docker.io":                          "write docker.io/**",
		"localhost:5000":                     "write localhost:5000/**",
		"*api*":                              "write **/*api*",
		"**api":                              "write **/*api",
		"docker.io/nginx":                    "write docker.io/library/nginx",
		"docker.io/haproxy":                  "write docker.io/library/haproxy",
		"docker.io/*":                        "write docker.io/**",
		"docker.io/debug-*":                  "write docker.io/**/debug-*",
		"ghcr.io/vendor/app/":                "write ghcr.io/vendor/app/**",
		"ghcr.io/vendor//app":                "write one slash",
		"ghcr.io/**api":                      "write ghcr.io/**/*api",
		"ghcr.io/vendor**":                   "write ghcr.io/vendor*/**",
		"ghcr.io/a**b/x":                     "write ghcr.io/a*b/x",
		"ghcr.io/Vendor/app":                 "lower-case",
		"ghcr.io/vendor /app":                "lower-case",
		"nginx:1.25":                         "leave tag and digest out",
		"docker.io/library/nginx:1.25":       "leave tag and digest out",
		"x.example/a@sha256:12":              "leave tag and digest out",
		"index.docker.io/library/*":          "write docker.io/library/*",
		"library/nginx":                      "**/library/nginx",
		"/library/nginx":                     "**/library/nginx",
		"{ghcr.io/**,docker.io/nginx}":       "write docker.io/library/nginx",
		"{ghcr.io,docker.io}/{library,x}":    "write docker.io/library/library",
		"{ghcr.io/{a,b**},quay.io/**}":       "write ghcr.io/b*/**",
		"docker.io/{library,vectorim}/app/":  "write docker.io/library/app/**",
		"{quay.io/example-tools/*,debug-*,}": "write **/debug-*",
		"":                                   "write a glob",
		"x.example/[":                        "write a glob",
	} {
		l := loader{}
		l.glob(pattern, mirror.Position{}, "match")
		if len(l.problems) != 1 || l.problems[0].Code != "POL015" || !strings.Contains(l.problems[0].Fix, fix) {
			t.Errorf("%q: got %v, want a fix with %q", pattern, l.problems, fix)
		}
	}
}

func TestGlob_OneThatMayMatchIsTaken(t *testing.T) {
	for pattern, name := range map[string]string{
		"**":                                      "docker.io/library/nginx",
		"**/debug-*":                              "ghcr.io/a/debug-tool",
		"*/**":                                    "ghcr.io/a/b",
		"*.example/app":                           "x.example/app",
		"docker.io/**":                            "docker.io/library/nginx",
		"docker.io/library/*":                     "docker.io/library/nginx",
		"docker.io/**/debug-*":                    "docker.io/a/debug-tool",
		"docker.io/library/nginx":                 "docker.io/library/nginx",
		"{docker.io,ghcr.io}/**":                  "ghcr.io/a/b",
		"{ghcr.io/vendor/**,quay.io/{a,b}/*}":     "quay.io/b/x",
		"docker.io/{library,vectorim}/**":         "docker.io/vectorim/x",
		"registry:5000/app":                       "registry:5000/app",
		"localhost/app":                           "localhost/app",
		"ghcr.io/app":                             "ghcr.io/app",
		"ghcr.io/[a-z]*/x_y.z-?":                  "ghcr.io/team/x_y.z-1",
		"ghcr.io/" + strings.Repeat("{a,b}", 20):  "ghcr.io/" + strings.Repeat("ab", 10),
		"ghcr.io/{,pre-}app":                      "ghcr.io/app",
		"{ghcr.io/team/[ab],ghcr.io/other/app/*}": "ghcr.io/team/b",
	} {
		l := loader{}
		if l.glob(pattern, mirror.Position{}, "match"); len(l.problems) > 0 {
			t.Errorf("%q: %v", pattern, l.problems)
		}
		if !doublestar.MatchUnvalidated(pattern, name) {
			t.Errorf("%q does not match %s", pattern, name)
		}
	}
}

// What is offered instead is taken.
func TestGlob_WhatIsOfferedIsTaken(t *testing.T) {
	for _, pattern := range []string{"*", "debug-*", "docker.io", "**api", "*api*", "docker.io/nginx", "docker.io/*", "docker.io/debug-*", "ghcr.io/a/", "ghcr.io/x**y**", "localhost:5000"} {
		_, fix := futile(pattern)
		offered, ok := strings.CutPrefix(fix, "write ")
		if why, _ := futile(offered); !ok || why != "" {
			t.Errorf("%q: offers %q: %s", pattern, fix, why)
		}
	}
}
