package render

import (
	"bytes"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"go.yaml.in/yaml/v4"

	"github.com/poundlock/poundlock/internal/mirror"
)

// harmless are values of secret keys that are none: nothing, and what people are to replace.
var harmless = regexp.MustCompile(`^(?:|REPLACE_WITH_[A-Z]+)$`)

var secretWord = regexp.MustCompile(`(?i)^(?:pass(?:word)?|token|auth|identitytoken|username|\.dockerconfigjson)$`)

// Nothing that any fixture renders holds a login in clear: neither one that is asked for by name, nor anything below a
// key that is known to hold one. A Secret with a login has no file here at all.
func TestKinds_NoLoginIsRenderedInClear(t *testing.T) {
	archives, err := filepath.Glob(filepath.Join("testdata", "*", "*.txtar"))
	if err != nil || len(archives) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	asked := 0
	for _, name := range archives {
		archive, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range archive.Files {
			if strings.HasPrefix(f.Name, "rendered/") {
				noLogin(t, name+": "+f.Name, f.Data)
			}
		}
		s, input, _ := readScene(t, archive)
		for _, set := range s.sets {
			if len(Check(set, inputFiles(input))) > 0 {
				continue
			}
			r := Files(s.local, set, s.record, mirror.Plan{}, inputFiles(input))
			for file, secret := range r.Secrets {
				asked++
				if _, clear := r.Files[file]; clear {
					t.Errorf("%s: %s is rendered, and left to be encrypted, too", name, file)
				}
				values := ""
				for _, value := range secret.Data("canary-user", "canary-password") {
					values += value
				}
				if secret.Credential == "" || !strings.Contains(values, "canary-user") || !strings.Contains(values, "canary-password") {
					t.Errorf("%s: %s does not hold the login: %+v", name, file, secret)
				}
			}
			for file, body := range r.Files {
				if bytes.Contains(body, []byte("canary")) {
					t.Errorf("%s: %s holds a login", name, file)
				}
			}
		}
	}
	if asked == 0 {
		t.Error("no fixture asks for a Secret")
	}
}

// noLogin walks a rendered YAML document; files of another form hold no logins by what renders them.
func noLogin(t *testing.T, name string, body []byte) {
	t.Helper()
	var doc yaml.Node
	if yaml.Load(body, &doc) != nil {
		return
	}
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		for i, c := range n.Content {
			walk(c)
			if n.Kind == yaml.MappingNode && i%2 == 1 && c.Kind == yaml.ScalarNode && secretWord.MatchString(n.Content[i-1].Value) &&
				!harmless.MatchString(c.Value) && !strings.Contains(c.Value, "{{ .password | toJson }}") {
				t.Errorf("%s holds a value under %s: %q", name, n.Content[i-1].Value, c.Value)
			}
		}
	}
	walk(&doc)
}
