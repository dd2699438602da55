package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/registry/embedded"
)

// embeddedListen is the key of the address of an embedded registry.
const embeddedListen = "registries." + config.LocalRegistry + ".embedded.listen"

// openEmbedded serves the local registry from this process when it is configured so. A command that only
// looks goes on when the address is in use: then the daemon serves it.
func (l *Line) openEmbedded(local config.Registry, onlyLooks bool) error {
	if local.Embedded == (config.Embedded{}) {
		return nil
	}
	listener, err := net.Listen("tcp", local.Embedded.Listen)
	if errors.Is(err, syscall.EADDRINUSE) && onlyLooks {
		return nil
	}
	if err != nil {
		return &listenError{embeddedListen, err}
	}
	registry, err := embedded.New(local.Embedded.Dir)
	if err != nil {
		listener.Close()
		return fmt.Errorf("embedded registry: %w", err)
	}
	// Its log says only that distribution wrote a header twice.
	server := &http.Server{Handler: registry, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			l.log.Error("embedded registry", keyError, err)
		}
	}()
	l.onClose(func(ctx context.Context) error {
		err := server.Shutdown(ctx)
		<-done
		return errors.Join(err, registry.Close())
	})
	return nil
}
