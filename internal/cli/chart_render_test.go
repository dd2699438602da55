package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The real program reads a chart in a process of its own: one that eats memory is refused, and the program goes on.
func TestChartRender_TheProgramOutlivesAChart(t *testing.T) {
	bin, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ template, says string }{
		{"kind: Pod\nspec: {containers: [{name: a, image: quay.io/team/a:1}]}\n", ""},
		{"{{ range until 1000000000 }}{{ end }}", "more than 512 MiB of memory"},
		{`{{ $_ := set .Values "t" "{{ tpl .Values.t . }}" }}{{ tpl .Values.t . }}`, "call each other without end"},
	} {
		dir := t.TempDir()
		for name, text := range map[string]string{"policy.yaml": "version: 1\nrules: []\n", "web.yaml": "version: 1\nsource: {kind: helm, chart: web}\n",
			"web/Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.2.3\n", "web/templates/x.yaml": tt.template} {
			file := filepath.Join(dir, "desired", name)
			if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "poundlock"), "validate", dir)
		out, _ := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); !strings.Contains(string(out), tt.says) || (code == exitOK) != (tt.says == "") || code != exitOK && code != exitConfig {
			t.Errorf("%s: exit %d\n%s", tt.template, code, out)
		}
	}
}
