package git

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing/transport"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/poundlock/poundlock/internal/file"
)

// sshTimeout bounds connecting and the handshake of one ssh session.
const sshTimeout = 30 * time.Second

// sshDialer runs Git's two services over ssh. The host key is always checked against a known_hosts file;
// there is no agent, no ~/.ssh/config and no way to accept a key on first use.
type sshDialer struct {
	auth       Auth
	user       string
	addr, path string
}

// maxKnownHosts is the largest file of host keys in bytes.
const maxKnownHosts = 4 << 20

func newSSHDialer(auth Auth, user, host, port, path string) (dialer, error) {
	switch {
	case auth.PrivateKey == nil:
		return nil, permanentError("Git over ssh needs a private key: set git.auth.sshKey")
	case auth.KnownHosts == "":
		return nil, permanentError("Git over ssh needs a known_hosts file: set git.auth.knownHosts")
	}
	if _, err := file.Read(auth.KnownHosts, maxKnownHosts); err != nil { // the library would wait for a pipe
		return nil, fmt.Errorf("known_hosts file of git.auth.knownHosts: %w", err)
	}
	if user == "" {
		user = auth.Username
	}
	if user == "" {
		user = "git"
	}
	return sshDialer{auth: auth, user: user, addr: net.JoinHostPort(host, port), path: path}, nil
}

func (d sshDialer) upload(ctx context.Context) (transport.UploadPackSession, error) {
	return d.run(ctx, transport.UploadPackServiceName)
}

func (d sshDialer) receive(ctx context.Context) (transport.ReceivePackSession, []string, error) {
	s, err := d.run(ctx, transport.ReceivePackServiceName)
	return s, nil, err
}

func (d sshDialer) run(ctx context.Context, service string) (*stream, error) {
	config, err := d.config(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := (&net.Dialer{Timeout: sshTimeout}).DialContext(ctx, "tcp", d.addr)
	if err != nil {
		return nil, err
	}
	// Neither the handshake nor a session of the ssh library takes a context: closing the connection ends
	// both, whatever they wait for.
	handshake := time.AfterFunc(sshTimeout, func() { conn.Close() })
	unwatch := context.AfterFunc(ctx, func() { conn.Close() })
	c, channels, requests, err := ssh.NewClientConn(conn, d.addr, config)
	handshake.Stop()
	if err != nil {
		unwatch()
		conn.Close()
		return nil, d.explain(err)
	}
	client := ssh.NewClient(c, channels, requests)
	s := &stream{said: &said{}, receive: service == transport.ReceivePackServiceName}
	s.stop = func() error {
		unwatch()
		client.Close()
		return nil
	}
	if err := s.start(client, service+" "+quote(d.path)); err != nil {
		_ = s.stop()
		return nil, err
	}
	return s, nil
}

func (s *stream) start(client *ssh.Client, command string) error {
	session, err := client.NewSession()
	if err != nil {
		return err
	}
	session.Stderr = s.said
	if s.in, err = session.StdinPipe(); err != nil {
		return err
	}
	if s.out, err = session.StdoutPipe(); err != nil {
		return err
	}
	return session.Start(command)
}

func (d sshDialer) config(ctx context.Context) (*ssh.ClientConfig, error) {
	pem, err := d.auth.PrivateKey(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the ssh key: %w", err)
	}
	signer, err := parseKey(pem)
	if err != nil {
		return nil, err
	}
	check, err := knownhosts.New(d.auth.KnownHosts)
	if err != nil {
		return nil, permanentError("known_hosts file of git.auth.knownHosts cannot be read: " + reason(err.Error(), nil))
	}
	return &ssh.ClientConfig{User: d.user, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyCallback: check, HostKeyAlgorithms: d.algorithms(check)}, nil
}

// parseKey reads a private key. The library's error is not passed on where it could quote the key.
func parseKey(pem []byte) (ssh.Signer, error) {
	signer, err := ssh.ParsePrivateKey(pem)
	var locked *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &locked):
		return nil, permanentError("the ssh key has a passphrase: use one without")
	case err != nil:
		return nil, permanentError("the ssh key cannot be read: want an OpenSSH or PEM private key")
	}
	return signer, nil
}

// algorithms lists the kinds of host key that known_hosts has for this host. Without it the server may
// choose a kind that is not listed, and a good host looks like a bad one.
func (d sshDialer) algorithms(check ssh.HostKeyCallback) []string {
	var unknown *knownhosts.KeyError
	if !errors.As(check(d.addr, &net.TCPAddr{IP: net.IPv4zero}, noKey{}), &unknown) {
		return nil
	}
	var names []string
	for _, known := range unknown.Want {
		if t := known.Key.Type(); t == ssh.KeyAlgoRSA {
			names = append(names, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
		} else {
			names = append(names, t)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// noKey is a host key that no file lists.
type noKey struct{}

func (noKey) Type() string                        { return "none" }
func (noKey) Marshal() []byte                     { return []byte("none") }
func (noKey) Verify([]byte, *ssh.Signature) error { return errors.New("no key") }

func (d sshDialer) explain(err error) error {
	var key *knownhosts.KeyError
	var revoked *knownhosts.RevokedError
	switch {
	case errors.As(err, &revoked):
		return &lastingError{"the host key of " + d.addr + " is revoked in the known_hosts file", ErrHostKey}
	case errors.As(err, &key) && len(key.Want) == 0:
		return &lastingError{"the host " + d.addr + " is not in the known_hosts file: add its key there", ErrHostKey}
	case errors.As(err, &key):
		return &lastingError{"the host key of " + d.addr + " is not the one in the known_hosts file: someone may be in between", ErrHostKey}
	case strings.Contains(err.Error(), "unable to authenticate"):
		return transport.ErrAuthenticationRequired
	}
	return err
}

// quote makes path one word for the shell at the other end.
func quote(path string) string {
	return "'" + strings.NewReplacer("'", `'\''`, "!", `'\!'`).Replace(path) + "'"
}
