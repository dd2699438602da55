package testenv

import (
	"context"
	"io"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/inmemory" // the storage of newMemory
	"github.com/sirupsen/logrus"
)

// newMemory makes the same registry as internal/registry/embedded, with its content in memory: hundreds of
// small images are then a matter of milliseconds.
func newMemory() *handlers.App {
	logrus.SetOutput(io.Discard) // distribution logs through the process-wide logger, whatever is configured
	c := &configuration.Configuration{
		Storage: configuration.Storage{
			"inmemory":    configuration.Parameters{},
			"delete":      configuration.Parameters{"enabled": true},
			"maintenance": configuration.Parameters{"uploadpurging": map[any]any{"enabled": false}},
		},
		Catalog:    configuration.Catalog{MaxEntries: 1000},
		Validation: configuration.Validation{Disabled: true}, // an index may be pushed without all its platforms
	}
	c.HTTP.Secret = "testenv"
	c.HTTP.RelativeURLs = true
	c.Log.AccessLog.Disabled = true
	return handlers.NewApp(context.Background(), c)
}
