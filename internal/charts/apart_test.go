package charts

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain makes the test binary a program that serves jobs, too.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "serve" {
		within, _ = time.ParseDuration(os.Args[2])
		if err := Serve(context.Background(), os.Stdin, os.Stdout, os.Exit); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// servedApart has jobs done by processes, with a deadline that each of them has, too.
func servedApart(t *testing.T, deadline time.Duration) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	before := within
	Apart(self, "serve", before.String())
	within = deadline
	t.Cleanup(func() { Apart(); within = before })
}

func chartOf(template string) Files {
	return Files{"Chart.yaml": []byte("apiVersion: v2\nname: web\nversion: 1.2.3\n"), "templates/x.yaml": []byte(template)}
}

var plain = Release{Name: "r", Namespace: "n", KubeVersion: "1.34.0"}

// refusal gives why a chart is refused.
func refusal(t *testing.T, err error) Refusal {
	t.Helper()
	var why *Refusal
	if !errors.As(err, &why) {
		t.Fatalf("got %v, want a refusal", err)
	}
	return *why
}

func TestApart_GivesWhatThisProcessGives(t *testing.T) {
	f := chartOf("a: {{ .Values.a }}\nb: {{ .Release.Name }}\nc: {{ .Values.big }}\nd: {{ .Values.less | quote }}\n")
	f["values.yaml"] = []byte("a: 1.50\nless: <&>\n")
	f["crds/x.yaml"] = []byte("kind: CustomResourceDefinition\n")
	f["charts/in/Chart.yaml"] = []byte("apiVersion: v2\nname: in\nversion: 1.0.0\nannotations: {images: x}\n")
	r := plain
	r.Values, _ = ReadValues([]byte("big: 12345678901\n"))
	here := job{Chart: f, Release: &r}.do()
	servedApart(t, time.Minute)
	there, err := Render(f, r)
	if err != nil || here.Refused != nil {
		t.Fatal(err, here.Refused)
	}
	if got, want := fmt.Sprintf("%+v", there), fmt.Sprintf("%+v", here.Rendered); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// A chart is a program of somebody else: whatever it does, the daemon goes on, and nothing of it goes on.
func TestApart_WhatNeverEndsOrEatsMemoryIsRefused(t *testing.T) {
	deep := `{"$ref": "#/$defs/a0", "$defs": {`
	for i := range 60 {
		deep += fmt.Sprintf(`"a%d": {"allOf": [{"$ref": "#/$defs/a%d"}, {"$ref": "#/$defs/a%d"}]},`, i, i+1, i+1)
	}
	deep += `"a60": {}}}`
	const loop = `{{ range $a := until 100000 }}{{ range $b := until 100000 }}{{ end }}{{ end }}`
	for _, tt := range []struct {
		name     string
		chart    Files
		deadline time.Duration
		cause    Cause
		says     string
	}{
		{"a list without end", chartOf(`{{ range until 1000000000 }}{{ end }}`), time.Minute, NotInBounds, "memory"},
		{"one huge text", chartOf(`{{ repeat 2000000000 "x" }}`), time.Minute, NotInBounds, "memory"},
		{"a text that doubles", chartOf(`{{ $x := "x" }}{{ range until 60 }}{{ $x = print $x $x }}{{ end }}`), time.Minute, NotInBounds, "memory"},
		{"tpl in tpl", chartOf(`{{ $_ := set .Values "t" "{{ tpl .Values.t . }}" }}{{ tpl .Values.t . }}`), time.Minute, NotInBounds, "memory"},
		{"a loop", chartOf(loop), 500 * time.Millisecond, NotInBounds, "longer than 500ms"},
		{"include in include", chartOf(`{{ define "a" }}{{ include "a" . }}{{ end }}{{ include "a" . }}`), time.Minute, NotRenders, "nested reference"},
		{"template in template", chartOf(`{{ define "a" }}{{ template "a" . }}{{ end }}{{ template "a" . }}`), time.Minute, "", ""},
		{"a schema without end", func() Files { f := chartOf(""); f[SchemaFile] = []byte(deep); return f }(), 500 * time.Millisecond, NotInBounds, "longer than 500ms"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			servedApart(t, tt.deadline)
			_, err := Render(tt.chart, plain)
			if why := refusal(t, err); tt.cause != "" && why.Cause != tt.cause || !strings.Contains(why.What, tt.says) || len(why.What) > 1000 {
				t.Errorf("got %s %q, want %s %q", why.Cause, why.What, tt.cause, tt.says)
			}
			if _, err := Render(chartOf("a: b"), plain); err != nil && tt.deadline == time.Minute {
				t.Errorf("the next chart: %v", err)
			}
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); !errors.Is(err, syscall.ECHILD) {
				t.Errorf("a process is left: %d, %v", pid, err)
			}
		})
	}
	// Linux counts for a process also what the one that started it had at that moment.
	var used, own syscall.Rusage
	err := errors.Join(syscall.Getrusage(syscall.RUSAGE_CHILDREN, &used), syscall.Getrusage(syscall.RUSAGE_SELF, &own))
	if err != nil || runtime.GOOS == "linux" && used.Maxrss > max(2*maxMemory>>10, own.Maxrss) {
		t.Errorf("a process had %d KiB, %v", used.Maxrss, err)
	}
}

// Whoever asked may be gone: the process ends by itself, by its own deadline.
func TestServe_EndsWithoutAnybodyWhoAsked(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "serve", "10ms")
	cmd.Env = []string{}
	cmd.Stdin = strings.NewReader(`{"Chart": {"Chart.yaml": "YXBpVmVyc2lvbjogdjIKbmFtZTogd2ViCnZlcnNpb246IDEuMi4zCg==",
		"templates/x": "e3sgcmFuZ2UgJGEgOj0gdW50aWwgMTAwMDAwIH19e3sgcmFuZ2UgJGIgOj0gdW50aWwgMTAwMDAwIH19e3sgZW5kIH19e3sgZW5kIH19"}, "Release": {"KubeVersion": "1.34.0"}}`)
	var ended *exec.ExitError
	if err := cmd.Run(); !errors.As(err, &ended) || ended.ExitCode() != exitTime {
		t.Errorf("it ends with %v", err)
	}
}

func TestApart_AProgramThatCannotBeStartedRefuses(t *testing.T) {
	t.Cleanup(func() { Apart() })
	for _, program := range []string{"/nonexistent/poundlock", "/bin/false", "/bin/true"} {
		Apart(program)
		if _, err := Render(chartOf("never: "+program), plain); refusal(t, err).Cause != NotProcessed {
			t.Errorf("%s: %v", program, err)
		}
	}
}

// Nothing that a template can call reaches out of it.
func TestRender_TemplatesReachNothing(t *testing.T) {
	t.Setenv("CHART_CANARY", "canary")
	all := func() {
		for _, tt := range []struct{ template, want string }{
			{`{{ getHostByName "localhost" | quote }}`, `""`},
			{`{{ lookup "v1" "Secret" "default" "" | toJson }}`, `{}`},
			{`{{ .Files.Get "/etc/passwd" | quote }}{{ .Files.Get "../values.yaml" | quote }}`, `""""`},
			{`{{ env "CHART_CANARY" }}`, "not defined"},
			{`{{ expandenv "$CHART_CANARY" }}`, "not defined"},
		} {
			got, err := Render(chartOf(tt.template), plain)
			if said := got.Manifests["templates/x.yaml"] + fmt.Sprint(err); !strings.Contains(said, tt.want) || strings.Contains(said, "canary\"") || strings.Contains(said, "root:") {
				t.Errorf("%s gives %s", tt.template, said)
			}
		}
	}
	all()
	servedApart(t, time.Minute)
	rendered = memo[Rendered]{most: 4}
	all()
}
