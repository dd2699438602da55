package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCalls_MistakesAreTold(t *testing.T) {
	for _, tt := range []struct{ name, calls, want string }{
		{"a name with a space", `{"smoke test": {url: {env: SMOKE}}}`, "error[CFG086]"},
		{"no address", "{smoke: {time: 5s}}", "url is missing"},
		{"too long", "{smoke: {url: {env: SMOKE}, time: 1h}}", "error[CFG087]"},
		{"below zero", "{smoke: {url: {env: SMOKE}, time: -1s}}", "error[CFG087]"},
		{"half a certificate", "{smoke: {url: {env: SMOKE}, tls: {certFile: a.pem}}}", "keyFile"},
		{"well", "{smoke-2: {url: {env: SMOKE}, secret: {env: KEY}, time: 30s}}", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "config.yaml")
			if err := os.WriteFile(file, []byte(minimal+"calls: "+tt.calls+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Load(file, nil, nil)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
