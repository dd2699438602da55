package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestProposals_TemplatesAreTried(t *testing.T) {
	for _, tt := range []struct{ name, proposals, want string }{
		{"a branch for all stages", `{branch: "p/{{.Set}}"}`, "error[CFG082]"},
		{"no branch at all", `{branch: "a b/{{.Set}}/{{.Stage}}"}`, "error[CFG082]"},
		{"an unknown fact", `{title: "{{.Nope}}"}`, "error[CFG083]"},
		{"half a template", `{body: "{{.Set"}`, "error[CFG084]"},
		{"a label with a comma", `{labels: ["a,b"]}`, "error[CFG085]"},
		{"the branch itself", `{branch: "main/{{.Set}}/{{.Stage}}"}`, "error[CFG082]"},
		{"a folder of anything", `{branch: "{{.Set}}/{{.Stage}}"}`, "error[CFG082]"},
		{"another word", `{branch: "main-{{.Set}}/{{.Stage}}"}`, ""},
		{"well", `{branch: "p/{{.Set}}-{{.Stage}}", title: "{{.Summary}}", body: "by {{.By}}", labels: ["stage/{{.Stage}}"]}`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "config.yaml")
			if err := os.WriteFile(file, []byte(minimal+"forge: {kind: none, proposals: "+tt.proposals+"}\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Load(file, nil, nil)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
