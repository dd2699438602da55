package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/testenv"
)

// Against a real Gitea: propose, comment, status, merge, tag move, render, commit and the status on the merge, with no
// manual refresh; told by webhook, where no poll would come in time, and by polls alone.
func TestGitea_FromProposalToRenderedWithNoManualRefresh(t *testing.T) {
	g, err := testenv.StartGitea(t.Context(), t.TempDir())
	if errors.Is(err, testenv.ErrNoGitea) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Stop)
	if _, err := g.AddUser(t.Context(), testenv.WorldPerson, true); err != nil {
		t.Fatal(err)
	}
	w, err := testenv.NewWorld(t.Context(), t.TempDir(), testenv.WorldOptions{Gitea: g})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	secret, listen := filepath.Join(t.TempDir(), "secret"), freeAddress(t)
	if err := os.WriteFile(secret, []byte("hook-secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := g.Hook(t.Context(), "http://"+listen+"/hooks/gitea", "hook-secret"); err != nil {
		t.Fatal(err)
	}
	never := strings.NewReplacer("poll: 2s", "poll: 1h", "poll: 5s}", "poll: 1h}")
	often := strings.NewReplacer("poll: 2s", "poll: 1s", "poll: 5s}", "poll: 1s}")
	hooks := fmt.Sprintf("webhooks: {listen: %q, receivers: {gitea: {kind: gitea, secret: {file: %q}}}}\n", listen, secret)
	for _, c := range []struct{ name, stage, config string }{
		{"by webhook", "staging", never.Replace(w.ConfigYAML()) + hooks},
		{"by polls", "production", often.Replace(w.ConfigYAML())},
	} {
		config := configure(t, c.config)
		if code, out, talk := command(t, t.Context(), "-c", config, "sync"); code != exitPartial {
			t.Fatalf("%s: exit %d\n%s\n%s", c.name, code, out, talk)
		}
		stop := running(t, w, config)
		_, out, talk := command(t, t.Context(), "-c", config, "promote", "ess", "--to", c.stage)
		found := regexp.MustCompile(`opened \S+/pulls/(\d+)`).FindStringSubmatch(out)
		if found == nil {
			t.Fatalf("%s: promote said %s%s", c.name, out, talk)
		}
		number, _ := strconv.Atoi(found[1]) // digits
		head, err := g.Head(t.Context(), "poundlock/demo/ess/"+c.stage+"/all")
		if err != nil {
			t.Fatal(err)
		}
		happens(t, c.name+": comment and checks", func() bool {
			comments, _ := g.Comments(t.Context(), number)
			checks, _ := g.Statuses(t.Context(), head)
			return len(comments) == 1 && checks["poundlock/plan"] == "success" && checks["poundlock/policy"] == "success"
		})
		merged, err := g.Merge(t.Context(), number, testenv.WorldPerson, "squash")
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		happens(t, c.name+": the check of the merge", func() bool {
			checks, _ := g.Statuses(t.Context(), merged)
			return checks["poundlock/sync"] == "success"
		})
		took := time.Since(began)
		t.Logf("%s: live %s after the merge", c.name, took.Round(time.Millisecond))
		if took > 10*time.Second { // 5 s on a machine of its own
			t.Errorf("%s: live %s after the merge", c.name, took)
		}
		if text, err := g.File(t.Context(), "main", "rendered/demo/ess/"+c.stage+"/images-digests.yaml"); err != nil || !strings.Contains(text, c.stage+"/docker.io/library/haproxy") {
			t.Errorf("%s: rendered is %v\n%s", c.name, err, text)
		}
		stop()
	}
}

// running runs the daemon until what it gives is called.
func running(t *testing.T, w *testenv.World, config string) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if code, _, talk := command(t, ctx, "-c", config, "run"); t.Failed() || code != exitInterrupted && code != exitOK {
			t.Errorf("run: exit %d\n%s", code, talk)
		}
	}()
	stop = func() { cancel(); <-ended }
	t.Cleanup(stop)
	happens(t, "the daemon", func() bool {
		_, err := os.Stat(filepath.Join(w.Dir(), "state", "poundlock.sock"))
		return err == nil
	})
	return stop
}

// happens waits for something that happens in another process.
func happens(t *testing.T, what string, is func() bool) {
	t.Helper()
	for began := time.Now(); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Since(began) > 20*time.Second {
			t.Fatalf("%s: not within 20 seconds", what)
		}
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
