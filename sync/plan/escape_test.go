package plan

import "testing"

// Forges find whom a text mentions after they resolved its character references.
func TestEscape_MentionsNobody(t *testing.T) {
	for in, want := range map[string]string{
		"@alice":                "&#64;&#8203;alice",
		"by (@platform/owners)": "by (&#64;&#8203;platform/owners)",
		"see #12":               "see &#35;&#8203;12",
		"team/web#12":           "team/web&#35;&#8203;12",
		"web:1@sha256:ab":       "web:1&#64;sha256:ab",
		"a@b # c @ d":           "a&#64;b &#35; c &#64; d",
	} {
		if got := Escape(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}
