package testenv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
)

func eachGit(t *testing.T, test func(t *testing.T, g *Git)) {
	t.Helper()
	for name, start := range map[string]func(string) (*Git, error){"ours": NewGit, "git http-backend": NewGitBackend} {
		t.Run(name, func(t *testing.T) {
			if _, err := exec.LookPath("git"); err != nil && name != "ours" {
				t.Skip("there is no git binary")
			}
			g, err := start(filepath.Join(t.TempDir(), "fleet"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(g.Close)
			test(t, g)
		})
	}
}

// runGit runs the git binary in dir, away from the user's own configuration.
func runGit(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@fleet.example", "GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@fleet.example"}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func mustGit(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := runGit(t, dir, args...)
	if err != nil {
		t.Fatalf("git %s: %v\n%s", args[0], err, out)
	}
	return strings.TrimSpace(out)
}

func TestGit_ServesTheGitBinary(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("there is no git binary")
	}
	eachGit(t, func(t *testing.T, g *Git) {
		g.User, g.Password = "robot", "pass word"
		work := filepath.Join(t.TempDir(), "work")
		url := strings.Replace(g.URL(), "://", "://robot:pass%20word@", 1)
		mustGit(t, ".", "init", "-q", "-b", "main", work)
		mustGit(t, work, "remote", "add", "origin", url)
		write := func(name, text string) {
			t.Helper()
			if err := os.WriteFile(filepath.Join(work, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			mustGit(t, work, "add", ".")
			mustGit(t, work, "commit", "-q", "-m", name)
		}
		write("a", strings.Repeat("first ", 300_000)) // large enough for a probe and a chunked push
		mustGit(t, work, "-c", "http.postBuffer=10485760", "push", "-q", "origin", "main")
		write("b", "second")
		mustGit(t, work, "push", "-q", "origin", "main")
		if got, want := g.Head(), mustGit(t, work, "rev-parse", "HEAD"); got != want {
			t.Fatalf("head = %s, want %s", got, want)
		}
		clone := filepath.Join(t.TempDir(), "clone")
		mustGit(t, ".", "clone", "-q", url, clone)
		if branch := mustGit(t, clone, "branch", "--show-current"); branch != "main" {
			t.Errorf("a clone is on %q, want main", branch)
		}
		id, err := g.Commit(t.Context(), "on the server", map[string]string{"c/d": "third", "a": ""})
		if err != nil {
			t.Fatal(err)
		}
		mustGit(t, clone, "pull", "-q", "--ff-only")
		if got := mustGit(t, clone, "rev-parse", "HEAD"); got != id {
			t.Errorf("pulled %s, want %s", got, id)
		}
		mustGit(t, clone, "fsck", "--strict")
		write("late", "x")
		if out, err := runGit(t, work, "push", "-q", "origin", "main"); err == nil || !strings.Contains(out, "fetch first") && !strings.Contains(out, "rejected") {
			t.Errorf("a push from an old head: %v\n%s", err, out)
		}
		mustGit(t, work, "push", "-q", "--force", "origin", "main")
		mustGit(t, clone, "fetch", "-q")
		mustGit(t, work, "push", "-q", "origin", "main:refs/heads/side")
		mustGit(t, work, "push", "-q", "origin", ":refs/heads/side")
		if out, err := runGit(t, ".", "ls-remote", g.URL()); err == nil {
			t.Errorf("refs were listed without credentials:\n%s", out)
		}
		if out, err := runGit(t, ".", "ls-remote", strings.Replace(url, "pass%20word", "wrong", 1)); err == nil {
			t.Errorf("refs were listed with a wrong password:\n%s", out)
		}
	})
}

func TestGit_CommitsOnTheServer(t *testing.T) {
	eachGit(t, func(t *testing.T, g *Git) {
		if g.Head() != "" {
			t.Fatalf("an empty repository has the head %s", g.Head())
		}
		for _, files := range []map[string]string{{"a": "1", "b/c": "2"}, {"a": "", "b/d": "3"}} {
			if _, err := g.Commit(t.Context(), "edit", files); err != nil {
				t.Fatal(err)
			}
		}
		files, err := g.Files("main")
		if err != nil || !maps.Equal(files, map[string]string{"b/c": "2", "b/d": "3"}) {
			t.Errorf("files %v, %v", files, err)
		}
		log, err := g.Log()
		if err != nil || len(log) != 2 || log[0].ID != g.Head() || log[0].Parents[0] != log[1].ID {
			t.Errorf("log %+v, %v", log, err)
		}
		if files, err = g.Files(log[1].ID); err != nil || files["a"] != "1" {
			t.Errorf("files of the first commit: %v, %v", files, err)
		}
	})
}

// pushGit sends a push that names the old commit, without looking at what the server lists.
func pushGit(ctx context.Context, g *Git, old, new string) error {
	endpoint, err := transport.NewEndpoint(g.URL())
	if err != nil {
		return err
	}
	s, err := githttp.NewClient(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).NewReceivePackSession(
		endpoint, nil)
	if err != nil {
		return err
	}
	adv, err := s.AdvertisedReferences()
	if err != nil {
		return err
	}
	var pack bytes.Buffer
	if _, err := packfile.NewEncoder(&pack, g.store(), false).Encode([]plumbing.Hash{plumbing.NewHash(new)}, 0); err != nil {
		return err
	}
	req := packp.NewReferenceUpdateRequestFromCapabilities(adv.Capabilities)
	req.Commands = []*packp.Command{{Name: plumbing.NewBranchReferenceName(gitBranch), Old: plumbing.NewHash(old), New: plumbing.NewHash(new)}}
	req.Packfile = io.NopCloser(&pack)
	report, err := s.ReceivePack(ctx, req)
	if err == nil && report == nil {
		return errors.New("no report")
	}
	return err
}

func TestGit_OfPushesFromOneHeadExactlyOneWins(t *testing.T) {
	eachGit(t, func(t *testing.T, g *Git) {
		for round := range 5 {
			old, err := g.Commit(t.Context(), "base", map[string]string{"round": fmt.Sprint(round)})
			if err != nil {
				t.Fatal(err)
			}
			tree, err := g.PutTree()
			if err != nil {
				t.Fatal(err)
			}
			const writers = 6
			ids, errs := make([]string, writers), make([]error, writers)
			for i := range writers {
				if ids[i], err = g.PutCommit(fmt.Sprint("writer ", i), tree, old); err != nil {
					t.Fatal(err)
				}
			}
			var wg sync.WaitGroup
			for i := range writers {
				wg.Go(func() { errs[i] = pushGit(t.Context(), g, old, ids[i]) })
			}
			wg.Wait()
			won := 0
			for i, err := range errs {
				if err == nil {
					won++
					if g.Head() != ids[i] {
						t.Errorf("writer %d was told it won, the head is another's", i)
					}
				}
			}
			if won != 1 {
				t.Errorf("round %d: %d writers won, want 1: %v", round, won, errs)
			}
			// A person's reset since then is not undone by who still names the older head.
			if err := pushGit(t.Context(), g, old, ids[0]); err == nil && g.Head() != ids[0] {
				t.Error("a push on an old head was taken")
			}
		}
	})
}

func TestGit_RefusesWhatItCannotServe(t *testing.T) {
	g, err := NewGit(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	id, err := g.Commit(t.Context(), "base", map[string]string{"a": "1"})
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{"", "0000", "garbage", "0032want " + strings.Repeat("ab", 20) + "\n0000", "fffe", strings.Repeat("0", 3)} {
		for _, service := range []string{"git-upload-pack", "git-receive-pack"} {
			res, err := http.Post(g.URL()+"/"+service, "application/x-"+service+"-request", strings.NewReader(body))
			if err != nil {
				continue // a cut connection is an answer as well
			}
			res.Body.Close()
		}
	}
	refs := []string{"../../config", "refs/heads/../../config", "HEAD", "refs/heads/a.lock"}
	for _, ref := range refs {
		line := strings.Repeat("0", 40) + " " + id + " " + ref + "\x00report-status"
		body := fmt.Sprintf("%04x%s0000", len(line)+4, line)
		res, err := http.Post(g.URL()+"/git-receive-pack", "application/x-git-receive-pack-request", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if !bytes.Contains(answer, []byte("ng "+ref)) {
			t.Errorf("ref %q: %q, want it refused", ref, answer)
		}
	}
	if g.Head() != id {
		t.Error("the head moved")
	}
}
