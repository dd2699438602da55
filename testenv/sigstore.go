package testenv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// The commands that interop.sh builds, by their name in its folder.
const (
	ToolCosign2 = "cosign2"
	ToolCosign3 = "cosign3"
	toolFulcio  = "fulcio"
	toolRekor   = "rekor-server"
	toolStamper = "timestamp-server"
)

// startTime bounds how long a real server may take until it answers.
const startTime = time.Minute

// Sigstore is the real thing on loopback: Fulcio, Rekor v2 on files, the timestamp authority, each a process of its
// own, and an OIDC issuer of ours. Fulcio writes to no log of certificates.
type Sigstore struct {
	OIDC *OIDC

	tools, dir string
	processes  []*exec.Cmd
	fulcio     string // URLs
	rekor      string
	stamper    string
}

// StartSigstore starts the servers from the folder of tools; their files lie in dir. It returns when all answer. The
// context bounds starting only.
func StartSigstore(ctx context.Context, tools, dir string) (s *Sigstore, err error) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	s = &Sigstore{tools: tools, dir: dir}
	defer func() {
		if err != nil {
			s.Close()
			err = fmt.Errorf("start sigstore: %w", err)
		}
	}()
	if s.OIDC, err = NewOIDC(); err != nil {
		return nil, err
	}
	if err = errors.Join(s.startFulcio(), s.startRekor(), s.startStamper()); err != nil {
		return nil, err
	}
	for _, address := range []string{s.fulcio + "/api/v1/rootCert", s.rekor + "/healthz", s.stamper + "/ping"} {
		if _, err = answer(ctx, address); err != nil {
			return nil, err
		}
	}
	return s, s.configure(ctx)
}

// Close kills every server.
func (s *Sigstore) Close() {
	for _, p := range s.processes {
		_ = p.Process.Kill() // it may have ended by itself
		_ = p.Wait()         // reports the kill
	}
	s.processes = nil
	if s.OIDC != nil {
		s.OIDC.Close()
		s.OIDC = nil
	}
}

// URLs lists where the servers answered.
func (s *Sigstore) URLs() []string { return []string{s.fulcio, s.rekor, s.stamper} }

// TrustedRoot and SigningConfig name the files that verifying and signing with these servers takes. ClockRoot is a
// trusted root without the log, for what only the timestamp authority witnessed.
func (s *Sigstore) TrustedRoot() string   { return filepath.Join(s.dir, "trusted_root.json") }
func (s *Sigstore) ClockRoot() string     { return filepath.Join(s.dir, "clock_root.json") }
func (s *Sigstore) SigningConfig() string { return filepath.Join(s.dir, "signing_config.json") }

// PersonArgs are the arguments with which a cosign command signs as the owner of an e-mail address. Version 2 knows no
// Rekor v2, so the timestamp authority is its only witness.
func (s *Sigstore) PersonArgs(tool, email string) ([]string, error) {
	token, err := s.OIDC.Token(email)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(s.dir, "token") // a command line is shown to many
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		return nil, err
	}
	args := []string{"--identity-token=" + file}
	if tool == ToolCosign2 {
		// There is no log of certificates whose promise it could verify.
		args = append(args, "--fulcio-url="+s.fulcio, "--insecure-skip-verify")
	}
	return append(args, s.WitnessArgs(tool)...), nil
}

// WitnessArgs are the arguments with which a cosign command lets the servers witness a signature.
func (s *Sigstore) WitnessArgs(tool string) []string {
	if tool == ToolCosign2 {
		return []string{"--tlog-upload=false", "--timestamp-server-url=" + s.stamper + "/api/v1/timestamp"}
	}
	return []string{"--signing-config=" + s.SigningConfig(), "--trusted-root=" + s.TrustedRoot()}
}

// configure asks the servers for their certificates, and lets cosign write what clients need.
func (s *Sigstore) configure(ctx context.Context) error {
	for file, address := range map[string]string{"fulcio.pem": s.fulcio + "/api/v1/rootCert", "tsa.pem": s.stamper + "/api/v1/timestamp/certchain"} {
		body, err := answer(ctx, address)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(s.dir, file), body, 0o600); err != nil {
			return err
		}
	}
	const since, service = "2020-01-01T00:00:00Z", ",start-time=2020-01-01T00:00:00Z,operator=testenv"
	clock := []string{"trusted-root", "create",
		"--fulcio=url=" + s.fulcio + ",certificate-chain=" + filepath.Join(s.dir, "fulcio.pem"),
		"--tsa=url=" + s.stamper + "/api/v1/timestamp,certificate-chain=" + filepath.Join(s.dir, "tsa.pem")}
	root := append(slices.Clone(clock), "--out="+s.TrustedRoot(),
		"--rekor=url="+s.rekor+",public-key="+filepath.Join(s.dir, "rekor.pub")+",start-time="+since+",origin=127.0.0.1")
	signing := []string{"signing-config", "create", "--out=" + s.SigningConfig(),
		"--fulcio=url=" + s.fulcio + ",api-version=1" + service, "--rekor=url=" + s.rekor + ",api-version=2" + service, "--rekor-config=ANY",
		"--oidc-provider=url=" + s.OIDC.URL() + ",api-version=1" + service, "--tsa=url=" + s.stamper + "/api/v1/timestamp,api-version=1" + service, "--tsa-config=ANY"}
	for _, args := range [][]string{root, append(clock, "--out="+s.ClockRoot()), signing} {
		if err := RunCosign(ctx, filepath.Join(s.tools, ToolCosign3), s.dir, args...); err != nil {
			return err
		}
	}
	return nil
}

// RunCosign runs a cosign command in a directory that is also its home, so that it finds no trust material, no key and
// no password of whoever runs the test. Keys it makes have the password of a test.
func RunCosign(ctx context.Context, command, dir string, args ...string) error {
	c := exec.CommandContext(ctx, command, args...)
	c.Dir = dir
	c.Env = []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH"), "COSIGN_PASSWORD=throwaway", "COSIGN_EXPERIMENTAL=1"}
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Run(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", filepath.Base(command), strings.Join(args, " "), err, out.Bytes())
	}
	return nil
}
