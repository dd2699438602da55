package daemon

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/mirror"
)

func TestOpen_NamesTheSecretThatCannotBeRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte("version: 1\nsite: berlin\ngit: {url: \"https://git.example.org/fleet.git\"}\nregistries:\n"+
		"  local: {host: \"registry.example.org:5000\", auth: {username: u, password: {env: POUNDLOCK_TEST_ABSENT}}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(file, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), c, Options{Log: slog.New(slog.DiscardHandler), Now: time.Now, Temporary: true})
	var problems mirror.Problems
	if !errors.As(err, &problems) || !strings.Contains(err.Error(), "error[CFG017]: registries.local.auth.password: secret: environment variable POUNDLOCK_TEST_ABSENT is not set") ||
		!strings.Contains(err.Error(), "config.yaml:5:82") {
		t.Errorf("got %v", err)
	}
}
