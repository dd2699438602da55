package testenv

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
)

// NewGitBackend is NewGit with the server that Git itself ships, git http-backend, behind it: for tests that
// must not depend on how we understand a push. It needs the git binary.
func NewGitBackend(dir string) (*Git, error) {
	out, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		return nil, fmt.Errorf("testenv: git: %w", err)
	}
	backend := filepath.Join(strings.TrimSpace(string(out)), "git-http-backend")
	if _, err := os.Stat(backend); err != nil {
		return nil, fmt.Errorf("testenv: %w", err)
	}
	g := &Git{dir: dir}
	g.move = g.updateRef
	if g.dir, err = filepath.Abs(dir); err != nil {
		return nil, fmt.Errorf("testenv: %w", err)
	}
	return g, g.start("127.0.0.1:0", &cgi.Handler{
		Path: backend, Root: gitPath, Dir: g.dir, Stderr: io.Discard, Logger: log.New(io.Discard, "", 0),
		InheritEnv: []string{"PATH"},
		Env: []string{"GIT_PROJECT_ROOT=" + g.dir, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=pusher", "GIT_CONFIG_NOSYSTEM=1",
			"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=receive.autogc", "GIT_CONFIG_VALUE_0=false", "HOME=" + g.dir},
	})
}

// updateRef moves a ref by git update-ref, which knows the locks of git http-backend.
func (g *Git) updateRef(name plumbing.ReferenceName, from, to plumbing.Hash) error {
	cmd := exec.Command("git", "--git-dir", g.dir, "update-ref", name.String(), to.String(), from.String())
	if to.IsZero() {
		cmd = exec.Command("git", "--git-dir", g.dir, "update-ref", "-d", name.String(), from.String())
	}
	out, err := cmd.CombinedOutput()
	if bytes.Contains(out, []byte("cannot lock ref")) || bytes.Contains(out, []byte("but expected")) {
		return errMoved
	}
	if err != nil {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}
