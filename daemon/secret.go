package daemon

import (
	"fmt"
	"os"
	"strings"

	"github.com/poundlock/poundlock/internal/wire"
)

// Secret refers to a secret that lies elsewhere: in a file or in an environment variable. The
// configuration never carries one in clear.
type Secret struct {
	File string `yaml:"file"`
	Env  string `yaml:"env"`
}

// maxSecret is the largest secret in bytes; an SSH or OpenPGP key fits easily.
const maxSecret = 64 << 10

// IsZero says whether nothing is referred to.
func (s Secret) IsZero() bool { return s == Secret{} }

// String names the reference, never the secret.
func (s Secret) String() string {
	switch {
	case s.File != "":
		return "file " + s.File
	case s.Env != "":
		return "env " + s.Env
	}
	return "none"
}

// Read gives the secret as it is now, without a final line end; it is read at each use, so that a rotated
// file counts at once. The zero reference gives the empty secret.
func (s Secret) Read() (wire.Secret, error) {
	switch {
	case s.File != "" && s.Env != "":
		return "", fmt.Errorf("secret: both file and env are given; keep one")
	case s.Env != "":
		v, ok := os.LookupEnv(s.Env)
		if !ok {
			return "", fmt.Errorf("secret: environment variable %s is not set", s.Env)
		}
		return wire.Secret(v), nil
	case s.File != "":
		info, err := os.Stat(s.File)
		if err != nil {
			return "", fmt.Errorf("secret: %w", err)
		}
		if info.Size() > maxSecret {
			return "", fmt.Errorf("secret: %s is larger than %d KiB", s.File, maxSecret>>10)
		}
		b, err := os.ReadFile(s.File)
		if err != nil {
			return "", fmt.Errorf("secret: %w", err)
		}
		return wire.Secret(strings.TrimRight(string(b), "\r\n")), nil
	}
	return "", nil
}
