package daemon

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
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

// Fleet files are public, but a private key or a password that was committed by mistake is not spread further.
func TestCheckFleet_ShowsNoPrivateKey(t *testing.T) {
	dir := t.TempDir()
	set := "version: 1\nsource: {kind: list, images: [docker.io/library/nginx:1]}\n"
	for name, files := range map[string]map[string]string{
		"private key committed":        {"desired/policy.yaml": "version: 1\nsigners: {a: {key: keys/a.pub}}\nrules: []\n", "desired/keys/a.pub": fmt.Sprintf(privateKeyText, "")},
		"private key in the policy":    {"desired/policy.yaml": "version: 1\nsigners:\n  a:\n    key: |\n      " + fmt.Sprintf(privateKeyText, "      ")},
		"private key in one line":      {"desired/policy.yaml": `version: 1` + "\n" + `signers: {a: {key: "-----BEGIN EC PRIVATE KEY-----\nMIIEcanary\n-----END EC PRIVATE KEY-----"}}` + "\n"},
		"private key, syntax":          {"desired/policy.yaml": "version: 1\nsigners:\n  a:\n    key: " + fmt.Sprintf(privateKeyText, "")},
		"password of a reference":      {"desired/web.yaml": strings.Replace(set, "docker.io", "u:"+canary+"@docker.io", 1)},
		"password of an address":       {"desired/web.yaml": strings.Replace(set, "docker.io", "https://u:"+canary+"@docker.io", 1)},
		"password in a list":           {"desired/web.yaml": "version: 1\nsource: {kind: list, file: web.txt}\n", "desired/web.txt": "https://u:" + canary + "@r.example/x:1\n"},
		"password as an unknown key":   {"desired/web.yaml": set + "password: " + canary + "\n"},
		"token as an unknown key":      {"desired/web.yaml": set + "apiToken: \"" + canary + "\"\n"},
		"password beside a mistake":    {"desired/web.yaml": set + "x: {registry_password: " + canary + "}\n"},
		"password in a flow line":      {"desired/web.yaml": "version: 1\nsource: {kind: list, imagse: [a], password: " + canary + "}\n"},
		"private key as a stage line":  {"stages/web/staging.yaml": "version: 1\nentries:\n  a: |\n    " + fmt.Sprintf(privateKeyText, "    "), "desired/web.yaml": set},
		"password as a file of source": {"desired/web.yaml": "version: 1\nsource: {kind: list, file: \"https://u:" + canary + "@r.example/list\"}\n"},
	} {
		t.Run(name, func(t *testing.T) {
			all := mirror.Files{}
			for file, text := range files {
				all[file] = []byte(text)
			}
			_, _, problems := CheckFleet("c0ffee", all)
			shows(t, problems)
			for file, text := range files {
				full := filepath.Join(dir, t.Name(), file)
				if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(full, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			_, problems = ValidateFleet(filepath.Join(dir, t.Name()))
			shows(t, problems)
		})
	}
}
