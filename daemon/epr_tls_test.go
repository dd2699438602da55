package daemon

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/mirror"
)

// writePair writes a certificate of a name and its key.
func writePair(t *testing.T, files config.ServerTLS, name string) {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	leaf := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der := must(x509.CreateCertificate(rand.Reader, leaf, leaf, key.Public(), key))(t)
	text := must(x509.MarshalPKCS8PrivateKey(key))(t)
	for file, block := range map[string]*pem.Block{files.CertFile: {Type: "CERTIFICATE", Bytes: der}, files.KeyFile: {Type: "PRIVATE KEY", Bytes: text}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCertificate_ARenewedOneIsShownAndABrokenOneIsNot(t *testing.T) {
	dir := t.TempDir()
	files := config.ServerTLS{CertFile: filepath.Join(dir, "c.pem"), KeyFile: filepath.Join(dir, "k.pem")}
	writePair(t, files, "first")
	var c config.Config
	c.EPR.TLS = files
	shown := must(certificateOf(c))(t)
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	name := func() string {
		shown.looked = time.Time{} // the files may be looked at again
		pair := must(shown.get(log))(t)
		return must(x509.ParseCertificate(pair.Certificate[0]))(t).Subject.CommonName
	}
	for _, step := range []struct {
		name string
		do   func()
		want string
	}{
		{"nothing changed", func() {}, "first"},
		{"half written", func() {
			if err := os.WriteFile(files.CertFile, []byte("-----BEGIN"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "first"},
		{"gone", func() {
			if err := os.Remove(files.KeyFile); err != nil {
				t.Fatal(err)
			}
		}, "first"},
		{"renewed", func() { writePair(t, files, "second") }, "second"},
	} {
		if step.do(); name() != step.want {
			t.Errorf("%s: %s is shown, want %s", step.name, name(), step.want)
		}
	}
	if err := os.WriteFile(files.CertFile, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := certificateOf(c); err == nil {
		t.Error("an empty certificate is one at the start")
	}
}

func TestOutlet_SpeaksTLS(t *testing.T) {
	s := newShop(t)
	dir := t.TempDir()
	c := s.line.config
	c.EPR.Listen, c.EPR.TLS = "127.0.0.1:0", config.ServerTLS{CertFile: filepath.Join(dir, "c.pem"), KeyFile: filepath.Join(dir, "k.pem")}
	writePair(t, c.EPR.TLS, "shown")
	if err := s.outlet.change(c, time.Second); err != nil {
		t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", s.outlet.addresses()["127.0.0.1:0"], &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if state := conn.ConnectionState(); state.PeerCertificates[0].Subject.CommonName != "shown" || state.NegotiatedProtocol != "h2" {
		t.Errorf("%s is shown, over %q", state.PeerCertificates[0].Subject.CommonName, state.NegotiatedProtocol)
	}
}

func TestOutlet_RunsOnARegistryAlone(t *testing.T) {
	s := newShop(t)
	c := s.line.config
	c.EPR.Ports = nil
	began := make(chan map[string]string, 1)
	o := Outlet{Options: Options{Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Now: s.clock, Version: "test"},
		Load: func() (config.Config, error) { return c, nil }, Began: func(at map[string]string) { began <- at }}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- o.Run(ctx) }()
	at := (<-began)["127.0.0.1:0"]
	conn := must(net.Dial("tcp", at))(t)
	conn.Close()
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	c.EPR.Listen = ""
	if err := o.Run(t.Context()); err == nil {
		t.Error("it runs without an address")
	}
}

// What cannot be put in force while the daemon serves is refused before: a line that cannot listen ends the daemon.
func TestCheckOutlet_AnAddressThatIsHeldByItself(t *testing.T) {
	held := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	defer held.Close()
	at := held.Addr().String()
	_, port, _ := net.SplitHostPort(at)
	dir := t.TempDir()
	pair := config.ServerTLS{CertFile: filepath.Join(dir, "c.pem"), KeyFile: filepath.Join(dir, "k.pem")}
	writePair(t, pair, "first")
	for _, tt := range []struct {
		name    string
		next    config.EPR
		refused bool
	}{
		{"as it is", config.EPR{Listen: at}, false},
		{"by another key", config.EPR{Ports: map[string]string{"elastic/production": at}}, false},
		{"with TLS", config.EPR{Listen: at, TLS: pair}, true},
		{"at every address of the machine", config.EPR{Listen: "0.0.0.0:" + port}, true},
		{"elsewhere", config.EPR{Listen: "127.0.0.1:0", TLS: pair}, false},
		{"nowhere", config.EPR{}, false},
	} {
		err := checkOutlet(config.Config{EPR: tt.next}, config.Config{EPR: config.EPR{Listen: at}})
		if refused := errors.As(err, new(mirror.Problems)); refused != tt.refused || !refused && err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
