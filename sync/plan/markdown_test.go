package plan

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

func markdown(t *testing.T, d Document, limit int) string {
	t.Helper()
	return printed(t, func(b *bytes.Buffer) error { return Markdown(b, d, limit) })
}

func TestMarkdown_RefusalsFirst(t *testing.T) {
	got := markdown(t, documentOf(shown(), asBefore()), 0)
	golden(t, "plan.md", got)
	if refused, copied := strings.Index(got, "hookshot/hookshot"), strings.Index(got, "synapse/synapse"); refused < 0 || refused > copied {
		t.Errorf("the refusal stands at %d, the copy at %d", refused, copied)
	}
}

func TestMarkdown_NoNameLeavesItsCell(t *testing.T) {
	hostile := "`a|b`</code></td><script>alert(1)</script>\\| [x](http://evil) ![i](y) @everyone #1 *b* _i_ ~~s~~ $x$\n| new | row |"
	p := mirror.Plan{Set: hostile, Actions: []mirror.Action{{Kind: mirror.Refuse, Key: mirror.Key{Set: hostile, Entry: hostile}, Stage: mirror.Stage(hostile),
		Image: mirror.Reference{Host: "h", Repository: "r", Tag: hostile}, Reason: mirror.Because(mirror.NoRule, "%s", hostile), Where: mirror.Position{File: hostile, Line: 1}}}}
	got := markdown(t, NewDocument(Sizes{}, p), 0)
	for line := range strings.Lines(got) {
		if strings.HasPrefix(line, "| ") && strings.Count(line, "|") != 9 {
			t.Errorf("a row of %d cells: %s", strings.Count(line, "|")-1, line)
		}
	}
	bare := strings.NewReplacer("<code>", "", "</code>", "", "<br>", "", "#### Set", "", "### Poundlock plan", "", "**", "", "&#", "").Replace(got)
	for _, sign := range []string{"<", ">", "`", "@", "[", "]", "*", "_", "~", "\\", "$", "#"} {
		if strings.Contains(bare, sign) {
			t.Errorf("%q has its meaning still:\n%s", sign, bare)
		}
	}
}

func TestMarkdown_LimitKeepsSummaryAndRefusals(t *testing.T) {
	p := mirror.Plan{Set: "many"}
	for i := range 600 {
		kind := mirror.Copy
		if i%60 == 59 {
			kind = mirror.Refuse
		}
		image := image(fmt.Sprintf("r%d", i), "v1", "v1")
		p.Actions = append(p.Actions, mirror.Action{Kind: kind, Key: mirror.Key{Set: "many", Entry: fmt.Sprintf("e%d", i)}, Stage: "snapshot", Image: image, New: image.Digest,
			Reason: mirror.Because(mirror.NoRule, "a reason of some length, as they are")})
	}
	doc := documentOf(p)
	whole := markdown(t, doc, 0)
	if len(whole) < 70_000 {
		t.Fatalf("the plan has only %d bytes", len(whole))
	}
	for _, limit := range []int{60_000, 20_000, 6_000} {
		got := markdown(t, doc, limit)
		if len(got) > limit {
			t.Errorf("limit %d: %d bytes", limit, len(got))
		}
		if n := strings.Count(got, "<code>&#33;</code>"); n != 10 || !strings.Contains(got, "10 refused") {
			t.Errorf("limit %d: %d refusals are kept, want all 10, and the summary", limit, n)
		}
		if !strings.Contains(got, "left out") || len(got) < limit*9/10 {
			t.Errorf("limit %d: %d bytes, and what is left out is not said or too much", limit, len(got))
		}
	}
	if got := markdown(t, doc, 10); !strings.Contains(got, "10 refused") || !strings.Contains(got, "600 rows are left out, 10 of them cannot be done") {
		t.Errorf("a limit that nothing fits: %s", got)
	}
	if got := markdown(t, doc, len(whole)); got != whole {
		t.Error("a limit that all fits cuts")
	}
}

func TestAnnotations_NameTheLine(t *testing.T) {
	d := documentOf(shown(), asBefore())
	d.Folder = "site, one"
	got := printed(t, func(b *bytes.Buffer) error { return Annotations(b, d) })
	golden(t, "github.txt", got)
	lines := strings.Split(strings.TrimSuffix(got, "\n"), "\n")
	if !strings.HasPrefix(lines[0], "::error file=site%2C one/desired/ess/images_digests.yml,line=31,title=refuse ess/hookshot/hookshot::") {
		t.Errorf("first: %s", lines[0])
	}
	for _, l := range lines {
		if !strings.HasPrefix(l, "::error ") && !strings.HasPrefix(l, "::warning ") && !strings.HasPrefix(l, "::notice ") {
			t.Errorf("no workflow command: %s", l)
		}
	}
}

func TestNames_AreUniqueAndSorted(t *testing.T) {
	got := printed(t, func(b *bytes.Buffer) error { return Names(b, documentOf(shown(), shown(), asBefore())) })
	want := "ess/hookshot/hookshot\ness/offline/one\ness/old/one\ness/stands/one\ness/sydent/sydent\ness/sygnal/sygnal\ness/synapse/haproxy\ness/synapse/redis\ness/synapse/synapse\ness/warned/one\ness/界面/x\n" +
		"rendered/site/ess/snapshot/images-digests.yaml\nrendered/site/ess/staging\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
