package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// inLayers writes config.yaml and, by name, other files beside it, and loads all.
func inLayers(t *testing.T, main string, others map[string]string, environ []string, flags map[string]any) (string, Config, error) {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{"config.yaml": main}
	for name, text := range others {
		files[name] = text
	}
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := Load(filepath.Join(dir, "config.yaml"), environ, flags)
	return dir, c, err
}

func TestLoad_EachLayerIsOverThoseBefore(t *testing.T) {
	file, dropIn, later := "git: {poll: 1s, url: \"https://git.example.org/fleet.git\"}", map[string]string{"config.d/10-a.yaml": "git: {poll: 2s}\n"}, map[string]string{"config.d/10-a.yaml": "git: {poll: 2s}\n", "config.d/20-b.yaml": "version: 1\ngit: {poll: 3s}\n"}
	environ, flags := []string{"POUNDLOCK_GIT__POLL=4s"}, map[string]any{"git.poll": "5s"}
	for _, tt := range []struct {
		name    string
		git     string
		dropIns map[string]string
		environ []string
		flags   map[string]any
		want    time.Duration
		origin  string
	}{
		{name: "default", git: "git: {url: \"https://git.example.org/fleet.git\"}", want: 30 * time.Second, origin: "default"},
		{name: "file", git: file, want: time.Second, origin: "config.yaml:4:13"},
		{name: "drop-in", git: file, dropIns: dropIn, want: 2 * time.Second, origin: "config.d/10-a.yaml:1:13"},
		{name: "later drop-in", git: file, dropIns: later, want: 3 * time.Second, origin: "config.d/20-b.yaml:2:13"},
		{name: "variable", git: file, dropIns: later, environ: environ, want: 4 * time.Second, origin: "env POUNDLOCK_GIT__POLL"},
		{name: "flag", git: file, dropIns: later, environ: environ, flags: flags, want: 5 * time.Second, origin: "flag --set git.poll"},
		{name: "variable over nothing", git: "git: {url: \"https://git.example.org/fleet.git\"}", environ: environ, want: 4 * time.Second, origin: "env POUNDLOCK_GIT__POLL"},
		{name: "flag over a file", git: file, flags: flags, want: 5 * time.Second, origin: "flag --set git.poll"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.Replace(minimal, "git: {url: \"https://git.example.org/fleet.git\"}", tt.git, 1)
			dir, c, err := inLayers(t, text, tt.dropIns, tt.environ, tt.flags)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.TrimPrefix(c.Origin("git.poll").String(), dir+"/"); c.Git.Poll != tt.want || got != tt.origin {
				t.Errorf("git.poll: got %v from %s, want %v from %s", c.Git.Poll, got, tt.want, tt.origin)
			}
			if c.Git.Branch != "main" || c.Registries["local"].Prefix != "mirror" {
				t.Errorf("what no layer sets is lost: %+v", c)
			}
		})
	}
}

func TestLoad_DropInsMergeByKey(t *testing.T) {
	dir, c, err := inLayers(t, minimal+"  hub:\n    host: docker.io\n    auth: {realms: [a, b], username: u, password: {file: p}}\ntls: {caFiles: [a.pem, b.pem]}\n", map[string]string{
		"config.d/20-second.yaml":  "registries:\n  hub: {auth: {password: {env: HUB_PASSWORD}}}\n  quay: {host: quay.io}\n",
		"config.d/10-first.yaml":   "# registries and trust\nregistries:\n  hub: {prefix: hub, auth: {realms: [c]}}\ntls: {caFiles: [c.pem]}\n",
		"config.d/30-empty.yaml":   "# nothing\n",
		"config.d/40-null.yaml":    "registries:\n",
		"config.d/.hidden.yaml":    "nonsense: [",
		"config.d/#10-first.yaml#": "nonsense: [",
		"config.d/10-first.yaml~":  "nonsense: [",
		"config.d/README":          "nonsense: [",
		"config.d/50-other.yml":    "nonsense: [",
		"config.d/..data/x.yaml":   "nonsense: [",
	}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	hub := c.Registries["hub"]
	if got, want := hub.Auth, (RegistryAuth{Username: "u", Password: Secret{Env: "HUB_PASSWORD"}, Realms: []string{"c"}}); !reflect.DeepEqual(got, want) || hub.Host != "docker.io" || hub.Prefix != "hub" {
		t.Errorf("hub: got %+v, want auth %+v", hub, want)
	}
	if c.Registries["quay"].Host != "quay.io" || len(c.Registries) != 3 {
		t.Errorf("registries: %v", sortedKeys(c.Registries))
	}
	if want := []string{filepath.Join(dir, "config.d/c.pem")}; !slices.Equal(c.TLS.CAFiles, want) {
		t.Errorf("a list is replaced, and its paths count from the file that sets it: got %v, want %v", c.TLS.CAFiles, want)
	}
	if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "50-other.yml is not read") {
		t.Errorf("warnings: %q", c.Warnings)
	}
	for path, want := range map[string]string{
		"registries.hub.auth.password.env": "config.d/20-second.yaml:2:32", "registries.hub.auth.password.file": "default",
		"registries.hub.auth.realms[0]": "config.d/10-first.yaml:3:38", "registries.hub.auth.realms[1]": "default", "registries.hub.host": "config.yaml:8:11",
	} {
		if got := strings.TrimPrefix(c.Origin(path).String(), dir+"/"); got != want {
			t.Errorf("origin of %s: got %s, want %s", path, got, want)
		}
	}
	want := []string{"config.yaml", "config.d/10-first.yaml", "config.d/20-second.yaml", "config.d/30-empty.yaml", "config.d/40-null.yaml", "config.d"}
	for i := range want {
		want[i] = filepath.Join(dir, want[i])
	}
	if got := c.Files(); !slices.Equal(got, want) {
		t.Errorf("files: got %v, want %v", got, want)
	}
}

func TestLoad_RelativePathsCountFromWhoSetsThem(t *testing.T) {
	here := t.TempDir()
	t.Chdir(here)
	dir, c, err := inLayers(t, strings.Replace(minimal, "stateDir: state\n", "socket: run/p.sock\n", 1), map[string]string{"config.d/a.yaml": "tls: {certFile: c.pem, keyFile: /k.pem}\n"},
		[]string{"POUNDLOCK_TLS__CAFILES=a.pem, /b.pem"}, map[string]any{"git.auth.password.file": "p"})
	if err != nil {
		t.Fatal(err)
	}
	got := []string{c.StateDir, c.Socket, c.TLS.CertFile, c.TLS.KeyFile, c.TLS.CAFiles[0], c.TLS.CAFiles[1], c.Git.Auth.Password.File}
	want := []string{filepath.Join(dir, "state"), filepath.Join(dir, "run/p.sock"), filepath.Join(dir, "config.d/c.pem"), "/k.pem", filepath.Join(here, "a.pem"), "/b.pem", filepath.Join(here, "p")}
	if !slices.Equal(got, want) {
		t.Errorf("paths: got %v\nwant %v", got, want)
	}
}

func TestLoad_SpellingOfVariables(t *testing.T) {
	registries := minimal + "  docker-hub: {host: docker.io}\n  Quay: {host: quay.io}\n  gcr.io: {host: gcr.io}\n  a: {host: a.example}\n  a__b: {host: ab.example}\n"
	prefix := func(name string) func(Config) string {
		return func(c Config) string { return c.Registries[name].Prefix }
	}
	for _, tt := range []struct {
		variable, want string
		get            func(Config) string
	}{
		{"POUNDLOCK_REGISTRIES__LOCAL__PREFIX", "x", prefix("local")},
		{"POUNDLOCK_REGISTRIES__DOCKER_HUB__PREFIX", "x", prefix("docker-hub")},
		{"POUNDLOCK_REGISTRIES__docker-hub__PREFIX", "x", prefix("docker-hub")},
		{"POUNDLOCK_REGISTRIES__QUAY__PREFIX", "x", prefix("Quay")},
		{"POUNDLOCK_REGISTRIES__GCR_IO__PREFIX", "x", prefix("gcr.io")},
		{"POUNDLOCK_REGISTRIES__A__PREFIX", "x", prefix("a")},
		{"POUNDLOCK_REGISTRIES__A__B__PREFIX", "x", prefix("a__b")},
		{"POUNDLOCK_Registries__local__Prefix", "x", prefix("local")},
		{"POUNDLOCK_GIT__AUTH__SSHKEY__FILE", "/x", func(c Config) string { return c.Git.Auth.SSHKey.File }},
		{"POUNDLOCK_STATEDIR", "/x", func(c Config) string { return c.StateDir }},
		{"POUNDLOCK_TIMEZONE", "UTC", func(c Config) string { return c.TimeZone }},
	} {
		t.Run(tt.variable, func(t *testing.T) {
			c, err := loaded(t, registries, []string{tt.variable + "=" + tt.want}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := tt.get(c); got != tt.want || len(c.Registries) != 6 {
				t.Errorf("got %q in %v, want %q", got, sortedKeys(c.Registries), tt.want)
			}
		})
	}
	c, err := loaded(t, minimal, []string{"POUNDLOCK_REGISTRIES__NEW_ONE__HOST=new.example"}, map[string]any{"registries.new_one.prefix": "p", "registries.Third.host": "third.example"})
	if err != nil || c.Registries["new_one"].Host != "new.example" || c.Registries["new_one"].Prefix != "p" || c.Registries["Third"].Host != "third.example" {
		t.Errorf("a registry of variables and flags alone: %+v, %v", c.Registries, err)
	}
}

func TestLoad_MistakesOutsideOfFiles(t *testing.T) {
	for _, tt := range []struct {
		name    string
		environ []string
		flags   map[string]any
		want    []string
	}{
		{name: "duration", environ: []string{"POUNDLOCK_GIT__POLL=30"}, want: []string{"error[CFG020]: git.poll: want a duration\n  --> env POUNDLOCK_GIT__POLL\n", "fix: write a number with its unit, such as 30s, 72h or 3h30m"}},
		{name: "duration by a flag", flags: map[string]any{"git.poll": "soon"}, want: []string{"error[CFG020]: git.poll: want a duration\n  --> flag --set git.poll\n", "such as 30s"}},
		{name: "number", environ: []string{"POUNDLOCK_REGISTRIES__LOCAL__LIMITS__CONCURRENT=many"}, want: []string{"error[CFG020]: registries.local.limits.concurrent: want a whole number"}},
		{name: "octal is no number of another base", environ: []string{"POUNDLOCK_REGISTRIES__LOCAL__LIMITS__CONCURRENT=0x10"}, want: []string{"error[CFG020]"}},
		{name: "boolean", environ: []string{"POUNDLOCK_GIT__INSECURE=yes"}, want: []string{"git.insecure: want true or false", `did you mean "true"?`}},
		{name: "template", environ: []string{"POUNDLOCK_GIT__MESSAGE={{.Set"}, want: []string{"error[CFG020]: git.message: message template"}},
		{name: "misspelt key", environ: []string{"POUNDLOCK_GIT__POL=7s"}, want: []string{"error[CFG021]: POUNDLOCK_GIT__POL: names no key", "did you mean POUNDLOCK_GIT__POLL?", "--> env POUNDLOCK_GIT__POL\n"}},
		{name: "misspelt flag", flags: map[string]any{"git.pol": "7s"}, want: []string{"error[CFG021]: git.pol: names no key", "did you mean git.poll?", "--> flag --set git.pol\n"}},
		{name: "flag in another case", flags: map[string]any{"git.Poll": "7s"}, want: []string{"did you mean git.poll?"}},
		{name: "nothing near", flags: map[string]any{"limits.xyzzy": "7s"}, want: []string{"known: limits.cycle, limits.stop"}},
		{name: "nothing near at the top", flags: map[string]any{"qqqqqq": "7s"}, want: []string{"known: site, stateDir, schedule, timeZone, audit, auditAt, jitter, listen, socket"}},
		{name: "below a value", environ: []string{"POUNDLOCK_GIT__POLL__X=1"}, want: []string{"git.poll is one value, with no keys below it"}},
		{name: "empty part", flags: map[string]any{"registries..host": "x"}, want: []string{"a part of the key is empty"}},
		{name: "mapping", environ: []string{"POUNDLOCK_GIT=https://git.example.org"}, want: []string{"error[CFG020]: git: want a mapping", "such as POUNDLOCK_GIT__URL"}},
		{name: "map", flags: map[string]any{"registries": "x"}, want: []string{"error[CFG020]: registries: want a mapping", "such as registries.local.host"}},
		{name: "secret in clear", environ: []string{"POUNDLOCK_GIT__AUTH__PASSWORD=hunter2"}, want: []string{"error[DOC012]: git.auth.password: want a reference to a secret",
			"POUNDLOCK_GIT__AUTH__PASSWORD__FILE", "POUNDLOCK_GIT__AUTH__PASSWORD__ENV", "--> env POUNDLOCK_GIT__AUTH__PASSWORD\n"}},
		{name: "secret in clear by a flag", flags: map[string]any{"registries.local.auth.token": "hunter2"}, want: []string{"error[DOC012]: registries.local.auth.token", "registries.local.auth.token.file", "change the secret"}},
		{name: "misspelt secret", environ: []string{"POUNDLOCK_GIT__AUTH__PASWORD=hunter2"}, want: []string{"did you mean POUNDLOCK_GIT__AUTH__PASSWORD?"}},
		{name: "reference to nothing", environ: []string{"POUNDLOCK_GIT__AUTH__PASSWORD__FILE="}, want: []string{"error[CFG025]: git.auth.password.file refers to nothing"}},
		{name: "two references", environ: []string{"POUNDLOCK_GIT__AUTH__PASSWORD__FILE=/x", "POUNDLOCK_GIT__AUTH__PASSWORD__ENV=X"}, want: []string{"error[CFG019]: git.auth.password"}},
		{name: "credential that is a path", flags: map[string]any{"git.auth.token.credential": "../hunter2"}, want: []string{"error[CFG026]: git.auth.token.credential is not the name of a credential"}},
		{name: "one key twice", environ: []string{"POUNDLOCK_GIT__POLL=1s", "POUNDLOCK_GIT__poll=2s"}, want: []string{"error[CFG023]: POUNDLOCK_GIT__POLL and POUNDLOCK_GIT__poll both set git.poll"}},
		{name: "version", flags: map[string]any{"version": "1"}, want: []string{"error[CFG021]: version: the version belongs to the file"}},
		{name: "valid in form, wrong in value", environ: []string{"POUNDLOCK_TIMEZONE=Mars/Base", "POUNDLOCK_AUDIT=0s"}, want: []string{"error[CFG004]: unknown time zone", "--> env POUNDLOCK_TIMEZONE", "error[CFG006]: audit", "2 problems"}},
		{name: "wrong by a flag", flags: map[string]any{"registries.local.host": "https://x"}, want: []string{"error[CFG013]", "--> flag --set registries.local.host"}},
		{name: "not UTF-8", environ: []string{"POUNDLOCK_GIT__BRANCH=\xff"}, want: []string{"error[CFG020]: git.branch: the value is no text"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := loaded(t, minimal, tt.environ, tt.flags)
			var problems mirror.Problems
			if !errors.As(err, &problems) {
				t.Fatalf("got %v, want problems", err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is missing in:\n%v", want, err)
				}
			}
			if strings.Contains(fmt.Sprintf("%v %+v", err, problems), "hunter2") {
				t.Errorf("the error shows a secret: %v", err)
			}
		})
	}
}

func TestLoad_TwoNamesOfOneSpelling(t *testing.T) {
	text := minimal + "  my-reg: {host: a.example}\n  my_reg: {host: b.example}\n"
	if _, err := loaded(t, text, []string{"POUNDLOCK_REGISTRIES__MY_REG__PREFIX=x"}, nil); err == nil || !strings.Contains(err.Error(), "both my-reg and my_reg are written so") {
		t.Errorf("got %v", err)
	}
	c, err := loaded(t, text, []string{"POUNDLOCK_REGISTRIES__my_reg__PREFIX=x"}, nil)
	if err != nil || c.Registries["my_reg"].Prefix != "x" || c.Registries["my-reg"].Prefix != "" {
		t.Errorf("written just so: %+v, %v", c.Registries, err)
	}
}

// Every mistake is told in one pass, each with its own place, and nothing that only follows from another.
func TestLoad_AllLayersAreCheckedInOnePass(t *testing.T) {
	dir, _, err := inLayers(t, strings.Replace(strings.Replace(minimal, "site: berlin", "sit: berlin", 1), "registries:", "timeZone: Mars/Base\nregistries:", 1), map[string]string{
		"config.d/10-a.yaml": "audit: 30\npolcy: x\n", "config.d/20-b.yaml": "version: 2\nlimits: {cycle: 0s}\n"},
		[]string{"POUNDLOCK_GIT__POLL=30", "POUNDLOCK_LISTEN=nowhere"}, map[string]any{"git.brnch": "x"})
	var problems mirror.Problems
	if !errors.As(err, &problems) {
		t.Fatalf("got %v, want problems", err)
	}
	var got []string
	for _, p := range problems {
		got = append(got, p.Code+" "+strings.TrimPrefix(p.Where.String(), dir+"/"))
		if (p.Snippet != "") != (p.Where.Line > 0) {
			t.Errorf("%s at %s: snippet %q", p.Code, p.Where, p.Snippet)
		}
	}
	slices.Sort(got)
	want := []string{"CFG004 config.yaml:5:11", "CFG006 config.d/20-b.yaml:2:17", "CFG007 env POUNDLOCK_LISTEN", "CFG020 env POUNDLOCK_GIT__POLL", "CFG021 flag --set git.brnch",
		"DOC002 config.d/10-a.yaml:2:1", "DOC002 config.yaml:2:1", "DOC004 config.d/10-a.yaml:1:8", "DOC008 config.d/20-b.yaml:1:10"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

func TestLoad_FilesThatCannotBeRead(t *testing.T) {
	for _, tt := range []struct {
		name   string
		main   string
		before func(t *testing.T, dir string)
		want   []string
	}{
		{name: "no file", main: minimal, before: func(t *testing.T, dir string) { unput(t, dir+"/config.yaml") }, want: []string{"error[DOC009]", "there is no such file", "poundlock init"}},
		{name: "a directory", main: minimal, before: func(t *testing.T, dir string) {
			unput(t, dir+"/config.yaml")
			if err := os.Mkdir(dir+"/config.yaml", 0o700); err != nil {
				t.Fatal(err)
			}
		}, want: []string{"error[DOC009]", "directory"}},
		{name: "empty", main: " \n", want: []string{"error[DOC011]: the file is empty", "1 problem"}},
		{name: "comments only", main: "# all is commented out\n#version: 1\n", want: []string{"error[DOC011]: the file is empty", "1 problem"}},
		{name: "a list", main: "- version: 1\n", want: []string{"error[DOC004]", "1 problem"}},
		{name: "null", main: "null\n", want: []string{"error[CFG001]: version is missing", "error[CFG001]: registries.local is missing"}},
		{name: "a word", main: "hello\n", want: []string{"error[DOC004]", "1 problem"}},
		{name: "not YAML", main: "version: 1\n  site: x\n", want: []string{"error[DOC", "1 problem"}},
		{name: "an endless device", main: minimal, before: func(t *testing.T, dir string) {
			unput(t, dir+"/config.yaml")
			symlink(t, "/dev/zero", dir+"/config.yaml")
		}, want: []string{"error[DOC009]: this is a pipe or a device", "1 problem"}},
		{name: "a pipe that nobody writes into", main: minimal, before: func(t *testing.T, dir string) {
			unput(t, dir+"/config.yaml")
			if err := syscall.Mkfifo(dir+"/config.yaml", 0o600); err != nil {
				t.Fatal(err)
			}
		}, want: []string{"error[DOC009]: this is a pipe or a device", "1 problem"}},
		{name: "a drop-in file that is a pipe", main: minimal, before: func(t *testing.T, dir string) {
			put(t, dir+"/config.d/b.yaml", "")
			if err := syscall.Mkfifo(dir+"/config.d/a.yaml", 0o600); err != nil {
				t.Fatal(err)
			}
		}, want: []string{"error[DOC009]: this is a pipe or a device", "config.d/a.yaml", "1 problem"}},
		{name: "too large", main: minimal + strings.Repeat("#\n", mirror.MaxDocument/2), want: []string{"error[DOC007]", "1 problem"}},
		{name: "no version", main: strings.Replace(minimal, "version: 1\n", "", 1), want: []string{"error[CFG001]: version is missing", "1 problem"}},
		{name: "version only in a drop-in file", main: strings.Replace(minimal, "version: 1\n", "", 1), before: func(t *testing.T, dir string) {
			put(t, dir+"/config.d/a.yaml", "version: 1\n")
		}, want: []string{"error[CFG001]: version is missing", "1 problem"}},
		{name: "drop-in file that leads nowhere", main: minimal, before: func(t *testing.T, dir string) {
			put(t, dir+"/config.d/b.yaml", "audit: 30\n")
			symlink(t, dir+"/nowhere", dir+"/config.d/a.yaml")
		}, want: []string{"error[DOC009]", "config.d/a.yaml", "error[DOC004]: audit", "2 problems"}},
		{name: "drop-in file that is a directory", main: minimal, before: func(t *testing.T, dir string) {
			if err := os.MkdirAll(dir+"/config.d/a.yaml", 0o700); err != nil {
				t.Fatal(err)
			}
		}, want: []string{"error[DOC009]", "config.d/a.yaml"}},
		{name: "drop-in folder that is a file", main: minimal, before: func(t *testing.T, dir string) { put(t, dir+"/config.d", "x") }, want: []string{"error[DOC009]", "config.d"}},
		{name: "broken drop-in file hides what may stand in it", main: strings.Replace(minimal, "site: berlin\n", "", 1), before: func(t *testing.T, dir string) {
			put(t, dir+"/config.d/a.yaml", "site: [\n")
		}, want: []string{"config.d/a.yaml", "1 problem"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, dir+"/config.yaml", tt.main)
			if tt.before != nil {
				tt.before(t, dir)
			}
			_, err := Load(dir+"/config.yaml", nil, nil)
			var problems mirror.Problems
			if !errors.As(err, &problems) {
				t.Fatalf("got %v, want problems", err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is missing in:\n%v", want, err)
				}
			}
			for _, p := range problems {
				if p.Fix == "" {
					t.Errorf("%s has no fix", p.Code)
				}
			}
		})
	}
}

func put(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func unput(t *testing.T, file string) {
	t.Helper()
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
}

func symlink(t *testing.T, to, file string) {
	t.Helper()
	if err := os.Symlink(to, file); err != nil {
		t.Fatal(err)
	}
}
