package mirror_test

import (
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

func TestConsumers_ThatNobodyWouldReadAreMistakes(t *testing.T) {
	const use, kind = "runs: [{set: web, stage: snapshot}]\n", "render: {containerd: {}}\n"
	for _, c := range []struct{ name, file, text, code, what string }{
		{"another ending", "a.yml", use + kind, "FLT001", "ends in .yaml"},
		{"nothing runs", "a.yaml", "runs: []\n" + kind, "FLT062", "names no set"},
		{"nothing is asked for", "a.yaml", use + "render: {}\n", "FLT062", "asks for no kind"},
		{"a stage twice", "a.yaml", "runs: [{set: web, stage: snapshot}, {set: web, stage: snapshot}]\n" + kind, "FLT062", "stands here again, first in line 2"},
		{"an unknown key", "a.yaml", use + kind + "rendr: {}\n", "DOC002", "unknown key"},
		{"as it should be", "a.yaml", "runs: [{set: web, stage: snapshot}, {set: web, stage: staging}]\n" + kind, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, ps := mirror.ParseDesired("", mirror.Files{
				"desired/web.yaml":            []byte("version: 1\nsource: {kind: list, images: [docker.io/library/nginx:1]}\nstages: [snapshot, staging]\n"),
				"desired/consumers/" + c.file: []byte("version: 1\n" + c.text),
			})
			switch {
			case c.code == "" && len(ps) > 0:
				t.Fatalf("refused: %+v", ps)
			case c.code != "" && (len(ps) != 1 || ps[0].Code != c.code || !strings.Contains(ps[0].What, c.what)):
				t.Fatalf("problems are %+v, want one %s with %q", ps, c.code, c.what)
			case c.code == "DOC002" && !strings.Contains(ps[0].Fix, "explain consumer"):
				t.Fatalf("fix is %q, want where consumers are explained", ps[0].Fix)
			}
		})
	}
}
