package render

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"text/template"

	"github.com/Masterminds/sprig/v3"
	"go.yaml.in/yaml/v4"

	"github.com/poundlock/poundlock/internal/mirror"
)

// pullSecret reads options as a kind would that embeds them.
func pullSecret(t *testing.T, options string) (*pullSecretOptions, request, mirror.Problems) {
	t.Helper()
	doc, ps := mirror.ParseDocument("desired/ess.yaml", []byte(options))
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	var o struct {
		Namespace  string             `yaml:"namespace"`
		PullSecret *pullSecretOptions `yaml:"pullSecret"`
	}
	ps = doc.DecodeAs("render.element", &o)
	return o.PullSecret, request{options: doc}, ps
}

// difficult are logins whose characters have a meaning in JSON, YAML or templates.
var difficult = [][2]string{{"reader", "c4n4ry"}, {`ro"bot$pull`, `a\b"c'd{{ . }}<&>`}, {"u", "a:b\nc é"}, {"robot$x", "$(x) %s ${Y}"}}

func wantLogin(t *testing.T, config, host string, login [2]string) {
	t.Helper()
	var got struct {
		Auths map[string]struct{ Username, Password, Auth string }
	}
	if err := json.Unmarshal([]byte(config), &got); err != nil {
		t.Fatalf("%v: %s", err, config)
	}
	one := got.Auths[host]
	auth, err := base64.StdEncoding.DecodeString(one.Auth)
	if len(got.Auths) != 1 || err != nil || one.Username != login[0] || one.Password != login[1] || string(auth) != login[0]+":"+login[1] {
		t.Errorf("got %+v (%s), want %q", got, auth, login)
	}
}

// The operator fills the template in with the functions of sprig; what comes out is the docker config of the login.
func TestPullSecret_ExternalGivesADockerConfig(t *testing.T) {
	o, r, ps := pullSecret(t, "pullSecret: {name: registry, external: {store: vault, storeKind: ClusterSecretStore, key: team/registry, passwordProperty: token}}\n")
	if ps = append(ps, o.check("render.element.pullSecret", r)...); len(ps) > 0 {
		t.Fatal(ps)
	}
	var all overrides
	o.addTo(&all, scene{local: mirror.Local{Host: "r.example:5000"}}, "ess")
	body := all.files["pull-secret-registry.yaml"]
	if len(all.resources) != 1 || len(all.secrets) > 0 {
		t.Fatalf("got %+v", all)
	}
	const want = `apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata:
  name: "registry"
  namespace: "ess"
spec:
  refreshInterval: "1h"
  secretStoreRef:
    name: "vault"
    kind: "ClusterSecretStore"
  target:
    name: "registry"
    creationPolicy: Owner
    template:
      engineVersion: v2
      type: kubernetes.io/dockerconfigjson
      data:
`
	const rest = `  data:
    - secretKey: username
      remoteRef:
        key: "team/registry"
        property: "username"
    - secretKey: password
      remoteRef:
        key: "team/registry"
        property: "token"
`
	if !strings.HasPrefix(string(body), want) || !strings.HasSuffix(string(body), rest) {
		t.Errorf("got\n%s", body)
	}
	var manifest struct {
		Spec struct {
			Target struct {
				Template struct{ Data map[string]string }
			}
		}
	}
	if err := yaml.Load(body, &manifest); err != nil {
		t.Fatal(err)
	}
	tmpl, err := template.New("").Option("missingkey=error").Funcs(sprig.TxtFuncMap()).Parse(manifest.Spec.Target.Template.Data[".dockerconfigjson"])
	if err != nil {
		t.Fatal(err)
	}
	for _, login := range difficult {
		var b bytes.Buffer
		if err := tmpl.Execute(&b, map[string]string{"username": login[0], "password": login[1]}); err != nil {
			t.Fatal(err)
		}
		wantLogin(t, b.String(), "r.example:5000", login)
	}
}

func TestPullSecret_ACredentialIsLeftToTheDaemon(t *testing.T) {
	o, r, ps := pullSecret(t, "pullSecret: {name: registry, namespace: own, credential: pull}\n")
	if ps = append(ps, o.check("render.element.pullSecret", r)...); len(ps) > 0 {
		t.Fatal(ps)
	}
	var all overrides
	o.addTo(&all, scene{local: mirror.Local{Host: "r.example:5000"}}, "ess")
	s, ok := all.secrets["pull-secret-registry.yaml"]
	if !ok || len(all.files) > 0 || len(all.resources) != 1 || s.Name != "registry" || s.Namespace != "own" || s.Credential != "pull" || s.Type != "kubernetes.io/dockerconfigjson" {
		t.Fatalf("got %+v", all)
	}
	for _, login := range difficult {
		wantLogin(t, s.Data(login[0], login[1])[".dockerconfigjson"], "r.example:5000", login)
	}
	var none *pullSecretOptions
	var nothing overrides
	if none.addTo(&nothing, scene{}, "x"); none.check("", request{}) != nil || nothing.files != nil || nothing.secrets != nil {
		t.Error("no options, and something is made")
	}
	(&pullSecretOptions{Name: "theirs"}).addTo(&nothing, scene{}, "x")
	if nothing.files != nil || nothing.resources != nil {
		t.Error("somebody else makes the Secret, and we do, too")
	}
}

// sealedSecret is made up in the form of kubeseal: the value is a length, a session key and a text of random bytes.
func sealedSecret() string {
	value := append([]byte{2, 0}, bytes.Repeat([]byte{0xa5}, 512+64)...)
	return `apiVersion: bitnami.com/v1alpha1
kind: SealedSecret
metadata:
  creationTimestamp: null
  name: registry
  namespace: ess
spec:
  encryptedData:
    .dockerconfigjson: ` + base64.StdEncoding.EncodeToString(value) + `
  template:
    metadata:
      creationTimestamp: null
      name: registry
      namespace: ess
    type: kubernetes.io/dockerconfigjson
`
}

func TestPullSecret_ASealedOneIsCheckedAndCarriedOver(t *testing.T) {
	const password = "hunter2canary"
	good := sealedSecret()
	inClear := base64.StdEncoding.EncodeToString([]byte(`{"auths":{"r.example:5000":{"username":"u","password":"` + password + strings.Repeat("x", 400) + `"}}}`))
	value := func(text string) string { return replaceLine(good, "    .dockerconfigjson:", text) }
	for _, tt := range []struct{ name, options, file, code string }{
		{"good", "namespace: ess\n", good, ""},
		{"namespace of its own", "pullSecretNamespace", good, ""},
		{"as JSON", "namespace: ess\n", asJSON(t, good), ""},
		{"no file", "namespace: ess\n", "", "RND043"},
		{"no namespace is said", "", good, "RND041"},
		{"other namespace", "namespace: other\n", good, "RND044"},
		{"other name", "namespace: ess\n", strings.Replace(good, "  name: registry", "  name: other", 1), "RND044"},
		{"other name inside", "namespace: ess\n", strings.Replace(good, "      name: registry", "      name: other", 1), "RND044"},
		{"a Secret", "namespace: ess\n", strings.Replace(good, "kind: SealedSecret", "kind: Secret", 1), "RND044"},
		{"other version", "namespace: ess\n", strings.Replace(good, "v1alpha1", "v1", 1), "RND044"},
		{"opaque", "namespace: ess\n", strings.Replace(good, "kubernetes.io/dockerconfigjson", "Opaque", 1), "RND044"},
		{"in clear", "namespace: ess\n", value("    .dockerconfigjson: " + inClear), "RND044"},
		{"no base64", "namespace: ess\n", value("    .dockerconfigjson: '{" + password + "}'"), "RND044"},
		{"cut off", "namespace: ess\n", value("    .dockerconfigjson: " + base64.StdEncoding.EncodeToString([]byte{2, 0, 1})), "RND044"},
		{"other key", "namespace: ess\n", strings.Replace(good, "    .dockerconfigjson:", "    password: x\n    .dockerconfigjson:", 1), "RND045"},
		{"data in clear", "namespace: ess\n", strings.Replace(good, "  encryptedData:", "  data: "+password+"\n  encryptedData:", 1), "RND045"},
		{"data in the template", "namespace: ess\n", strings.Replace(good, "  template:\n", "  template:\n    data: {password: "+password+"}\n", 1), "RND045"},
		{"data at the top", "namespace: ess\n", good + "stringData: {password: " + password + "}\n", "RND045"},
		{"data in the status", "namespace: ess\n", good + "status: {x: " + password + "}\n", "RND045"},
		{"applied before it was sealed", "namespace: ess\n", strings.Replace(good, "      name: registry", "      annotations: {kubectl.kubernetes.io/last-applied-configuration: "+password+"}\n      name: registry", 1), "RND045"},
		{"two documents", "namespace: ess\n", good + "---\nkind: Secret\n", "DOC001"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			options := tt.options + "pullSecret: {name: registry, sealed: ess/pull.yaml}\n"
			if tt.options == "pullSecretNamespace" {
				options = "pullSecret: {name: registry, namespace: ess, sealed: ess/pull.yaml}\n"
			}
			o, r, ps := pullSecret(t, options)
			if r.files = (mirror.Files{}); tt.file != "" {
				r.files["desired/ess/pull.yaml"] = []byte(tt.file)
			}
			ps = append(ps, o.check("render.element.pullSecret", r)...)
			if strings.Contains(ps.Error(), password) {
				t.Errorf("the password is shown: %v", ps)
			}
			if tt.code != "" {
				if len(ps) == 0 || ps[0].Code != tt.code {
					t.Errorf("got %v, want %s", ps, tt.code)
				}
				return
			}
			if len(ps) > 0 {
				t.Fatal(ps)
			}
			var all overrides
			o.addTo(&all, scene{files: r.files}, "ess")
			if string(all.files["pull-secret-registry.yaml"]) != tt.file || len(all.resources) != 1 {
				t.Errorf("not carried over: %+v", all)
			}
		})
	}
}

func replaceLine(text, prefix, line string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		if strings.HasPrefix(lines[i], prefix) {
			lines[i] = line
		}
	}
	return strings.Join(lines, "\n")
}

func asJSON(t *testing.T, text string) string {
	t.Helper()
	var v map[string]any
	if err := yaml.Load([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestPullSecret_MistakesAreTold(t *testing.T) {
	for _, tt := range []struct{ options, code string }{
		{"pullSecret: {name: Registry}\n", "RND040"},
		{"pullSecret: {name: registry, namespace: a.b}\n", "RND040"},
		{"pullSecret: {credential: pull}\n", "DOC005"},
		{"pullSecret: {name: registry, credential: pull, external: {store: vault, key: k}}\n", "RND041"},
		{"pullSecret: {name: registry, external: {key: k}}\n", "DOC005"},
		{"pullSecret: {name: registry, external: {store: vault, key: k, storeKind: Vault}}\n", "RND042"},
		{"pullSecret: {name: registry, external: {store: Vault, key: k}}\n", "RND042"},
		{"pullSecret: {name: registry, external: {store: vault, key: k, refreshInterval: daily}}\n", "RND042"},
		{"pullSecret: {name: registry, sealed: ../stages/x.yaml}\n", "RND043"},
		{"pullSecret: {name: registry, password: x}\n", "DOC002"},
	} {
		o, r, ps := pullSecret(t, tt.options)
		r.files = mirror.Files{"stages/x.yaml": []byte(sealedSecret())}
		ps = append(ps, o.check("render.element.pullSecret", r)...)
		if len(ps) != 1 || ps[0].Code != tt.code || ps[0].Where.Line != 1 {
			t.Errorf("%s: got %v, want %s", tt.options, ps, tt.code)
		}
	}
}

// Two kinds of a folder may name one Secret, and must mean the same by it.
func TestPullSecret_TwoKindsShareOneFile(t *testing.T) {
	external := func(store string) string { return "{name: registry, external: {store: " + store + ", key: k}}" }
	for _, tt := range []struct {
		name, first, second string
		wrong               bool
	}{
		{"the same store", external("vault"), external("vault"), false},
		{"two stores", external("vault"), external("other"), true},
		{"the same login", "{name: registry, credential: pull}", "{name: registry, credential: pull}", false},
		{"two logins", "{name: registry, credential: pull}", "{name: registry, credential: other}", true},
		{"two ways", external("vault"), "{name: registry, credential: pull}", true},
		{"two ways, turned", "{name: registry, credential: pull}", external("vault"), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked := map[string]mirror.Node{}
			for name, text := range map[string]string{"test-one": tt.first, "test-two": tt.second} {
				doc, ps := mirror.ParseDocument("desired/ess.yaml", []byte("render:\n  pullSecret: "+text+"\n"))
				if len(ps) > 0 {
					t.Fatal(ps)
				}
				asked[name] = doc.Key("render")
				register(name, kind{files: func(s scene, options mirror.Node) (all overrides) {
					var o pullSecretOptions
					_ = options.Key("pullSecret").DecodeAs("", &o)
					o.addTo(&all, s, "ess")
					return all
				}})
				defer delete(kinds, name)
			}
			made := all(scene{local: mirror.Local{Host: "r.example"}}, asked, "rendered/site/ess/snapshot")
			if len(made.wrong) > 0 != tt.wrong {
				t.Fatalf("got %v", made.wrong)
			}
			if list := string(made.files[kustomizationFile]); !tt.wrong && strings.Count(list, "pull-secret-registry.yaml") != 1 {
				t.Errorf("got\n%s", list)
			}
		})
	}
}
