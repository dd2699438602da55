package mirror

import (
	"fmt"
	"testing"
)

func TestParseDesired_ReadsWhyAStageFileGoesBack(t *testing.T) {
	line := fmt.Sprintf("entries:\n  app: docker.io/library/app:1.0@%s\n", DigestOf(nil))
	other := fmt.Sprintf("entries:\n  db: docker.io/library/db:1.0@%s\n", DigestOf(nil))
	for _, c := range []struct {
		name        string
		files       Files
		marked, bad string
	}{
		{"none", Files{"stages/web/staging.yaml": []byte("version: 1\n" + line)}, "", ""},
		{"a reason", Files{"stages/web/staging.yaml": []byte("version: 1\nrollback: 2.3 loses\u202e  sessions\n" + line)}, "2.3 loses\\u202e sessions", ""},
		{"no reason", Files{"stages/web/staging.yaml": []byte("version: 1\nrollback: ''\n" + line)}, "", "FLT050"},
		{"null", Files{"stages/web/staging.yaml": []byte("version: 1\nrollback:\n" + line)}, "", "FLT050"},
		{"a list", Files{"stages/web/staging.yaml": []byte("version: 1\nrollback: [a]\n" + line)}, "", "FLT050"},
		{"of a shard", Files{"stages/web/staging.d/a.yaml": []byte("version: 1\nrollback: why\n" + line), "stages/web/staging.d/d.yaml": []byte("version: 1\n" + other)}, "why", ""},
		{"of both shards", Files{"stages/web/staging.d/a.yaml": []byte("version: 1\nrollback: why\n" + line), "stages/web/staging.d/d.yaml": []byte("version: 1\nrollback: why\n" + other)}, "why", ""},
		{"of shards that differ", Files{"stages/web/staging.d/a.yaml": []byte("version: 1\nrollback: why\n" + line), "stages/web/staging.d/d.yaml": []byte("version: 1\nrollback: because\n" + other)}, "why", "FLT051"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.files["desired/web.yaml"] = []byte("version: 1\nsource: {kind: list}\n")
			d, problems := ParseDesired("head", c.files)
			code := ""
			if len(problems) > 0 {
				code = problems[0].Code
			}
			set, _ := d.Set("web")
			if set.Marked["staging"] != c.marked || code != c.bad || len(problems) > 1 {
				t.Errorf("got %q, %v; want %q, %s", set.Marked["staging"], problems, c.marked, c.bad)
			}
		})
	}
}
