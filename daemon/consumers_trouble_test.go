package daemon

import (
	"bytes"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// A daemon that dies between its tags and its commit leaves the files of consumers as they were; the next one makes them.
func TestConsumers_ACrashBeforeTheCommit(t *testing.T) {
	t.Parallel()
	s, app, _, _ := consumerSite(t)
	s.sync()
	before := s.file(hostsFile("docker.io"))
	s.commit("more", map[string]string{"desired/apps.txt": list(app, s.push("quay.io/example/app:1", "quay"))})
	s.git.Proxy().Break(testenv.Always(func(r *http.Request) bool { return strings.Contains(r.URL.RequestURI(), "git-receive-pack") }, testenv.Fault{Status: http.StatusServiceUnavailable}))
	if _, err := s.trySync(); err == nil {
		t.Fatal("the commit did not fail")
	}
	if d := s.tag("mirror/snapshot/quay.io/example/app", "1"); d == (mirror.Digest{}) || s.file(hostsFile("quay.io")) != "" || s.file(hostsFile("docker.io")) != before {
		t.Fatalf("tag %s, files changed", d)
	}
	s.close()
	s.git.Proxy().Break(nil)
	s.sync()
	s.names(hostsFile("quay.io"), "quay.io")
	s.names(hostsFile("docker.io"), "apps", "docker.io")
}

// A suspended set is left as it is, and where nobody knows how it stands so are its consumers until it goes on.
func TestConsumers_WaitForASuspendedSet(t *testing.T) {
	t.Parallel()
	s, app, tool, _ := consumerSite(t)
	s.sync()
	s.commit("pause", map[string]string{"rendered/demo/suspended.yaml": "version: 1\nsuspended: {tools: the vendor is asked}\n"})
	s.wipe() // the next process never judges tools
	before := s.file(hostsFile("docker.io"))
	s.commit("another path", map[string]string{"desired/apps.yaml": "version: 1\nsource: {kind: list, file: apps.txt}\nlayout: path\npaths: {docker.io: moved}\n", "desired/apps.txt": list(app)})
	s.sync()
	if s.file(hostsFile("docker.io")) != before {
		t.Errorf("made without the suspended set:\n%s", s.file(hostsFile("docker.io")))
	}
	d := must(s.looking(false).Preview(t.Context(), PreviewOptions{}))(t)
	if files := rows(d, mirror.Render); len(files) != 0 {
		t.Errorf("the plan shows %v", files)
	}
	s.commit("go on", map[string]string{"rendered/demo/suspended.yaml": "", "desired/tools.txt": list(tool) + "# again\n"})
	s.sync()
	s.names(hostsFile("docker.io"), "moved", "docker.io")
}

// A proposal to change a consumer is about the sets that it runs.
func TestSetsOf_AConsumerIsAboutTheSetsThatItRuns(t *testing.T) {
	t.Parallel()
	s, _, _, _ := consumerSite(t)
	s.commit("a third set", map[string]string{"desired/third.yaml": "version: 1\nsource: {kind: list, images: [\"docker.io/library/none:1\"]}\n"})
	s.open()
	f := must(s.line.refresh(t.Context()))(t)
	next := *f
	next.desired.Consumers = nil
	for _, tt := range []struct {
		files []string
		want  []string
	}{
		{[]string{nodes}, []string{"apps", "tools"}},
		{[]string{"desired/apps.txt", nodes}, []string{"apps", "tools"}},
		{[]string{"desired/apps.txt"}, []string{"apps"}},
		{[]string{"desired/shared/values.tmpl"}, []string{"apps", "third", "tools"}},
	} {
		if sets, _ := f.setsOf(&next, tt.files); !slices.Equal(sets, tt.want) {
			t.Errorf("%v: got %v, want %v", tt.files, sets, tt.want)
		}
	}
}

// keptLog is a log that is kept.
type keptLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *keptLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *keptLog) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), what)
}

// What people should know of rendered files is told when it begins, in the plan that brings it, by render and by doctor.
func TestNotes_AreToldOnceForEachChange(t *testing.T) {
	t.Parallel()
	s, app, _, _ := consumerSite(t)
	s.commit("fallback", map[string]string{nodes: strings.Replace(runsBoth, "containerd: {}", "containerd: {fallback: true}", 1)})
	const note = "containerd: fallback is allowed"
	d := must(s.looking(false).Preview(t.Context(), PreviewOptions{}))(t)
	warned := 0
	for _, row := range rows(d, mirror.Render) {
		if slices.ContainsFunc(row.Warnings, func(w string) bool { return strings.HasPrefix(w, note) }) {
			warned++
		}
	}
	if warned != 1 {
		t.Errorf("%d files of the plan tell of it, want 1", warned)
	}
	log := &keptLog{}
	s.open()
	s.line.log = slog.New(slog.NewTextHandler(log, nil))
	s.sync()
	s.commit("more", map[string]string{"desired/apps.txt": list(app)})
	s.sync()
	if got := log.count(note); got != 1 {
		t.Errorf("the log tells it %d times, want once", got)
	}
	folders, _, err := s.looking(true).Rendered(t.Context(), RenderOptions{Of: "consumers/nodes"})
	if err != nil || len(folders) != 1 || len(folders[0].Notes) == 0 || !strings.HasPrefix(folders[0].Notes[0], note) {
		t.Errorf("got %+v, %v", folders, err)
	}
	checks := must(Doctor(t.Context(), s.line.config, false, s.clock))(t)
	if !slices.ContainsFunc(checks, func(c Check) bool {
		return c.State == CheckWarning && c.Name == "rendered" && strings.HasPrefix(c.Detail, note)
	}) {
		t.Errorf("doctor does not say so: %+v", checks)
	}
}
