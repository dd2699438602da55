package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

const canary = "canary-S3cr3t.v4lue"

// shows fails the test when a problem tells of a canary in any of its forms.
func shows(t *testing.T, problems mirror.Problems) {
	t.Helper()
	if len(problems) == 0 {
		t.Fatal("no problem was found: the test attacks nothing")
	}
	text, err := json.Marshal(problems)
	if err != nil {
		t.Fatal(err)
	}
	forms := []string{problems.Error(), string(text)}
	for _, p := range problems {
		forms = append(forms, p.Annotation())
	}
	for _, form := range forms {
		for _, part := range []string{"canary", "S3cr3t", "v4lue", "MIIEcan"} {
			if strings.Contains(form, part) {
				t.Errorf("%q is shown in:\n%s", part, form)
			}
		}
	}
}

const privateKeyText = "-----BEGIN PRIVATE KEY-----\n%[1]sMIIEcanaryAQEFAASCS3cr3tgSiAgEAAoIBAQC7v4lue\n%[1]sMIIEcanaryAQEFAASCS3cr3tgSiAgEAAoIBAQC7v4lue\n%[1]s-----END PRIVATE KEY-----\n"

// A secret that somebody wrote where a reference belongs, under a misspelt key, in a line with a mistake or in a
// file that cannot be parsed is never shown: not in the text, nor the JSON, nor the annotations.
func TestLoad_ShowsNoSecretOfABrokenFile(t *testing.T) {
	auth := func(text string) string {
		return strings.Replace(minimal, "prefix: mirror}", text+"}", 1)
	}
	block := func(text string) string {
		return "version: 1\nsite: berlin\ngit:\n  url: https://git.example.org/fleet.git\n  auth:\n    username: u\n" + text + "registries:\n  local: {host: r.example}\n"
	}
	key := func(indent string) string { return fmt.Sprintf(privateKeyText, indent) }
	for name, text := range map[string]string{
		"password in clear":                      auth("auth: {username: u, password: C}"),
		"token in clear":                         auth("auth: {token: C}"),
		"quoted":                                 auth(`auth: {username: u, password: "C"}`),
		"single quoted":                          auth(`auth: {username: u, password: 'C'}`),
		"escaped":                                auth(`auth: {username: u, password: "C\u0041\tC"}`),
		"list of secrets":                        auth("auth: {token: [C, C]}"),
		"mapping of secrets":                     auth("auth: {token: {value: C}}"),
		"secret as a key":                        auth("auth: {token: {C: 1}}"),
		"secret as a key alone":                  auth("auth: {token: {C}}"),
		"secret as a key twice":                  auth("auth: {token: {C, C}}"),
		"secret without its key":                 auth("auth: {username: u, C}"),
		"secret without its key, twice":          auth("auth: {C, C}"),
		"auth is the secret":                     auth("auth: C"),
		"auth is a list":                         auth("auth: [C]"),
		"misspelt password":                      auth("auth: {username: u, pasword: C}"),
		"misspelt token":                         auth("auth: {tokn: C}"),
		"very misspelt":                          auth("auth: {wachtwoord: C}"),
		"misspelt auth":                          auth("auht: {username: u, password: C}"),
		"unknown key of the registry":            auth("passwd: C"),
		"unknown area":                           minimal + "credentials:\n  hub: {user: u, pw: C}\n",
		"unknown list":                           minimal + "secrets: [C, C]\n",
		"beside a mistake in the line":           auth("auth: {username: u, password: C, keychian: true}"),
		"before a mistake in the line":           auth("auth: {password: C, username: [u]}"),
		"beside a mistake in another key":        auth("auth: {password: {file: x}, token: C}, insecure: maybe"),
		"where a boolean belongs":                auth("auth: {keychain: C}"),
		"where a list belongs":                   auth("auth: {realms: C}"),
		"as user name that is a list":            auth("auth: {username: [C], password: {file: x}}"),
		"in a comment":                           auth("auth: {tokn: x}") + "polcy: x # C\n",
		"in a comment of the line":               strings.Replace(minimal, "site: berlin", "siet: berlin # password C", 1),
		"multi-line plain":                       block("    password: C\n      C C\n"),
		"multi-line quoted":                      block("    password: \"C\n      C\"\n"),
		"multi-line quoted, misspelt":            block("    pasword: \"C\n      C: C\"\n"),
		"literal block":                          block("    password: |\n      C\n      C: C\n"),
		"folded block, misspelt":                 block("    pasword: >-\n      C\n      C: C\n"),
		"private key in clear":                   block("    sshKey: |\n" + key("      ")[0:0] + "      " + key("      ")),
		"private key, misspelt":                  block("    sshkey: |\n      " + key("      ")),
		"private key not indented":               block("    sshKey: |\n" + key("")),
		"private key after the colon":            block("    sshKey: " + key("")),
		"private key after the colon, in":        block("    sshKey: " + key("      ")),
		"private key in quotes, open":            block("    sshKey: \"" + key("      ")),
		"private key in file":                    block("    sshKey: {file: \"-----BEGIN PRIVATE KEY-----\\nMIIEcanary\\n-----END PRIVATE KEY-----\"}\n"),
		"private key as TLS key":                 minimal + "tls: {certFile: x, keyFile: \"-----BEGIN PRIVATE KEY-----\\nMIIEcanary\\n\"}\n",
		"name of a variable":                     auth("auth: {token: {env: C}}"),
		"syntax: unclosed quote":                 block("    password: \"C\n"),
		"syntax: unclosed single quote":          block("    password: 'C\n"),
		"syntax: two colons":                     block("    password: C: C\n"),
		"syntax: unclosed bracket":               block("    password: [C, C\n"),
		"syntax: unclosed brace":                 auth("auth: {username: u, password: C")[:100] + "\n",
		"syntax: text after quote":               block("    password: \"C\" C\n"),
		"syntax: begins with at":                 block("    password: @C\n"),
		"syntax: begins with percent":            block("    password: %C\n"),
		"syntax: alias":                          block("    password: *C\n"),
		"syntax: anchor":                         block("    password: &C\n"),
		"syntax: anchor with a value":            block("    password: &C C\n"),
		"syntax: tag":                            block("    password: !C C\n"),
		"syntax: bang":                           block("    password: !<C\n"),
		"syntax: block header":                   block("    password: |C\n"),
		"syntax: tab below":                      block("    password:\n\tC\n"),
		"syntax: tab and key":                    block("    password:\n\tC: C\n"),
		"syntax: tab before the secret":          block("\tpassword: C\n"),
		"syntax: wrong indentation":              block("    password:\n      file: C\n     env: C\n"),
		"syntax: key without space":              block("    password:C\n"),
		"syntax: missing colon":                  block("    password C\n"),
		"syntax: escape":                         block("    password: \"\\qC\"\n"),
		"syntax: merge conflict":                 block("<<<<<<< C\n    password: C\n=======\n    password: C\n>>>>>>> C\n"),
		"syntax: second document":                block("    password: C\n") + "--- C\npassword: C\n",
		"syntax: block below a wrong line":       block("    password: |\n      C: C\n     canary:\n"),
		"syntax: secret as a word alone":         block("    password:\n      canary:\n     S3cr3t:\n"),
		"syntax: flow over lines":                block("    password: {file: C,\n      env: C\n"),
		"password in the URL":                    strings.Replace(minimal, "https://git", "https://u:C@git", 1),
		"password in the URL, and another thing": strings.Replace(minimal, "https://git.example.org/fleet.git\"", "https://u:C@git.example.org/fleet.git\", polll: 1s", 1),
		"token in the URL, and another thing":    strings.Replace(minimal, "https://git.example.org/fleet.git\"", "https://C@git.example.org/fleet.git\", polll: 1s", 1),
		"URL that cannot be parsed":              strings.Replace(minimal, "https://git.example.org/fleet.git", "https://u:C@[::1/fleet.git", 1),
		"password in the host":                   strings.Replace(minimal, "registry.example.org:5000", "u:C@registry.example.org", 1),
		"password in the endpoint":               auth("endpoint: \"https://u:C@r.example\""),
		"query in the endpoint":                  auth("endpoint: \"ftp://r.example?token=C\""),
		"signing format":                         strings.Replace(minimal, "fleet.git\"", "fleet.git\", signing: {format: C}", 1),
		"control characters beside it":           block("    password: C\x1b[31m\n"),
		"not UTF-8":                              block("    password: C\xff\n"),
		"UTF-16":                                 "\xff\xfec\x00a\x00n\x00a\x00r\x00y\x00",
		"key not plain":                          auth("auth: {? [C] : x}"),
		"merge key":                              auth("auth: {<<: {password: C}}"),
		"deep":                                   minimal + "x: " + strings.Repeat("[", 40) + "C" + strings.Repeat("]", 40) + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := loaded(t, strings.ReplaceAll(text, "C", canary), nil, nil)
			if strings.Contains(text, "PRIVATE KEY") { // these have the canary in their text
				_, err = loaded(t, text, nil, nil)
			}
			var problems mirror.Problems
			if !errors.As(err, &problems) {
				t.Fatalf("got %v, want problems", err)
			}
			shows(t, problems)
		})
	}
}

// The same of values that come from variables and flags.
func TestLoad_ShowsNoSecretOfTheEnvironment(t *testing.T) {
	for name, c := range map[string]struct {
		environ []string
		flags   map[string]any
	}{
		"password in a variable":  {environ: []string{"POUNDLOCK_GIT__AUTH__PASSWORD=" + canary}},
		"token in a variable":     {environ: []string{"POUNDLOCK_REGISTRIES__LOCAL__AUTH__TOKEN=" + canary}},
		"misspelt in a variable":  {environ: []string{"POUNDLOCK_GIT__AUTH__PASWORD=" + canary}},
		"boolean in a variable":   {environ: []string{"POUNDLOCK_REGISTRIES__LOCAL__AUTH__KEYCHAIN=" + canary}},
		"area in a variable":      {environ: []string{"POUNDLOCK_GIT__AUTH=" + canary}},
		"URL in a variable":       {environ: []string{"POUNDLOCK_GIT__URL=https://u:" + canary + "@git.example"}},
		"name in a variable":      {environ: []string{"POUNDLOCK_GIT__AUTH__TOKEN__ENV=" + canary}},
		"password in a flag":      {flags: map[string]any{"git.auth.password": canary}},
		"misspelt in a flag":      {flags: map[string]any{"git.auth.pasword": canary}},
		"auth in a flag":          {flags: map[string]any{"registries.local.auth": canary}},
		"keychain in a flag":      {flags: map[string]any{"registries.local.auth.keychain": canary}},
		"duration beside it":      {environ: []string{"POUNDLOCK_GIT__AUTH__PASSWORD=" + canary, "POUNDLOCK_AUDIT=soon"}},
		"token beside a password": {environ: []string{"POUNDLOCK_GIT__AUTH__TOKEN__FILE=x", "POUNDLOCK_GIT__AUTH__PASSWORD=" + canary}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := loaded(t, minimal, c.environ, c.flags)
			var problems mirror.Problems
			if !errors.As(err, &problems) {
				t.Fatalf("got %v, want problems", err)
			}
			shows(t, problems)
		})
	}
}
