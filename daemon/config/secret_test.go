package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.yaml.in/yaml/v4"
)

func TestSecret_SaysWhyItCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/good", "hunter2\r\n")
	put(t, dir+"/empty", "")
	put(t, dir+"/blank", " \n")
	put(t, dir+"/large", strings.Repeat("hunter2", maxSecret))
	put(t, dir+"/sub/x", "x")
	if err := syscall.Mkfifo(dir+"/pipe", 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("POUNDLOCK_TEST_GOOD", "hunter2")
	t.Setenv("POUNDLOCK_TEST_EMPTY", "")
	for _, tt := range []struct {
		name        string
		secret      Secret
		credentials string
		want        string // of the error; "" where the secret can be read
	}{
		{name: "file", secret: Secret{File: dir + "/good"}},
		{name: "variable", secret: Secret{Env: "POUNDLOCK_TEST_GOOD"}},
		{name: "credential", secret: Secret{Credential: "good"}, credentials: dir},
		{name: "no file", secret: Secret{File: dir + "/none"}, want: "there is no file " + dir + "/none"},
		{name: "empty file, as one that is being written", secret: Secret{File: dir + "/empty"}, want: "is empty"},
		{name: "blank file", secret: Secret{File: dir + "/blank"}, want: "is empty"},
		{name: "large file", secret: Secret{File: dir + "/large"}, want: "is larger than 64 KiB"},
		{name: "endless file", secret: Secret{File: "/dev/zero"}, want: "is a pipe or a device"},
		{name: "a pipe that nobody writes into", secret: Secret{File: dir + "/pipe"}, want: "is a pipe or a device"},
		{name: "directory", secret: Secret{File: dir + "/sub"}, want: "is a directory"},
		{name: "below a file", secret: Secret{File: dir + "/good/x"}, want: "cannot be read"},
		{name: "variable not set", secret: Secret{Env: "POUNDLOCK_TEST_ABSENT"}, want: "environment variable POUNDLOCK_TEST_ABSENT is not set"},
		{name: "variable empty", secret: Secret{Env: "POUNDLOCK_TEST_EMPTY"}, want: "environment variable POUNDLOCK_TEST_EMPTY is empty"},
		{name: "secret itself as the variable", secret: Secret{Env: "hunter2"}, want: "the environment variable is not set"},
		{name: "secret itself as the variable, odd", secret: Secret{Env: "hunter2!"}, want: "env is not the name of a variable"},
		{name: "no credentials", secret: Secret{Credential: "good"}, want: "CREDENTIALS_DIRECTORY is not set"},
		{name: "no such credential", secret: Secret{Credential: "none"}, credentials: dir, want: "there is no credential none"},
		{name: "credential with a slash", secret: Secret{Credential: "sub/x"}, credentials: dir, want: "not the name of a credential"},
		{name: "credential above", secret: Secret{Credential: ".."}, credentials: dir, want: "not the name of a credential"},
		{name: "two ways", secret: Secret{File: dir + "/good", Env: "POUNDLOCK_TEST_GOOD"}, want: "more than one of file, env and credential"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv(credentialsDirectory, tt.credentials)
			got, err := tt.secret.Read()
			if tt.want == "" {
				if err != nil || got.Reveal() != "hunter2" {
					t.Errorf("got %q, %v", got.Reveal(), err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %q, %v; want an error with %q", got.Reveal(), err, tt.want)
			}
			if e := new(SecretError); err != nil {
				e = err.(*SecretError)
				if e.Fix == "" {
					t.Error("there is no fix")
				}
			}
		})
	}
	if got, err := (Secret{}).Read(); got != "" || err != nil {
		t.Errorf("no reference: %q, %v", got.Reveal(), err)
	}
}

// Kubernetes swaps a symbolic link when a secret is rotated.
func TestSecret_FollowsASwappedLink(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/..one/password", "first")
	put(t, dir+"/..two/password", "second")
	symlink(t, "..one", dir+"/..data")
	symlink(t, "..data/password", dir+"/password")
	s := Secret{File: dir + "/password"}
	if got, err := s.Read(); err != nil || got.Reveal() != "first" {
		t.Errorf("got %q, %v", got.Reveal(), err)
	}
	symlink(t, "..two", dir+"/..data_tmp")
	if err := os.Rename(dir+"/..data_tmp", dir+"/..data"); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Read(); err != nil || got.Reveal() != "second" {
		t.Errorf("got %q, %v", got.Reveal(), err)
	}
}

func TestSecret_EveryFormShowsTheReference(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	put(t, file, "hunter2")
	s := Secret{File: file}
	value, err := s.Read()
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "reference", s, "value", value)
	inJSON, err := json.Marshal(map[string]any{"reference": s, "value": value})
	if err != nil {
		t.Fatal(err)
	}
	inYAML, err := yaml.Marshal(map[string]any{"reference": s})
	if err != nil {
		t.Fatal(err)
	}
	for form, text := range map[string]string{"%v": fmt.Sprintf("%v %v", s, value), "%+v": fmt.Sprintf("%+v %+v", s, value), "%#v": fmt.Sprintf("%#v %#v", s, value),
		"%s": fmt.Sprintf("%s %s", s, value), "log": log.String(), "JSON": string(inJSON), "YAML": string(inYAML)} {
		if strings.Contains(text, "hunter2") || !strings.Contains(text, file) {
			t.Errorf("%s: got %s, want the reference alone", form, text)
		}
	}
	if want := fmt.Sprintf(`{"reference":{"file":%q},"value":"***"}`, file); string(inJSON) != want {
		t.Errorf("JSON: got %s, want %s", inJSON, want)
	}
}

func TestCheckSecrets_EachIsToldAtItsLine(t *testing.T) {
	t.Setenv(credentialsDirectory, "")
	_, c, err := inLayers(t, strings.Replace(complete, "password: {env: P}", "password: {env: POUNDLOCK_TEST_ABSENT}", 1), nil,
		[]string{"POUNDLOCK_GIT__AUTH__PASSWORD__FILE=/nowhere/password"}, map[string]any{"git.signing.key.credential": "commit-key"})
	if err != nil {
		t.Fatal(err)
	}
	problems := c.CheckSecrets()
	text := problems.Error()
	for _, want := range []string{
		"error[CFG017]: git.auth.password: secret: there is no file /nowhere/password\n  --> env POUNDLOCK_GIT__AUTH__PASSWORD__FILE\n fix: create it",
		"error[CFG017]: git.signing.key: secret: there are no credentials: CREDENTIALS_DIRECTORY is not set\n  --> flag --set git.signing.key.credential\n fix: add LoadCredential=commit-key:",
		"config.yaml:11:41\n 11 |     auth: {username: ***, password: {env: ***}}\n", "12 problems",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in:\n%s", want, text)
		}
	}
}

// A path is told, so that one sees what to create; what may be the secret itself is not.
func TestCheckSecrets_NamesOnlyWhatIsCertainlyAPath(t *testing.T) {
	for _, tt := range []struct{ file, want string }{ // D stands for the folder of the configuration
		{"D/nosuch", "D/nosuch"}, {`"D/nosuch"`, "D/nosuch"}, {"'D/sub/nosuch'", "D/sub/nosuch"}, {"/nowhere/at/all", "/nowhere/at/all"},
		{"hunter2", "D/***"}, {"./hunter2", "D/***"}, {"hunter2/c4n4ry", "D/***"}, {"sub/nosuch", "D/sub/nosuch"}, {"secrets/password", "D/secrets/password"}, {"pa/ssw0rd-hunter2", "D/***"},
		{"/hunter2", "***"}, {`"/hunter2 c4n4ry/x/y"`, "***"}, {"correct hunter2 battery", "D/***"}, {"D/hunter2 x", "D/***"},
	} {
		main := strings.Replace(complete, "password: {file: /run/p}", "password: {file: FILE}", 1)
		dir, _, err := inLayers(t, main, nil, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		put(t, dir+"/sub/x", "x")
		put(t, dir+"/config.yaml", strings.Replace(main, "FILE", strings.ReplaceAll(tt.file, "D", dir), 1))
		c, err := Load(dir+"/config.yaml", nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		text := c.CheckSecrets().Error()
		want := "git.auth.password: secret: there is no file " + strings.ReplaceAll(tt.want, "D", dir) + "\n"
		if !strings.Contains(text, want) || strings.Contains(text, "hunter2") || strings.Contains(text, "c4n4ry") {
			t.Errorf("%s: want %q in:\n%s", tt.file, want, text)
		}
	}
}

// Somebody may write the secret itself where the name of its file belongs.
func TestCheckSecrets_ABareWordIsNotShown(t *testing.T) {
	dir, c, err := inLayers(t, strings.Replace(complete, "password: {file: /run/p}", "password: {file: hunter2}", 1), nil, nil, map[string]any{"git.auth.token.file": "hunter2"})
	if err != nil {
		t.Fatal(err)
	}
	text := c.CheckSecrets().Error()
	if strings.Contains(text, "hunter2") || !strings.Contains(text, "git.auth.password: secret: there is no file "+dir+"/***\n") || !strings.Contains(text, "--> flag --set git.auth.token.file") {
		t.Errorf("got:\n%s", text)
	}
}
