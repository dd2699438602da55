package plan

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

var update = flag.Bool("update", false, "write the golden files")

// shown has one action of each kind.
func shown() mirror.Plan {
	where := mirror.Position{File: "desired/ess/images_digests.yml", Line: 31}
	action := func(kind mirror.Kind, entry string, image mirror.Reference, why mirror.Reason) mirror.Action {
		return mirror.Action{Kind: kind, Key: mirror.Key{Set: "ess", Entry: entry}, Stage: "snapshot", Image: image, New: image.Digest, Where: where, Reason: why}
	}
	x := image("x", "v1.118.0", "v1")
	recorded := action(mirror.Tag, "synapse/redis", x, mirror.Because(mirror.AsDesired, "already here, to be judged and recorded"))
	recorded.Old = x.Digest
	return mirror.Plan{Commit: "head", Set: "ess", Actions: []mirror.Action{
		action(mirror.Copy, "synapse/synapse", x, mirror.Because(mirror.NotInRegistry, "not in the local registry")),
		action(mirror.Tag, "synapse/haproxy", image("y", "2.8-alpine", "v1"), mirror.Because(mirror.TagAbsent, "content is here, the tag is not")),
		recorded,
		action(mirror.Refuse, "hookshot/hookshot", image("z", "5.4.1", "v1"), mirror.Because(mirror.BadSignature, "signature does not match\x1b[31m the digest")),
		action(mirror.Missing, "sydent/sydent", image("z", "1", "").WithDigest(mirror.Digest{}), mirror.Because(mirror.UpstreamMissing, "upstream has no <it> & more")),
		action(mirror.Failed, "sygnal/sygnal", image("z", "2", "").WithDigest(mirror.Digest{}), mirror.Because(mirror.UpstreamFailed, "no route\nto host")),
		action(mirror.Unchanged, "a/b", x, mirror.Because(mirror.AsDesired, "")),
		{Kind: mirror.Render, Key: mirror.Key{Set: "ess"}, Stage: "snapshot", Path: "rendered/site/ess/snapshot/images-digests.yaml", Reason: mirror.Because(mirror.FileChanged, "+14 -0")},
		{Kind: mirror.Refuse, Key: mirror.Key{Set: "ess"}, Stage: "staging", Path: "rendered/site/ess/staging", Reason: mirror.Because(mirror.Incomplete, "kept as it was")},
	}}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestTable_ShowsWhatIsNotAsDesired(t *testing.T) {
	var b bytes.Buffer
	if err := Table(&b, shown(), mirror.Plan{Set: "idle", Actions: []mirror.Action{{Kind: mirror.Unchanged}}}); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "\x1b") || strings.Contains(b.String(), "idle") {
		t.Errorf("escapes or idle sets are shown: %q", b.String())
	}
	golden(t, "table.txt", b.String())
}

func TestJSON_IsVersionedAndComplete(t *testing.T) {
	var b bytes.Buffer
	if err := JSON(&b, shown(), mirror.Plan{Set: "idle"}); err != nil {
		t.Fatal(err)
	}
	golden(t, "plan.json", b.String())
	var doc struct {
		Version int
		Plans   []struct {
			Set     string
			Actions []mirror.Action
		}
	}
	if err := json.Unmarshal(b.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Version != 1 || len(doc.Plans) != 2 || len(doc.Plans[0].Actions) != 9 || doc.Plans[1].Actions == nil {
		t.Errorf("got %+v", doc)
	}
	if got, want := doc.Plans[0].Actions[0], shown().Actions[0]; got != want {
		t.Errorf("an action does not read back: got %+v, want %+v", got, want)
	}
}

func TestSummary_CountsInOneSentence(t *testing.T) {
	many := shown()
	many.Actions = append(many.Actions, many.Actions...)
	for want, plans := range map[string][]mirror.Plan{
		"Plan: 0 unchanged.": nil,
		"Plan: 1 to copy, 1 tag to move, 1 to record, 1 file to change, 1 override kept as it was, 1 refused, 1 missing upstream, 1 failed, 1 unchanged.":       {shown()},
		"Plan: 2 to copy, 2 tags to move, 2 to record, 2 files to change, 2 overrides kept as they were, 2 refused, 2 missing upstream, 2 failed, 2 unchanged.": {many},
	} {
		if got := Summary(plans...); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
