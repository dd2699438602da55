package render

import (
	"maps"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

// templated gives a scene of three images whose set asks for one file from a template.
func templated(t *testing.T, name, text string) (scene, mirror.Node) {
	t.Helper()
	files := mirror.Files{
		"desired/tools.yaml":       []byte("version: 1\nsource: {kind: list, file: e.txt}\nrender: {template: {files: [{name: " + name + ", from: t.tmpl}]}}\n"),
		"desired/templates/t.tmpl": nil,
		"desired/t.tmpl":           []byte(text),
	}
	desired, ps := mirror.ParseDesired("", files)
	if err := ps.Err(); err != nil {
		t.Fatal(err)
	}
	set := desired.Sets[0]
	if err := Check(set, files).Err(); err != nil {
		t.Fatal(err)
	}
	s := scene{local: local, files: files, parts: []part{{set: set, name: "snapshot", standing: mirror.Standing{}}}}
	for _, entry := range []string{"c", "a", "b"} {
		s.parts[0].standing.Put(entry, mirror.Line{Image: ref(t, entry, "1"), Proven: true})
	}
	return s, set.Render["template"]
}

func TestTemplate_SeesWhatStandsInOrder(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"all", "{{ range .Images }}{{ .Entry }}={{ .Local.Repository }} {{ end }}", "a=mirror/docker.io/library/a b=mirror/docker.io/library/b c=mirror/docker.io/library/c "},
		{"facts", "{{ .Site }}/{{ .Set }}/{{ .Stage }} {{ .Registry }}", "site/tools/snapshot r.example"},
		{"one", `{{ (image "b").Upstream.Name }}:{{ (image "b").Upstream.Tag }}`, "docker.io/library/b:1"},
		{"functions", `{{ "a/b" | replace "/" "_" | upper | quote }} {{ indent 2 "x\ny" }} {{ split "," "a,b" | join "+" }} {{ toJson (split "," "a,b") }} {{ printf "%03d" 7 }} {{ trimPrefix "a" "ab" }}{{ if and (hasPrefix "a" "ab") (contains "b" "ab") (hasSuffix "b" "ab") }}!{{ end }}`,
			"\"A_B\"   x\n  y a+b [\"a\",\"b\"] 007 b!"},
		{"templates of its own", `{{ define "one" }}<{{ . }}>{{ end }}{{ range .Images }}{{ template "one" .Entry }}{{ end }}`, "<a><b><c>"},
		{"else", `{{ range split "," "" }}{{ . }}{{ else }}none{{ end }}{{ with .Set }}{{ . }}{{ end }}`, "tools"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, options := templated(t, "out.txt", tt.text)
			if err := proveTemplate(s, options, nil).Err(); err != nil {
				t.Fatal(err)
			}
			if got := string(templateFiles(s, options).files["out.txt"]); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// What fails, grows or does not end is told with its place, and nothing of the folder is written.
func TestTemplate_WhatFailsOrWouldNotEndIsRefused(t *testing.T) {
	grow := "{{ $s := \"x\" }}{{ range 100 }}{{ $s = %s }}{{ end }}"
	tests := []struct{ name, file, text, code, says string }{
		{"missing entry", "o.txt", "\n\n{{ (image \"d\").Local.Ref }}", "RND073:3", `no entry "d"`},
		{"missing field", "o.txt", "{{ .Sets }}", "RND073:1", "Sets"},
		{"a loop over a number", "o.txt", "{{ range 2000000000 }}{{ end }}", "RND073:1", "too much"},
		{"loops in loops", "o.txt", strings.Repeat("{{ range 1000 }}", 5) + strings.Repeat("{{ end }}", 5), "RND073:1", "too much"},
		{"templates that call each other twice", "o.txt", doubling(40), "RND073:1", "too much"},
		{"a text that doubles", "o.txt", strings.Replace(grow, "%s", "print $s $s", 1), "RND073:1", "too much"},
		{"a text that doubles by printf", "o.txt", strings.Replace(grow, "%s", `printf "%[1]s%[1]s" $s`, 1), "RND073:1", "too much"},
		{"a text that doubles by replace", "o.txt", strings.Replace(grow, "%s", `replace "x" "xx" $s`, 1), "RND073:1", "too much"},
		{"a text that doubles by join", "o.txt", strings.Replace(strings.Replace(grow, "%s", `split "" $s | join $s`, 1), `"x"`, `"xx"`, 1), "RND073:1", "too much"},
		{"a text that doubles by indent", "o.txt", strings.Replace(grow, "%s", `indent 100 $s`, 1) + strings.Replace(grow, "%s", `html $s | js | urlquery`, 1), "", ""},
		{"many wide verbs of nothing", "o.txt", `{{ $s := printf "` + strings.Repeat("%[1]999s", 5000) + `" "" }}{{ len $s }}`, "RND073:1", "printf"},
		{"a wide number", "o.txt", `{{ printf "%99999999d" 1 }}`, "RND073:1", "three digits"},
		{"a wide number by argument", "o.txt", `{{ printf "%*d" 99999999 1 }}`, "RND073:1", "three digits"},
		{"a large file", "o.txt", `{{ $s := replace "x" "` + strings.Repeat("y", 1000) + `" "` + strings.Repeat("x", 100) + `" }}{{ range 100 }}{{ $s }}{{ end }}`, "RND073:0", "MiB"},
		{"no YAML", "o.yaml", "a: [{{ .Set }}\n", "RND074:1", "cannot be read"},
		{"no JSON", "o.json", "[{{ range .Images }}1,{{ end }}]", "RND074:0", "cannot be read"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, options := templated(t, tt.file, tt.text)
			ps := proveTemplate(s, options, nil)
			if got := told(ps); got != tt.code {
				t.Fatalf("got %q, want %q: %v", got, tt.code, ps.Err())
			}
			if tt.code != "" && !strings.Contains(ps[0].What, tt.says) {
				t.Errorf("it says %q", ps[0].What)
			}
			r := Files(local, s.parts[0].set, mirror.Record{Stages: map[mirror.Stage]mirror.Standing{"snapshot": s.parts[0].standing}}, mirror.Plan{}, s.files)
			if kept := len(r.Kept) > 0 && r.Kept[0].Reason.Code == mirror.Misread; kept != (tt.code != "") || kept && len(r.Files) > 0 {
				t.Errorf("kept %+v, files %v", r.Kept, maps.Keys(r.Files))
			}
		})
	}
}

// doubling is a chain of templates of which each calls the next one twice.
func doubling(n int) string {
	var b strings.Builder
	name := func(i int) string { return `"` + strings.Repeat("x", i+1) + `"` }
	for i := range n {
		b.WriteString("{{ define " + name(i) + " }}{{ template " + name(i+1) + " }}{{ template " + name(i+1) + " }}{{ end }}")
	}
	return b.String() + "{{ define " + name(n) + " }}{{ end }}{{ template " + name(0) + " }}"
}

// What is wrong first becomes the reason that a plan shows: it must not change from cycle to cycle.
func TestTemplate_TheFirstMistakeIsAlwaysTheSame(t *testing.T) {
	s, _ := templated(t, "z.json", "{")
	desired, ps := mirror.ParseDesired("", mirror.Files{"desired/tools.yaml": []byte("version: 1\nsource: {kind: list, file: e.txt}\n" +
		"render: {template: {files: [{name: z.json, from: t.tmpl}, {name: a.json, from: t.tmpl}, {name: m.yaml, from: t.tmpl}]}}\n")})
	if err := ps.Err(); err != nil {
		t.Fatal(err)
	}
	for range 50 {
		wrong := all(s, desired.Sets[0].Render, "d").wrong
		if len(wrong) != 3 || wrong[0].Where.File != "a.json" {
			t.Fatalf("got %v, want a.json first of three", wrong)
		}
	}
}

func TestTemplate_NothingReachesOut(t *testing.T) {
	for _, function := range []string{"env", "getHostByName", "now", "readFile", "exec", "randAlpha", "lookup", "include", "tpl"} {
		if _, ps := compile("t", "{{ "+function+" }}"); told(ps) != "RND072:1" {
			t.Errorf("%s is a function", function)
		}
	}
	if _, ps := compile("t", strings.Repeat("x", maxTemplate+1)); told(ps) != "RND072:0" {
		t.Error("a large template is compiled")
	}
}
