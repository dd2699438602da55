package render

import (
	"maps"
	"slices"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Secret is a Kubernetes Secret whose values are known to the daemon alone. It is committed encrypted, or not at all.
type Secret struct {
	Name, Namespace string
	Type            string // such as kubernetes.io/dockerconfigjson
	Credential      string // the name of the login in config.yaml
	// Data gives the values in clear by key, for the user and password of that login. It gives the same for the same login
	// wherever the other fields are the same.
	Data func(username, password string) map[string]string
}

// same says whether two kinds of one folder ask for one Secret.
func (s Secret) same(other Secret) bool {
	return s.Name == other.Name && s.Namespace == other.Namespace && s.Type == other.Type && s.Credential == other.Credential
}

func hidden(secrets map[string]Secret, file string) bool { _, ok := secrets[file]; return ok }

// Asked is a login that a kind of override asks for, by its name in config.yaml.
type Asked struct {
	Name  string
	Where mirror.Position
}

// Credentials lists the logins that options ask for. In every kind the option is called credential.
func Credentials(asked map[string]mirror.Node) (all []Asked) {
	for _, kind := range slices.Sorted(maps.Keys(asked)) {
		all = append(all, credentialsIn(asked[kind])...)
	}
	return all
}

func credentialsIn(options mirror.Node) (all []Asked) {
	for _, key := range options.Keys() {
		value := options.Key(key)
		if name, ok := value.Text(); ok && key == "credential" {
			all = append(all, Asked{name, value.Where()})
		}
		all = append(all, credentialsIn(value)...)
	}
	return all
}
