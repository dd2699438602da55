package charts

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// The library warns of old keys on the standard error of its process, between the lines of our log.
func TestBuild_WritesNothingToOurStreams(t *testing.T) {
	servedApart(t, time.Minute)
	said, err := os.Create(filepath.Join(t.TempDir(), "said"))
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	before := os.Stderr
	os.Stderr = said
	t.Cleanup(func() { os.Stderr = before })
	files := mirror.Files{"desired/web/kustomization.yaml": []byte("bases: [base]\ncommonLabels: {a: b}\nvars: [{name: A, objref: {kind: ConfigMap, name: x, apiVersion: v1}}]\n"),
		"desired/web/base/kustomization.yaml": []byte("resources: [x.yaml]\n"), "desired/web/base/x.yaml": []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n")}
	made, err := Build(files, "desired/web")
	if err != nil || !strings.Contains(string(made), "a: b") {
		t.Fatalf("%s, %v", made, err)
	}
	if text, err := os.ReadFile(said.Name()); err != nil || len(text) > 0 {
		t.Errorf("it writes %q, %v", text, err)
	}
	delete(files, "desired/web/base/x.yaml")
	if _, err := Build(files, "desired/web"); refusal(t, err).Cause != NotRenders {
		t.Errorf("a file that is missing: %v", err)
	}
}

// A set is read many times in a minute: what takes the whole deadline once must not take it each time.
func TestAsk_RemembersWhatHitABound(t *testing.T) {
	f := chartOf(`{{ range $a := until 100000 }}{{ range $b := until 99999 }}{{ end }}{{ end }}`)
	servedApart(t, 100*time.Millisecond)
	if _, err := Render(f, plain); refusal(t, err).Cause != NotInBounds {
		t.Fatal(err)
	}
	Apart("/nonexistent/poundlock") // whoever asks again is refused for that
	if _, err := Render(f, plain); refusal(t, err).Cause != NotInBounds {
		t.Errorf("it is tried again: %v", err)
	}
	if _, err := Render(chartOf("other: 1"), plain); refusal(t, err).Cause != NotProcessed {
		t.Errorf("another chart: %v", err)
	}
	for key := range tooMuch.known {
		tooMuch.drop(key)
	}
	if _, err := Render(f, plain); refusal(t, err).Cause != NotProcessed || len(tooMuch.order) > 0 {
		t.Errorf("it is remembered for good: %v", err)
	}
}
