package embedded

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// secretLength is the shortest secret that is accepted from disk; rand.Text gives 26 characters.
const secretLength = 26

// loadSecret reads the secret that signs upload sessions, or makes one at the first start. It is complete
// under its name or not there at all: a crash while writing leaves only a temporary file.
func loadSecret(path string) (string, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makeSecret(path)
	}
	if err != nil {
		return "", err
	}
	secret := strings.TrimSpace(string(b))
	if len(secret) < secretLength {
		return "", fmt.Errorf("%s is too short for a secret: delete it to make a new one", path)
	}
	return secret, nil
}

func makeSecret(path string) (string, error) {
	secret := rand.Text()
	f, err := os.CreateTemp(filepath.Dir(path), ".secret-") // readable by its owner only
	if err != nil {
		return "", err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(secret + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", err
	}
	return secret, os.Rename(f.Name(), path)
}
