package config

import (
	"regexp"
	"slices"
	"strings"

	"github.com/knadh/koanf/providers/env/v2"

	"github.com/poundlock/poundlock/internal/mirror"
)

// reservedEnv are variables that carry our prefix and are no configuration keys.
var reservedEnv = []string{EnvPrefix + "CONFIG"}

func (r *reader) environment(environ []string) {
	o := r.outside(envSpelling, func(name string) string { return "env " + name },
		"if others could read this environment, change the secret")
	top, _ := keysOf(configType)
	sorted := slices.Sorted(slices.Values(environ))
	r.load(o.layer, env.Provider(keySeparator, env.Opt{
		Prefix:      EnvPrefix,
		EnvironFunc: func() []string { return sorted },
		TransformFunc: func(name, value string) (string, any) {
			key := strings.TrimPrefix(name, EnvPrefix)
			switch {
			case slices.Contains(reservedEnv, name):
				return "", nil
			case !strings.Contains(key, "__") && !slices.ContainsFunc(top, func(k string) bool { return k != "version" && strings.EqualFold(k, key) }):
				r.strays = append(r.strays, name)
				return "", nil
			}
			return o.take(name, key, value)
		},
	}), nil)
	r.made = append(r.made, o.made...)
}

// ofKubernetes are the variables that Kubernetes makes for services whose names begin as our prefix does.
var ofKubernetes = regexp.MustCompile(`^` + EnvPrefix + `(?:[A-Z0-9_]+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT(?:_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?)$`)

// warn tells of variables that look like ours and set nothing, except those that a secret is read from and
// those that Kubernetes makes.
func (c *Config) warn(strays []string, names func([]string) []string) []string {
	used := map[string]bool{}
	for _, s := range c.Secrets() {
		used[s.Env] = true
	}
	bare := func(name string) string { return strings.ReplaceAll(strings.TrimPrefix(name, EnvPrefix), "_", "") }
	variables := map[string]string{} // by what is left without underscores, which are what people get wrong
	for _, path := range allKeys(configType, nil, names) {
		if path[0] == "version" {
			continue // belongs to the file
		}
		variables[bare(envSpelling.of(path...))] = envSpelling.of(path...)
	}
	var warnings []string
	for _, name := range strays {
		if used[name] || ofKubernetes.MatchString(name) {
			continue
		}
		fix := "; the keys are in `poundlock explain config`"
		if near := mirror.Nearest(strings.ToUpper(bare(name)), sortedKeys(variables)); near != "" {
			fix = "; did you mean " + variables[near] + "?"
		}
		warnings = append(warnings, mirror.Clean("the variable "+name+" sets nothing"+fix))
	}
	return warnings
}
