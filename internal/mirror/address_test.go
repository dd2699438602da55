package mirror

import (
	"strings"
	"testing"
)

// Passwords as people and generators write them, in every form of an address, in a sentence, in quotes and beside
// other addresses: nothing of them is shown.
func TestRedact_LeavesNothingOfAPassword(t *testing.T) {
	passwords := []string{"C", "C/C", "p@C", "@C@C@", "C'C", `C"C`, `C\"C`, "C:C", "C?C", "C#C", "C,C", "C]C", "C}C", "C&C", "C=C", "//C", "://C", "C@sha256:C", "C@refs/C",
		"8080/C", "1234", "C$%^*()!~`|<>;+", "C%40C", "zwölfC", "C\u00a0C", "C\u200bC", "C\x1b[31mC", "C.example/C"}
	addresses := []string{"https://u:PW@h", "https://u:PW@h/x", "HTTPS://u:PW@h/x", "https://john.doe:PW@host.example:5000/x", "https://:PW@h", "ssh://git:PW@h:22/x", "git+ssh://u:PW@h/x", "oci://u:PW@h/x:1",
		"u:PW@h", "u:PW@x/y", "//u:PW@h", `https:\/\/u:PW@h`, "https://u:PW@h/x:1@sha256:" + strings.Repeat("0a", 32), "https://u:PW@h/x.yml@refs/heads/main", "registry=u:PW@h", "url:https://u:PW@h"}
	frames := []string{"A", "see A, please", `get "A": refused`, `git.url: "A" is no address`, "(A)", "https://good.example/x and A", "https://good.example/x,A", "https://a:b@h and A", "A and https://a:b@h2", "docker.io/a:1@sha256:12 A", `{"url": "A"}`}
	count := 0
	for _, p := range passwords {
		for _, a := range addresses {
			for _, f := range frames {
				count++
				text := strings.ReplaceAll(f, "A", strings.ReplaceAll(a, "PW", strings.ReplaceAll(p, "C", "canary")))
				for form, got := range map[string]string{"Redact": Redact(text), "Clean": Clean(text), "twice": Clean(Clean(text)), "snippet": snippetOf("a: " + text + "\n")} {
					if strings.Contains(got, "canary") || strings.Contains(got, "zwölf") || strings.Contains(got, "8080") || strings.Contains(got, "1234") {
						t.Errorf("%s of %q: %q", form, text, got)
					}
				}
			}
		}
	}
	if count < 1000 {
		t.Errorf("%d spellings are few", count)
	}
}

func snippetOf(line string) string {
	ps := Problems{{Code: "X", Where: Position{File: "f", Line: 1}}}
	ps.QuotePublic(Files{"f": []byte(line)})
	return ps[0].Snippet
}

func TestRedact_MasksExactlyWhatMayBeASecret(t *testing.T) {
	for in, want := range map[string]string{
		"https://bob:p@ssw0rd1@h/x":                            "https://***@h/x",
		"https://bob:pa/ssw0rd@h/x":                            "https://***@h/x",
		"https://bob:p'SECRET@h":                               "https://***@h",
		`https://bob:pa"ss@h`:                                  "https://***@h",
		"https://a:b@h and tok:glpatSECRET@h2":                 "https://***@h and ***@h2",
		"bob:SECRET@registry:00112233445566778899aabbccddeeff": "***@registry:00112233445566778899aabbccddeeff",
		"https://token@h/x":                                    "https://***@h/x",
		"https://dG9r/ZW4@h":                                   "https://***@h",
		"u:p@hunTer2S3cr@x/y":                                  "***@x/y",
		"/login?next=https%3A%2F%2Fu%3Apass%40h2":              "/login?next=https%3A%2F%2F***%40h2",
		"said ghp_0123456789abcdefABCDEF0123456789abcd.":       "said ***",
		"glpat-0123456789abcdef here":                          "*** here",
		"github_pat_11ABCDEFG0_abcdef":                         "***",
		"x eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln y":        "x *** y",
		"AKIAIOSFODNN7EXAMPLE":                                 "***",
		// What is none stays: people have to read it.
		"ssh://git@h/x.git":                               "ssh://git@h/x.git",
		"git@github.com:org/repo.git":                     "git@github.com:org/repo.git",
		"docker.io/nginx:1@sha256:12":                     "docker.io/nginx:1@sha256:12",
		"127.0.0.1:5000/a:1@sha512:12":                    "127.0.0.1:5000/a:1@sha512:12",
		"http://127.0.0.1:5000/v2/a@sha256:12":            "http://127.0.0.1:5000/v2/a@sha256:12",
		"https://github.com/o/r/x.yml@refs/tags/v1":       "https://github.com/o/r/x.yml@refs/tags/v1",
		`^https://github\.com/o/.*@refs/heads/main$`:      `^https://github\.com/o/.*@refs/heads/main$`,
		"https://gitea.example:3000/o/x.yml@refs/heads/a": "https://gitea.example:3000/o/x.yml@refs/heads/a",
		"https://proxy.golang.org/x/@v/list":              "https://proxy.golang.org/x/@v/list",
		"mail bob@example.org: see https://example.org":   "mail bob@example.org: see https://example.org",
		"@every 15m":                      "@every 15m",
		"glow-worm eyJ ghp_ gl-":          "glow-worm eyJ ghp_ gl-",
		"https://example.org/docs#net001": "https://example.org/docs#net001",
		"set a: entry b: docker.io/x:1@sha256:12 → y@sha256": "set a: entry b: docker.io/x:1@sha256:12 → y@sha256",
	} {
		if got := Redact(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestQuotePublic_HidesWhatMustNotBeInGit(t *testing.T) {
	for _, line := range []string{
		"auth: C", "auth: dXNlcjpDQU5BUlk=canary", "_auth = C", `"auth": "C"`, "authorization: Basic C", "x-auth-token: C", "oauth: C", "my_auth: C", "pass: C", "Pass=C", "db_pass: C", "passwd: C", "passphrase: C",
		"pwd: C", "PWD: C", "password: C", "- password: C", "secret: C", "clientSecret: C", "token: C", "accessToken: C", "apiKey: C", "api-key: C", "access_key: C", "private-key: C", "signingKey: C", "bearer: C", "cookie: C",
		"credentials: C", "pat: C", "psk: C", "pin: C", ".dockerconfigjson: C", "{user: u, password: C}", "env: [TOKEN=C]", "curl -H 'Authorization: Bearer C'", "header Bearer C-0123456789", "basic dXNlcjcanaryBhc3M=",
		"x: ghp_canary0123456789", "x: gho_canary0123456789", "x: glpat-canary-0123456789", "x: github_pat_canary0123456789", "x: eyJhbGcanary.eyJzdWIcanary.c2lcanary", "url: https://u:p@C@h", "url: https://C/C@h",
		"password:\n  C", "password:\n\n  # note\n  C: C", "password: |\n  C\n  C", "password: foo\n  C", "- password:\n    C", "auth:\n- C", "auth:\n  - C\n  -   user: C", "  token: {\n    file: C}", "secret:\n\tC",
		"x: {password:\n    C}", "password: |\n  a -----BEGIN X-----\n  C -----BEGIN PRIVATE KEY----- C",
		"key: |\n  -----BEGIN PRIVATE KEY-----\n  C\n  -----END PRIVATE KEY-----",
	} {
		text := strings.ReplaceAll(line, "C", "canary")
		ps := Problems{}
		for i := range strings.Split(text, "\n") {
			ps = append(ps, Problem{Code: "X", Where: Position{File: "f", Line: i + 1}})
		}
		ps.QuotePublic(Files{"f": []byte(text + "\nafter: harmless\n")})
		if got := ps.Error(); strings.Contains(got, "canary") {
			t.Errorf("%q is shown as\n%s", text, got)
		}
	}
	for _, line := range []string{"author: harmless", "authority: harmless", "key: cosign.pub", "pinned: true", "rules: [a]", "match: docker.io/x", "identity: https://github.com/o/r/x.yml@refs/heads/main",
		"a: docker.io/x:1@sha256:" + strings.Repeat("0a", 32), "password: x\nafter: harmless", "- token: x\n  after: harmless", "auth:\n  - x\nafter: harmless"} {
		ps := Problems{{Code: "X", Where: Position{File: "f", Line: 1 + strings.Count(line, "\n")}}}
		ps.QuotePublic(Files{"f": []byte(line + "\n")})
		if want := line[strings.LastIndex(line, "\n")+1:]; ps[0].Snippet != want {
			t.Errorf("%q is shown as %q", line, ps[0].Snippet)
		}
	}
}
