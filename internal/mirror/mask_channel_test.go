package mirror

import (
	"strings"
	"testing"
)

// The name of a channel is a key with a slash: it is shown where something is wrong with its port. Another key with one may
// be a secret that stands in the wrong place.
func TestQuote_ShowsTheNameOfAChannel(t *testing.T) {
	type shape struct {
		EPR struct {
			Ports map[string]string `yaml:"ports"`
		} `yaml:"epr"`
	}
	text := "epr:\n  ports:\n    elastic/production: 0.0.0.0:8080\n    aB3/xY9kQ: 0.0.0.0:8081\n"
	ps := Problems{{Where: Position{File: "c.yaml", Line: 3, Column: 5}}, {Where: Position{File: "c.yaml", Line: 4, Column: 5}}}
	ps.Quote(Files{"c.yaml": []byte(text)}, shape{})
	if !strings.Contains(ps[0].Snippet, "elastic/production: 0.0.0.0:8080") {
		t.Errorf("shown is %q", ps[0].Snippet)
	}
	if strings.Contains(ps[1].Snippet, "xY9") {
		t.Errorf("shown is %q", ps[1].Snippet)
	}
}
