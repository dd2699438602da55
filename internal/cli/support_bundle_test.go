package cli

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// unpack gives the files of a bundle, and checks that each is for its owner alone.
func unpack(t *testing.T, packed []byte) map[string]string {
	t.Helper()
	zip, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for archive := tar.NewReader(zip); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		if header.Mode != 0o600 || !strings.HasPrefix(header.Name, "poundlock-support/") || strings.Contains(header.Name, "..") {
			t.Errorf("%s has mode %o", header.Name, header.Mode)
		}
		files[strings.TrimPrefix(header.Name, "poundlock-support/")] = string(body)
	}
}

func bundle(t *testing.T, config string) (files map[string]string, talk string) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "b.tar.gz")
	code, data, talk := command(t, t.Context(), "-c", config, "support-bundle", "--out", out)
	if code != exitOK || data != "" {
		t.Fatalf("exit %d: %s%s", code, data, talk)
	}
	info, err := os.Stat(out)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", info, err)
	}
	packed, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if code, _, again := command(t, t.Context(), "-c", config, "support-bundle", "--out", out); code != exitFailure || !strings.Contains(again, "INI001") {
		t.Errorf("written over: exit %d: %s", code, again)
	}
	return unpack(t, packed), talk
}

func TestSupportBundle_HoldsWhatHelps(t *testing.T) {
	_, config := inWorld(t)
	if code, _, talk := command(t, t.Context(), "-c", config, "sync"); code != exitPartial {
		t.Fatalf("sync: exit %d: %s", code, talk)
	}
	files, talk := bundle(t, config)
	for name, want := range map[string]string{
		"version.json": `"poundlock":`, "config.txt": "git.auth.password", "machine.txt": "state.db", "sets.json": `"ess"`, "entries.json": "signed by vendor",
		"status.json": `"sets"`, "runs.json": `"partial"`, "events.json": `"refused"`, "fleet/head.txt": "\n", "fleet/files.txt": "rendered/demo/", "fleet/desired/policy.yaml": "signers:", "fleet/desired/keys/vendor.pub": "PUBLIC KEY",
	} {
		if !strings.Contains(files[name], want) {
			t.Errorf("%s lacks %q: %.300s", name, want, files[name])
		}
		if !strings.Contains(talk, name) {
			t.Errorf("%s is not listed:\n%s", name, talk)
		}
	}
	if !strings.Contains(talk, "read it before you send it") || files["problems.txt"] != "" {
		t.Errorf("%s\n%s", talk, files["problems.txt"])
	}
}

func TestSupportBundle_WithoutAConfigurationThatCanBeRead(t *testing.T) {
	broken := configure(t, "version: 1\nsite: demo\ngit:\n  url: https://u:bundle-canary-1@git.example/x\n  auth: {password: bundle-canary-2}\n")
	for _, config := range []string{broken, filepath.Join(t.TempDir(), "none.yaml")} {
		files, _ := bundle(t, config)
		if files["problems.txt"] == "" || files["machine.txt"] == "" || files["version.json"] == "" {
			t.Errorf("%s: got %v", config, files)
		}
		noCanary(t, files, "bundle-canary-1", "bundle-canary-2")
	}
}

// noCanary looks for secrets in every file and name, also escaped and as any part of a Base64 text.
func noCanary(t *testing.T, files map[string]string, canaries ...string) {
	t.Helper()
	for _, canary := range canaries {
		forms := []string{canary, url.QueryEscape(canary), fmt.Sprintf("%x", canary)}
		for shift := range 3 {
			text := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + canary))
			forms = append(forms, text[4:len(text)-4])
		}
		for name, body := range files {
			if i := slices.IndexFunc(forms, func(f string) bool { return strings.Contains(name+"\n"+body, f) }); i >= 0 {
				t.Errorf("%s holds the secret %s as %s", name, canary, forms[i])
			}
		}
	}
}

func TestSupportBundle_HoldsNoSecret(t *testing.T) {
	w, config := inWorld(t)
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	secret := func(name, value string) string {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(value+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	t.Setenv("CANARY_TOKEN", "canary-of-env-4711")
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	secret("canary", "canary-of-credential-4711")
	t.Setenv("DOCKER_CONFIG", dir)
	docker := base64.StdEncoding.EncodeToString([]byte("docker:canary-of-docker-4711"))
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(`{"auths":{"k.example":{"auth":"`+docker+`"}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HTTP_PROXY", "http://proxy:canary-of-proxy-4711@127.0.0.1:1")
	t.Setenv("HTTPS_PROXY", "http://canary-of-proxy-user-4711@127.0.0.1:1")
	t.Setenv("NO_PROXY", "127.0.0.1,localhost")
	whole := string(text)
	whole += fmt.Sprintf(`  a: {host: a.example, auth: {username: a, password: {file: %q}}}
  b: {host: b.example, auth: {token: {env: CANARY_TOKEN}}}
  c: {host: c.example, auth: {username: c, password: {credential: canary}}}
  k: {host: k.example, auth: {keychain: true}}
`, secret("file", "canary-of-file-4711"))
	canaries := []string{"canary-of-env-4711", "canary-of-credential-4711", "canary-of-docker-4711", docker, "canary-of-proxy-4711", "canary-of-proxy-user-4711",
		"canary-of-git-user-4711", "canary-of-file-4711", "demo-password"}
	// A fleet repository whose people wrote a secret into it by mistake, which the daemon knows as one.
	if _, err := w.Git.Commit(t.Context(), "oops", map[string]string{"desired/tools.yaml": "version: 1\n# canary-of-file-4711\n# " +
		base64.StdEncoding.EncodeToString([]byte("a:canary-of-file-4711")) + "\nsource: {kind: list, file: tools/images.txt}\nlayout: tag\n"}); err != nil {
		t.Fatal(err)
	}
	inAddress := strings.Replace(whole, "url: http://", "url: http://canary-of-git-user-4711@", 1) // refused, and told of
	if inAddress == whole {
		t.Fatal("the configuration has no address of Git")
	}
	for _, text := range []string{inAddress, whole} {
		config = configure(t, text)
		_, _, synced := command(t, t.Context(), "-c", config, "sync")
		files, said := bundle(t, config)
		if text == whole && (files["events.json"] == "" || files["fleet/desired/tools.yaml"] == "") {
			t.Errorf("nothing happened: %s\n%s", synced, files["problems.txt"])
		}
		files["what the commands said"] = synced + said
		noCanary(t, files, canaries...)
	}
}
