package render

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

// pullSecretOptions say how the credential that consumers pull with gets to a cluster: by reference to a store of
// secrets, as a sealed manifest that people made, or encrypted for the cluster's own key. It is never written in clear.
// With none of the three somebody else makes the Secret, and only its name is used.
type pullSecretOptions struct {
	Name       string          `yaml:"name,required" jsonschema:"example=registry" jsonschema_description:"Name of the Secret."`
	Namespace  string          `yaml:"namespace" jsonschema:"example=ess" jsonschema_description:"Namespace of the Secret; that of the other files when it is left out."`
	External   *externalSecret `yaml:"external" jsonschema_description:"By reference: an ExternalSecret is written, and the External Secrets Operator fetches the login from a store."`
	Sealed     string          `yaml:"sealed" jsonschema:"example=ess/pull-sealed.yaml" jsonschema_description:"By hand: a SealedSecret that kubeseal made, relative to desired/; it is checked and carried over as it is."`
	Credential string          `yaml:"credential" jsonschema:"example=pull" jsonschema_description:"Encrypted by us: the name of the login in secrets.credentials of config.yaml; a Secret is written that SOPS encrypted for secrets.age.recipients."`
	Where      mirror.Position
}

const dockerConfig, dockerConfigKey = "kubernetes.io/dockerconfigjson", ".dockerconfigjson"

// check finds the mistakes of the options; at names them in messages, such as render.element.pullSecret.
func (o *pullSecretOptions) check(at string, r request) (ps mirror.Problems) {
	if o == nil {
		return nil
	}
	if !objectName.MatchString(o.Name) && o.Name != "" {
		ps.Add("RND040", o.Where, "use lower-case letters, digits, . and -", "%s.name: %q is no name of a Secret", at, mirror.OneLine(o.Name))
	}
	if o.Namespace != "" && !namespaceName.MatchString(o.Namespace) {
		ps.Add("RND040", o.Where, "use lower-case letters, digits and -", "%s.namespace: %q is no namespace", at, mirror.OneLine(o.Namespace))
	}
	ways := 0
	for _, given := range []bool{o.External != nil, o.Sealed != "", o.Credential != ""} {
		if given {
			ways++
		}
	}
	if ways > 1 {
		ps.Add("RND041", o.Where, "keep one of external, sealed and credential", "%s: the Secret would be made in %d ways", at, ways)
	}
	ps = append(ps, o.External.check(at+".external")...)
	if o.Sealed != "" {
		ps = append(ps, o.checkSealed(at+".sealed", r)...)
	}
	return ps
}

// addTo adds the manifest to the overrides of a scene: a docker config for the local registry. The zero value adds
// nothing.
func (o *pullSecretOptions) addTo(all *overrides, s scene, namespace string) {
	if o == nil {
		return
	}
	if o.Namespace != "" {
		namespace = o.Namespace
	}
	name := pullSecretFile(o.Name)
	switch {
	case o.External != nil:
		all.put(name, o.External.manifest(o.Name, namespace, s.local.Host))
	case o.Sealed != "":
		all.put(name, bytes.Clone(s.files[sealedPath(o.Sealed)]))
	case o.Credential != "":
		all.encrypt(name, Secret{Name: o.Name, Namespace: namespace, Type: dockerConfig, Credential: o.Credential,
			Data: func(username, password string) map[string]string {
				return map[string]string{dockerConfigKey: dockerConfigOf(s.local.Host, username, password)}
			}})
	}
}

// pullSecretFile names the file of a pull secret: two kinds of one folder that name the same Secret share it.
func pullSecretFile(secret string) string { return "pull-secret-" + secret + ".yaml" }

// put adds a manifest that can be applied as it is.
func (o *overrides) put(name string, body []byte) {
	if o.files == nil {
		o.files = mirror.Files{}
	}
	o.files[name] = body
	o.resources = append(o.resources, name)
}

// encrypt adds a manifest whose values the daemon fills in and encrypts.
func (o *overrides) encrypt(name string, secret Secret) {
	if o.secrets == nil {
		o.secrets = map[string]Secret{}
	}
	o.secrets[name] = secret
	o.resources = append(o.resources, name)
}

// dockerConfigOf gives a docker config with one login. The host must be the one in image names, to the letter: kubelet
// looks it up there.
func dockerConfigOf(host, username, password string) string {
	type login struct {
		Username string `json:"username"`
		Password string `json:"password"`
		Auth     string `json:"auth"`
	}
	text, err := json.Marshal(map[string]map[string]login{"auths": {host: {username, password,
		base64.StdEncoding.EncodeToString([]byte(username + ":" + password))}}})
	if err != nil {
		panic(err) // texts alone always marshal
	}
	return string(text)
}

// externalSecret says where the External Secrets Operator finds the login.
type externalSecret struct {
	Store            string `yaml:"store,required" jsonschema:"example=vault" jsonschema_description:"Name of the store."`
	StoreKind        string `yaml:"storeKind" jsonschema:"enum=SecretStore,enum=ClusterSecretStore,default=SecretStore" jsonschema_description:"Kind of the store: one of the namespace or one of the cluster."`
	Key              string `yaml:"key,required" jsonschema:"example=registry/pull" jsonschema_description:"The login in the store: its key or path there."`
	UsernameProperty string `yaml:"usernameProperty" jsonschema:"default=username" jsonschema_description:"Property of the key that holds the user name."`
	PasswordProperty string `yaml:"passwordProperty" jsonschema:"default=password" jsonschema_description:"Property of the key that holds the password: its name, never the password."`
	RefreshInterval  string `yaml:"refreshInterval" jsonschema:"default=1h" jsonschema_description:"How often the store is asked again; 0s for once."`
	Where            mirror.Position
}

func (e *externalSecret) check(at string) (ps mirror.Problems) {
	if e == nil {
		return nil
	}
	if e.Store != "" && !objectName.MatchString(e.Store) {
		ps.Add("RND042", e.Where, "write the name of the SecretStore", "%s.store: %q is no name of a store", at, mirror.OneLine(e.Store))
	}
	if kinds := []string{"", "SecretStore", "ClusterSecretStore"}; !slices.Contains(kinds, e.StoreKind) {
		ps.Add("RND042", e.Where, "write SecretStore or ClusterSecretStore", "%s.storeKind: there is no kind %q of store", at, mirror.OneLine(e.StoreKind))
	}
	if e.RefreshInterval != "" && !goDuration(e.RefreshInterval) {
		ps.Add("RND042", e.Where, "write a number with its unit, such as 1h or 30m", "%s.refreshInterval is no duration", at)
	}
	return ps
}

// externalTemplate is what the operator fills in (template engine v2, with the functions of sprig). Both values go
// through toJson: a quote or a backslash in a password would else break the docker config, which kubelet ignores then.
const externalTemplate = `{"auths":{%s:{"username":{{ .username | toJson }},"password":{{ .password | toJson }},"auth":"{{ printf "%%s:%%s" .username .password | b64enc }}"}}}`

// manifest gives the ExternalSecret (external-secrets.io/v1). Its fields are those of the custom resource definition of the
// operator; every text is quoted.
func (e *externalSecret) manifest(name, namespace, host string) []byte {
	or := func(text, other string) string {
		if text == "" {
			text = other
		}
		return strconv.Quote(text)
	}
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("apiVersion: external-secrets.io/v1\nkind: ExternalSecret\nmetadata:\n  name: %s", strconv.Quote(name))
	if namespace != "" {
		line("  namespace: %s", strconv.Quote(namespace))
	}
	line("spec:\n  refreshInterval: %s", or(e.RefreshInterval, "1h"))
	line("  secretStoreRef:\n    name: %s\n    kind: %s", strconv.Quote(e.Store), or(e.StoreKind, "SecretStore"))
	line("  target:\n    name: %s\n    creationPolicy: Owner\n    template:\n      engineVersion: v2\n      type: %s", strconv.Quote(name), dockerConfig)
	line("      data:\n        %s: '%s'", dockerConfigKey, fmt.Sprintf(externalTemplate, strconv.Quote(host)))
	line("  data:")
	for _, one := range [][2]string{{"username", e.UsernameProperty}, {"password", e.PasswordProperty}} {
		line("    - secretKey: %s\n      remoteRef:\n        key: %s\n        property: %s", one[0], strconv.Quote(e.Key), or(one[1], one[0]))
	}
	return []byte(b.String())
}

func isPullSecret(file string) bool { return strings.HasPrefix(file, "pull-secret-") }
