package render_test

import (
	"strings"
	"testing"

	"github.com/poundlock/poundlock/sync/render"
)

// Files of others have no entry in explain: a way to look there would end in an error.
func TestLint_NamesNoExplanationOfFilesOfOthers(t *testing.T) {
	for name, text := range map[string]string{
		"k3s":   "mirrors:\n  docker.io:\n    endpoints: [\"https://h.example.org\"]\n",
		"talos": "apiVersion: v1alpha1\nkind: RegistryMirrorConfig\nname: quay.io\nendpoints: [{url: \"https://h.example.org\"}]\nskipfallback: true\n",
	} {
		ps := render.Lint(name, "hand.yaml", []byte(text))
		if len(ps) == 0 {
			t.Errorf("%s: the unknown key is not told", name)
		}
		for _, p := range ps {
			if strings.Contains(p.Fix, "explain") || p.Fix == "" {
				t.Errorf("%s: %s: fix is %q", name, p.What, p.Fix)
			}
		}
	}
}
