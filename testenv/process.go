package testenv

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// Variables that make a process of this binary a registry; see Main.
const (
	envRegistryDir  = "POUNDLOCK_TESTENV_REGISTRY_DIR"
	envRegistryAddr = "POUNDLOCK_TESTENV_REGISTRY_ADDR"
)

// Main turns this process into a registry when NewRegistryProcess started it, and then never returns. A
// package whose tests kill registries calls it first in TestMain:
//
//	func TestMain(m *testing.M) { testenv.Main(); os.Exit(m.Run()) }
func Main() {
	dir := os.Getenv(envRegistryDir)
	if dir == "" {
		return
	}
	r, err := NewRegistryAt(os.Getenv(envRegistryAddr), dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(r.Host(), r.Back())
	_, _ = io.Copy(io.Discard, os.Stdin) // ends with the process that started us, however that ended
	os.Exit(0)
}

// RegistryProcess is a registry in a process of its own, so that it can be killed.
type RegistryProcess struct {
	dir        string
	host, back string
	cmd        *exec.Cmd
	stdin      io.Closer
}

// NewRegistryProcess starts a registry on dir in a second process of the test binary, which has to call
// Main. It returns when the registry answers.
func NewRegistryProcess(dir string) (*RegistryProcess, error) {
	p := &RegistryProcess{dir: dir, host: "127.0.0.1:0"}
	if err := p.Start(); err != nil {
		return nil, err
	}
	return p, nil
}

// Host gives host:port as references name it; it stays the same over Kill and Start.
func (p *RegistryProcess) Host() string { return p.host }

// URL gives the address with its scheme.
func (p *RegistryProcess) URL() string { return "http://" + p.host }

// Back gives another host:port with the same content; it changes with every Start.
func (p *RegistryProcess) Back() string { return p.back }

// Start starts the registry again after Kill, at the same address and on the same directory.
func (p *RegistryProcess) Start() error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("testenv: %w", err)
	}
	p.cmd = exec.Command(self, "-test.run=^$") // without Main it ends at once instead of running the tests again
	p.cmd.Env = append(os.Environ(), envRegistryDir+"="+p.dir, envRegistryAddr+"="+p.host)
	p.cmd.Stderr = os.Stderr
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("testenv: %w", err)
	}
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return fmt.Errorf("testenv: %w", err)
	}
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("testenv: registry process: %w", err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	hosts := strings.Fields(line)
	if err != nil || len(hosts) != 2 {
		p.Kill()
		return fmt.Errorf("testenv: the registry process did not start (does TestMain call testenv.Main?): %q", line)
	}
	p.host, p.back = hosts[0], hosts[1]
	return nil
}

// Kill ends the process by SIGKILL, at whatever it is doing, and waits for its end.
func (p *RegistryProcess) Kill() {
	_ = p.cmd.Process.Kill() // it may have ended by itself
	_ = p.cmd.Wait()         // reports the kill
	_ = p.stdin.Close()
}

// Close ends the process; the content stays in its directory.
func (p *RegistryProcess) Close() { p.Kill() }
