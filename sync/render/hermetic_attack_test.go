package render

import (
	"strings"
	"testing"
)

func TestTemplate_NothingGivesATemplateMoreSteps(t *testing.T) {
	for _, text := range []string{`{{range 2000000}}{{countSteps -1000000}}{{end}}`, `{{countSteps 9223372036854775807}}`, `{{define "countSteps"}}{{end}}{{range 2000000}}{{end}}`,
		`{{$f := "%[1]999s"}}{{range 14}}{{$f = printf "%s%s" $f $f}}{{end}}{{$a := printf $f "a"}}`, `{{$f := "%5.999s"}}{{range 14}}{{$f = printf "%s%s" $f $f}}{{end}}{{$a := printf $f "a"}}`,
		`{{$s := "a "}}{{range 16}}{{$s = printf "%s%s" $s $s}}{{end}}{{range 20000}}{{$x := contains "b" $s}}{{end}}`,
		`{{$s := "a "}}{{range 16}}{{$s = printf "%s%s" $s $s}}{{end}}{{$t := printf "%s" $s}}{{range 20000}}{{$x := eq $s $t}}{{end}}`,
		`{{$s := "a "}}{{range 16}}{{$s = printf "%s%s" $s $s}}{{end}}{{range 20000}}{{$x := lt $s $s}}{{end}}`,
		`{{$s := "aaaaaaaa"}}{{range 10}}{{$s = printf "%s%s" $s $s}}{{end}}{{$l := split "" $s}}{{$x := printf "%999s" $l}}`,
		"{{range 20000}}{{$x := printf \"" + strings.Repeat("%[1]999s", 200) + "\" 1}}{{end}}"} {
		h, ps := compile("desired/x.tmpl", text)
		if len(ps) == 0 {
			_, ps = h.execute(templateData{})
		}
		if len(ps) == 0 {
			t.Errorf("%s passes", text)
		}
	}
	h, ps := compile("desired/x.tmpl", `{{printf "%-40s %[1]s %5.1f|" "a" 1.5}}`)
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	if out, ps := h.execute(templateData{}); len(ps) > 0 || !strings.HasPrefix(string(out), "a   ") {
		t.Errorf("%q, %v", out, ps)
	}
}

func TestTemplate_ComparesAsTextTemplateDoes(t *testing.T) {
	for text, want := range map[string]string{`{{eq "a" "b" "a"}} {{eq "a" "b"}} {{ne "a" "b"}}`: "true false true", `{{lt "a" "b"}} {{le 2 1}} {{gt 2 1}} {{ge 1.5 1.5}}`: "true false true true",
		`{{eq true false}} {{eq (len "ab") 2}} {{"a" | eq "a"}}`: "false true true", `{{eq 1 "1"}}`: "", `{{lt true false}}`: "", `{{eq 1}}`: ""} {
		h, ps := compile("desired/x.tmpl", text)
		if len(ps) > 0 {
			t.Fatal(ps)
		}
		if out, ps := h.execute(templateData{}); string(out) != want || (len(ps) > 0) != (want == "") {
			t.Errorf("%s: got %q, %v, want %q", text, out, ps, want)
		}
	}
}
