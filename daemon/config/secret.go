package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"github.com/poundlock/poundlock/internal/file"
	"github.com/poundlock/poundlock/internal/wire"
)

// Secret refers to a secret that lies elsewhere: in a file, in an environment variable or in a credential of
// systemd; exactly one of them. The configuration never carries one in clear.
type Secret struct {
	File       string `yaml:"file" jsonschema:"oneof_required=file,example=/run/secrets/password" jsonschema_description:"File that holds the secret; a final line end is left out."`
	Env        string `yaml:"env" jsonschema:"oneof_required=env,example=REGISTRY_PASSWORD" jsonschema_description:"Environment variable that holds the secret."`
	Credential string `yaml:"credential" jsonschema:"oneof_required=credential,example=registry-password" jsonschema_description:"Credential of systemd that holds the secret: the name given to LoadCredential= or SetCredentialEncrypted= in the unit."`
}

// maxSecret is the largest secret in bytes; an SSH or OpenPGP key fits easily.
const maxSecret = 64 << 10

// credentialsDirectory is the variable in which systemd names the folder of a service's credentials.
const credentialsDirectory = "CREDENTIALS_DIRECTORY"

// IsZero says whether nothing is referred to.
func (s Secret) IsZero() bool { return s == Secret{} }

// SecretForm says how a reference is written.
func (Secret) SecretForm() string { return "{file: /path}, {env: NAME} or {credential: name}" }

// String names the reference, never the secret.
func (s Secret) String() string {
	for key, value := range s.keys() {
		return key + " " + value
	}
	return "none"
}

// GoString names the reference, as String does.
func (s Secret) GoString() string { return "config.Secret(" + s.String() + ")" }

// LogValue names the reference, as String does.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalJSON gives the reference as the file has it.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(s.keys()) }

// MarshalYAML gives the reference as the file has it.
func (s Secret) MarshalYAML() (any, error) { return s.keys(), nil }

func (s Secret) keys() map[string]string {
	keys := map[string]string{}
	for key, value := range map[string]string{"file": s.File, "env": s.Env, "credential": s.Credential} {
		if value != "" {
			keys[key] = value
		}
	}
	return keys
}

// SecretError says why a secret is not to be had, and what to do about it. It never holds the secret.
type SecretError struct {
	what string
	Fix  string // what to do about it
	err  error
}

// Error says what is wrong.
func (e *SecretError) Error() string { return "secret: " + e.what }

// Unwrap gives the error of the system, when there is one.
func (e *SecretError) Unwrap() error { return e.err }

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// check says what is wrong with the reference itself; nil when nothing is.
func (s Secret) check() *SecretError {
	switch keys := s.keys(); {
	case len(keys) > 1:
		return &SecretError{what: "more than one of file, env and credential is given", Fix: "keep one of them"}
	case s.Env != "" && !variableName.MatchString(s.Env):
		return &SecretError{what: "env is not the name of a variable", Fix: "write a name of letters, digits and underscores; never the secret itself"}
	case s.Credential != "" && (s.Credential != filepath.Base(s.Credential) || !filepath.IsLocal(s.Credential)):
		return &SecretError{what: "credential is not the name of a credential", Fix: "write the name as in LoadCredential=name:/path, without a slash"}
	}
	return nil
}

// Read gives the secret as it is now, without a final line end; it is read at each use, so that a rotated
// file counts at once. The zero reference gives the empty secret; an empty file or variable is an error, since
// it may be one that is being written.
func (s Secret) Read() (wire.Secret, error) {
	if s.IsZero() {
		return "", nil
	}
	if err := s.check(); err != nil {
		return "", err
	}
	text, err := s.text()
	if err != nil {
		return "", err
	}
	v := wire.Secret(strings.TrimRight(text, "\r\n"))
	if strings.TrimSpace(v.Reveal()) == "" {
		return "", &SecretError{what: s.thing() + " is empty", Fix: "write the secret into it"}
	}
	wire.Conceal(v)
	return v, nil
}

func (s Secret) text() (string, error) {
	if s.Env != "" {
		v, ok := os.LookupEnv(s.Env)
		if !ok {
			return "", &SecretError{what: s.thing() + " is not set", Fix: "set it for this process, or refer to a file"}
		}
		return v, nil
	}
	name, failed := s.path()
	if failed != nil {
		return "", failed
	}
	b, err := file.Read(name, maxSecret)
	if err != nil {
		return "", s.unreadable(err)
	}
	return string(b), nil
}

// thing names what the reference refers to. A variable that is not spelled as variables are is not named: it
// may be the secret itself.
func (s Secret) thing() string {
	switch {
	case s.Env != "" && s.Env == strings.ToUpper(s.Env):
		return "environment variable " + s.Env
	case s.Env != "":
		return "the environment variable"
	case s.Credential != "":
		return "credential " + s.Credential
	}
	return "file " + s.File
}

// path gives the file in which the secret lies; "" when it lies in a variable or nowhere.
func (s Secret) path() (string, *SecretError) {
	if s.Credential == "" {
		return s.File, nil
	}
	dir := os.Getenv(credentialsDirectory)
	if dir == "" {
		return "", &SecretError{what: "there are no credentials: " + credentialsDirectory + " is not set",
			Fix: fmt.Sprintf("add LoadCredential=%s:/path to the systemd unit; without systemd refer to a file", s.Credential)}
	}
	return filepath.Join(dir, s.Credential), nil
}

// unreadable tells why a file of a secret could not be read.
func (s Secret) unreadable(err error) *SecretError {
	e := &SecretError{what: fmt.Sprintf("%s cannot be read", s.thing()), Fix: "see the file and the disk it lies on", err: err}
	switch {
	case errors.Is(err, fs.ErrNotExist) && s.Credential != "":
		e.what, e.Fix = fmt.Sprintf("there is no %s", s.thing()), fmt.Sprintf("add LoadCredential=%s:/path to the systemd unit", s.Credential)
	case errors.Is(err, fs.ErrNotExist):
		e.what, e.Fix = fmt.Sprintf("there is no %s", s.thing()), "create it, or correct the path"
	case errors.Is(err, fs.ErrPermission):
		e.what, e.Fix = fmt.Sprintf("this process may not read %s", s.thing()), fmt.Sprintf("make it readable for user id %d, which Poundlock runs as", os.Geteuid())
	case errors.Is(err, syscall.EISDIR):
		e.what, e.Fix = fmt.Sprintf("%s is a directory", s.thing()), "name the file inside it"
	case errors.Is(err, file.ErrNotRegular):
		e.what, e.Fix = fmt.Sprintf("%s is a pipe or a device", s.thing()), "put the secret into a file of its own and name that"
	case errors.As(err, new(*file.TooLargeError)):
		e.what, e.Fix = fmt.Sprintf("%s is larger than %d KiB", s.thing(), maxSecret>>10), "see whether this is the right file"
	}
	return e
}
