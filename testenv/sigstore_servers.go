package testenv

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
)

func (s *Sigstore) startFulcio() error {
	ports, err := freePorts(3)
	if err != nil {
		return err
	}
	config := fmt.Sprintf("oidc-issuers:\n  %[1]s: {issuer-url: %[1]q, client-id: sigstore, type: email}\n", s.OIDC.URL())
	file := filepath.Join(s.dir, "fulcio.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return err
	}
	s.fulcio = "http://127.0.0.1:" + ports[0]
	return s.start(toolFulcio, "serve", "--ca=ephemeralca", "--ct-log-url=", "--config-path="+file,
		"--host=127.0.0.1", "--port="+ports[0], "--grpc-host=127.0.0.1", "--grpc-port="+ports[1], "--metrics-port="+ports[2],
		"--legacy-unix-domain-socket="+filepath.Join(s.dir, "fulcio.sock"))
}

func (s *Sigstore) startRekor() error {
	ports, err := freePorts(3)
	if err != nil {
		return err
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	privatePEM, err := cryptoutils.MarshalPrivateKeyToPEM(private)
	if err != nil {
		return err
	}
	publicPEM, err := cryptoutils.MarshalPublicKeyToPEM(public)
	if err != nil {
		return err
	}
	key := filepath.Join(s.dir, "rekor.key")
	if err := errors.Join(os.WriteFile(key, privatePEM, 0o600), os.WriteFile(filepath.Join(s.dir, "rekor.pub"), publicPEM, 0o600)); err != nil {
		return err
	}
	s.rekor = "http://127.0.0.1:" + ports[0]
	// The origin of a checkpoint has to be the host that the trusted root names.
	return s.start(toolRekor, "serve", "--hostname=127.0.0.1", "--storage-dir="+filepath.Join(s.dir, "rekor"), "--signer-filepath="+key,
		"--http-port="+ports[0], "--grpc-port="+ports[1], "--http-metrics-port="+ports[2], "--checkpoint-interval=100ms", "--batch-max-age=50ms")
}

func (s *Sigstore) startStamper() error {
	ports, err := freePorts(1)
	if err != nil {
		return err
	}
	s.stamper = "http://127.0.0.1:" + ports[0]
	return s.start(toolStamper, "serve", "--host=127.0.0.1", "--port="+ports[0], "--timestamp-signer=memory", "--disable-ntp-monitoring")
}

// start starts a server whose output goes to a file of its name.
func (s *Sigstore) start(tool string, args ...string) error {
	log, err := os.Create(filepath.Join(s.dir, tool+".log"))
	if err != nil {
		return err
	}
	defer log.Close() // the process has its own
	cmd := exec.Command(filepath.Join(s.tools, tool), args...)
	cmd.Dir, cmd.Env = s.dir, []string{"HOME=" + s.dir, "PATH=" + os.Getenv("PATH")}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	s.processes = append(s.processes, cmd)
	return nil
}

// answer asks an address until it answers with status 200.
func answer(ctx context.Context, address string) ([]byte, error) {
	own := http.DefaultTransport.(*http.Transport).Clone()
	defer own.CloseIdleConnections()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		body, err := ask(ctx, &http.Client{Transport: own}, address)
		if err == nil {
			return body, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-again.C:
		}
	}
}

func ask(ctx context.Context, client *http.Client, address string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", address, resp.Status)
	}
	return body, err
}

// freePorts gives ports that nobody listens on just now. Somebody may take one before its server does; then the server
// does not start and the test says so.
func freePorts(n int) ([]string, error) {
	var ports []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // all at the end, so that no port is given twice
		_, port, err := net.SplitHostPort(l.Addr().String())
		if err != nil {
			return nil, err
		}
		ports = append(ports, port)
	}
	return ports, nil
}
