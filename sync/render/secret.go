package render

// Secret is a Kubernetes Secret whose values are known to the daemon alone. It is committed encrypted, or not at all.
type Secret struct {
	Name, Namespace string
	Type            string // such as kubernetes.io/dockerconfigjson
	Credential      string // the name of the login in config.yaml
	// Data gives the values in clear by key, for the user and password of that login.
	Data func(username, password string) map[string]string
}
