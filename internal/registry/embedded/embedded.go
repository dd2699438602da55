// Package embedded serves a persistent OCI registry from this process: CNCF distribution on a directory.
//
// It promises that what was answered with success survives a kill, that upload sessions can go on after a
// restart on the same directory (their signing secret is kept there), and that it writes no log. It
// accepts indexes whose children are not there and deletes. Disk is freed only by distribution's own
// garbage collection. Listening, TLS and authentication are left to the caller.
package embedded

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	"github.com/distribution/distribution/v3/registry/storage"
	"github.com/distribution/distribution/v3/registry/storage/driver/factory"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem" // the one storage we use
	"github.com/sirupsen/logrus"
)

const (
	// uploadAge is how long an unfinished upload may be resumed; older ones are purged by New.
	uploadAge = 24 * time.Hour
	// maxRepositories is the page size of the catalog.
	maxRepositories = 1000
)

// Registry is a running registry; serve it as an http.Handler.
type Registry struct {
	app    *handlers.App
	closed atomic.Bool
}

// quiet silences the process-wide logger that distribution writes to whatever level is configured.
var quiet = sync.OnceFunc(func() {
	logrus.SetOutput(io.Discard)
	logrus.SetLevel(logrus.PanicLevel)
})

// New opens the registry that lies in dir, or an empty one. Only one process may have dir open.
func New(dir string) (*Registry, error) {
	quiet()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("embedded registry: %w", err)
	}
	secret, err := loadSecret(filepath.Join(dir, "http.secret"))
	if err != nil {
		return nil, fmt.Errorf("embedded registry: %w", err)
	}
	if err := purge(dir); err != nil {
		return nil, fmt.Errorf("embedded registry: purge uploads: %w", err)
	}
	return &Registry{app: handlers.NewApp(context.Background(), settings(dir, secret))}, nil
}

// ServeHTTP answers the registry protocol, below /v2/.
func (r *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if r.closed.Load() {
		http.Error(w, "registry is closed", http.StatusServiceUnavailable)
		return
	}
	r.app.ServeHTTP(w, req)
}

// Close answers new requests with 503. Stop the server that serves the registry first: requests that run
// are not waited for.
func (r *Registry) Close() error {
	if r.closed.Swap(true) {
		return nil
	}
	return r.app.Shutdown()
}

func settings(dir, secret string) *configuration.Configuration {
	c := &configuration.Configuration{
		Storage: configuration.Storage{
			"filesystem":  configuration.Parameters{"rootdirectory": dir},
			"delete":      configuration.Parameters{"enabled": true},
			"maintenance": configuration.Parameters{"uploadpurging": map[any]any{"enabled": false}}, // New purges, without its hour of jitter
		},
		Catalog:    configuration.Catalog{MaxEntries: maxRepositories},
		Validation: configuration.Validation{Disabled: true}, // an index may be copied without all its platforms
	}
	c.HTTP.Secret = secret
	c.HTTP.RelativeURLs = true // the registry may stand behind a proxy under another name
	c.Log.AccessLog.Disabled = true
	return c
}

// purge deletes unfinished uploads that began more than uploadAge ago: no API lists sessions, so those of
// a client that died without a journal would stay for ever.
func purge(dir string) error {
	ctx := context.Background()
	now, err := diskTime(dir)
	if err != nil {
		return err
	}
	driver, err := factory.Create(ctx, "filesystem", configuration.Parameters{"rootdirectory": dir})
	if err != nil {
		return err
	}
	// An upload that cannot be read or deleted is left: it harms nobody and the next start tries again.
	storage.PurgeUploads(ctx, driver, now.Add(-uploadAge), true)
	return nil
}

// diskTime asks the file system that holds dir for the time, by a file that is gone afterwards.
func diskTime(dir string) (time.Time, error) {
	f, err := os.CreateTemp(dir, ".start-")
	if err != nil {
		return time.Time{}, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}
