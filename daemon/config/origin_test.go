package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// complete has a value for every key that another key needs beside it.
const complete = `version: 1
site: berlin
git:
  url: https://git.example.org/fleet.git
  auth: {username: u, password: {file: /run/p}}
  signing: {format: ssh, key: {file: /run/k}}
  tls: {certFile: /c.pem, keyFile: /k.pem}
registries:
  local:
    host: registry.example.org
    auth: {username: u, password: {env: P}}
    tls: {certFile: /c.pem, keyFile: /k.pem}
    embedded: {dir: /var/lib/r, listen: "127.0.0.1:5000"}
tls: {certFile: /c.pem, keyFile: /k.pem}
trust: {site: {key: {file: /run/s}, sign: {stages: [production], key: {file: /run/t}}}, fleet: {allowedSigners: /allowed_signers}}
webhooks: {receivers: {local: {kind: generic, secret: {file: /run/w}}}}
forge: {kind: github, repository: a/b, token: {file: /run/f}, tls: {certFile: /c.pem, keyFile: /k.pem}}
notify: {local: {kind: webhook, url: {file: /run/n}, tls: {certFile: /c.pem, keyFile: /k.pem}}}
secrets: {credentials: {local: {username: reader, password: {file: /run/l}}}, age: {recipients: [age17yjsr0tqgaf6yp5yp4tq065arzqkpxk3vau6768fw6qy72yhtgkqa2d9xj], identity: {file: /run/i}}}
packages: {signing: {key: {file: /run/g}}}
epr: {listen: "0.0.0.0:8080", tls: {certFile: /c.pem, keyFile: /k.pem}}
calls: {local: {url: {file: /run/c}, tls: {certFile: /c.pem, keyFile: /k.pem}}}
`

// samples are valid values of keys, by the end of their path.
var samples = []struct {
	end   string
	value any
}{
	{"epr.ports.elastic/production", "0.0.0.0:8081"}, {"packages.drop.local", "/srv/drop"}, {"timeZone", "Europe/Berlin"}, {"schedule", "5 4 * * *"}, {"listen", "127.0.0.1:9999"}, {"url", "https://git.example.org/other.git"}, {"signing.format", "openpgp"},
	{"host", "other.example.org:5000"}, {"endpoint", "https://other.example.org"}, {"prefix", "a/b"}, {"message", "{{.Subject}}\n\nmore, of it"},
	{"git.path", "sites/x"}, {"stateDir", "/x"}, {"socket", "/x.sock"}, {"knownHosts", "/x"}, {"certFile", "/x.pem"}, {"keyFile", "/x-key.pem"},
	{"caFiles", []any{"/a.pem", "/b.pem"}}, {"dir", "/x"}, {"trust.floor", "/floor.yaml"}, {"allowedSigners", "/x"}, {"keyring", "/x.asc"},
	{"age.recipients", []any{"age17yjsr0tqgaf6yp5yp4tq065arzqkpxk3vau6768fw6qy72yhtgkqa2d9xj", "age1n3q4hh7xw40ss3xpvwcxvy849qfjvcu6jnhsrk0svhlqmygslpsq3vyhrf"}},
	{"since", "0123456789abcdef0123456789abcdef01234567"}, {"verifier", "https://x.example.org/berlin"}, {"sign.stages", []any{"staging", "production"}}, {"sign.platforms", "each"},
	{"forge.kind", "gitea"}, {"forge.repository", "x/y"}, {"proposals.branch", "x/{{.Set}}/{{.Stage}}"}, {"schedules.local", "5 4 * * *"}, {"auditAt", "5 4 * * *"},
	{"receivers.local.kind", "github"}, {"notify.local.kind", "slack"}, {"notify.local.stages", []any{"staging", "production"}}, {".file", "/run/x"}, {".env", "SOME_NAME"}, {".credential", "some-name"},
}

func sampleOf(t *testing.T, path []string) any {
	t.Helper()
	for _, s := range samples {
		if strings.HasSuffix(strings.Join(path, "."), s.end) {
			return s.value
		}
	}
	at := configType
	for _, key := range path {
		at, _ = below(at, key)
	}
	switch {
	case at == durationType:
		return "17s"
	case at.Kind() == reflect.Bool:
		return true
	case at.Kind() == reflect.Int, at.Kind() == reflect.Int64:
		return 7
	case at.Kind() == reflect.Slice:
		return []any{"a.example", "b.example"}
	}
	return "some-text"
}

// putValue sets a value in nested mappings; a reference to a secret is replaced as a whole.
func putValue(m map[string]any, path []string, value any) {
	for _, key := range path[:len(path)-1] {
		inner, ok := m[key].(map[string]any)
		if !ok {
			inner = map[string]any{}
			m[key] = inner
		}
		m = inner
	}
	if slices.Contains([]string{"file", "env", "credential"}, path[len(path)-1]) {
		clear(m)
	}
	m[path[len(path)-1]] = value
}

// asText writes a value as a variable or a flag does.
func asText(value any) string {
	if list, ok := value.([]any); ok {
		words := make([]string, len(list))
		for i, v := range list {
			words[i] = fmt.Sprint(v)
		}
		return strings.Join(words, ",")
	}
	return fmt.Sprint(value)
}

func yamlOf(t *testing.T, m map[string]any) string {
	t.Helper()
	text, err := json.Marshal(m) // which is YAML
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func nested(values []Value) map[string]any {
	m := map[string]any{}
	for _, v := range values {
		putValue(m, v.Keys, v.Value)
	}
	return m
}

// Every key can be set in every layer, means the same there, and says where it was set.
func TestConfig_EveryKeyIsTheSameInEveryLayer(t *testing.T) {
	_, base, err := inLayers(t, complete, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	token := base
	_, app, err := inLayers(t, strings.Replace(complete, "token: {file: /run/f}", "app: {id: 5, key: {file: /run/f}}", 1), nil, nil, nil) // one of the two alone
	if err != nil {
		t.Fatal(err)
	}
	keys := allKeys(configType, nil, func(path []string) []string {
		if strings.Join(path, ".") == "epr.ports" {
			return []string{"elastic/production"}
		}
		return []string{LocalRegistry}
	})
	if len(keys) < 50 {
		t.Fatalf("only %d keys are found", len(keys))
	}
	for _, path := range keys {
		name := strings.Join(path, ".")
		if name == "version" || name == "packages.export" { // a list of mappings is of files alone
			continue
		}
		t.Run(name, func(t *testing.T) {
			base := token
			if strings.HasPrefix(name, "forge.app.") {
				base = app
			}
			value := sampleOf(t, path)
			whole, part := nested(base.Values()), map[string]any{}
			putValue(whole, path, value)
			putValue(part, path, value)
			alone := yamlOf(t, nested(base.Values()))
			variable := envSpelling.of(path...)
			var first Config
			for i, layer := range []struct {
				main    string
				dropIns map[string]string
				environ []string
				flags   map[string]any
				origin  string
			}{
				{main: yamlOf(t, whole), origin: "config.yaml:1:"},
				{main: alone, dropIns: map[string]string{"config.d/x.yaml": yamlOf(t, part)}, origin: "config.d/x.yaml:1:"},
				{main: alone, environ: []string{variable + "=" + asText(value)}, origin: "env " + variable},
				{main: alone, flags: map[string]any{name: asText(value)}, origin: "flag --set " + name},
			} {
				dir, c, err := inLayers(t, layer.main, layer.dropIns, layer.environ, layer.flags)
				if err != nil {
					t.Fatal(err)
				}
				if i == 0 {
					first = c
				}
				if !c.Same(first) {
					t.Errorf("%s means another thing:\n%+v\n%+v", layer.origin, c, first)
				}
				if got := strings.TrimPrefix(c.Origin(name).String(), dir+"/"); !strings.HasPrefix(got, layer.origin) {
					t.Errorf("origin: got %s, want %s", got, layer.origin)
				}
				k := slices.IndexFunc(c.Values(), func(v Value) bool { return v.Path == name })
				if k < 0 || asText(anyList(c.Values()[k].Value)) != asText(value) || c.Values()[k].Origin != c.Origin(name) {
					t.Errorf("%s: the value is not among the values: %v", layer.origin, c.Values())
				}
			}
			if base.Same(first) && name != "registries.local.insecure" { // which an embedded registry is already
				t.Error("the value changes nothing: the test shows nothing")
			}
		})
	}
}

func anyList(v any) any {
	list, ok := v.([]string)
	if !ok {
		return v
	}
	all := make([]any, len(list))
	for i, s := range list {
		all[i] = s
	}
	return all
}

func TestConfig_ValuesCanBeLoadedAgain(t *testing.T) {
	_, c, err := inLayers(t, complete, nil, []string{"POUNDLOCK_GIT__MESSAGE={{.Subject}}\n\n# more: of \"it\"", "POUNDLOCK_SITE=007"}, map[string]any{"registries.hub.host": "docker.io"})
	if err != nil {
		t.Fatal(err)
	}
	_, again, err := inLayers(t, yamlOf(t, nested(c.Values())), nil, nil, nil)
	if err != nil || !again.Same(c) {
		t.Errorf("got %+v, %v\nwant %+v", again, err, c)
	}
}

func TestMaskAddress(t *testing.T) {
	for in, want := range map[string]string{
		"https://git.example.org/fleet.git":       "https://git.example.org/fleet.git",
		"https://u:hunter2@git.example.org/x":     "https://***@git.example.org/x",
		"https://hunter2@git.example.org/x@y":     "https://***@git.example.org/x@y",
		"https://u:hun@ter2@git.example.org":      "https://***@git.example.org",
		"https://git.example.org/x?token=hunter2": "https://git.example.org/x?***",
		"ssh://git@git.example.org/x":             "ssh://git@git.example.org/x",
		"ssh://git:hunter2@git.example.org/x":     "ssh://***@git.example.org/x",
		"git@git.example.org:x":                   "git@git.example.org:x",
		"/srv/fleet.git":                          "/srv/fleet.git",
		"https://u:hunter2@[::1/x":                "https://***@[::1/x",
	} {
		if got := maskAddress(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}
