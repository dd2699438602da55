package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/docs"
	"github.com/poundlock/poundlock/testenv"
)

var (
	typedLine = regexp.MustCompile(`(?m)^\$ (poundlock .*)$`)
	curlLine  = regexp.MustCompile(`(?m)^(?:\$ )?(curl .*)$`)
	webHost   = regexp.MustCompile(`https?://[^/" ]+`)
)

// inPackageWorld makes the world of the demo with packages, and gives the path of a configuration for it.
func inPackageWorld(t *testing.T) (*testenv.World, string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "pw-") // short: a Unix socket is made below it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	w, err := testenv.NewWorld(t.Context(), dir, testenv.WorldOptions{Packages: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w, configure(t, w.ConfigYAML())
}

// serving runs the daemon until the test ends, and returns when it answers for a channel.
func serving(t *testing.T, config, channel string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan string, 1)
	go func() {
		code, out, talk := command(t, ctx, "-c", config, "run")
		ended <- fmt.Sprintf("exit %d: %s%s", code, out, talk)
	}()
	t.Cleanup(func() { cancel(); <-ended })
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.After(60 * time.Second)
	for {
		if answer, err := client.Get(channel + "/search?package=nginx"); err == nil {
			body, err := io.ReadAll(answer.Body)
			if _ = answer.Body.Close(); err == nil && strings.Contains(string(body), "nginx") {
				return
			}
		}
		select {
		case said := <-ended:
			ended <- said
			t.Fatalf("the daemon ended: %s", said)
		case <-late:
			t.Fatalf("nothing is answered at %s", channel)
		case <-tick.C:
		}
	}
}

// The page on packages is a story from nothing to a Kibana that reads production: its files are committed as they are
// printed, its lines are typed, and what it fetches is there.
func TestDocs_PackagesFromZeroToKibana(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not installed")
	}
	w, config := inPackageWorld(t)
	page, ok := docs.Page("packages")
	if !ok {
		t.Fatal("there is no page on packages")
	}
	fleet := map[string]string{"desired/ess.yaml": "", "desired/ess/images_digests.yml": "", "desired/tools.yaml": "", "desired/tools/images.txt": "", "desired/consumers/workers.yaml": ""}
	for _, block := range yamlBlock.FindAllStringSubmatch(page, -1) {
		name := named.FindStringSubmatch(block[1])
		switch {
		case name == nil:
			t.Fatalf("this block does not say which file it is:\n%s", block[1])
		case strings.HasPrefix(name[1], "desired/"):
			fleet[name[1]] = block[1]
		case name[1] == "config.yaml":
			if err := loaded(t, block[1]); err != nil {
				t.Errorf("%v\n%s", err, block[1])
			}
		}
	}
	if _, err := w.Git.Commit(t.Context(), "As the page has it", fleet); err != nil {
		t.Fatal(err)
	}
	for _, line := range typedLine.FindAllStringSubmatch(page, -1) {
		args := strings.Fields(line[1])[1:]
		code, out, talk := command(t, t.Context(), append([]string{"-c", config}, args...)...)
		if want := map[string]int{"sync": exitPartial}[args[0]]; code != want { // one package of the world is bad on purpose
			t.Fatalf("%s: exit %d, want %d\n%s%s", line[1], code, want, out, talk)
		}
		if args[0] == "promote" {
			merged(t, w, config)
		}
		if args[0] != "sync" && args[0] != "diff" && !strings.Contains(out, "nginx-1.20.0") && !strings.Contains(out, "1.20.0") {
			t.Errorf("%s says nothing of nginx-1.20.0:\n%s%s", line[1], out, talk)
		}
	}
	serving(t, config, w.Channels()["production"])
	pages, err := filepath.Glob("../../docs/packages*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range pages {
		text, _ := docs.Page(strings.TrimSuffix(filepath.Base(file), ".md"))
		for _, line := range curlLine.FindAllStringSubmatch(text, -1) {
			fetchedByCurl(t, w, filepath.Base(file), line[1])
		}
	}
}

// merged merges the one proposal that is open, and has it carried out.
func merged(t *testing.T, w *testenv.World, config string) {
	t.Helper()
	for n := 1; n < 20; n++ {
		if open, err := w.Forge.Merge(n, testenv.WorldPerson, "merge"); err == nil && open != "" {
			if code, out, talk := command(t, t.Context(), "-c", config, "sync"); code != exitPartial {
				t.Fatalf("sync after the merge of %d: exit %d\n%s%s", n, code, out, talk)
			}
			return
		}
	}
	t.Fatal("no proposal is open")
}

// fetchedByCurl types a line of a page, with the servers of the world in place of those that it names.
func fetchedByCurl(t *testing.T, w *testenv.World, page, line string) {
	t.Helper()
	production := w.Channels()["production"]
	root := strings.TrimSuffix(production, "/epr/production")
	typed := webHost.ReplaceAllStringFunc(line, func(string) string { return root })
	cmd := exec.CommandContext(t.Context(), "sh", "-c", typed)
	cmd.Dir = t.TempDir()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %s: %v\n%s", page, line, err, out)
	}
	if strings.Contains(typed, "/search") && !strings.Contains(string(out), "nginx") && !strings.Contains(line, "[]") {
		t.Errorf("%s: %s finds no nginx:\n%s", page, line, out)
	}
}
