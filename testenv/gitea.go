package testenv

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// ErrNoGitea says that there is no Gitea on this machine: the environment variable POUNDLOCK_GITEA does not name one.
// testenv/gitea.sh builds one and prints what to set it to.
var ErrNoGitea = errors.New("testenv: POUNDLOCK_GITEA names no Gitea")

// Gitea is a real Gitea in a process of its own, with one repository. What is done to it by method people do at it;
// the methods are those of Forge.
type Gitea struct {
	url    string
	admin  string // token
	tokens map[string]string
	cmd    *exec.Cmd
	stdin  io.Closer
	ended  chan struct{}
}

// giteaStart bounds how long a Gitea may take until it answers.
const giteaStart = time.Minute

const giteaAdmin = "root-of-gitea" // the name of who made all

var madeToken = regexp.MustCompile(`(?m)^[0-9a-f]{40}$`)

// StartGitea starts a Gitea below dir, on a free port of 127.0.0.1, with the repository platform/fleet, whose branch
// main holds a README, and the user poundlock, who may write to it. It takes about four seconds; ErrNoGitea where there
// is none.
func StartGitea(ctx context.Context, dir string) (*Gitea, error) {
	command := os.Getenv("POUNDLOCK_GITEA")
	if command == "" {
		return nil, ErrNoGitea
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("testenv: gitea: %w", err)
	}
	g := &Gitea{tokens: map[string]string{}, ended: make(chan struct{})}
	if err := g.start(ctx, command, dir); err != nil {
		return nil, fmt.Errorf("testenv: gitea: %w", err)
	}
	if err := g.furnish(ctx); err != nil {
		g.Stop()
		return nil, fmt.Errorf("testenv: gitea: %w", err)
	}
	return g, nil
}

func (g *Gitea) start(ctx context.Context, command, dir string) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	g.url = "http://127.0.0.1:" + port
	conf := filepath.Join(dir, "custom", "conf")
	if err := os.MkdirAll(conf, 0o700); err != nil {
		return err
	}
	me, err := user.Current()
	if err != nil {
		return err
	}
	ini := fmt.Sprintf(giteaConfig, me.Username, filepath.Join(filepath.Dir(command), "gitea-static"), port, filepath.Join(dir, "gitea.db"), filepath.Join(dir, "log"))
	if err := os.WriteFile(filepath.Join(conf, "app.ini"), []byte(ini), 0o600); err != nil {
		return err
	}
	env := append(os.Environ(), "GITEA_WORK_DIR="+dir, "HOME="+dir, "GIT_CONFIG_NOSYSTEM=1")
	run := func(args ...string) (string, error) {
		cmd := exec.CommandContext(ctx, command, args...)
		cmd.Env = env
		out, err := cmd.CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("%s: %w: %s", args[0], err, out)
		}
		return strings.TrimSpace(string(out)), nil
	}
	if _, err := run("migrate"); err != nil {
		return err
	}
	if _, err := run("admin", "user", "create", "--admin", "--username", giteaAdmin, "--password", rand.Text(), "--email", "root@fleet.example",
		"--must-change-password=false"); err != nil {
		return err
	}
	token, err := run("admin", "user", "generate-access-token", "-u", giteaAdmin, "-t", "testenv", "--scopes", "all", "--raw")
	if err != nil {
		return err
	}
	if g.admin = madeToken.FindString(token); g.admin == "" { // a busy machine has it log beside
		return fmt.Errorf("it gives no token: %s", token)
	}
	return g.serve(ctx, command, dir, env)
}

// serve starts the server under a shell that ends it when we end, however that happens, and waits until it answers.
func (g *Gitea) serve(ctx context.Context, command, dir string, env []string) error {
	log, err := os.Create(filepath.Join(dir, "web.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	const watched = `exec 3<&0; "$1" web </dev/null & pid=$!; { cat <&3 >/dev/null; kill $pid; } & wait $pid`
	g.cmd = exec.Command("sh", "-c", watched, "sh", command)
	g.cmd.Env, g.cmd.Stdout, g.cmd.Stderr = env, log, log
	if g.stdin, err = g.cmd.StdinPipe(); err != nil {
		return err
	}
	if err := g.cmd.Start(); err != nil {
		return err
	}
	go func() {
		defer close(g.ended)
		_ = g.cmd.Wait() // how it ended is in its log
	}()
	ctx, cancel := context.WithTimeout(ctx, giteaStart)
	defer cancel()
	for {
		if _, err := g.call(ctx, "", http.MethodGet, "/version", nil); err == nil {
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-g.ended:
			return fmt.Errorf("it ended at once, see %s", log.Name())
		case <-ctx.Done():
			g.Stop()
			return fmt.Errorf("it does not answer: %w", ctx.Err())
		}
	}
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

// Stop ends the server.
func (g *Gitea) Stop() {
	if g.cmd == nil {
		return
	}
	_ = g.stdin.Close()
	<-g.ended
}

// giteaConfig takes the account that runs it, the folder of the templates, the port, the database and the folder of logs.
// Hooks may go to loopback; passwords are hashed cheaply, since they are nobody's.
const giteaConfig = `RUN_USER = %s
RUN_MODE = prod
I_AM_BEING_UNSAFE_RUNNING_AS_ROOT = true
[server]
STATIC_ROOT_PATH = %s
HTTP_ADDR = 127.0.0.1
HTTP_PORT = %[3]s
ROOT_URL = http://127.0.0.1:%[3]s/
DISABLE_SSH = true
OFFLINE_MODE = true
LFS_START_SERVER = false
[database]
DB_TYPE = sqlite3
PATH = %[4]s
SQLITE_JOURNAL_MODE = WAL
[security]
INSTALL_LOCK = true
PASSWORD_HASH_ALGO = pbkdf2$1000$50
[service]
DISABLE_REGISTRATION = true
[repository]
DEFAULT_BRANCH = main
[webhook]
ALLOWED_HOST_LIST = loopback
DELIVER_TIMEOUT = 5
[actions]
ENABLED = false
[indexer]
ISSUE_INDEXER_TYPE = db
[cron.update_checker]
ENABLED = false
[picture]
DISABLE_GRAVATAR = true
[log]
LEVEL = Warn
MODE = file
ROOT_PATH = %[5]s
`
