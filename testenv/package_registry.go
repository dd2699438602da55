package testenv

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Tool gives the path of a real command that testenv/interop.sh built, in $POUNDLOCK_TOOLS or else in the user's cache;
// false where it is not there.
func Tool(name string) (string, bool) {
	dir := os.Getenv("POUNDLOCK_TOOLS")
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", false
		}
		dir = filepath.Join(cache, "poundlock", "interop")
	}
	path := filepath.Join(dir, name)
	info, err := os.Stat(path)
	return path, err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// PackageRegistryOptions vary a PackageRegistry.
type PackageRegistryOptions struct {
	Paths    []string // folders of zips, in the order in which it looks for a name and version
	Watch    bool     // it looks for changes of these folders
	Unsigned bool     // packages without a signature are fine
}

// PackageRegistry is Elastic's server, in a process of its own.
type PackageRegistry struct {
	addr string
	cmd  *exec.Cmd
	said *tail
	gone chan struct{}
}

// NewPackageRegistry starts the command that Tool("package-registry") names and returns when it answers. One that ends
// before, as it does over a package without a signature, is an error with what it said.
func NewPackageRegistry(ctx context.Context, o PackageRegistryOptions) (*PackageRegistry, error) {
	command, ok := Tool("package-registry")
	if !ok {
		return nil, fmt.Errorf("testenv: no package-registry is built: %w", os.ErrNotExist)
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	config, err := os.CreateTemp("", "package-registry-*.yml")
	if err != nil {
		return nil, fmt.Errorf("testenv: %w", err)
	}
	defer os.Remove(config.Name())
	fmt.Fprintf(config, "package_paths:\n")
	for _, p := range o.Paths {
		fmt.Fprintf(config, "  - %q\n", p)
	}
	if err := config.Close(); err != nil {
		return nil, fmt.Errorf("testenv: %w", err)
	}
	r := &PackageRegistry{addr: addr, said: &tail{}, gone: make(chan struct{})}
	r.cmd = exec.CommandContext(ctx, command, "-address", addr, "-config", config.Name(), fmt.Sprintf("-package-paths-enable-watcher=%t", o.Watch), fmt.Sprintf("-require-package-signatures=%t", !o.Unsigned))
	r.cmd.Stdout, r.cmd.Stderr = r.said, r.said
	r.cmd.Env = append(os.Environ(), "ELASTIC_APM_ACTIVE=false") // it would look for a server of APM
	if err := r.cmd.Start(); err != nil {
		return nil, fmt.Errorf("testenv: %w", err)
	}
	go func() {
		defer close(r.gone)
		_ = r.cmd.Wait() // how it ended is in what it said
	}()
	return r, r.answers(ctx)
}

// answers waits until the server does, or until it is gone.
func (r *PackageRegistry) answers(ctx context.Context) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.URL()+"/health", nil)
		if err != nil {
			return err
		}
		if answer, err := client.Do(req); err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-r.gone:
			return fmt.Errorf("testenv: package-registry ended: %s", r.Said())
		case <-ctx.Done():
			r.Close()
			return fmt.Errorf("testenv: package-registry does not answer: %w: %s", ctx.Err(), r.Said())
		case <-tick.C:
		}
	}
}

// URL gives the base address.
func (r *PackageRegistry) URL() string { return "http://" + r.addr }

// Said gives the end of what it wrote to its log.
func (r *PackageRegistry) Said() string { return r.said.String() }

// Close ends the process.
func (r *PackageRegistry) Close() {
	_ = r.cmd.Process.Kill() // one that is gone needs none
	<-r.gone
}

// freeAddr gives an address of loopback that nobody listens on just now.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("testenv: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// tail keeps the last lines that were written to it.
type tail struct {
	mu sync.Mutex
	b  bytes.Buffer
}

const tailSize = 8 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b.Write(p)
	if over := t.b.Len() - tailSize; over > 0 {
		t.b.Next(over)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(t.b.String())
}

// WriteFolder writes zips and their signatures, by name-version, as Elastic's server wants to find them.
func (e *EPR) WriteFolder(dir string, ids ...string) error {
	for _, id := range ids {
		h, ok := e.find(id)
		if !ok {
			return fmt.Errorf("testenv: there is no package %s", id)
		}
		if h.signature != nil {
			if err := os.WriteFile(filepath.Join(dir, id+".zip.sig"), h.signature, 0o600); err != nil {
				return err
			}
		}
		if err := os.WriteFile(filepath.Join(dir, id+".zip"), h.zip, 0o600); err != nil {
			return err
		}
	}
	return nil
}
