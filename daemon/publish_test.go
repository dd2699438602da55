package daemon

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/poundlock/poundlock/internal/mirror"
)

func webSite(t *testing.T) *site {
	t.Helper()
	s := newSite(t, map[string]string{"desired/policy.yaml": pinnedPolicy})
	web := s.push("docker.io/library/web:1", "web")
	s.commit("web", map[string]string{"desired/web.yaml": "version: 1\nsource: {kind: list, file: web.txt}\n", "desired/web.txt": list(web)})
	return s
}

func TestPublish_CommitsAreSignedAndSayWhichCycle(t *testing.T) {
	t.Parallel()
	s := webSite(t)
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block := must(ssh.MarshalPrivateKey(private, ""))(t)
	key := filepath.Join(s.dir, "commit-key")
	if err := os.WriteFile(key, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	s.config = strings.Replace(s.config, "  poll: 50ms\n", "  poll: 50ms\n  author: {name: Lock Keeper, email: keeper@site.example}\n  message: \"chore({{.Set}}): {{len .Moves}} moved at {{.Site}}\"\n  signing: {format: ssh, key: {file: "+key+"}}\n", 1)
	s.sync()
	last := must(s.git.Log())(t)[0]
	if !regexp.MustCompile(`^chore\(web\): 1 moved at demo\n\nPoundlock-Cycle: [0-9A-Z]{26}\n$`).MatchString(last.Message) {
		t.Errorf("message: %q", last.Message)
	}
	if last.Author != "Lock Keeper" || last.Email != "keeper@site.example" {
		t.Errorf("author: %s <%s>", last.Author, last.Email)
	}
	if !strings.HasPrefix(last.Signature, "-----BEGIN SSH SIGNATURE-----") {
		t.Errorf("signature: %q", last.Signature)
	}
}

func TestPublish_NothingChangedNoCommit(t *testing.T) {
	t.Parallel()
	s := webSite(t)
	s.sync()
	head := s.git.Head()
	for range 2 {
		if r := s.sync()["web"]; r.Commit != "" || r.Plan.Count(mirror.Unchanged) != 1 {
			t.Errorf("commit %q, %d unchanged", r.Commit, r.Plan.Count(mirror.Unchanged))
		}
	}
	// A new process that knows nothing finds the same.
	s.close()
	if err := os.RemoveAll(filepath.Join(s.dir, "state")); err != nil {
		t.Fatal(err)
	}
	s.sync()
	if s.git.Head() != head {
		t.Errorf("commits were made on an unchanged fleet: %v", must(s.git.Log())(t)[0].Message)
	}
}

// The secrets of the site stand nowhere in what it writes.
func TestPublish_NoSecretReachesGit(t *testing.T) {
	t.Parallel()
	s := webSite(t)
	s.sync()
	for name, body := range must(s.git.Files("main"))(t) {
		if strings.Contains(body, "canary") {
			t.Errorf("%s holds a secret", name)
		}
	}
	for _, c := range must(s.git.Log())(t) {
		if strings.Contains(c.Message, "canary") {
			t.Errorf("a commit message holds a secret: %s", c.Message)
		}
	}
}
