package daemon

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/file"
	"github.com/poundlock/poundlock/internal/mirror"
)

// lookAtFiles is how often the files of a certificate are looked at while somebody connects.
const lookAtFiles = 5 * time.Second

// certificate is what the servers of channels show. A renewed one is shown as soon as its files are whole: nobody is to
// restart anything every three months.
type certificate struct {
	certFile, keyFile string

	mu     sync.Mutex
	shown  *tls.Certificate
	files  string // how the files were when they were read last
	looked time.Time
}

// certificateOf reads what epr.tls names; nil where it names nothing.
func certificateOf(c config.Config) (*certificate, error) {
	t := c.EPR.TLS
	if t.CertFile == "" {
		return nil, nil
	}
	made := &certificate{certFile: t.CertFile, keyFile: t.KeyFile, looked: time.Now()}
	var err error
	if made.files, err = made.look(); err == nil {
		made.shown, err = made.read()
	}
	if err != nil {
		return nil, mirror.Problems{{Code: "EPR016", Path: "epr.tls", Where: c.PlaceOf("epr.tls.certFile"), What: "epr.tls: " + mirror.Clean(err.Error()),
			Fix: "name a PEM file with the certificate and its chain, and one with its private key, both readable for the user of poundlock"}}
	}
	return made, nil
}

// get gives what is to be shown now. Files that are half written, or do not fit together, leave what was shown before.
func (c *certificate) get(log *slog.Logger) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now() // of the file system and the network, not of the line
	if now.Sub(c.looked) < lookAtFiles {
		return c.shown, nil
	}
	c.looked = now
	files, err := c.look()
	if err == nil && files == c.files {
		return c.shown, nil
	}
	var next *tls.Certificate
	if err == nil {
		next, err = c.read()
	}
	if err != nil {
		if files != c.files {
			log.Warn("a changed certificate cannot be read; the one before is shown", keyCode, "EPR016", keyError, mirror.Clean(err.Error()))
		}
		c.files = files
		return c.shown, nil
	}
	c.shown, c.files = next, files
	log.Info("a renewed certificate is shown", keyAddress, "epr")
	return c.shown, nil
}

// look says how the files are, as far as they tell without being read.
func (c *certificate) look() (string, error) {
	text := ""
	for _, name := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(name)
		if err != nil {
			return "", err
		}
		text += fmt.Sprintln(info.Size(), info.ModTime().UnixNano())
	}
	return text, nil
}

func (c *certificate) read() (*tls.Certificate, error) {
	chain, err := file.Read(c.certFile, mirror.MaxDocument)
	if err != nil {
		return nil, err
	}
	key, err := file.Read(c.keyFile, mirror.MaxDocument)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, errors.New("certFile and keyFile are no certificate and its key: " + err.Error())
	}
	return &pair, nil
}
