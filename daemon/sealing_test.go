package daemon

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"golang.org/x/sync/errgroup"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/internal/sops"
)

const (
	pullPassword = "pull-canary&\"\\{{ . }}"
	pullManifest = "rendered/demo/ess/snapshot/pull-secret-registry.yaml"
)

// sealingSite is a site whose set wants an encrypted pull secret, and the key of the cluster that opens it.
func sealingSite(t *testing.T) (*site, *sops.Identity) {
	t.Helper()
	s := newSite(t, map[string]string{"desired/policy.yaml": pinnedPolicy,
		"desired/ess.yaml": "version: 1\nsource: {kind: ess, file: ess/images_digests.yml}\nlayout: path\nrender: {element: {namespace: ess, pullSecret: {name: registry, credential: pull}}, palette: {registryInfo: {credential: pull}}}\n"})
	s.commit("release 1", map[string]string{"desired/ess/images_digests.yml": imagesDigests(
		s.push("docker.io/vectorim/element-web:v1", "web"), s.push("docker.io/matrixdotorg/synapse:v1", "synapse"))})
	own, cluster := must(age.GenerateX25519Identity())(t), must(age.GenerateX25519Identity())(t)
	s.secret("pull", pullPassword)
	s.secret("identity", "# created: today\n"+own.String())
	s.secret("writer", "write-canary")
	s.config = strings.Replace(s.config, "local: {", fmt.Sprintf("local: {auth: {username: writer, password: {file: %q}}, ", s.path("writer")), 1) +
		fmt.Sprintf("secrets:\n  credentials: {pull: {username: reader, password: {file: %q}}}\n  age: {recipients: [%s], identity: {file: %q}}\n",
			s.path("pull"), cluster.Recipient(), s.path("identity"))
	return s, must(sops.ParseIdentity(cluster.String()))(t)
}

func (s *site) path(secret string) string { return filepath.Join(s.dir, "secret-"+secret) }

func (s *site) secret(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(s.path(name), []byte(text+"\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// wantPullSecret opens the committed manifest as the cluster does.
func (s *site) wantPullSecret(cluster *sops.Identity, user, password string) {
	s.t.Helper()
	d, err := sops.Decrypt([]byte(s.file(pullManifest)), cluster)
	if err != nil {
		s.t.Fatalf("%v\n%s", err, s.file(pullManifest))
	}
	clear := string(must(d.YAML())(s.t))
	value := regexp.MustCompile(`\.dockerconfigjson"?: (\S+)`).FindStringSubmatch(clear)
	if value == nil {
		s.t.Fatalf("no docker config in\n%s", clear)
	}
	docker, err := base64.StdEncoding.DecodeString(value[1])
	auth := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	if err != nil || !bytes.Contains(docker, []byte(`"`+localName+`":`)) || !bytes.Contains(docker, []byte(`"auth":"`+auth+`"`)) {
		s.t.Errorf("%v: the pull secret is %s in\n%s", err, docker, clear)
	}
	for _, want := range []string{"kind: Secret\n", `"registry"`, `"ess"`, `"kubernetes.io/dockerconfigjson"`} {
		if !strings.Contains(clear, want) {
			s.t.Errorf("no %s in\n%s", want, clear)
		}
	}
}

// noneInClear looks through everything that was ever committed.
func (s *site) noneInClear(more ...string) {
	s.t.Helper()
	secrets := append([]string{pullPassword, "write-canary", "AGE-SECRET"}, more...)
	for _, one := range secrets[:len(secrets):len(secrets)] {
		secrets = append(secrets, base64.StdEncoding.EncodeToString([]byte(one)), base64.StdEncoding.EncodeToString([]byte("reader:"+one)))
	}
	for _, c := range must(s.git.Log())(s.t) {
		files := must(s.git.Files(c.ID))(s.t)
		files["the message"] = c.Message
		for name, body := range files {
			for _, one := range secrets {
				if strings.Contains(body, one) {
					s.t.Errorf("%s of commit %s holds %s in clear", name, c.ID, one)
				}
			}
		}
	}
}

func TestSeal_ASecretIsCommittedOnceForEachChange(t *testing.T) {
	t.Parallel()
	s, cluster := sealingSite(t)
	log := &bytes.Buffer{}
	s.open()
	s.line.log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s.sync()
	s.wantPullSecret(cluster, "reader", pullPassword)
	if k := s.file("rendered/demo/ess/snapshot/kustomization.yaml"); !strings.Contains(k, "- pull-secret-registry.yaml\n") {
		t.Errorf("it is not applied with the rest:\n%s", k)
	}
	info := s.file("rendered/demo/ess/snapshot/registry-info.yaml")
	if d, err := sops.Decrypt([]byte(info), cluster); err != nil || !bytes.Contains(must(d.YAML())(t), []byte("PASSWORD")) {
		t.Errorf("%v: the Secret of Palette is\n%s", err, info)
	}
	first := s.file(pullManifest)
	rest(t, s)
	two := s.twin()
	rest(t, two, s) // another daemon, and one whose state is new
	s.close()
	if err := os.RemoveAll(filepath.Join(s.dir, "state")); err != nil {
		t.Fatal(err)
	}
	rest(t, s, two)
	if s.file(pullManifest) != first {
		t.Error("written anew without a change")
	}

	// A new password, a new reader and a file that somebody edited are each one commit.
	s.secret("pull", "next-canary")
	var both errgroup.Group // each encrypts it for itself, and one of the two is what stays
	for _, daemon := range []*site{s, two} {
		both.Go(func() error { _, err := daemon.trySync(); return err })
	}
	if err := both.Wait(); err != nil {
		t.Fatal(err)
	}
	rest(t, s, two)
	s.wantPullSecret(cluster, "reader", "next-canary")
	added := must(age.GenerateX25519Identity())(t)
	s.config = strings.Replace(s.config, "recipients: [", "recipients: ["+added.Recipient().String()+", ", 1)
	s.open()
	s.sync()
	s.wantPullSecret(must(sops.ParseIdentity(added.String()))(t), "reader", "next-canary")
	rest(t, s)
	s.commit("edited", map[string]string{pullManifest: strings.Replace(s.file(pullManifest), "kind: Secret", "kind: ConfigMap", 1)})
	s.sync()
	s.wantPullSecret(cluster, "reader", "next-canary")
	s.noneInClear("next-canary")
	for _, one := range []string{pullPassword, "next-canary", "write-canary", "AGE-SECRET"} {
		if strings.Contains(log.String(), one) {
			t.Errorf("the log holds %s", one)
		}
	}
}

// What cannot be encrypted is not written at all, and what stood stays.
func TestSeal_WithoutItsKeysTheFolderStaysAsItIs(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		breaks func(s *site)
		why    string
	}{
		"no such login": {why: "no login", breaks: func(s *site) { s.config = strings.Replace(s.config, "credentials: {pull:", "credentials: {other:", 1) }},
		"no section": {why: "names nobody", breaks: func(s *site) {
			s.config, _, _ = strings.Cut(s.config, "secrets:\n")
		}},
		"password is gone": {why: "cannot be read", breaks: func(s *site) { os.Remove(s.path("pull")) }},
		"key is gone":      {why: "cannot be read", breaks: func(s *site) { os.Remove(s.path("identity")) }},
		"key is broken":    {why: "no private key", breaks: func(s *site) { s.secret("identity", "AGE-SECRET-KEY-1CANARY") }},
		"our own password": {why: "writes to the local registry", breaks: func(s *site) { s.secret("pull", "write-canary") }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, cluster := sealingSite(t)
			s.open()
			config := s.config
			if tt.breaks(s); s.config != config { // else the files go while the daemon runs
				s.open()
			}
			const dir = "rendered/demo/ess/snapshot"
			refused := func(r Report) {
				t.Helper()
				for _, a := range r.Plan.Actions {
					if a.Kind == mirror.Refuse && a.Path == dir && a.Reason.Code == mirror.Unsealed && strings.Contains(a.Reason.Detail, tt.why) && a.Key.Set == "ess" && a.Stage == "snapshot" {
						return
					}
				}
				t.Errorf("nobody says that the Secret is missing, and why: %+v", r.Plan.Actions)
			}
			refused(s.sync()["ess"])
			if under := mirrorFiles(t, s).Under(dir); len(under) > 0 {
				t.Errorf("written without the Secret that it names: %v", under)
			}
			// Mended, it comes by itself; broken again, all of the folder stays.
			s.close()
			s.config = config
			s.secret("pull", pullPassword)
			own := must(age.GenerateX25519Identity())(t)
			s.secret("identity", own.String())
			s.sync()
			s.wantPullSecret(cluster, "reader", pullPassword)
			before := mirrorFiles(t, s)
			tt.breaks(s)
			if s.config != config {
				s.open()
			}
			s.now = s.now.Add(time.Hour)
			refused(s.sync()["ess"])
			for _, file := range before.Under(dir) {
				if s.file(file) != string(before[file]) {
					t.Errorf("%s changed", file)
				}
			}
			s.noneInClear()
		})
	}
}

func mirrorFiles(t *testing.T, s *site) mirror.Files {
	t.Helper()
	files := mirror.Files{}
	for name, body := range must(s.git.Files("main"))(t) {
		files[name] = []byte(body)
	}
	return files
}

func TestDoctor_SaysForWhomSecretsAreEncrypted(t *testing.T) {
	t.Parallel()
	s, _ := sealingSite(t)
	s.open()
	file := filepath.Join(s.dir, "config.yaml")
	find := func(c config.Config, name string) Check {
		t.Helper()
		for _, check := range must(Doctor(t.Context(), c, false, s.clock))(t) {
			if check.Name == name {
				return check
			}
		}
		return Check{}
	}
	c := must(config.Load(file, nil, nil))(t)
	if got := find(c, "secrets"); got.State != CheckOK || !strings.Contains(got.Detail, "1 login") || !strings.Contains(got.Detail, "2 keys") {
		t.Errorf("got %+v", got)
	}
	s.commit("another login", map[string]string{"desired/ess.yaml": strings.Replace(s.file("desired/ess.yaml"), "credential: pull", "credential: pul", 1)})
	got := find(c, "secrets.credentials.pul")
	if got.State != CheckFailed || got.Problem == nil || got.Problem.Code != "RND046" || got.Problem.Where.File != "desired/ess.yaml" || got.Problem.Where.Line != 4 || !strings.Contains(got.Problem.Fix, `"pull"`) {
		t.Errorf("got %+v", got)
	}
	s.secret("identity", "AGE-SECRET-KEY-1CANARY")
	if got := find(c, "secrets.age.identity"); got.State != CheckFailed || got.Problem.Code != "CFG124" || strings.Contains(got.Problem.Error(), "1CANARY") {
		t.Errorf("got %+v", got)
	}
	s.secret("identity", must(age.GenerateX25519Identity())(t).String())
	s.secret("pull", "write-canary")
	if got := find(c, "secrets.credentials.pull.password"); got.State != CheckFailed || got.Problem.Code != "CFG121" {
		t.Errorf("got %+v", got)
	}
}
