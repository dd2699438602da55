package render

import (
	"github.com/poundlock/poundlock/internal/mirror"
)

// pullSecretOptions say how the credential that consumers pull with gets to a cluster: by reference to a store of
// secrets, as a sealed manifest that people made, or encrypted for the cluster's own key. It is never written in clear.
type pullSecretOptions struct {
	Name       string `yaml:"name,required" jsonschema:"example=registry" jsonschema_description:"Name of the Secret."`
	Namespace  string `yaml:"namespace" jsonschema_description:"Namespace of the Secret; that of the other files when it is left out."`
	Credential string `yaml:"credential" jsonschema:"example=pull" jsonschema_description:"Encrypted by us: the name of the login in secrets.credentials of config.yaml."`
	Where      mirror.Position
}

// check finds the mistakes of the options; at names them in messages, such as render.element.pullSecret.
func (o *pullSecretOptions) check(at string, r request) mirror.Problems { return nil }

// addTo adds the manifest to the overrides of a scene: a docker config for the local registry. The zero value adds
// nothing.
func (o *pullSecretOptions) addTo(all *overrides, s scene, namespace string) {}
